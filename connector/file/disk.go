package file

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// Disk is what the sink asks of a disk. Tests replace it by one that fails. Paths are the operating system's.
type Disk interface {
	// MkdirAll makes a folder and those above it, and makes them durable.
	MkdirAll(dir string) error
	// Create makes a new file and fails if there is one of that name.
	Create(name string) (DiskFile, error)
	// Append opens a file to write behind its end.
	Append(name string) (DiskFile, error)
	// Open opens a file to read.
	Open(name string) (io.ReadCloser, error)
	// Stat describes a file, with fs.ErrNotExist only on proof that it is absent.
	Stat(name string) (fs.FileInfo, error)
	// SameFile reports whether two results of Stat describe one file, whatever its name was.
	SameFile(a, b fs.FileInfo) bool
	// ReadDir lists a folder in order of name.
	ReadDir(dir string) ([]fs.DirEntry, error)
	// Rename gives a file another name in one step, and replaces what has that name.
	Rename(from, to string) error
	// Remove deletes a file.
	Remove(name string) error
	// SyncDir makes durable which names are in a folder.
	SyncDir(dir string) error
}

// DiskFile is a file that is being written.
type DiskFile interface {
	io.WriteCloser
	// Sync makes durable what was written.
	Sync() error
}

// OS returns the disk of the operating system.
func OS() Disk { return osDisk{} }

type osDisk struct{}

func (osDisk) Create(name string) (DiskFile, error) {
	return opened(os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644))
}

func (osDisk) Append(name string) (DiskFile, error) {
	return opened(os.OpenFile(name, os.O_APPEND|os.O_WRONLY, 0))
}

// opened keeps a nil *os.File from becoming a DiskFile that is not nil.
func opened(f *os.File, err error) (DiskFile, error) {
	if err != nil {
		return nil, err
	}
	return f, nil
}

func (osDisk) Open(name string) (io.ReadCloser, error)   { return os.Open(name) }
func (osDisk) Stat(name string) (fs.FileInfo, error)     { return os.Lstat(name) }
func (osDisk) ReadDir(dir string) ([]fs.DirEntry, error) { return os.ReadDir(dir) }
func (osDisk) Rename(from, to string) error              { return os.Rename(from, to) }
func (osDisk) Remove(name string) error                  { return os.Remove(name) }

func (osDisk) SameFile(a, b fs.FileInfo) bool { return os.SameFile(a, b) }

func (d osDisk) MkdirAll(dir string) error {
	if info, err := os.Stat(dir); err == nil && info.IsDir() {
		return nil
	}
	parent := filepath.Dir(dir)
	if parent != dir {
		if err := d.MkdirAll(parent); err != nil {
			return err
		}
	}
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return d.SyncDir(parent)
}

func (osDisk) SyncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// diskError names the operation and says what a user can do about an error of the disk.
func diskError(operation, name string, err error) error {
	if err == nil {
		return nil
	}
	var inner *fs.PathError // repeats the name
	if errors.As(err, &inner) {
		err = inner.Err
	}
	return fmt.Errorf("%s %s: %w%s", operation, name, err, remedy(err))
}

func remedy(err error) string {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return ": make room and start the job again; nothing committed is lost, it goes on from its last checkpoint"
	case errors.Is(err, syscall.EROFS), errors.Is(err, fs.ErrPermission):
		return ": make the folder writable for this user and start the job again; nothing committed is lost, it goes on from its last checkpoint"
	}
	return ""
}
