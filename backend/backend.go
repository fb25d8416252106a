// Package backend is the contract of a place where the keyed state of a running job can lie. Implement [Factory] and [Store] to keep it
// somewhere new, register the factory with state.RegisterBackend, and run the suite state/statetest against it.
//
// A store keeps bytes by key, in order of the keys. It knows nothing of Go types, of the kinds of state or of time: the engine keeps the rows
// that records are working on in memory, encodes and decodes them, and comes to the store in batches: to read the rows that are missing, to
// write those that have changed, and to have the whole preserved in a checkpoint.
//
//   - There is one store for each subtask of each keyed step. It holds the key groups of that subtask and nothing else, and nobody else
//     sees it.
//   - A key begins with its key group, two bytes, the higher first: see [GroupKey]. So the keys of a range of groups are a range of keys.
//     What follows has no meaning for a store. Keys are compared byte by byte, as bytes.Compare does.
//   - A store need not survive a crash. What survives is what [Store.Snapshot] has given to the engine.
//   - Bytes that are passed in either direction belong to whoever passes them, and are valid until the call returns or as long as is said.
//     Who keeps them longer copies them.
//   - [Store.Get] and [Store.Scan] are called by one goroutine, [Store.Apply], [Store.Snapshot] and again Scan by one other at the same time.
//     An iterator is used by one goroutine, whichever it is. Close is called when all are done. A [Snapshot] may be used, and closed, by any
//     goroutine and after its store was closed.
//   - An error of any method fails the subtask, which restarts with a new store from the last checkpoint. Say what was done and to which file,
//     and wrap the error of the operating system, so that "no space left" is found. An error that says that stored bytes are damaged wraps
//     [ErrCorrupt].
package backend

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"time"
)

// ErrCorrupt is wrapped by errors that prove that stored bytes are not what was written.
var ErrCorrupt = errors.New("corrupt state")

// Job is what a factory is made for.
type Job struct {
	Name string
	// Settings holds the configuration's keys that begin with state.backend.<name>. for the name under which the backend was registered,
	// without that prefix, as they were written.
	Settings map[string]string
	Logger   *slog.Logger
	Now      func() time.Time
}

// New makes the factory of one job. It refuses settings that it does not know or cannot follow; a job whose factory cannot be made does not
// start.
type New func(Job) (Factory, error)

// Factory makes the stores of all subtasks of one job in one process, and keeps what they share. Its methods may be called concurrently.
type Factory interface {
	// Open makes the store of one attempt of a subtask. It is empty, or holds what env.Restored has in all its parts together, which do not
	// overlap. The context ends a restore that takes too long.
	Open(ctx context.Context, env Env) (Store, error)
	// Close releases what the stores share. It is called once, when all of them and all their snapshots are closed.
	Close() error
}

// Env says whose store it is.
type Env struct {
	Step        string // the step's id, for messages
	Subtask     int
	Parallelism int // of the step: as many stores like this one are open at a time
	Attempt     int // counts up when the subtask is restarted
	Groups      Groups
	Restored    []Part
	// InPlace says that little of the store will be looked at, and nothing be preserved: a backend may leave the files of Restored where they are and
	// read of them what is asked for, with the context of Open, instead of fetching them first. It need not.
	InPlace bool
	Logger  *slog.Logger
}

// Groups is a range of key groups, both ends included.
type Groups struct{ First, Last int }

// Within reports whether all of g lies in o.
func (g Groups) Within(o Groups) bool { return o.First <= g.First && g.Last <= o.Last }

// Keys returns the range of keys of the groups: from the first one, which is in it, to the end, which is not.
func (g Groups) Keys() (from, to []byte) { return GroupKey(g.First), GroupKey(g.Last + 1) }

// GroupKey returns what every key of a group begins with. A max parallelism is at most 32768, so the group after the last one has a key too.
func GroupKey(group int) []byte { return binary.BigEndian.AppendUint16(nil, uint16(group)) }

// Part is a snapshot that a store begins with, or the part of it that has remained after the job was given another parallelism.
type Part struct {
	// Groups are those that are wanted. They lie within Written.
	Groups Groups
	// Written are those of the store that the snapshot was taken of. Keys outside of Groups must not be in the new store.
	Written Groups
	Meta    []byte // see Snapshot.Meta
	Files   []StoredFile
}

// StoredFile is a file of a snapshot, as it was handed over.
type StoredFile struct {
	Name string
	Size int64
	// Open opens it for reading. Several may be read at once.
	Open func(ctx context.Context) (FileReader, error)
}

// FileReader reads one stored file. ReadAt may be called concurrently.
type FileReader interface {
	io.ReaderAt
	io.Closer
}

// Store holds the state of one subtask as bytes.
type Store interface {
	// Get looks keys up, which ascend and differ. It calls found for each that is there, in any order, with its index among the keys; the
	// value is valid during that call. An error of found ends it and is returned. What Apply has written before it returned is found, what
	// it is just writing may be.
	Get(keys [][]byte, found func(i int, value []byte) error) error
	// Scan returns an iterator over the keys from and up to but without to, in order. It shows the store as it is now: all that was applied
	// before, and nothing of what is applied while it is open, which may be for as long as it takes to write a savepoint. Several may be open
	// at once, and each may be used by another goroutine.
	Scan(from, to []byte) (Iterator, error)
	// Apply makes the changes of a batch, in their order: of two that concern one key the later one counts. The batch belongs to the caller
	// again afterwards. After an error nobody looks at the store any more, so it need not be undone.
	Apply(b *Batch) error
	// Snapshot preserves the store as it is now. It should take time in proportion to what was applied since the snapshot before rather than
	// to all that is there: Apply waits for it. The context ends it early, with an error.
	Snapshot(ctx context.Context) (Snapshot, error)
	// Close gives the store up with all that belongs to it alone, its files included. Snapshots stay. It is idempotent.
	Close() error
}

// Measured is a Store that tells what it takes, as metrics of its step: numbers by name, bytes if the name says nothing else. What several stores
// share each of them tells. It is called now and then by the subtask, which waits for it.
type Measured interface {
	Store
	Metrics() map[string]int64
}

// Iterator goes through keys in order. It begins before the first one, and is closed by whoever has asked for it.
type Iterator interface {
	// Next moves on and reports whether there is a key. After it was false, Err says why.
	Next() bool
	// Key and Value return what is at the present place. They are valid until the next call of Next or Close.
	Key() []byte
	Value() []byte
	// Err returns the first error, nil at the end of the range.
	Err() error
	Close() error
}

// Snapshot is a store at one moment, as files that do not change any more. The engine reads them and writes them to the checkpoint, and hands
// them back in a [Part]. A snapshot stays readable until it is closed.
type Snapshot interface {
	// Meta returns a few bytes that the backend needs beside the files, nil for none.
	Meta() []byte
	Files() []File
	// Open opens one of the files by its name. Several may be open at once. If it returns an *os.File of a lasting file, a copy on the same
	// machine may be a hard link to it.
	Open(name string) (io.ReadCloser, error)
	// Close gives the snapshot up. It is idempotent.
	Close() error
}

// File is one file of a snapshot.
type File struct {
	Name string // short; no two in a snapshot are the same
	Size int64  // in bytes
	// Lasting says that a file of this name has the same content in every later snapshot of this store that has it, and in those of a store that
	// was opened with this snapshot as its only part, with all groups. Such a file is written to the checkpoint storage once, and later
	// checkpoints refer to it: that is what makes them incremental. A backend that has no such files writes everything every time.
	Lasting bool
}
