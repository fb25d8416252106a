package object

import (
	"context"
	"fmt"
	"io"
	"sync"
)

// The window of a reader is what it reads ahead. It begins small, since most files are read in part, and grows as long as reads follow each other.
const (
	firstWindow   = 64 << 10
	largestWindow = 4 << 20
)

// reader reads one object. Small reads are served from a window of bytes, those of a window's size and more by a request of their own.
type reader struct {
	ctx  context.Context
	fs   *FS
	path string
	at   Place
	size int64

	mu     sync.Mutex
	window window
	closed bool
}

// window is a part of the object. Its bytes do not change.
type window struct {
	from int64
	data []byte
	next int // size of the window that follows
}

func (r *reader) open() error {
	body, info, err := r.fs.store.Read(r.ctx, r.at, 0, firstWindow)
	if err != nil {
		return err
	}
	r.size = info.Size
	r.window = window{next: 4 * firstWindow}
	if body != nil {
		data := make([]byte, min(info.Size, firstWindow))
		_, err = io.ReadFull(body, data)
		body.Close()
		r.window.data = data
	}
	return err
}

func (r *reader) Size() int64 { return r.size }

func (r *reader) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed, r.window = true, window{}
	return nil
}

// ReadAt implements io.ReaderAt.
func (r *reader) ReadAt(p []byte, off int64) (n int, err error) {
	if err := r.ctx.Err(); err != nil {
		return 0, fmt.Errorf("read %s: %w", r.path, err)
	}
	if off < 0 {
		return 0, fmt.Errorf("read %s: offset %d is negative", r.path, off)
	}
	want := p[:min(int64(len(p)), max(0, r.size-off))]
	for n < len(want) {
		got, err := r.some(want[n:], off+int64(n))
		n += got
		if err != nil {
			return n, r.fs.wrap("read", r.path, err)
		}
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// some reads at least one byte.
func (r *reader) some(p []byte, off int64) (int, error) {
	r.mu.Lock()
	w, closed := r.window, r.closed
	r.mu.Unlock()
	if closed {
		return 0, fmt.Errorf("the file is closed")
	}
	if i := off - w.from; i >= 0 && i < int64(len(w.data)) {
		return copy(p, w.data[i:]), nil
	}
	size := firstWindow
	if off == w.from+int64(len(w.data)) {
		size = w.next
	}
	if len(p) >= size {
		return len(p), r.fetch(p, off)
	}
	data := make([]byte, min(int64(size), r.size-off))
	if err := r.fetch(data, off); err != nil {
		return 0, err
	}
	r.mu.Lock()
	r.window = window{from: off, data: data, next: min(2*size, largestWindow)}
	r.mu.Unlock()
	return copy(p, data), nil
}

// fetch fills p.
func (r *reader) fetch(p []byte, off int64) error {
	body, info, err := r.fs.store.Read(r.ctx, r.at, off, int64(len(p)))
	if err != nil {
		return err
	}
	if body == nil || info.Size != r.size {
		if body != nil {
			body.Close()
		}
		return fmt.Errorf("the object was replaced while it was read: it had %d bytes and has %d", r.size, info.Size)
	}
	defer body.Close()
	_, err = io.ReadFull(body, p)
	return err
}
