package sim

import (
	"context"
	"errors"
	"path"

	"github.com/weirstream/weir/internal/storage/fs"
	"github.com/weirstream/weir/storage"
)

// ErrDead is what a process is answered that has died.
var ErrDead = errors.New("sim: the process is dead")

// errFault is what an operation fails with because chance has it so.
var errFault = errors.New("sim: chance has it that this fails")

// disk is the world's file system as one process sees it.
type disk struct {
	*process
	files *fs.Memory
}

var _ storage.FS = (*disk)(nil)

// Serial asks for one operation at a time.
func (d *disk) Serial() bool { return true }

func (d *disk) MakeDir(ctx context.Context, dir string) error {
	return d.around(effect{op: "make directory", on: dir, lasting: true}, func() error { return d.files.MakeDir(ctx, dir) })
}

func (d *disk) Create(ctx context.Context, path string) (w storage.Writer, err error) {
	err = d.around(effect{op: "create", on: path}, func() error {
		inner, err := d.files.Create(ctx, path)
		w = &diskWriter{d, path, inner}
		return err
	})
	if err != nil {
		return nil, err
	}
	return w, nil
}

type diskWriter struct {
	*disk
	path  string
	inner storage.Writer
}

func (w *diskWriter) Write(p []byte) (n int, err error) {
	err = w.around(effect{op: "write", on: w.path}, func() error {
		n, err = w.inner.Write(p)
		return err
	})
	if err != nil {
		return 0, err
	}
	return n, nil
}

func (w *diskWriter) Commit() error {
	err := w.around(effect{op: "commit", on: w.path, lasting: true}, w.inner.Commit)
	if err != nil && !errors.Is(err, ErrDead) {
		err = errors.Join(err, w.inner.Abort()) // as the contract has it; of one that has been made durable it removes what is there
	}
	return err
}

func (w *diskWriter) Abort() error {
	return w.around(effect{op: "abort", on: w.path}, w.inner.Abort)
}

func (d *disk) Open(ctx context.Context, path string) (r storage.Reader, err error) {
	d.watch.opened(path)
	if dir := dirOf(path); d.watch.drained[dir] && d.step == nil { // it is started
		d.user.follows = dir
	}
	if t := d.stepped; t != nil && t.state == opening {
		t.reads = append(t.reads, unitOf(path))
	}
	err = d.around(effect{op: "open", on: path}, func() error {
		inner, err := d.files.Open(ctx, path)
		r = &diskReader{inner, d, path}
		return err
	})
	if err != nil {
		return nil, err
	}
	return r, nil
}

type diskReader struct {
	storage.Reader
	*disk
	path string
}

func (r *diskReader) ReadAt(p []byte, off int64) (n int, err error) {
	failed := r.around(effect{op: "read", on: r.path}, func() error {
		n, err = r.Reader.ReadAt(p, off)
		return nil
	})
	if failed != nil {
		return 0, failed
	}
	return n, err
}

func (d *disk) PutIfAbsent(ctx context.Context, path string, data []byte) error {
	d.mayDoubt(path)
	return d.around(effect{op: "put", on: path, lasting: true}, func() error {
		err := d.files.PutIfAbsent(ctx, path, data)
		if err == nil {
			d.publishes(path, data)
		}
		return err
	})
}

func (d *disk) Swap(ctx context.Context, path string, old, new []byte) error {
	return d.around(effect{op: "swap", on: path, lasting: true}, func() error { return d.files.Swap(ctx, path, old, new) })
}

func (d *disk) List(ctx context.Context, dir string) (entries []storage.Entry, err error) {
	err = d.around(effect{op: "list", on: dir}, func() error {
		entries, err = d.files.List(ctx, dir)
		return err
	})
	return entries, err
}

func (d *disk) Remove(ctx context.Context, paths ...string) error {
	var first error
	for _, path := range paths {
		err := d.around(effect{op: "remove", on: path, lasting: true}, func() error {
			d.watch.removing(path)
			if dirOf(path) == d.user.follows {
				d.user.follows = ""
			}
			return d.files.Remove(ctx, path)
		})
		if first == nil {
			first = err
		}
	}
	return first
}

func (d *disk) RemoveAll(ctx context.Context, dir string) error {
	return d.around(effect{op: "remove all of", on: dir, lasting: true}, func() error {
		d.watch.removingAll(dir)
		return d.files.RemoveAll(ctx, dir)
	})
}

// dirOf is path.Dir, where path is something else.
func dirOf(file string) string { return path.Dir(file) }
