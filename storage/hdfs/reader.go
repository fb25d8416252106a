package hdfs

import (
	"context"
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"path"
	"sync"
	"syscall"

	"github.com/colinmarc/hdfs/v2"

	"github.com/weirstream/weir/storage"
)

// Open implements storage.FS.
func (f *fileSystem) Open(ctx context.Context, full string) (storage.Reader, error) {
	r := &reader{ctx: ctx, path: full}
	err := f.do(ctx, "open", full, func(c *hdfs.Client, name string) error {
		file, err := c.Open(name)
		if errors.Is(err, iofs.ErrPermission) && belowFile(c, name) {
			return iofs.ErrNotExist
		}
		if err != nil {
			return err
		}
		if file.Stat().IsDir() {
			file.Close()
			return syscall.EISDIR
		}
		r.client, r.name, r.size, r.idle = c, name, file.Stat().Size(), []*hdfs.FileReader{file}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return r, nil
}

// belowFile reports whether a file stands where a directory above the path would have to be, which HDFS calls a permission.
func belowFile(c *hdfs.Client, name string) bool {
	for dir := path.Dir(name); dir != "/"; dir = path.Dir(dir) {
		if i, err := c.Stat(dir); err == nil {
			return !i.IsDir()
		}
	}
	return false
}

// reader reads one file. A reader of the client has a position and belongs to one call at a time, so there are as many as there have been calls at
// once; one that goes on where it was needs no new connection.
type reader struct {
	ctx    context.Context
	path   string
	client *hdfs.Client
	name   string
	size   int64

	mu   sync.Mutex // guards idle
	idle []*hdfs.FileReader
}

func (r *reader) Size() int64 { return r.size }

// take returns an idle reader, the one that is at the offset if there is one.
func (r *reader) take(off int64) (*hdfs.FileReader, error) {
	r.mu.Lock()
	last := len(r.idle) - 1
	if last < 0 {
		r.mu.Unlock()
		return r.client.Open(r.name)
	}
	defer r.mu.Unlock()
	chosen := last
	for i, f := range r.idle {
		if at, err := f.Seek(0, io.SeekCurrent); err == nil && at == off {
			chosen = i
		}
	}
	f := r.idle[chosen]
	r.idle[chosen] = r.idle[last]
	r.idle = r.idle[:last]
	return f, nil
}

// ReadAt implements io.ReaderAt.
func (r *reader) ReadAt(p []byte, off int64) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, fmt.Errorf("read %s: %w", r.path, err)
	}
	if off < 0 {
		return 0, fmt.Errorf("read %s: offset %d is negative", r.path, off)
	}
	want := p[:min(int64(len(p)), max(0, r.size-off))]
	n, err := r.read(want, off)
	if err != nil {
		return n, wrap("read", r.path, err)
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (r *reader) read(p []byte, off int64) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	f, err := r.take(off)
	if err != nil {
		return 0, err
	}
	n, err := f.ReadAt(p, off)
	if n == len(p) {
		err = nil
	} else if err == io.EOF {
		err = io.ErrUnexpectedEOF // it was that long when it was opened
	}
	if err != nil {
		f.Close()
		return n, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.idle = append(r.idle, f)
	return n, nil
}

// Close implements io.Closer.
func (r *reader) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, f := range r.idle {
		f.Close() // it has only been read
	}
	r.idle = nil
	return nil
}
