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

// owner is what files in one of the random directories belong to: a job, a savepoint, or the one job that has no directory of its own, whose
// name is empty.
type owner struct{ random, name string }

// scattered is a file of state in a random directory.
type scattered struct {
	owner
	path  string
	name  string
	bytes int64
	in    string // the plain directory for it, below that of checkpoints
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
		parts := strings.Split(below, "/")
		switch {
		case !ok:
			return nil
		case len(parts) == 1:
			named[random] = true // no job has files here
			return nil
		}
		last := len(parts) - 1
		switch at, ours := s.ownerOf(f, random, parts); {
		case !ours:
			strange[owner{random, ""}] = true
		case f.isStateOf(at, parts):
			all = append(all, scattered{at, path, parts[last], bytes, strings.Join(parts[:last], "/")})
		default:
			strange[at] = true
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

// ownerOf returns what a path in a random directory belongs to. ours is false for what is none of the line's, as far as anybody can tell.
func (s spread) ownerOf(f *finder, random string, parts []string) (at owner, ours bool) {
	if id, err := job.ParseID(parts[0]); err == nil && id.String() == parts[0] {
		return owner{random, parts[0]}, s.jobs[id]
	}
	if _, savepoint := snapshots.ParseSavepointName(parts[0]); savepoint {
		return owner{random, parts[0]}, f.givenUp[parts[0]] || f.complete[f.dir+"/"+parts[0]]
	}
	return owner{random, ""}, f.flat
}

// isStateOf reports whether the parts of a path are those of a file of state of what it belongs to.
func (f *finder) isStateOf(at owner, parts []string) bool {
	_, savepoint := snapshots.ParseSavepointName(at.name)
	switch {
	case savepoint:
		return f.givenUp[at.name] && len(parts) == 2 && streamName.MatchString(parts[1])
	case at.name == "":
		return len(parts) == 2 && isState(parts[0], parts[1])
	}
	return len(parts) == 3 && isState(parts[1], parts[2])
}

// isState reports whether a directory of a job and the name in it are those of a file of state.
func isState(dir, name string) bool {
	return (checkpoint.MatchString(dir) || dir == "shared") && streamName.MatchString(name)
}

// add adds a file, unless a line in another directory has left its mark in the plain directory.
func (s spread) add(f *finder, x scattered) error {
	why := "no checkpoint's metadata names it"
	switch {
	case f.givenUp[x.owner.name]:
		why = "its savepoint was never completed"
	case strings.HasSuffix("/"+x.in, "/shared"):
		entries, err := f.list(f.dir+"/"+x.in, "marks of other jobs")
		if err != nil || usedElsewhere(entries) {
			return err
		}
	}
	f.add(Item{x.path, why, x.bytes, tree{files: []string{x.path}}})
	return nil
}
