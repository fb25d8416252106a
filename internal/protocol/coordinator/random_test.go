package coordinator

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/protocol/reason"
	"github.com/weirstream/weir/internal/protocol/snapshot"
)

// TestRandomJobs lets a hostile world act on a coordinator: acks, declines and failures in any order, answers late and in any order,
// restarts and damage, savepoints, stops, backlogs, and up to three checkpoints at once. It checks the invariants of the package comment
// after every step, and at the end that everything was decided.
func TestRandomJobs(t *testing.T) {
	stopped, failed := 0, 0
	for seed := range uint64(1200) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			w := newWorld(t, seed)
			w.run()
			stopped += count(w.stopped)
			failed += count(w.over)
		})
	}
	if stopped < 50 || failed < 20 {
		t.Errorf("%d jobs stopped with a savepoint and %d failed for good after it: too few to show anything", stopped, failed)
	}
}

type world struct {
	t      *testing.T
	rnd    *rand.Rand
	cfg    Config
	c      *Coordinator
	now    time.Time
	timers map[Timer]time.Time
	todo   []func() // answers that are under way
	log    []string

	number     int                         // of the attempts that run
	finished   map[job.Subtask]bool        // for good
	highest    job.CheckpointID            // id handed out
	needed     map[job.CheckpointID]needs  // acks that must come before the metadata
	publishing job.CheckpointID            // its metadata is being written, 0: of none
	decided    map[job.CheckpointID]string // completed or failed
	newest     job.CheckpointID            // completed
	notified   job.CheckpointID            // the newest whose completion the tasks were told
	kinds      map[job.CheckpointID]RequestKind
	saved      job.CheckpointID          // the savepoint that the job stops with, once complete
	stopped    bool                      // all tasks have finished after that
	over       bool                      // a permanent FailJob
	own        map[job.CheckpointID]bool // completed, and not discarded
	damaged    map[job.CheckpointID]bool
	located    map[job.CheckpointID]bool // locations that exist
	asked      map[RequestID]bool        // requests made here
	answered   map[RequestID]bool        // requests that ended
	restore    bool                      // an answer to RestoreLatest is due
	ended      bool
}

// needs is what has to acknowledge a checkpoint.
type needs map[job.Attempt]bool

func newWorld(t *testing.T, seed uint64) *world {
	w := &world{
		t: t, rnd: rand.New(rand.NewPCG(seed, 1)), now: epoch, timers: map[Timer]time.Time{},
		finished: map[job.Subtask]bool{}, needed: map[job.CheckpointID]needs{}, decided: map[job.CheckpointID]string{},
		answered: map[RequestID]bool{}, asked: map[RequestID]bool{}, located: map[job.CheckpointID]bool{},
		own: map[job.CheckpointID]bool{}, damaged: map[job.CheckpointID]bool{}, kinds: map[job.CheckpointID]RequestKind{},
	}
	w.cfg = Config{
		Interval: 100 * time.Millisecond, Timeout: time.Second, MinPause: time.Duration(w.rnd.IntN(3)) * 50 * time.Millisecond,
		MaxConcurrent: 1, TolerableFailures: w.rnd.IntN(4), NumRetained: 1 + w.rnd.IntN(3), Retention: Retention(w.rnd.IntN(3)),
	}
	if w.cfg.MinPause == 0 {
		w.cfg.MaxConcurrent += w.rnd.IntN(3)
	}
	switch w.rnd.IntN(4) {
	case 0:
		w.cfg.BacklogInterval = new(time.Duration(0))
	case 1:
		w.cfg.BacklogInterval = new(300 * time.Millisecond)
	case 2:
		w.cfg.Interval, w.cfg.FinalCheckpoint = 0, w.rnd.IntN(2) == 0
	}
	source := Vertex{ID: job.VertexID{1}, Name: "source", Parallelism: 2, Operators: []Operator{{ID: job.OperatorID{1}, HasCoordinator: true}}}
	sink := Vertex{ID: job.VertexID{2}, Name: "sink", Parallelism: 2, Inputs: []Input{{AllToAll: true}}, Operators: []Operator{{ID: job.OperatorID{2}}}}
	w.c = New(w.cfg, Job{Vertices: []Vertex{source, sink}})
	return w
}

func (w *world) fatalf(format string, args ...any) {
	w.t.Helper()
	tail := w.log[max(0, len(w.log)-40):]
	for _, line := range tail {
		w.t.Log(line)
	}
	w.t.Fatalf(format, args...)
}

func (w *world) note(format string, args ...any) { w.log = append(w.log, fmt.Sprintf(format, args...)) }

func (w *world) run() {
	w.start()
	for range 600 {
		if w.over || w.stopped {
			break
		}
		w.step()
		w.drain()
	}
	w.finish()
}

func (w *world) start() {
	w.number++
	for _, s := range w.subtasks() {
		w.c.TaskDeployed(job.Attempt{Subtask: s, Number: w.number})
		if !w.finished[s] {
			w.c.TaskRunning(job.Attempt{Subtask: s, Number: w.number})
		} else {
			w.c.TaskFinished(job.Attempt{Subtask: s, Number: w.number}, w.now)
		}
	}
	w.note("start attempt %d", w.number)
	w.c.JobRunning(w.now, w.rnd.Float64())
	w.drain()
}

func (w *world) subtasks() (all []job.Subtask) {
	for v := range 2 {
		for i := range 2 {
			all = append(all, job.Subtask{Vertex: w.c.job.Vertices[v].ID, Index: i})
		}
	}
	return all
}

// step lets one thing happen.
func (w *world) step() {
	w.now = w.now.Add(time.Duration(w.rnd.IntN(20)) * time.Millisecond)
	a := job.Attempt{Subtask: w.subtasks()[w.rnd.IntN(4)], Number: w.number - w.rnd.IntN(6)/5}
	id := max(0, w.highest-job.CheckpointID(w.rnd.IntN(8)/(7-w.cfg.MaxConcurrent)))
	if w.saved != 0 && w.rnd.IntN(4) == 0 {
		w.endTask(job.Attempt{Subtask: a.Subtask, Number: w.number})
		return
	}
	switch n := w.rnd.IntN(200); {
	case n < 80:
		w.ack(a, id)
	case n < 120 && len(w.todo) > 0:
		i := w.rnd.IntN(len(w.todo))
		f := w.todo[i]
		w.todo = slices.Delete(w.todo, i, i+1)
		f()
	case n < 170:
		w.fireTimers()
	case n < 175:
		why := []reason.Reason{reason.CheckpointDeclined, reason.CheckpointDeclinedTaskNotReady}[w.rnd.IntN(2)]
		w.note("decline %d by %v", id, a)
		w.c.Decline(a, id, why, "", w.now)
	case n < 177:
		w.note("failed %v", a)
		w.c.TaskFailed(a, w.now)
		w.restart()
	case n < 178:
		if a.Number == w.number {
			w.finishTask(a)
		}
	case n < 180:
		w.note("end of data %v", a)
		w.c.EndOfData(a, w.now)
	case n < 188:
		w.request([]RequestKind{Configured, Configured, Full, Incremental, Savepoint, Savepoint, Savepoint, StopWithSavepoint}[n-180])
	case n < 190:
		w.c.Backlog(job.OperatorID{1}, n == 188, w.now)
	case n < 191 && w.newest > 0:
		w.note("damaged %d", w.newest)
		w.damaged[w.newest] = true
		w.c.Damaged(w.newest)
	}
}

// request asks for a checkpoint; stops are rare, since they end the world.
func (w *world) request(kind RequestKind) {
	if kind == StopWithSavepoint && w.rnd.IntN(4) > 0 {
		return
	}
	r, err := w.c.Request(Request{Kind: kind}, w.now)
	if err != nil {
		w.fatalf("request: %v", err)
	}
	w.note("request %d: %v", r, kind)
	w.asked[r] = true
}

// endTask lets a task end after the savepoint that the job stops with: well, as a rule.
func (w *world) endTask(a job.Attempt) {
	switch {
	case w.finished[a.Subtask]:
	case w.rnd.IntN(20) == 0:
		w.note("failed %v", a)
		w.c.TaskFailed(a, w.now)
		w.restart()
	default:
		w.finishTask(a)
	}
}

// finishTask lets a task finish. Savepoints go on without it.
func (w *world) finishTask(a job.Attempt) {
	w.note("finished %v", a)
	w.finished[a.Subtask] = true
	for id, n := range w.needed {
		if w.kinds[id].isSavepoint() {
			delete(n, a)
		}
	}
	w.c.TaskFinished(a, w.now)
}

func (w *world) ack(a job.Attempt, id job.CheckpointID) {
	if w.finished[a.Subtask] {
		return
	}
	w.note("ack %d by %v", id, a)
	if n, ok := w.needed[id]; ok {
		delete(n, a)
	}
	w.c.Ack(a, id, &snapshot.Task{}, TaskMetrics{}, w.now)
}

// restart stops the job, asks for the checkpoint to restore, lets the answers that are under way arrive, and starts it anew.
func (w *world) restart() {
	w.c.JobNotRunning(w.now)
	w.restore = true
	w.c.RestoreLatest(w.now)
	w.settle()
	switch {
	case w.over && w.saved == 0:
		w.fatalf("failed for good without a savepoint")
	case w.over:
		return
	case w.restore:
		w.fatalf("no answer to restore")
	}
	w.start()
}

// settle performs all answers that are under way.
func (w *world) settle() {
	w.drain()
	for len(w.todo) > 0 {
		f := w.todo[0]
		w.todo = w.todo[1:]
		f()
		w.drain()
	}
}

func (w *world) fireTimers() {
	for timer, due := range w.timers {
		if !due.After(w.now) {
			delete(w.timers, timer)
			w.note("fired %+v", timer)
			w.c.TimerFired(timer, w.now)
			return
		}
	}
}

func (w *world) drain() {
	for {
		actions := w.c.Actions()
		if len(actions) == 0 {
			break
		}
		for _, a := range actions {
			w.note("%T %+v", a, a)
			w.perform(a)
		}
	}
	good := 0
	for id := range w.own {
		if !w.damaged[id] {
			good++
		}
	}
	if good > w.cfg.NumRetained {
		w.fatalf("%d good checkpoints are kept, want at most %d", good, w.cfg.NumRetained)
	}
}

// later queues an answer: most often success.
func (w *world) later(succeed, fail func()) {
	if fail != nil && w.rnd.IntN(20) == 0 {
		succeed = fail
	}
	w.todo = append(w.todo, succeed)
}

func (w *world) perform(action Action) {
	fail := func(id job.CheckpointID) func() {
		return func() { w.c.TriggerFailed(id, reason.IOException, "", w.now) }
	}
	switch a := action.(type) {
	case AllocateID:
		id := a.ID + job.CheckpointID(w.rnd.IntN(2))
		if a.ID <= w.highest {
			w.fatalf("id %d asked for after %d", a.ID, w.highest)
		}
		w.later(func() { w.highest = id; w.c.IDAllocated(id, w.now) }, fail(0))
	case InitLocation:
		w.kinds[a.ID] = w.c.find(a.ID).request.Kind
		if w.saved != 0 {
			w.fatalf("checkpoint %d begins after the job has been stopped", a.ID)
		}
		for _, task := range w.c.find(a.ID).plan.tasks {
			if task.Number != w.number || w.finished[task.Subtask] {
				w.fatalf("checkpoint %d waits for %v, which is gone", a.ID, task)
			}
		}
		w.later(func() { w.located[a.ID] = true; w.c.LocationReady(a.ID, locationOf(a), w.now) },
			func() { w.located[a.ID] = !a.Savepoint; fail(a.ID)() })
	case SnapshotCoordinators:
		w.later(func() { w.c.CoordinatorsSnapshotted(a.ID, map[job.OperatorID][]byte{}, w.now) }, fail(a.ID))
	case SendTrigger:
		if w.needed[a.ID] != nil { // some are told later than others, since tasks before them have finished
			w.checkTold(a)
			return
		}
		n := needs{}
		for _, s := range w.subtasks() {
			if !w.finished[s] {
				n[job.Attempt{Subtask: s, Number: w.number}] = true
			}
		}
		w.needed[a.ID] = n
		w.later(func() { w.c.TriggersSent(a.ID, w.now) }, fail(a.ID))
	case WriteMetadata:
		if n, ok := w.needed[a.ID]; !ok || len(n) > 0 {
			w.fatalf("metadata of %d is written without acks of %v", a.ID, n)
		}
		if w.publishing != 0 {
			w.fatalf("metadata of %d is written while that of %d is", a.ID, w.publishing)
		}
		w.publishing = a.ID
		w.later(func() { w.publishing = 0; w.c.MetadataWritten(a.ID, "", 0, w.now) },
			func() { w.metadataFailed(a.ID, w.rnd.IntN(2) == 0) })
	case Completed:
		w.decide(a.Stats.ID, "completed", a.Request)
		w.completed(a.Stats)
	case Failed:
		w.decide(a.Stats.ID, "failed", a.Request)
	case Refused:
		w.answer(a.Request)
	case NotifyComplete:
		if w.decided[a.ID] != "completed" {
			w.fatalf("notify complete %d, which %s", a.ID, w.decided[a.ID])
		}
		if w.kinds[a.ID] == Savepoint || a.ID <= w.notified {
			w.fatalf("notify complete %d, a %v, after %d", a.ID, w.kinds[a.ID], w.notified)
		}
		w.notified = a.ID
	case NotifyAborted:
		if w.decided[a.ID] != "failed" {
			w.fatalf("notify aborted %d, which %s", a.ID, w.decided[a.ID])
		}
	case Discard:
		w.discard(a)
	case ArmTimer:
		w.timers[a.Timer] = w.now.Add(a.After)
	case DisarmTimer:
		delete(w.timers, a.Timer)
	case Restore:
		w.restored(a)
	case Stopped:
		if a.ID != w.saved || len(w.finished) < 4 || w.stopped || w.over {
			w.fatalf("stopped with %d, while %d of 4 tasks have finished after %d", a.ID, len(w.finished), w.saved)
		}
		w.stopped = true
	case FailJob:
		if a.Permanent {
			w.over, w.restore = true, false
			return
		}
		w.todo = append(w.todo, func() {
			if !w.restore && !w.over && w.c.end == nil { // else it is restarted already, or has ended
				w.restart()
			}
		})
	case Ended:
		w.ended = true
	}
}

// checkTold checks whom a savepoint is told to in addition: those whom no barrier reaches, because all before them have finished.
func (w *world) checkTold(a SendTrigger) {
	for _, at := range a.Tasks {
		if at.Subtask.Vertex != w.c.job.Vertices[1].ID || !w.finished[w.subtasks()[0]] || !w.finished[w.subtasks()[1]] {
			w.fatalf("%v is told of %d, and a task before it runs", at, a.ID)
		}
	}
}

func (w *world) completed(s CheckpointStats) {
	switch {
	case w.saved != 0:
		w.fatalf("%d completed after the job has been stopped with %d", s.ID, w.saved)
	case s.Kind == StopWithSavepoint:
		w.saved = s.ID
	case s.Kind == Savepoint:
	case s.ID <= w.newest:
		w.fatalf("%d completed after %d", s.ID, w.newest)
	default:
		w.newest, w.own[s.ID] = s.ID, true
	}
}

func locationOf(a InitLocation) string {
	if !a.Savepoint {
		return ""
	}
	return fmt.Sprintf("savepoint-%d", a.ID)
}

func (w *world) metadataFailed(id job.CheckpointID, unknown bool) {
	w.publishing = 0
	if unknown {
		delete(w.located, id) // it may exist, and must not be touched
	}
	w.c.MetadataFailed(id, "", unknown, w.now)
}

func (w *world) decide(id job.CheckpointID, how string, r RequestID) {
	if before := w.decided[id]; before != "" {
		w.fatalf("checkpoint %d %s after it %s", id, how, before)
	}
	if id == w.publishing {
		w.fatalf("checkpoint %d %s while its metadata is being written", id, how)
	}
	w.decided[id] = how
	w.answer(r)
}

func (w *world) answer(r RequestID) {
	if w.answered[r] {
		w.fatalf("request %d is answered twice", r)
	}
	w.answered[r] = true
}

func (w *world) discard(a Discard) {
	switch {
	case w.damaged[a.ID]:
		w.fatalf("damaged checkpoint %d is discarded", a.ID)
	case a.ID == w.newest && w.own[a.ID] && w.c.end == nil:
		w.fatalf("the newest checkpoint %d is discarded", a.ID)
	case a.Savepoint && (w.decided[a.ID] == "completed" || a.Location != fmt.Sprintf("savepoint-%d", a.ID)):
		w.fatalf("savepoint %d, which %s, is discarded at %q", a.ID, w.decided[a.ID], a.Location)
	case a.Savepoint != w.kinds[a.ID].isSavepoint():
		w.fatalf("a %v is discarded as %+v", w.kinds[a.ID], a)
	case !w.located[a.ID]:
		w.fatalf("checkpoint %d is discarded twice, or was never there", a.ID)
	}
	delete(w.own, a.ID)
	delete(w.located, a.ID)
	w.later(func() { w.c.CleaningDone(a.ID, w.now) }, nil)
}

// restored checks that the newest checkpoint that is not damaged is restored.
func (w *world) restored(a Restore) {
	var want job.CheckpointID
	for id := range w.own {
		if !w.damaged[id] {
			want = max(want, id)
		}
	}
	if a.From.ID != want || a.Found != (want != 0) {
		w.fatalf("restore %+v, want %d", a, want)
	}
	if w.saved != 0 {
		w.fatalf("restore %d after the job has been stopped with %d", a.From.ID, w.saved)
	}
	if w.publishing != 0 {
		w.fatalf("restore before it is known whether %d is complete", w.publishing)
	}
	w.restore = false
}

// finish ends the job and checks that nothing is left open or behind.
func (w *world) finish() {
	status := EndStatus(1 + w.rnd.IntN(4))
	w.c.End(status, w.now)
	w.settle()
	if !w.ended {
		w.fatalf("no Ended")
	}
	for r := range w.asked {
		if !w.answered[r] {
			w.fatalf("request %d has no answer", r)
		}
	}
	if len(w.c.pending) > 0 || w.c.triggering != nil || len(w.timers) > 0 || w.c.cleaning != 0 {
		w.fatalf("left open: %v, %v, timers %v, %d to clean", w.c.pending, w.c.triggering, w.timers, w.c.cleaning)
	}
	if !w.over && w.saved != 0 && len(w.finished) == 4 && !w.stopped {
		w.fatalf("all have finished after %d, and the job has not stopped", w.saved)
	}
	for id, there := range w.located {
		if there && !w.own[id] && !(w.kinds[id].isSavepoint() && w.decided[id] == "completed") {
			w.fatalf("the location of %d, which %s, is left behind", id, w.decided[id])
		}
	}
	for id := range w.own {
		if !w.damaged[id] && !w.cfg.Retention.Keeps(status) {
			w.fatalf("%v, %v: %d is still there", status, w.cfg.Retention, id)
		}
	}
}
