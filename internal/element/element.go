// Package element holds what travels between the steps of a job: batches of records, and the events that stand between them.
//
//   - A Batch is boxed once when it crosses a boundary; a record never is.
//   - An Event is a plain value. Its place between the batches of a channel is part of its meaning.
//   - A batch has one owner. Handing it over gives it away.
package element

import (
	"math"

	"github.com/weirstream/weir/internal/job"
)

// NoTime is the event time of a record that has none. MaxTime is the watermark at the end of the data.
const (
	NoTime  int64 = math.MinInt64
	MaxTime int64 = math.MaxInt64
)

// Batch is a number of records with their event times.
type Batch[T any] struct {
	Recs []T
	// TS holds the event time of each record in milliseconds since 1970 UTC, or NoTime. It is as long as Recs.
	TS []int64
	// Untimed says that no record has an event time. TS then holds NoTime throughout and may be shared: it must not be written to.
	Untimed bool
	// Hash holds the key hash of each record on a keyed edge, unless it costs less to make it again, and is empty elsewhere.
	Hash []uint64
	// Split is the number that the source subtask gave to the split of these records; 0 if there is no split to tell apart.
	Split int
}

// Any is a batch of some type, as queues see it.
type Any interface {
	// Len returns the number of records.
	Len() int
}

// Len returns the number of records.
func (b *Batch[T]) Len() int { return len(b.Recs) }

// Reset empties the batch for its next use. Records are cleared, so that what they point to can be freed.
func (b *Batch[T]) Reset() {
	clear(b.Recs)
	b.Recs, b.TS, b.Hash, b.Split = b.Recs[:0], b.TS[:0], b.Hash[:0], 0
}

// Kind tells events apart.
type Kind uint8

const (
	// Watermark promises that no record with an event time <= Time follows.
	Watermark Kind = iota + 1
	// Idle says that the channel will be quiet for a while and must not hold back event time; a Watermark ends it.
	Idle
	// Barrier separates what belongs to checkpoint ID from what does not.
	Barrier
	// CancelBarrier says that no barrier for checkpoint ID will come: it was given up.
	CancelBarrier
	// EndOfData says that no more records, watermarks or results will come.
	EndOfData
	// EndOfPartition says that nothing will come at all, not even a barrier.
	EndOfPartition
	// SplitEnd says that the source split with number Split is finished. It does not leave the task.
	SplitEnd
	// Probe goes round in a loop behind the records before it, to find out whether any are left: see protocol/drain. It leaves a task once it
	// has come through all channels whose data has not ended, and it holds none of them back.
	Probe
)

// LastRound is the Round of the probe that a loop ends with: nothing goes round behind it.
const LastRound uint32 = math.MaxUint32

// Event stands between batches.
type Event struct {
	Kind Kind
	// Time is the watermark in milliseconds since 1970 UTC, or the wall clock at which a barrier's checkpoint was triggered.
	Time  int64
	ID    job.CheckpointID
	Split int
	// Snapshot says what a barrier's snapshot is for. Of the end of data its Stop says whether it is the end of the input (GoOn) or of a
	// job that is being stopped. Zero elsewhere.
	Snapshot Snapshot
	// Loop is the number of a probe's loop in the plan, Round that of its round; zero elsewhere.
	Loop  uint16
	Round uint32
}

// Snapshot says what kind of snapshot a barrier cuts off. It travels with the barrier.
type Snapshot struct {
	Kind SnapshotKind
	// Stop says what becomes of the job once the snapshot is complete.
	Stop Stop
}

// SnapshotKind tells snapshots apart by whom they are for and what they may refer to.
type SnapshotKind uint8

const (
	// Checkpoint is for the job itself, and may refer to files of earlier checkpoints.
	Checkpoint SnapshotKind = iota
	// FullCheckpoint is a checkpoint that must not refer to files of earlier ones; later ones may refer to its own.
	FullCheckpoint
	// CanonicalSavepoint is for a user: self-contained, and in the format that does not depend on the state backend.
	CanonicalSavepoint
	// NativeSavepoint is for a user: self-contained, and in the state backend's own format.
	NativeSavepoint
)

// IsSavepoint reports whether the snapshot is for a user.
func (k SnapshotKind) IsSavepoint() bool { return k >= CanonicalSavepoint }

// Stop says whether a job ends with a snapshot, and how.
type Stop uint8

const (
	// GoOn means that the job goes on.
	GoOn Stop = iota
	// Suspend means that sources stop before the barrier and nothing follows it. Windows stay open and timers stay set, in the snapshot.
	Suspend
	// Drain means that sources end before the barrier, as at the end of their data: event time comes to its end and Finish is called.
	Drain
)

// Message is what a channel carries: a batch, or an event if Batch is nil.
type Message struct {
	Batch Any
	Event Event
}
