// Package snapshot says what a snapshot of a job consists of: which bytes belong to which operator and subtask, and where they lie.
//
// Its types are values that coordinator, storage, backends and the assignment of state on restore exchange. They hold no open files
// and do no I/O; who writes a Stream is known by a contract alone, StreamWriter. The form of the `_metadata` file is here too (Encode, Decode), since it is these values written down.
//
//   - A Stream is immutable once it is in a TaskState.
//   - A Metadata names every byte that a restore needs, with length and checksum: what is not named does not belong to the snapshot.
package snapshot

import (
	"io"
	"time"

	"github.com/weirstream/weir/internal/element"
	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/keygroup"
)

// Scope says who owns the file of a stream, and with that when it may be deleted.
type Scope uint8

const (
	// Exclusive files belong to one checkpoint and lie in its directory.
	Exclusive Scope = iota
	// Shared files may belong to several checkpoints and lie in the job's shared directory.
	Shared
	// TaskOwned files hold streams of several subtasks and possibly of several checkpoints. Whoever has written them looks after them; the
	// coordinator deletes none, but the directory that they lie in once no checkpoint refers to it (see Metadata.Directories).
	TaskOwned
)

// Stream is a sequence of bytes that a task has written: either held here or in a file.
type Stream struct {
	// Inline holds the bytes themselves when Path is empty.
	Inline []byte
	// Path names the file that holds them. In a task's acknowledgement and in `_metadata` an Exclusive file is named relative to the
	// checkpoint's directory; after loading a checkpoint it is a full path that the checkpoint's storage understands.
	Path   string
	Scope  Scope
	Offset int64  // where in the file the stream begins, in bytes
	Length int64  // in bytes
	CRC    uint32 // crc32c (Castagnoli) of the stream's bytes
	// Partial marks what is left of a stream after it was cut on restore: the checksum is that of the whole one, so the part cannot be
	// checked by itself. A snapshot holds no such streams.
	Partial bool
}

// IsEmpty reports whether the stream holds no bytes at all, so that there is nothing to open.
func (s Stream) IsEmpty() bool { return s.Length == 0 }

// StreamWriter writes one stream. It is ended by Finish, which makes the stream durable and says where it is, or by Abort, which leaves nothing
// of it. It is used by one goroutine.
type StreamWriter interface {
	io.Writer
	Finish() (Stream, error)
	Abort() error
}

// FileLiker is a StreamWriter that has a use for a file that holds the same as the stream.
type FileLiker interface {
	// LikeFile says, before anything is written, that the stream is going to be what a local file holds. That may be deleted as soon as the stream
	// has ended, but is not changed.
	LikeFile(name string)
}

// Lender is a StreamWriter that takes without a copy what was appended to its own buffer.
type Lender interface {
	// AvailableBuffer returns an empty slice. What is appended to it, as far as there is room, is given to Write as a whole and not changed any more.
	// It is valid until the next call of a method, and nil while there is none.
	AvailableBuffer() []byte
}

// As returns a writer, or the first of those that it wraps, as a T, such as a FileLiker or a Lender. A writer says by a method Unwrap what it wraps.
func As[T any](w io.Writer) (x T, ok bool) {
	for {
		if x, ok = w.(T); ok {
			return x, true
		}
		outer, wraps := w.(interface{ Unwrap() StreamWriter })
		if !wraps {
			return x, false
		}
		w = outer.Unwrap()
	}
}

// Keyed is the state of the key groups of one subtask, or of those that remained after it was cut for another parallelism.
type Keyed struct {
	// Range holds the groups that are wanted from the stream; at the time of writing it equals Written.
	Range keygroup.Range
	// Written holds the groups that the stream was written with.
	Written keygroup.Range
	// Increment says that the stream holds only what has changed since the Keyed before it in the same subtask, which has the same
	// Written groups and the same Format. A chain begins with one that is whole, and is read in its order.
	Increment bool
	// Format names the state backend in whose own form the Files are. Then Stream holds no more than the head, or if this is an increment, a
	// segment of a changelog in the form of docs/formats/changelog.md, which changes what is in the Files; and Offsets is empty. It is
	// empty itself if Stream holds rows in the form of docs/formats/keyed.md, which every backend reads.
	Format string
	// Files holds the files of a backend's own form, under the names that it knows them by.
	Files []File
	// Offsets has one entry for each group in Written: where the group begins in the stream. The group ends where the next one
	// begins; the last ends at End.
	Offsets []int64
	End     int64
	// Header holds the length of the stream's head, which describes the states and must be read before any group.
	Header int64
	Stream Stream
}

// Bounds returns where a group, which must be one of those written, lies in the stream.
func (k *Keyed) Bounds(group int) (from, to int64) {
	i := group - k.Written.First
	if i+1 < len(k.Offsets) {
		return k.Offsets[i], k.Offsets[i+1]
	}
	return k.Offsets[i], k.End
}

// File is one file of a state backend.
type File struct {
	Name   string
	Stream Stream
}

// Mode says how the elements of a list state are handed out on restore.
type Mode uint8

const (
	// Split deals the elements out, each to exactly one subtask.
	Split Mode = iota
	// Union gives all elements to every subtask.
	Union
	// Broadcast gives each subtask a whole copy.
	Broadcast
	// Merged gives all elements to every subtask, like Union, but does without those of subtasks that have finished.
	Merged
)

// List is one operator list state of one subtask.
type List struct {
	Name   string
	Mode   Mode
	Schema []byte // canonical form of the elements' schema, as written by codec.Schema
	// Offsets has one entry for each element, from the first that is wanted on: where it begins in the stream. The last one ends at
	// Stream.Length.
	Offsets []int64
	Stream  Stream
}

// The list states that sinks and clocks keep in forms of the engine's own (without a schema), and that mean something when nobody takes
// them up again.
const (
	// UncommittedList holds what a sink has prepared and what was not known to be committed: output that exists nowhere else.
	UncommittedList = "sink-pending"
	// EventTimeList and WatermarkList say how far event time had come. Without them what was late may be on time again.
	EventTimeList = "event-time"
	WatermarkList = "watermark"
)

// OperatorSubtask is what one subtask of one operator has in a snapshot. A missing value (nil pointer) means that it has no state.
type OperatorSubtask struct {
	// Keyed holds one when written, or one and the increments on it; after a cut possibly those of several subtasks, one after the other.
	Keyed []Keyed
	Lists []List // one of each name when written, possibly several after a restore, whose elements follow one another
	// Finished marks a subtask that had finished before the checkpoint: its state is gone for good.
	Finished bool
}

// Chains returns the keyed state chain by chain: each a stream that is whole, and the increments on it.
func (o *OperatorSubtask) Chains() (chains [][]Keyed) {
	for i := range o.Keyed {
		if n := len(chains); o.Keyed[i].Increment && n > 0 {
			chains[n-1] = append(chains[n-1], o.Keyed[i])
			continue
		}
		chains = append(chains, []Keyed{o.Keyed[i]})
	}
	return chains
}

// IsEmpty reports whether there is nothing to restore in it.
func (o *OperatorSubtask) IsEmpty() bool { return o == nil || len(o.Keyed) == 0 && len(o.Lists) == 0 }

// Operator is one operator's part in an acknowledgement.
type Operator struct {
	ID    job.OperatorID
	State *OperatorSubtask // nil: no state
}

// Task is what one subtask of a task acknowledges a checkpoint with, one entry for each operator of its chain, head first.
type Task struct {
	Operators []Operator
	// FinishedOnRestore marks a task that was restored as finished: it only forwards barriers.
	FinishedOnRestore bool
	// OperatorsFinished marks a task whose operators have all seen the end of data.
	OperatorsFinished bool
	// Directories names the directories of TaskOwned and merged files that the state lies in: see Metadata.
	Directories []string
}

// OperatorState is one operator's part in a completed checkpoint.
type OperatorState struct {
	ID             job.OperatorID
	Name           string // the user's id of the step, or its generated name; for messages and tools
	Named          bool   // whether Name is the user's id, and so may be matched on restore
	Parallelism    int
	MaxParallelism int
	// FullyFinished marks an operator all of whose subtasks had seen the end of the data: it does not run again. It has no state but,
	// possibly, lists of what was pending outside.
	FullyFinished bool
	// Coordinator holds the state of the operator's coordinator (the split enumerator of a source), nil if it has none.
	Coordinator []byte
	// Subtasks has one entry for each subtask of the parallelism, nil where it had no state.
	Subtasks []*OperatorSubtask
	Location string // where a source reads or a sink writes, empty for others
}

// HasState reports whether anything would be lost if no operator took this state.
func (o *OperatorState) HasState() bool {
	if len(o.Coordinator) > 0 {
		return true
	}
	for _, s := range o.Subtasks {
		if !s.IsEmpty() {
			return true
		}
	}
	return false
}

// Uncommitted returns how much of a sink's output is prepared in the snapshot, in the sink's own units, each of which would be lost if no
// operator took this state. Some of it may have been committed just after the snapshot was complete.
func (o *OperatorState) Uncommitted() int {
	n := 0
	o.eachList(func(l *List) {
		if l.Name == UncommittedList && len(l.Schema) == 0 {
			n += len(l.Offsets)
		}
	})
	return n
}

// OnlyClocks reports whether all that the state tells is how far event time had come.
func (o *OperatorState) OnlyClocks() bool {
	only := len(o.Coordinator) == 0
	for _, s := range o.Subtasks {
		only = only && (s == nil || len(s.Keyed) == 0)
	}
	o.eachList(func(l *List) {
		only = only && len(l.Schema) == 0 && (l.Name == EventTimeList || l.Name == WatermarkList)
	})
	return only
}

func (o *OperatorState) eachList(f func(*List)) {
	for _, s := range o.Subtasks {
		if s == nil {
			continue
		}
		for i := range s.Lists {
			f(&s.Lists[i])
		}
	}
}

// Kind says what a snapshot was taken for.
type Kind uint8

const (
	// Checkpoint is taken by the job for itself, to recover from a failure.
	Checkpoint Kind = iota
	// Savepoint is taken for a user, who owns it.
	Savepoint
)

// Metadata is the content of a `_metadata` file: everything a restore needs to know.
type Metadata struct {
	Job        job.ID
	JobName    string
	Line       string // id of the job line that took it
	Checkpoint job.CheckpointID
	Kind       Kind
	// Native marks a savepoint in the state backend's own format instead of the canonical one.
	Native bool
	// Stop says whether the job has stopped with the savepoint, and how.
	Stop      element.Stop
	Epoch     int64     // epoch of the job line in which it was published
	Triggered time.Time // wall clock
	Completed time.Time // wall clock
	Graph     string    // fingerprint of the job graph it was taken of
	KeyHash   string    // name of the key hash, keyhash.Name when written by this version
	GroupRule string    // name of the group rule, keygroup.GroupRule when written by this version
	// Directories names in full the directories that tasks have made for files with the streams of several subtasks. One is deleted as a
	// whole, once no checkpoint names it any more.
	Directories []string
	Operators   []OperatorState
}

// Size returns the number of bytes of state that the snapshot refers to, inline ones included.
func (m *Metadata) Size() int64 {
	var n int64
	m.EachStream(func(s *Stream) { n += s.Length })
	return n
}

// EachStream calls f for every stream of the snapshot, in the order of operators and subtasks. f may change the stream.
func (m *Metadata) EachStream(f func(*Stream)) {
	for i := range m.Operators {
		for _, sub := range m.Operators[i].Subtasks {
			sub.EachStream(f)
		}
	}
}

// EachStream calls f for every stream of one subtask's state; it accepts a nil receiver.
func (o *OperatorSubtask) EachStream(f func(*Stream)) {
	if o == nil {
		return
	}
	for i := range o.Keyed {
		f(&o.Keyed[i].Stream)
		for j := range o.Keyed[i].Files {
			f(&o.Keyed[i].Files[j].Stream)
		}
	}
	for i := range o.Lists {
		f(&o.Lists[i].Stream)
	}
}

// Size returns the number of bytes of state in one task's acknowledgement.
func (t *Task) Size() int64 {
	var n int64
	for _, op := range t.Operators {
		op.State.EachStream(func(s *Stream) { n += s.Length })
	}
	return n
}
