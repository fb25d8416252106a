package file

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

var errBroken = errors.New("the process is dead")

// breakingDisk is the operating system's disk until it breaks: then every operation fails, as none happens after a kill. A power cut
// also takes what was written and not synced.
type breakingDisk struct {
	Disk
	mu sync.Mutex
	// left is the number of operations until it breaks; 0 or less: broken. armed says that they count.
	left  int
	armed bool
	// synced are the lengths up to which files are durable.
	synced map[string]int64
	open   map[string]*breakingFile
	// fail, if set, is asked before each operation.
	fail func(operation, name string) error
}

func newBreakingDisk() *breakingDisk {
	return &breakingDisk{Disk: OS(), synced: map[string]int64{}, open: map[string]*breakingFile{}}
}

func (d *breakingDisk) breakAfter(n int) { d.left, d.armed = n, true }

// mend is the next start, after a power cut: what was not synced is cut off.
func (d *breakingDisk) mend() {
	d.armed = false
	for name, size := range d.synced {
		if info, err := os.Stat(name); err == nil && info.Size() > size {
			if err := os.Truncate(name, size); err != nil {
				panic(err)
			}
		}
	}
	clear(d.synced)
}

func (d *breakingDisk) step(operation, name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fail != nil {
		if err := d.fail(operation, filepath.Base(name)); err != nil {
			return &fs.PathError{Op: operation, Path: name, Err: err}
		}
	}
	if !d.armed {
		return nil
	}
	if d.left--; d.left <= 0 {
		return errBroken
	}
	return nil
}

func (d *breakingDisk) MkdirAll(dir string) error {
	if err := d.step("mkdir", dir); err != nil {
		return err
	}
	return d.Disk.MkdirAll(dir)
}

func (d *breakingDisk) Create(name string) (DiskFile, error) {
	if err := d.step("create", name); err != nil {
		return nil, err
	}
	f, err := d.Disk.Create(name)
	d.synced[name] = 0
	return d.file(f, name), err
}

func (d *breakingDisk) Append(name string) (DiskFile, error) {
	if err := d.step("append", name); err != nil {
		return nil, err
	}
	f, err := d.Disk.Append(name)
	return d.file(f, name), err
}

func (d *breakingDisk) file(f DiskFile, name string) DiskFile {
	d.open[name] = &breakingFile{f, d, name}
	return d.open[name]
}

func (d *breakingDisk) Open(name string) (io.ReadCloser, error) {
	if err := d.step("open", name); err != nil {
		return nil, err
	}
	return d.Disk.Open(name)
}

func (d *breakingDisk) Stat(name string) (fs.FileInfo, error) {
	if err := d.step("stat", name); err != nil {
		return nil, err
	}
	return d.Disk.Stat(name)
}

func (d *breakingDisk) ReadDir(dir string) ([]fs.DirEntry, error) {
	if err := d.step("readdir", dir); err != nil {
		return nil, err
	}
	return d.Disk.ReadDir(dir)
}

func (d *breakingDisk) Rename(from, to string) error {
	if err := d.step("rename", from); err != nil {
		return err
	}
	if size, ok := d.synced[from]; ok {
		d.synced[to] = size
		delete(d.synced, from)
	}
	if f, ok := d.open[from]; ok { // goes on under the new name
		f.name = to
		d.open[to] = f
		delete(d.open, from)
	}
	return d.Disk.Rename(from, to)
}

func (d *breakingDisk) Remove(name string) error {
	if err := d.step("remove", name); err != nil {
		return err
	}
	delete(d.synced, name)
	return d.Disk.Remove(name)
}

// SyncDir does not reach the device, as Sync does not: these tests are about what is asked for, and a sync takes milliseconds.
func (d *breakingDisk) SyncDir(dir string) error { return d.step("syncdir", dir) }

type breakingFile struct {
	DiskFile
	disk *breakingDisk
	name string
}

// Write writes half of the data if the disk breaks.
func (f *breakingFile) Write(b []byte) (int, error) {
	if err := f.disk.step("write", f.name); err != nil {
		n, _ := f.DiskFile.Write(b[:len(b)/2])
		return n, err
	}
	return f.DiskFile.Write(b)
}

// Sync remembers up to where the file is durable.
func (f *breakingFile) Sync() error {
	if err := f.disk.step("sync", f.name); err != nil {
		return err
	}
	info, err := os.Stat(f.name)
	if err != nil {
		return err
	}
	f.disk.synced[f.name] = info.Size()
	return nil
}

func (f *breakingFile) Close() error {
	if f.disk.armed && f.disk.left <= 0 {
		f.DiskFile.Close()
		return errBroken
	}
	return f.DiskFile.Close()
}
