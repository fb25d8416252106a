package start

import (
	"context"
	"strings"

	"github.com/weirstream/weir/internal/cluster/config"
	"github.com/weirstream/weir/internal/cluster/patience"
	"github.com/weirstream/weir/internal/protocol/line"
	"github.com/weirstream/weir/internal/storage"
	"github.com/weirstream/weir/internal/storage/byscheme"
)

// initLog makes the directory of the changelog, if there is one, and returns its name.
func (s *start) initLog(ctx context.Context, st storage.Storage) (dir string, err error) {
	if !s.logsToFiles() {
		return "", nil
	}
	base := s.Config.Changelog().BasePath
	if base != "" {
		if base, err = byscheme.Abs(base); err != nil { // metadata name the log by it, and are read by processes that run elsewhere
			return "", err
		}
	}
	return patience.Retry(ctx, s.Pause, func() (string, error) { return st.InitLog(ctx, base) })
}

func (s *start) logsToFiles() bool {
	c := s.Config.Changelog()
	return c.Enabled && s.checkpoints.On() && c.Storage != config.MemoryChangelog
}

// recordPlaces adds the places to a record in which the job is going to have files apart from the directory of its checkpoints, so that what a
// process leaves there that is killed can be found.
func (s *start) recordPlaces(r *line.Record) error {
	if base := s.Config.Changelog().BasePath; base != "" && s.logsToFiles() {
		dir, err := byscheme.Abs(base)
		if err != nil {
			return err
		}
		of, err := byscheme.Abs(s.checkpoints.Dir)
		if err != nil {
			return err
		}
		r.AddLog(line.Log{Dir: strings.TrimRight(dir, "/"), Of: strings.TrimRight(of, "/")})
	}
	if !s.entropy.IsZero() {
		before, length, after := s.entropy.Parts()
		r.AddSpread(line.Spread{Before: before, Length: length, After: after})
	}
	return nil
}
