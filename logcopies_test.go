package weir_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/connector/memory"
	"github.com/weirstream/weir/internal/protocol/snapshot"
	ifs "github.com/weirstream/weir/internal/storage/fs"
	"github.com/weirstream/weir/source"
)

// eachCopiedLog runs a test with a changelog and copies in two directories, on each backend: with the state written as a whole when it must be or
// all the time, and segments compressed or not. Files in the checkpoint directory may be made to fail.
func eachCopiedLog(t *testing.T, run func(t *testing.T, w *world, files *ifs.Faulty, roots []string)) {
	for _, backend := range []string{"hashmap", "pebble"} {
		for _, often := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s whole-often=%v", backend, often), func(t *testing.T) {
				t.Parallel()
				w, _, roots := withCopies(t)
				files := ifs.NewFaulty(w.fs, nil)
				w.fs = files
				maps.Copy(w.set, map[string]string{
					"execution.checkpointing.incremental":          "true",
					"state.backend.type":                           backend,
					"state.backend.cache-size":                     "64 kb",
					"state.backend.pebble.localdir":                t.TempDir(),
					"state.changelog.enabled":                      "true",
					"state.changelog.storage":                      "filesystem",
					"state.changelog.periodic-materialize.enabled": fmt.Sprint(often),
					"dstl.dfs.compression.enabled":                 fmt.Sprint(often),
				})
				if often {
					w.set["state.changelog.periodic-materialize.interval"] = "15 ms"
				}
				run(t, w, files, roots)
			})
		}
	}
}

// newest returns the newest complete checkpoint of the world's job.
func (w *world) newest() *snapshot.Metadata {
	w.t.Helper()
	var newest *snapshot.Metadata
	for _, name := range w.metadata() {
		if m := load(w.t, w.fs, path.Dir(name)); newest == nil || m.Checkpoint > newest.Checkpoint {
			newest = m
		}
	}
	return newest
}

// eachKeyedFile calls do for each file with keyed state that a checkpoint refers to. head says that the start looks into it to know the step's states.
func eachKeyedFile(m *snapshot.Metadata, do func(file string, head bool)) {
	for _, op := range m.Operators {
		head := true
		for _, sub := range op.Subtasks {
			if sub == nil {
				continue
			}
			keyed := snapshot.OperatorSubtask{Keyed: sub.Keyed}
			keyed.EachStream(func(s *snapshot.Stream) {
				if s.Path != "" {
					do(s.Path, head && s.Path == sub.Keyed[0].Stream.Path)
				}
			})
			head = head && len(sub.Keyed) == 0
		}
	}
}

// keyedFiles returns the names of the files with keyed state that a checkpoint refers to.
func keyedFiles(m *snapshot.Metadata) (names []string) {
	eachKeyedFile(m, func(file string, _ bool) { names = append(names, path.Base(file)) })
	slices.Sort(names)
	return names
}

// unreadable lets the files with keyed state of a checkpoint not be read, except for one of each step, in which the start looks for its head.
func unreadable(files *ifs.Faulty, m *snapshot.Metadata) {
	eachKeyedFile(m, func(file string, head bool) {
		if !head {
			files.Inject(ifs.Fault{Op: ifs.OpRead, Path: file, Times: ifs.Forever, Err: errTest})
		}
	})
}

// copyOf is what an index says of a copy.
type copyOf struct {
	Name   string // of the original
	File   string // of the copy
	Shared bool
}

// copiesOf returns the copies that there are for a checkpoint, in the order of their originals' names. Their Files are whole paths.
func copiesOf(t *testing.T, m *snapshot.Metadata, roots []string) (all []copyOf) {
	t.Helper()
	for _, root := range roots {
		indexes, _ := filepath.Glob(filepath.Join(root, m.Job.String(), fmt.Sprintf("chk_%d", m.Checkpoint), "*", "_local"))
		for _, index := range indexes {
			var own []copyOf
			data, err := os.ReadFile(index)
			if err == nil {
				err = json.Unmarshal(data, &own)
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range own {
				if c.Shared {
					c.File = sharedCopy(m, roots, c.File)
				} else {
					c.File = filepath.Join(filepath.Dir(index), c.File)
				}
				all = append(all, c)
			}
		}
	}
	slices.SortFunc(all, func(a, b copyOf) int { return cmp.Compare(a.Name, b.Name) })
	return all
}

// sharedCopy returns the path of a shared copy, "" if it is nowhere.
func sharedCopy(m *snapshot.Metadata, roots []string, name string) string {
	for _, root := range roots {
		file := filepath.Join(root, m.Job.String(), "shared", name)
		if _, err := os.Stat(file); err == nil {
			return file
		}
	}
	return ""
}

// copied checks that there is a copy of each file with keyed state of the newest checkpoint, and returns that and the copies.
func (w *world) copied(roots []string) (*snapshot.Metadata, []copyOf) {
	w.t.Helper()
	m := w.newest()
	all := copiesOf(w.t, m, roots)
	var names []string
	for _, c := range all {
		if names = append(names, c.Name); c.File == "" {
			w.t.Errorf("the copy of %s is missing", c.Name)
		}
	}
	if want := keyedFiles(m); !slices.Equal(names, want) || len(want) < 4 {
		w.t.Errorf("checkpoint %d: there are copies of %q, want %q", m.Checkpoint, names, want)
	}
	return m, all
}

// emptied checks that nothing at all is left in directories for copies.
func emptied(t *testing.T, roots []string) {
	t.Helper()
	for _, root := range roots {
		err := filepath.WalkDir(root, func(name string, _ fs.DirEntry, err error) error {
			if name != root {
				t.Errorf("%s is left", name)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
}

// logRun goes on with a job, so that it writes segments up to a position, and ends it as a kill does.
func (w *world) logRun(parallelism, position int) {
	w.t.Helper()
	e := w.running(parallelism, position-20)
	for at := position - 10; at <= position; at += 10 {
		for i := range w.in.splits {
			w.in.hold(i, at)
		}
		w.checkpoints(e, 2)
	}
	e.Abort()
	w.end(e, weir.Aborted)
}

const (
	unused  = "a copy of state is not used"
	allRead = "files and segments with keyed state are read from local copies"
)

// TestCopiesOfAChangelogAreRead: there is a copy of each segment and of each file of the state as a whole that a checkpoint refers to, and a process
// that starts again where it was needs nothing else: in the checkpoint directory they cannot be read any more. After
// another parallelism, or when the copies are gone, it needs that. In the end nothing is left.
func TestCopiesOfAChangelogAreRead(t *testing.T) {
	eachCopiedLog(t, func(t *testing.T, w *world, files *ifs.Faulty, roots []string) {
		for position := 40; position <= 80; position += 20 {
			var log lines
			w.log = log.logger()
			w.logRun(2, position)
			if position > 40 && (log.count(allRead) != 1 || log.count(unused) > 0) {
				t.Errorf("the log says:\n%s", log.text.String())
			}
			files.Clear()
			m, _ := w.copied(roots)
			unreadable(files, m)
		}
		if _, err := weir.StartOn(t.Context(), w.job(3), files, w.flags); err == nil {
			t.Error("it starts at another parallelism, and reads what cannot be read")
		}
		remove(t, copiesIn(t, roots)...)
		if _, err := weir.StartOn(t.Context(), w.job(2), files, w.flags); err == nil {
			t.Error("it starts without copies, and reads what cannot be read")
		}
		files.Clear()
		w.finish(2)
		w.onlyRecord()
		emptied(t, roots)
	})
}

// TestCopiesOfAChangelogAreDamaged: the first copy is damaged, at the next start the second, and so on. Each time the log says that one is not used,
// and what is committed is what would be without.
func TestCopiesOfAChangelogAreDamaged(t *testing.T) {
	eachCopiedLog(t, func(t *testing.T, w *world, _ *ifs.Faulty, roots []string) {
		spoils := []func([]byte) []byte{
			func(b []byte) []byte { b[len(b)/2] ^= 1; return b },
			func(b []byte) []byte { return b[:len(b)-1] },
		}
		for i := range 6 {
			w.logRun(2, 30+5*i)
			all := copiesOf(t, w.newest(), roots) // fewer each time: those that were not good are not made again
			change(spoils[i%2])(t, []string{all[i%len(all)].File})
			var log lines
			w.log = log.logger()
			w.upTo(2, 30+5*i, abort, weir.Aborted)
			if n := log.count(unused); n != 1 {
				t.Errorf("%d of %d is damaged, and the log says %d times that one is not used", i, len(all), n)
			}
		}
		w.finish(2)
		emptied(t, roots)
	})
}

// TestCopiesOfAChangelogOnAndOff: copies are read of what was written with a changelog and go on to be used without one, and the other way round.
func TestCopiesOfAChangelogOnAndOff(t *testing.T) {
	eachCopiedLog(t, func(t *testing.T, w *world, files *ifs.Faulty, roots []string) {
		for i := range 4 {
			w.set["state.changelog.enabled"] = fmt.Sprint(i%2 == 0)
			var log lines
			w.log = log.logger()
			w.logRun(2, 30+15*i)
			if i > 0 && (log.count(allRead) != 1 || log.count(unused) > 0) {
				t.Errorf("run %d: the log says:\n%s", i, log.text.String())
			}
			files.Clear()
			m, _ := w.copied(roots)
			unreadable(files, m)
		}
		files.Clear()
		w.finish(3)
		w.onlyRecord()
		emptied(t, roots)
	})
}

// TestCopiesOfAChangelogInRegions: one of two regions fails again and again and reads its copies; those of the other are still good when the process
// starts again after an abort, and none is left at the end.
func TestCopiesOfAChangelogInRegions(t *testing.T) {
	eachCopiedLog(t, func(t *testing.T, w *world, files *ifs.Faulty, roots []string) {
		var fail atomic.Bool
		w.in.poll = func(split, _ int) error {
			if fail.CompareAndSwap(true, false) {
				return errTest
			}
			return nil
		}
		other := &tape[reading]{batch: 7, splits: w.in.splits}
		out := memory.Collect[string]()
		w.build = func(j *weir.Job) {
			for name, at := range map[string]struct {
				in  source.Source[reading]
				out *memory.Collector[string]
			}{"a": {w.in, w.out}, "b": {other, out}} {
				keyed := weir.KeyBy(weir.EventTime(weir.From(j, "in "+name, at.in), reading.millis), func(r reading) int { return r.Key })
				weir.To(weir.Process(keyed, "sums "+name, &sums{}), "out "+name, at.out)
			}
		}
		w.wanted = func() []string { return nil }
		w.set["restart-strategy.type"], w.set["restart-strategy.fixed-delay.delay"] = "fixed-delay", "1 ms"
		w.set["restart-strategy.fixed-delay.attempts"] = "100"
		hold := func(position int) {
			for i := range w.in.splits {
				w.in.hold(i, position)
				other.hold(i, position)
			}
		}
		hold(30)
		var log lines
		w.log = log.logger()
		e := w.start(t.Context(), 2)
		w.checkpoints(e, 2)
		for i := range 3 {
			restarts := e.Progress().Restarts
			fail.Store(true)
			hold(40 + 10*i)
			until(t, e, "restart", func() bool { return e.Progress().Restarts > restarts })
			w.checkpoints(e, 2)
		}
		e.Abort()
		w.end(e, weir.Aborted)
		if log.count(unused) > 0 {
			t.Errorf("the log says:\n%s", log.text.String())
		}
		m, _ := w.copied(roots)
		unreadable(files, m)
		e = w.running(2, 70)
		files.Clear()
		for i := range w.in.splits {
			w.in.release(i)
			other.release(i)
		}
		w.end(e, weir.Finished)
		for _, records := range [][]string{w.out.Records(), out.Records()} {
			if n := len(records); n != 4*3*80+4*3 {
				t.Errorf("%d records", n)
			}
		}
		w.onlyRecord()
		emptied(t, roots)
	})
}

// TestCopiesOfAChangelogWithoutACheckpoint: what a process has left that was killed before its first checkpoint goes at the next start.
func TestCopiesOfAChangelogWithoutACheckpoint(t *testing.T) {
	w, _, roots := withCopies(t)
	w.set["state.changelog.enabled"], w.set["state.changelog.storage"] = "true", "filesystem"
	files := ifs.NewFaulty(w.fs, nil)
	files.Inject(ifs.Fault{Op: ifs.OpPut, Path: "_metadata", Times: ifs.Forever, Err: errTest})
	files.Inject(ifs.Fault{Op: ifs.OpCreate, Path: "_metadata*", Times: ifs.Forever, Err: errTest})
	fsys := w.fs
	w.fs = files
	w.set["execution.checkpointing.tolerable-failed-checkpoints"] = "1000"
	for i := range w.in.splits {
		w.in.hold(i, 40)
	}
	e := w.start(t.Context(), 2)
	until(t, e, "failed checkpoint", func() bool { return e.Progress().Checkpoint.Failed > 2 })
	e.Abort()
	w.end(e, weir.Aborted)
	before := copiesIn(t, roots)
	if len(before) == 0 {
		t.Fatal("nothing is left")
	}
	w.fs, w.byHand = fsys, true
	e = w.start(t.Context(), 2)
	until(t, e, fmt.Sprintf("end of all of %q", before), func() bool { return len(copiesIn(t, roots)) == 0 })
	e.Abort()
	w.end(e, weir.Aborted)
}
