package start

import (
	"context"

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
		Subtasks: s.Plan.Subtasks(),
		Process:  s.NewProcess(),
		Report:   func(err error) { s.Logger.Warn("a merged file could not be closed or deleted", "error", err) },
	})
	if err != nil {
		s.Logger.Warn("the files of checkpoints are not merged: every stream of state gets a file of its own", "error", err)
		return nil
	}
	return m
}
