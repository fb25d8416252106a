// Package operator says what a step of a job is at run time, and holds the built-in steps that keep no state.
//
// A subtask runs a chain: a tree of steps that call each other directly, batch by batch, through Pusher. At its leaves are outputs to
// other tasks, or nothing. All of it runs on the subtask's goroutine, one Step at a time, so a step needs no lock.
//
//		Open (tail first) -> Push, Event ... -> [PrepareBarrier (head first) -> barrier is sent -> Snapshot (tail first)] ... -> Finish (head first) -> Close
//
//	  - Push may change the batch it is given; the batch belongs to the caller again when Push returns.
//	  - Work that blocks (uploads, commits) runs beside the subtask, by Env.Go, and reports back through its mailbox.
//	  - No step reads the clock, takes a lock or allocates for a record.
package operator

import (
	"context"
	"log/slog"
	"time"

	"github.com/weirstream/weir/backend"
	"github.com/weirstream/weir/internal/element"
	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/metrics"
	"github.com/weirstream/weir/internal/protocol/snapshot"
	"github.com/weirstream/weir/sink"
	"github.com/weirstream/weir/source"
)

// Pusher takes batches and events in order. It is the only thing between two steps of a chain: one call for each batch.
type Pusher[T any] interface {
	Push(b *element.Batch[T]) error
	Event(e element.Event) error
}

// Operator is a step that has a part in the life of its subtask: state, timers, resources. Embed Base for what a step has no use for.
type Operator interface {
	// ID is what the step's state is found by.
	ID() job.OperatorID
	// Open acquires resources and restores state. It may block.
	Open(ctx context.Context) error
	// PrepareBarrier is called before the barrier is sent on: the last moment to emit something that belongs before it.
	PrepareBarrier(ctx context.Context, c Checkpoint) error
	// Snapshot captures the state at this moment, in a time that does not grow with the state. nil means that there is none.
	Snapshot(ctx context.Context, c Checkpoint) (Capture, error)
	// CheckpointComplete tells that the checkpoint exists, and thereby all earlier ones that this subtask took part in.
	CheckpointComplete(c Checkpoint) error
	// CheckpointAborted tells that the checkpoint will never exist. What was prepared for it stays pending.
	CheckpointAborted(c Checkpoint) error
	// Finish is called after the last record, and after the last watermark: what is held back must be emitted now.
	Finish(ctx context.Context) error
	// Busy reports whether work beside the subtask has not been reported yet, so that it must not close.
	Busy() bool
	// Close releases what Open acquired. It is called once, also after an error.
	Close() error
}

// Checkpoint is what an operator is told of a checkpoint: before it is taken, and when it is known how it ended.
type Checkpoint struct {
	ID        job.CheckpointID
	Kind      element.SnapshotKind // known before the checkpoint is taken, and when it is
	Triggered time.Time            // wall clock
	// Subsumed is the newest checkpoint that is deleted now that this one is complete; 0 if there is none, or if that is not known.
	Subsumed job.CheckpointID
}

// Capture is the state of an operator at one moment. It is used by a goroutine beside the subtask.
type Capture interface {
	// Write writes the state to streams of the checkpoint and says where it is.
	Write(ctx context.Context, streams Streams) (*snapshot.OperatorSubtask, error)
	// Release gives up what the capture holds. It is called once, whether Write was called or not, and may be called by any goroutine.
	Release()
}

// Acknowledger is a Capture that wants to know that what Write has returned is about to be acknowledged, so that whoever keeps the checkpoints
// decides over its files from now on. It is called at most once, before Release.
type Acknowledger interface{ Acknowledged() }

// Streams makes the streams of one checkpoint in one subtask.
type Streams interface {
	// NewStream begins a stream. The caller ends it by Finish or Abort.
	NewStream(ctx context.Context, scope snapshot.Scope) (snapshot.StreamWriter, error)
}

// Sealer is a Streams that has something to do when the last stream of a snapshot is finished, before it is acknowledged with state.
type Sealer interface {
	Seal(ctx context.Context, state *snapshot.Task) error
}

// Meter is a Streams that counts what was written for the checkpoint to other streams.
type Meter interface{ Wrote(bytes int64) }

// Abandoner is a Streams that wants to know if the snapshot is not acknowledged, so that nobody will hear of the streams that have been
// finished for it. It is called once, when none of them is being written any more.
type Abandoner interface{ Abandon() }

// Outside is an Operator whose state is of what happens outside, such as commits that are due: it counts also after the end of the data.
type Outside interface{ PendingOutside() }

// Ticker is an Operator that acts at certain times of the wall clock.
type Ticker interface {
	// NextTick returns when Tick is to be called next.
	NextTick() (at time.Time, ok bool)
	// Tick does what is due at now.
	Tick(now time.Time) error
}

// Env is what a step knows of the subtask it runs in. It is made by the subtask and shared by its steps, but for Operator, Former,
// Name, Restored, Metrics, Logger, Committer and Loop, which are each operator's own.
type Env struct {
	Operator       job.OperatorID
	Former         []job.OperatorID // ids under which earlier versions of the program kept the operator's state
	Name           string
	Subtask        int
	Parallelism    int
	MaxParallelism int
	Attempt        int
	Logger         *slog.Logger
	Metrics        *metrics.Scope
	// Now returns the job's wall clock.
	Now func() time.Time
	// Restored is the state the operator goes on with; nil if there is none.
	Restored *snapshot.OperatorSubtask
	// LeaveUndeclared says that state in Restored that the step does not declare is left behind, as the user has allowed. Otherwise it is an
	// error.
	LeaveUndeclared bool
	// MayUse reports whether a checkpoint may refer again to a stream that an earlier one has brought; nil: to any. What it may not it has to write
	// once more.
	MayUse func(s snapshot.Stream) bool
	// Again calls f, which writes something for a checkpoint, until it has succeeded or has failed for good; nil: once.
	Again func(ctx context.Context, f func() error) error
	// Incremental asks for checkpoints that hold only what has changed since an earlier one, of whoever can do that.
	Incremental bool
	// Compress asks that keyed state be compressed in the form that every backend reads.
	Compress bool
	// Backend is where keyed state lies; nil for the heap.
	Backend *Backend
	// Changelog asks for checkpoints of keyed state that consist of a log of its changes; nil for others.
	Changelog *Changelog
	// Tracking says what is measured of accesses to keyed state.
	Tracking Tracking
	// RestoredFrom is the checkpoint that the job goes on from, with or without state for this operator; 0 for a new start.
	RestoredFrom job.CheckpointID
	// OpenStream opens a stream of Restored.
	OpenStream func(ctx context.Context, s snapshot.Stream) (StreamReader, error)
	// Go runs work beside the subtask. What work returns is run on the subtask's goroutine, as a mail, unless the subtask has ended.
	Go func(work func(ctx context.Context) (mail func() error))
	// Wake makes a parked subtask look for work. Any goroutine may call it.
	Wake func()
	// Splits numbers the source splits that the chain reads.
	Splits *Splits
	// RequestSplit asks the source's enumerator for a split on behalf of this operator.
	RequestSplit func()
	// Line says whose output it is.
	Line sink.Line
	// Checkpointed reports, when Finish is called, whether a snapshot follows that what is prepared now must wait for.
	Checkpointed func() bool
	// Committer makes what sinks prepare visible; nil for operators that are no two-phase sinks.
	Committer sink.Committer
	// Loop is set for the head and the tail of a loop.
	Loop *LoopEnv
}

// Backend is where the keyed state of a job lies that is not on the heap.
type Backend struct {
	Name    string // under which it was registered
	Factory backend.Factory
	Cache   int64 // the memory for rows in use, of all subtasks of a step together, in bytes
	Threads int   // how many files of a subtask are written to a checkpoint at once
}

// Tracking says what is measured of accesses to keyed state: how long they take, and how large keys and values are.
type Tracking struct{ Latency, Sizes Sampling }

// Sampling says how something is measured. The zero Sampling means that it is not.
type Sampling struct {
	Interval int  // of so many records one is measured, on average
	History  int  // so many measurements are kept of each kind of access to each state
	Labelled bool // the name of a state is a label of the metrics and not a part of their names
}

// Changelog says how the changes of keyed state are logged.
type Changelog struct {
	Interval    time.Duration // from one writing of the whole state to the next, 0 for none
	MaxFailures int           // how many of those may fail in a row
	Persist     int64         // how many bytes of the log are kept in memory between checkpoints
	Compress    bool          // the log
	Place       LogPlace
	// Wait returns when done is closed, by work beside the subtask, and fails if ctx ends before; nil: it is waited for as goroutines do.
	Wait func(ctx context.Context, done <-chan struct{}) error
}

// LogPlace is where the log is written, and the whole state beside checkpoints. Its methods may be called concurrently.
type LogPlace interface {
	// Segment begins a stream of the log, and Base one of the whole state. They are of scope Shared, or inline.
	Segment(ctx context.Context) (snapshot.StreamWriter, error)
	Base(ctx context.Context) (snapshot.StreamWriter, error)
	// Discard deletes files of such streams that no checkpoint was acknowledged with, as far as that is possible.
	Discard(paths []string)
}

// StreamReader reads a state stream. It has been verified, or verifies while it is read.
type StreamReader = backend.FileReader

// Base does nothing at every moment of an operator's life. Operators embed it.
type Base struct{ OperatorID job.OperatorID }

// ID returns the operator's id.
func (b *Base) ID() job.OperatorID { return b.OperatorID }

// Open does nothing.
func (*Base) Open(context.Context) error { return nil }

// PrepareBarrier does nothing.
func (*Base) PrepareBarrier(context.Context, Checkpoint) error { return nil }

// Snapshot says that there is no state.
func (*Base) Snapshot(context.Context, Checkpoint) (Capture, error) { return nil, nil }

// CheckpointComplete does nothing.
func (*Base) CheckpointComplete(Checkpoint) error { return nil }

// CheckpointAborted does nothing.
func (*Base) CheckpointAborted(Checkpoint) error { return nil }

// Finish does nothing.
func (*Base) Finish(context.Context) error { return nil }

// Busy reports that nothing is under way.
func (*Base) Busy() bool { return false }

// Close does nothing.
func (*Base) Close() error { return nil }

// Source is the head of a chain that has no inputs.
type Source interface {
	Operator
	// Poll reads one batch and pushes it down the chain.
	Poll(now time.Time) (source.Status, error)
	// WakeAt returns the time at which Poll should be called although nobody called Wake; zero if there is none.
	WakeAt() time.Time
	// AddSplits, NoMoreSplits and NoSplitYet bring the enumerator's answer to RequestSplit. After NoSplitYet one of the others follows.
	AddSplits(splits []source.Split) error
	NoMoreSplits()
	NoSplitYet()
}

// Head is the first step of a chain behind a gate, with the type of its records taken away.
type Head interface {
	// Push pushes a batch that came through the gate, and empties it for its way back.
	Push(b element.Any) error
	Event(e element.Event) error
}
