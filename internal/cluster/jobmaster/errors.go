package jobmaster

import (
	"errors"
	"fmt"

	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/protocol/reason"
	"github.com/weirstream/weir/internal/storage/linefile"
)

// ErrNotRunning means that a job cannot take a snapshot now: it starts, restarts or stops. Of one that has ended the error is an
// EndedError, which is an ErrNotRunning too.
var ErrNotRunning = errors.New("the job is not running: it starts, restarts or stops")

// EndedError says that a job can do nothing any more of what it was asked for, because it has ended.
type EndedError struct {
	Result Result
	Err    error // why it failed, nil if it has not
}

// Error says how the job has ended.
func (e *EndedError) Error() string {
	switch r := e.Result; {
	case r.Status == Finished && r.Savepoint != "":
		return "the job has ended: it was stopped with savepoint " + r.Savepoint
	case r.Status == Finished:
		return "the job has ended: all data was read, and what it wrote is committed"
	case r.Status == AlreadyFinished:
		return "the job has ended: an earlier run has finished it"
	case e.Err != nil:
		return fmt.Sprintf("the job has ended as %s: %v", r.Status, e.Err)
	default:
		return fmt.Sprintf("the job has ended as %s", r.Status)
	}
}

// Is reports whether the error means ErrNotRunning.
func (e *EndedError) Is(target error) bool { return target == ErrNotRunning }

// Unwrap returns why the job failed.
func (e *EndedError) Unwrap() error { return e.Err }

// ErrNoSavepointDir means that a savepoint was asked for without a directory, and the job has none for such.
var ErrNoSavepointDir = errors.New("no savepoint location given and no default location configured; name a directory, or set execution.checkpointing.savepoint-dir")

// SnapshotError says why a checkpoint or savepoint that a client has asked for did not come about. There is nothing left of it.
type SnapshotError struct {
	What   string           // as in "savepoint"
	ID     job.CheckpointID // 0 if it did not come to have one
	Reason string           // the documented name, as in CHECKPOINT_EXPIRED
	Cause  string           // in words
}

// Error says what did not come about, and why.
func (e *SnapshotError) Error() string {
	if e.ID == 0 {
		return fmt.Sprintf("%s: %s: %s", e.What, e.Reason, e.Cause)
	}
	return fmt.Sprintf("%s (checkpoint %d): %s: %s", e.What, e.ID, e.Reason, e.Cause)
}

// Is reports whether the error means ErrNotRunning.
func (e *SnapshotError) Is(target error) bool {
	return target == ErrNotRunning &&
		(e.Reason == reason.NotAllRequiredTasksRunning.String() || e.Reason == reason.CheckpointCoordinatorShutdown.String())
}

// StopError says that a job was not brought to its end although the savepoint to stop with is complete. What that holds may be committed
// in part, so that the job goes on from it or not at all; starting from it commits the rest.
type StopError struct {
	Savepoint string // its path
	Status    Status // how the job ended instead of finishing
	Err       error  // why; nil if somebody has ended it
}

// Error names the savepoint and what to do.
func (e *StopError) Error() string {
	why := ""
	if e.Err != nil {
		why = e.Err.Error() + "\n"
	}
	return fmt.Sprintf("%sThe job ended as %s after it had stopped with savepoint %s, which is complete. "+
		"What it holds may be committed, so nothing older can be gone on from: start the job from the savepoint.", why, e.Status, e.Savepoint)
}

// Unwrap returns why the job ended so.
func (e *StopError) Unwrap() error { return e.Err }

// TakenOverError ends a run whose job another process has started since, on a store that has no locks. What this run had not committed by then is
// not committed by it.
type TakenOverError struct{ Err error }

// Error says by whom.
func (e *TakenOverError) Error() string {
	var taken *linefile.TakenError
	if errors.As(e.Err, &taken) && taken.Gone {
		return fmt.Sprintf("%v. This run has ended and commits nothing more", e.Err)
	}
	return fmt.Sprintf("%v: this run has ended and commits nothing more. If that was not meant, stop one of the two, or give it another checkpoint directory and output", e.Err)
}

// Unwrap returns what the line's record has shown.
func (e *TakenOverError) Unwrap() error { return e.Err }
