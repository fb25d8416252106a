package storage

import (
	"context"

	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/protocol/snapshot"
)

// files keeps streams in files of their own, short ones in `_metadata`.
type files struct {
	layout
	threshold int
	buffer    int
	newName   func() string
}

func (f *files) NewWriter(ctx context.Context, id job.CheckpointID, scope snapshot.Scope) *StreamWriter {
	p := place{scope: scope, inline: f.threshold, buffer: f.buffer, fs: f.fs, newName: randomName}
	if f.newName != nil {
		p.newName = f.newName
	}
	if scope == snapshot.Shared {
		// Named in full: another checkpoint, in another directory, may come to refer to it.
		p.dir = join(JobDir(f.dir, f.job), sharedDir)
		p.prefix = p.dir + "/"
	} else {
		p.dir = f.checkpointDir(id)
	}
	return newStreamWriter(ctx, p)
}

func (f *files) Survives() bool { return true }

func (f *files) String() string { return "filesystem " + f.dir }
