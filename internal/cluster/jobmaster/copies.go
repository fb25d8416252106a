package jobmaster

import (
	"context"
	"errors"
	"os"

	"github.com/weirstream/weir/internal/graph"
	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/protocol/snapshot"
	"github.com/weirstream/weir/internal/runtime/operator"
	"github.com/weirstream/weir/internal/storage"
	"github.com/weirstream/weir/internal/storage/copies"
)

// verifyRestored reads a checkpoint through that tasks of a plan are restored from, and notes the copies that they can read instead.
func (m *master) verifyRestored(ctx context.Context, meta *snapshot.Metadata, p *graph.Plan) error {
	if m.copies == nil || meta.Job != m.id {
		return m.storage.Verify(ctx, meta)
	}
	found, err := m.VerifyWithCopies(ctx, m.copies, meta, p)
	m.found.Store(&found)
	return err
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

// removeCopiesLeft deletes beside the master the copies that nobody needs, now that the job has begun.
func (m *master) removeCopiesLeft() {
	dirs, err := m.CopiesLeft(m.beginning)
	m.beginning = nil
	if len(dirs) == 0 && err == nil {
		return
	}
	m.delete(func() {
		for _, dir := range dirs {
			err = errors.Join(err, os.RemoveAll(dir))
		}
		if err != nil {
			m.logger.Warn("local copies of state that nobody needs could not be deleted", "error", err)
		}
	})
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
