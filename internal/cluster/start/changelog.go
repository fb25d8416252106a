package start

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/weirstream/weir/internal/cluster/config"
	"github.com/weirstream/weir/internal/protocol/snapshot"
	"github.com/weirstream/weir/internal/runtime/operator"
	"github.com/weirstream/weir/internal/storage"
)

// newChangelog returns how the job's changes of keyed state are logged, nil if they are not.
func (s *start) newChangelog(ctx context.Context, st storage.Storage) (*operator.Changelog, error) {
	c := s.Config.Changelog()
	if !c.Enabled || !s.checkpoints.On() {
		return nil, nil
	}
	if s.World != nil {
		s.Logger.Warn("changes of the state are not logged in a simulation: checkpoints hold the state itself")
		return nil, nil
	}
	place := &logPlace{storage: st, inline: c.Storage == config.MemoryChangelog, logger: s.Logger}
	if !place.inline {
		var err error
		if place.dir, err = st.InitLog(ctx, c.BasePath); err != nil {
			return nil, err
		}
	}
	return &operator.Changelog{Interval: c.Interval, MaxFailures: c.MaxFailures, Persist: c.Persist, Place: place}, nil
}

// logPlace is where subtasks write the log of their changes, and their state as a whole.
type logPlace struct {
	storage storage.Storage
	dir     string // of the log
	inline  bool   // the log is kept in the metadata of checkpoints
	logger  *slog.Logger
}

// Segment begins a segment of the log.
func (p *logPlace) Segment(ctx context.Context) (operator.Stream, error) {
	if p.inline {
		return storage.NewInlineWriter(ctx), nil
	}
	return p.storage.NewLogWriter(ctx, p.dir), nil
}

// Base begins a file of a whole state.
func (p *logPlace) Base(ctx context.Context) (operator.Stream, error) {
	return p.storage.NewWriter(ctx, storage.Location{}, snapshot.Shared), nil
}

// Discard deletes what nobody was told of.
func (p *logPlace) Discard(paths []string) {
	if err := p.storage.DiscardShared(context.Background(), paths, nil); err != nil {
		p.logger.Warn(fmt.Sprintf("%d files of the changelog, or some of them, could not be deleted; weir gc finds them when the job does not run", len(paths)), "error", err)
	}
}
