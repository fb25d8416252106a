package linefile

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// errHeld is returned by lockFile if another open file has the lock.
var errHeld = errors.New("held")

// Lock keeps other processes out of a line. The operating system takes it away when the process dies, however it dies.
type Lock struct{ file *os.File }

// HeldError means that another process has the line.
type HeldError struct {
	Name string // the job's name
	Dir  string // the checkpoint directory
	Holder
}

// Error says who has the line and what to do.
func (e *HeldError) Error() string {
	return fmt.Sprintf("job %q with checkpoints in %s is running already: %s. Stop that one first, or give this one another checkpoint directory and output",
		e.Name, e.Dir, e.Holder)
}

// TakeLock takes the lock of the job named name in a local checkpoint directory, which it creates if need be. It does not wait: if
// another process has the lock it fails with a *HeldError. On systems without such locks it succeeds always.
func TakeLock(dir, name string, now time.Time) (*Lock, error) {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, fmt.Errorf("job %q: create its checkpoint directory: %w", name, err)
	}
	file, err := os.OpenFile(filepath.Join(dir, fileName(name)+lockSuffix), os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, fmt.Errorf("job %q: open its lock: %w", name, err)
	}
	if err := lockFile(file); err != nil {
		defer file.Close()
		if errors.Is(err, errHeld) {
			return nil, holder(file, dir, name)
		}
		return nil, fmt.Errorf("job %q: lock %s: %w", name, file.Name(), err)
	}
	if err := writeHolder(file, now); err != nil {
		file.Close()
		return nil, fmt.Errorf("job %q: write %s: %w", name, file.Name(), err)
	}
	return &Lock{file}, nil
}

// Release gives the line free. The file stays: removing it would let two processes lock two files of one name. To close the file is not enough:
// while this process starts another, that one has all open files for a moment, and with them the lock.
func (l *Lock) Release() error {
	return errors.Join(l.file.Truncate(0), unlockFile(l.file), l.file.Close())
}

// writeHolder tells others who has the lock. Nobody decides anything by it.
func writeHolder(file *os.File, now time.Time) error {
	if err := file.Truncate(0); err != nil {
		return err
	}
	_, err := file.WriteAt([]byte(thisProcess(now).text()), 0)
	return err
}

// holder reads who has the lock. The holder may be about to write it, so everything in it may be missing.
func holder(file *os.File, dir, name string) *HeldError {
	held := &HeldError{Name: name, Dir: dir}
	if text, err := io.ReadAll(io.NewSectionReader(file, 0, 4096)); err == nil {
		held.Holder = parseHolder(string(text))
	}
	return held
}
