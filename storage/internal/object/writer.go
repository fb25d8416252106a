package object

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/weirstream/weir/storage"
)

// partsPerSize is how many parts there are of one size before the next size, twice as large: stores limit the number of parts to 10,000.
const partsPerSize = 1000

// abortTimeout bounds the attempt to give up an upload after the writer's context has ended. What it does not reach stays, invisible.
const abortTimeout = 30 * time.Second

// writer writes one object. What fits into one part is one request when it is committed; more is uploaded in parts beside the one who writes, at
// most Parallel at once. A part stays in memory until the store has taken it, so that one that has failed can be uploaded again: Parallel + 1
// parts are in memory, whatever fails.
type writer struct {
	ctx    context.Context
	cancel context.CancelFunc // of uploads
	fs     *FS
	path   string
	at     Place
	token  string
	buf    []byte
	upload Upload // nil until there is more than one part
	parts  int    // that have been sent

	underWay int       // parts that are being uploaded
	ended    chan part // parts that no longer are; it has room for all
	failed   []part    // that the store has not taken
	spare    [][]byte  // buffers
	err      error     // the first failure since Resume
}

var _ storage.Resumer = (*writer)(nil)

// part is a part of an upload.
type part struct {
	n    int
	data []byte
	err  error // of its last attempt
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
	w.collect()
	if err := w.broken(); err != nil {
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

// broken returns why the writer cannot go on: its context, or a part that was not taken.
func (w *writer) broken() error {
	if w.err != nil {
		return w.err
	}
	return w.ctx.Err()
}

func (w *writer) wrap(op string, err error) error { return w.fs.wrap(op, w.path, err) }

// send uploads the part that is in the buffer, when there is memory for the next. If it fails the part is still there.
func (w *writer) send() error {
	if err := w.begin(); err != nil {
		return err
	}
	for w.underWay == cap(w.ended) {
		w.took(<-w.ended)
	}
	if err := w.broken(); err != nil {
		return err
	}
	w.parts++
	w.start(part{n: w.parts, data: w.buf})
	w.buf = nil
	if last := len(w.spare) - 1; last >= 0 {
		w.buf, w.spare = w.spare[last][:0], w.spare[:last]
	}
	return nil
}

// begin begins the upload, if that is not done yet.
func (w *writer) begin() (err error) {
	if w.upload == nil {
		w.upload, err = w.fs.store.Begin(w.ctx, w.at, w.token)
		w.ended = make(chan part, w.fs.store.Parallel())
	}
	return err
}

// start uploads a part in a goroutine of its own, which ends at the latest with the context.
func (w *writer) start(p part) {
	w.underWay++
	go func() {
		p.err = w.upload.Part(w.ctx, p.n, p.data)
		w.ended <- p
	}()
}

// took notes what has become of a part.
func (w *writer) took(p part) {
	w.underWay--
	if p.err == nil {
		w.spare = append(w.spare, p.data)
		return
	}
	w.failed = append(w.failed, p)
	if w.err == nil {
		w.err = fmt.Errorf("part %d: %w", p.n, p.err)
	}
}

// collect notes what has become of parts, without waiting for any.
func (w *writer) collect() {
	for {
		select {
		case p := <-w.ended:
			w.took(p)
		default:
			return
		}
	}
}

// wait waits for all parts that are under way.
func (w *writer) wait() {
	for w.underWay > 0 {
		w.took(<-w.ended)
	}
}

// Resume implements storage.Resumer: it uploads the parts again that the store has not taken.
func (w *writer) Resume() error {
	w.wait()
	if w.err != nil && w.fs.store.Kind(w.err) == NoUpload {
		return w.wrap("resume", w.err)
	}
	if err := w.ctx.Err(); err != nil {
		return w.wrap("resume", err)
	}
	again := w.failed
	w.err, w.failed = nil, nil
	for _, p := range again {
		w.start(p)
	}
	return nil
}

// Commit implements storage.Writer.
func (w *writer) Commit() error {
	err := w.TryCommit()
	if err != nil {
		err = errors.Join(err, w.Abort())
	}
	return err
}

// TryCommit implements storage.Resumer.
func (w *writer) TryCommit() error {
	err := w.commit()
	if err == nil {
		w.cancel()
		return nil
	}
	if w.err == nil {
		w.err = err
	}
	return w.wrap("commit", err)
}

func (w *writer) commit() error {
	if err := w.broken(); err != nil {
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
	w.wait()
	if err := w.broken(); err != nil {
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
	w.wait()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(w.ctx), abortTimeout)
	defer cancel()
	err := w.upload.Abort(ctx)
	if err != nil && w.fs.store.Kind(err) == NoUpload {
		err = nil
	}
	return w.wrap("abort", err)
}
