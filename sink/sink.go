// Package sink is the contract between a job and what it writes to. Implement Sink to write somewhere new, and TwoPhase to write there
// exactly once.
//
// One Writer per subtask takes the records. With two phases it writes where nobody looks; at a checkpoint it hands over what is
// pending, which becomes part of the checkpoint; once the checkpoint is complete a Committer makes it visible.
//
//		Write ... Write, Prepare(42), Snapshot(42)  ->  checkpoint 42 completes  ->  Commit(42)
//
//	  - What was prepared for a checkpoint that fails or is aborted stays pending and is committed with the next that completes.
//	  - Commits come in ascending order of checkpoints, and can come again after a crash: committing twice must change nothing.
//	  - A Writer is used by one goroutine, its subtask. A Committer is used by one goroutine at a time.
package sink

import (
	"context"
	"errors"
	"log/slog"
	"time"
)

// Sink writes records of type T. It is a description: it opens nothing until a job runs.
type Sink[T any] interface {
	// Location says where it writes, as a user would write it: a folder, a topic. A job refuses to go on from a checkpoint that was
	// taken with another location. Empty if there is nothing to compare.
	Location() string
	// Writer returns the writer of one subtask. restored holds the states that this subtask goes on with: none for a new start, and
	// possibly several or none at another parallelism.
	Writer(ctx context.Context, env WriterEnv, restored [][]byte) (Writer[T], error)
}

// Checker is a Sink that can tell what is wrong with its description before a job runs: an option, a record type.
type Checker interface {
	// CheckSink returns all mistakes, joined. It does no I/O.
	CheckSink() error
}

// WriterEnv is what a writer knows of its subtask.
type WriterEnv struct {
	Line        Line
	Subtask     int
	Parallelism int
	Attempt     int // 1 for the first start of the subtask in this process, one more after each of its restarts
	// RestoredFrom is the checkpoint that the job goes on from, 0 in one that begins.
	RestoredFrom int64
	Logger       *slog.Logger
	// Now returns the job's wall clock, which is virtual in tests.
	Now func() time.Time
}

// Writer writes the records of one subtask.
type Writer[T any] interface {
	// Write takes records with their event times in milliseconds since 1970 UTC (the smallest int64: none). Both slices belong to
	// the caller again when it returns.
	Write(records []T, times []int64) error
	// Flush hands on what it has buffered. It is called before each checkpoint, and with end set when there will be no more records.
	Flush(end bool) error
	// Close releases what it holds and leaves what is pending as it is. It is called once, also after an error.
	Close() error
}

// TwoPhase is a Sink that writes exactly once. Its writers are TwoPhaseWriters.
type TwoPhase[T any] interface {
	Sink[T]
	// Committer returns the one that makes what the writers prepare visible. It refuses a location that belongs to another line.
	Committer(ctx context.Context, env CommitterEnv) (Committer, error)
}

// TwoPhaseWriter is a Writer that prepares what a Committer commits.
type TwoPhaseWriter[T any] interface {
	Writer[T]
	// Prepare is called after Flush. It makes what shall become visible with this checkpoint durable (but see Syncer), and returns it in
	// the form that Commit takes, one element for each thing that can be committed by itself.
	Prepare(ctx context.Context, checkpoint int64, end bool) (pending [][]byte, err error)
	// Snapshot returns what the writer must be restored with, nil if there is nothing: what it has written and not prepared.
	Snapshot(ctx context.Context, checkpoint int64) (state []byte, err error)
}

// Syncer is a TwoPhaseWriter that leaves the slow part of Prepare and Snapshot, making durable what they returned, to be done while the
// subtask goes on.
type Syncer interface {
	// Sync is called after Prepare and Snapshot. It returns what is left to be done, nil if there is nothing. That runs on another
	// goroutine, beside the writer's other methods but not beside Close; the checkpoint is not acknowledged, and nothing of it is
	// committed, before it has succeeded. What it did not come to do is due again at the next Sync. Of several checkpoints under way the
	// functions may run at the same time and end in any order.
	Sync() func(ctx context.Context) error
}

// CheckpointListener is a Writer that is told how checkpoints end, on the goroutine of its other methods. What is to become visible belongs
// into a Committer: that is asked again after a crash, a listener is not.
//
//   - Complete: the checkpoint exists, and what was written before its Flush will not be written again. Ids ascend; none comes twice;
//     some may be left out, and then a later one speaks for them. Savepoints are not told. An error fails the subtask.
//   - Aborted: there will be no such checkpoint; it may be one for which Flush was never called. It may be left out. An error fails the
//     subtask.
type CheckpointListener interface {
	CheckpointComplete(checkpoint int64) error
	CheckpointAborted(checkpoint int64) error
}

// Line identifies whose output it is: the job line, and the epoch that the present run has in it. A committer refuses to do anything
// for an epoch older than one it has seen.
type Line struct {
	ID    string // random, the same in all runs of the line
	Name  string // the job's name
	Epoch int64  // one more in every start of a process
}

// CommitterEnv is what a committer knows of its job.
type CommitterEnv struct {
	Line   Line
	Logger *slog.Logger
	Now    func() time.Time
}

// Committer makes visible what writers prepared, and puts things right before a restored job writes again.
type Committer interface {
	// Commit makes everything in pending visible, or nothing that was not visible before is reported as done: an unknown outcome is an
	// error. What has been committed already is no error.
	Commit(ctx context.Context, checkpoint int64, pending [][]byte) error
	// CommittedAfter names what this line has committed with checkpoints later than the given one; those would appear twice if the
	// job went on from it. It fails with ErrUnknown if the sink cannot tell. It changes nothing.
	CommittedAfter(ctx context.Context, checkpoint int64) ([]string, error)
	// Recover is called before the writers of a run are opened, also before a new start. If it fails it is called again, in this process or
	// the next, unless the error is marked by source.Permanent.
	Recover(ctx context.Context, r Recovery) (Recovered, error)
	// Close releases what it holds.
	Close() error
}

// RecoveryChecker is a Committer that can tell in advance whether Recover would find what it needs. All sinks of a job are asked before
// any of them is changed.
type RecoveryChecker interface {
	// Check returns why Recover would fail, as far as that can be known. It changes nothing.
	Check(ctx context.Context, r Recovery) error
}

// SubtaskRecoverer is a Committer that can put right what single subtasks have written, so that they can restart while the others go on.
// Without it all subtasks of the sink restart together, and with them all that is connected to them.
type SubtaskRecoverer interface {
	// RecoverSubtask is called before the writer of a subtask is opened again, after the former one was closed and its last Commit has
	// returned. r is what the checkpoint has of this subtask: Writers is what its new writer goes on with, Pending what it had prepared
	// and must be committed now; Withdraw and Fresh are not set, since nothing is committed after the latest checkpoint. What the subtask
	// has written since is swept. Nothing of any other subtask may be touched: those write, and commit, between two calls of the
	// Committer. If it fails it is called again, or Recover is.
	RecoverSubtask(ctx context.Context, subtask int, r Recovery) (Recovered, error)
}

// Withdrawer is a TwoPhase whose user may have allowed in advance that a job takes back what it has committed, so that nobody need be
// asked when it must.
type Withdrawer interface {
	// Withdraws returns the setting.
	Withdraws() bool
}

// Recovery says what a run goes on from.
type Recovery struct {
	// Checkpoint is the one that is restored, 0 for a new start.
	Checkpoint int64
	// Pending holds what the checkpoint knows as prepared, in ascending order of checkpoints: it must be committed now. If the job goes on
	// from a snapshot of another line, that line commits it: leave alone what is not of Line.
	Pending []Pending
	// Writers holds the states of all writers in the checkpoint. What they refer to must survive Recover.
	Writers [][]byte
	// Withdraw allows to make invisible what was committed after Checkpoint, because the sink is set to (see Withdrawer) or because the
	// user has just said so. If it is not set, and something was, that stays and the user has accepted duplicates.
	Withdraw bool
	// Fresh says that the user has asked for a new start: earlier output of this line is moved aside.
	Fresh bool
}

// Pending is what was prepared for one checkpoint.
type Pending struct {
	Checkpoint int64
	Items      [][]byte
}

// Recovered is what Recover did.
type Recovered struct {
	// Writers replaces Recovery.Writers, in the same order and number.
	Writers [][]byte
	// Moved names what was withdrawn or moved aside, and where it is now.
	Moved []string
}

// ErrUnknown is returned by CommittedAfter if a sink cannot tell what was committed.
var ErrUnknown = errors.New("the sink cannot tell what it has committed")

// ErrCannotWithdraw is returned by Recover, and by Check, if withdrawing was asked for and the sink is unable to.
var ErrCannotWithdraw = errors.New("the sink does not withdraw what it has committed")
