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
