package linefile

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/weirstream/weir/storage"
)

// Names returns the names of all jobs that have a record or a lock in a checkpoint directory, in order. A job that has started in it, or is
// about to and has made its first directory there, is among them.
func Names(ctx context.Context, fs storage.FS, dir string) ([]string, error) {
	entries, err := fs.List(ctx, dir)
	if err != nil {
		return nil, fmt.Errorf("list job lines: %w", err)
	}
	var names []string
	for _, e := range entries {
		file, isRecord := strings.CutSuffix(e.Name, recordSuffix)
		if !isRecord {
			var isLock bool
			if file, isLock = strings.CutSuffix(e.Name, lockSuffix); !isLock {
				continue
			}
		}
		name, err := url.PathUnescape(file)
		if e.Dir || err != nil || fileName(name) != file {
			continue // not a name that fileName writes
		}
		names = append(names, name)
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}
