package coordinator

import (
	"time"

	"github.com/weirstream/weir/internal/element"
	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/protocol/reason"
	"github.com/weirstream/weir/internal/protocol/snapshot"
)

// Action is something for the driver to do: one of the types below. The values they hold belong to the driver, except where said.
type Action interface{ isAction() }

// AllocateID asks to hand out a checkpoint id for good: ID, or a higher one. The driver records it where the next start of the job
// line finds it, and answers with IDAllocated.
type AllocateID struct{ ID job.CheckpointID }

// InitLocation asks to prepare the place where the files of the checkpoint go. The answer is LocationReady. A driver that answers
// TriggerFailed for a savepoint has removed what there was of its directory.
type InitLocation struct {
	ID job.CheckpointID
	// Savepoint and Target are of a savepoint: it goes into a new directory below Target, or the default one if that is empty.
	Savepoint bool
	Target    string
}

// SnapshotCoordinators asks for the state of the operators' coordinators, such as the split enumerators of sources. From then on what
// a coordinator sends to its subtasks is held back until SendTrigger has been performed or the checkpoint was aborted. The answer is
// CoordinatorsSnapshotted.
type SnapshotCoordinators struct {
	ID        job.CheckpointID
	Operators []job.OperatorID
}

// SendTrigger asks to tell tasks to begin a checkpoint. The answer is TriggersSent.
type SendTrigger struct {
	ID        job.CheckpointID
	Timestamp time.Time // of the trigger, wall clock
	Snapshot  element.Snapshot
	Location  string // of a savepoint, as given to LocationReady; empty for a checkpoint
	Tasks     []job.Attempt
}

// WriteMetadata asks to publish the checkpoint: write its `_metadata` by one atomic step. The answer is MetadataWritten or
// MetadataFailed. At most one is unanswered at a time.
//
// A checkpoint becomes the newest of the job line. A plain savepoint does not move the line. One that the job stops with does, before
// anything of it is committed: from then on no start may resume from an earlier checkpoint.
type WriteMetadata struct {
	ID        job.CheckpointID
	Metadata  *snapshot.Metadata
	Savepoint bool
	Location  string       // of a savepoint, as given to LocationReady
	Stop      element.Stop // what the job does after it
}

// NotifyComplete asks to tell tasks, and the coordinators of operators, that a checkpoint is complete. Attempts that are gone are
// skipped. A savepoint has none, but for the one that the job stops with.
type NotifyComplete struct {
	ID        job.CheckpointID
	Timestamp time.Time        // of the trigger, wall clock
	Subsumed  job.CheckpointID // the newest checkpoint that is discarded for this one, 0 if none
	Tasks     []job.Attempt
}

// NotifyAborted asks to tell tasks, and the coordinators of operators, that a checkpoint was given up. Latest lets a task that missed a
// completion make up for it first.
type NotifyAborted struct {
	ID        job.CheckpointID
	Timestamp time.Time        // of the trigger, wall clock
	Latest    job.CheckpointID // the newest complete checkpoint of this job, 0 if none
	Tasks     []job.Attempt
}

// Discard asks to delete what belongs to one checkpoint alone: its files, its metadata, its directory. The answer is CleaningDone,
// or CleaningFailed if somebody may still find it.
type Discard struct {
	ID      job.CheckpointID
	Pointer string // as given to MetadataWritten, empty for a checkpoint that did not complete
	// Location is of a savepoint that did not complete, as given to LocationReady: its directory goes.
	Location string
	// Savepoint tells that it is one, and Claimed that it was taken over from another owner and lies where Pointer says instead of among
	// the job's own checkpoints.
	Savepoint, Claimed bool
}

// DiscardState asks to delete the files of a state that came too late or from a stranger. There is no answer.
type DiscardState struct {
	ID      job.CheckpointID
	Attempt job.Attempt
	State   *snapshot.Task
	// Location is of a savepoint, as given to LocationReady.
	Location string
	Expired  bool // the checkpoint ran into its timeout not long ago
}

// DiscardShared asks to delete files that no checkpoint refers to any more, and whole directories of merged files. Nobody comes to need them
// again. There is no answer: what cannot be deleted is left behind.
type DiscardShared struct{ Files, Directories []string }

// ArmTimer asks to call TimerFired with this timer after a delay. Arming does not replace an earlier timer: that is disarmed by name.
type ArmTimer struct {
	Timer Timer
	After time.Duration
}

// DisarmTimer asks to forget a timer. One that fires all the same does no harm.
type DisarmTimer struct{ Timer Timer }

// Completed says that a checkpoint is complete. Stats is a copy, without the vertices.
type Completed struct {
	Request RequestID
	Stats   CheckpointStats
}

// Failed says that a checkpoint was given up. Stats is a copy, without the vertices, and has the reason.
type Failed struct {
	Request RequestID
	Stats   CheckpointStats
}

// Refused says that a request came to nothing before there was a checkpoint.
type Refused struct {
	Request RequestID
	Kind    RequestKind
	Reason  reason.Reason
	Cause   string // what happened, if it is known beyond the reason
}

// FailJob asks to fail the job. Unless it is permanent, its restart strategy may then restart it.
type FailJob struct {
	Message string
	Attempt job.Attempt // the task to blame; zero if none
	// Permanent means that the job ends FAILED, whatever it is doing: also between two attempts, as an answer to RestoreLatest.
	Permanent bool
	// Savepoint is the pointer of the one that the job was to stop with, if that is complete. What it holds may be committed, so the
	// job goes on from there or not at all.
	Savepoint string
}

// Stopped says that the job has stopped with a savepoint: it is complete, and all tasks have finished after it.
type Stopped struct {
	Request RequestID
	ID      job.CheckpointID
	Pointer string // as given to MetadataWritten
	Drained bool   // all data was brought to its end: there is nothing to resume
}

// Restore answers RestoreLatest: restart the tasks from this checkpoint. Found is false if there is none; then Damaged tells whether
// there would have been, and the job must not start afresh on its own.
type Restore struct {
	Found   bool
	From    Retained
	Damaged []job.CheckpointID
}

// Ended says that the job's checkpoints are settled after End: what is kept and what the Discards before this action removed.
type Ended struct {
	Status EndStatus
	Kept   []Retained
}

func (AllocateID) isAction()           {}
func (InitLocation) isAction()         {}
func (SnapshotCoordinators) isAction() {}
func (SendTrigger) isAction()          {}
func (WriteMetadata) isAction()        {}
func (NotifyComplete) isAction()       {}
func (NotifyAborted) isAction()        {}
func (Discard) isAction()              {}
func (DiscardState) isAction()         {}
func (DiscardShared) isAction()        {}
func (ArmTimer) isAction()             {}
func (DisarmTimer) isAction()          {}
func (Completed) isAction()            {}
func (Failed) isAction()               {}
func (Refused) isAction()              {}
func (FailJob) isAction()              {}
func (Stopped) isAction()              {}
func (Restore) isAction()              {}
func (Ended) isAction()                {}

// Timer names one arming of a timer. It can be compared and used as a key.
type Timer struct {
	Kind TimerKind
	N    int64 // which periodic timer, or the id of the checkpoint that expires
}

// TimerKind says what a timer is for.
type TimerKind uint8

const (
	PeriodicTimer TimerKind = iota + 1 // the next periodic checkpoint is due
	ExpiryTimer                        // a checkpoint takes too long
)
