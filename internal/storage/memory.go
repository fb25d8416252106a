package storage

import (
	"context"
	"fmt"

	"github.com/weirstream/weir/internal/protocol/snapshot"
	"github.com/weirstream/weir/internal/storage/fs"
)

// memory keeps all streams in `_metadata`: in a directory if there is one, otherwise in this process.
type memory struct {
	layout
	limit    int
	survives bool
}

// NewMemory returns the storage that keeps all state inside `_metadata`, and without a directory keeps that in memory too. It does no I/O.
func NewMemory(o MemoryOptions) (Storage, error) {
	switch {
	case o.Job.IsZero() || o.Dir != "" && o.FS == nil:
		panic("storage: NewMemory needs a job id, and for a directory a file system")
	case o.MaxStream < 0:
		return nil, fmt.Errorf("largest state of %d bytes for checkpoints in memory: must not be negative", o.MaxStream)
	}
	m := &memory{layout: layout{fs: o.FS, outside: o.FS, dir: o.Dir, job: o.Job, flat: o.Flat && o.Dir != ""}, limit: o.MaxStream, survives: o.Dir != ""}
	if m.limit == 0 {
		m.limit = DefaultMaxStream
	}
	if !m.survives {
		m.fs, m.dir = fs.NewMemory(), "memory"
	}
	return m, nil
}

func (m *memory) NewWriter(ctx context.Context, at Location, scope snapshot.Scope) *StreamWriter {
	return newStreamWriter(ctx, place{scope: at.scope(scope), limit: m.limit})
}

// InitLog does nothing: segments are kept like all else.
func (m *memory) InitLog(context.Context, string) (dir string, err error) { return "", nil }

// NewLogWriter begins a segment.
func (m *memory) NewLogWriter(ctx context.Context, _ string) *StreamWriter {
	return m.NewWriter(ctx, Location{}, snapshot.Shared)
}

func (m *memory) PublishMetadata(ctx context.Context, at Location, meta *snapshot.Metadata) (pointer string, size int64, err error) {
	pointer, size, err = m.layout.PublishMetadata(ctx, at, meta)
	if err == nil && !m.survives && at.Savepoint == "" {
		pointer = NotAddressable
	}
	return pointer, size, err
}

func (m *memory) List(ctx context.Context) ([]Found, error) {
	found, err := m.layout.List(ctx)
	for i := range found {
		if !m.survives {
			found[i].Path = NotAddressable
		}
	}
	return found, err
}

func (m *memory) Survives() bool { return m.survives }

func (m *memory) String() string {
	if m.survives {
		return "jobmanager (memory, metadata in " + m.dir + ")"
	}
	return "jobmanager (memory)"
}
