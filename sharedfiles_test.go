package weir_test

import (
	"context"
	"fmt"
	"maps"
	"testing"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/connector/discard"
	"github.com/weirstream/weir/internal/protocol/snapshot"
)

// sharedStreams returns how many streams the newest checkpoint shares with others.
func (w *world) sharedStreams(checkpoint string) (n int) {
	w.t.Helper()
	meta := load(w.t, w.fs, checkpoint)
	meta.EachStream(func(s *snapshot.Stream) {
		if s.Scope == snapshot.Shared && s.Path != "" {
			n++
		}
	})
	return n
}

// eachSharing runs a test with increments, with files merged or not and with local copies or not.
func eachSharing(t *testing.T, run func(t *testing.T, w *world)) {
	for _, backend := range []string{"hashmap", "rocksdb"} {
		for _, merged := range []string{"", "false", "true"} {
			for _, copied := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s across=%s copied=%v", backend, merged, copied), func(t *testing.T) {
					t.Parallel()
					w, _, _ := withCopies(t)
					w.set["execution.checkpointing.local-backup.enabled"] = fmt.Sprint(copied)
					w.set["execution.state-recovery.from-local"] = fmt.Sprint(copied)
					w.set["execution.checkpointing.incremental"] = "true"
					w.set["execution.checkpointing.num-retained"] = "2"
					w.set["state.backend.type"] = backend
					if merged != "" {
						w.merge(map[string]string{"across-checkpoint-boundary": merged})
					}
					run(t, w)
				})
			}
		}
	}
}

// TestSharedFilesOfBackends: a job is suspended, aborted as by a kill, and resumed at other parallelisms. The output is that of a run that nobody
// disturbs, and nothing else is left.
func TestSharedFilesOfBackends(t *testing.T) {
	eachSharing(t, func(t *testing.T, w *world) {
		first := w.upTo(2, 30, suspend, weir.Suspended).Checkpoint
		if w.sharedStreams(first) == 0 {
			t.Error("nothing is shared")
		}
		w.upTo(2, 40, func(e *weir.Execution, _ func()) { e.Abort() }, weir.Aborted)
		w.upTo(3, 60, suspend, weir.Suspended)
		w.finish(2)
		w.onlyRecord()
	})
}

// TestSharedFilesOfOthers: a job that was cancelled is continued by another that does not claim its checkpoint and then by one that does. What was
// not claimed is still whole; in the end nothing is left of the jobs that have finished.
func TestSharedFilesOfOthers(t *testing.T) { eachSharing(t, others) }

// others is TestSharedFilesOfOthers with the options of a world.
func others(t *testing.T, w *world) {
	w.sink = discard.Sink[string]()
	owned := w.upTo(2, 30, cancelJob, weir.Canceled).Checkpoint
	own := maps.Clone(w.set)
	w.another(owned, "NO_CLAIM")
	w.upTo(2, 40, suspend, weir.Suspended)
	whole := func(checkpoint string) {
		t.Helper()
		if err := verify(w.fs, checkpoint); err != nil {
			t.Errorf("it is not claimed, and is not whole any more: %v", err)
		}
	}
	whole(owned)
	w.set = maps.Clone(own)
	w.another(owned, "CLAIM")
	w.upTo(2, 50, suspend, weir.Suspended)
	w.upTo(2, 60, suspend, weir.Suspended)
	if w.exists(owned) {
		t.Errorf("%s is claimed, was replaced, and is still there", owned)
	}
	for i := range w.in.splits {
		w.in.release(i)
	}
	w.end(w.start(context.Background(), 2), weir.Finished)
	w.onlyRecord()
}
