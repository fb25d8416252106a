package storage

import (
	"context"
	"fmt"
	"sync"

	"github.com/weirstream/weir/internal/protocol/snapshot"
)

// files keeps streams in files of their own, short ones in `_metadata`.
type files struct {
	layout
	throttle  *throttle
	retries   Retries
	entropy   Entropy
	spread    spreadFiles
	threshold int
	buffer    int
}

func (f *files) NewWriter(ctx context.Context, at Location, scope snapshot.Scope) *StreamWriter {
	p := place{scope: at.scope(scope), inline: f.threshold, buffer: f.buffer, throttle: f.throttle, retries: f.retries, fs: f.fs, newName: f.name}
	if p.scope == snapshot.Shared {
		// Named in full: another checkpoint, in another directory, may come to refer to it.
		p.dir = join(f.jobDir(), sharedDir)
		p.prefix = p.dir + "/"
	} else {
		p.dir = f.dirOf(at)
	}
	p.entropy = f.entropy
	if at.Savepoint != "" {
		p.entropy = at.Entropy
	}
	if !p.entropy.IsZero() && p.scope == snapshot.Exclusive {
		p.made = func(path string) { f.spread.add(p.dir, path) }
	}
	return newStreamWriter(ctx, p)
}

// InitLog makes the directory of the changelog.
func (f *files) InitLog(ctx context.Context, above string) (dir string, err error) {
	dir = join(f.jobDir(), changelogDir)
	if above != "" {
		dir = LogDir(above, f.job)
	}
	if err := f.fs.MakeDir(ctx, dir); err != nil {
		return "", fmt.Errorf("prepare the directory of the changelog of job %s: %w", f.job, err)
	}
	return dir, nil
}

// NewLogWriter begins a segment.
func (f *files) NewLogWriter(ctx context.Context, dir string) *StreamWriter {
	return newStreamWriter(ctx, place{
		scope: snapshot.Shared, inline: -1, buffer: f.buffer, throttle: f.throttle, retries: f.retries, fs: f.fs, dir: dir, prefix: dir + "/", newName: f.name,
	})
}

func (f *files) PublishMetadata(ctx context.Context, at Location, meta *snapshot.Metadata) (pointer string, size int64, err error) {
	pointer, size, err = f.layout.PublishMetadata(ctx, at, meta)
	if err != nil {
		return "", 0, err
	}
	f.spread.take(f.dirOf(at)) // metadata names them
	if at.Savepoint != "" && !at.Entropy.IsZero() {
		_ = f.outside.Remove(ctx, join(at.Savepoint, UnfinishedName)) // beside metadata it says nothing
	}
	return pointer, size, nil
}

// RemoveUnfinished deletes what the directory does not hold too.
func (f *files) RemoveUnfinished(ctx context.Context, at Location) error {
	if err := f.layout.RemoveUnfinished(ctx, at); err != nil {
		return err
	}
	files := f.spread.take(f.dirOf(at))
	if len(files) == 0 {
		return nil
	}
	if err := f.fsOf(at).Remove(ctx, files...); err != nil {
		f.spread.add(f.dirOf(at), files...)
		return fmt.Errorf("%s: remove unfinished files: %w", at, err)
	}
	return nil
}

// spreadFiles are the files of unfinished snapshots that lie elsewhere because of entropy, by the snapshot's directory. Nobody else could find
// them: they go with the snapshot as long as the process lives.
type spreadFiles struct {
	mu    sync.Mutex // guards files
	files map[string][]string
}

func (s *spreadFiles) add(dir string, paths ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.files == nil {
		s.files = map[string][]string{}
	}
	s.files[dir] = append(s.files[dir], paths...)
}

// take returns the files of a snapshot and forgets them.
func (s *spreadFiles) take(dir string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	files := s.files[dir]
	delete(s.files, dir)
	return files
}

func (f *files) Survives() bool { return true }

func (f *files) String() string { return "filesystem " + f.dir }
