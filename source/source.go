// Package source is the contract between a job and what it reads. Implement Source to read from somewhere new.
//
// What there is to read is cut into splits: a file, a partition of a topic, a range of numbers. One Enumerator per source finds the
// splits and hands them out; one Reader per subtask reads the splits it was given and knows how far it came in each. A checkpoint
// holds what the enumerator still has and every reader's splits with their positions, so each record is read exactly once.
//
//   - An Enumerator is used by one goroutine, the job's coordinator. Its methods may do short I/O when the job starts, not later.
//   - A Reader is used by one goroutine, its subtask. It may block that subtask, and nothing else, for reading from a disk.
//   - A split goes to another subtask, or the same one, after a restore; only its ID and Data go with it.
package source

import (
	"context"
	"errors"
	"log/slog"
	"time"
)

// Source reads records of type T. It is a description: it opens nothing until a job runs.
type Source[T any] interface {
	// Location says where it reads, as a user would write it: a path, a topic. A job refuses to go on from a checkpoint
	// that was taken of another location. Empty if there is nothing to compare.
	Location() string
	// Enumerator starts handing out splits. restored is what Snapshot returned in the checkpoint that the job goes on from, nil for
	// a new start.
	Enumerator(ctx context.Context, env EnumeratorEnv, restored []byte) (Enumerator, error)
	// Reader returns the reader of one subtask, which has no splits yet.
	Reader(ctx context.Context, env ReaderEnv) (Reader[T], error)
}

// Checker is a Source that can tell what is wrong with its description before a job runs: an option, a record type.
type Checker interface {
	// CheckSource returns all mistakes, joined. It does no I/O.
	CheckSource() error
}

// Split is a part of what there is to read.
type Split struct {
	ID   string // unique within the source and the same in every run
	Data []byte // what a reader needs to go on, in the source's own form: location, position, checks
}

// EnumeratorEnv is what an enumerator knows of its job.
type EnumeratorEnv struct {
	Parallelism int // number of readers
	// RestoredFrom is the checkpoint that the job goes on from, 0 in one that begins. In it restored may still be nil: then the checkpoint
	// does not know this source.
	RestoredFrom int64
	Logger       *slog.Logger
	// Backlog tells the job that the source begins to work off what has piled up, such as the history before live data, or that it has
	// caught up. In between fewer checkpoints may do, as the user has set it. Any goroutine may call it. A source has no backlog at first,
	// also after a restart, nor when all its data is read.
	Backlog func(on bool)
	// Changed tells the job that Next may have a split for a reader it told to Wait. Any goroutine may call it.
	Changed func()
}

// Enumerator finds splits and hands them out.
type Enumerator interface {
	// Next returns the next split for a reader that has asked for one.
	Next(subtask int) (Split, Assignment, error)
	// AddBack takes back splits of a subtask that restarts, while others go on, from a checkpoint that was taken before the subtask was
	// given them. The subtask will ask again, and must be able to get them; so may any other that has not been told NoMore. Splits are as
	// Next has returned them. After AddBack those who wait are asked for again, as after Changed. A panic restarts the whole job.
	AddBack(subtask int, splits []Split)
	// Snapshot returns what it must be restored with, which is what it has not handed out yet. It is never empty, also when there is
	// nothing left: nothing means a new start.
	Snapshot() ([]byte, error)
	// Close releases what it holds.
	Close() error
}

// CheckpointListener is an Enumerator that is told how checkpoints end, on the goroutine of its other methods. It must not block.
//
//   - Complete: what Snapshot returned for the checkpoint, and all before it, will be what a restart goes on from. Ids ascend; none comes
//     twice; some may be left out, and then a later one speaks for them. Savepoints are not told. An error fails the job.
//   - Aborted: there will be no such checkpoint. It may be left out. An error fails the job.
type CheckpointListener interface {
	CheckpointComplete(checkpoint int64) error
	CheckpointAborted(checkpoint int64) error
}

// ResetListener is an Enumerator that keeps something for each of its readers. A restart of the whole job does not call it: then there is a
// new enumerator, made from the checkpoint.
type ResetListener interface {
	// SubtaskReset tells that the reader of a subtask begins again from a checkpoint, 0 if from nothing, with the splits that it had then.
	// What it was given since has been taken back by AddBack before.
	SubtaskReset(subtask int, checkpoint int64)
}

// Assignment says what Next did.
type Assignment int

const (
	// Assigned means that Next returned a split.
	Assigned Assignment = iota
	// Wait means that there is none now, but there may be later: the enumerator will call Changed.
	Wait
	// NoMore means that there will never be another split for this reader.
	NoMore
)

// ReaderEnv is what a reader knows of its subtask.
type ReaderEnv struct {
	Subtask      int
	Parallelism  int
	Attempt      int   // 1 for the first start in this process, one more after each restart
	RestoredFrom int64 // the checkpoint that the job goes on from, 0 in one that begins
	Logger       *slog.Logger
	// Now returns the job's wall clock, which is virtual in tests. It costs some 50 ns: call it per batch.
	Now func() time.Time
	// RequestSplit asks the enumerator for a split; the answer comes as a call of AddSplits or NoMoreSplits. Call it from the reader's
	// methods only. While a request is open further ones are ignored.
	RequestSplit func()
	// Wake makes the job poll a reader that had returned Idle. Any goroutine may call it.
	Wake func()
}

// Reader reads the splits of one subtask.
type Reader[T any] interface {
	// Start is called once, after the splits restored from a checkpoint have been added and before the first Poll. A reader without
	// splits requests one here.
	Start() error
	// AddSplits gives the reader more to read.
	AddSplits(splits []Split) error
	// NoMoreSplits tells it that none will follow.
	NoMoreSplits()
	// Poll appends records to b, all of one split and at most b.Max of them, and returns at once if there are none.
	Poll(b *Batch[T]) (Status, error)
	// Snapshot returns the splits it has not finished, each with the position after the last record that Poll returned.
	Snapshot(checkpoint int64) ([]Split, error)
	// CheckpointComplete tells it that everything up to the Snapshot of that checkpoint is safe; it may acknowledge it outside. Ids
	// ascend and none comes twice; some may be left out, and then a later one speaks for them. A savepoint is not told, nor is the
	// checkpoint that the job was restored from. An error fails the subtask.
	CheckpointComplete(checkpoint int64) error
	// Close releases what it holds. It is called once, also after an error.
	Close() error
}

// AbortListener is a Reader that is told when a checkpoint was given up. It may not be told, and may be told of one for which its Snapshot
// was never called. An error fails the subtask.
type AbortListener interface {
	CheckpointAborted(checkpoint int64) error
}

// Status says what a reader has for its job.
type Status int

const (
	// More means that Poll should be called again.
	More Status = iota
	// Idle means that there is nothing now: Poll is called again at b.WakeAt, after Wake, or when splits are added.
	Idle
	// End means that all splits are read and none will follow. Poll is not called again.
	End
)

// Batch takes the records of one Poll. The reader appends to Records and, if it knows their event times, to Times.
type Batch[T any] struct {
	Records []T
	// Times holds a time in milliseconds since 1970 UTC for each record, or is left empty: then the records have no event time.
	Times []int64
	// Max is the number of records that Poll should not exceed.
	Max int
	// Split is set by the reader to the ID of the split that the records come from.
	Split string
	// SplitEnd is set by the reader if the split is finished with these records, so that it no longer holds back event time. A
	// reader may end a split with a batch of no records.
	SplitEnd bool
	// WakeAt is set by the reader together with Idle when it knows the time at which it will have records.
	WakeAt time.Time
}

// Permanent marks an error that a replay must repeat: an undecodable record, a missing column. A job does not restart after it.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &permanentError{err}
}

// IsPermanent reports whether an error, or one it wraps, was marked by Permanent.
func IsPermanent(err error) bool {
	var p interface{ Permanent() bool }
	return errors.As(err, &p) && p.Permanent()
}

type permanentError struct{ err error }

func (e *permanentError) Error() string   { return e.err.Error() }
func (e *permanentError) Unwrap() error   { return e.err }
func (e *permanentError) Permanent() bool { return true }
