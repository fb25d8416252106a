package sim

import (
	"fmt"
	"path"
	"strconv"
	"strings"

	"github.com/weirstream/weir/internal/cluster/local"
	"github.com/weirstream/weir/internal/element"
	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/protocol/coordinator"
	"github.com/weirstream/weir/internal/protocol/snapshot"
)

// watch sees what happens to the checkpoints of a job, over all its processes, and says when something does that must not.
type watch struct {
	broken error // the first thing that must not happen
	blind  bool  // it does not see files
	lastID job.CheckpointID
	// published holds the checkpoints that have metadata, by their directory, with the files that these name.
	published map[string]publishedCheckpoint
	completed map[job.CheckpointID]bool // ever, whether they are still there or not
	drained   map[string]bool           // savepoints that the job was to be drained with
	claimed   map[string]bool           // snapshots that the job owns though it has not taken them
	kept      string                    // a snapshot that is another job's, unless it is claimed

	// Of the present process.
	decided map[job.CheckpointID]string
	needed  map[job.CheckpointID]map[job.Attempt]bool // who has to acknowledge; false once it has
	// savepoints are those among needed.
	savepoints map[job.CheckpointID]bool
	alive      map[job.Attempt]bool   // tasks that the master does not know to have ended
	back       bool                   // the job has gone back,
	backTo     job.CheckpointID       // to this checkpoint, 0 for the beginning,
	source     string                 // in this directory
	opening    func() map[string]bool // what tasks which are being restored have read: see unitOf
}

type publishedCheckpoint struct {
	id    job.CheckpointID
	files map[string]bool
	stop  bool // a savepoint that the job stops with
}

func newWatch() *watch {
	return &watch{published: map[string]publishedCheckpoint{}, completed: map[job.CheckpointID]bool{}, drained: map[string]bool{}, claimed: map[string]bool{}}
}

func (w *watch) break_(format string, args ...any) {
	if w.broken == nil {
		w.broken = fmt.Errorf(format, args...)
	}
}

// process says that another process begins.
func (w *watch) process() {
	w.back, w.source, w.opening = false, "", func() map[string]bool { return nil }
	w.decided, w.needed, w.alive = map[job.CheckpointID]string{}, map[job.CheckpointID]map[job.Attempt]bool{}, map[job.Attempt]bool{}
	w.savepoints = map[job.CheckpointID]bool{}
}

// decide sees what the coordinator wants done.
func (w *watch) decide(a coordinator.Action) {
	switch a := a.(type) {
	case coordinator.InitLocation:
		if a.ID <= w.lastID {
			w.break_("checkpoint %d comes after %d: its id was used before", a.ID, w.lastID)
		}
		w.lastID = a.ID
	case coordinator.SendTrigger:
		if w.needed[a.ID] != nil {
			return // some tasks are told later: those before them have finished
		}
		if a.Snapshot.Kind.IsSavepoint() {
			w.savepoints[a.ID] = true
		}
		w.needed[a.ID] = map[job.Attempt]bool{}
		for at := range w.alive {
			w.needed[a.ID][at] = true
		}
	case coordinator.WriteMetadata:
		for at, missing := range w.needed[a.ID] {
			if missing {
				w.break_("checkpoint %d is published without the acknowledgement of %s", a.ID, at)
			}
		}
	case coordinator.Completed:
		w.decision(a.Stats.ID, "completed")
		w.completed[a.Stats.ID] = true
		if !w.blind && !w.isPublished(a.Stats.ID) {
			w.break_("checkpoint %d is complete and has no metadata", a.Stats.ID)
		}
	case coordinator.Failed:
		w.decision(a.Stats.ID, "failed")
	case coordinator.Restore:
		w.restore(a)
	}
}

// restore sees that tasks are going to be restored from a checkpoint.
func (w *watch) restore(a coordinator.Restore) {
	w.back, w.backTo, w.source = true, 0, ""
	if !a.Found {
		return
	}
	w.backTo, w.source = a.From.ID, path.Clean(a.From.Pointer)
	if w.decided[a.From.ID] == "failed" {
		w.break_("the job goes back to checkpoint %d, which was given up", a.From.ID)
	}
	if _, ok := w.published[w.source]; !ok && !w.blind && !a.From.Damaged {
		w.break_("the job goes back to %s, which has no metadata", w.source)
	}
}

// deployed sees that a task is made. When the job has gone back, a checkpoint of this process that came later must not be there any more: the
// sinks have swept what only that one knew, and a later start would find it.
func (w *watch) deployed(at job.Attempt) {
	w.alive[at] = true
	if !w.back {
		return
	}
	for dir, p := range w.published {
		if isCheckpoint(dir) && p.id > w.backTo && w.decided[p.id] == "failed" {
			w.break_("the job has gone back to checkpoint %d, and %d is still there, which nobody knows of", w.backTo, p.id)
		}
	}
}

func (w *watch) decision(id job.CheckpointID, what string) {
	if id == 0 {
		return // it never got one
	}
	if before := w.decided[id]; before != "" {
		w.break_("checkpoint %d has %s, after it had %s", id, what, before)
	}
	w.decided[id] = what
}

// arrived sees a message that reaches the master.
func (w *watch) arrived(m local.Message) {
	switch m.Kind {
	case local.AckMessage:
		if _, ok := w.needed[m.ID][m.Task]; ok {
			w.needed[m.ID][m.Task] = false
		}
	case local.EndedMessage:
		delete(w.alive, m.Task)
		for id := range w.savepoints {
			delete(w.needed[id], m.Task) // a savepoint goes on without a task that finishes; if it fails, there will be none
		}
	}
}

// put sees a file that was written whole.
func (w *watch) put(file string, data []byte) {
	dir, name := path.Split(file)
	if name != "_metadata" {
		return
	}
	m, err := snapshot.Decode(data)
	if err != nil {
		w.break_("%s is not what a reader expects: %w", file, err)
		return
	}
	p := publishedCheckpoint{m.Checkpoint, map[string]bool{}, m.Stop != element.GoOn}
	m.EachStream(func(s *snapshot.Stream) {
		if s.Path != "" {
			p.files[fileOf(dir, s)] = true
		}
	})
	w.published[path.Clean(dir)] = p
	if m.Stop == element.Drain {
		w.drained[path.Clean(dir)] = true
	}
}

// fileOf returns the file of a stream of the checkpoint in dir. A file that several may share is named in full.
func fileOf(dir string, s *snapshot.Stream) string {
	if path.IsAbs(s.Path) {
		return path.Clean(s.Path)
	}
	return path.Join(dir, s.Path)
}

// unitOf returns what a file is deleted with: the directory of its checkpoint, or nothing but itself if several may share it.
func unitOf(file string) string {
	dir := path.Dir(file)
	switch path.Base(dir) {
	case "shared", "changelog":
		return file
	}
	return dir
}

func (w *watch) isPublished(id job.CheckpointID) bool {
	for _, p := range w.published {
		if p.id == id {
			return true
		}
	}
	return false
}

// removing sees that a file is deleted.
func (w *watch) removing(file string) {
	file = path.Clean(file)
	if w.opening()[unitOf(file)] {
		w.break_("%s is deleted, and tasks are being restored from there", file)
	}
	if dir, name := path.Split(file); name == "_metadata" {
		w.unpublish(path.Clean(dir))
	}
	for dir, p := range w.published {
		if p.files[file] {
			w.break_("%s is deleted, and the metadata of checkpoint %d in %s name it", file, p.id, dir)
		}
	}
}

// removingAll sees that a directory is deleted with all that is in it, in no order that anybody knows.
func (w *watch) removingAll(dir string) {
	dir = path.Clean(dir)
	for at := range w.opening() {
		if at == dir || strings.HasPrefix(at, dir+"/") {
			w.break_("%s is deleted, and tasks are being restored from %s", dir, at)
		}
	}
	for at, p := range w.published {
		switch {
		case at != dir && !strings.HasPrefix(at, dir+"/"):
		case !w.completed[p.id]: // given up, and nobody knew whether it was published
			delete(w.published, at)
		default:
			w.break_("%s is deleted, which holds checkpoint %d", dir, p.id)
		}
	}
}

// unpublish sees that metadata are deleted. A checkpoint that the job has known as complete must have been replaced; one of which it has
// not known whether it exists may go.
func (w *watch) unpublish(dir string) {
	p, ok := w.published[dir]
	if !ok {
		return
	}
	delete(w.published, dir)
	switch {
	case dir == w.kept && !w.claimed[dir]:
		w.break_("%s is deleted, which is another job's", dir)
		return
	case !w.completed[p.id] && !w.claimed[dir]:
		return
	case !isCheckpoint(dir) && !w.claimed[dir]:
		w.break_("savepoint %d in %s is deleted, which is complete and the user's", p.id, dir)
		return
	case len(w.alive) == 0:
		return
	}
	for at, o := range w.published {
		if o.id > p.id && (isCheckpoint(at) || o.stop) {
			return
		}
	}
	w.break_("checkpoint %d is deleted, which is complete and has not been replaced", p.id)
}

// isCheckpoint tells checkpoints from savepoints.
func isCheckpoint(dir string) bool { return strings.HasPrefix(dir, Dir+"/") }

// opened sees that a file is about to be read.
func (w *watch) opened(file string) {
	dir, name := path.Split(path.Clean(file))
	if _, id, ok := strings.Cut(path.Base(dir), "chk-"); !ok || name == "_metadata" {
		return
	} else if _, err := strconv.Atoi(id); err != nil {
		return
	}
	if _, ok := w.published[path.Clean(dir)]; !ok {
		w.break_("%s is read, and there are no metadata beside it", file)
	}
}

// commits sees that a writer's output of a checkpoint becomes visible.
func (w *watch) commits(checkpoint job.CheckpointID, writer string, before job.CheckpointID) {
	if !w.isPublished(checkpoint) && !w.completed[checkpoint] {
		newest := job.CheckpointID(0)
		for _, p := range w.published {
			newest = max(newest, p.id)
		}
		if newest < checkpoint { // else it was taken over by a later checkpoint that is complete
			w.break_("%s: what was prepared for checkpoint %d is committed, and no checkpoint from there on is complete", writer, checkpoint)
		}
	}
	if checkpoint < before {
		w.break_("%s: checkpoint %d is committed after %d", writer, checkpoint, before)
	}
}
