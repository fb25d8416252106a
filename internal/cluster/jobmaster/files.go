package jobmaster

import (
	"context"
	"log/slog"
	"sync/atomic"

	"github.com/weirstream/weir/internal/graph"
	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/protocol/snapshot"
	"github.com/weirstream/weir/internal/runtime/operator"
	"github.com/weirstream/weir/internal/storage"
	"github.com/weirstream/weir/internal/storage/copies"
)

// Files is where the tasks of this process write their parts of snapshots, and read what they are restored from: the checkpoint storage, files
// that streams are merged in, copies on this machine, places of savepoints. The master tells it what becomes of snapshots; its exported
// methods may be called by any goroutine, but for Streams.
type Files struct {
	storage     storage.Storage
	merger      *storage.Merger              // nil if files are not merged
	copies      *copies.Copies               // of state on this machine; nil if there are none
	writeCopies bool                         // there are to be more of them
	found       atomic.Pointer[copies.Found] // those that tasks are restored from now
	places      places
	retries     storage.Retries
	logDir      string // of the changelog, if that is in files
	report      *slog.Logger
}

// Streams returns where tasks of a plan write. What it returns is called by them.
func (f *Files) Streams(p *graph.Plan) func(job.Subtask, job.CheckpointID) operator.Streams {
	parallelism := map[job.VertexID]int{}
	for _, v := range p.Vertices {
		parallelism[v.ID()] = v.Parallelism
	}
	return func(sub job.Subtask, id job.CheckpointID) operator.Streams {
		s := f.places.streams(f.storage, id, f.report)
		if f.merger != nil && s.place == nil {
			s.part = f.merger.Part(id, sub, parallelism[sub.Vertex])
		}
		if f.writeCopies && s.place == nil {
			s.copies = f.copies.Part(id, sub)
		}
		return s
	}
}

// OpenStream opens a stream of a snapshot, or its copy on this machine if that is good.
func (f *Files) OpenStream(ctx context.Context, s snapshot.Stream) (operator.StreamReader, error) {
	if r, ok := f.openCopy(ctx, s); ok {
		return r, nil
	}
	return f.storage.OpenStream(ctx, s)
}

// Again calls do, which writes something for a checkpoint, until it has succeeded or has failed for good.
func (f *Files) Again(ctx context.Context, do func() error) error { return f.retries.Do(ctx, do) }

// MayUse returns which streams tasks may refer to again, nil if they may to all.
func (f *Files) MayUse() func(snapshot.Stream) bool {
	if f.merger == nil {
		return nil
	}
	return f.merger.MayUse
}
