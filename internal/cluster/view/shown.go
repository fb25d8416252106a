package view

import (
	"context"

	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/protocol/coordinator"
)

// Shown is a job that can be looked at, whether it runs or has ended. Its methods may be called concurrently, and do not disturb the job.
// An error says that the one who knows could not be asked; it may be another process.
type Shown interface {
	ID() job.ID
	Job() Job
	// Failures returns why the job has restarted or ended, the newest first, and whether there were more than are remembered.
	Failures() (failures []Failure, truncated bool)
	Checkpointing() Checkpointing
	// Checkpoints returns the statistics, without what vertices and subtasks have done.
	Checkpoints(ctx context.Context) (coordinator.Stats, error)
	// Checkpoint returns all that is known of one checkpoint; nil if it is not remembered.
	Checkpoint(ctx context.Context, id job.CheckpointID) (*coordinator.CheckpointStats, error)
}
