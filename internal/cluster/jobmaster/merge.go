package jobmaster

import (
	"context"
	"encoding/hex"
	"slices"

	"github.com/weirstream/weir/internal/graph"
	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/protocol/merging"
	"github.com/weirstream/weir/internal/storage"
)

// newMerger returns what merges the files of checkpoints, nil if they are not to be merged or cannot be: then each stream has a file.
func (s *start) newMerger(ctx context.Context, st storage.Storage) *storage.Merger {
	c := s.checkpoints.Merging
	if !c.Enabled {
		return nil
	}
	m, err := storage.NewMerger(ctx, st, storage.MergerOptions{
		Options: merging.Options{
			AcrossBoundary: c.AcrossCheckpoints, MaxFileSize: c.MaxFileSize, Blocking: c.BlockingPool, MaxSubtasks: c.MaxSubtasks,
			MaxAmplification: c.MaxSpaceAmplification,
		},
		Subtasks: subtasksOf(s.Plan),
		Process:  s.newProcess(),
		Report:   func(err error) { s.Logger.Warn("a merged file could not be closed or deleted", "error", err) },
	})
	if err != nil {
		s.Logger.Warn("the files of checkpoints are not merged: every stream of state gets a file of its own", "error", err)
		return nil
	}
	return m
}

// newProcess returns what tells the files of this process from those of all others that ever work for the job.
func (o *Options) newProcess() string {
	return hex.EncodeToString(o.randomBytes())[:16]
}

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

func subtasksOf(p *graph.Plan) (n int) {
	for _, v := range p.Vertices {
		n += v.Parallelism
	}
	return n
}
