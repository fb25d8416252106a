package weir_test

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/internal/inspect"
)

// TestIncrements shows that a checkpoint after another one writes less than it refers to, that a full one does not, that what a chain holds is
// told with each key once, and that a job goes on from a chain at another parallelism as if nothing had happened.
func TestIncrements(t *testing.T) {
	w := newWorld(t, 1, 60)
	w.byHand = true
	w.set = map[string]string{"execution.checkpointing.incremental": "true", "execution.checkpointing.data-inline-threshold": "0"}
	w.in.hold(0, 40)
	e := w.start(context.Background(), 1)
	w.read(e, 40)
	s := show(t, e)
	take := func(kind weir.CheckpointKind) (path string, written, refersTo int) {
		info, err := e.Checkpoint(context.Background(), kind)
		if err != nil {
			t.Fatal(err)
		}
		return info.Path, int(s.metric("lastCheckpointSize")), int(s.metric("lastCheckpointFullSize"))
	}
	_, whole, all := take(weir.ConfiguredCheckpoint)
	if whole != all {
		t.Errorf("the first checkpoint has written %d bytes of %d", whole, all)
	}
	w.in.hold(0, 44)
	w.read(e, 44)
	path, written, all := take(weir.IncrementalCheckpoint)
	if written >= whole || all <= whole {
		t.Errorf("an increment has written %d bytes and refers to %d; the first checkpoint was %d", written, all, whole)
	}
	keys := w.keys(path)
	if _, written, all = take(weir.FullCheckpoint); written != all {
		t.Errorf("a full checkpoint has written %d bytes of %d", written, all)
	}
	if path, _, _ = take(weir.ConfiguredCheckpoint); keys == 0 || w.keys(path) != keys {
		t.Errorf("%d keys, then %d", keys, w.keys(path))
	}
	e.Abort()
	w.end(e, weir.Aborted)
	w.finish(3)
}

// keys returns the number of keys in a checkpoint, and sees that each is told once for each step.
func (w *world) keys(path string) int {
	var b bytes.Buffer
	if _, err := inspect.Values(context.Background(), w.fs, path, inspect.Selection{JSON: true}, &b); err != nil {
		w.t.Fatal(err)
	}
	seen := map[string]bool{}
	for line := range strings.Lines(b.String()) {
		if id, _, ok := strings.Cut(line, `,"states":`); ok {
			if seen[id] {
				w.t.Errorf("%s is there twice", id)
			}
			seen[id] = true
		}
	}
	return len(seen)
}
