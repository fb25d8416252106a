package coordinator

import (
	"time"

	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/protocol/reason"
)

// Status is what became of a checkpoint.
type Status uint8

// What can become of a checkpoint.
const (
	InProgress Status = iota
	Complete
	GivenUp
)

// TaskMetrics is what a task measured of one checkpoint.
type TaskMetrics struct {
	StartDelay time.Duration // from the trigger to the first barrier
	Alignment  time.Duration // from the first barrier to the last
	Sync       time.Duration // the part on the task's own goroutine
	Async      time.Duration // the part beside it
	NewBytes   int64         // written for this checkpoint; the state may be larger
	// ProcessedBytes of in-flight data went through between the first barrier and the last. It is 0 where records are passed on as they are,
	// as within a process: they have no size in bytes.
	ProcessedBytes int64
	// PersistedBytes of in-flight data are in the snapshot; 0 for an aligned one.
	PersistedBytes int64
	// Unaligned is set if barriers overtook records.
	Unaligned bool
}

// SubtaskStats is one subtask's part in a checkpoint. The zero value is a part of which nothing is known yet.
type SubtaskStats struct {
	Acked bool
	// Reported is set without Acked if the subtask told what it had measured although it could not acknowledge.
	Reported   bool
	AckedAt    time.Time
	Duration   time.Duration // from the trigger to the ack
	StateBytes int64         // all that its snapshot refers to
	Metrics    TaskMetrics
}

// VertexStats is one vertex's part in a checkpoint.
type VertexStats struct {
	ID       job.VertexID
	Name     string
	Subtasks []SubtaskStats
	// Finished are the subtasks that had ended before and have no part in it, so that they never acknowledge. It must not be changed.
	Finished []bool
}

// CheckpointStats is what is known of one checkpoint.
type CheckpointStats struct {
	ID            job.CheckpointID
	Kind          RequestKind
	Native        bool // of a savepoint: in the state backend's own format
	Status        Status
	Triggered     time.Time
	LatestAck     time.Time     // zero before the first
	Ended         time.Time     // zero while in progress
	Duration      time.Duration // from Triggered to Ended
	Tasks         int           // that had to acknowledge
	Acked         int
	Finished      int           // had ended before, and have no part in it
	StateBytes    int64         // all that it refers to
	NewBytes      int64         // written for it
	MetadataBytes int64         // of the `_metadata` file
	Pointer       string        // what a restore is given to find it
	Discarded     bool          // complete, but deleted since
	Reason        reason.Reason // why it was given up
	Cause         string        // in words, if known beyond the reason
	Attempt       job.Attempt   // the task to blame, zero if none

	ProcessedBytes int64 // summed over the subtasks, as TaskMetrics has them; so below
	PersistedBytes int64
	Unaligned      bool          // in at least one subtask
	LongestSync    time.Duration // that a subtask spent on its own goroutine

	// Vertices are the parts in it. They are nil except in what Coordinator.Checkpoint returns: there may be many.
	Vertices []VertexStats
}

// IsSavepoint reports whether it was taken for the user.
func (cs *CheckpointStats) IsSavepoint() bool { return cs.Kind.isSavepoint() }

// AckDuration returns the time from the trigger to the latest acknowledgement, 0 before the first.
func (cs *CheckpointStats) AckDuration() time.Duration { return max(0, cs.LatestAck.Sub(cs.Triggered)) }

// RestoreStats is the latest restore.
type RestoreStats struct {
	From Retained
	At   time.Time
}

// Counts is how many checkpoints came to which end. Failed ones include requests that never became a checkpoint, which are not in the
// history.
type Counts struct{ Restored, Total, InProgress, Completed, Failed int }

// Stats is what is known of the checkpoints of a job since its process started.
type Stats struct {
	Counts          Counts
	History         []CheckpointStats // newest first, at most Config.History
	LatestCompleted *CheckpointStats  // that is no savepoint; nil if there is none; so below
	LatestSavepoint *CheckpointStats
	LatestFailed    *CheckpointStats
	LatestRestore   *RestoreStats
	// DurationMillis is from the trigger to the last acknowledgement, over the complete checkpoints, savepoints included. So are those below.
	DurationMillis Measure
	StateBytes     Measure
	NewBytes       Measure
	ProcessedBytes Measure
	PersistedBytes Measure
}

// Stats returns a copy of the statistics, without the parts that vertices had in the checkpoints. What it costs depends on the size of the
// history, and not on that of the job.
func (c *Coordinator) Stats() Stats { return c.stats.copy() }

// Checkpoint returns a copy of all that is known of a checkpoint, its Vertices included, and false if it is not remembered any more.
func (c *Coordinator) Checkpoint(id job.CheckpointID) (CheckpointStats, bool) {
	cs := c.stats.find(id)
	if cs == nil {
		return CheckpointStats{}, false
	}
	return cs.clone(), true
}
