package jobmaster

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weirstream/weir/internal/element"
	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/keygroup"
	"github.com/weirstream/weir/internal/protocol/coordinator"
	"github.com/weirstream/weir/internal/protocol/merging"
	"github.com/weirstream/weir/internal/protocol/reason"
	"github.com/weirstream/weir/internal/protocol/sharing"
	"github.com/weirstream/weir/internal/protocol/snapshot"
	"github.com/weirstream/weir/internal/storage"
	"github.com/weirstream/weir/internal/storage/fs"
	pstorage "github.com/weirstream/weir/storage"
)

// TestSharedFiles lets jobs whose tasks write increments take, abort and replace checkpoints, full ones and savepoints among them, restart in
// the process and after a kill, end in every way, and start from each other's checkpoints with CLAIM and NO_CLAIM, with answers and
// acknowledgements in any order. The files are real, in a file system in memory. After every single step each complete checkpoint, whoever owns it,
// has all the files that it refers to; and whenever all is quiet nothing else is left but what a kill has left behind.
func TestSharedFiles(t *testing.T) {
	const seeds = 200
	total := map[string]int{}
	for seed := range uint64(seeds) {
		w := newFilesWorld(t, seed)
		w.run()
		for what, n := range w.seen {
			total[what] += n
		}
		if t.Failed() {
			return
		}
	}
	t.Logf("%v", total)
	if total["refused"] > seeds/20 {
		t.Errorf("%d times a task was refused what it referred to: that is for those that have not heard of newer checkpoints", total["refused"])
	}
	for _, what := range []string{"completed", "aborted", "late ack", "referred again", "claimed", "not claimed", "killed", "restored", "deleted", "savepoint", "full"} {
		if total[what] < seeds/8 {
			t.Errorf("%q happened %d times: too rarely to show anything", what, total[what])
		}
	}
}

// filesWorld is a machine with a directory of checkpoints, in which one job runs at a time.
type filesWorld struct {
	t    *testing.T
	seed uint64
	rnd  *rand.Rand
	disk *fs.Memory
	now  time.Time
	seen map[string]int
	log  []string

	// litter are files that a killed process has left behind, and users those that belong to somebody else, by the snapshot they own.
	litter map[string]bool
	users  map[string]bool // paths of checkpoints that no job may delete

	claimed string // what the present job has claimed, as its line's record remembers

	jobs      byte
	processes int
	doubtful  map[job.CheckpointID]bool
	aborted   map[job.CheckpointID]bool
	id        job.ID
	storage   storage.Storage
	places    *places
	merger    *storage.Merger // nil: files are not merged
	releasing releasing
	c         *coordinator.Coordinator
	cfg       coordinator.Config
	tasks     []*writingTask
	number    int
	lastID    job.CheckpointID
	todo      []func()
	restore   bool
	ended     bool
}

// writingTask is a subtask with increments: chunks in files of their own, which checkpoints share.
type writingTask struct {
	attempt job.Attempt
	chunks  []string
	// complete is the newest checkpoint that it knows to be complete.
	complete job.CheckpointID
	// held says where a checkpoint that it has acknowledged has each chunk, if others may refer to it there.
	held map[job.CheckpointID]map[string]snapshot.Stream
}

// hold notes where a checkpoint has a chunk.
func (t *writingTask) hold(id job.CheckpointID, chunk string, s snapshot.Stream) {
	if s.Scope != snapshot.Shared {
		return
	}
	if t.held[id] == nil {
		t.held[id] = map[string]snapshot.Stream{}
	}
	t.held[id][chunk] = s
}

var filesVertex = job.VertexID{1}

func newFilesWorld(t *testing.T, seed uint64) *filesWorld {
	w := &filesWorld{t: t, seed: seed, rnd: rand.New(rand.NewPCG(seed, 7)), disk: fs.NewMemory(), now: time.UnixMilli(0),
		seen: map[string]int{}, litter: map[string]bool{}, users: map[string]bool{}}
	return w
}

func (w *filesWorld) fatalf(format string, args ...any) {
	w.t.Helper()
	for _, line := range w.log[max(0, len(w.log)-60):] {
		w.t.Log(line)
	}
	w.t.Fatalf("seed %d: %s", w.seed, fmt.Sprintf(format, args...))
}

func (w *filesWorld) note(format string, args ...any) {
	w.log = append(w.log, fmt.Sprintf(format, args...))
}

func (w *filesWorld) run() {
	w.begin(nil, "", false)
	for range 200 {
		w.step()
		w.check()
		if w.ended {
			w.quiet()
			w.next()
		}
	}
	w.end(coordinator.JobCanceled)
	w.quiet()
}

// end ends the job when no task runs any more.
func (w *filesWorld) end(status coordinator.EndStatus) {
	w.settle()
	if w.merger != nil {
		if err := w.merger.Close(); err != nil {
			w.fatalf("%v", err)
		}
	}
	w.c.End(status, w.now)
	w.settle()
}

// begin starts a job with a new id, or goes on from a snapshot: its own, or another's that it claims or not.
func (w *filesWorld) begin(from *snapshot.Metadata, path string, claim bool) {
	own := from != nil && from.Job == w.id && claim
	if !own {
		w.jobs++
		w.id = job.ID{w.jobs, 15: 1}
		w.claimed = ""
	}
	var err error
	if w.storage, err = storage.NewFiles(storage.FilesOptions{FS: w.disk, Dir: "/c", Job: w.id}); err != nil {
		w.fatalf("%v", err)
	}
	if err := w.storage.InitJob(context.Background()); err != nil {
		w.fatalf("%v", err)
	}
	w.merger = w.newMerger()
	w.cfg = coordinator.DefaultConfig()
	w.cfg.Interval, w.cfg.TolerableFailures, w.cfg.NumRetained = 0, 1<<30, 1+w.rnd.IntN(3)
	w.cfg.MaxConcurrent, w.cfg.Retention = 1+w.rnd.IntN(3), coordinator.Retention(w.rnd.IntN(3))
	op := coordinator.Operator{ID: job.OperatorID(filesVertex), MaxParallelism: 128}
	header := snapshot.Metadata{Job: w.id}
	w.c = coordinator.New(w.cfg, coordinator.Job{Header: header, Vertices: []coordinator.Vertex{{ID: filesVertex, Name: "v", Parallelism: 2, Operators: []coordinator.Operator{op}}}})
	w.releasing, w.aborted = nil, map[job.CheckpointID]bool{}
	w.todo, w.ended, w.places, w.doubtful = nil, false, &places{}, map[job.CheckpointID]bool{}
	w.restored(from, path, claim, own)
	w.deploy(from)
}

// newMerger returns one of some kind, or none. A process that was killed has left its files as they were.
func (w *filesWorld) newMerger() *storage.Merger {
	if w.rnd.IntN(3) == 0 {
		return nil
	}
	w.seen["merged"]++
	w.processes++
	m, err := storage.NewMerger(context.Background(), w.storage, storage.MergerOptions{
		Options: merging.Options{
			AcrossBoundary: w.rnd.IntN(2) == 0, MaxFileSize: int64(30 + w.rnd.IntN(200)), MaxSubtasks: 4, MaxAmplification: float64(w.rnd.IntN(4)),
		},
		Subtasks: 2, Process: fmt.Sprintf("%016x", w.processes), Report: func(err error) { w.fatalf("%v", err) },
	})
	if err != nil {
		w.fatalf("%v", err)
	}
	return m
}

// gone says that a checkpoint is no more.
func (w *filesWorld) gone(m *storage.Merger, id job.CheckpointID) {
	if m != nil {
		m.Release(id)
	}
}

// release releases what the master would.
func (w *filesWorld) release() {
	for _, id := range w.releasing.take(w.c.BuildsOn) {
		w.gone(w.merger, id)
	}
}

// restored tells the coordinator what there is, as a start does.
func (w *filesWorld) restored(from *snapshot.Metadata, path string, claim, own bool) {
	r := coordinator.Restoration{Uses: map[string]sharing.Uses{}}
	if from != nil {
		r.From = from.Checkpoint
		r.Uses[path] = sharing.UsesOf(from)
	}
	switch {
	case from == nil:
		w.lastID = 0
	case own:
		if m := w.all()[w.claimed]; m != nil {
			r.Retained = append(r.Retained, coordinator.Retained{ID: m.Checkpoint, Pointer: w.claimed, Claimed: true})
			r.Uses[w.claimed] = sharing.UsesOf(m)
		}
		for id, m := range w.published(w.id) {
			pointer := storage.CheckpointDir(storage.JobDir("/c", w.id), id)
			r.Retained = append(r.Retained, coordinator.Retained{ID: id, Pointer: pointer})
			r.Uses[pointer] = sharing.UsesOf(m)
		}
		slices.SortFunc(r.Retained, func(a, b coordinator.Retained) int { return int(a.ID - b.ID) })
	case claim:
		r.Retained = []coordinator.Retained{{ID: from.Checkpoint, Pointer: path, Claimed: true}}
		w.claimed = path
	default:
		r.Retained = []coordinator.Retained{{ID: from.Checkpoint, Pointer: path, Foreign: true}}
	}
	w.others(&r)
	w.lastID = max(w.lastID, r.From)
	r.LastID = w.lastID
	w.note("start of %s: %+v", w.id, r.Retained)
	w.c.Restored(r, w.now)
}

// others adds what lies in the same directory and is not taken over.
func (w *filesWorld) others(r *coordinator.Restoration) {
	for path, m := range w.all() {
		if _, own := r.Uses[path]; !own {
			r.Others = append(r.Others, sharing.UsesOf(m))
		}
	}
}

// published returns the complete checkpoints of a job.
func (w *filesWorld) published(id job.ID) map[job.CheckpointID]*snapshot.Metadata {
	all := map[job.CheckpointID]*snapshot.Metadata{}
	found, err := storage.List(context.Background(), w.disk, storage.JobDir("/c", id))
	if err != nil {
		w.fatalf("%v", err)
	}
	for _, f := range found {
		if f.Published {
			m, err := storage.Load(context.Background(), w.disk, f.Path)
			if err != nil {
				w.fatalf("%v", err)
			}
			all[f.ID] = m
		}
	}
	return all
}

// deploy starts the tasks with the state of a checkpoint.
func (w *filesWorld) deploy(from *snapshot.Metadata) {
	w.number++
	w.tasks = nil
	for i := range 2 {
		task := &writingTask{attempt: job.Attempt{Subtask: job.Subtask{Vertex: filesVertex, Index: i}, Number: w.number}, held: map[job.CheckpointID]map[string]snapshot.Stream{}}
		if from != nil {
			w.seen["restored"]++
			task.complete = from.Checkpoint
			for _, k := range from.Operators[0].Subtasks[i].Keyed {
				name := w.read(k.Stream)
				task.chunks = append(task.chunks, name)
				task.hold(from.Checkpoint, name, k.Stream)
			}
		}
		w.tasks = append(w.tasks, task)
		w.c.TaskRunning(task.attempt)
	}
	w.c.JobRunning(w.now, 0)
	w.perform()
}

func (w *filesWorld) read(s snapshot.Stream) string {
	data, err := storage.ReadStream(context.Background(), w.disk, s)
	if err != nil {
		w.fatalf("restore: %v", err)
	}
	return string(data)
}

func (w *filesWorld) step() {
	w.now = w.now.Add(time.Second)
	switch n := w.rnd.IntN(100); {
	case n < 25:
		kind := []coordinator.RequestKind{coordinator.Configured, coordinator.Configured, coordinator.Configured, coordinator.Full, coordinator.Savepoint}[w.rnd.IntN(5)]
		if _, err := w.c.Request(coordinator.Request{Kind: kind, Target: "/s"}, w.now); err != nil {
			w.fatalf("%v", err)
		}
	case n < 85 && len(w.todo) > 0:
		i := w.rnd.IntN(min(len(w.todo), 4))
		f := w.todo[i]
		w.todo = slices.Delete(w.todo, i, i+1)
		f()
	case n < 88:
		a := w.tasks[w.rnd.IntN(2)].attempt
		w.c.Decline(a, w.lastID, reason.CheckpointDeclined, "", w.now)
	case n < 91:
		w.failover()
	case n < 93:
		w.kill()
	case n < 95:
		status := coordinator.EndStatus(1 + w.rnd.IntN(4))
		w.note("end %v, %v", status, w.cfg.Retention)
		w.end(status)
	}
	w.perform()
}

// failover restarts all tasks in the process.
func (w *filesWorld) failover() {
	w.note("failover")
	w.restore = true
	w.c.RestoreLatest(w.now)
	for w.perform(); w.restore; w.perform() {
		f := w.todo[0]
		w.todo = w.todo[1:]
		f()
	}
}

// kill ends the process in the middle of what it does, and starts the job again from its newest checkpoint. What nobody refers to by then is
// litter.
func (w *filesWorld) kill() {
	w.note("kill")
	w.seen["killed"]++
	w.todo = nil
	reached := w.reached()
	for _, f := range w.files() {
		if !reached[f] {
			w.litter[f] = true
		}
	}
	own := w.published(w.id)
	if len(own) == 0 {
		w.begin(nil, "", false)
		return
	}
	newest := slices.Max(slices.Collect(maps.Keys(own)))
	w.begin(own[newest], storage.CheckpointDir(storage.JobDir("/c", w.id), newest), true)
}

// next starts another job after one has ended: from a checkpoint that it has left, if there is one.
func (w *filesWorld) next() {
	before := w.published(w.id)
	if len(before) == 0 {
		w.begin(nil, "", false)
		return
	}
	id := slices.Sorted(maps.Keys(before))[w.rnd.IntN(len(before))]
	path := storage.CheckpointDir(storage.JobDir("/c", w.id), id)
	claim := w.rnd.IntN(2) == 0
	for other := range before { // the user's, from now on
		if p := storage.CheckpointDir(storage.JobDir("/c", w.id), other); !claim || other != id {
			w.users[p] = true
		}
	}
	w.seen[map[bool]string{true: "claimed", false: "not claimed"}[claim]]++
	from := before[id]
	w.id = job.ID{}
	w.begin(from, path, claim)
}

func (w *filesWorld) perform() {
	for {
		w.release()
		actions := w.c.Actions()
		if len(actions) == 0 {
			return
		}
		for _, a := range actions {
			w.note("%T %+v", a, a)
			w.do(a)
		}
	}
}

// settle lets all that is under way come to its end.
func (w *filesWorld) settle() {
	for w.perform(); len(w.todo) > 0; w.perform() {
		f := w.todo[0]
		w.todo = w.todo[1:]
		f()
	}
}

func (w *filesWorld) later(f func()) { w.todo = append(w.todo, f) }

func (w *filesWorld) do(a coordinator.Action) {
	ctx, c, st := context.Background(), w.c, w.storage
	switch a := a.(type) {
	case coordinator.AllocateID:
		w.lastID = max(a.ID, w.lastID+1)
		id := w.lastID
		w.later(func() { c.IDAllocated(id, w.now) })
	case coordinator.InitLocation:
		w.later(func() { w.initLocation(a) })
	case coordinator.SendTrigger:
		for _, task := range w.tasks {
			w.later(func() { w.snapshot(c, st, task, a) })
		}
		w.later(func() { c.TriggersSent(a.ID, w.now) })
	case coordinator.WriteMetadata:
		w.later(func() { w.publish(a) })
	case coordinator.NotifyComplete:
		w.seen["completed"]++
		if w.merger != nil {
			w.merger.Complete(a.ID)
		}
		for _, task := range w.tasks {
			if w.rnd.IntN(8) > 0 { // else the message is lost
				w.later(func() { task.complete = max(task.complete, a.ID) })
			}
		}
	case coordinator.NotifyAborted:
		w.seen["aborted"]++
		w.aborted[a.ID] = true
		if !w.doubtful[a.ID] {
			w.gone(w.merger, a.ID)
		}
	case coordinator.Discard:
		w.later(func() { w.discard(a) })
	case coordinator.DiscardState:
		w.seen["late ack"]++
	case coordinator.DiscardShared:
		w.seen["deleted"] += len(a.Files)
		w.later(func() {
			if err := st.DiscardShared(ctx, a.Files, a.Directories); err != nil {
				w.fatalf("%v", err)
			}
		})
	case coordinator.Restore:
		w.answerRestore(a)
	case coordinator.Ended:
		w.ended = true
	}
}

func (w *filesWorld) initLocation(a coordinator.InitLocation) {
	if !a.Savepoint {
		if err := w.storage.InitCheckpoint(context.Background(), a.ID); err != nil {
			w.fatalf("%v", err)
		}
		w.c.LocationReady(a.ID, "", w.now)
		return
	}
	w.seen["savepoint"]++
	at, err := w.storage.InitSavepoint(context.Background(), a.ID, a.Target)
	if err != nil {
		w.fatalf("%v", err)
	}
	w.places.add(at, func() {})
	w.c.LocationReady(a.ID, at.Savepoint, w.now)
}

func (w *filesWorld) publish(a coordinator.WriteMetadata) {
	at := storage.Location{ID: a.ID, Savepoint: a.Location}
	if w.rnd.IntN(10) == 0 {
		w.c.MetadataFailed(a.ID, "no", false, w.now)
		return
	}
	if w.rnd.IntN(20) == 0 && !a.Savepoint { // it is there, and the driver does not know
		if _, _, err := w.storage.PublishMetadata(context.Background(), at, a.Metadata); err != nil {
			w.fatalf("%v", err)
		}
		w.doubtful[a.ID] = true
		w.c.MetadataFailed(a.ID, "lost", true, w.now)
		st, c := w.storage, w.c
		w.later(func() {
			if err := st.Discard(context.Background(), a.ID); err != nil {
				w.fatalf("%v", err)
			}
			w.gone(w.merger, a.ID)
			c.Gone(a.ID)
		})
		return
	}
	pointer, n, err := w.storage.PublishMetadata(context.Background(), at, a.Metadata)
	if err != nil {
		w.fatalf("%v", err)
	}
	w.c.MetadataWritten(a.ID, pointer, n, w.now)
}

func (w *filesWorld) discard(a coordinator.Discard) {
	ctx := context.Background()
	var err error
	switch {
	case a.Location != "":
		w.places.of(a.ID).giveUp()
		err = storage.RemoveSavepoint(ctx, w.disk, storage.Location{ID: a.ID, Savepoint: a.Location})
	case a.Pointer == "" && !a.Savepoint:
		err = w.storage.RemoveUnfinished(ctx, storage.Location{ID: a.ID})
	case a.Pointer != "":
		err = storage.Discard(ctx, w.disk, a.Pointer)
	}
	if err != nil {
		w.fatalf("%v", err)
	}
	w.releasing = append(w.releasing, a.ID)
	w.release()
	w.c.CleaningDone(a.ID, w.now)
}

func (w *filesWorld) answerRestore(a coordinator.Restore) {
	w.restore = false
	var from *snapshot.Metadata
	if a.Found {
		var err error
		if from, err = storage.Load(context.Background(), w.disk, a.From.Pointer); err != nil {
			w.fatalf("%v", err)
		}
	}
	w.deploy(from)
}

// snapshot lets a task write its part and acknowledge it, at some time. It refers again to what a checkpoint has brought that it knows to be
// complete, unless it must not.
func (w *filesWorld) snapshot(c *coordinator.Coordinator, st storage.Storage, task *writingTask, a coordinator.SendTrigger) {
	w.change(task)
	if p := w.places.of(a.ID); p != nil && p.gone {
		return
	}
	if a.Snapshot.Kind == element.FullCheckpoint {
		w.seen["full"]++
	}
	streams := w.places.streams(st, a.ID, slog.New(slog.NewTextHandler(io.Discard, nil)))
	if w.merger != nil && a.Location == "" {
		streams.part = w.merger.Part(a.ID, task.attempt.Subtask, 2)
	}
	again := a.Snapshot.Kind != element.FullCheckpoint && a.Location == ""
	state := &snapshot.OperatorSubtask{}
	groups := keygroup.Range{First: 0, Last: 0}
	chunks := slices.Clone(task.chunks)
	for _, name := range chunks {
		k := snapshot.Keyed{Range: groups, Written: groups, Offsets: []int64{0}}
		if known, ok := task.held[task.complete][name]; again && ok && w.mayUse(known) {
			k.Stream = known
			w.seen["referred again"]++
		} else {
			k.Stream = w.write(streams, name)
		}
		k.End = k.Stream.Length
		state.Keyed = append(state.Keyed, k)
	}
	if w.rnd.IntN(2) == 0 { // much may happen while it writes
		w.later(func() { w.seal(c, streams, task, a, state, chunks) })
		return
	}
	w.seal(c, streams, task, a, state, chunks)
}

// seal ends what a task writes for a checkpoint.
func (w *filesWorld) seal(c *coordinator.Coordinator, streams *streams, task *writingTask, a coordinator.SendTrigger, state *snapshot.OperatorSubtask, chunks []string) {
	if w.rnd.IntN(12) == 0 { // it fails before it has acknowledged
		streams.Abandon()
		w.later(func() { c.Decline(task.attempt, a.ID, reason.CheckpointDeclined, "", w.now) })
		return
	}
	ack := &snapshot.Task{Operators: []snapshot.Operator{{ID: job.OperatorID(filesVertex), State: state}}}
	if err := streams.Seal(context.Background(), ack); err != nil { // it had not heard of newer ones, and what it refers to is gone
		if !w.aborted[a.ID] && c == w.c {
			w.seen["refused"]++
			w.note("refused: %v", err)
		}
		streams.Abandon()
		w.later(func() { c.Decline(task.attempt, a.ID, reason.CheckpointAsyncException, err.Error(), w.now) })
		return
	}
	for i, k := range state.Keyed {
		task.hold(a.ID, chunks[i], k.Stream)
	}
	w.later(func() { c.Ack(task.attempt, a.ID, ack, coordinator.TaskMetrics{}, w.now) })
}

// mayUse asks as backends do before they refer to something again. Not all files of a process that was killed are left alone.
func (w *filesWorld) mayUse(s snapshot.Stream) bool {
	return w.merger == nil || w.merger.MayUse(s) || w.rnd.IntN(2) == 0 && s.Offset%2 == 0 && !w.own(s)
}

// own reports whether a stream lies in a file of the present process.
func (w *filesWorld) own(s snapshot.Stream) bool {
	return w.merger != nil && strings.Contains(s.Path, fmt.Sprintf("_%016x/", w.processes))
}

// change adds chunks and forgets some.
func (w *filesWorld) change(task *writingTask) {
	for range 1 + w.rnd.IntN(2) {
		task.chunks = append(task.chunks, fmt.Sprintf("chunk %d", w.rnd.Uint64()))
	}
	task.chunks = slices.DeleteFunc(task.chunks, func(string) bool { return w.rnd.IntN(5) == 0 })
}

func (w *filesWorld) write(streams *streams, text string) snapshot.Stream {
	s, err := streams.NewStream(context.Background(), snapshot.Shared)
	if err != nil {
		w.fatalf("%v", err)
	}
	if _, err := s.Write([]byte(text)); err != nil {
		w.fatalf("%v", err)
	}
	done, err := s.Finish()
	if err != nil {
		w.fatalf("%v", err)
	}
	return done
}

// all returns every complete checkpoint and savepoint on the disk by its path.
func (w *filesWorld) all() map[string]*snapshot.Metadata {
	all := map[string]*snapshot.Metadata{}
	for _, f := range w.files() {
		if dir, ok := strings.CutSuffix(f, "/"+storage.MetadataName); ok {
			m, err := storage.Load(context.Background(), w.disk, dir)
			if err != nil {
				w.fatalf("%v", err)
			}
			all[dir] = m
		}
	}
	return all
}

// files returns the full paths of all files.
func (w *filesWorld) files() []string {
	files := w.disk.Files()
	for i := range files {
		files[i] = "/" + files[i]
	}
	return files
}

// reached returns all files that complete checkpoints consist of.
func (w *filesWorld) reached() map[string]bool {
	reached := map[string]bool{}
	for dir, m := range w.all() {
		reached[dir+"/"+storage.MetadataName] = true
		m.EachStream(func(s *snapshot.Stream) { reached[s.Path] = true })
	}
	return reached
}

// check looks for files that were deleted too early.
func (w *filesWorld) check() {
	there := map[string]bool{}
	for _, f := range w.files() {
		there[f] = true
	}
	for dir, m := range w.all() {
		m.EachStream(func(s *snapshot.Stream) {
			if s.Path != "" && !there[s.Path] {
				w.fatalf("%s refers to %s, which is gone", dir, s.Path)
			}
		})
	}
	for path := range w.users {
		if !there[path+"/"+storage.MetadataName] {
			w.fatalf("%s, which belongs to a user, is gone", path)
		}
	}
}

// quiet checks, when a job has ended, that nothing is left behind.
func (w *filesWorld) quiet() {
	w.check()
	reached, named := w.reached(), map[string]bool{}
	for _, m := range w.all() {
		for _, dir := range m.Directories {
			named[dir] = true
		}
	}
	for _, f := range w.files() {
		left := named[storage.Parent(f)] && !w.own(snapshot.Stream{Path: f}) // of a process that is no more: it goes with the directory
		if !reached[f] && !w.litter[f] && !left {
			w.fatalf("nobody refers to %s, and it is still there", f)
		}
	}
	w.seen["quiet"]++
}

var _ pstorage.FS = (*fs.Memory)(nil)
