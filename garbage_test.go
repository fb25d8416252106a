package weir_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/internal/storage/fs"
	"github.com/weirstream/weir/internal/storage/garbage"
	"github.com/weirstream/weir/storage"
)

// brittle is a store in memory that wants entropy in paths, and whose operations may fail.
type brittle struct {
	*fs.Faulty
	memory *fs.Memory
}

func (brittle) Entropy() (marker string, length int) { return "_entropy_", 4 }

func (b brittle) Walk(ctx context.Context, dir string, each func(path string, sizeBytes int64) error) error {
	return b.memory.Walk(ctx, dir, each)
}

var _ interface {
	storage.Spreader
	storage.Walker
} = brittle{}

// TestGarbageElsewhere ends a job in the middle of a checkpoint, so that it cannot delete anything any more, whose state is in random directories and
// whose changelog is apart. What nobody needs there is found and deleted, but not while the job runs; the job goes on, and leaves nothing.
func TestGarbageElsewhere(t *testing.T) {
	for _, changelog := range []string{"true", "false"} {
		t.Run("changelog="+changelog, func(t *testing.T) {
			w := newWorld(t, 2, 60)
			memory := fs.NewMemory()
			files := brittle{fs.NewFaulty(memory, nil), memory}
			w.fs, w.dir = files, "shelf://bucket/_entropy_/c"
			w.set["execution.checkpointing.data-inline-threshold"] = "0"
			w.set["execution.checkpointing.incremental"] = "true"
			w.set["state.changelog.enabled"] = changelog
			w.set["state.changelog.storage"] = "filesystem"
			w.set["state.changelog.periodic-materialize.interval"] = "20 ms"
			w.set["execution.checkpointing.tolerable-failed-checkpoints"] = "1000"
			w.set["weir.storage.retries"] = "0"
			w.set["dstl.dfs.base-path"] = "shelf://fast/log"
			e := w.running(2, 20)
			w.checkpoints(e, 2)
			search := garbage.Search{FS: files, Dir: "shelf://bucket/c", Now: time.Now()}
			if _, err := search.Find(t.Context()); !errors.As(err, new(*garbage.RunningError)) {
				t.Errorf("while the job runs: %v", err)
			}
			for _, op := range []fs.Op{fs.OpRemove, fs.OpRemoveAll, fs.OpPut, fs.OpSwap} {
				files.Inject(fs.Fault{Op: op, Times: fs.Forever, Err: errTest})
			}
			for i := range w.in.splits {
				w.in.hold(i, 40)
			}
			failed := e.Progress().Checkpoint.Failed
			until(t, e, "fail", func() bool { return e.Progress().Checkpoint.Failed > failed })
			e.Abort()
			w.end(e, weir.Aborted)
			files.Clear()

			search.TakeOver = true
			for round, want := range []bool{true, false} {
				found, err := search.Find(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				log, spread := 0, 0
				for _, i := range found.Items {
					switch {
					case strings.HasPrefix(i.Path, "shelf://fast/log/"):
						log++
					case !strings.HasPrefix(i.Path, "shelf://bucket/c/"):
						spread++
					}
				}
				if (spread > 0) != want || (log > 0) != (want && changelog == "true") {
					t.Errorf("round %d: %d files of logs and %d in random directories are found", round, log, spread)
				}
				if err := errors.Join(found.Delete(t.Context()), found.Close()); err != nil {
					t.Fatal(err)
				}
			}
			before := strings.Join(memory.Files(), "\n")
			w.finish(3)
			for _, name := range memory.Files() {
				if !strings.HasSuffix(name, ".line") && !strings.HasSuffix(name, ".lock") {
					t.Errorf("%s is left, was there %v", name, strings.Contains(before, name))
				}
			}
		})
	}
}
