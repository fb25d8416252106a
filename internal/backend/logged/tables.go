package logged

import (
	"context"
	"errors"
	"maps"

	"github.com/weirstream/weir/internal/backend/heap"
	"github.com/weirstream/weir/internal/protocol/snapshot"
)

// HeapStore is what tables on the heap offer. They must track changes.
type HeapStore interface {
	Capture() *heap.Capture
	CaptureSince(base heap.Epoch) *heap.Capture
	Confirmed(since heap.Epoch)
}

// Tables is the source of tables on the heap, in which each row says when it was changed last. So nothing is kept of the log: a segment is an
// increment to the one before it. Its methods are called by the subtask's goroutine.
type Tables struct {
	store  HeapStore
	packs  bool                 // segments are compressed
	epochs map[int64]heap.Epoch // that the cut at a position has begun
}

// NewTables returns the source of a store.
func NewTables(store HeapStore) *Tables {
	return &Tables{store: store, epochs: map[int64]heap.Epoch{}}
}

// Compress says that segments are to be compressed.
func (t *Tables) Compress() { t.packs = true }

// Begin says that the state at a position of the log was that at the beginning of an epoch.
func (t *Tables) Begin(at int64, epoch heap.Epoch) { t.epochs[at] = epoch }

// Changed is as in Source. It is not known before a segment is written.
func (t *Tables) Changed() bool { return true }

// Segment is as in Source.
func (t *Tables) Segment(from, at int64) (c Capture, whole bool) {
	x := t.store.CaptureSince(t.epochs[from])
	t.epochs[at] = x.Epoch()
	if t.packs && x.IsIncrement() {
		x.Compress()
	}
	return captured{x}, !x.IsIncrement()
}

// Whole is as in Source. It has no files to use again.
func (t *Tables) Whole(at int64, _ bool) Capture {
	x := t.store.Capture()
	t.epochs[at] = x.Epoch()
	return captured{x}
}

// Forget is as in Source.
func (t *Tables) Forget(before int64) {
	if epoch, ok := t.epochs[before]; ok {
		t.store.Confirmed(epoch)
	}
	maps.DeleteFunc(t.epochs, func(at int64, _ heap.Epoch) bool { return at < before })
}

// Stop is as in Source. Rows are marked whether anybody looks at the marks or not.
func (t *Tables) Stop() {}

// captured writes a capture of tables.
type captured struct{ *heap.Capture }

// Write writes it to one stream.
func (c captured) Write(ctx context.Context, begin func(context.Context) (snapshot.StreamWriter, error)) (snapshot.Keyed, error) {
	out, err := begin(ctx)
	if err != nil {
		return snapshot.Keyed{}, err
	}
	keyed, err := c.Capture.Write(out)
	if err != nil || keyed.Increment && keyed.End == keyed.Header { // nothing has changed
		return snapshot.Keyed{}, errors.Join(err, out.Abort())
	}
	keyed.Stream, err = out.Finish()
	return keyed, err
}

// InForce does nothing: bases share no files.
func (captured) InForce() {}
