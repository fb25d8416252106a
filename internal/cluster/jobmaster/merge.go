package jobmaster

import (
	"slices"

	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/storage"
)

// checkpointIs tells the merger, if there is one, what has become of a checkpoint. It deletes files beside the master.
func (m *master) checkpointIs(how func(*storage.Merger, job.CheckpointID), id job.CheckpointID) {
	if m.merger != nil {
		m.delete(func() { how(m.merger, id) })
	}
}

// releasing are checkpoints that were deleted, but for what they have in merged files: a checkpoint that is under way may refer to that.
type releasing []job.CheckpointID

// take removes those to which none does, and returns them.
func (r *releasing) take(refers func(job.CheckpointID) bool) (free []job.CheckpointID) {
	*r = slices.DeleteFunc(*r, func(id job.CheckpointID) bool {
		if refers(id) {
			return false
		}
		free = append(free, id)
		return true
	})
	return free
}

// release lets the merger delete what it may of the checkpoints that were deleted.
func (m *master) release() {
	for _, id := range m.releasing.take(m.coordinator.BuildsOn) {
		m.checkpointIs((*storage.Merger).Release, id)
	}
}

// mergedAborted releases what was written for a checkpoint that was given up, unless it may exist all the same.
func (m *master) mergedAborted(id job.CheckpointID) {
	if !slices.Contains(m.doubtful, id) && m.places.of(id) == nil {
		m.checkpointIs((*storage.Merger).Release, id)
	}
}

// closeMerger closes all merged files, when no task runs any more. What they hold is durable already.
func (m *master) closeMerger() {
	if err := m.merger.Close(); err != nil {
		m.logger.Warn("merged files could not be closed", "error", err)
	}
}
