package heap

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/weirstream/weir/backend"
)

// backWriter writes batches back beside the subtask, one after the other, and takes snapshots between them. All methods but those of its goroutine are
// called by the subtask's.
type backWriter struct {
	store   backend.Store
	running sync.WaitGroup
	over    chan struct{}  // closed when what was started last is done; nil if nothing was
	number  uint32         // of that
	written chan struct{}  // closed when the last batch is written; nil if there was none
	applied atomic.Uint32  // the number of the last batch that is written
	pending atomic.Int32   // what was started and is not done
	err     error          // written by the goroutine before over is closed
	spare   *backend.Batch // the batch that was started last, for the next one
	cancel  context.CancelFunc
}

// busy reports whether something is being written.
func (w *backWriter) busy() bool {
	if w.over == nil {
		return false
	}
	select {
	case <-w.over:
		return false
	default:
		return true
	}
}

// done returns the number of the last batch that is written.
func (w *backWriter) done() (applied uint32, err error) {
	if w.busy() {
		return w.applied.Load(), nil
	}
	return w.number, w.err
}

// wait waits until all is written.
func (w *backWriter) wait() (applied uint32, err error) {
	if w.over != nil {
		<-w.over
	}
	return w.done()
}

// waitForBatches waits until all batches are written.
func (w *backWriter) waitForBatches() (applied uint32, err error) {
	if w.written != nil {
		<-w.written
	}
	return w.done()
}

// mostPending is what may wait for one another: a batch that is being written, or a snapshot that is being taken, and one more batch.
const mostPending = 2

// isFull reports whether something has to be done before more is started.
func (w *backWriter) isFull() bool { return w.pending.Load() >= mostPending }

// start writes a batch beside, after what was started before, and returns one to be filled meanwhile. again says that the memory of the batch is
// worth keeping for another one.
func (w *backWriter) start(b *backend.Batch, number uint32, again bool) *backend.Batch {
	next := w.spare
	if next == nil || w.busy() {
		next = &backend.Batch{}
	}
	next.Reset()
	if w.spare = b; !again {
		w.spare = nil
	}
	w.run(number, func(context.Context) error { return w.store.Apply(b) })
	w.written = w.over
	return next
}

// run does something beside, unless an error has ended all.
func (w *backWriter) run(number uint32, what func(context.Context) error) {
	over, before := make(chan struct{}), w.over
	ctx, cancel := context.WithCancel(context.Background())
	w.over, w.number, w.cancel = over, number, cancel
	w.pending.Add(1)
	w.running.Go(func() {
		defer close(over)
		defer w.pending.Add(-1)
		defer cancel()
		if before != nil {
			<-before
		}
		if w.err == nil {
			w.err = what(ctx)
		}
		if w.err == nil {
			w.applied.Store(number)
		}
	})
}

// snapshot takes a snapshot beside, after what was started before. The result is told by the function that it returns, which waits.
func (w *backWriter) snapshot() func(context.Context) (backend.Snapshot, error) {
	var taken backend.Snapshot
	var failed error
	w.run(w.number, func(ctx context.Context) error {
		taken, failed = w.store.Snapshot(ctx)
		return failed
	})
	over, w := w.over, w
	return func(ctx context.Context) (backend.Snapshot, error) {
		select {
		case <-over:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		if taken == nil && failed == nil {
			return nil, w.err // which came before it
		}
		return taken, failed
	}
}

// end waits until nothing is going on, and tells it to be quick.
func (w *backWriter) end() {
	if w.cancel != nil {
		w.cancel()
	}
	w.running.Wait()
}
