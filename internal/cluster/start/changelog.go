package start

import (
	"context"

	"github.com/weirstream/weir/internal/cluster/config"
	"github.com/weirstream/weir/internal/cluster/patience"
	"github.com/weirstream/weir/internal/storage"
	"github.com/weirstream/weir/internal/storage/byscheme"
)

// initLog makes the directory of the changelog, if there is one, and returns its name.
func (s *start) initLog(ctx context.Context, st storage.Storage) (dir string, err error) {
	c := s.Config.Changelog()
	if !c.Enabled || !s.checkpoints.On() || c.Storage == config.MemoryChangelog {
		return "", nil
	}
	if c.BasePath != "" {
		if c.BasePath, err = byscheme.Abs(c.BasePath); err != nil { // metadata name the log by it, and are read by processes that run elsewhere
			return "", err
		}
	}
	return patience.Retry(ctx, s.Pause, func() (string, error) { return st.InitLog(ctx, c.BasePath) })
}
