// Package copies keeps copies of keyed state on the disks of the machine that has written it, so that a task that restarts there need not read
// it from the checkpoint storage. Which copies are kept package protocol/backup decides.
//
//	<root>/<job id>/chk_<id>/<subtask>/<n>       one stream
//	<root>/<job id>/chk_<id>/<subtask>/_local    which stream of the checkpoint storage each is a copy of
//
// The roots are used in turn, by the id of the checkpoint.
//
//   - The checkpoint storage has everything. Whatever goes wrong with a copy, there is just none: nothing here fails a checkpoint.
//   - A copy counts only if it is of the same job, of the same checkpoint and stream, and has the length and checksum that the checkpoint's
//     metadata say. It is read through before it is used.
//   - Copies are not synced: what a crash of the machine leaves is found out by the checksum.
//   - Copies may be used concurrently; one stream by one goroutine.
package copies

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
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
	o  Options
	mu struct {
		sync.Mutex
		store backup.Store
		files map[place]copied
		begun bool             // see Begun
		from  job.CheckpointID // of the last Find
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
	id   job.CheckpointID
	file string
}

// entry is a line of the file that says what is in a directory.
type entry struct {
	Name   string // of the file in the checkpoint storage
	Offset int64
	Length int64
	CRC    uint32
	File   string // beside the entry's own
}

const indexName = "_local"

// New returns the copies of a job. It does no I/O.
func New(o Options) *Copies {
	c := &Copies{o: o}
	c.mu.files = map[place]copied{}
	return c
}

// Job returns the id of the job.
func (c *Copies) Job() job.ID { return c.o.Job }

func (c *Copies) root(id job.CheckpointID) string {
	return filepath.Join(c.o.Roots[int(id)%len(c.o.Roots)], c.o.Job.String())
}

func (c *Copies) dir(id job.CheckpointID) string {
	return filepath.Join(c.root(id), "chk_"+strconv.FormatInt(int64(id), 10))
}

// Part begins the copies of what one subtask writes for one checkpoint.
func (c *Copies) Part(id job.CheckpointID, s job.Subtask) *Part {
	return &Part{copies: c, id: id, dir: filepath.Join(c.dir(id), fmt.Sprintf("%s_%d", s.Vertex, s.Index))}
}

// Confirm says that a checkpoint is complete: older copies go.
func (c *Copies) Confirm(id job.CheckpointID) {
	c.remove(func(s *backup.Store) []job.CheckpointID { return s.Confirm(id) })
}

// Abort says that a checkpoint was given up.
func (c *Copies) Abort(id job.CheckpointID) {
	c.remove(func(s *backup.Store) []job.CheckpointID { return s.Abort(id) })
}

func (c *Copies) remove(decide func(*backup.Store) []job.CheckpointID) {
	c.mu.Lock()
	ids := decide(&c.mu.store)
	for _, id := range ids {
		c.forgetLocked(id)
	}
	if !c.mu.begun {
		ids = nil
	}
	c.mu.Unlock()
	for _, id := range ids {
		c.removeDir(c.dir(id))
	}
}

func (c *Copies) forgetLocked(id job.CheckpointID) {
	for p, f := range c.mu.files {
		if f.id == id {
			delete(c.mu.files, p)
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

// Begun says that the job runs, so that its start cannot be refused any more: until then nothing is deleted. It returns the directories with
// copies that earlier processes have left and that are not of the checkpoint that the job has gone on from, to be deleted. It is called before
// any copy is made.
func (c *Copies) Begun() (left []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.begun = true
	return c.others(c.mu.from)
}

// Dispose deletes all copies of the job.
func (c *Copies) Dispose() {
	c.mu.Lock()
	c.mu.store.Dispose()
	clear(c.mu.files)
	c.mu.Unlock()
	for _, root := range c.o.Roots {
		c.removeDir(filepath.Join(root, c.o.Job.String()))
	}
}

// Find looks for copies of a checkpoint that the job goes on from, also those that an earlier process has left, and deletes those of all
// others, if the job has Begun. It reads each through that is wanted and returns the good ones.
func (c *Copies) Find(ctx context.Context, id job.CheckpointID, wanted []snapshot.Stream) Found {
	c.removeOthers(id)
	c.load(id)
	found := Found{}
	for _, s := range wanted {
		c.mu.Lock()
		f, ok := c.mu.files[placeOf(s)]
		c.mu.Unlock()
		if !ok || s.IsEmpty() || found[placeOf(s)] != "" {
			continue
		}
		local := s
		local.Path, local.Offset, local.Scope = filepath.ToSlash(f.file), 0, snapshot.Exclusive
		if err := verify(ctx, local); err != nil {
			c.o.Report(fmt.Errorf("a copy of state is not used: %w", err))
			c.mu.Lock()
			delete(c.mu.files, placeOf(s))
			c.mu.Unlock()
			continue
		}
		found[placeOf(s)] = f.file
	}
	return found
}

// verify reads a copy through.
func verify(ctx context.Context, s snapshot.Stream) error {
	sub := &snapshot.OperatorSubtask{Lists: []snapshot.List{{Stream: s}}}
	return storage.Verify(ctx, fs.Local{}, &snapshot.Metadata{Operators: []snapshot.OperatorState{{Subtasks: []*snapshot.OperatorSubtask{sub}}}})
}

// removeOthers deletes the copies of all checkpoints but one, whoever has made them.
func (c *Copies) removeOthers(id job.CheckpointID) {
	c.remove(func(s *backup.Store) []job.CheckpointID { return s.Restored(id) })
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
	indexes, err := filepath.Glob(filepath.Join(c.dir(id), "*", indexName))
	if known || err != nil {
		return
	}
	for _, index := range indexes {
		data, err := os.ReadFile(index)
		var entries []entry
		if err == nil {
			err = json.Unmarshal(data, &entries)
		}
		if err != nil {
			c.o.Report(fmt.Errorf("copies of state are not used: %s: %w", index, err))
			entries = nil // it goes with the others of the checkpoint
		}
		c.add(id, filepath.Dir(index), entries)
	}
}

// add notes copies, unless nobody needs them any more.
func (c *Copies) add(id job.CheckpointID, dir string, entries []entry) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.mu.store.Stored(id) {
		return false
	}
	for _, e := range entries {
		c.mu.files[place{e.Name, e.Offset}] = copied{id, filepath.Join(dir, filepath.Base(e.File))}
	}
	return true
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

// Part is what one subtask writes for one checkpoint. It ends with Seal or Abandon.
type Part struct {
	copies *Copies
	id     job.CheckpointID
	dir    string

	mu      sync.Mutex // guards what follows
	entries []entry
	n       int
	failed  bool // said once
}

// Stream returns a stream that copies what is written to another one.
func (p *Part) Stream(s snapshot.StreamWriter) snapshot.StreamWriter {
	return &tee{StreamWriter: s, part: p}
}

// tee writes to the checkpoint storage, and then to a file beside it.
type tee struct {
	snapshot.StreamWriter
	part  *Part
	start []byte   // what was written before it was clear that a copy is needed
	file  *os.File // nil if there is none, or none any more
	over  bool     // the copy has failed
}

// Write writes p. An error is one of the checkpoint storage.
func (t *tee) Write(p []byte) (int, error) {
	n, err := t.StreamWriter.Write(p)
	if err == nil && !t.over {
		if err := t.copy(p); err != nil {
			t.fail(err)
		}
	}
	return n, err
}

func (t *tee) copy(p []byte) (err error) {
	if t.file == nil {
		if len(t.start)+len(p) <= t.part.copies.o.Threshold {
			t.start = append(t.start, p...)
			return nil
		}
		if t.file, err = t.part.create(); err != nil {
			return err
		}
		if _, err := t.file.Write(t.start); err != nil {
			return err
		}
		t.start = nil
	}
	_, err = t.file.Write(p)
	return err
}

// fail gives the copy up, and says so once for a checkpoint.
func (t *tee) fail(err error) {
	t.discard()
	t.part.mu.Lock()
	defer t.part.mu.Unlock()
	if !t.part.failed {
		t.part.failed = true
		if !t.part.copies.wants(t.part.id) {
			return
		}
		t.part.copies.o.Report(fmt.Errorf("checkpoint %d: there will be no copy of all state: %w", t.part.id, err))
	}
}

func (t *tee) discard() {
	t.over, t.start = true, nil
	if t.file != nil {
		t.file.Close() // it is not wanted
		os.Remove(t.file.Name())
		t.file = nil
	}
}

// Finish ends the stream.
func (t *tee) Finish() (snapshot.Stream, error) {
	s, err := t.StreamWriter.Finish()
	if err != nil || s.Path == "" || t.file == nil {
		t.discard()
		return s, err
	}
	name := t.file.Name()
	if err := t.file.Close(); err != nil {
		t.fail(err)
		return s, nil
	}
	t.part.mu.Lock()
	defer t.part.mu.Unlock()
	t.part.entries = append(t.part.entries, entry{path.Base(s.Path), s.Offset, s.Length, s.CRC, filepath.Base(name)})
	return s, nil
}

// Abort gives the stream up.
func (t *tee) Abort() error {
	t.discard()
	return t.StreamWriter.Abort()
}

func (p *Part) create() (*os.File, error) {
	p.mu.Lock()
	p.n++
	name := filepath.Join(p.dir, strconv.Itoa(p.n))
	p.mu.Unlock()
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600) // an earlier attempt may have left one
	if !errors.Is(err, os.ErrNotExist) {
		return f, err
	}
	if err := os.MkdirAll(p.dir, 0o700); err != nil {
		return nil, err
	}
	return os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
}

// Seal ends the part with what the subtask acknowledges: keyed state keeps its copies, of what it refers to again too; others go.
func (p *Part) Seal(state *snapshot.Task) {
	if err := p.seal(state); err != nil {
		if p.copies.wants(p.id) {
			p.copies.o.Report(fmt.Errorf("checkpoint %d: there will be no copy of the state: %w", p.id, err))
		}
		p.Abandon()
	}
}

func (p *Part) seal(state *snapshot.Task) error {
	var kept []entry
	for _, s := range keyedStreams(state) {
		e, own := p.entryOf(s)
		if !own {
			e, own = p.again(s)
		}
		if own {
			kept = append(kept, e)
		}
	}
	for _, e := range p.entries {
		if !contains(kept, e) {
			os.Remove(filepath.Join(p.dir, e.File)) // what stays goes with the directory
		}
	}
	if len(kept) == 0 {
		return os.RemoveAll(p.dir)
	}
	data, err := json.Marshal(kept)
	if err == nil {
		err = os.WriteFile(filepath.Join(p.dir, indexName+".new"), data, 0o600)
	}
	if err == nil {
		err = os.Rename(filepath.Join(p.dir, indexName+".new"), filepath.Join(p.dir, indexName))
	}
	if err == nil && !p.copies.add(p.id, p.dir, kept) {
		err = os.RemoveAll(p.copies.dir(p.id))
	}
	return err
}

func contains(entries []entry, e entry) bool {
	for _, other := range entries {
		if other == e {
			return true
		}
	}
	return false
}

func (p *Part) entryOf(s snapshot.Stream) (entry, bool) {
	for _, e := range p.entries {
		if (place{e.Name, e.Offset}) == placeOf(s) {
			return e, true
		}
	}
	return entry{}, false
}

// again makes the copy of a stream that an earlier checkpoint has brought one of this checkpoint too.
func (p *Part) again(s snapshot.Stream) (e entry, ok bool) {
	p.copies.mu.Lock()
	before, ok := p.copies.mu.files[placeOf(s)]
	p.copies.mu.Unlock()
	if !ok {
		return entry{}, false
	}
	if err := os.MkdirAll(p.dir, 0o700); err != nil {
		return entry{}, false
	}
	p.n++
	e = entry{path.Base(s.Path), s.Offset, s.Length, s.CRC, strconv.Itoa(p.n)}
	return e, os.Link(before.file, filepath.Join(p.dir, e.File)) == nil
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

// Abandon deletes the copies of a part that is not acknowledged.
func (p *Part) Abandon() { p.copies.removeDir(p.dir) }
