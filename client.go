package weir

import (
	"context"

	"github.com/weirstream/weir/internal/cluster/jobmaster"
)

// What a client asks of a running job. All of it may be called from any goroutine. A context that is cancelled ends the waiting and nothing
// else; what was asked for goes on.

// Errors of the calls below that one can act on.
var (
	// ErrNotRunning means that the job cannot take a snapshot now: it starts, restarts or stops. Of a job that has ended the error is an
	// *EndedError, which is an ErrNotRunning too.
	ErrNotRunning = jobmaster.ErrNotRunning
	// ErrNoSavepointDir means that no directory was given for a savepoint, and none is configured.
	ErrNoSavepointDir = jobmaster.ErrNoSavepointDir
)

type (
	// SnapshotError says why a checkpoint or savepoint did not come about. Nothing is left of it.
	SnapshotError = jobmaster.SnapshotError
	// StopError says that a job has not come to its end although the savepoint to stop with is complete. The job goes on from that
	// savepoint or not at all: by the same command, or by starting another from it.
	StopError = jobmaster.StopError
	// EndedError says that the job can do nothing any more of what it was asked for, because it has ended, and how. A stop with savepoint of a
	// job that comes to the end of its data first gets it: then the job has finished, and all is committed.
	EndedError = jobmaster.EndedError
	// SnapshotInfo is a checkpoint that was taken by hand.
	SnapshotInfo = jobmaster.SnapshotInfo
)

// CheckpointKind says what a checkpoint that is taken by hand may refer to.
type CheckpointKind = jobmaster.RequestKind

// The kinds of checkpoints.
const (
	// ConfiguredCheckpoint is like the periodic ones.
	ConfiguredCheckpoint = jobmaster.ConfiguredCheckpoint
	// FullCheckpoint refers to no files of earlier checkpoints.
	FullCheckpoint = jobmaster.FullCheckpoint
	// IncrementalCheckpoint refers to files of earlier checkpoints where the state backend has such.
	IncrementalCheckpoint = jobmaster.IncrementalCheckpoint
)

// SavepointOption is a setting of one savepoint.
type SavepointOption interface {
	StopOption
	savepoint()
}

// StopOption is a setting of a stop with a savepoint.
type StopOption interface{ set(r *jobmaster.Request) }

type nativeFormat struct{}

func (nativeFormat) savepoint()               {}
func (nativeFormat) set(r *jobmaster.Request) { r.Native = true }

// NativeFormat takes the savepoint in the state backend's own format, which is faster. Without it the savepoint is in the canonical one, which
// every backend reads.
func NativeFormat() SavepointOption { return nativeFormat{} }

type drain struct{}

func (drain) set(r *jobmaster.Request) { r.Drain = true }

// Drain brings all data to its end before the savepoint, as if the sources had no more: event time comes to its end, so that all windows and
// event-time timers fire, and Finish is called. The job has finished then and is not meant to be resumed.
func Drain() StopOption { return drain{} }

// Running returns when all tasks of the job run or have finished: then it can take snapshots and be rescaled. It returns at once if that is so
// already, and after a restart if one is under way. If the job ends first the error is an *EndedError.
func (e *Execution) Running(ctx context.Context) error { return e.e.Running(ctx) }

// Checkpoint takes a checkpoint now. Sinks commit what belongs to it.
func (e *Execution) Checkpoint(ctx context.Context, kind CheckpointKind) (SnapshotInfo, error) {
	return e.e.Take(ctx, jobmaster.NewRequest(kind, ""))
}

// Savepoint takes a savepoint into a new directory below dir, or below the configured one if dir is empty, and returns its path. The job goes
// on; nothing is committed, and the savepoint is the caller's: the job neither restarts from it nor deletes it.
func (e *Execution) Savepoint(ctx context.Context, dir string, options ...SavepointOption) (path string, err error) {
	return e.savepoint(ctx, savepointRequest(jobmaster.Savepoint, dir, options))
}

// CancelWithSavepoint takes a savepoint like Savepoint and then cancels the job. If the savepoint fails the job goes on.
func (e *Execution) CancelWithSavepoint(ctx context.Context, dir string, options ...SavepointOption) (path string, err error) {
	r := savepointRequest(jobmaster.Savepoint, dir, options)
	r.Cancel = true
	return e.savepoint(ctx, r)
}

// StopWithSavepoint stops the sources, takes a savepoint like Savepoint, lets sinks commit all that was read before it, and ends the job as
// Finished. It returns when the job has ended. The same command goes on from the savepoint, unless it was taken with Drain.
//
// If the savepoint fails the job goes on, if need be restarted. If the job fails afterwards, the error is a *StopError that names the
// savepoint.
//
// Tasks that come to their end just then count as finished in the savepoint. If all do so before they have stopped for it there is no
// savepoint: the job has finished by itself, and the error is an *EndedError that says so.
func (e *Execution) StopWithSavepoint(ctx context.Context, dir string, options ...StopOption) (path string, err error) {
	return e.savepoint(ctx, savepointRequest(jobmaster.StopWithSavepoint, dir, options))
}

func (e *Execution) savepoint(ctx context.Context, r jobmaster.Request) (path string, err error) {
	info, err := e.e.Take(ctx, r)
	return info.Path, err
}

func savepointRequest[O StopOption](kind jobmaster.RequestKind, dir string, options []O) jobmaster.Request {
	r := jobmaster.NewRequest(kind, dir)
	for _, o := range options {
		o.set(&r)
	}
	return r
}
