package jobmaster

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/weirstream/weir/internal/cluster/config"
	"github.com/weirstream/weir/internal/protocol/snapshot"
	"github.com/weirstream/weir/internal/runtime/operator"
	"github.com/weirstream/weir/internal/storage"
	"github.com/weirstream/weir/internal/storage/copies"
)

// Changelog returns how tasks log the changes of their keyed state, nil if they do not.
func (f *Files) Changelog(c config.ChangelogSettings) *operator.Changelog {
	if !c.Enabled {
		return nil
	}
	place := &logPlace{storage: f.storage, dir: f.logDir, inline: c.Storage == config.MemoryChangelog, logger: f.report}
	if f.writeCopies {
		place.copies = f.copies
	}
	return &operator.Changelog{Interval: c.Interval, MaxFailures: c.MaxFailures, Persist: c.Persist, Compress: c.Compress, Place: place}
}

// logPlace is where subtasks write the log of their changes, and their state as a whole.
type logPlace struct {
	storage storage.Storage
	dir     string         // of the log
	inline  bool           // the log is kept in the metadata of checkpoints
	copies  *copies.Copies // on this machine, nil if there are none
	logger  *slog.Logger
}

// Segment begins a segment of the log.
func (p *logPlace) Segment(ctx context.Context) (snapshot.StreamWriter, error) {
	if p.inline {
		return storage.NewInlineWriter(ctx), nil
	}
	out := p.storage.NewLogWriter(ctx, p.dir)
	if p.copies != nil {
		return p.copies.Segment(out), nil
	}
	return out, nil
}

// Base begins a file of a whole state.
func (p *logPlace) Base(ctx context.Context) (snapshot.StreamWriter, error) {
	out := p.storage.NewWriter(ctx, storage.Location{}, snapshot.Shared)
	if p.copies != nil {
		return p.copies.Base(out), nil
	}
	return out, nil
}

// Discard deletes what nobody was told of.
func (p *logPlace) Discard(paths []string) {
	if p.copies != nil {
		p.copies.Discard(paths)
	}
	if err := p.storage.DiscardShared(context.Background(), paths, nil); err != nil {
		p.logger.Warn(fmt.Sprintf("%d files of the changelog, or some of them, could not be deleted; weir gc finds them when the job does not run", len(paths)), "error", err)
	}
}
