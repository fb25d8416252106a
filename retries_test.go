package weir_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/checkpoint"
	"github.com/weirstream/weir/internal/storage/fs"
)

var errLost = errors.New("the connection was lost")

// withFaults is a world whose files may fail, with checkpoints by hand.
func withFaults(t *testing.T, backend string) (*world, *fs.Faulty) {
	w := newWorld(t, 1, 60)
	faulty := fs.NewFaulty(w.fs, nil)
	w.fs, w.byHand = faulty, true
	w.options = []checkpoint.Option{checkpoint.TolerateFailures(100)}
	w.set["execution.checkpointing.data-inline-threshold"] = "0"
	w.set["weir.storage.retry-backoff"] = "1 ms"
	w.set["state.backend.type"] = backend
	w.set["state.backend.pebble.localdir"] = filepath.Join(t.TempDir(), "state")
	w.in.hold(0, 50)
	return w, faulty
}

// TestFailuresThatPass: whatever a checkpoint does with its directory fails once. The checkpoint completes, none has failed, the job goes on from
// it, and in the end there is no file that nobody knows. So it is when no state is held in memory to be written anew.
func TestFailuresThatPass(t *testing.T) {
	for _, c := range []struct{ backend, held string }{{"hashmap", "8 mb"}, {"rocksdb", "8 mb"}, {"hashmap", "0 b"}} {
		for _, fault := range []fs.Fault{
			{Op: fs.OpMakeDir, Path: "chk-*"}, {Op: fs.OpCreate}, {Op: fs.OpWrite}, {Op: fs.OpWrite, Nth: 3, Times: 2}, {Op: fs.OpCommit}, {Op: fs.OpCommit, Late: true},
			{Op: fs.OpPut, Path: "_metadata"}, {Op: fs.OpPut, Path: "_metadata", Late: true, Times: 2},
		} {
			t.Run(fmt.Sprintf("%s, %s held/%s nth=%d late=%v", c.backend, c.held, fault.Op, fault.Nth, fault.Late), func(t *testing.T) {
				t.Parallel()
				w, faulty := withFaults(t, c.backend)
				w.set["weir.storage.retry-memory"] = c.held
				e := w.start(context.Background(), 2)
				w.read(e, 50)
				fault.Err = errLost
				faulty.Inject(fault)
				info, err := e.Checkpoint(context.Background(), weir.ConfiguredCheckpoint)
				if err != nil {
					t.Fatal(err)
				}
				if c := e.Progress().Checkpoint; c.Failed != 0 || c.Completed != 1 {
					t.Errorf("%d checkpoints have failed, %d are complete", c.Failed, c.Completed)
				}
				if streams, files, _ := w.stateFiles(info.Path); streams == 0 || len(files)+1 != len(w.files(info.Path)) {
					t.Errorf("the checkpoint refers to %d files, and there are %q", len(files), w.files(info.Path))
				}
				e.Abort()
				w.end(e, weir.Aborted)
				w.finish(1)
			})
		}
	}
}

// TestFailuresThatStay: after as many attempts as there may be one checkpoint has failed, and says what with. Without retries it fails at once.
func TestFailuresThatStay(t *testing.T) {
	for _, retries := range []int{0, 2} {
		w, faulty := withFaults(t, "hashmap")
		w.set["weir.storage.retries"] = fmt.Sprint(retries)
		e := w.start(context.Background(), 1)
		w.read(e, 50)
		faulty.Inject(fs.Fault{Op: fs.OpCreate, Times: fs.Forever, Err: errLost})
		_, err := e.Checkpoint(context.Background(), weir.ConfiguredCheckpoint)
		contains(t, err, errLost.Error())
		if told := strings.Contains(fmt.Sprint(err), "tried 3 times"); told != (retries == 2) {
			t.Errorf("with %d retries: %v", retries, err)
		}
		if c := e.Progress().Checkpoint; c.Failed != 1 || c.Completed != 0 {
			t.Errorf("%d checkpoints have failed, %d are complete", c.Failed, c.Completed)
		}
		faulty.Clear()
		w.releaseAll()
		w.end(e, weir.Finished)
		w.check()
	}
}
