// Package merging answers which file a stream of state is appended to when a process merges small streams into larger files, and when such a
// file is closed and deleted.
//
// A stream becomes a logical file: a piece of a physical one. A Manager decides for one process and one job; who uses it opens, writes and
// deletes the files. Take a physical file, write a stream to its end, say with Wrote that the stream is whole or with Wasted that it is not,
// and Give it back, or GiveUp on it.
//
//   - A physical file is written to by one stream at a time.
//   - Files of scope Shared hold streams of one subtask, others those of all subtasks of the process.
//   - Unless files may cross the boundaries of checkpoints, one holds streams of one checkpoint only.
//   - A logical file is there as long as a checkpoint refers to it that has not been released: the one it was written for, and later ones that
//     use it again. A physical file is deleted when it is closed and has no logical file left.
//   - Only files that this manager has made are known here. Those of a process that has died are not written to nor deleted: their directory
//     goes as a whole, when no checkpoint refers to it any more.
package merging

import (
	"cmp"
	"maps"
	"math"
	"slices"

	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/protocol/snapshot"
)

// Options say how streams are merged. Flink's options of the same names have the same meaning.
type Options struct {
	// AcrossBoundary lets a file hold streams of several checkpoints.
	AcrossBoundary bool
	// MaxFileSize is the size in bytes from which a file is not added to any more. One stream may exceed it.
	MaxFileSize int64
	// Blocking lets streams wait for a file that another writes to, once there are as many files as there may be. Otherwise a new one is made.
	Blocking bool
	// MaxSubtasks is how many subtasks share the files that are not Shared: there is one for so many. At least 1.
	MaxSubtasks int
	// MaxAmplification is how many times as large as what is needed of them all files together may become, before files of which little is
	// needed are not to be referred to again. Below 1 there is no limit.
	MaxAmplification float64
}

// FileID names a physical file.
type FileID int64

// Place is where a logical file begins.
type Place struct {
	File   FileID
	Offset int64
}

// Owner says for whom a stream is written.
type Owner struct {
	Subtask    job.Subtask
	Checkpoint job.CheckpointID
	Scope      snapshot.Scope
}

// Action is something to do: Close or Delete.
type Action interface{ isAction() }

// Close asks to close a file: nothing more is written to it.
type Close struct{ File FileID }

// Delete asks to delete a file, which is closed.
type Delete struct{ File FileID }

func (Close) isAction()  {}
func (Delete) isAction() {}

// Stats says how much there is.
type Stats struct {
	LogicalFiles, PhysicalFiles int
	LogicalBytes, PhysicalBytes int64
}

// Manager decides about the files of one process. It is used by one goroutine. Make one with New.
type Manager struct {
	o        Options
	subtasks int
	last     FileID
	files    map[FileID]*file
	logical  map[Place]*logical
	used     map[job.CheckpointID][]Place // what each checkpoint refers to
	pools    map[pool][]FileID            // files that may be taken, the one that was given back first in front
	released []job.CheckpointID           // the last ones, at most maxReleased
	settled  job.CheckpointID             // the newest of which is known how it ended
	actions  []Action
}

// pool is where a stream finds a file: all that must be equal for streams to share one.
type pool struct {
	shared     bool
	subtask    job.Subtask      // of a shared one
	checkpoint job.CheckpointID // unless files cross the boundaries
}

type file struct {
	pool     pool
	size     int64 // in bytes, with what nobody needs
	needed   int64 // bytes of logical files
	logical  int
	taken    bool
	closed   bool
	wasteful bool // not to be referred to again
}

type logical struct {
	length int64
	users  []job.CheckpointID
}

// maxReleased bounds the released checkpoints that are remembered, since tasks that do not know yet may still be writing for them.
const maxReleased = 16

// New returns a manager without files.
func New(o Options) *Manager {
	return &Manager{o: o, subtasks: 1, files: map[FileID]*file{}, logical: map[Place]*logical{}, used: map[job.CheckpointID][]Place{}, pools: map[pool][]FileID{}}
}

// Subtasks says how many subtasks the process has.
func (m *Manager) Subtasks(n int) { m.subtasks = max(1, n) }

// Actions returns what is to be done since the last call, in order.
func (m *Manager) Actions() []Action {
	out := m.actions
	m.actions = nil
	return out
}

// Take returns a file that a stream may be appended to, from offset on. If made is set there is none yet: it is to be created, or given
// up. ok is false if the stream has to wait until a file is given back or closed.
func (m *Manager) Take(o Owner) (f FileID, offset int64, made, ok bool) {
	p := m.poolOf(o)
	if free := m.pools[p]; len(free) > 0 {
		m.pools[p] = free[1:]
		m.files[free[0]].taken = true
		return free[0], m.files[free[0]].size, false, true
	}
	if m.o.Blocking && m.open(p) >= m.limit(p) {
		return 0, 0, false, false
	}
	m.last++
	m.files[m.last] = &file{pool: p, taken: true}
	return m.last, 0, true, true
}

func (m *Manager) poolOf(o Owner) pool {
	p := pool{shared: o.Scope == snapshot.Shared}
	if p.shared {
		p.subtask = o.Subtask
	}
	if !m.o.AcrossBoundary {
		p.checkpoint = o.Checkpoint
	}
	return p
}

// limit returns how many files of a pool are enough.
func (m *Manager) limit(p pool) int {
	if p.shared {
		return 1
	}
	per := max(1, m.o.MaxSubtasks)
	return (m.subtasks + per - 1) / per
}

// open returns how many files of a pool are not closed.
func (m *Manager) open(p pool) (n int) {
	for _, f := range m.files {
		if f.pool == p && !f.closed {
			n++
		}
	}
	return n
}

// Wrote says that a stream of so many bytes is whole at the end of the file that was taken for it.
func (m *Manager) Wrote(id FileID, o Owner, length int64) Place {
	f := m.files[id]
	at := Place{id, f.size}
	f.size += length
	if slices.Contains(m.released, o.Checkpoint) { // nobody will refer to it
		return at
	}
	f.needed += length
	f.logical++
	m.logical[at] = &logical{length: length}
	m.use(at, o.Checkpoint)
	return at
}

// Wasted says that so many bytes of a stream that was given up are at the end of the file.
func (m *Manager) Wasted(id FileID, length int64) { m.files[id].size += length }

// Give takes a file back that was taken. It is closed if it is large enough, or if nobody comes to add to it.
func (m *Manager) Give(id FileID) {
	f := m.files[id]
	f.taken = false
	free := m.pools[f.pool]
	switch {
	case f.closed:
	case f.size >= m.o.MaxFileSize, m.over(f.pool), !f.pool.shared && len(free) >= m.limit(f.pool):
		m.close(id)
	default:
		m.pools[f.pool] = append(free, id)
	}
	m.deleteIfUnused(id)
}

// GiveUp takes a file back that cannot be written to any more. What was whole in it before stays.
func (m *Manager) GiveUp(id FileID) {
	m.files[id].taken = false
	m.close(id)
	m.deleteIfUnused(id)
}

// over reports whether nobody writes for a pool's checkpoint any more.
func (m *Manager) over(p pool) bool {
	return p.checkpoint != 0 && (p.checkpoint <= m.settled || slices.Contains(m.released, p.checkpoint))
}

func (m *Manager) close(id FileID) {
	f := m.files[id]
	if f.closed {
		return
	}
	f.closed = true
	m.pools[f.pool] = slices.DeleteFunc(m.pools[f.pool], func(other FileID) bool { return other == id })
	if len(m.pools[f.pool]) == 0 {
		delete(m.pools, f.pool)
	}
	m.actions = append(m.actions, Close{id})
}

func (m *Manager) deleteIfUnused(id FileID) {
	if f := m.files[id]; f.closed && !f.taken && f.logical == 0 {
		delete(m.files, id)
		m.actions = append(m.actions, Delete{id})
	}
}

// MayUse reports whether a later checkpoint may refer to a logical file instead of having its bytes written again.
func (m *Manager) MayUse(at Place) bool {
	return m.logical[at] != nil && !m.files[at.File].wasteful
}

// Use says that a checkpoint refers to a logical file that was written before. It reports whether there is one.
func (m *Manager) Use(at Place, id job.CheckpointID) bool {
	if m.logical[at] == nil || slices.Contains(m.released, id) {
		return m.logical[at] != nil
	}
	m.use(at, id)
	return true
}

func (m *Manager) use(at Place, id job.CheckpointID) {
	if l := m.logical[at]; !slices.Contains(l.users, id) {
		l.users = append(l.users, id)
		m.used[id] = append(m.used[id], at)
	}
}

// Complete says that a checkpoint is complete. No task writes for it any more, nor for an older one.
func (m *Manager) Complete(id job.CheckpointID) {
	m.settled = max(m.settled, id)
	m.closePools()
}

// Release says that a checkpoint is gone: it was given up, or has been deleted.
func (m *Manager) Release(id job.CheckpointID) {
	if !slices.Contains(m.released, id) {
		m.released = append(m.released, id)
		m.released = m.released[max(0, len(m.released)-maxReleased):]
	}
	for _, at := range m.used[id] {
		m.forget(at, id)
	}
	delete(m.used, id)
	m.closePools()
	m.saveSpace()
}

func (m *Manager) forget(at Place, id job.CheckpointID) {
	l := m.logical[at]
	l.users = slices.DeleteFunc(l.users, func(user job.CheckpointID) bool { return user == id })
	if len(l.users) > 0 {
		return
	}
	delete(m.logical, at)
	f := m.files[at.File]
	f.needed -= l.length
	f.logical--
	m.deleteIfUnused(at.File)
}

// closePools closes the files that nobody comes to add to.
func (m *Manager) closePools() {
	for _, id := range slices.Sorted(maps.Keys(m.files)) {
		if f := m.files[id]; !f.taken && m.over(f.pool) {
			m.close(id)
			m.deleteIfUnused(id)
		}
	}
}

// CloseAll closes all files, at the end of the process. None is taken.
func (m *Manager) CloseAll() {
	for _, id := range slices.Sorted(maps.Keys(m.files)) {
		m.close(id)
		m.deleteIfUnused(id)
	}
}

// saveSpace marks files of which the least is needed, so that nobody refers to them again, if all together have become too large. What is
// needed of them is written anew by and by, and they go.
func (m *Manager) saveSpace() {
	s := m.Stats()
	most := float64(s.LogicalBytes) * m.o.MaxAmplification
	if m.o.MaxAmplification < 1 || most >= float64(s.PhysicalBytes) {
		return
	}
	goal := int64(math.Round(most))
	var alive int64 // bytes of the files that may be referred to again
	var closed []FileID
	for id, f := range m.files {
		if !f.wasteful {
			alive += f.size
			if f.closed {
				closed = append(closed, id)
			}
		}
	}
	slices.SortFunc(closed, func(a, b FileID) int {
		return cmp.Or(cmp.Compare(m.files[b].wasted(), m.files[a].wasted()), cmp.Compare(a, b))
	})
	for _, id := range closed {
		f := m.files[id]
		if alive <= goal {
			return
		}
		if float64(f.needed)*m.o.MaxAmplification < float64(f.size) {
			f.wasteful = true
			alive -= f.wasted()
		}
	}
}

func (f *file) wasted() int64 { return f.size - f.needed }

// Stats returns how much there is.
func (m *Manager) Stats() (s Stats) {
	s.LogicalFiles, s.PhysicalFiles = len(m.logical), len(m.files)
	for _, f := range m.files {
		s.LogicalBytes += f.needed
		s.PhysicalBytes += f.size
	}
	return s
}
