package storage

import (
	"context"

	"github.com/weirstream/weir/internal/protocol/snapshot"
)

// files keeps streams in files of their own, short ones in `_metadata`.
type files struct {
	layout
	throttle  *throttle
	threshold int
	buffer    int
}

func (f *files) NewWriter(ctx context.Context, at Location, scope snapshot.Scope) *StreamWriter {
	p := place{scope: at.scope(scope), inline: f.threshold, buffer: f.buffer, throttle: f.throttle, fs: f.fs, newName: f.name}
	if p.scope == snapshot.Shared {
		// Named in full: another checkpoint, in another directory, may come to refer to it.
		p.dir = join(f.jobDir(), sharedDir)
		p.prefix = p.dir + "/"
	} else {
		p.dir = f.dirOf(at)
	}
	return newStreamWriter(ctx, p)
}

func (f *files) Survives() bool { return true }

func (f *files) String() string { return "filesystem " + f.dir }
