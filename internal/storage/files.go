package storage

import (
	"context"
	"fmt"

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

// InitLog makes the directory of the changelog.
func (f *files) InitLog(ctx context.Context, above string) (dir string, err error) {
	dir = join(f.jobDir(), changelogDir)
	if above != "" {
		dir = join(JobDir(above, f.job), changelogDir)
	}
	if err := f.fs.MakeDir(ctx, dir); err != nil {
		return "", fmt.Errorf("prepare the directory of the changelog of job %s: %w", f.job, err)
	}
	return dir, nil
}

// NewLogWriter begins a segment.
func (f *files) NewLogWriter(ctx context.Context, dir string) *StreamWriter {
	return newStreamWriter(ctx, place{
		scope: snapshot.Shared, inline: -1, buffer: f.buffer, throttle: f.throttle, fs: f.fs, dir: dir, prefix: dir + "/", newName: f.name,
	})
}

func (f *files) Survives() bool { return true }

func (f *files) String() string { return "filesystem " + f.dir }
