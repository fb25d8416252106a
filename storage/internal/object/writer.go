package object

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/weirstream/weir/storage"
)

// partsPerSize is how many parts there are of one size before the next size, twice as large: stores limit the number of parts to 10,000.
const partsPerSize = 1000

// abortTimeout bounds the attempt to give up an upload after the writer's context has ended. What it does not reach stays, invisible.
const abortTimeout = 30 * time.Second

// writer writes one object. What fits into one part is one request when it is committed; more is uploaded in parts beside the one who writes, at
// most Parallel at once, so that Parallel + 1 parts are in memory.
type writer struct {
	ctx    context.Context
	cancel context.CancelFunc // of uploads
	fs     *FS
	path   string
	at     Place
	token  string
	buf    []byte
	upload Upload // nil until there is more than one part
	parts  int
	free   chan []byte // buffers of parts that are not under way; its capacity bounds them

	uploads sync.WaitGroup
	mu      struct {
		sync.Mutex
		err error // the first of an upload
	}
}

func newWriter(ctx context.Context, f *FS, path string, p Place) *writer {
	w := &writer{fs: f, path: path, at: p, token: newToken()}
	w.ctx, w.cancel = context.WithCancel(ctx)
	return w
}

func (w *writer) partSize() int {
	size := w.fs.store.PartSize()
	return size << min(w.parts/partsPerSize, 8)
}

// Write implements io.Writer. An error of a part that is under way comes with a later call.
func (w *writer) Write(p []byte) (n int, err error) {
	if err := w.failed(); err != nil {
		return 0, w.wrap("write", err)
	}
	for n < len(p) {
		if len(w.buf) >= w.partSize() {
			if err := w.send(); err != nil {
				return n, w.wrap("write", err)
			}
		}
		k := min(len(p)-n, w.partSize()-len(w.buf))
		w.buf = append(w.buf, p[n:n+k]...)
		n += k
	}
	return n, nil
}

// failed returns why the writer cannot go on: its context, or a part that was not taken.
func (w *writer) failed() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.mu.err != nil {
		return w.mu.err
	}
	return w.ctx.Err()
}

func (w *writer) wrap(op string, err error) error { return w.fs.wrap(op, w.path, err) }

// send uploads the part that is in the buffer, and waits until there is memory for the next.
func (w *writer) send() (err error) {
	if w.upload == nil {
		if w.upload, err = w.fs.store.Begin(w.ctx, w.at, w.token); err != nil {
			return err
		}
		w.free = make(chan []byte, w.fs.store.Parallel())
		for range cap(w.free) {
			w.free <- nil
		}
	}
	next := <-w.free // not longer than the parts under way take, which end with the context
	if err := w.failed(); err != nil {
		w.free <- next
		return err
	}
	w.parts++
	n, data := w.parts, w.buf
	w.uploads.Go(func() {
		err := w.upload.Part(w.ctx, n, data)
		if err != nil {
			w.fail(fmt.Errorf("part %d: %w", n, err))
		}
		w.free <- data
	})
	w.buf = next[:0]
	return nil
}

func (w *writer) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.mu.err == nil {
		w.mu.err = err
	}
}

// Commit implements storage.Writer.
func (w *writer) Commit() error {
	defer w.cancel()
	err := w.commit()
	if err != nil && w.upload != nil {
		err = errors.Join(w.wrap("commit", err), w.abort())
	} else {
		err = w.wrap("commit", err)
	}
	return err
}

func (w *writer) commit() error {
	if err := w.failed(); err != nil {
		return err
	}
	if w.upload == nil {
		return w.fs.writeWhole(w.ctx, w.at, w.buf, w.token)
	}
	if len(w.buf) > 0 {
		if err := w.send(); err != nil {
			return err
		}
	}
	w.uploads.Wait()
	if err := w.failed(); err != nil {
		return err
	}
	err := w.upload.Complete(w.ctx, w.parts)
	if err != nil && w.fs.store.Kind(err) == NoUpload {
		return w.completedBefore(err)
	}
	return w.fs.settle(w.ctx, w.at, w.token, err, storage.ErrExist)
}

// completedBefore says whether an upload that is no more has become the object: then only the reply was lost.
func (w *writer) completedBefore(gone error) error {
	info, err := w.fs.store.Stat(w.ctx, w.at)
	if err == nil && info.Token == w.token {
		return nil
	}
	return gone
}

// writeWhole writes an object of one part. It has no need to try out the store: the name is new, and the condition only guards against a mistake.
func (f *FS) writeWhole(ctx context.Context, p Place, data []byte, token string) error {
	return f.settle(ctx, p, token, f.store.Write(ctx, p, data, token, Condition{Absent: true}), storage.ErrExist)
}

// Abort implements storage.Writer.
func (w *writer) Abort() error {
	defer w.cancel()
	if w.upload == nil {
		return nil
	}
	return w.abort()
}

// abort gives up what was uploaded, also when the context of the writer is done.
func (w *writer) abort() error {
	w.cancel()
	w.uploads.Wait()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(w.ctx), abortTimeout)
	defer cancel()
	err := w.upload.Abort(ctx)
	if err != nil && w.fs.store.Kind(err) == NoUpload {
		err = nil
	}
	return w.wrap("abort", err)
}
