// Package storage is the contract of a place where checkpoints can be kept. Implement FS to keep them somewhere new, and run
// storagetest against it.
//
// It is small enough for a local disk, a file system on a network and an object store. Paths use slashes and are interpreted by the
// implementation; a directory need not exist as a thing of its own.
//
//   - What Commit, PutIfAbsent, Swap and Remove have returned success for survives a crash of the process and of the machine.
//   - What has not been committed is either absent or a file that nobody refers to.
//   - A failed operation may have taken effect all the same (the reply to a network request can be lost). Only ErrNotExist, ErrExist
//     and ErrChanged say something about what is stored, and an implementation returns them only on proof.
//   - Errors of the operating system and of context are wrapped, so that errors.Is finds them (no space, permission, deadline).
//   - Names that begin with ".weir-" belong to implementations: List does not show them and callers do not use them.
//   - All methods may be called concurrently, also by several processes.
package storage

import (
	"context"
	"errors"
	"io"
	"time"
)

// Errors that callers act on. Implementations wrap them, with the path and the operation in the text.
var (
	// ErrNotExist means that the file is definitely absent: not a time-out, not a permission.
	ErrNotExist = errors.New("does not exist")
	// ErrExist means that a file stands already where one was to be created.
	ErrExist = errors.New("exists already")
	// ErrChanged means that Swap found other content than the caller had read.
	ErrChanged = errors.New("was changed by another process")
)

// FS is a place that keeps files.
type FS interface {
	// MakeDir makes sure that a directory exists, and those above it. A place without directories of its own does nothing.
	MakeDir(ctx context.Context, dir string) error
	// Create begins a new file and the directories above it. It fails with ErrExist rather than overwrite; where that would take a request
	// of its own, Commit does. The file may become visible before Commit. The context covers the writer too: once it is cancelled, Write
	// and Commit fail.
	Create(ctx context.Context, path string) (Writer, error)
	// Open opens a file for reading. It fails with ErrNotExist only on proof that the file is absent. The context covers the reader too.
	Open(ctx context.Context, path string) (Reader, error)
	// PutIfAbsent writes a whole file in one atomic, durable step, and fails with ErrExist if there is one: of several callers
	// exactly one succeeds, and a reader sees all of the data or no file. It makes the directories above.
	PutIfAbsent(ctx context.Context, path string, data []byte) error
	// Swap replaces the content of a file in one atomic, durable step, provided that it still is old; nil old means that there must
	// be no file. It fails with ErrChanged otherwise. It excludes other calls of Swap, not a Remove or a Writer of the same path.
	Swap(ctx context.Context, path string, old, new []byte) error
	// List returns the entries directly below a directory in order of name; an absent directory has none.
	List(ctx context.Context, dir string) ([]Entry, error)
	// Remove deletes files or empty directories, and returns when they are gone for good. An absent one is no error. It goes on after
	// a failure, in no particular order, and returns one of the errors.
	Remove(ctx context.Context, paths ...string) error
	// RemoveAll deletes a directory with all that is below it. An absent one is no error. It is not atomic.
	RemoveAll(ctx context.Context, dir string) error
}

// Spreader is an FS of a store that divides its work among machines by the beginnings of paths. In a path with its marker, each file of state
// gets so many random characters in the place of it, and all else has nothing there.
type Spreader interface {
	FS
	// Entropy returns the marker, "" for none, and the number of characters, at least 1.
	Entropy() (marker string, length int)
}

// Walker is an FS that finds all files below a directory about as fast as it can name them, in however many directories they are: where directories
// are but parts of names.
type Walker interface {
	FS
	// Walk calls each for all files below a directory, in no particular order, with their paths as Remove takes them, until each returns an
	// error, which Walk wraps. An absent directory has none. Files whose names begin with ".weir-" it leaves out, as List does. An FS that stands for
	// several others answers with errors.ErrUnsupported for one that is no Walker.
	Walk(ctx context.Context, dir string, each func(path string, sizeBytes int64) error) error
}

// Writer writes one new file. It is used by one goroutine and ended by exactly one of Commit and Abort.
type Writer interface {
	io.Writer
	// Commit makes the file durable and closes it. If it fails, the writer has ended too and removes the file as far as it can.
	Commit() error
	// Abort gives the file up and removes what was written of it, as far as that is possible.
	Abort() error
}

// Syncer is a Writer whose file can be made durable while it is still being written, so that it can be read up to there. Where no Writer is
// one, as in stores of objects, a file that is to be read has to be committed first.
type Syncer interface {
	Writer
	// Sync makes durable what was written so far. From the first Sync that succeeds on, Abort and a Commit that fails leave the file as it
	// was at the last one, or with more. After a Sync that failed the writer is of no use but to be ended by Abort. Sync may be called
	// by one goroutine while another one reads the file, but not while one writes.
	Sync() error
}

// Resumer is a Writer that can go on after a failure, because it holds what it has taken and the store has not. With it a file of any size
// survives failures that pass; of one from another Writer somebody must hold all.
type Resumer interface {
	Writer
	// Resume readies the writer to go on after a Write or TryCommit that has failed, and does nothing otherwise. The caller goes on with the bytes
	// behind those that Write has said it took, or calls TryCommit again. These calls write again what is not surely in the file, so their
	// failures may be those of bytes that were taken long before. If Resume fails, nobody can say any more what is in the file: the
	// writer can only be ended by Abort.
	Resume() error
	// TryCommit is Commit, but for a failure, which leaves the writer as it is, to be ended by Abort unless Resume succeeds. As long as the writer
	// is not ended, a file that shows before Commit stays there, to be read.
	TryCommit() error
}

// Reader reads one file. ReadAt may be called concurrently.
type Reader interface {
	io.ReaderAt
	io.Closer
	// Size returns the length of the file in bytes.
	Size() int64
}

// Entry is one file or directory in a listing.
type Entry struct {
	Name     string // the last part of the path
	Dir      bool
	Size     int64 // in bytes; 0 for a directory
	Modified time.Time
}
