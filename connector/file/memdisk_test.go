package file

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

var errDead = errors.New("the process is dead")

// memDisk is a disk in memory that can lose its process or its power. It keeps apart what is there and what would be there after a
// power cut: the bytes of a file up to its last Sync, and the names in a folder as of its last SyncDir. One goroutine uses it.
type memDisk struct {
	names   map[string]*memFile // by path; a nil file is a folder
	durable map[string]*memFile

	armed bool // operations count
	left  int  // until it is dead
	cuts  int  // number of deaths, of which each second one is a power cut

	// fail, if set, may let an operation fail.
	fail func(operation, name string) error
}

type memFile struct {
	data   []byte
	synced int
}

func newMemDisk() *memDisk {
	root := map[string]*memFile{"/": nil}
	return &memDisk{names: root, durable: maps.Clone(root)}
}

func (d *memDisk) breakAfter(n int) { d.armed, d.left = true, n }

// mend is the next start of the process, after a kill or a power cut.
func (d *memDisk) mend() {
	d.armed = false
	if d.cuts++; d.cuts%2 == 0 {
		return
	}
	d.names = maps.Clone(d.durable)
	for _, f := range d.names {
		if f != nil {
			f.data = f.data[:f.synced]
		}
	}
}

func (d *memDisk) step(operation, name string) error {
	if d.fail != nil {
		if err := d.fail(operation, filepath.Base(name)); err != nil {
			return &fs.PathError{Op: operation, Path: name, Err: err}
		}
	}
	if d.left--; d.armed && d.left <= 0 {
		return errDead
	}
	return nil
}

// lookup returns a file after counting the operation.
func (d *memDisk) lookup(operation, name string) (*memFile, error) {
	if err := d.step(operation, name); err != nil {
		return nil, err
	}
	f, ok := d.names[name]
	if !ok {
		return nil, &fs.PathError{Op: operation, Path: name, Err: fs.ErrNotExist}
	}
	return f, nil
}

func (d *memDisk) MkdirAll(dir string) error {
	if err := d.step("mkdir", dir); err != nil {
		return err
	}
	for ; dir != "/"; dir = filepath.Dir(dir) {
		d.names[dir], d.durable[dir] = nil, nil
	}
	return nil
}

func (d *memDisk) Create(name string) (DiskFile, error) {
	if err := d.step("create", name); err != nil {
		return nil, err
	}
	if _, ok := d.names[name]; ok {
		return nil, &fs.PathError{Op: "create", Path: name, Err: fs.ErrExist}
	}
	if _, ok := d.names[filepath.Dir(name)]; !ok {
		return nil, &fs.PathError{Op: "create", Path: name, Err: fs.ErrNotExist}
	}
	f := &memFile{}
	d.names[name] = f
	return &memHandle{f, d, name}, nil
}

func (d *memDisk) Append(name string) (DiskFile, error) {
	f, err := d.lookup("append", name)
	if err != nil {
		return nil, err
	}
	return &memHandle{f, d, name}, nil
}

func (d *memDisk) Open(name string) (io.ReadCloser, error) {
	f, err := d.lookup("open", name)
	if err != nil {
		return nil, err
	}
	return io.NopCloser(bytes.NewReader(f.data)), nil
}

func (d *memDisk) Stat(name string) (fs.FileInfo, error) {
	f, err := d.lookup("stat", name)
	return memInfo{filepath.Base(name), f}, err
}

func (d *memDisk) SameFile(a, b fs.FileInfo) bool { return a.(memInfo).file == b.(memInfo).file }

func (d *memDisk) ReadDir(dir string) ([]fs.DirEntry, error) {
	if _, err := d.lookup("readdir", dir); err != nil {
		return nil, err
	}
	var entries []fs.DirEntry
	for _, path := range slices.Sorted(maps.Keys(d.names)) {
		if filepath.Dir(path) == dir && path != dir {
			entries = append(entries, fs.FileInfoToDirEntry(memInfo{filepath.Base(path), d.names[path]}))
		}
	}
	return entries, nil
}

func (d *memDisk) Rename(from, to string) error {
	f, err := d.lookup("rename", from)
	if err != nil {
		return err
	}
	delete(d.names, from)
	d.names[to] = f
	return nil
}

func (d *memDisk) Remove(name string) error {
	if _, err := d.lookup("remove", name); err != nil {
		return err
	}
	delete(d.names, name)
	return nil
}

func (d *memDisk) SyncDir(dir string) error {
	if err := d.step("syncdir", dir); err != nil {
		return err
	}
	inDir := func(path string, _ *memFile) bool { return filepath.Dir(path) == dir && path != dir }
	maps.DeleteFunc(d.durable, inDir)
	for path, f := range d.names {
		if inDir(path, f) {
			d.durable[path] = f
		}
	}
	return nil
}

// memHandle is an open file.
type memHandle struct {
	*memFile
	disk *memDisk
	name string
}

// Write writes half of the data if it fails.
func (f *memHandle) Write(b []byte) (int, error) {
	err := f.disk.step("write", f.name)
	if err != nil {
		b = b[:len(b)/2]
	}
	f.data = append(f.data, b...)
	return len(b), err
}

func (f *memHandle) Sync() error {
	if err := f.disk.step("sync", f.name); err != nil {
		return err
	}
	f.synced = len(f.data)
	return nil
}

func (f *memHandle) Close() error { return f.disk.step("close", f.name) }

// memInfo describes a file.
type memInfo struct {
	name string
	file *memFile
}

func (i memInfo) Name() string       { return i.name }
func (i memInfo) IsDir() bool        { return i.file == nil }
func (i memInfo) ModTime() time.Time { return time.Time{} }
func (i memInfo) Sys() any           { return nil }

func (i memInfo) Size() int64 {
	if i.file == nil {
		return 0
	}
	return int64(len(i.file.data))
}

func (i memInfo) Mode() fs.FileMode {
	if i.file == nil {
		return fs.ModeDir | 0o755
	}
	return 0o644
}

// committed returns the content of all files below a folder whose path has no component that begins with "." or "_", by name.
func (d *memDisk) committed(dir string) map[string]string {
	files := map[string]string{}
	for path, f := range d.names {
		below, ok := strings.CutPrefix(path, dir+"/")
		if ok && f != nil && !slices.ContainsFunc(strings.Split(below, "/"), hidden) {
			files[below] = string(f.data)
		}
	}
	return files
}

// all lists what is in a folder, hidden or not.
func (d *memDisk) all(dir string) []string {
	var paths []string
	for _, path := range slices.Sorted(maps.Keys(d.names)) {
		if below, ok := strings.CutPrefix(path, dir+"/"); ok && d.names[path] != nil {
			paths = append(paths, below)
		}
	}
	return paths
}

// failing returns a disk on which an operation on names with that prefix fails from now on.
func failing(operation, prefix string, err error) func(string, string) error {
	return func(op, name string) error {
		if op == operation && strings.HasPrefix(name, prefix) {
			return err
		}
		return nil
	}
}

// TestPowerCut shows that the disk of these tests loses what it should.
func TestPowerCut(t *testing.T) {
	d := newMemDisk()
	d.MkdirAll("/out")
	a, _ := d.Create("/out/a")
	a.Write([]byte("safe"))
	a.Sync()
	d.SyncDir("/out")
	a.Write([]byte(" and not"))
	d.Rename("/out/a", "/out/b")
	d.Create("/out/c")
	d.mend()
	if got := d.committed("/out"); len(got) != 1 || got["a"] != "safe" {
		t.Errorf("after a power cut: %v", got)
	}
	d.fail = failing("create", "c", syscall.ENOSPC)
	if _, err := d.Create("/out/c"); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("create on a full disk: %v", err)
	}
}
