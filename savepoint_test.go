package weir_test

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/checkpoint"
	"github.com/weirstream/weir/connector/memory"
	"github.com/weirstream/weir/internal/cluster/jobmaster"
	"github.com/weirstream/weir/internal/cluster/progress"
	"github.com/weirstream/weir/internal/storage"
	"github.com/weirstream/weir/internal/storage/fs"
	"github.com/weirstream/weir/sink"
	publicstorage "github.com/weirstream/weir/storage"
)

const savepoints = "/savepoints"

// running starts the job and waits until a checkpoint has completed after all splits were read up to a position.
func (w *world) running(parallelism, position int) *weir.Execution {
	w.t.Helper()
	return w.readUpTo(context.Background(), parallelism, position)
}

func (w *world) take(path string, err error) string {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
	if dir, name := splitPath(path); dir != savepoints || !savepointName(name) {
		w.t.Fatalf("savepoint at %s", path)
	}
	return path
}

func splitPath(p string) (dir, name string) { return path.Dir(p), path.Base(p) }

func savepointName(name string) bool {
	_, ok := storage.ParseSavepointName(name)
	return ok
}

// left returns what lies in the savepoint directory.
func (w *world) left() (names []string) {
	w.t.Helper()
	entries, err := w.fs.List(context.Background(), savepoints)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name)
	}
	return names
}

// move copies all files of a directory elsewhere and deletes it.
func (w *world) move(from, to string) {
	w.t.Helper()
	ctx := context.Background()
	entries, err := w.fs.List(ctx, from)
	if err != nil || len(entries) == 0 {
		w.t.Fatalf("nothing in %s: %v", from, err)
	}
	for _, e := range entries {
		r, err := w.fs.Open(ctx, from+"/"+e.Name)
		if err != nil {
			w.t.Fatal(err)
		}
		data := make([]byte, r.Size())
		if n, err := r.ReadAt(data, 0); n < len(data) {
			w.t.Fatal(err)
		}
		if err := errors.Join(r.Close(), w.fs.PutIfAbsent(ctx, to+"/"+e.Name, data)); err != nil {
			w.t.Fatal(err)
		}
	}
	if err := w.fs.RemoveAll(ctx, from); err != nil {
		w.t.Fatal(err)
	}
}

// upToNow returns what a run commits whose splits end at a position.
func (w *world) upToNow(position int) []string {
	short := &world{in: &tape[reading]{}}
	for _, s := range w.in.splits {
		short.in.splits = append(short.in.splits, s[:position])
	}
	return short.want()
}

// TestSavepoint shows a savepoint while checkpoints go on: nothing is committed by it, the line does not follow it, it outlives the job's
// checkpoints, and a copy of its folder is enough for another job to go on from it, at another parallelism, in either format, with state in
// files and inline.
func TestSavepoint(t *testing.T) {
	for _, test := range []struct {
		name    string
		options []weir.SavepointOption
		set     string
		storage checkpoint.StorageKind
	}{
		{"canonical", nil, "0", checkpoint.Filesystem},
		{"native", []weir.SavepointOption{weir.NativeFormat()}, "0", checkpoint.Filesystem},
		{"small", nil, "1 mb", checkpoint.Filesystem},
		{"jobmanager", nil, "0", checkpoint.JobManager},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, 4, 60)
			w.set["execution.checkpointing.data-inline-threshold"] = test.set
			w.options = []checkpoint.Option{checkpoint.Storage(test.storage)}
			e := w.running(2, 50)
			at := w.take(e.Savepoint(context.Background(), savepoints, test.options...))
			w.checkpoints(e, 1)
			for i := range w.in.splits {
				w.in.hold(i, 100)
			}
			w.checkpoints(e, 2)
			meta := load(t, w.fs, at)
			if want := strings.Replace(test.name, "small", "canonical", 1); !strings.HasPrefix(meta.What(), want) && test.storage == checkpoint.Filesystem {
				t.Errorf("it is a %s", meta.What())
			}
			e.Abort()
			w.end(e, weir.Aborted)
			w.finish(3) // from the newest checkpoint, whatever the savepoint

			// Another job, elsewhere, goes on from a copy.
			w.move(at, "/moved")
			w.dir, w.out = t.TempDir(), memory.Collect[string]()
			w.sink = w.out
			w.set["execution.state-recovery.path"] = "/moved"
			w.end(w.start(context.Background(), 3), weir.Finished)
			w.checkAfter(50)
		})
	}
}

// checkAfter compares what is committed with what a run commits that goes on from a savepoint at a position: sums go on from there, and
// what the savepoint held as open is whole.
func (w *world) checkAfter(position int) {
	w.t.Helper()
	before := w.sumsUpTo(position)
	want := slices.DeleteFunc(w.want(), func(s string) bool { return before[s] })
	got := slices.Sorted(slices.Values(w.out.Records()))
	// What was late is nothing of this test: windows that had fired before the savepoint do not fire again.
	fired := w.firedBefore(position)
	want = slices.DeleteFunc(want, func(s string) bool { return fired[s] })
	got = slices.DeleteFunc(got, func(s string) bool { return fired[s] })
	pending := map[string]bool{}
	for s := range before {
		pending[s] = true // prepared when the savepoint was taken, and committed with it
	}
	got = slices.DeleteFunc(got, func(s string) bool { return pending[s] })
	equal(w.t, got, want)
}

func (w *world) sumsUpTo(position int) map[string]bool {
	before := map[string]bool{}
	for _, s := range w.upToNow(position) {
		if strings.Contains(s, " seq ") {
			before[s] = true
		}
	}
	return before
}

// firedBefore returns the results of windows that a watermark may have closed before the splits were read up to a position.
func (w *world) firedBefore(position int) map[string]bool {
	fired := map[string]bool{}
	for _, s := range w.want() {
		var key, start, n int
		if c, _ := fmt.Sscanf(s, "key %d window %d: %d", &key, &start, &n); c == 3 && int64(start+10) <= (reading{Seq: position / 3}).millis() {
			fired[s] = true
		}
	}
	return fired
}

// TestSavepointCommitsNothing shows that what is read before a savepoint is not committed because of it, but with the next checkpoint.
func TestSavepointCommitsNothing(t *testing.T) {
	w := newWorld(t, 2, 40)
	w.options = []checkpoint.Option{checkpoint.Every(time.Hour), checkpoint.SavepointDir(savepoints)}
	for i := range w.in.splits {
		w.in.hold(i, 30)
	}
	e := w.start(context.Background(), 2)
	w.read(e, 30)
	w.take(e.Savepoint(context.Background(), ""))
	if n := len(w.out.Records()); n != 0 {
		t.Errorf("%d records are committed", n)
	}
	info, err := e.Checkpoint(context.Background(), weir.FullCheckpoint)
	if err != nil || !strings.HasPrefix(info.Path, w.dir) {
		t.Fatalf("%+v, %v", info, err)
	}
	w.committed(1)
	e.Abort()
	w.end(e, weir.Aborted)
	w.finish(1)
}

// read waits until all splits are read up to a position, or as far as they are held.
func (w *world) read(e *weir.Execution, position int) {
	w.t.Helper()
	n := int64(0)
	for i := range w.in.splits {
		n += int64(min(position, w.in.limit(i)))
	}
	until(w.t, e, "records", func() bool { return e.Progress().Steps[0].Out >= n && e.Progress().Phase == progress.Running })
}

// committed waits until so many records are committed.
func (w *world) committed(n int) {
	w.t.Helper()
	for deadline := time.Now().Add(patience); len(w.out.Records()) < n; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			w.t.Fatalf("%d records are committed, want %d", len(w.out.Records()), n)
		}
	}
}

// TestStopWithSavepoint shows a stop without drain: all that was read is committed, windows stay open, the checkpoints go, the savepoint stays,
// and the same command goes on from it as if nothing had been, also a second time, and if the process dies before its next checkpoint.
func TestStopWithSavepoint(t *testing.T) {
	for _, mode := range []checkpoint.Option{checkpoint.ExactlyOnce(), checkpoint.Every(time.Hour)} {
		w := newWorld(t, 4, 60)
		w.options = []checkpoint.Option{mode}
		w.set["execution.checkpointing.data-inline-threshold"] = "0"
		for i := range w.in.splits {
			w.in.hold(i, 50)
		}
		e := w.start(context.Background(), 2)
		w.read(e, 50)
		at := w.take(e.StopWithSavepoint(context.Background(), savepoints))
		r, _ := w.end(e, weir.Finished)
		if r.Savepoint != at || len(w.metadata()) != 0 {
			t.Errorf("%+v, left %v", r, w.metadata())
		}
		for _, s := range w.out.Records() {
			if strings.Contains(s, "in all") || strings.Contains(s, "seen") {
				t.Fatalf("%q was committed: nothing may come to its end", s)
			}
		}
		for s := range w.sumsUpTo(50) {
			if !slices.Contains(w.out.Records(), s) {
				t.Fatalf("%q is not committed", s)
			}
		}
		for range 2 { // dies before its first checkpoint
			w.options = []checkpoint.Option{checkpoint.Every(time.Hour)}
			e = w.start(context.Background(), 3)
			e.Abort()
			w.end(e, weir.Aborted)
		}
		w.options = nil
		e = w.running(1, 90)
		w.take(e.StopWithSavepoint(context.Background(), savepoints, weir.NativeFormat()))
		w.end(e, weir.Finished)
		if n := len(w.left()); n != 2 {
			t.Errorf("%d savepoints", n)
		}
		w.finish(3)
		r, _ = w.end(w.start(context.Background(), 1), weir.AlreadyFinished)
		contains(t, errors.New(r.Text), "has finished already")
	}
}

// TestDrain shows a stop with drain: everything comes to its end, as if the input ended where it was read to, and the same command says so.
func TestDrain(t *testing.T) {
	w := newWorld(t, 4, 60)
	e := w.running(2, 50)
	at := w.take(e.StopWithSavepoint(context.Background(), savepoints, weir.Drain()))
	w.end(e, weir.Finished)
	equal(t, slices.Sorted(slices.Values(w.out.Records())), w.upToNow(50))
	r, _ := w.end(w.start(context.Background(), 1), weir.AlreadyFinished)
	contains(t, errors.New(r.Text), "was drained", at)

	// To start from it all the same does nothing but finish.
	w.set["execution.state-recovery.path"] = at
	w.end(w.start(context.Background(), 1), weir.Finished)
	equal(t, slices.Sorted(slices.Values(w.out.Records())), w.upToNow(50))
}

// TestWithoutInterval shows that savepoints, stops and checkpoints by hand need no periodic checkpoints, and are exactly-once without.
func TestWithoutInterval(t *testing.T) {
	for _, options := range [][]weir.StopOption{nil, {weir.Drain()}} {
		w := newWorld(t, 3, 40)
		w.byHand = true
		for i := range w.in.splits {
			w.in.hold(i, 30)
		}
		e := w.start(context.Background(), 2)
		w.read(e, 30)
		if _, err := e.Checkpoint(context.Background(), weir.ConfiguredCheckpoint); err != nil {
			t.Fatal(err)
		}
		w.committed(3 * 15)
		for i := range w.in.splits {
			w.in.hold(i, 60)
		}
		w.read(e, 60)
		w.take(e.Savepoint(context.Background(), savepoints))
		w.take(e.StopWithSavepoint(context.Background(), savepoints, options...))
		w.end(e, weir.Finished)
		if options != nil {
			equal(t, slices.Sorted(slices.Values(w.out.Records())), w.upToNow(60))
			continue
		}
		w.finish(1)
	}
}

// TestStopAtTheEnd shows a stop of a job some of whose subtasks have come to the end of their data, or all.
func TestStopAtTheEnd(t *testing.T) {
	for _, held := range []int{0, 1, 2} {
		w := newWorld(t, 2, 20)
		w.in.together = false
		for i := range held {
			w.in.hold(i, 30)
		}
		slow := newSlowSink(w.out) // so that the last checkpoint is not committed, and the job does not end
		w.sink = slow
		e := w.start(context.Background(), 2)
		w.read(e, 60)
		go func() {
			for !e.Progress().Steps[0].Source {
			}
			time.Sleep(20 * time.Millisecond) // any moment will do
			close(slow.release)
		}()
		_, err := e.StopWithSavepoint(context.Background(), savepoints)
		var ended *weir.EndedError
		if held > 0 && err != nil || err != nil && (!errors.As(err, &ended) || ended.Result.Status != weir.Finished) {
			t.Fatal(err) // only of the job that is all at its end may the stop come too late
		}
		if r, _ := w.end(e, weir.Finished); (err == nil) != (r.Savepoint != "") {
			t.Errorf("the stop says %v, and the job %+v", err, r)
		}
		w.sink = w.out
		for i := range held {
			w.in.release(i)
		}
		if held == 0 {
			if r, _ := w.end(w.start(context.Background(), 1), map[bool]weir.Status{true: weir.Finished, false: weir.AlreadyFinished}[err == nil]); r.Text == "" && err != nil {
				t.Error("nothing is said")
			}
			w.check()
			continue
		}
		w.finish(1)
	}
}

// TestCancelWithSavepoint shows that the savepoint is taken and the job cancelled, and that the line does not follow the savepoint.
func TestCancelWithSavepoint(t *testing.T) {
	w := newWorld(t, 2, 40)
	e := w.running(2, 50)
	at := w.take(e.CancelWithSavepoint(context.Background(), savepoints))
	if r, _ := w.end(e, weir.Canceled); r.Savepoint != at {
		t.Errorf("%+v", r)
	}
	_, err := weir.StartOn(context.Background(), w.job(1), w.fs, w.flags)
	contains(t, err, "was cancelled", "with savepoint "+at, "-s "+at, "-s "+w.dir)
	w.set["execution.state-recovery.path"] = at
	w.finish(1)
}

// TestSavepointRefused shows what a client is told whose savepoint cannot be taken.
func TestSavepointRefused(t *testing.T) {
	w := newWorld(t, 2, 40)
	e := w.running(2, 50)
	ctx := context.Background()
	_, err := e.Savepoint(ctx, "")
	if !errors.Is(err, weir.ErrNoSavepointDir) {
		t.Errorf("without a directory: %v", err)
	}
	contains(t, err, "execution.checkpointing.savepoint-dir")
	_, err = e.StopWithSavepoint(ctx, "s3://bucket/savepoints")
	contains(t, err, "s3", "import _ \"github.com/weirstream/weir/storage/s3\"")
	e.Abort()
	w.end(e, weir.Aborted)
	_, err = e.StopWithSavepoint(ctx, savepoints)
	if ended := (*weir.EndedError)(nil); !errors.Is(err, weir.ErrNotRunning) || !errors.As(err, &ended) || ended.Result.Status != weir.Aborted {
		t.Errorf("after the end: %v", err)
	}
	contains(t, err, "the job has ended as ABORTED")
	w.finish(1)
}

// TestSavepointFaults shows what a file system that fails does to a savepoint, in each phase: the client is told, nothing is left behind, the
// job goes on, and it takes another one later. A stop that fails does so too; if tasks had stopped already the job restarts.
func TestSavepointFaults(t *testing.T) {
	for name, fault := range map[string]fs.Fault{
		"location":       {Op: fs.OpMakeDir, Path: savepoints + "/*"},
		"stream":         {Op: fs.OpCreate, Path: savepoints + "/*/*"},
		"write":          {Op: fs.OpWrite, Path: savepoints + "/*/*"},
		"commit":         {Op: fs.OpCommit, Path: savepoints + "/*/*"},
		"metadata":       {Op: fs.OpPut, Path: savepoints + "/*/_metadata"},
		"metadata again": {Op: fs.OpOpen, Path: savepoints + "/*/_metadata"},
	} {
		for _, stop := range []string{"", "stop", "drain"} {
			t.Run(strings.TrimSuffix(name+", "+stop, ", "), func(t *testing.T) {
				w := newWorld(t, 3, 60)
				w.set["execution.checkpointing.data-inline-threshold"] = "0" // so that there are files
				w.set["restart-strategy.type"], w.set["restart-strategy.fixed-delay.delay"] = "fixed-delay", "1 ms"
				w.options = []checkpoint.Option{checkpoint.TolerateFailures(1000), checkpoint.Every(10 * time.Millisecond)}
				faulty := fs.NewFaulty(w.fs, nil)
				w.fs = faulty
				e := w.running(2, 50)
				fault.Err, fault.Times = syscall.ENOSPC, fs.Forever
				faulty.Inject(fault)
				if name == "metadata again" { // nobody can see that it is there
					faulty.Inject(fs.Fault{Op: fs.OpPut, Path: savepoints + "/*/_metadata", Times: fs.Forever, Late: true, Err: errTest})
				}
				var err error
				switch stop {
				case "":
					_, err = e.Savepoint(context.Background(), savepoints)
				case "stop":
					_, err = e.StopWithSavepoint(context.Background(), savepoints)
				case "drain":
					_, err = e.StopWithSavepoint(context.Background(), savepoints, weir.Drain())
				}
				var failed *weir.SnapshotError
				if !errors.As(err, &failed) {
					t.Fatalf("error %v", err)
				}
				faulty.Clear()
				for i := range w.in.splits {
					w.in.hold(i, 100)
				}
				w.checkpoints(e, 3)
				if told := stop != "" && name != "location"; (e.Progress().Restarts > 0) != told {
					t.Errorf("%d restarts", e.Progress().Restarts)
				}
				w.nothingLeft()
				w.take(e.StopWithSavepoint(context.Background(), savepoints))
				w.end(e, weir.Finished)
				w.finish(1)
			})
		}
	}
}

// nothingLeft waits until nothing lies in the savepoint directory: what failed is deleted beside the job.
func (w *world) nothingLeft() {
	w.t.Helper()
	for deadline := time.Now().Add(patience); len(w.left()) > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			w.t.Fatalf("%v is left", w.left())
		}
	}
}

// TestStopIsRecorded shows a stop whose savepoint is complete but which the record of the line cannot be made to follow, as far as anybody can
// tell: nothing was committed, so the job goes on from its last checkpoint, and the savepoint is gone.
func TestStopIsRecorded(t *testing.T) {
	for name, late := range map[string]bool{"not written": false, "answer lost": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 3, 60)
			w.set["restart-strategy.type"], w.set["restart-strategy.fixed-delay.delay"] = "fixed-delay", "1 ms"
			w.set["restart-strategy.fixed-delay.attempts"] = "1000"
			faulty := fs.NewFaulty(w.fs, nil)
			w.fs = faulty
			e := w.running(2, 50)
			// The two attempts, the one to take it back, and another before the restart.
			faulty.Inject(fs.Fault{Op: fs.OpSwap, Times: 4, Late: late, Err: errTest})
			faulty.Inject(fs.Fault{Op: fs.OpOpen, Path: "*.line", Times: 4, Err: errTest})
			_, err := e.StopWithSavepoint(context.Background(), savepoints)
			contains(t, err, errTest.Error())
			w.checkpoints(e, 2)
			w.nothingLeft()
			faulty.Clear()
			e.Abort()
			w.end(e, weir.Aborted)
			w.finish(2)
		})
	}
}

// TestLostAnswerOfStop shows a stop all of whose writes were done although an error was reported: it stops.
func TestLostAnswerOfStop(t *testing.T) {
	w := newWorld(t, 3, 60)
	faulty := fs.NewFaulty(w.fs, nil)
	w.fs = faulty
	e := w.running(2, 50)
	faulty.Inject(fs.Fault{Op: fs.OpMakeDir, Path: savepoints + "/*", Late: true, Err: errTest})
	faulty.Inject(fs.Fault{Op: fs.OpPut, Path: savepoints + "/*/_metadata", Late: true, Err: errTest})
	faulty.Inject(fs.Fault{Op: fs.OpSwap, Late: true, Err: errTest})
	w.take(e.StopWithSavepoint(context.Background(), savepoints))
	w.end(e, weir.Finished)
	w.finish(1)
}

// failingSink fails in one of its calls once it is told to.
type failingSink struct {
	hindered
	prepare, commit atomic.Bool
}

func newFailingSink(c *memory.Collector[string]) *failingSink {
	s := &failingSink{}
	s.hindered = hindered{TwoPhase: c, beforeCommit: func(context.Context) error {
		if s.commit.CompareAndSwap(true, false) {
			return errTest
		}
		return nil
	}}
	return s
}

func (s *failingSink) Writer(ctx context.Context, env sink.WriterEnv, restored [][]byte) (sink.Writer[string], error) {
	w, err := s.TwoPhase.Writer(ctx, env, restored)
	if err != nil {
		return nil, err
	}
	return &failingWriter{w.(sink.TwoPhaseWriter[string]), s}, nil
}

type failingWriter struct {
	sink.TwoPhaseWriter[string]
	sink *failingSink
}

func (w *failingWriter) Prepare(ctx context.Context, id int64, final bool) ([][]byte, error) {
	if w.sink.prepare.CompareAndSwap(true, false) {
		return nil, errTest
	}
	return w.TwoPhaseWriter.Prepare(ctx, id, final)
}

// TestTaskFailsInStop shows a task that fails while it takes its part of the savepoint to stop with: the job restarts and goes on.
func TestTaskFailsInStop(t *testing.T) {
	for _, options := range [][]weir.StopOption{nil, {weir.Drain()}} {
		w := newWorld(t, 3, 60)
		w.set["restart-strategy.type"], w.set["restart-strategy.fixed-delay.delay"] = "fixed-delay", "1 ms"
		w.options = []checkpoint.Option{checkpoint.Every(50 * time.Millisecond)}
		failing := newFailingSink(w.out)
		w.sink = failing
		e := w.running(2, 50)
		failing.prepare.Store(true)
		_, err := e.StopWithSavepoint(context.Background(), savepoints, options...)
		if err == nil && e.Progress().Restarts == 0 {
			t.Error("it has stopped")
		}
		if err == nil { // a periodic checkpoint has failed in its stead
			w.end(e, weir.Finished)
		} else {
			w.checkpoints(e, 2)
			w.nothingLeft()
			e.Abort()
			w.end(e, weir.Aborted)
		}
		w.finish(2)
	}
}

// TestFailAfterStop shows a job that fails to commit once the savepoint to stop with is complete: it fails without a restart, the error names
// the savepoint, and the next start goes on from it and commits the rest. Nothing is lost or doubled.
func TestFailAfterStop(t *testing.T) {
	for _, retention := range []string{"NO_EXTERNALIZED_CHECKPOINTS", "RETAIN_ON_CANCELLATION"} {
		w := newWorld(t, 3, 60)
		w.set["restart-strategy.type"], w.set["restart-strategy.fixed-delay.attempts"] = "fixed-delay", "1000"
		w.set["execution.checkpointing.externalized-checkpoint-retention"] = retention
		w.options = []checkpoint.Option{checkpoint.Every(time.Hour)}
		failing := newFailingSink(w.out)
		w.sink = failing
		for i := range w.in.splits {
			w.in.hold(i, 50)
		}
		e := w.start(context.Background(), 2)
		w.read(e, 50)
		failing.commit.Store(true)
		at, err := e.StopWithSavepoint(context.Background(), savepoints)
		var stop *weir.StopError
		if !errors.As(err, &stop) || stop.Savepoint != at || !errors.Is(err, errTest) {
			t.Fatalf("error %v", err)
		}
		r, err := w.end(e, weir.Failed)
		contains(t, err, at, errTest.Error())
		if r.Savepoint != at || e.Progress().Restarts != 0 {
			t.Errorf("%+v, %d restarts", r, e.Progress().Restarts)
		}
		w.options = nil
		w.finish(1)
	}
}

// TestEndedAfterStop shows a job that is cancelled or ended at once when the savepoint to stop with is complete: the client is told, and
// what was not committed is committed by a start from the savepoint.
func TestEndedAfterStop(t *testing.T) {
	for _, status := range []weir.Status{weir.Canceled, weir.Aborted} {
		w := newWorld(t, 3, 60)
		w.options = []checkpoint.Option{checkpoint.Every(time.Hour)}
		slow := newSlowSink(w.out)
		w.sink = slow
		for i := range w.in.splits {
			w.in.hold(i, 50)
		}
		e := w.start(context.Background(), 2)
		w.read(e, 50)
		go func() {
			<-slow.entered
			map[weir.Status]func(){weir.Canceled: e.Cancel, weir.Aborted: e.Abort}[status]()
		}()
		at, err := e.StopWithSavepoint(context.Background(), savepoints)
		var stop *weir.StopError
		if !errors.As(err, &stop) || stop.Status != status {
			t.Fatalf("error %v", err)
		}
		w.end(e, status)
		w.sink, w.options = w.out, nil
		if status == weir.Canceled {
			_, err := weir.StartOn(context.Background(), w.job(1), w.fs, w.flags)
			contains(t, err, "was cancelled", "-s "+at)
			w.set["execution.state-recovery.path"] = at
		}
		w.finish(1)
	}
}

// TestSuspendWhileStopping shows that a process that is told to stop while it stops with a savepoint does the latter.
func TestSuspendWhileStopping(t *testing.T) {
	w := newWorld(t, 2, 40)
	slow := newSlowSink(w.out)
	w.sink = slow
	w.options = []checkpoint.Option{checkpoint.Every(time.Hour)}
	ctx, cancel := context.WithCancel(context.Background())
	w.in.hold(0, 30)
	w.in.hold(1, 30)
	e := w.start(ctx, 2)
	w.read(e, 30)
	go func() {
		<-slow.entered
		cancel()
		close(slow.release)
	}()
	w.take(e.StopWithSavepoint(context.Background(), savepoints))
	w.end(e, weir.Finished)
	w.sink, w.options = w.out, nil
	w.finish(1)
}

// heldFS holds up whoever makes a file in a directory of checkpoints, once it is told to.
type heldFS struct {
	publicstorage.FS
	on      atomic.Bool
	waiting chan struct{} // closed when the first waits
	release chan struct{}
	first   sync.Once
}

func (h *heldFS) Create(ctx context.Context, path string) (publicstorage.Writer, error) {
	if h.on.Load() && strings.Contains(path, "/chk-") {
		h.first.Do(func() { close(h.waiting) })
		<-h.release
	}
	return h.FS.Create(ctx, path)
}

// TestSavepointBesideCheckpoint shows a savepoint that is asked for while the state of a checkpoint is still being written: both complete, and
// what the savepoint holds is whole.
func TestSavepointBesideCheckpoint(t *testing.T) {
	w := newWorld(t, 3, 60)
	held := &heldFS{FS: w.fs, waiting: make(chan struct{}), release: make(chan struct{})}
	w.fs = held
	w.set["execution.checkpointing.data-inline-threshold"] = "0"
	w.options = []checkpoint.Option{checkpoint.Every(time.Hour)}
	for i := range w.in.splits {
		w.in.hold(i, 50)
	}
	e := w.start(context.Background(), 2)
	w.read(e, 50)
	held.on.Store(true)
	first := make(chan error, 1)
	go func() {
		_, err := e.Checkpoint(context.Background(), weir.ConfiguredCheckpoint)
		first <- err
	}()
	<-held.waiting
	for i := range w.in.splits {
		w.in.hold(i, 60)
	}
	var at string
	second := make(chan error, 1)
	go func() {
		var err error
		at, err = e.StopWithSavepoint(context.Background(), savepoints)
		second <- err
	}()
	time.Sleep(10 * time.Millisecond) // so that it is on its way, most of the time
	close(held.release)
	<-first // it has completed, or was given up for the stop
	if err := <-second; err != nil {
		t.Fatal(err)
	}
	w.end(e, weir.Finished)
	if err := verify(w.fs, at); err != nil {
		t.Fatal(err)
	}
	held.on.Store(false)
	w.options = nil
	w.finish(1)
}

// TestSavepointsAtOnce shows several savepoints and checkpoints that are asked for at once: all come about.
func TestSavepointsAtOnce(t *testing.T) {
	w := newWorld(t, 3, 60)
	w.set["execution.checkpointing.data-inline-threshold"] = "0"
	e := w.running(2, 50)
	outcomes := make(chan error)
	const n = 6
	for i := range n {
		go func() {
			if i%3 == 2 {
				_, err := e.Checkpoint(context.Background(), weir.FullCheckpoint)
				outcomes <- err
				return
			}
			_, err := e.Savepoint(context.Background(), savepoints)
			outcomes <- err
		}()
	}
	for range n {
		if err := <-outcomes; err != nil {
			t.Error(err)
		}
	}
	if got := len(w.left()); got != 4 {
		t.Errorf("%d savepoints", got)
	}
	w.take(e.StopWithSavepoint(context.Background(), savepoints))
	w.end(e, weir.Finished)
	w.finish(1)
}

// TestStopStories shows that nothing is lost or doubled when savepoints are taken and the job is stopped with one, again and again, while tasks,
// checkpoints, the storage and processes fail; and that every savepoint that came about is whole.
func TestStopStories(t *testing.T) {
	stories(t, 150, func(t *testing.T, seed uint64) {
		s := newStory(t, seed)
		asks := 1 + int(seed%5)
		var taken []string
		s.disturb = func(e *weir.Execution, turn int) {
			if asks == 0 || s.rng.IntN(120) != 0 {
				return
			}
			asks--
			kinds := []jobmaster.RequestKind{jobmaster.StopWithSavepoint, jobmaster.StopWithSavepoint, jobmaster.Savepoint, jobmaster.ConfiguredCheckpoint}
			r := jobmaster.NewRequest(kinds[s.rng.IntN(len(kinds))], savepoints)
			r.Native = s.rng.IntN(2) == 0
			if s.trouble > 0 && s.rng.IntN(3) == 0 {
				s.trouble--
				f := fs.Fault{Op: fs.OpSwap, Times: 1 + s.rng.IntN(3), Late: s.rng.IntN(2) == 0, Err: errTest}
				s.note("%d times swap fails, late %v", f.Times, f.Late)
				s.faulty.Inject(f)
			}
			s.note("%s is asked for at %d", r.Kind, turn)
			weir.Ask(e, r, func(info jobmaster.SnapshotInfo, err error) {
				s.note("%s: %s, %v", r.Kind, path.Dir(info.Path), err)
				if err == nil && r.Kind != jobmaster.ConfiguredCheckpoint {
					taken = append(taken, info.Path)
				}
			})
		}
		s.tell(s.check)
		for _, at := range taken {
			if err := verify(s.fs, at); err != nil {
				t.Error(err)
			}
		}
	})
}
