package jobmaster

import (
	"context"
	"fmt"
	"log/slog"
	"sync"

	"github.com/weirstream/weir/internal/cluster/committers"
	"github.com/weirstream/weir/internal/cluster/config"
	"github.com/weirstream/weir/internal/cluster/enumerators"
	"github.com/weirstream/weir/internal/cluster/progress"
	"github.com/weirstream/weir/internal/cluster/start"
	"github.com/weirstream/weir/internal/cluster/view"
	"github.com/weirstream/weir/internal/graph"
	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/keygroup"
	"github.com/weirstream/weir/internal/keyhash"
	"github.com/weirstream/weir/internal/protocol/coordinator"
	"github.com/weirstream/weir/internal/protocol/failover"
	"github.com/weirstream/weir/internal/protocol/line"
	"github.com/weirstream/weir/internal/protocol/snapshot"
	"github.com/weirstream/weir/internal/runtime/operator"
	"github.com/weirstream/weir/internal/storage"
	"github.com/weirstream/weir/internal/storage/linefile"
	"github.com/weirstream/weir/sink"
)

// master runs one job from its start to its end. All fields but queue and progress belong to its goroutine.
type master struct {
	Options
	Files
	taskManager TaskManager
	checkpoints config.Checkpointing
	queue       queue
	progress    *progress.Tracker
	logger      *slog.Logger

	id      job.ID
	line    sink.Line
	record  line.Record
	file    *linefile.File
	shared  bool // no lock keeps other processes out of the line: the record is what does
	ids     line.IDs
	claimed string // path of a snapshot from elsewhere that belongs to this job, empty if there is none
	sinks   committers.Set
	clerk   *clerk
	// recovery is what the sinks are told, until the first checkpoint of this run is complete: then there is nothing left of it to do.
	recovery committers.Recovery

	deleting    sync.WaitGroup // goroutines that delete files
	deletingOne sync.Mutex     // held by the one that may, if they must not do so in parallel
	deletions   int            // that are under way, under a Scheduler

	coordinator *coordinator.Coordinator
	strategy    *failover.Strategy
	supervisor  *failover.Supervisor
	streak      failover.Streak
	restoring   *failover.Restore // the one under way, nil before the first
	rescaling   *rescaling        // nil if there is none
	history     *history
	timers      map[coordinator.Timer]func() // what stops them

	attempts map[job.Subtask]int      // the number of the last attempt of each
	tasks    map[job.Subtask]*running // the last attempt of each
	alive    int                      // tasks that have not ended
	starting int                      // tasks that do not run yet
	sources  enumerators.Set
	// awaitRunning is called when all tasks run.
	awaitRunning []func()
	// afterStop is what follows once all tasks have ended, while they are being stopped.
	afterStop func()

	asked     map[coordinator.RequestID]*asked // clients that wait for a snapshot
	askedLate []func(SnapshotInfo, error)      // those who have asked for one after the end of the tasks
	queries   []*query                         // clients that wait for the state of a key
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
	doubtful   []job.CheckpointID
	releasing  releasing
	undeleted  []coordinator.Discard // that were tried, and have to be tried again
	discarding discarding
	// uncommitted are sinks that have finished with output that is not committed, by subtask.
	uncommitted map[job.Subtask][]job.OperatorID

	state     state
	hurry     context.CancelFunc // ends the waiting for what may keep sinks from recovering at the start
	beginning *start.Beginning   // until all tasks ran once
	deployed  bool               // there were tasks once
	ran       bool               // all tasks ran at one moment
	cause     error              // why the job failed or is restarting
	refusal   error              // why the run ended before its first task, if it did
	stopping  stopping
	result    Result
	ended     bool
	told      bool                    // that the context was cancelled
	warned    map[job.OperatorID]bool // steps whose union state was seen to hold up checkpoints
}

// running is the last attempt of a subtask.
type running struct {
	attempt     job.Attempt
	name        string // of its vertex; so parallelism
	parallelism int
	stopping    bool // it was told to stop
	runs        bool // its operators are open
	ended       bool
	atEnd       bool             // its operators have seen all data
	done        job.CheckpointID // everything that follows from this checkpoint is done
}

// stopTask tells a task to stop.
func (m *master) stopTask(t *running) {
	t.stopping = true
	m.taskManager.Cancel(t.attempt)
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

func newMaster(o Options, b *start.Beginning, tasks TaskManager, q queue, p *progress.Tracker) *master {
	m := &master{
		Options:     o,
		taskManager: tasks,
		checkpoints: o.Config.Checkpointing(),
		queue:       q,
		progress:    p,
		logger:      o.Logger,
		id:          b.Job,
		line:        b.Line,
		record:      b.Record,
		file:        b.File,
		shared:      b.NoLock,
		claimed:     b.Claimed,
		sinks:       b.Sinks,
		sources:     b.Sources,
		clerk:       newClerk(o.Scheduler),
		recovery:    b.Recovery,
		strategy:    failover.New(strategyOf(o.Config.Restart())),
		history:     newHistory(&o),
		timers:      map[coordinator.Timer]func(){},
		hurry:       func() {},
		warned:      map[job.OperatorID]bool{},
		asked:       map[coordinator.RequestID]*asked{},
		attempts:    map[job.Subtask]int{},
		tasks:       map[job.Subtask]*running{},
		uncommitted: map[job.Subtask][]job.OperatorID{},
	}
	m.storage, m.merger, m.copies, m.report = b.Storage, b.Merger, b.Copies, o.Logger
	m.logDir, m.writeCopies = b.LogDir, b.Copies != nil && o.Config.LocalCopies().Write
	m.found.Store(&b.Found)
	m.retries = o.Retries()
	m.beginning = b
	m.supervisor = failover.NewSupervisor(m.strategy, m.regions())
	m.ids.Add(b.IDs)
	m.coordinator = m.newCoordinator()
	m.coordinator.Restored(b.Restoration, m.Now())
	m.progress.Became(view.JobCreated, m.Now())
	m.post(func() {
		m.logger.Info("sinks", guarantees(m.Plan, m.checkpoints)...)
		m.logger.Info(survival(m.checkpoints, m.storage))
		m.deploy(b.Restore)
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
	if err := m.sinks.Close(); err != nil {
		m.logger.Warn("close the sinks", "error", err)
	}
	m.result.Job = m.id
	if m.refusal != nil {
		m.result.Status = Failed // the line remembers nothing, as of an aborted run, but it was not the user who has ended it
	}
	m.progress.Became(endState(m.result.Status), m.Now())
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

func (m *master) String() string { return fmt.Sprintf("job %q (%s)", m.Name, m.id) }
