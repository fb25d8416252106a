package weir_test

import (
	"context"
	"fmt"
	"maps"
	"testing"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/checkpoint"
	"github.com/weirstream/weir/connector/datagen"
	"github.com/weirstream/weir/connector/discard"
	"github.com/weirstream/weir/internal/inspect"
	"github.com/weirstream/weir/internal/protocol/snapshot"
	"github.com/weirstream/weir/internal/storage/fs"
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

// eachSharing runs a test with increments, with files merged or not and with local copies or not: with the race detector half of that, every two
// choices together.
func eachSharing(t *testing.T, run func(t *testing.T, w *world)) {
	for i, backend := range []string{"hashmap", "rocksdb"} {
		for j, merged := range []string{"", "false", "true"} {
			for k, copied := range []bool{false, true} {
				if raced && (i+j+k)%2 == 1 {
					continue
				}
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

// TestSharedFilesAreFoundFromElsewhere shows that a checkpoint is whole wherever the process runs that reads it, also if the job was given
// the directories of its checkpoints and changelog relative to its own.
func TestSharedFilesAreFoundFromElsewhere(t *testing.T) {
	for _, changelog := range []string{"false", "true"} {
		home := t.TempDir()
		t.Chdir(home)
		j := weir.NewJob("job")
		j.Checkpoint(checkpoint.Dir("checkpoints"), checkpoint.KeepOnCancel(),
			checkpoint.Set("execution.checkpointing.incremental", "true"), checkpoint.Set("execution.checkpointing.data-inline-threshold", "0b"),
			checkpoint.Set("state.changelog.enabled", changelog), checkpoint.Set("dstl.dfs.base-path", "log"))
		in := weir.From(j, "in", datagen.Source(datagen.Unbounded, func(i int64) int64 { return i % 100 }, datagen.Rate(1000)))
		weir.To(weir.Count(weir.KeyBy(in, weir.Self), "count"), "out", discard.Sink[weir.KV[int64, int64]]())
		ctx := t.Context()
		e, err := weir.Start(ctx, j)
		if err != nil {
			t.Fatal(err)
		}
		if err := e.Running(ctx); err != nil {
			t.Fatal(err)
		}
		if _, err := e.Checkpoint(ctx, weir.IncrementalCheckpoint); err != nil {
			t.Fatal(err)
		}
		e.Cancel()
		if _, err := e.Wait(); err != nil {
			t.Fatal(err)
		}
		t.Chdir(t.TempDir())
		v, err := inspect.Verify(ctx, fs.Local{}, home+"/checkpoints")
		if err != nil || v.Checkpoints != 1 || len(v.Problems) > 0 {
			t.Errorf("changelog %s: verify says %+v, %v", changelog, v, err)
		}
	}
}
