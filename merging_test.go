package weir_test

import (
	"context"
	"maps"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/internal/protocol/snapshot"
	"github.com/weirstream/weir/internal/storage/fs"
	"github.com/weirstream/weir/storage"
)

// unsynced is a file system whose writers cannot be synced, as a store of objects.
type unsynced struct{ *fs.Memory }

func (u unsynced) Create(ctx context.Context, path string) (storage.Writer, error) {
	w, err := u.Memory.Create(ctx, path)
	if err != nil {
		return nil, err
	}
	return struct{ storage.Writer }{w}, nil
}

func (w *world) merge(options map[string]string) {
	w.set["execution.checkpointing.data-inline-threshold"] = "0"
	w.set["execution.checkpointing.file-merging.enabled"] = "true"
	for k, v := range options {
		w.set["execution.checkpointing.file-merging."+k] = v
	}
}

// stateFiles returns how many streams with bytes the newest checkpoint has in files, in how many files, and in which kinds of directories.
func (w *world) stateFiles(checkpoint string) (streams int, files, kinds map[string]bool) {
	w.t.Helper()
	meta := load(w.t, w.fs, checkpoint)
	files, kinds = map[string]bool{}, map[string]bool{}
	meta.EachStream(func(s *snapshot.Stream) {
		if s.Path != "" {
			streams++
			files[s.Path] = true
			kinds[strings.SplitN(path.Base(filepath.Dir(s.Path)), "_", 2)[0]] = true
		}
	})
	return streams, files, kinds
}

// TestMergedFiles shows jobs whose streams of state share files, in file systems that can be synced and in one that cannot, with all the options:
// checkpoints have fewer files than streams, are gone on from at another parallelism by a job that merges files and by one that does not,
// and leave nothing behind.
func TestMergedFiles(t *testing.T) {
	for name, c := range map[string]struct {
		fs      storage.FS
		options map[string]string
		own     bool // each subtask has files of its own
	}{
		"of one checkpoint":  {fs.NewMemory(), nil, false},
		"across checkpoints": {fs.NewMemory(), map[string]string{"across-checkpoint-boundary": "true", "max-file-size": "3 kb"}, false},
		"waited for":         {fs.NewMemory(), map[string]string{"pool-blocking": "true", "max-subtasks-per-file": "100"}, false},
		"without limit":      {fs.NewMemory(), map[string]string{"across-checkpoint-boundary": "true", "max-space-amplification": "0"}, false},
		"objects":            {unsynced{fs.NewMemory()}, map[string]string{"pool-blocking": "true"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 4, 60)
			w.fs = c.fs
			w.merge(c.options)
			merged := maps.Clone(w.set)
			first := w.upTo(3, 30, func(_ *weir.Execution, cancel func()) { cancel() }, weir.Suspended).Checkpoint
			streams, files, kinds := w.stateFiles(first)
			if len(files) >= streams || len(kinds) != 1 || !kinds["process"] {
				t.Errorf("%d streams are in %d files, in directories of kind %v", streams, len(files), kinds)
			}
			if c.options["pool-blocking"] != "" && !c.own && len(files) != 1 {
				t.Errorf("%d files, want 1 for so few subtasks", len(files))
			}
			w.set["execution.checkpointing.file-merging.enabled"] = "false"
			second := w.upTo(2, 40, func(_ *weir.Execution, cancel func()) { cancel() }, weir.Suspended).Checkpoint
			if _, _, kinds := w.stateFiles(second); kinds["process"] {
				t.Error("a job that does not merge files refers to merged ones")
			}
			w.set = merged
			w.upTo(1, 50, func(e *weir.Execution, _ func()) { e.Abort() }, weir.Aborted) // as after a kill, what it wrote stays
			w.finish(2)
			w.onlyRecord()
		})
	}
}

// TestMergedFilesWhileRescaled shows merged files of a job that is rescaled while it runs and fails now and then.
func TestMergedFilesWhileRescaled(t *testing.T) {
	w, e := rescalable(t, 1)
	e.Abort()
	w.end(e, weir.Aborted)
	w.merge(map[string]string{"across-checkpoint-boundary": "true"})
	w.set["execution.checkpointing.num-retained"] = "3"
	e = w.start(context.Background(), 1)
	w.checkpoints(e, 1)
	for i, p := range []int{3, 1, 3, 2} {
		if err := e.Rescale(context.Background(), "in", p); err != nil {
			t.Fatal(err)
		}
		for s := range w.in.splits {
			w.in.hold(s, 51+i)
		}
		w.checkpoints(e, 1)
	}
	for s := range w.in.splits {
		w.in.release(s)
	}
	w.end(e, weir.Finished)
	w.check()
	w.onlyRecord()
}

// TestMergedFilesFallBack shows that a job runs, and says so, where its files cannot be merged.
func TestMergedFilesFallBack(t *testing.T) {
	w := newWorld(t, 2, 60)
	faulty := fs.NewFaulty(w.fs, nil)
	faulty.Inject(fs.Fault{Op: fs.OpMakeDir, Path: "process_*", Times: fs.Forever, Err: errTest})
	w.fs = faulty
	w.merge(nil)
	r := w.upTo(2, 30, func(_ *weir.Execution, cancel func()) { cancel() }, weir.Suspended)
	if streams, files, _ := w.stateFiles(r.Checkpoint); streams != len(files) {
		t.Errorf("%d streams in %d files", streams, len(files))
	}
	w.finish(2)
	w.onlyRecord()
}

// onlyRecord checks that a job that has finished has left no file of any checkpoint.
func (w *world) onlyRecord() {
	w.t.Helper()
	for _, name := range w.files(w.dir) {
		if !strings.HasSuffix(name, ".line") {
			w.t.Errorf("%s is left", name)
		}
	}
}
