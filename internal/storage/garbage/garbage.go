// Package garbage answers one question: what in a checkpoint directory does nobody need any more?
//
// Crashes leave things behind: checkpoints and savepoints that were never completed, files that are half written, streams that no metadata names, the
// directory of a job that never completed anything. Jobs delete what they know of; the rest is found here.
//
//   - It must be proved that nobody needs a thing. Whatever cannot be read, a record or a checkpoint's metadata, ends the search: it may
//     refer to anything.
//   - No checkpoint or savepoint that is complete is ever garbage, nor a file that one refers to, nor a file whose name Weir does not give.
//   - Shared files, and those of tasks, are garbage if nothing complete in the directory refers to them, unless a line in another directory has
//     left its mark beside them: its checkpoints may.
//   - Beside the directory it is looked where the records say that jobs have files: in the places of their changelogs, and in random directories. There
//     what carries a job's id in its path is that job's: see elsewhere.go.
//   - Nobody who could need a thing may be at work. In a local directory the locks of all lines are held from before they are read until Close,
//     and a line that runs ends the search. (On a system without such locks, neither Unix nor Windows, that is up to the user.) On stores
//     without locks the records tell: see records.
//   - What is deleted are the files that were found, by their names, and directories that are empty then. The names of streams are random, so
//     what a job writes that starts meanwhile is not among them.
//
// That a job's directory belongs to no line is proved by the order of looking: a job takes its lock before it makes its directory, and
// the directories are listed before the locks. So each directory that is found belongs to a line whose lock was seen too, or to
// none that is still there. The same holds for records that are half written. On a store without locks, whoever has written a checkpoint's file has written the line's record before, and the
// records are read once more when all files were listed.
package garbage

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/protocol/snapshot"
	snapshots "github.com/weirstream/weir/internal/storage"
	"github.com/weirstream/weir/internal/storage/byscheme"
	"github.com/weirstream/weir/internal/storage/fs"
	"github.com/weirstream/weir/internal/storage/linefile"
	"github.com/weirstream/weir/storage"
)

// Item is something that nobody needs.
type Item struct {
	Path  string
	Why   string
	Bytes int64 // of the file, or of all files in the directory
	tree
}

// tree is a file, or a directory with all that is in it.
type tree struct {
	files []string
	dirs  []string // the inner ones before the outer ones
}

// Search says where to look.
type Search struct {
	FS  storage.FS
	Dir string
	// TakeOver ends the runs that records on a store without locks say are at work: if one is, it can complete no checkpoint any more, and
	// fails. Without it such a record ends the search. It changes nothing in a local directory.
	TakeOver bool
	Now      time.Time
}

// Found is what was found in a directory. It keeps lines from being started, or notices that they were, until Close.
type Found struct {
	Items []Item
	fs    storage.FS // of all paths that are not local
	lines holder
}

// fsOf returns the file system of a path.
func (f *Found) fsOf(path string) storage.FS {
	if byscheme.IsLocal(path) {
		return fs.Local{}
	}
	return f.fs
}

// Find looks for garbage in a checkpoint directory and changes nothing but the text in lock files, and records if runs are taken over. The error
// is a *RunningError if a job runs there; all others too mean that nothing can be told. Without an error the caller has to Close what is returned.
func (s Search) Find(ctx context.Context) (*Found, error) {
	dir := strings.TrimRight(filepath.ToSlash(s.Dir), "/")
	f := &finder{ctx: ctx, fs: s.FS, dir: dir, claimed: map[job.ID]bool{}, reached: map[string]bool{}, merged: map[string]bool{}, complete: map[string]bool{},
		givenUp: map[string]bool{}}
	if byscheme.IsLocal(dir) {
		f.dir = byscheme.Local(dir)
		f.fs, f.found.lines = fs.Local{}, &locks{dir: f.dir, now: s.Now}
	} else {
		f.found.lines = &records{fs: s.FS, dir: dir, takeOver: s.TakeOver, now: s.Now}
	}
	f.found.fs = s.FS
	err := f.find()
	if err == nil {
		err = f.found.lines.check(ctx)
	}
	if err != nil {
		err = errors.Join(err, f.found.Close())
		return nil, err
	}
	return &f.found, nil
}

// Delete deletes what was found, goes on after a failure, and returns all failures. It may be repeated.
func (f *Found) Delete(ctx context.Context) error {
	var errs []error
	for _, item := range f.Items {
		files := f.fsOf(item.Path)
		err := files.Remove(ctx, item.files...)
		if errs = append(errs, err); err == nil {
			errs = append(errs, files.Remove(ctx, item.dirs...))
		}
	}
	return errors.Join(errs...)
}

// Close lets lines be started again.
func (f *Found) Close() error { return f.lines.release() }

type finder struct {
	ctx     context.Context
	fs      storage.FS
	dir     string
	found   Found
	claimed map[job.ID]bool // by a line
	records int             // of lines
	others  []elsewhere     // in the order of records
	// reached holds the files that complete checkpoints name, without their directories: streams have random names, and one file may be
	// known by several paths.
	reached map[string]bool
	// merged holds the directories of merged files that complete checkpoints name, without those above.
	merged map[string]bool
	// complete are the savepoints that are, by their paths, and given up those of the lines that never became so, by their names.
	complete map[string]bool
	givenUp  map[string]bool
	// flat says that the one line there is keeps its checkpoints directly in the directory.
	flat bool
}

func (f *finder) find() error {
	jobs, err := f.jobs() // before the locks: see the package comment
	if err != nil {
		return err
	}
	if err := f.leftovers(f.dir, true); err != nil { // before the locks too: whoever writes a record has taken its lock
		return err
	}
	if err := f.lines(); err != nil {
		return err
	}
	checkpoints := map[job.ID][]snapshots.Found{}
	for _, id := range jobs {
		if checkpoints[id], err = f.checkpoints(snapshots.JobDir(f.dir, id)); err != nil {
			return err
		}
	}
	if err := f.completeSavepoints(); err != nil {
		return err
	}
	direct, err := f.checkpoints(f.dir) // the last that may refer to anything
	if err != nil {
		return err
	}
	if err := f.directly(direct); err != nil {
		return err
	}
	for _, id := range jobs {
		if f.claimed[id] {
			err = f.claimedJob(snapshots.JobDir(f.dir, id), checkpoints[id])
		} else {
			err = f.unclaimedJob(id, checkpoints[id])
		}
		if err != nil {
			return err
		}
	}
	unfinished, err := f.savepoints()
	if err != nil {
		return err
	}
	for _, place := range f.others {
		if err := place.find(f); err != nil {
			return err
		}
	}
	f.found.Items = append(f.found.Items, unfinished...) // last: what they hold proves that their state elsewhere is garbage
	return nil
}

// savepoints returns the directories of savepoints that were never completed, if they are by their names of jobs whose lines are here: those do
// not run, so nobody completes them any more. Others may be of a job whose line is elsewhere, and which is at it right now.
func (f *finder) savepoints() ([]Item, error) {
	entries, err := f.list(f.dir, "savepoints")
	if err != nil {
		return nil, err
	}
	before := len(f.found.Items)
	for _, e := range entries {
		path := f.dir + "/" + e.Name
		if prefix, ok := snapshots.ParseSavepointName(e.Name); !ok || !e.Dir || !f.claims(prefix) || f.complete[path] {
			continue
		}
		// A savepoint that was completed holds metadata, under whatever name.
		if err := f.addTree(path, "the savepoint was never completed, or its deletion was interrupted"); err != nil {
			return nil, err
		}
		if n := len(f.found.Items); n > before && f.found.Items[n-1].Path == path && f.found.Items[n-1].has(snapshots.UnfinishedName) {
			f.givenUp[e.Name] = true
		}
	}
	found := slices.Clone(f.found.Items[before:])
	f.found.Items = f.found.Items[:before]
	return found, nil
}

// has reports whether a file of this name is in a tree.
func (t tree) has(name string) bool {
	return slices.ContainsFunc(t.files, func(path string) bool { return filepath.Base(path) == name })
}

func (f *finder) claims(prefix string) bool {
	for id := range f.claimed {
		if strings.HasPrefix(id.String(), prefix) {
			return true
		}
	}
	return false
}

func (f *finder) jobs() (ids []job.ID, err error) {
	entries, err := f.list(f.dir, "jobs")
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if id, err := job.ParseID(e.Name); err == nil && e.Dir && id.String() == e.Name {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// lines reads the records of all lines, which do not run.
func (f *finder) lines() error {
	names, err := linefile.Names(f.ctx, f.fs, f.dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		file, err := f.found.lines.hold(f.ctx, name)
		if err != nil {
			return err
		}
		if err := file.Damage(); err != nil {
			return fmt.Errorf("nothing can be proved: %w", err)
		}
		if r := file.Record(); r != nil {
			f.records++
			ids := map[job.ID]bool{}
			for _, j := range r.Jobs {
				f.claimed[j.ID], ids[j.ID] = true, true
			}
			if err := f.addPlaces(r, ids); err != nil {
				return err
			}
		}
	}
	return nil
}

// directly looks through the checkpoints that lie directly in the directory. They belong to the one line there is; if there are several, or
// none, nobody can tell.
func (f *finder) directly(checkpoints []snapshots.Found) error {
	f.flat = len(checkpoints) > 0 && f.records == 1
	switch {
	case f.flat:
		return f.claimedJob(f.dir, checkpoints)
	case f.records != 1:
		return nil
	}
	return f.sharedAlone()
}

// sharedAlone looks through what a job has left that keeps its checkpoints directly in the directory and has none any more. That it does so is
// proved by the directories that it makes when it starts: a job with a directory of its own makes none here.
func (f *finder) sharedAlone() error {
	entries, err := f.list(f.dir, "shared files")
	if err != nil {
		return err
	}
	for _, name := range snapshots.JobDirs() {
		if !slices.ContainsFunc(entries, func(e entry) bool { return e.Dir && e.Name == name }) {
			return nil
		}
	}
	return f.sharedFiles(f.dir)
}

// checkpoints lists the checkpoints in a directory and marks what the complete ones refer to.
func (f *finder) checkpoints(dir string) ([]snapshots.Found, error) {
	found, err := snapshots.List(f.ctx, f.fs, dir)
	if err != nil {
		return nil, err
	}
	for _, c := range found {
		if !c.Published {
			continue
		}
		if err := f.mark(c.Path); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// mark marks what a complete snapshot refers to.
func (f *finder) mark(pointer string) error {
	meta, err := snapshots.Load(f.ctx, f.fs, pointer)
	if err != nil {
		return fmt.Errorf("nothing can be proved, since it is not known what %s refers to: %w", pointer, err)
	}
	meta.EachStream(func(s *snapshot.Stream) { f.reached[filepath.Base(s.Path)] = true })
	for _, dir := range meta.Directories {
		f.merged[filepath.Base(dir)] = true
	}
	return nil
}

// completeSavepoints marks what the complete savepoints in the directory refer to.
func (f *finder) completeSavepoints() error {
	entries, err := f.list(f.dir, "savepoints")
	if err != nil {
		return err
	}
	for _, e := range entries {
		path := f.dir + "/" + e.Name
		if _, ok := snapshots.ParseSavepointName(e.Name); !ok || !e.Dir {
			continue
		}
		inside, err := f.list(path, "savepoints")
		if err != nil {
			return err
		}
		if !has(inside, snapshots.MetadataName) {
			continue
		}
		f.complete[path] = true
		if err := f.mark(path); err != nil {
			return err
		}
	}
	return nil
}

// claimedJob looks through the directory of a job that a line remembers.
func (f *finder) claimedJob(dir string, checkpoints []snapshots.Found) error {
	if dir != f.dir { // that was looked through before
		if err := f.leftovers(dir, true); err != nil {
			return err
		}
	}
	if err := f.sharedFiles(dir); err != nil {
		return err
	}
	for _, c := range checkpoints {
		var err error
		if c.Published {
			err = f.leftovers(c.Path, false)
		} else {
			err = f.unfinished(c)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// sharedFiles adds what lies in a job's directories of shared files, and of those of its tasks, and nobody refers to: files, and directories of
// merged files as a whole, but only if Weir has given all the names in them.
func (f *finder) sharedFiles(jobDir string) error {
	for _, name := range snapshots.SharedDirs() {
		if err := f.sharedDir(jobDir + "/" + name); err != nil {
			return err
		}
	}
	return nil
}

func (f *finder) sharedDir(dir string) error {
	entries, err := f.list(dir, "shared files")
	if err != nil || usedElsewhere(entries) {
		return err
	}
	if err := f.leftovers(dir, false); err != nil {
		return err
	}
	for _, e := range entries {
		if e.Dir && snapshots.IsMergedDirName(e.Name) {
			if err := f.mergedFiles(dir + "/" + e.Name); err != nil {
				return err
			}
		}
	}
	return nil
}

// mergedFiles adds a directory of merged files that no checkpoint names, or the files in it that none refers to: a process that was killed has
// left them.
func (f *finder) mergedFiles(dir string) error {
	if f.merged[filepath.Base(dir)] {
		return f.leftovers(dir, false)
	}
	return f.addTree(dir, "no checkpoint refers to this directory of merged files")
}

// usedElsewhere reports whether a line in another directory has left its mark.
func usedElsewhere(entries []entry) bool { return has(entries, snapshots.ClaimedName) }

func has(entries []entry, name string) bool {
	return slices.ContainsFunc(entries, func(e entry) bool { return e.Name == name })
}

// unfinished adds the directory of a checkpoint without metadata, unless there is something in it that Weir has not put there: it may be
// metadata under another name.
func (f *finder) unfinished(c snapshots.Found) error {
	return f.addTree(c.Path, fmt.Sprintf("checkpoint %d was never completed, or its deletion was interrupted", c.ID))
}

// leftovers adds the files directly in a directory that nobody refers to: streams, unless only what is half written is looked for.
func (f *finder) leftovers(dir string, onlyHalfWritten bool) error {
	entries, err := f.list(dir, "leftovers")
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !e.regular || f.reached[e.Name] {
			continue
		}
		why := ""
		switch {
		case halfWritten.MatchString(e.Name):
			why = "its writer was killed before it was complete"
		case streamName.MatchString(e.Name) && !onlyHalfWritten:
			why = "no checkpoint's metadata names it"
		default:
			continue
		}
		path := dir + "/" + e.Name
		f.add(Item{path, why, e.Size, tree{files: []string{path}}})
	}
	return nil
}

// unclaimedJob adds the directory of a job that no line remembers and that has completed nothing. Had it completed a checkpoint, a start
// without a record would go on from there.
func (f *finder) unclaimedJob(id job.ID, checkpoints []snapshots.Found) error {
	for _, c := range checkpoints {
		if c.Published {
			return nil
		}
	}
	return f.addTree(snapshots.JobDir(f.dir, id), "no line remembers this job, and it has completed no checkpoint")
}

// The names that Weir gives: to a stream, to a file that is being written, to directories of a job.
var (
	checkpoint  = regexp.MustCompile(`^chk-[1-9][0-9]*$`)
	streamName  = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	halfWritten = regexp.MustCompile(`^\.weir-tmp-[0-9a-f]+$`)
	jobDirs     = regexp.MustCompile(`^(chk-[1-9][0-9]*|shared|taskowned|changelog)$`)
)

// addTree adds a directory, provided that nobody refers to any of its files and all have names that Weir gives.
func (f *finder) addTree(dir, why string) error {
	var t tree
	bytes, ours, err := f.walk(dir, &t)
	if err == nil && ours {
		f.add(Item{dir, why, bytes, t})
	}
	return err
}

// walk adds a directory to a tree, and returns the size of all files in it. ours is false as soon as there is something that must stay.
func (f *finder) walk(dir string, t *tree) (bytes int64, ours bool, err error) {
	entries, err := f.list(dir, "leftovers")
	if err != nil {
		return 0, false, err
	}
	if slices.Contains(snapshots.SharedDirs(), filepath.Base(dir)) && usedElsewhere(entries) {
		return 0, false, nil
	}
	for _, e := range entries {
		path := dir + "/" + e.Name
		switch {
		case f.reached[e.Name]:
			return 0, false, nil
		case e.Dir && (jobDirs.MatchString(e.Name) || snapshots.IsMergedDirName(e.Name)):
			n, ours, err := f.walk(path, t)
			if err != nil || !ours {
				return 0, false, err
			}
			bytes += n
		case e.regular && (streamName.MatchString(e.Name) || halfWritten.MatchString(e.Name) || e.Name == snapshots.ClaimedName || e.Name == snapshots.UnfinishedName):
			t.files = append(t.files, path)
			bytes += e.Size
		default:
			return 0, false, nil
		}
	}
	t.dirs = append(t.dirs, dir)
	return bytes, true, nil
}

func (f *finder) add(i Item) { f.found.Items = append(f.found.Items, i) }

// entry is one in a directory. regular is false for what is neither a directory nor a file with content of its own, such as a link.
type entry struct {
	storage.Entry
	regular bool
}

// list lists a directory, for the sake of something. That the checkpoint directory itself is absent is an error if that can be told; other
// directories may be gone, or never made.
func (f *finder) list(dir, what string) ([]entry, error) {
	found, err := f.entries(dir)
	if errors.Is(err, os.ErrNotExist) && dir != f.dir {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look for %s: %w", what, err)
	}
	return found, nil
}

func (f *finder) entries(dir string) (all []entry, err error) {
	if !byscheme.IsLocal(dir) {
		found, err := f.found.fs.List(f.ctx, dir)
		for _, e := range found {
			all = append(all, entry{e, !e.Dir})
		}
		return all, err
	}
	found, err := os.ReadDir(dir) // with hidden files
	if err != nil {
		return nil, err
	}
	for _, e := range found {
		info, err := e.Info()
		if err != nil {
			return nil, err
		}
		all = append(all, entry{storage.Entry{Name: e.Name(), Dir: e.IsDir(), Size: info.Size()}, e.Type().IsRegular()})
	}
	return all, nil
}
