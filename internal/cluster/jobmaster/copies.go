package jobmaster

import (
	"context"

	"github.com/weirstream/weir/internal/graph"
	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/protocol/snapshot"
	"github.com/weirstream/weir/internal/runtime/operator"
	"github.com/weirstream/weir/internal/storage"
	"github.com/weirstream/weir/internal/storage/copies"
)

// useCopies lets the start have the copies of a job's state on this machine, if there are to be any.
func (s *start) useCopies(id job.ID) {
	c := s.Config.LocalCopies()
	if !c.Write && !c.Read || s.onlyLook || s.copies != nil && s.copies.Job() == id {
		return
	}
	s.found = nil
	s.copies = copies.New(copies.Options{
		Roots: c.Dirs, Job: id, Threshold: s.checkpoints.InlineThreshold,
		Report: func(err error) { s.Logger.Warn("local copies of state", "error", err) },
	})
}

// verifyAll reads a snapshot through. Copies of another job's are none of this one's business: that may be running.
func (s *start) verifyAll(ctx context.Context, meta *snapshot.Metadata) (err error) {
	if r := s.situation.Record; r == nil || r.Job().ID != meta.Job {
		return storage.Verify(ctx, s.FS, meta)
	}
	s.useCopies(meta.Job)
	s.found, err = s.verifyWithCopies(ctx, s.copies, meta, s.Plan)
	return err
}

// verifyRestored reads a checkpoint through that tasks of a plan are restored from, and notes the copies that they can read instead.
func (m *master) verifyRestored(ctx context.Context, meta *snapshot.Metadata, p *graph.Plan) error {
	if m.copies == nil || meta.Job != m.id {
		return m.storage.Verify(ctx, meta)
	}
	found, err := m.verifyWithCopies(ctx, m.copies, meta, p)
	m.found.Store(&found)
	return err
}

// verifyWithCopies reads a checkpoint through that the job may go on from. Of state that there are good copies of here it does not read what
// the checkpoint storage has; those are returned.
func (o *Options) verifyWithCopies(ctx context.Context, c *copies.Copies, meta *snapshot.Metadata, p *graph.Plan) (copies.Found, error) {
	if c == nil || !o.Config.LocalCopies().Read {
		return nil, storage.Verify(ctx, o.FS, meta)
	}
	found := c.Find(ctx, meta.Checkpoint, notRescaled(meta, p))
	return found, storage.VerifyBut(ctx, o.FS, meta, found.Has)
}

// notRescaled returns the streams of keyed state of the steps that have the parallelism that they had.
func notRescaled(meta *snapshot.Metadata, p *graph.Plan) (streams []snapshot.Stream) {
	parallelism := map[job.OperatorID]int{}
	for _, v := range p.Vertices {
		for _, n := range v.Nodes {
			parallelism[n.ID()] = v.Parallelism
		}
	}
	for i := range meta.Operators {
		op := &meta.Operators[i]
		if op.Parallelism != parallelism[op.ID] {
			continue
		}
		for _, sub := range op.Subtasks {
			if sub != nil {
				streams = append(streams, copies.KeyedOf(sub)...)
			}
		}
	}
	return streams
}

// openCopy opens the copy of a stream, if there is a good one. What cannot be read of it is read from the checkpoint storage.
func (f *Files) openCopy(ctx context.Context, s snapshot.Stream) (operator.StreamReader, bool) {
	found := f.found.Load()
	if found == nil || s.Partial {
		return nil, false
	}
	r, ok := found.Open(ctx, s)
	if !ok {
		return nil, false
	}
	return &copyReader{ctx: ctx, files: f, stream: s, local: r}, true
}

// copyReader reads a copy, and the original from the first failure on. It is used by one goroutine, as operators do when they are opened.
type copyReader struct {
	ctx    context.Context
	files  *Files
	stream snapshot.Stream
	local  *storage.StreamReader
	remote *storage.StreamReader // nil as long as the copy can be read
}

// ReadAt reads bytes of the stream.
func (r *copyReader) ReadAt(p []byte, off int64) (int, error) {
	if r.remote != nil {
		return r.remote.ReadAt(p, off)
	}
	n, err := r.local.ReadAt(p, off)
	if err == nil || off+int64(n) == r.stream.Length {
		return n, err
	}
	r.files.report.Warn("a local copy of state cannot be read any more: the checkpoint storage is", "error", err)
	if r.remote, err = r.files.storage.OpenStream(r.ctx, r.stream); err != nil {
		return 0, err
	}
	return r.remote.ReadAt(p, off)
}

// Close releases the files.
func (r *copyReader) Close() error {
	err := r.local.Close()
	if r.remote != nil {
		err = r.remote.Close()
	}
	return err
}

// copiesAre tells the local copies, if there are any, what has become of a checkpoint. It deletes files beside the master.
func (m *master) copiesAre(how func(*copies.Copies, job.CheckpointID), id job.CheckpointID) {
	if m.copies != nil {
		m.delete(func() { how(m.copies, id) })
	}
}

// disposeCopies deletes the local copies of a job that does not go on.
func (m *master) disposeCopies(s Status) {
	if m.copies != nil && s != Suspended && s != Aborted {
		m.delete(m.copies.Dispose)
	}
}
