package local

import (
	"context"

	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/protocol/snapshot"
	"github.com/weirstream/weir/internal/runtime/operator"
	"github.com/weirstream/weir/internal/storage"
)

// streams is where a task writes its part of one checkpoint.
type streams struct {
	storage storage.Storage
	id      job.CheckpointID
}

// NewStream begins a stream.
func (s streams) NewStream(ctx context.Context, scope snapshot.Scope) (operator.Stream, error) {
	return s.storage.NewWriter(ctx, s.id, scope), nil
}
