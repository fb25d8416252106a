package local

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/weirstream/weir/internal/cluster/config"
	"github.com/weirstream/weir/internal/cluster/view"
	"github.com/weirstream/weir/internal/exitcode"
	"github.com/weirstream/weir/internal/graph"
	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/keygroup"
	"github.com/weirstream/weir/internal/keyhash"
	"github.com/weirstream/weir/internal/protocol/coordinator"
	"github.com/weirstream/weir/internal/protocol/failover"
	"github.com/weirstream/weir/internal/protocol/line"
	"github.com/weirstream/weir/internal/protocol/snapshot"
	"github.com/weirstream/weir/internal/runtime/operator"
	"github.com/weirstream/weir/internal/runtime/task"
	"github.com/weirstream/weir/internal/storage"
	"github.com/weirstream/weir/internal/storage/copies"
	"github.com/weirstream/weir/internal/storage/linefile"
	"github.com/weirstream/weir/sink"
)

// master runs one job from its start to its end. All fields but queue and progress belong to its goroutine.
type master struct {
	Options
	checkpoints config.Checkpointing
	queue       queue
	progress    *progress
	logger      *slog.Logger

	id        job.ID
	line      sink.Line
	record    line.Record
	file      *linefile.File
	shared    bool // no lock keeps other processes out of the line: the record is what does
	ids       line.IDs
	storage   storage.Storage
	merger    *storage.Merger              // nil if files are not merged
	changelog *operator.Changelog          // nil if changes of keyed state are not logged
	copies    *copies.Copies               // of state on this machine; nil if there are none
	found     atomic.Pointer[copies.Found] // those that tasks are restored from now
	claimed   string                       // path of a snapshot from elsewhere that belongs to this job, empty if there is none
	sinks     sinks
	clerk     *clerk
	// recovery is what the sinks are told, until the first checkpoint of this run is complete: then there is nothing left of it to do.
	recovery recovery

	deleting    sync.WaitGroup // goroutines that delete files
	deletingOne sync.Mutex     // held by the one that may, if they must not do so in parallel
	deletions   int            // that are under way, under a Scheduler

	coordinator *coordinator.Coordinator
	strategy    *failover.Strategy
	supervisor  *failover.Supervisor
	restoring   *failover.Restore // the one under way, nil before the first
	rescaling   *rescaling        // nil if there is none
	history     *history
	timers      map[coordinator.Timer]func() // what stops them

	attempts map[job.Subtask]int      // the number of the last attempt of each
	tasks    map[job.Subtask]*running // the last attempt of each
	alive    int                      // tasks that have not ended
	starting int                      // tasks that do not run yet
	sources  sources
	// awaitRunning is called when all tasks run.
	awaitRunning []func()
	// afterStop is what follows once all tasks have ended, while they are being stopped.
	afterStop func()

	asked     map[coordinator.RequestID]*asked // clients that wait for a snapshot
	askedLate []func(SnapshotInfo, error)      // those who have asked for one after the end of the tasks
	places    places
	queries   []*query // clients that wait for the state of a key
	// cancelledWith is the savepoint that the job is cancelled with, nil if there is none.
	cancelledWith *line.Snapshot
	// unsettled are savepoints to stop with that were given up although the line may follow them.
	unsettled []storage.Location

	triggered        job.CheckpointID            // the last checkpoint that tasks were told to begin
	givenUp          []coordinator.NotifyAborted // the last ones, of which tasks are told again if they must: see remindAborted
	remindingAborted bool
	// announced is the newest complete checkpoint that tasks were told of.
	announced   operator.Checkpoint
	announcedTo []job.Attempt
	reminding   bool // they are going to be told again if they must: see remind

	// doubtful are checkpoints of which it is not known whether they were published.
	doubtful []job.CheckpointID
	// uncommitted are sinks that have finished with output that is not committed, by subtask.
	uncommitted map[job.Subtask][]job.OperatorID

	state    state
	hurry    context.CancelFunc // ends the waiting for what may keep sinks from recovering at the start
	deployed bool               // there were tasks once
	ran      bool               // all tasks ran at one moment
	cause    error              // why the job failed or is restarting
	refusal  error              // why the run ended before its first task, if it did
	stopping stopping
	result   Result
	ended    bool
	told     bool                    // that the context was cancelled
	warned   map[job.OperatorID]bool // steps whose union state was seen to hold up checkpoints
}

// running is the last attempt of a subtask.
type running struct {
	task        *task.Task
	attempt     job.Attempt
	name        string // of its vertex; so parallelism
	parallelism int
	cancel      context.CancelFunc
	stopping    bool // it was told to stop
	runs        bool // its operators are open
	ended       bool
	atEnd       bool             // its operators have seen all data
	done        job.CheckpointID // everything that follows from this checkpoint is done
}

func (t *running) stop() {
	t.stopping = true
	t.cancel()
}

// state is what a job is doing.
type state int

const (
	deploying  state = iota // all tasks are being restored and opened for the first time
	inFlight                // all tasks run, or have finished
	restarting              // some tasks, or all, are being stopped and started again; the supervisor knows which
	cancelling              // all tasks are being stopped, for good
	over
)

// stopping says how far a stop with a checkpoint has come.
type stopping struct {
	on      bool
	request coordinator.RequestID
	id      job.CheckpointID // complete; its commits are awaited
}

func newMaster(s *start, b *beginning, p *progress) *master {
	m := &master{
		Options:     s.Options,
		checkpoints: s.checkpoints,
		queue:       s.queue,
		progress:    p,
		logger:      s.Logger,
		id:          b.job,
		line:        b.line,
		record:      b.record,
		file:        s.file,
		shared:      s.shared,
		storage:     b.storage,
		merger:      b.merger,
		changelog:   b.changelog,
		copies:      s.copies,
		claimed:     b.claimed,
		sinks:       s.sinks,
		clerk:       newClerk(s.Scheduler),
		recovery:    b.recovery,
		strategy:    failover.New(strategyOf(s.Config.Restart())),
		history:     newHistory(s),
		timers:      map[coordinator.Timer]func(){},
		hurry:       func() {},
		warned:      map[job.OperatorID]bool{},
		asked:       map[coordinator.RequestID]*asked{},
		attempts:    map[job.Subtask]int{},
		tasks:       map[job.Subtask]*running{},
		uncommitted: map[job.Subtask][]job.OperatorID{},
	}
	m.found.Store(&s.found)
	m.supervisor = failover.NewSupervisor(m.strategy, m.regions())
	m.sources = s.opened
	s.news = news{m.changed, m.backlog}
	m.ids.Add(b.ids)
	m.coordinator = m.newCoordinator()
	m.coordinator.Restored(restoration(b), m.Now())
	m.progress.became(view.JobCreated, m.Now())
	m.post(func() {
		m.logger.Info("sinks", attrsToArgs(guarantees(m.Plan, m.checkpoints))...)
		m.logger.Info(survival(m.checkpoints, m.storage))
		m.deploy(b.restore)
	})
	return m
}

// newCoordinator returns the coordinator for the plan, whose max parallelism is known by now.
func (m *master) newCoordinator() *coordinator.Coordinator {
	c := m.checkpoints
	return coordinator.New(coordinator.Config{
		Interval:          c.Interval,
		Timeout:           c.Timeout,
		MinPause:          c.MinPause,
		MaxConcurrent:     c.MaxConcurrent,
		BacklogInterval:   c.DuringBacklog,
		OnlyWhileAllRun:   !c.AfterTasksFinish,
		FinalCheckpoint:   c.On(),
		TolerableFailures: c.Tolerable,
		NumRetained:       c.NumRetained,
		Retention:         coordinator.Retention(c.Retention),
		History:           c.History,
	}, m.coordinatorJob())
}

// coordinatorJob describes the job to the coordinator.
func (m *master) coordinatorJob() coordinator.Job {
	return coordinatorJob(m.Plan, snapshot.Metadata{
		Job:       m.id,
		JobName:   m.Name,
		Line:      m.line.ID,
		Epoch:     m.line.Epoch,
		Graph:     m.Plan.Fingerprint(),
		KeyHash:   keyhash.Name,
		GroupRule: keygroup.GroupRule,
	})
}

// coordinatorJob describes a plan to the coordinator.
func coordinatorJob(p *graph.Plan, header snapshot.Metadata) coordinator.Job {
	j := coordinator.Job{Header: header}
	for _, v := range p.Vertices {
		cv := coordinator.Vertex{ID: v.ID(), Name: v.Name(), Parallelism: v.Parallelism}
		for _, in := range v.Inputs {
			cv.Inputs = append(cv.Inputs, coordinator.Input{From: in.FromVertex.Index, AllToAll: in.Partitioning != graph.Forward})
		}
		for _, n := range v.Nodes {
			cv.Operators = append(cv.Operators, coordinator.Operator{
				ID: n.ID(), Name: n.Name, Named: n.Named, MaxParallelism: v.MaxParallelism, Location: n.Location,
				HasCoordinator: n.Kind == graph.Source,
			})
		}
		j.Vertices = append(j.Vertices, cv)
	}
	return j
}

// run handles what happens until the job has ended.
func (m *master) run(ctx context.Context) (Result, error) {
	stop := ctx.Done()
	for !m.ended {
		select {
		case <-m.queue.ready:
			m.handle()
		case <-stop:
			stop = nil
			m.suspend(context.Cause(ctx))
			m.perform()
		}
	}
	m.clerk.close() // before what it works with: it may still be letting sinks recover
	return m.close()
}

// handle does what is in the queue.
func (m *master) handle() {
	for _, f := range m.queue.take() {
		f()
		m.perform()
	}
}

// close ends the run and returns how it went.
func (m *master) close() (Result, error) {
	m.deleting.Wait()
	if err := m.sinks.close(); err != nil {
		m.logger.Warn("close the sinks", "error", err)
	}
	m.result.Job = m.id
	if m.refusal != nil {
		m.result.Status = Failed // the line remembers nothing, as of an aborted run, but it was not the user who has ended it
	}
	m.progress.became(endState(m.result.Status), m.Now())
	err := m.failure()
	m.answerAll(err)
	return m.result, err
}

// failure returns why the job has failed or was refused, nil if neither.
func (m *master) failure() error {
	switch {
	case m.refusal != nil:
		return m.refusal
	case m.result.Status == Failed:
		return m.cause
	}
	return nil
}

// post adds something that has happened. Any goroutine may call it.
func (m *master) post(f func()) { m.queue.add(f) }

// queue holds what has happened and was not handled yet. It is unbounded, since those who add must not wait.
type queue struct {
	ready chan struct{}
	mu    *sync.Mutex // guards items
	items *[]func()
}

func newQueue() queue {
	return queue{ready: make(chan struct{}, 1), mu: &sync.Mutex{}, items: new([]func())}
}

func (q *queue) add(f func()) {
	q.mu.Lock()
	*q.items = append(*q.items, f)
	q.mu.Unlock()
	select {
	case q.ready <- struct{}{}:
	default:
	}
}

func (q *queue) take() []func() {
	q.mu.Lock()
	defer q.mu.Unlock()
	items := *q.items
	*q.items = nil
	return items
}

func attrsToArgs(attrs []slog.Attr) (args []any) {
	for _, a := range attrs {
		args = append(args, a)
	}
	return args
}

func restoration(b *beginning) coordinator.Restoration {
	r := coordinator.Restoration{LastID: b.ids.From - 1}
	for _, s := range b.retained {
		_, damaged := b.record.DamageOf(s.Checkpoint)
		r.Retained = append(r.Retained, coordinator.Retained{ID: s.Checkpoint, Pointer: s.Path, Damaged: damaged})
	}
	for _, s := range b.obsolete {
		r.Obsolete = append(r.Obsolete, coordinator.Retained{ID: s.Checkpoint, Pointer: s.Path})
	}
	r.Uses, r.Others, r.Unsure = b.shared.uses, b.shared.others, b.shared.unsure
	if b.restore != nil {
		r.From = b.restore.Checkpoint
		if b.noClaim {
			savepoint := b.restore.Kind == snapshot.Savepoint
			r.Retained = append(r.Retained, coordinator.Retained{ID: r.From, Pointer: b.path, Foreign: true, Savepoint: savepoint})
		}
	}
	return r
}

func (m *master) coordinatorStopped() { m.coordinator.JobNotRunning(m.Now()) }

// stopAll cancels the tasks and does what follows once all have ended.
func (m *master) stopAll(then func()) {
	m.state = cancelling
	m.hurry()
	m.progress.cancelling(m.Now())
	m.supervisor.Halt()
	for _, t := range m.tasks {
		t.stop()
	}
	m.whenStopped(then)
}

// whenStopped calls then when no task is left.
func (m *master) whenStopped(then func()) {
	if m.alive > 0 {
		m.afterStop = then
		return
	}
	m.afterStop = nil
	m.sources.close(m.logger)
	m.sources = nil
	then()
}

// suspend stops the job with a checkpoint, so that the same command goes on from there.
func (m *master) suspend(cause error) {
	if m.state == over || m.stopping.on || m.result.Status != "" {
		return
	}
	m.stopping.on = true
	m.progress.entered(Stopping)
	m.logger.Info("stopping", "cause", cause)
	switch {
	case m.coordinator.Stopping():
		m.logger.Info("it is being stopped with a savepoint already")
	case m.state == inFlight && m.checkpoints.On():
		request, err := m.coordinator.Request(coordinator.Request{Kind: coordinator.Configured}, m.Now())
		if err != nil {
			m.logger.Error("stop without a checkpoint", "error", err)
			m.stopAll(func() { m.finish(Suspended) })
			return
		}
		m.stopping.request = request
	case m.state == cancelling: // what follows looks at stopping
	default:
		m.coordinatorStopped()
		m.stopAll(func() { m.finish(Suspended) })
	}
}

// stopped ends a stop whose checkpoint has come to an end. If that is because the job was ended meanwhile, there is nothing left to do.
func (m *master) stopped(err error) {
	if m.result.Status != "" {
		return
	}
	if err != nil {
		m.logger.Error("the checkpoint to stop with failed: the job goes on from the one before", "error", err)
	}
	m.coordinatorStopped()
	m.stopAll(func() { m.finish(Suspended) })
}

// cancel ends the job for good.
func (m *master) cancel() {
	if m.state != over && m.result.Status == "" {
		m.progress.became(view.JobCancelling, m.Now())
	}
	m.end(Canceled)
}

// abort ends the job at once.
func (m *master) abort() { m.end(Aborted) }

// refuse ends a run that never began. The line remembers it as little as a crash, and the same command tries again.
func (m *master) refuse(err error) {
	m.refusal = refuse(exitcode.Refused, "%v\nThe job was not started. Put right what is named above and run the same command again.", err)
	m.end(Aborted)
}

// takenOver ends a run whose line another process has: it writes, commits and deletes nothing more.
func (m *master) takenOver(err error) {
	if m.refusal != nil || m.state == over {
		return
	}
	m.refusal = &TakenOverError{err}
	m.logger.Error("this run stops at once: another process has taken the job over", "error", err)
	m.end(Aborted)
}

func (m *master) end(s Status) {
	if m.state == over || m.result.Status != "" {
		return
	}
	m.result.Status = s
	m.coordinatorStopped()
	m.stopAll(func() { m.finish(s) })
}

// finish settles what remains once no task runs.
func (m *master) finish(s Status) {
	m.state = over
	m.result.Status = s
	m.disposeCopies(s)
	status := map[Status]coordinator.EndStatus{
		Finished: coordinator.JobFinished, Canceled: coordinator.JobCanceled, Failed: coordinator.JobFailed,
		Suspended: coordinator.JobSuspended, Aborted: coordinator.JobSuspended,
	}[s]
	kept := status == coordinator.JobSuspended || coordinator.Retention(m.checkpoints.Retention).Keeps(status)
	end := func() { m.writeEnd(s, kept, func() { m.coordinator.End(status, m.Now()) }) }
	if m.merger == nil {
		end()
		return
	}
	m.clerk.do(func() func() {
		m.closeMerger()
		return end
	}, m.post)
}

// endOfTasks returns how a job ends whose tasks have all finished. If there was no last checkpoint to commit with, it is not at its end: all
// checkpoints stay, and another run goes on from the newest.
func (m *master) endOfTasks() Status {
	if len(m.uncommitted) == 0 {
		return Finished
	}
	sinks := slices.Concat(slices.Collect(maps.Values(m.uncommitted))...)
	var names []string
	for _, n := range m.sinks.nodes {
		if slices.Contains(sinks, n.ID()) {
			names = append(names, fmt.Sprintf("%q", n.Name))
		}
	}
	m.result.Text = fmt.Sprintf("all data was read, but the last output of %s is NOT committed: execution.checkpointing.checkpoints-after-tasks-finish=false "+
		"takes no checkpoint at the end of the data. Run the same command without that setting to go on from the last checkpoint and commit it",
		strings.Join(names, ", "))
	m.logger.Error(m.result.Text)
	return Suspended
}

// writeEnd remembers how the job ended, before any checkpoint is deleted. An aborted run is remembered like a crash: not at all.
func (m *master) writeEnd(s Status, kept bool, then func()) {
	if m.file == nil || s == Aborted {
		then()
		return
	}
	end := endOf(s, m.Now(), kept, m.cause, m.latest())
	end.Savepoint = m.cancelledWith
	_, end.Stopped = m.coordinator.StoppedWith()
	known := m.record
	m.clerk.do(func() func() {
		record := m.written(known).Ended(end)
		_, err := retry(context.Background(), m.pause, func() (struct{}, error) { return struct{}{}, m.put(record) })
		return func() {
			if err != nil {
				m.logger.Error("the end of the job could not be recorded: all checkpoints are kept", "error", err)
				m.cause = errors.Join(m.cause, err)
				m.result.Status, m.ended = Failed, true
				return
			}
			m.record = record
			m.removeUnsettled()
			then()
		}
	}, m.post)
}

// latest returns the newest complete checkpoint of this job, 0 if there is none.
func (m *master) latest() (id job.CheckpointID) {
	for _, r := range m.coordinator.Retained() {
		if !r.Foreign && !r.Damaged && r.Pointer != m.claimed {
			id = max(id, r.ID)
		}
	}
	return id
}

// endedFor handles the coordinator's last word.
func (m *master) endedFor(e coordinator.Ended) {
	m.ended = true
	if savepoint, stopped := m.coordinator.StoppedWith(); stopped { // then the job goes on from no checkpoint
		m.result.Text = m.stopText(savepoint)
		return
	}
	if m.storage.Survives() {
		for _, r := range e.Kept {
			if !r.Damaged {
				m.result.Checkpoint = r.Pointer
			}
		}
	}
	if m.result.Status == Suspended && m.result.Checkpoint == "" && m.result.Text == "" {
		m.result.Text = "there is no checkpoint that outlives this process: the next run begins again"
	}
}

func (m *master) String() string { return fmt.Sprintf("job %q (%s)", m.Name, m.id) }
