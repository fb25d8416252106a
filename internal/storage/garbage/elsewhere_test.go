package garbage_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/protocol/line"
	"github.com/weirstream/weir/internal/protocol/snapshot"
	snapshots "github.com/weirstream/weir/internal/storage"
	"github.com/weirstream/weir/internal/storage/fs"
	"github.com/weirstream/weir/internal/storage/garbage"
	"github.com/weirstream/weir/internal/storage/linefile"
	"github.com/weirstream/weir/storage"
)

// ended is a store with a line that has ended: an old job and one with a checkpoint, whose state is in a file of its own, in one that is shared, and
// in a segment of a changelog that is kept apart.
type ended struct {
	*fs.Memory
	t        *testing.T
	old, job job.ID
	needed   []string // the files of state that the checkpoint names
}

const (
	inBucket = "store://bucket/checkpoints"
	logDir   = "store://fast/log"
)

func endedLine(t *testing.T, e snapshots.Entropy, change func(*line.Record)) *ended {
	w := &ended{Memory: fs.NewMemory(), t: t, old: job.NewID(), job: job.NewID()}
	r := line.Record{
		Line: linefile.NewID(), Name: "shop", Epoch: 1, Reserved: 100, Jobs: []line.Job{{ID: w.old, First: 1}, {ID: w.job, First: 51}},
		End: &line.End{State: line.Failed, Kept: true},
	}
	change(&r)
	f, err := linefile.Open(t.Context(), w, inBucket, "shop")
	w.check(err)
	w.check(f.Put(t.Context(), r))
	s, err := snapshots.NewFiles(snapshots.FilesOptions{FS: w, Dir: inBucket, Job: w.job, Entropy: e})
	w.check(err)
	at := snapshots.Location{ID: 60}
	log, err := s.InitLog(t.Context(), logDir)
	w.check(err)
	var lists []snapshot.List
	for i, out := range []*snapshots.StreamWriter{
		s.NewWriter(t.Context(), at, snapshot.Exclusive), s.NewWriter(t.Context(), at, snapshot.Shared), s.NewLogWriter(t.Context(), log),
	} {
		_, err := out.Write([]byte("state"))
		w.check(err)
		stream, err := out.Finish()
		w.check(err)
		lists = append(lists, snapshot.List{Name: fmt.Sprint("list", i), Stream: stream, Offsets: []int64{0}})
	}
	w.needed = w.Files()
	meta := &snapshot.Metadata{Job: w.job, JobName: "shop", Line: r.Line, Checkpoint: 60, Kind: snapshot.Checkpoint, Epoch: 1,
		Operators: []snapshot.OperatorState{{Parallelism: 1, MaxParallelism: 1, Subtasks: []*snapshot.OperatorSubtask{{Lists: lists}}}}}
	_, _, err = s.PublishMetadata(t.Context(), at, meta)
	w.check(err)
	return w
}

func (w *ended) check(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// put puts files, which are told as they are: {old} and {job} stand for ids, and * for a name as files of state have it.
func (w *ended) put(paths ...string) (names []string) {
	w.t.Helper()
	for _, p := range paths {
		p = strings.NewReplacer("{old}", w.old.String(), "{job}", w.job.String(), "*", stream).Replace(p)
		w.check(w.PutIfAbsent(w.t.Context(), p, []byte("1234567")))
		names = append(names, p)
	}
	return names
}

// collect deletes what is found, and sees that it is what is wanted.
func (w *ended) collect(files storage.FS, want ...string) {
	w.t.Helper()
	found, err := garbage.Search{FS: files, Dir: inBucket + "/", Now: time.Unix(0, 0)}.Find(w.t.Context())
	w.check(err)
	var got []string
	for _, i := range found.Items {
		got = append(got, i.Path)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		w.t.Errorf("found\n%q\nwant\n%q", got, want)
	}
	before := w.Files()
	w.check(found.Delete(w.t.Context()))
	if after := w.Files(); len(after) != len(before)-len(want) {
		w.t.Errorf("%d files of %d are left after %d were deleted", len(after), len(before), len(want))
	}
	for _, name := range w.needed {
		if !slices.Contains(w.Files(), name) {
			w.t.Errorf("%s is gone, which the checkpoint names", name)
		}
	}
}

// Segments in a place apart are found, if the record says that they are of jobs with their checkpoints here.
func TestLogs(t *testing.T) {
	here := func(r *line.Record) { r.AddLog(line.Log{Dir: logDir, Of: inBucket}) }
	t.Run("of killed processes", func(t *testing.T) {
		w := endedLine(t, snapshots.Entropy{}, here)
		lost := w.put(logDir+"/{job}/changelog/*", logDir+"/{old}/changelog/*")
		w.put(logDir+"/"+job.NewID().String()+"/changelog/*", logDir+"/{job}/changelog/notes.txt", logDir+"/{job}/*", logDir+"/*")
		w.collect(w, lost...)
	})
	t.Run("used by a job elsewhere", func(t *testing.T) {
		w := endedLine(t, snapshots.Entropy{}, here)
		w.put(logDir+"/{job}/changelog/*", logDir+"/{job}/changelog/_claimed")
		w.collect(w)
	})
	t.Run("of a copied directory", func(t *testing.T) {
		w := endedLine(t, snapshots.Entropy{}, func(r *line.Record) { r.AddLog(line.Log{Dir: logDir, Of: "store://original"}) })
		w.put(logDir + "/{job}/changelog/*")
		w.collect(w)
	})
	t.Run("that cannot be listed", func(t *testing.T) {
		w := endedLine(t, snapshots.Entropy{}, here)
		w.put(logDir + "/{job}/changelog/*")
		files := fs.NewFaulty(w.Memory, nil)
		files.Inject(fs.Fault{Op: fs.OpList, Path: logDir + "/*/changelog", Times: fs.Forever, Err: context.DeadlineExceeded})
		if _, err := (garbage.Search{FS: files, Dir: inBucket, Now: time.Unix(0, 0)}).Find(t.Context()); err == nil {
			t.Error("it was found out what nobody needs, without looking")
		}
	})
}

// onlyFS is a store that cannot find what is below a directory but by listing it.
type onlyFS struct{ storage.FS }

// State in random directories is found, if it is certain that it is in such a directory, and of a job of the line.
func TestSpread(t *testing.T) {
	t.Run("directories", func(t *testing.T) { testSpread(t, snapshots.EntropyBetween("store://bucket/", 4, "/checkpoints")) })
	t.Run("parts of names", func(t *testing.T) { testSpread(t, snapshots.EntropyBetween("store://bucket/check", 4, "points")) })
}

func testSpread(t *testing.T, e snapshots.Entropy) {
	before, length, after := e.Parts()
	spread := func(r *line.Record) { r.AddSpread(line.Spread{Before: before, Length: length, After: after}) }
	at := func(random, below string) string { return before + random + after + "/" + below }
	lost := []string{at("00ff", "{job}/chk-61/*"), at("00ff", "{job}/shared/*"), at("vvvv", "{old}/chk-3/*"), at("abcd", "{job}/chk-60/*")}
	t.Run("of killed processes", func(t *testing.T) {
		w := endedLine(t, e, spread)
		if len(w.needed) != 4 { // with the record
			t.Fatalf("there are %q", w.needed)
		}
		lost := w.put(lost...)
		w.put(at("00ff", job.NewID().String()+"/chk-1/*"), at("00fw", "{job}/chk-61/*"), at("00f", "{job}/chk-61/*"), before+"00ff/{job}/chk-61/*")
		w.collect(w, lost...)
	})
	t.Run("without a record of it", func(t *testing.T) {
		w := endedLine(t, e, func(*line.Record) {})
		w.put(lost...)
		w.collect(w)
	})
	t.Run("of a copied directory", func(t *testing.T) {
		w := endedLine(t, e, func(r *line.Record) {
			r.AddSpread(line.Spread{Before: "store://original/", Length: length, After: after})
		})
		w.put("store://original/00ff" + after + "/{job}/chk-61/*")
		w.collect(w)
	})
	t.Run("in directories that only look like it", func(t *testing.T) {
		w := endedLine(t, e, spread)
		w.put(at("back", "{job}/chk-59/*"), at("back", "{job}/chk-59/_metadata"))                        // a copy of a checkpoint
		w.put(at("copy", "{job}/chk-59/*"), at("copy", "shop.line"))                                     // of a directory of checkpoints
		w.put(at("mine", "{job}/chk-59/*"), at("mine", "{job}/notes.txt"), at("mine", "{job}/shared/*")) // or something else
		w.collect(w, w.put(lost[0])...)
	})
	t.Run("used by a job elsewhere", func(t *testing.T) {
		w := endedLine(t, e, spread)
		w.put(inBucket+"/{job}/shared/_claimed", at("00ff", "{job}/shared/*"))
		w.put(at("aaaa", "{old}/shared/*"), at("aaaa", "{old}/shared/_claimed")) // that knows of no entropy
		w.collect(w, w.put(at("aaaa", "{job}/chk-7/*"))...)
	})
	t.Run("in a store that cannot find it", func(t *testing.T) {
		w := endedLine(t, e, spread)
		w.put(lost...)
		w.collect(onlyFS{w})
	})
}
