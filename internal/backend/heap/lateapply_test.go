package heap_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/weirstream/weir/backend"
	"github.com/weirstream/weir/internal/backend/heap"
	"github.com/weirstream/weir/internal/keyhash"
	"github.com/weirstream/weir/state"
)

// gated is a byte store that applies batches only while its gate is open.
type gated struct {
	backend.Store
	gate chan struct{} // holds a token while it is open
}

func (g *gated) Apply(b *backend.Batch) error {
	<-g.gate
	g.gate <- struct{}{}
	return g.Store.Apply(b)
}

func finish(t *testing.T, taken func(context.Context) (backend.Snapshot, error)) {
	t.Helper()
	x, err := taken(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestTimersWhileTheyAreWrittenBack: deadlines of some keys fire while those of others, of the same key group, are being written back. These are
// later, or they fire as well and are set anew. When their keys have left memory they fire too.
func TestTimersWhileTheyAreWrittenBack(t *testing.T) {
	for _, late := range []int64{9_000, 1_500} {
		t.Run(fmt.Sprint(late), func(t *testing.T) { fireWhileWrittenBack(t, late) })
	}
}

func fireWhileWrittenBack(t *testing.T, late int64) {
	var p struct {
		Pad state.Value[int64] `state:"pad"`
		Due state.Timer        `timer:"due,event"`
	}
	hash := func(k string) uint64 { return keyhash.String(k) & (1<<32 - 1) } // all in one key group
	s := open(t, &p, 0, 1, hash)
	under := &gated{openUnder(t), make(chan struct{}, 1)}
	under.gate <- struct{}{}
	s.Back(under, 1<<20)
	fired := map[string]bool{}
	fire := func(upTo int64) {
		t.Helper()
		if err := s.FireEvent(upTo, func(r heap.Ref, key string, _ int, at int64) error {
			if s.Seek(r); at == 1_500 {
				p.Due.At(time.UnixMilli(9_000))
				return nil
			}
			fired[key] = true
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		s.EndBatch()
	}
	fill := func(name string, n int, deadline int64) {
		t.Helper()
		for i := range n {
			at(s, hash, func(string) {
				p.Pad.Set(1)
				if deadline > 0 {
					p.Due.At(time.UnixMilli(deadline))
				}
			}, fmt.Sprint(name, i))
		}
		s.EndBatch()
		if err := s.Err(); err != nil {
			t.Fatal(err)
		}
	}
	fill("early", 10, 1_000)
	finish(t, s.SnapshotStore()) // a snapshot is behind all that was changed before
	<-under.gate
	fill("late", 10, late)
	taken := s.SnapshotStore()
	go func() { under.gate <- struct{}{} }()
	fire(2_000) // waits for them
	finish(t, taken)
	fill("other", 50_000, 0) // takes the memory of all before
	fire(10_000)
	if len(fired) != 20 {
		t.Errorf("%d timers have fired, want 20", len(fired))
	}
}
