package storage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"

	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/protocol/merging"
	"github.com/weirstream/weir/internal/protocol/snapshot"
	"github.com/weirstream/weir/storage"
)

// Merger lets the tasks of one process write many streams of state into few files. Which stream goes into which file package merging decides;
// here the files are made, written, synced and deleted. They lie in directories that are this process's alone:
//
//	<job directory>/shared/task_<vertex>_<index>_<parallelism>_<process>/    streams of scope Shared, of one subtask
//	<job directory>/taskowned/process_<process>/                             all others, of scope TaskOwned
//
// A file stays open, and is added to, as long as the file system's writers can be synced (storage.Syncer). Where they cannot, as in stores of
// objects, a task writes all streams of a checkpoint into files of its own and commits them.
//
//   - A stream is durable when Seal of its MergedPart has returned, not before.
//   - A file that cannot be made durable is of no use for what comes, but the streams in it are: Seal reads them back and writes them into others, see
//     MergedPart.rescue. For that the file stays open until nobody can need it.
//   - Whoever acknowledges a part names the part's Directories with it: from then on the directories belong to whoever keeps the
//     checkpoints. Those that were never named are deleted by Close.
//   - A Merger may be used concurrently; one stream by one goroutine.
type Merger struct {
	fs      storage.FS
	files   *files
	process string
	syncs   bool            // whether writers can be synced
	ctx     context.Context // of the files, which outlive tasks
	cancel  context.CancelFunc
	report  func(error)

	mu struct {
		sync.Mutex
		decide *merging.Manager
		open   map[merging.FileID]*physical // with a name
		ids    map[string]merging.FileID    // by path
		tasks  string                       // what tells the directories of tasks from those of others
		dirs   map[string]*mergedDir        // that this process has made
		freed  chan struct{}                // closed when a file may have become free
		closed bool
	}
}

// mergedDir is a directory of merged files.
type mergedDir struct {
	used bool // there was a file in it
	told bool // whoever keeps checkpoints knows of it
}

// physical is a file with streams. mu guards what it says but size, which belongs to whoever has taken it.
type physical struct {
	path string

	mu     sync.Mutex
	file   storage.Writer // nil once closed
	size   int64          // bytes written
	synced int64          // bytes that are durable
	broken error          // of the last write, until resume has succeeded
	lost   bool           // nothing can be added or made durable any more
	syncs  bool           // file is a storage.Syncer, and keeps what is in it until it is ended
}

// MergerOptions say how a Merger works.
type MergerOptions struct {
	merging.Options
	Subtasks int // of the process
	// Process tells the process from all others that ever write for the job: 16 hexadecimal digits.
	Process string
	// Report is told of files that could not be closed or deleted. It may be called by any goroutine.
	Report func(error)
}

// NewMerger returns what merges the streams of a storage of files, after it has made its directory. It fails with ErrNotFiles for others.
func NewMerger(ctx context.Context, s Storage, o MergerOptions) (*Merger, error) {
	f, ok := s.(*files)
	if !ok {
		return nil, ErrNotFiles
	}
	m := &Merger{fs: f.fs, files: f, process: o.Process, report: o.Report}
	if name := m.privateDir(); !IsMergedDirName(name) {
		panic("storage: " + name + " is no name for a directory of merged files")
	}
	m.ctx, m.cancel = context.WithCancel(context.WithoutCancel(ctx))
	if err := m.probe(); err != nil {
		return nil, fmt.Errorf("prepare to merge files: %w", err)
	}
	o.Blocking = o.Blocking && m.syncs // else parts keep their files until they are sealed, and would wait for each other
	m.mu.decide = merging.New(o.Options)
	m.mu.decide.Subtasks(o.Subtasks)
	m.mu.tasks = o.Process
	m.mu.open, m.mu.ids = map[merging.FileID]*physical{}, map[string]merging.FileID{}
	m.mu.dirs = map[string]*mergedDir{m.dir(taskOwnedDir, m.privateDir()): {}}
	m.mu.freed = make(chan struct{})
	return m, nil
}

// probe makes the directory of the process, and finds out whether files can be made there and be synced.
func (m *Merger) probe() error {
	dir := m.dir(taskOwnedDir, m.privateDir())
	if err := m.fs.MakeDir(m.ctx, dir); err != nil {
		return err
	}
	w, err := m.fs.Create(m.ctx, join(dir, m.files.name()))
	if err != nil {
		return err
	}
	_, m.syncs = w.(storage.Syncer)
	return w.Abort()
}

// ErrNotFiles means that a storage does not keep streams in files.
var ErrNotFiles = errors.New("the checkpoint storage does not keep state in files")

func (m *Merger) privateDir() string { return "process_" + m.process }

func (m *Merger) dir(above, name string) string { return join(join(m.files.jobDir(), above), name) }

// Part begins what one subtask writes for one checkpoint.
func (m *Merger) Part(id job.CheckpointID, s job.Subtask, parallelism int) *MergedPart {
	m.mu.Lock()
	shared := fmt.Sprintf("task_%s_%d_%d_%s", s.Vertex, s.Index, parallelism, m.mu.tasks)
	m.mu.Unlock()
	return &MergedPart{merger: m, id: id, subtask: s, shared: m.dir(sharedDir, shared), private: m.dir(taskOwnedDir, m.privateDir())}
}

// Rescaled says that the process has other subtasks now. Their directories get new names, since those of earlier ones may have been deleted in
// the meantime: process is as in MergerOptions, and was not used before.
func (m *Merger) Rescaled(subtasks int, process string) {
	m.change(func(d *merging.Manager) {
		d.Subtasks(subtasks)
		m.mu.tasks = process
	})
}

// Complete says that a checkpoint is complete: no task writes for it or an older one any more.
func (m *Merger) Complete(id job.CheckpointID) { m.change(func(d *merging.Manager) { d.Complete(id) }) }

// Release says that a checkpoint is gone: given up, or deleted together with its metadata. What nothing else refers to is deleted.
func (m *Merger) Release(id job.CheckpointID) { m.change(func(d *merging.Manager) { d.Release(id) }) }

// Stats returns how much there is.
func (m *Merger) Stats() merging.Stats {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.mu.decide.Stats()
}

// MayUse reports whether a later checkpoint may refer to a stream again instead of having it written once more. A stream in a file that this
// Merger has not made it knows nothing of: such may be referred to, unless it lies in a directory of merged files.
func (m *Merger) MayUse(s snapshot.Stream) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if id, ok := m.mu.ids[s.Path]; ok {
		return m.mu.decide.MayUse(merging.Place{File: id, Offset: s.Offset}) && !m.mu.open[id].hasLost(s)
	}
	_, name := split(Parent(s.Path))
	return !IsMergedDirName(name)
}

// change lets a decision be made, and does what follows from it.
func (m *Merger) change(decide func(*merging.Manager)) {
	m.mu.Lock()
	decide(m.mu.decide)
	todo := m.followLocked()
	close(m.mu.freed)
	m.mu.freed = make(chan struct{})
	m.mu.Unlock()
	for _, f := range todo {
		if err := f(); err != nil {
			m.report(err)
		}
	}
}

// followLocked returns what is to be done with files, in order, without the lock.
func (m *Merger) followLocked() (todo []func() error) {
	for _, a := range m.mu.decide.Actions() {
		switch a := a.(type) {
		case merging.Close:
			if p := m.mu.open[a.File]; p != nil {
				todo = append(todo, p.close)
			}
		case merging.Delete:
			p := m.mu.open[a.File]
			if p == nil { // it was never made
				continue
			}
			delete(m.mu.open, a.File)
			delete(m.mu.ids, p.path)
			todo = append(todo, func() error { return errors.Join(p.end(), m.fs.Remove(context.WithoutCancel(m.ctx), p.path)) })
		}
	}
	return todo
}

// Close closes all files, when no task writes any more, and deletes what nobody was told of.
func (m *Merger) Close() error {
	defer m.cancel()
	m.mu.Lock()
	m.mu.closed = true
	m.mu.decide.CloseAll()
	todo := m.followLocked()
	for _, p := range m.mu.open {
		todo = append(todo, p.end)
	}
	for _, dir := range slices.Sorted(maps.Keys(m.mu.dirs)) {
		if !m.mu.dirs[dir].told {
			todo = append(todo, func() error { return m.fs.RemoveAll(context.WithoutCancel(m.ctx), dir) })
		}
	}
	m.mu.Unlock()
	var errs []error
	for _, f := range todo {
		errs = append(errs, f())
	}
	return errors.Join(errs...)
}

// take finds a file for a stream, and waits for one if it must.
func (m *Merger) take(ctx context.Context, o merging.Owner, dir string) (id merging.FileID, p *physical, err error) {
	for {
		m.mu.Lock()
		id, _, made, ok := m.mu.decide.Take(o)
		p, freed := m.mu.open[id], m.mu.freed
		m.mu.Unlock()
		switch {
		case made:
			p, err := m.create(id, dir)
			return id, p, err
		case ok:
			return id, p, nil
		}
		select {
		case <-freed:
		case <-ctx.Done():
			return 0, nil, fmt.Errorf("wait for a file to merge state into: %w", context.Cause(ctx))
		}
	}
}

// create makes a new file, or gives it up.
func (m *Merger) create(id merging.FileID, dir string) (*physical, error) {
	w := StreamWriter{ctx: m.ctx, place: place{fs: m.fs, dir: dir, prefix: dir + "/", newName: m.files.name}}
	if err := w.create(); err != nil {
		m.change(func(d *merging.Manager) { d.GiveUp(id) })
		return nil, err
	}
	p := &physical{path: w.name, file: w.file, syncs: m.syncs} // its writer lives as long as the merger
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.open[id], m.mu.ids[p.path] = p, id
	if m.mu.dirs[dir] == nil {
		m.mu.dirs[dir] = &mergedDir{}
	}
	m.mu.dirs[dir].used = true
	return p, nil
}

// Write adds bytes for the stream that has taken the file. After a failure nothing is added until resume has succeeded.
func (p *physical) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.broken != nil {
		return 0, p.broken
	}
	n, err := p.file.Write(b)
	p.size += int64(n)
	p.broken = err
	return n, err
}

var errNoResumer = errors.New("the file cannot be gone on with")

// resume lets the file go on after a Write that has failed.
func (p *physical) resume() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.resumeLocked()
}

func (p *physical) resumeLocked() error {
	r, ok := p.file.(storage.Resumer)
	if !ok || p.lost {
		return errNoResumer
	}
	err := r.Resume()
	if err == nil {
		p.broken = nil
	}
	return err
}

// sync makes the file durable up to some byte; another stream may have done so already. One behind that byte may have failed.
func (p *physical) sync(end int64) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.synced >= end {
		return nil
	}
	if p.broken != nil && p.resumeLocked() != nil {
		return p.broken
	}
	p.broken = p.file.(storage.Syncer).Sync()
	p.lost = p.broken != nil
	if !p.lost {
		p.synced = p.size
	}
	return p.broken
}

// commit ends the file, so that all of it is durable. If it fails and the file is not broken, another attempt may succeed.
func (p *physical) commit() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.broken != nil || p.file == nil {
		return p.broken
	}
	r, ok := p.file.(storage.Resumer)
	if !ok {
		p.broken = p.file.Commit()
		p.file = nil
		return p.broken
	}
	err := r.TryCommit()
	switch {
	case err == nil:
		p.file, p.synced = nil, p.size
	case r.Resume() != nil:
		p.broken = err
	}
	return err
}

// close ends the file: all that is whole in it is durable then. If it cannot be, broken says why, and the file is open still, to be read.
func (p *physical) close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.file == nil || p.lost {
		return nil
	}
	stuck := p.broken != nil && p.resumeLocked() != nil // if not, the streams before the one that failed are good
	if stuck && p.syncs {
		p.lost = true
		return nil
	}
	f := p.file
	if stuck || p.synced == p.size {
		p.file = nil
		return f.Abort() // which leaves what was synced
	}
	if r, ok := f.(storage.Resumer); ok && p.syncs {
		p.broken = r.TryCommit()
		p.lost = p.broken != nil
	} else {
		p.broken = f.Commit()
	}
	if !p.lost {
		p.file = nil
	}
	if p.broken == nil {
		p.synced = p.size
	}
	return p.broken
}

// end ends a file that is lost, which nobody reads any more.
func (p *physical) end() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	f := p.file
	if f == nil || !p.lost {
		return nil
	}
	p.file = nil
	return f.Abort()
}

// isLost reports whether the file is of no use for more streams.
func (p *physical) isLost() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lost
}

// hasLost reports whether a stream in the file will never be durable.
func (p *physical) hasLost(s snapshot.Stream) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lost && p.synced < s.Offset+s.Length
}

// MergedPart is what one subtask writes for one checkpoint into merged files. It ends with Seal or Abandon.
type MergedPart struct {
	merger          *Merger
	id              job.CheckpointID
	subtask         job.Subtask
	shared, private string // directories

	mu struct {
		sync.Mutex
		written map[*physical]int64          // up to where the files must be durable
		held    map[merging.FileID]*physical // where writers cannot be synced: files that are this part's until it ends
		free    map[bool][]merging.FileID    // of those, which no stream writes to, by whether they are shared
	}
}

// NewWriter begins one stream: see Storage. Scope Exclusive becomes TaskOwned.
func (p *MergedPart) NewWriter(ctx context.Context, scope snapshot.Scope) *StreamWriter {
	if scope == snapshot.Exclusive {
		scope = snapshot.TaskOwned
	}
	f := p.merger.files
	return newStreamWriter(ctx, place{scope: scope, inline: f.threshold, buffer: f.buffer, throttle: f.throttle, retries: f.retries, fs: f.fs, merged: p})
}

// piece is the end of a physical file that one stream writes.
type piece struct {
	part   *MergedPart
	owner  merging.Owner
	id     merging.FileID
	file   *physical
	offset int64
}

// begin takes a file for a stream.
func (p *MergedPart) begin(ctx context.Context, scope snapshot.Scope) (*piece, error) {
	dir, shared := p.private, scope == snapshot.Shared
	if shared {
		dir = p.shared
	}
	c := &piece{part: p, owner: merging.Owner{Subtask: p.subtask, Checkpoint: p.id, Scope: scope}}
	for taken := p.reuse(c, shared); !taken; taken = !c.file.isLost() {
		if c.file != nil {
			p.merger.change(func(d *merging.Manager) { d.GiveUp(c.id) })
		}
		var err error
		if c.id, c.file, err = p.merger.take(ctx, c.owner, dir); err != nil {
			return nil, err
		}
	}
	c.offset = c.file.size
	return c, nil
}

// reuse takes a file that the part has held since an earlier stream.
func (p *MergedPart) reuse(c *piece, shared bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	free := p.mu.free[shared]
	if len(free) == 0 {
		return false
	}
	c.id, p.mu.free[shared] = free[0], free[1:]
	c.file = p.mu.held[c.id]
	return true
}

// Write adds bytes to the stream.
func (c *piece) Write(b []byte) (int, error) { return c.file.Write(b) }

// Resume implements storage.Resumer.
func (c *piece) Resume() error { return c.file.resume() }

// TryCommit implements storage.Resumer. It does not fail.
func (c *piece) TryCommit() error { return c.Commit() }

// Commit ends the stream. It is durable when its part is sealed.
func (c *piece) Commit() error {
	end := c.file.size
	c.part.mu.Lock()
	if c.part.mu.written == nil {
		c.part.mu.written = map[*physical]int64{}
	}
	c.part.mu.written[c.file] = max(c.part.mu.written[c.file], end)
	c.part.mu.Unlock()
	c.part.end(c, func(d *merging.Manager) { d.Wrote(c.id, c.owner, end-c.offset) })
	return nil
}

// Abort gives the stream up. Its bytes stay in the file and are nobody's.
func (c *piece) Abort() error {
	c.part.end(c, func(d *merging.Manager) { d.Wasted(c.id, c.file.size-c.offset) })
	return nil
}

// end gives the file of a stream back. A file that was not written as it should be, nothing more is added to.
func (p *MergedPart) end(c *piece, how func(*merging.Manager)) {
	broken := c.file.isBroken()
	if !p.merger.syncs && !broken {
		p.merger.change(how)
		p.hold(c)
		return
	}
	p.merger.change(func(d *merging.Manager) {
		how(d)
		if broken {
			d.GiveUp(c.id)
		} else {
			d.Give(c.id)
		}
	})
}

func (p *physical) isBroken() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.broken != nil
}

// hold keeps a file for the next stream of the part.
func (p *MergedPart) hold(c *piece) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.held == nil {
		p.mu.held, p.mu.free = map[merging.FileID]*physical{}, map[bool][]merging.FileID{}
	}
	shared := c.owner.Scope == snapshot.Shared
	p.mu.held[c.id] = c.file
	p.mu.free[shared] = append(p.mu.free[shared], c.id)
}

// Seal makes all streams of the part durable, when the last has ended, and completes what the subtask acknowledges the checkpoint with: what
// it refers to again is kept, and the directories it lies in are named.
func (p *MergedPart) Seal(ctx context.Context, state *snapshot.Task) error {
	err := p.makeDurable(ctx, state)
	p.release()
	if err != nil {
		return fmt.Errorf("checkpoint %d: make merged state durable: %w", p.id, err)
	}
	var streams []snapshot.Stream
	for _, op := range state.Operators {
		op.State.EachStream(func(s *snapshot.Stream) { streams = append(streams, *s) })
	}
	dirs, err := p.merger.refer(p, streams)
	if err != nil {
		return fmt.Errorf("checkpoint %d: %w", p.id, err)
	}
	state.Directories = dirs
	return nil
}

// makeDurable makes durable what was written. Streams that it has to write anew it names in state.
func (p *MergedPart) makeDurable(ctx context.Context, state *snapshot.Task) error {
	retries := p.merger.files.retries
	if !p.merger.syncs {
		var errs []error
		for file := range p.mu.written {
			errs = append(errs, retries.do(ctx, func(error) bool { return !file.isBroken() }, file.commit))
		}
		return errors.Join(errs...)
	}
	lost := map[*physical]error{}
	return retries.Do(ctx, func() error {
		for file, cause := range lost {
			if err := p.rescue(ctx, file, state, cause); err != nil {
				return err
			}
			delete(lost, file)
			delete(p.mu.written, file)
		}
		var errs []error
		for file, end := range p.mu.written {
			if err := file.sync(end); err != nil {
				lost[file] = err
				errs = append(errs, err)
			}
		}
		return errors.Join(errs...)
	})
}

// rescue writes the streams of the part that a file has lost into other files. What can be read of it and has a stream's checksum is that
// stream; see StreamWriter.rescue. What other parts have there they rescue when they are sealed.
func (p *MergedPart) rescue(ctx context.Context, file *physical, state *snapshot.Task, cause error) error {
	old, err := openAgain(ctx, p.merger.fs, file.path, file.size, cause)
	if err != nil {
		return err
	}
	defer old.Close() // nothing was written
	moved := map[int64]snapshot.Stream{}
	for _, op := range state.Operators {
		op.State.EachStream(func(s *snapshot.Stream) {
			if err != nil || s.Path != file.path || !file.hasLost(*s) {
				return
			}
			to, done := moved[s.Offset]
			if !done {
				if to, err = p.writeAgain(ctx, old, *s, cause); err != nil {
					return
				}
				moved[s.Offset] = to
			}
			*s = to
		})
	}
	return err
}

// writeAgain writes a stream that can be read into another file.
func (p *MergedPart) writeAgain(ctx context.Context, old storage.Reader, s snapshot.Stream, cause error) (snapshot.Stream, error) {
	w := p.NewWriter(ctx, s.Scope)
	if _, err := io.Copy(w, io.NewSectionReader(old, s.Offset, s.Length)); err != nil {
		return s, errors.Join(err, w.Abort())
	}
	if w.Size() != s.Length || w.crc != s.CRC {
		return s, errors.Join(&unreadableError{cause, errNotWhatWasWritten, s.Length}, w.Abort())
	}
	return w.Finish()
}

// Abandon ends a part that is not acknowledged. What it has written goes when the checkpoint is released.
func (p *MergedPart) Abandon() { p.release() }

// release gives up the files that were held.
func (p *MergedPart) release() {
	p.mu.Lock()
	held := p.mu.held
	p.mu.held, p.mu.free = nil, nil
	p.mu.Unlock()
	if len(held) == 0 {
		return
	}
	p.merger.change(func(d *merging.Manager) {
		for _, id := range slices.Sorted(maps.Keys(held)) {
			d.GiveUp(id)
		}
	})
}

// refer notes what a part refers to, and returns the directories that this process has for it. It fails if something of that was deleted.
func (m *Merger) refer(p *MergedPart, streams []snapshot.Stream) (dirs []string, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range streams {
		id, known := m.mu.ids[s.Path]
		if known && m.mu.decide.Use(merging.Place{File: id, Offset: s.Offset}, p.id) {
			continue
		}
		if known || m.mu.dirs[Parent(s.Path)] != nil {
			return nil, fmt.Errorf("it refers to %s, %d bytes from %d on, which were deleted since no checkpoint needed them any more", s.Path, s.Length, s.Offset)
		}
	}
	for _, dir := range []string{p.private, p.shared} {
		if d := m.mu.dirs[dir]; d != nil && d.used {
			d.told = true
			dirs = append(dirs, dir)
		}
	}
	return dirs, nil
}
