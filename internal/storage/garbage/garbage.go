// Package garbage answers one question: what in a local checkpoint directory does nobody need any more?
//
// Crashes leave things behind: checkpoints and savepoints that were never completed, files that are half written, streams that no metadata names, the
// directory of a job that never completed anything. Jobs delete what they know of; the rest is found here.
//
//   - It must be proved that nobody needs a thing. Whatever cannot be read, a record or a checkpoint's metadata, ends the search: it may
//     refer to anything.
//   - No checkpoint or savepoint that is complete is ever garbage, nor a file that one refers to, nor a file whose name Weir does not give.
//   - Shared files, and those of tasks, are garbage if nothing complete in the directory refers to them, unless a line in another directory has
//     left its mark beside them: its checkpoints may.
//   - The locks of all lines in the directory are held from before they are read until Close. So nothing changes meanwhile, and a line
//     that runs ends the search. (On a system without such locks, neither Unix nor Windows, that is up to the user.)
//
// That a job's directory belongs to no line is proved by the order of looking: a job takes its lock before it makes its directory, and
// the directories are listed before the locks. So each directory that is found belongs to a line whose lock was seen too, or to
// none that is still there.
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
	"github.com/weirstream/weir/internal/storage"
	"github.com/weirstream/weir/internal/storage/fs"
	"github.com/weirstream/weir/internal/storage/linefile"
)

// Item is something that nobody needs.
type Item struct {
	Path  string
	Why   string
	Bytes int64 // of the file, or of all files in the directory
	dir   bool
}

// Found is what was found in a directory. It holds the locks of the directory's lines until Close.
type Found struct {
	Items []Item
	locks []*linefile.Lock
}

// Find looks for garbage in a checkpoint directory and changes nothing but the text in lock files. The error is a *RunningError if a job
// runs there; all others too mean that nothing can be told. Without an error the caller has to Close what is returned.
func Find(ctx context.Context, dir string, now time.Time) (*Found, error) {
	f := &finder{ctx: ctx, dir: strings.TrimRight(filepath.ToSlash(dir), "/"), claimed: map[job.ID]bool{}, reached: map[string]bool{}, merged: map[string]bool{}, complete: map[string]bool{}}
	err := f.find(now)
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
		if item.dir {
			errs = append(errs, fs.Local{}.RemoveAll(ctx, item.Path))
		} else {
			errs = append(errs, fs.Local{}.Remove(ctx, item.Path))
		}
	}
	return errors.Join(errs...)
}

// Close releases the locks.
func (f *Found) Close() error {
	var errs []error
	for _, l := range f.locks {
		errs = append(errs, l.Release())
	}
	f.locks = nil
	return errors.Join(errs...)
}

// RunningError means that a job runs in the directory.
type RunningError struct{ Held *linefile.HeldError }

// Error says which job, and what to do.
func (e *RunningError) Error() string {
	who := ""
	if e.Held.PID != 0 {
		who = fmt.Sprintf(" (process %d on %s)", e.Held.PID, e.Held.Host)
	}
	return fmt.Sprintf("job %q is running in %s%s, and what it needs cannot be told: stop it first", e.Held.Name, e.Held.Dir, who)
}

// Unwrap returns the error of the lock.
func (e *RunningError) Unwrap() error { return e.Held }

type finder struct {
	ctx     context.Context
	fs      fs.Local
	dir     string
	found   Found
	claimed map[job.ID]bool // by a line
	records int             // of lines
	// reached holds the files that complete checkpoints name, without their directories: streams have random names, and one file may be
	// known by several paths.
	reached map[string]bool
	// merged holds the directories of merged files that complete checkpoints name, without those above.
	merged map[string]bool
	// complete are the savepoints that are, by their paths.
	complete map[string]bool
}

func (f *finder) find(now time.Time) error {
	jobs, err := f.jobs() // before the locks: see the package comment
	if err != nil {
		return err
	}
	if err := f.lock(now); err != nil {
		return err
	}
	checkpoints := map[job.ID][]storage.Found{}
	for _, id := range jobs {
		if checkpoints[id], err = f.checkpoints(storage.JobDir(f.dir, id)); err != nil {
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
	if err := f.savepoints(); err != nil {
		return err
	}
	if err := f.directly(direct); err != nil {
		return err
	}
	for _, id := range jobs {
		if f.claimed[id] {
			err = f.claimedJob(storage.JobDir(f.dir, id), checkpoints[id])
		} else {
			err = f.unclaimedJob(id, checkpoints[id])
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// savepoints adds the directories of savepoints that were never completed, if they are by their names of jobs whose lines are here: those do
// not run, so nobody completes them any more. Others may be of a job whose line is elsewhere, and which is at it right now.
func (f *finder) savepoints() error {
	entries, err := os.ReadDir(f.dir)
	if err != nil {
		return fmt.Errorf("look for savepoints: %w", err)
	}
	for _, e := range entries {
		prefix, ok := storage.ParseSavepointName(e.Name())
		if !ok || !e.IsDir() || !f.claims(prefix) {
			continue
		}
		path := f.dir + "/" + e.Name()
		if f.complete[path] {
			continue
		}
		bytes, ours, err := f.sizeOf(path)
		if err != nil {
			return err
		}
		if ours { // a savepoint that was completed holds metadata, under whatever name
			f.add(Item{path, "the savepoint was never completed, or its deletion was interrupted", bytes, true})
		}
	}
	return nil
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
	entries, err := os.ReadDir(f.dir)
	if err != nil {
		return nil, fmt.Errorf("list jobs: %w", err)
	}
	for _, e := range entries {
		if id, err := job.ParseID(e.Name()); err == nil && e.IsDir() && id.String() == e.Name() {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// lock takes the locks of all lines and then reads their records.
func (f *finder) lock(now time.Time) error {
	names, err := linefile.Names(f.ctx, f.fs, f.dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		l, err := linefile.TakeLock(f.dir, name, now)
		if held := (*linefile.HeldError)(nil); errors.As(err, &held) {
			return &RunningError{held}
		}
		if err != nil {
			return err
		}
		f.found.locks = append(f.found.locks, l)
		file, err := linefile.Open(f.ctx, f.fs, f.dir, name)
		if err != nil {
			return err
		}
		if err := file.Damage(); err != nil {
			return fmt.Errorf("nothing can be proved: %w", err)
		}
		if r := file.Record(); r != nil {
			f.records++
			for _, j := range r.Jobs {
				f.claimed[j.ID] = true
			}
		}
	}
	return nil
}

// directly looks through the checkpoints that lie directly in the directory. They belong to the one line there is; if there are several, or
// none, nobody can tell.
func (f *finder) directly(checkpoints []storage.Found) error {
	if len(checkpoints) == 0 || f.records != 1 {
		return nil
	}
	return f.claimedJob(f.dir, checkpoints)
}

// checkpoints lists the checkpoints in a directory and marks what the complete ones refer to.
func (f *finder) checkpoints(dir string) ([]storage.Found, error) {
	found, err := storage.List(f.ctx, f.fs, dir)
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
	meta, err := storage.Load(f.ctx, f.fs, pointer)
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
	entries, err := os.ReadDir(f.dir)
	if err != nil {
		return fmt.Errorf("look for savepoints: %w", err)
	}
	for _, e := range entries {
		path := f.dir + "/" + e.Name()
		if _, ok := storage.ParseSavepointName(e.Name()); !ok || !e.IsDir() {
			continue
		}
		if _, err := os.Stat(path + "/" + storage.MetadataName); errors.Is(err, os.ErrNotExist) {
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
func (f *finder) claimedJob(dir string, checkpoints []storage.Found) error {
	if err := f.leftovers(dir, true); err != nil {
		return err
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
	for _, name := range storage.SharedDirs() {
		dir := jobDir + "/" + name
		entries, err := os.ReadDir(dir)
		if errors.Is(err, os.ErrNotExist) || err == nil && usedElsewhere(entries) {
			continue
		}
		if err != nil {
			return fmt.Errorf("look for shared files: %w", err)
		}
		if err := f.leftovers(dir, false); err != nil {
			return err
		}
		for _, e := range entries {
			if e.IsDir() && storage.IsMergedDirName(e.Name()) {
				if err := f.mergedFiles(dir + "/" + e.Name()); err != nil {
					return err
				}
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
	bytes, ours, err := f.sizeOf(dir)
	if err == nil && ours {
		f.add(Item{dir, "no checkpoint refers to this directory of merged files", bytes, true})
	}
	return err
}

// usedElsewhere reports whether a line in another directory has left its mark.
func usedElsewhere(entries []os.DirEntry) bool {
	return slices.ContainsFunc(entries, func(e os.DirEntry) bool { return e.Name() == storage.ClaimedName })
}

// unfinished adds the directory of a checkpoint without metadata, unless there is something in it that Weir has not put there: it may be
// metadata under another name.
func (f *finder) unfinished(c storage.Found) error {
	bytes, ours, err := f.sizeOf(c.Path)
	if err == nil && ours {
		f.add(Item{c.Path, fmt.Sprintf("checkpoint %d was never completed, or its deletion was interrupted", c.ID), bytes, true})
	}
	return err
}

// leftovers adds the files directly in a directory that nobody refers to: streams, unless only what is half written is looked for.
func (f *finder) leftovers(dir string, onlyHalfWritten bool) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("look for leftovers: %w", err)
	}
	for _, e := range entries {
		path := dir + "/" + e.Name()
		if !e.Type().IsRegular() || f.reached[e.Name()] {
			continue
		}
		why := ""
		switch {
		case halfWritten.MatchString(e.Name()):
			why = "its writer was killed before it was complete"
		case streamName.MatchString(e.Name()) && !onlyHalfWritten:
			why = "no checkpoint's metadata names it"
		default:
			continue
		}
		info, err := e.Info()
		if err != nil {
			return fmt.Errorf("look for leftovers: %w", err)
		}
		f.add(Item{path, why, info.Size(), false})
	}
	return nil
}

// unclaimedJob adds the directory of a job that no line remembers and that has completed nothing. Had it completed a checkpoint, a start
// without a record would go on from there.
func (f *finder) unclaimedJob(id job.ID, checkpoints []storage.Found) error {
	for _, c := range checkpoints {
		if c.Published {
			return nil
		}
	}
	dir := storage.JobDir(f.dir, id)
	bytes, ours, err := f.sizeOf(dir)
	if err == nil && ours {
		f.add(Item{dir, "no line remembers this job, and it has completed no checkpoint", bytes, true})
	}
	return err
}

// The names that Weir gives: to a stream, to a file that is being written, to directories of a job.
var (
	streamName  = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	halfWritten = regexp.MustCompile(`^\.weir-tmp-[0-9a-f]+$`)
	jobDirs     = regexp.MustCompile(`^(chk-[1-9][0-9]*|shared|taskowned)$`)
)

// sizeOf returns the size of all files in a directory, and whether nobody refers to any of them and all have names that Weir gives.
func (f *finder) sizeOf(dir string) (bytes int64, ours bool, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0, false, fmt.Errorf("look for leftovers: %w", err)
	}
	if slices.Contains(storage.SharedDirs(), filepath.Base(dir)) && usedElsewhere(entries) {
		return 0, false, nil
	}
	for _, e := range entries {
		path := dir + "/" + e.Name()
		switch {
		case f.reached[e.Name()]:
			return 0, false, nil
		case e.IsDir() && (jobDirs.MatchString(e.Name()) || storage.IsMergedDirName(e.Name())):
			n, ours, err := f.sizeOf(path)
			if err != nil || !ours {
				return 0, false, err
			}
			bytes += n
		case e.Type().IsRegular() && (streamName.MatchString(e.Name()) || halfWritten.MatchString(e.Name()) || e.Name() == storage.ClaimedName):
			info, err := e.Info()
			if err != nil {
				return 0, false, fmt.Errorf("look for leftovers: %w", err)
			}
			bytes += info.Size()
		default:
			return 0, false, nil
		}
	}
	return bytes, true, nil
}

func (f *finder) add(i Item) { f.found.Items = append(f.found.Items, i) }
