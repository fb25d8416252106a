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

// InitLocation asks to prepare the place where the files of the checkpoint go. The answer is LocationReady.
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
	Tasks     []job.Attempt
}

// WriteMetadata asks to publish the checkpoint: write its `_metadata` by one atomic step and record it as the newest of the job line.
// The answer is MetadataWritten or MetadataFailed.
type WriteMetadata struct {
	ID       job.CheckpointID
	Metadata *snapshot.Metadata
}

// NotifyComplete asks to tell tasks, and the coordinators of operators, that a checkpoint is complete. Attempts that are gone are skipped.
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
// whether it succeeded or not.
type Discard struct {
	ID      job.CheckpointID
	Pointer string // as given to MetadataWritten, empty for a checkpoint that did not complete
}

// DiscardState asks to delete the files of a state that came too late or from a stranger. There is no answer.
type DiscardState struct {
	ID      job.CheckpointID
	Attempt job.Attempt
	State   *snapshot.Task
	Expired bool // the checkpoint ran into its timeout not long ago
}

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

// FailJob asks to fail the running job, which its restart strategy may then restart.
type FailJob struct {
	Message string
	Attempt job.Attempt // the task to blame; zero if none
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
func (ArmTimer) isAction()             {}
func (DisarmTimer) isAction()          {}
func (Completed) isAction()            {}
func (Failed) isAction()               {}
func (Refused) isAction()              {}
func (FailJob) isAction()              {}
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
