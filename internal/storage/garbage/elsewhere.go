package garbage

import (
	"errors"
	"fmt"
	"strings"

	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/protocol/line"
	snapshots "github.com/weirstream/weir/internal/storage"
	"github.com/weirstream/weir/internal/storage/byscheme"
	"github.com/weirstream/weir/storage"
)

// elsewhere is a place in which jobs of a line have kept files apart from the directory of their checkpoints.
type elsewhere interface{ find(f *finder) error }

// addPlaces adds those that a record tells of. What it says of other directories than the one in which it is read does not count: it is a copy,
// and the original may be at work.
func (f *finder) addPlaces(r *line.Record, ids map[job.ID]bool) error {
	of, err := byscheme.Abs(f.dir)
	if err != nil {
		return err
	}
	for _, l := range r.Logs {
		if l.Of == of {
			f.others = append(f.others, logs{l.Dir, r.Jobs})
		}
	}
	for _, s := range r.Spread {
		if e := snapshots.EntropyBetween(s.Before, s.Length, s.After); strings.TrimRight(e.Dir(), "/") == f.dir {
			f.others = append(f.others, spread{e, ids})
		}
	}
	return nil
}

// logs is a directory with changelogs of jobs.
type logs struct {
	dir  string
	jobs []line.Job
}

// find adds segments that no checkpoint names. All of them that are complete were read: a checkpoint elsewhere can refer to segments only after the
// line that it is of has left its mark beside them.
func (l logs) find(f *finder) error {
	for _, j := range l.jobs {
		if err := f.sharedDir(snapshots.LogDir(l.dir, j.ID)); err != nil {
			return err
		}
	}
	return nil
}

// spread are random directories.
type spread struct {
	snapshots.Entropy
	jobs map[job.ID]bool // of the line
}

// owner is a job in one of the random directories.
type owner struct {
	random string
	id     job.ID
}

// scattered is a file of state in a random directory.
type scattered struct {
	owner
	path  string
	name  string
	bytes int64
	in    string // the directory of its job that it lies in: of a checkpoint, or of shared files
}

// find adds files of the line's jobs in random directories that no checkpoint names, if the store can find them. In such a directory there is
// nothing of a job but files of state. If there is anything else, it is a directory that somebody has given such a name, perhaps to keep a copy in,
// and stays as it is.
func (s spread) find(f *finder) error {
	walker, ok := f.found.fs.(storage.Walker)
	if !ok {
		return nil
	}
	var all []scattered
	named, strange := map[string]bool{}, map[owner]bool{}
	err := walker.Walk(f.ctx, s.Above(), func(path string, bytes int64) error {
		random, below, ok := s.Split(path)
		switch parts := strings.Split(below, "/"); {
		case !ok:
		case len(parts) == 1:
			named[random] = true // no job has files here
		default:
			id, err := job.ParseID(parts[0])
			at := owner{random, id}
			if err != nil || !s.jobs[id] || id.String() != parts[0] {
				return nil
			}
			if len(parts) != 3 || !isState(parts[1], parts[2]) {
				strange[at] = true
				return nil
			}
			all = append(all, scattered{at, path, parts[2], bytes, parts[1]})
		}
		return nil
	})
	if errors.Is(err, errors.ErrUnsupported) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look for state in random directories: %w", err)
	}
	for _, x := range all {
		if named[x.random] || strange[x.owner] || f.reached[x.name] {
			continue
		}
		if err := s.add(f, x); err != nil {
			return err
		}
	}
	return nil
}

// isState reports whether a directory of a job and the name in it are those of a file of state.
func isState(dir, name string) bool {
	return (checkpoint.MatchString(dir) || dir == "shared") && streamName.MatchString(name)
}

// add adds a file, unless a line in another directory has left its mark in the plain directory.
func (s spread) add(f *finder, x scattered) error {
	if !checkpoint.MatchString(x.in) {
		entries, err := f.list(snapshots.JobDir(f.dir, x.id)+"/"+x.in, "marks of other jobs")
		if err != nil || usedElsewhere(entries) {
			return err
		}
	}
	f.add(Item{x.path, "no checkpoint's metadata names it", x.bytes, tree{files: []string{x.path}}})
	return nil
}
