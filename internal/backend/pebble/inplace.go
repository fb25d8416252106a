package pebble

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/weirstream/weir/backend"
)

// inPlace is a file system with tables that are read where they are stored, beside files of the disk. They look as if they were in a directory of it.
type inPlace struct {
	vfs.FS
	ctx    context.Context // of all reads
	mu     sync.Mutex      // guards tables
	tables map[string]backend.StoredFile
}

func (f *inPlace) find(name string) (backend.StoredFile, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	t, ok := f.tables[name]
	return t, ok
}

// Open opens a table, or a file of the disk.
func (f *inPlace) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	t, ok := f.find(name)
	if !ok {
		return f.FS.Open(name, opts...)
	}
	r, err := t.Open(f.ctx)
	if err != nil {
		return nil, err
	}
	return &storedTable{FileReader: r, size: t.Size, name: name}, nil
}

// Remove forgets a table, or removes a file of the disk.
func (f *inPlace) Remove(name string) error {
	if _, ok := f.find(name); !ok {
		return f.FS.Remove(name)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.tables, name)
	return nil
}

// Stat tells the size of a table, or of a file of the disk.
func (f *inPlace) Stat(name string) (vfs.FileInfo, error) {
	if t, ok := f.find(name); ok {
		return storedInfo{filepath.Base(name), t.Size}, nil
	}
	return f.FS.Stat(name)
}

// List names the files of the disk and the tables.
func (f *inPlace) List(dir string) ([]string, error) {
	names, err := f.FS.List(dir)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for name := range f.tables {
		if filepath.Dir(name) == filepath.Clean(dir) {
			names = append(names, filepath.Base(name))
		}
	}
	return names, nil
}

// Unwrap returns the file system of the disk.
func (f *inPlace) Unwrap() vfs.FS { return f.FS }

// storedTable is a table that is open. It is only read.
type storedTable struct {
	backend.FileReader
	size int64
	name string
	at   int64 // of Read
}

// Read goes on where it was.
func (t *storedTable) Read(p []byte) (int, error) {
	if t.at >= t.size {
		return 0, io.EOF
	}
	n, err := t.ReadAt(p[:min(int64(len(p)), t.size-t.at)], t.at)
	t.at += int64(n)
	if n > 0 {
		err = nil
	}
	return n, err
}

// Stat tells the size.
func (t *storedTable) Stat() (vfs.FileInfo, error) {
	return storedInfo{filepath.Base(t.name), t.size}, nil
}

func (t *storedTable) readOnly(what string) error {
	return &os.PathError{Op: what, Path: t.name, Err: os.ErrPermission}
}

// Write and WriteAt fail.
func (t *storedTable) Write([]byte) (int, error) { return 0, t.readOnly("write") }

// WriteAt fails.
func (t *storedTable) WriteAt([]byte, int64) (int, error) { return 0, t.readOnly("write") }

// Preallocate fails.
func (t *storedTable) Preallocate(_, _ int64) error { return t.readOnly("preallocate") }

// Sync does nothing, as do the others: there is nothing that was written.
func (*storedTable) Sync() error { return nil }

// SyncTo does nothing.
func (*storedTable) SyncTo(int64) (bool, error) { return true, nil }

// SyncData does nothing.
func (*storedTable) SyncData() error { return nil }

// Prefetch does nothing: who wants all of a table does not read it in place.
func (*storedTable) Prefetch(int64, int64) error { return nil }

// Fd returns that there is none.
func (*storedTable) Fd() uintptr { return vfs.InvalidFd }

// storedInfo describes a table.
type storedInfo struct {
	name string
	size int64
}

// Name returns the name without its directory.
func (i storedInfo) Name() string { return i.name }

// Size returns the bytes.
func (i storedInfo) Size() int64 { return i.size }

// Mode says that it may be read.
func (storedInfo) Mode() os.FileMode { return 0o444 }

// ModTime returns no time.
func (storedInfo) ModTime() time.Time { return time.Time{} }

// IsDir returns false.
func (storedInfo) IsDir() bool { return false }

// Sys returns nothing.
func (storedInfo) Sys() any { return nil }

// DeviceID returns none.
func (storedInfo) DeviceID() vfs.DeviceID { return vfs.DeviceID{} }
