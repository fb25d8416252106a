// Package sharing answers which files that several checkpoints of a job may refer to are still needed, and by whom they may be deleted.
//
// A Registry is told of every reference: those in acknowledgements, also late ones, and those of the checkpoints that a job was started
// with. It knows for each file the checkpoints that have named it. When some of those have gone, Settle says what nobody needs any more. The registry is not stored. It is built again from the checkpoints
// that are there.
//
//   - A file is known by its path, which is random and never used twice. So what one path holds never changes, and a task that writes the
//     same state once more, because it did not hear that its checkpoint is complete, has written another file. Both are known, and the one
//     that no later checkpoint names goes.
//   - Nothing is dropped that a kept checkpoint refers to, or one that may still complete.
//   - What was dropped never comes back: Register refuses a reference to it, so that no checkpoint completes that lacks a file. A task
//     keeps clear of that by referring again only to what a checkpoint holds that it knows to be complete.
//   - Files of a checkpoint that belongs to somebody else are never dropped. Nor are files in the directory of a checkpoint: they go with
//     it, and it must stay as long as Holds says so.
//   - A directory of merged files is one thing, whose files are not known one by one: it is needed as long as anything in it is, and by the
//     job that writes to it, which names it with every acknowledgement.
package sharing

import (
	"maps"
	"slices"
	"strings"

	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/protocol/snapshot"
)

// Registry knows the shared files of one job. The zero value knows none. It is used by one goroutine.
type Registry struct {
	things map[string]*thing             // by path
	homes  map[string]bool               // directories of checkpoints that the job was started with
	gone   map[string]job.CheckpointID   // what was dropped, and the highest id that had been handed out then
	dirs   map[job.CheckpointID][]string // the directories of merged files that a checkpoint refers to, until it is settled
}

// thing is a file or a directory of merged files.
type thing struct {
	users   []job.CheckpointID // ids of the checkpoints that refer to it, without those that have gone, in order
	dir     bool
	foreign bool // it belongs to somebody else
	home    string
}

// Uses are the references of a snapshot, or of a part of one.
type Uses struct {
	Streams []snapshot.Stream // with full paths where they are not exclusive
	// Directories hold merged files. They count as used even if no stream lies in them: somebody may be about to write there.
	Directories []string
}

// UsesOf returns the references of a snapshot.
func UsesOf(m *snapshot.Metadata) Uses {
	u := Uses{Directories: m.Directories}
	m.EachStream(func(s *snapshot.Stream) { u.Streams = append(u.Streams, *s) })
	return u
}

// Dropped is what nobody needs any more.
type Dropped struct {
	Files       []string
	Directories []string // with all that is in them
}

// IsEmpty reports whether there is nothing to delete.
func (d Dropped) IsEmpty() bool { return len(d.Files)+len(d.Directories) == 0 }

// Register notes what a checkpoint refers to that is under way, or was. If it refers to something that was dropped before, lost is its path
// (the first of several), and the checkpoint must not complete.
func (r *Registry) Register(id job.CheckpointID, u Uses) (lost string, ok bool) {
	ok = true
	for path, dir := range r.paths(u) {
		switch {
		case !r.isGone(path):
			r.use(id, path, dir)
		case ok || path < lost:
			lost, ok = path, false
		}
	}
	return lost, ok
}

// Restored notes what a checkpoint refers to that the job has found. home is its directory. One that is not owned belongs to somebody else,
// with all that it refers to.
func (r *Registry) Restored(id job.CheckpointID, home string, owned bool, u Uses) {
	if r.homes == nil {
		r.homes = map[string]bool{}
	}
	r.homes[home] = true
	for path, dir := range r.paths(u) {
		t := r.use(id, path, dir)
		t.foreign = t.foreign || !owned
	}
}

// paths returns what has to be kept for references, each with whether it is a directory.
func (r *Registry) paths(u Uses) map[string]bool {
	paths := map[string]bool{}
	for _, dir := range u.Directories {
		paths[dir] = true
	}
	for _, s := range u.Streams {
		if s.Path == "" || s.Scope == snapshot.Exclusive {
			continue
		}
		dir := parent(s.Path)
		t := r.things[dir]
		switch {
		case paths[dir] || t != nil && t.dir:
			paths[dir] = true
		case r.isGone(dir): // it was merged there, and is lost with it
			paths[dir] = true
		case s.Scope == snapshot.Shared:
			paths[s.Path] = false
		}
	}
	return paths
}

func (r *Registry) isGone(path string) bool {
	_, gone := r.gone[path]
	return gone
}

func (r *Registry) use(id job.CheckpointID, path string, dir bool) *thing {
	t := r.things[path]
	if t == nil {
		t = &thing{dir: dir, home: r.homeOf(path)}
		if r.things == nil {
			r.things = map[string]*thing{}
		}
		r.things[path] = t
	}
	if i, known := slices.BinarySearch(t.users, id); !known {
		t.users = slices.Insert(t.users, i, id)
	}
	if dir {
		r.useDirectory(id, path)
	}
	return t
}

func (r *Registry) useDirectory(id job.CheckpointID, path string) {
	if r.dirs == nil {
		r.dirs = map[job.CheckpointID][]string{}
	}
	if !slices.Contains(r.dirs[id], path) {
		r.dirs[id] = append(r.dirs[id], path)
	}
}

// homeOf returns the directory of the checkpoint that a file lies in, if it is one that the job was started with.
func (r *Registry) homeOf(path string) string {
	if dir := parent(path); r.homes[dir] {
		return dir
	}
	return ""
}

// Directories returns the directories of merged files that the acknowledgements of a checkpoint refer to, in order.
func (r *Registry) Directories(id job.CheckpointID) []string {
	return slices.Sorted(slices.Values(r.dirs[id]))
}

// IsEmpty reports whether nothing is known that checkpoints share.
func (r *Registry) IsEmpty() bool { return len(r.things) == 0 }

// Holds reports whether something in the directory of a checkpoint is needed by others, so that it must not be deleted.
func (r *Registry) Holds(home string) bool {
	for _, t := range r.things {
		if t.home == home && home != "" {
			return true
		}
	}
	return false
}

// Situation says which checkpoints there are.
type Situation struct {
	// Kept are the complete ones whose files must be there, those included that are being deleted.
	Kept []job.CheckpointID
	// Newest is the newest complete one. Those that are newer may yet complete, older ones no more.
	Newest job.CheckpointID
	// Highest is the highest id that was handed out.
	Highest job.CheckpointID
	// Over says that no task runs any more, so that no checkpoint will come to refer to what none of Kept does.
	Over bool
}

// Settle forgets what nobody needs any more, and returns what of it is to be deleted, in order.
func (r *Registry) Settle(s Situation) (d Dropped) {
	kept := slices.Sorted(slices.Values(s.Kept))
	for path, t := range r.things {
		if t.leave(kept, s); len(t.users) > 0 {
			continue
		}
		delete(r.things, path)
		if r.gone == nil {
			r.gone = map[string]job.CheckpointID{}
		}
		r.gone[path] = s.Highest
		switch {
		case t.foreign || t.home != "":
		case t.dir:
			d.Directories = append(d.Directories, path)
		default:
			d.Files = append(d.Files, path)
		}
	}
	r.forget(s.Newest)
	slices.Sort(d.Files)
	slices.Sort(d.Directories)
	return d
}

// forget forgets what only checkpoints could ask about that are decided by now: one that completes gives up all that are older.
func (r *Registry) forget(newest job.CheckpointID) {
	maps.DeleteFunc(r.gone, func(_ string, at job.CheckpointID) bool { return at < newest })
	maps.DeleteFunc(r.dirs, func(id job.CheckpointID, _ []string) bool { return id <= newest })
}

// leave forgets the checkpoints that have gone: all but those that are kept, and the newer ones, which may yet complete.
func (t *thing) leave(kept []job.CheckpointID, s Situation) {
	t.users = slices.DeleteFunc(t.users, func(id job.CheckpointID) bool {
		_, is := slices.BinarySearch(kept, id)
		return !is && (s.Over || id < s.Newest)
	})
}

// parent returns the directory that a path names a file in. Paths belong to file systems: nothing is cleaned.
func parent(path string) string {
	path = strings.TrimRight(path, "/")
	return path[:max(strings.LastIndexByte(path, '/'), 0)]
}
