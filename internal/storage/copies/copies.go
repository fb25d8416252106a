// Package copies keeps copies of keyed state on the disks of the machine that has written it, so that a task that restarts there need not read
// it from the checkpoint storage. Which copies are kept package protocol/backup decides.
//
//	<root>/<job id>/chk_<id>/<subtask>/<n>       one stream
//	<root>/<job id>/chk_<id>/<subtask>/_local    which stream of the checkpoint storage each is a copy of
//	<root>/<job id>/shared/<process>_<random>    a stream that several checkpoints may refer to, or a piece of a changelog
//
// The roots are used in turn: by the id of the checkpoint, and file by file for what is shared. A shared file lies in one of them, whichever
// checkpoint refers to it.
//
//   - The checkpoint storage has everything. Whatever goes wrong with a copy, there is just none: nothing here fails a checkpoint.
//   - A copy counts only if it is of the same job, of the same checkpoint and stream, and has the length and checksum that the checkpoint's
//     metadata say. It is read through before it is used.
//   - Copies are not synced: what a crash of the machine leaves is found out by the checksum.
//   - What exists as a file on this machine already, and does not change, is linked where that can be done, and not written again.
//   - Copies may be used concurrently; one stream by one goroutine.
package copies

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/protocol/backup"
	"github.com/weirstream/weir/internal/protocol/snapshot"
	"github.com/weirstream/weir/internal/storage"
	"github.com/weirstream/weir/internal/storage/fs"
)

// Options say where copies go.
type Options struct {
	Roots []string // directories; at least one
	Job   job.ID
	// Threshold is the length in bytes up to which streams lie in the metadata of a checkpoint: of those no copy is needed.
	Threshold int
	// Report is told why a copy could not be made or deleted. It may be called by any goroutine.
	Report func(error)
}

// Copies are those of one job on one machine.
type Copies struct {
	o       Options
	process string // begins the names of shared files that this process has made
	mu      struct {
		sync.Mutex
		store  backup.Store
		shared backup.Shared
		files  map[place]copied
		made   int // shared files
		// failing says that the last copy of a piece of a changelog could not be made.
		failing  bool
		disposed bool
		begun    bool             // see Begun
		from     job.CheckpointID // of the last Find
	}
}

// place is where the checkpoint storage has a stream. Names of files are random, so that their directories do not matter: while a checkpoint
// is written its own files are named without one.
type place struct {
	name   string
	offset int64
}

func placeOf(s snapshot.Stream) place { return place{path.Base(s.Path), s.Offset} }

// copied is one copy.
type copied struct {
	id   job.CheckpointID // whose it is, 0 if it is shared
	file string
}

// entry is a line of the file that says what is in a directory.
type entry struct {
	Name   string // of the file in the checkpoint storage
	Offset int64
	Length int64
	CRC    uint32
	File   string // beside the entry's own, or in one of the directories for what is shared
	Shared bool   `json:",omitempty"`
	path   string // of the copy; "" if it was read from an index
}

// entryOf describes the copy of a stream in a file.
func entryOf(s snapshot.Stream, file string, shared bool) entry {
	return entry{path.Base(s.Path), s.Offset, s.Length, s.CRC, filepath.Base(file), shared, file}
}

func (e entry) place() place { return place{e.Name, e.Offset} }

const (
	indexName  = "_local"
	sharedName = "shared"
)

// New returns the copies of a job. It does no I/O.
func New(o Options) *Copies {
	c := &Copies{o: o, process: rand.Text()}
	c.mu.files = map[place]copied{}
	return c
}

// Job returns the id of the job.
func (c *Copies) Job() job.ID { return c.o.Job }

func (c *Copies) root(turn int) string {
	return filepath.Join(c.o.Roots[turn%len(c.o.Roots)], c.o.Job.String())
}

func (c *Copies) dir(id job.CheckpointID) string {
	return filepath.Join(c.root(int(id)), "chk_"+strconv.FormatInt(int64(id), 10))
}

// Confirm says that a checkpoint is complete: older copies go.
func (c *Copies) Confirm(id job.CheckpointID) {
	c.remove((*backup.Store).Confirm, (*backup.Shared).Confirm, id)
}

// Abort says that a checkpoint was given up.
func (c *Copies) Abort(id job.CheckpointID) {
	c.remove((*backup.Store).Abort, (*backup.Shared).Abort, id)
}

// remove deletes what is not needed any more by the decision about a checkpoint.
func (c *Copies) remove(own func(*backup.Store, job.CheckpointID) []job.CheckpointID, shared func(*backup.Shared, job.CheckpointID) []string, id job.CheckpointID) {
	c.mu.Lock()
	ids, files := own(&c.mu.store, id), shared(&c.mu.shared, id)
	c.forgetLocked(ids, files)
	if !c.mu.begun {
		ids, files = nil, nil
	}
	c.mu.Unlock()
	for _, id := range ids {
		c.removeDir(c.dir(id))
	}
	c.removeFiles(files)
}

func (c *Copies) forgetLocked(ids []job.CheckpointID, files []string) {
	gone := make(map[string]bool, len(files))
	for _, f := range files {
		gone[f] = true
	}
	maps.DeleteFunc(c.mu.files, func(_ place, f copied) bool {
		return gone[f.file] || f.id != 0 && slices.Contains(ids, f.id)
	})
}

func (c *Copies) removeFiles(files []string) {
	for _, f := range files {
		if err := os.Remove(f); err != nil && !errors.Is(err, os.ErrNotExist) {
			c.o.Report(fmt.Errorf("delete a copy of state: %w", err))
		}
	}
}

func (c *Copies) removeDir(dir string) {
	if err := os.RemoveAll(dir); err != nil {
		c.o.Report(fmt.Errorf("delete copies of state: %w", err))
	}
}

// Left returns the directories with copies of jobs that are not at work any more, to be deleted. It goes on after a failure and returns all
// failures.
func Left(roots []string, over func(job.ID) bool) (dirs []string, err error) {
	var errs []error
	for _, root := range roots {
		entries, err := os.ReadDir(root)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
		for _, e := range entries {
			if id, err := job.ParseID(e.Name()); err == nil && e.Name() == id.String() && over(id) {
				dirs = append(dirs, filepath.Join(root, e.Name()))
			}
		}
	}
	return dirs, errors.Join(errs...)
}

// Begun says that the job runs, so that its start cannot be refused any more: until then nothing is deleted. It returns the directories and files with
// copies that earlier processes have left and that are not of the checkpoint that the job has gone on from, to be deleted. It is called once.
func (c *Copies) Begun() (left []string) {
	files := c.leftShared()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.begun = true
	left = c.others(c.mu.from)
	for _, f := range files {
		if !c.mu.shared.Has(f) {
			left = append(left, f)
		}
	}
	return left
}

// Dispose deletes all copies of the job.
func (c *Copies) Dispose() {
	c.mu.Lock()
	c.mu.store.Dispose()
	c.mu.shared, c.mu.disposed = backup.Shared{}, true
	clear(c.mu.files)
	c.mu.Unlock()
	for _, root := range c.o.Roots {
		c.removeDir(filepath.Join(root, c.o.Job.String()))
	}
}

// Find looks for copies of a checkpoint that the job goes on from, also those that an earlier process has left, and deletes those of all
// others, if the job has Begun. It reads each through that is wanted and returns the good ones; one that is not good is not used again.
func (c *Copies) Find(ctx context.Context, id job.CheckpointID, wanted []snapshot.Stream) Found {
	c.removeOthers(id)
	c.load(id)
	found := Found{}
	for _, s := range wanted {
		f, ok := c.of(s)
		if !ok || s.IsEmpty() || found[placeOf(s)] != "" {
			continue
		}
		if err := f.verify(ctx, s); err != nil {
			c.o.Report(fmt.Errorf("a copy of state is not used: %w", err))
			c.spoiled(placeOf(s), f)
			continue
		}
		found[placeOf(s)] = f.file
	}
	return found
}

// of returns the copy of a stream, if there is one.
func (c *Copies) of(s snapshot.Stream) (f copied, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f, ok = c.mu.files[placeOf(s)]
	return f, ok
}

// spoiled gives up a copy that is not good. Before the job has begun it stays where it is, as all copies do.
func (c *Copies) spoiled(at place, f copied) {
	if c.forget(at, f.file) {
		c.removeFiles([]string{f.file})
	}
}

// drop deletes a copy that is of no use.
func (c *Copies) drop(at place, file string) {
	c.forget(at, file)
	c.removeFiles([]string{file})
}

// forget takes a copy out of those that there are, and reports whether the job has begun.
func (c *Copies) forget(at place, file string) (begun bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.mu.files, at)
	c.mu.shared.Discard(file)
	return c.mu.begun
}

// verify reads a copy of a stream through.
func (f copied) verify(ctx context.Context, s snapshot.Stream) error {
	s.Path, s.Offset, s.Scope = filepath.ToSlash(f.file), 0, snapshot.Exclusive
	sub := &snapshot.OperatorSubtask{Lists: []snapshot.List{{Stream: s}}}
	return storage.Verify(ctx, fs.Local{}, &snapshot.Metadata{Operators: []snapshot.OperatorState{{Subtasks: []*snapshot.OperatorSubtask{sub}}}})
}

// removeOthers deletes the copies of all checkpoints but one, whoever has made them.
func (c *Copies) removeOthers(id job.CheckpointID) {
	c.remove((*backup.Store).Restored, (*backup.Shared).Restored, id)
	c.mu.Lock()
	begun := c.mu.begun
	c.mu.from = id
	c.mu.Unlock()
	if !begun {
		return
	}
	for _, dir := range c.others(id) {
		c.removeDir(dir)
	}
}

// others returns the directories with copies of all checkpoints but one.
func (c *Copies) others(id job.CheckpointID) (dirs []string) {
	for _, root := range c.o.Roots {
		above := filepath.Join(root, c.o.Job.String())
		entries, err := os.ReadDir(above)
		if err != nil {
			continue // there are none
		}
		for _, e := range entries {
			if dir := filepath.Join(above, e.Name()); strings.HasPrefix(e.Name(), "chk_") && dir != c.dir(id) {
				dirs = append(dirs, dir)
			}
		}
	}
	return dirs
}

// load reads what copies of a checkpoint an earlier process has left. One that cannot be read is none.
func (c *Copies) load(id job.CheckpointID) {
	c.mu.Lock()
	known := c.mu.store.Has(id)
	c.mu.Unlock()
	if known {
		return
	}
	left := c.leftShared()
	indexes, _ := filepath.Glob(filepath.Join(c.dir(id), "*", indexName)) // the pattern is good
	for _, index := range indexes {
		entries, err := readIndex(index)
		if err != nil {
			c.o.Report(fmt.Errorf("copies of state are not used: %s: %w", index, err))
			entries = nil // it goes with the others of the checkpoint
		}
		c.restore(id, filepath.Dir(index), entries, left)
	}
}

func readIndex(name string) (entries []entry, err error) {
	data, err := os.ReadFile(name)
	if err == nil {
		err = json.Unmarshal(data, &entries)
	}
	return entries, err
}

// leftShared returns the paths of the shared files that earlier processes have left, by their names.
func (c *Copies) leftShared() map[string]string {
	left := map[string]string{}
	for turn := range c.o.Roots {
		dir := filepath.Join(c.root(turn), sharedName)
		entries, _ := os.ReadDir(dir) // mostly it is not there
		for _, e := range entries {
			if !strings.HasPrefix(e.Name(), c.process) {
				left[e.Name()] = filepath.Join(dir, e.Name())
			}
		}
	}
	return left
}

// restore notes the copies that an earlier process has made of a checkpoint. left are the shared files that it has left, by their names.
func (c *Copies) restore(id job.CheckpointID, dir string, entries []entry, left map[string]string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range entries {
		if !e.Shared {
			c.mu.files[e.place()] = copied{id, filepath.Join(dir, filepath.Base(e.File))}
			continue
		}
		file, ok := left[e.File]
		if !ok {
			file = filepath.Join(c.root(0), sharedName, filepath.Base(e.File)) // it will be missed by whoever wants it
		}
		c.mu.files[e.place()] = copied{file: file}
		c.mu.shared.Stored(file, id)
	}
	c.mu.store.Stored(id)
}

// add notes the copies that a subtask has made for a checkpoint, unless nobody needs them any more.
func (c *Copies) add(id job.CheckpointID, dir string, own []entry) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.mu.store.Stored(id) {
		return false
	}
	for _, e := range own {
		if e.Shared {
			c.mu.shared.Stored(e.path, id)
			c.mu.files[e.place()] = copied{file: e.path}
		} else {
			c.mu.files[e.place()] = copied{id, filepath.Join(dir, e.File)}
		}
	}
	return true
}

// refer returns the shared copy of a stream, which a checkpoint refers to again, if there is one.
func (c *Copies) refer(s snapshot.Stream, id job.CheckpointID) (e entry, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f := c.mu.files[placeOf(s)]
	if !c.mu.shared.Refer(f.file, id) {
		return e, false
	}
	return entryOf(s, f.file, true), true
}

// wants reports whether copies of a checkpoint are still needed: if not, their directory may vanish while they are written.
func (c *Copies) wants(id job.CheckpointID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mu.store.Wanted(id)
}

// Found are copies that are good, for the streams of one checkpoint.
type Found map[place]string

// Has reports whether there is a good copy of a stream.
func (f Found) Has(s snapshot.Stream) bool { return f[placeOf(s)] != "" }

// Open opens the copy of a stream, if there is one.
func (f Found) Open(ctx context.Context, s snapshot.Stream) (*storage.StreamReader, bool) {
	file := f[placeOf(s)]
	if file == "" {
		return nil, false
	}
	s.Path, s.Offset = filepath.ToSlash(file), 0
	r, err := storage.OpenStream(ctx, fs.Local{}, s)
	return r, err == nil
}

// keyedStreams returns the streams of keyed state that lie in files.
func keyedStreams(state *snapshot.Task) (streams []snapshot.Stream) {
	for _, op := range state.Operators {
		if op.State != nil {
			streams = append(streams, KeyedOf(op.State)...)
		}
	}
	return streams
}

// KeyedOf returns the streams of a subtask's keyed state that lie in files.
func KeyedOf(state *snapshot.OperatorSubtask) (streams []snapshot.Stream) {
	keyed := snapshot.OperatorSubtask{Keyed: state.Keyed}
	keyed.EachStream(func(s *snapshot.Stream) {
		if s.Path != "" {
			streams = append(streams, *s)
		}
	})
	return streams
}
