package file

import (
	"context"
	"errors"
	"slices"
	"sync"
)

// backlog holds the files of a writer that are not durable yet. The writer adds them; other goroutines make them durable, one for each
// checkpoint under way, which takes as long as the disk wants, while the writer goes on.
type backlog struct {
	mu    sync.Mutex // guards files; not held across I/O
	files []*unsynced
	// turn is held while files are made durable, so that none is closed while another checkpoint that needs it too is at it.
	turn sync.Mutex
}

// unsynced is a file with bytes that a power cut would lose.
type unsynced struct {
	name string
	file DiskFile
	done bool // the writer writes no more to it: it is closed once it is durable
}

// add notes that a file was written to.
func (b *backlog) add(name string, f DiskFile, done bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.files = append(b.files, &unsynced{name, f, done})
}

// take returns what is to be made durable now. It stays in the backlog until that has been done.
func (b *backlog) take() []*unsynced {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.files)
}

// sync makes files durable, and their names in the folder. Those that a later checkpoint has made durable meanwhile are left alone.
func (b *backlog) sync(ctx context.Context, disk Disk, dir string, files []*unsynced) error {
	b.turn.Lock()
	defer b.turn.Unlock()
	files = b.stillIn(files)
	for _, f := range files {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := f.file.Sync(); err != nil {
			return diskError("make durable", f.name, err)
		}
	}
	if err := disk.SyncDir(dir); err != nil {
		return diskError("make durable", dir, err)
	}
	b.forget(files)
	var errs []error
	for _, f := range files {
		if f.done {
			errs = append(errs, diskError("close", f.name, f.file.Close()))
		}
	}
	return errors.Join(errs...)
}

// stillIn returns those of the files that are not durable yet.
func (b *backlog) stillIn(files []*unsynced) []*unsynced {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.DeleteFunc(files, func(f *unsynced) bool { return !slices.Contains(b.files, f) })
}

func (b *backlog) forget(files []*unsynced) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.files = slices.DeleteFunc(b.files, func(f *unsynced) bool { return slices.Contains(files, f) })
}

// close closes the files that nobody else closes. They were not made durable: no checkpoint knows of them.
func (b *backlog) close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	var errs []error
	for _, f := range b.files {
		if f.done {
			errs = append(errs, diskError("close", f.name, f.file.Close()))
		}
	}
	b.files = nil
	return errors.Join(errs...)
}
