package start

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/weirstream/weir/internal/cluster/patience"
	"github.com/weirstream/weir/internal/protocol/line"
	"github.com/weirstream/weir/internal/protocol/sharing"
	"github.com/weirstream/weir/internal/protocol/snapshot"
	"github.com/weirstream/weir/internal/storage"
	"github.com/weirstream/weir/internal/storage/linefile"
)

// sharedFiles is what the checkpoints that a job finds refer to beside their own files.
type sharedFiles struct {
	uses   map[string]sharing.Uses // by the path of the checkpoint
	others []sharing.Uses          // of checkpoints that lie beside the files and are somebody else's
	unsure bool                    // some could not be read
}

// findShared reads what the checkpoints that the job takes over refer to. One that cannot be read may refer to anything that was there before.
func (s *start) findShared(ctx context.Context, b *Beginning) {
	b.shared.uses = map[string]sharing.Uses{}
	found := append(append([]line.Snapshot{}, b.retained...), b.obsolete...)
	for _, f := range found {
		b.shared.uses[f.Path] = s.usesOf(ctx, f.Path, &b.shared)
	}
	if b.Restore != nil {
		b.shared.uses[b.path] = sharing.UsesOf(b.Restore)
	}
	s.findOthers(ctx, b)
}

func (s *start) usesOf(ctx context.Context, path string, to *sharedFiles) sharing.Uses {
	m, err := patience.Retry(ctx, s.Pause, func() (*snapshot.Metadata, error) { return s.load(ctx, path) })
	switch {
	case err == nil:
		return sharing.UsesOf(m)
	case storage.Classify(err) == storage.Absent:
		return sharing.Uses{}
	}
	to.unsure = true
	if ctx.Err() != nil { // the start is being broken off: it deletes nothing, and that proves nothing against the checkpoint
		return sharing.Uses{}
	}
	s.Logger.Warn("a checkpoint cannot be read: no shared files from before this start will be deleted", "checkpoint", path, "error", err)
	return sharing.Uses{}
}

// findOthers reads the complete checkpoints that lie in the same checkpoint directory as the shared files that the job takes over, and that it
// does not take over itself: what they refer to must stay. A claimed checkpoint may refer to files of a job that was claimed from before,
// and so may those of others.
func (s *start) findOthers(ctx context.Context, b *Beginning) {
	for _, shared := range sharedDirs(s.entropy, b.shared.uses) {
		if err := s.findOthersOf(ctx, shared, b); err != nil {
			if b.shared.unsure = true; ctx.Err() != nil {
				return
			}
			s.Logger.Warn("it cannot be found out who else refers to shared files: none from before this start will be deleted", "directory", shared, "error", err)
		}
	}
}

// findOthersOf looks in one directory of shared files. Those of a changelog may lie elsewhere than the checkpoints that refer to them, so it looks
// beside those as well.
func (s *start) findOthersOf(ctx context.Context, shared string, b *Beginning) error {
	elsewhere, err := patience.Retry(ctx, s.Pause, func() (string, error) { return linefile.SharedElsewhere(ctx, s.FS, shared, b.Record.Line) })
	if err == nil && elsewhere != "" {
		err = fmt.Errorf("a job with its checkpoints in %s has claimed some of it", elsewhere)
	}
	if err != nil {
		return err
	}
	for _, dir := range besides(shared, b.shared.uses) {
		if err := s.findBeside(ctx, dir, b); err != nil {
			return err
		}
	}
	return nil
}

// besides returns the directories of jobs whose checkpoints may refer to what lies in a directory of shared files, in order.
func besides(shared string, uses map[string]sharing.Uses) []string {
	dirs := map[string]bool{storage.Parent(shared): true}
	for path, u := range uses {
		if slices.ContainsFunc(u.Streams, func(s snapshot.Stream) bool { return storage.Parent(s.Path) == shared }) {
			dirs[storage.Parent(path)] = true
		}
	}
	return slices.Sorted(maps.Keys(dirs))
}

// findBeside reads the complete checkpoints in the directory of a job, and in those of jobs beside it, that are not known yet.
func (s *start) findBeside(ctx context.Context, dir string, b *Beginning) error {
	found, err := patience.Retry(ctx, s.Pause, func() ([]storage.Found, error) { return storage.ListBeside(ctx, s.FS, dir) })
	if err != nil {
		return err
	}
	for _, f := range found {
		if _, known := b.shared.uses[f.Path]; f.Published && !known {
			b.shared.uses[f.Path] = sharing.Uses{} // once is enough
			b.shared.others = append(b.shared.others, s.usesOf(ctx, f.Path, &b.shared))
		}
	}
	return nil
}

// sharedDirs returns the directories of shared files that checkpoints refer to, in order.
func sharedDirs(e storage.Entropy, uses map[string]sharing.Uses) []string {
	dirs := map[string]bool{}
	for _, u := range uses {
		for _, stream := range u.Streams {
			if dir, ok := storage.SharedDirOf(stream); ok {
				dirs[e.Plain(dir)] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(dirs))
}

// markShared leaves a mark beside the shared files of a snapshot that is claimed, for whoever cleans up there: checkpoints elsewhere refer to
// them from now on.
func (s *start) markShared(ctx context.Context, b *Beginning) error {
	dirs := map[string]bool{}
	b.Restore.EachStream(func(stream *snapshot.Stream) {
		if dir, ok := storage.SharedDirOf(*stream); ok {
			dirs[s.entropy.Plain(dir)] = true
		}
	})
	for dir := range dirs {
		mark := func() error { return linefile.MarkShared(ctx, s.FS, dir, b.Record, s.checkpoints.Dir) }
		if err := patience.Do(ctx, s.Pause, mark); err != nil {
			return err
		}
	}
	return nil
}
