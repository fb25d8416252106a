package weir_test

import (
	"context"
	"fmt"
	"maps"
	"testing"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/connector/discard"
	"github.com/weirstream/weir/internal/protocol/snapshot"
	istorage "github.com/weirstream/weir/internal/storage"
)

// sharedStreams returns how many streams the newest checkpoint shares with others.
func (w *world) sharedStreams(checkpoint string) (n int) {
	w.t.Helper()
	meta, err := istorage.Load(context.Background(), w.fs, checkpoint)
	if err != nil {
		w.t.Fatal(err)
	}
	meta.EachStream(func(s *snapshot.Stream) {
		if s.Scope == snapshot.Shared && s.Path != "" {
			n++
		}
	})
	return n
}

// TestSharedFilesOfBackends runs a job with increments on both backends, with files merged or not and with local copies or not: it is suspended,
// aborted as by a kill, resumed at other parallelisms, and continued by another job that does not claim its checkpoint and by one that does. The
// output is that of a run that nobody disturbs; what belongs to somebody else is still whole, and nothing else is left.
func TestSharedFilesOfBackends(t *testing.T) {
	suspend := func(_ *weir.Execution, cancel func()) { cancel() }
	for _, backend := range []string{"hashmap", "rocksdb"} {
		for _, merged := range []string{"", "false", "true"} {
			for _, copied := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s merged=%s copied=%v", backend, merged, copied), func(t *testing.T) {
					t.Parallel()
					w, _, _ := withCopies(t)
					w.sink = discard.Sink[string]() // the jobs' outputs are not one
					w.set["execution.checkpointing.local-backup.enabled"] = fmt.Sprint(copied)
					w.set["execution.state-recovery.from-local"] = fmt.Sprint(copied)
					w.set["execution.checkpointing.incremental"] = "true"
					w.set["execution.checkpointing.num-retained"] = "2"
					w.set["state.backend.type"] = backend
					if merged != "" {
						w.merge(map[string]string{"across-checkpoint-boundary": merged})
					}
					first := w.upTo(2, 30, suspend, weir.Suspended).Checkpoint
					if w.sharedStreams(first) == 0 {
						t.Error("nothing is shared")
					}
					w.upTo(2, 40, func(e *weir.Execution, _ func()) { e.Abort() }, weir.Aborted)
					owned := w.upTo(3, 50, suspend, weir.Suspended).Checkpoint
					mine := w.dir
					before := maps.Clone(w.set)

					w.another(owned, "NO_CLAIM")
					second := w.upTo(2, 60, suspend, weir.Suspended).Checkpoint
					if meta, err := istorage.Load(context.Background(), w.fs, owned); err != nil {
						t.Error(err)
					} else if err := istorage.Verify(context.Background(), w.fs, meta); err != nil {
						t.Errorf("what was not claimed is damaged: %v", err)
					}
					w.set = maps.Clone(before)
					other := w.dir
					w.another(second, "CLAIM")
					delete(w.set, "execution.state-recovery.path")
					w.set["execution.state-recovery.path"] = second
					w.upTo(2, 70, suspend, weir.Suspended)
					w.set = before
					w.finish(3)
					w.onlyRecord()
					_, _ = mine, other
				})
			}
		}
	}
}
