package coordinator

import (
	"fmt"
	"time"

	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/protocol/reason"
	"github.com/weirstream/weir/internal/protocol/sharing"
)

// Coordinator decides about the checkpoints of one job. It is used by one goroutine. Make one with New.
type Coordinator struct {
	cfg       Config
	job       Job
	requests  RequestID // the last one given
	vertices  map[job.VertexID]int
	tasks     [][]task  // by vertex and subtask
	atEnd     []int     // by vertex: how many subtasks are at the end of their data
	running   bool      // the job runs: between JobRunning and JobNotRunning
	random    float64   // as given to JobRunning
	stopping  *stopping // the stop with savepoint, nil if none was asked for
	cancelled bool      // a savepoint to cancel with is complete: End comes next
	restore   bool      // RestoreLatest waits for the checkpoint that is being published
	end       *EndStatus
	ended     bool

	lastID     job.CheckpointID // the highest id ever handed out
	queue      queue
	triggering *trigger // the one trigger under way, nil if none
	pending    []*pending
	cleaning   int // checkpoints being deleted
	forceFull  bool
	inUse      bool // there is a checkpoint that the job may go back to, or tasks may believe so
	store      store
	failures   failures
	expired    []job.CheckpointID          // the last ids that ran into their timeout, at most maxExpired
	written    []job.CheckpointID          // the last ids whose metadata was to be written, at most maxWritten
	locations  map[job.CheckpointID]string // of all savepoints
	stats      statistics
	shared     shared
	last       *Ended // the last word, while it waits for deletions

	lastCompletion time.Time // zero before the first
	periodic       schedule
	backlog        map[job.OperatorID]bool // the sources that work off a backlog

	actions, drained []Action
}

// task is what is known of one subtask.
type task struct {
	attempt   job.Attempt
	status    taskStatus
	endOfData bool
}

type taskStatus uint8

const (
	notRunning taskStatus = iota
	taskRunning
	taskFinished
)

// New returns the coordinator of a job that does not run yet. For a job that goes on, call Restored next. It panics if the config is
// not valid or a vertex reads from one that does not come before it.
func New(cfg Config, j Job) *Coordinator {
	if err := cfg.Validate(); err != nil {
		panic(fmt.Sprintf("coordinator: %v", err))
	}
	c := &Coordinator{cfg: cfg, backlog: map[job.OperatorID]bool{}, locations: map[job.CheckpointID]string{}}
	c.setJob(j)
	c.store.capacity = cfg.NumRetained
	c.failures.tolerable = cfg.TolerableFailures
	c.stats.capacity = cfg.History
	return c
}

func (c *Coordinator) setJob(j Job) {
	c.job, c.vertices, c.tasks = j, map[job.VertexID]int{}, nil
	for i, v := range j.Vertices {
		for _, in := range v.Inputs {
			if in.From < 0 || in.From >= i {
				panic(fmt.Sprintf("coordinator: vertex %d (%s) reads from %d: not in topological order", i, v.Name, in.From))
			}
		}
		c.vertices[v.ID] = i
		tasks := make([]task, v.Parallelism)
		for s := range tasks {
			tasks[s].attempt.Subtask = job.Subtask{Vertex: v.ID, Index: s}
		}
		c.tasks = append(c.tasks, tasks)
	}
	c.atEnd = make([]int, len(c.tasks))
}

// Rescaled replaces the job by the same with tasks of another parallelism. Call it between Restore and the first TaskDeployed: no task
// runs, and nothing is pending.
func (c *Coordinator) Rescaled(j Job) { c.setJob(j) }

// Actions returns what is to be done since the last call, in order. The slice is valid until the next call of Actions; the driver may
// call the other methods while it goes through it.
func (c *Coordinator) Actions() []Action {
	out := c.actions
	clear(c.drained)
	c.actions, c.drained = c.drained[:0], out
	return out
}

func (c *Coordinator) emit(a Action) { c.actions = append(c.actions, a) }

// Restoration is what a job finds of its past when it starts.
type Restoration struct {
	// Retained are the checkpoints that were kept, oldest first.
	Retained []Retained
	// From is the one the job starts from, 0 if it starts empty. It is in Retained.
	From job.CheckpointID
	// LastID is the highest checkpoint id that was ever handed out within the job id.
	LastID job.CheckpointID
	// Obsolete are checkpoints that nobody may restore any more. They are discarded.
	Obsolete []Retained
	// Uses holds what the checkpoints refer to beside their own files, by their pointers.
	Uses map[string]sharing.Uses
	// Others holds what other snapshots refer to in the place of the one that the job starts from, and Unsure that not all could be read: then
	// nothing that was found is deleted but the checkpoints themselves.
	Others []sharing.Uses
	Unsure bool
}

// Restored tells, once and before JobRunning, what the job found when it started. If the checkpoint it starts from belongs to someone
// else, checkpoints are full until one has completed.
func (c *Coordinator) Restored(r Restoration, now time.Time) {
	c.lastID, c.inUse = max(c.lastID, r.LastID), r.From != 0
	c.restoreShared(r)
	for _, kept := range r.Retained {
		c.lastID = max(c.lastID, kept.ID)
		c.store.list = append(c.store.list, kept)
		if kept.ID == r.From {
			c.forceFull = kept.Foreign
			c.stats.restored(kept, now)
		}
	}
	c.drop(r.Obsolete)
}

// TaskDeployed reports that a new attempt of a subtask exists. What the earlier one had reported is void; that it failed, or that the
// job is not running, has been reported before.
func (c *Coordinator) TaskDeployed(a job.Attempt) {
	if t := c.taskOf(a.Subtask); t != nil && a.Number > t.attempt.Number {
		c.change(t, task{attempt: a})
	}
}

// TaskRunning reports that an attempt runs and can take part in checkpoints. It implies TaskDeployed.
func (c *Coordinator) TaskRunning(a job.Attempt) {
	c.TaskDeployed(a)
	if t := c.current(a); t != nil && t.status != taskFinished {
		t.status = taskRunning
	}
}

// TaskFailed reports that an attempt failed or was cancelled. A pending checkpoint that it has not acknowledged is given up.
func (c *Coordinator) TaskFailed(a job.Attempt, now time.Time) {
	c.taskGone(a, notRunning, reason.TaskFailure, "failed", now)
}

// TaskFinished reports that an attempt ended well, for good. A pending checkpoint that it has not acknowledged can never complete
// and is given up at once, uncounted, instead of running into its timeout; a savepoint goes on without the attempt, unless that was the
// last. The attempt's own acks have been reported before.
func (c *Coordinator) TaskFinished(a job.Attempt, now time.Time) {
	c.taskGone(a, taskFinished, reason.CheckpointDeclinedTaskClosing, "finished", now)
}

func (c *Coordinator) taskGone(a job.Attempt, status taskStatus, why reason.Reason, verb string, now time.Time) {
	t := c.current(a)
	if t == nil {
		return
	}
	to := *t
	to.status = status
	c.change(t, to)
	for _, p := range c.pendingNow() {
		switch {
		case !p.awaits(a) || p.done || p.stage == publishing:
		case status == taskFinished && c.without(p, a, now):
		default:
			c.abort(p, failure{why: why, cause: fmt.Sprintf("task %s %s before it acknowledged", c.nameOf(a), verb), attempt: a}, now)
		}
	}
	c.taskGoneWhileStopping(a, status)
	c.choose(now)
}

// change replaces what is known of a subtask, and keeps count of those that are at the end of their data.
func (c *Coordinator) change(t *task, to task) {
	v := c.vertices[t.attempt.Subtask.Vertex]
	c.atEnd[v] += count(to.ended()) - count(t.ended())
	*t = to
}

func count(b bool) int {
	if b {
		return 1
	}
	return 0
}

// ended reports whether a subtask is at the end of its data.
func (t *task) ended() bool { return t.endOfData || t.status == taskFinished }

// JobRunning reports that the job runs and all its tasks that have not finished do. It starts the periodic checkpoints: the first comes
// after a delay between the minimum pause and the interval, for which random is a random number from 0 to 1.
func (c *Coordinator) JobRunning(now time.Time, random float64) {
	if c.end != nil {
		return
	}
	c.suspend(reason.CheckpointCoordinatorSuspend, now)
	c.running, c.random = true, random
	c.schedule(now)
}

// JobNotRunning reports that the job left its running state, to restart or to end. Requests and pending checkpoints are given up; one
// whose metadata is being written is not, since it may already be complete.
func (c *Coordinator) JobNotRunning(now time.Time) {
	c.running = false
	c.suspend(reason.CheckpointCoordinatorSuspend, now)
}

// Failover reports that some tasks failed or are about to be stopped, to be started again. It is like JobNotRunning, but for the sources:
// they may go on.
func (c *Coordinator) Failover(now time.Time) {
	c.running = false
	c.suspend(reason.JobFailoverRegion, now)
}

// RestoreLatest asks which checkpoint to restart the tasks from. The answer is the action Restore. It is held back while the
// metadata of a checkpoint is being written: whether that one counts must be known before anyone restores another. If the job has
// been stopped with a savepoint, the answer is a permanent FailJob. After End there is none.
func (c *Coordinator) RestoreLatest(now time.Time) {
	if c.end != nil {
		return
	}
	c.running = false
	c.suspend(reason.JobFailoverRegion, now)
	c.restore = true
	c.settle(now)
}

// Damaged marks a checkpoint that failed its verification: it is not counted as retained, never restored and never deleted.
func (c *Coordinator) Damaged(id job.CheckpointID) { c.store.markDamaged(id) }

// End reports how the job ended, after its tasks have stopped. What was pending is given up, Discard is emitted for what the
// retention says, and Ended at last. Everything later is ignored, except state that arrives late: it is discarded.
func (c *Coordinator) End(status EndStatus, now time.Time) {
	if c.end != nil {
		return
	}
	c.end, c.restore, c.running = &status, false, false
	c.suspend(reason.CheckpointCoordinatorShutdown, now)
	c.settle(now)
}

// suspend ends the periodic checkpoints and gives up all that has not come to be published.
func (c *Coordinator) suspend(why reason.Reason, now time.Time) {
	c.disarmPeriodic()
	for _, r := range c.queue.takeAll() {
		c.refuse(r, failure{why: why}, now)
	}
	if t := c.triggering; t != nil && t.stopped == reason.None {
		t.stopped = why
	}
	for _, p := range c.pendingNow() {
		if p.stage != publishing {
			c.abort(p, failure{why: why}, now)
		}
	}
}

// settle does what waited for the checkpoint that is being published; the end waits also for a trigger under way, which may leave a
// location behind.
func (c *Coordinator) settle(now time.Time) {
	if c.publishing() {
		return
	}
	if c.restore {
		c.restore = false
		c.answerRestore(now)
	}
	if c.end != nil && !c.ended && c.triggering == nil {
		c.ended = true
		c.finishStore(*c.end)
	}
}

func (c *Coordinator) answerRestore(now time.Time) {
	if c.stopSaved() {
		c.failStopped("the job cannot be restarted")
		return
	}
	if latest, ok := c.store.latest(); ok {
		c.stats.restored(latest, now)
		c.emit(Restore{Found: true, From: latest})
		return
	}
	c.emit(Restore{Damaged: c.store.damaged()})
}

// TimerFired reports that the time of an armed timer has come.
func (c *Coordinator) TimerFired(t Timer, now time.Time) {
	switch t.Kind {
	case PeriodicTimer:
		c.periodicFired(t, now)
	case ExpiryTimer:
		c.expire(job.CheckpointID(t.N), now)
	}
}

// taskOf returns the subtask, nil if the job has none such.
func (c *Coordinator) taskOf(s job.Subtask) *task {
	v, ok := c.vertices[s.Vertex]
	if !ok || s.Index < 0 || s.Index >= len(c.tasks[v]) {
		return nil
	}
	return &c.tasks[v][s.Index]
}

// current returns the subtask of an attempt, nil if the attempt is not its current one.
func (c *Coordinator) current(a job.Attempt) *task {
	if t := c.taskOf(a.Subtask); t != nil && t.attempt == a {
		return t
	}
	return nil
}

// nameOf names a task of the job as people know it, as in "routes (2/4)".
func (c *Coordinator) nameOf(a job.Attempt) string {
	vertex := c.job.Vertices[c.vertices[a.Subtask.Vertex]]
	return fmt.Sprintf("%s (%d/%d)", vertex.Name, a.Subtask.Index+1, vertex.Parallelism)
}
