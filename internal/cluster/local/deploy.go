package local

import (
	"context"
	"fmt"
	"maps"
	"runtime/debug"

	"github.com/weirstream/weir/internal/cluster/config"
	"github.com/weirstream/weir/internal/cluster/view"
	"github.com/weirstream/weir/internal/graph"
	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/protocol/assign"
	"github.com/weirstream/weir/internal/protocol/barrier"
	"github.com/weirstream/weir/internal/protocol/snapshot"
	"github.com/weirstream/weir/internal/runtime/operator"
	"github.com/weirstream/weir/internal/runtime/program"
	"github.com/weirstream/weir/internal/runtime/spill"
	"github.com/weirstream/weir/internal/runtime/task"
	"github.com/weirstream/weir/sink"
	"github.com/weirstream/weir/source"
)

// deploy lets the sinks recover and starts all tasks for the first time, from a checkpoint, nil for none. What keeps a sink from recovering may
// pass, and no restart strategy is there yet to try again, so that is done here, until the job is stopped.
func (m *master) deploy(meta *snapshot.Metadata) {
	m.state = deploying
	r := m.recovery
	var waiting context.Context
	waiting, m.hurry = context.WithCancel(context.Background())
	patiently := func(f func() error) error {
		return m.retry(waiting, func(context.Context) error { return f() })
	}
	m.clerk.do(func() func() {
		moved, err := m.recoverSinks(meta, r, patiently)
		return func() {
			m.hurry()
			m.outputMoved(moved)
			if m.state != deploying {
				return
			}
			if err == nil {
				err = m.deployAll(meta)
			}
			if err != nil {
				m.fail(err, false)
				return
			}
			m.supervisor.Started()
		}
	}, m.post)
}

func (m *master) outputMoved(files []string) {
	for _, name := range files {
		m.logger.Warn("output was moved", "file", name)
	}
}

// recoverSinks lets all sinks recover, each by try.
func (m *master) recoverSinks(meta *snapshot.Metadata, r recovery, try func(func() error) error) (moved []string, err error) {
	defer rescue(&err)
	return m.sinks.recover(context.Background(), meta, r, m.openStream, try)
}

// once is for those whose failure somebody else answers by another attempt.
func once(f func() error) error { return f() }

func (m *master) openStream(ctx context.Context, s snapshot.Stream) (operator.StreamReader, error) {
	if r, ok := m.openCopy(ctx, s); ok {
		return r, nil
	}
	return m.storage.OpenStream(ctx, s)
}

// deployAll deals the state out and starts all tasks.
func (m *master) deployAll(meta *snapshot.Metadata) error {
	restored, err := dealOut(meta, m.Plan)
	if err != nil {
		return source.Permanent(err)
	}
	if m.deployed { // at first they were there before
		for id := range m.sources {
			m.coordinator.Backlog(id, false, m.Now())
		}
		m.sources.close(m.logger)
		m.sources = nil
		if m.sources, err = newSources(m.Plan, restored, m.logger, m.post, &news{m.changed, m.backlog}); err != nil {
			return err
		}
	}
	m.progress.deployed(m.Plan) // which has the max parallelism of the state by now
	return m.deployTasks(restored, func(job.Subtask) bool { return true })
}

// deployTasks makes the next attempts of subtasks and starts them.
func (m *master) deployTasks(r restored, which func(job.Subtask) bool) error {
	m.deployed = true
	maps.DeleteFunc(m.uncommitted, func(s job.Subtask, _ []job.OperatorID) bool { return which(s) })
	m.progress.became(view.JobRunning, m.Now())
	tasks, err := program.Deploy(m.deployment(r, which))
	if err != nil {
		return source.Permanent(err)
	}
	m.alive += len(tasks)
	m.starting += len(tasks)
	for _, t := range tasks {
		m.startTask(t)
	}
	return nil
}

// dealOut says what each operator begins with. Whether the state fits the plan, and what of it may be left behind, the start has settled. The
// plan gets the max parallelism of the state.
func dealOut(meta *snapshot.Metadata, p *graph.Plan) (restored, error) {
	a, err := assigned(meta, p)
	if err != nil {
		return restored{}, err
	}
	return adopt(meta, p, a), nil
}

// assigned deals out the state of a checkpoint; there is none without one.
func assigned(meta *snapshot.Metadata, p *graph.Plan) (*assign.Assignment, error) {
	if meta == nil {
		return &assign.Assignment{}, nil
	}
	return assign.Assign(meta, assignJob(p), assign.Options{Failover: true})
}

// adopt gives the plan the max parallelism of the state.
func adopt(meta *snapshot.Metadata, p *graph.Plan, a *assign.Assignment) restored {
	for i, v := range a.Vertices {
		p.Vertices[i].MaxParallelism = v.MaxParallelism
	}
	return newRestored(meta, a)
}

// dealOutAgain is like dealOut for a plan that has been dealt the same state before: the plan is not changed.
func dealOutAgain(meta *snapshot.Metadata, p *graph.Plan) (restored, error) {
	a, err := assigned(meta, p)
	if err != nil {
		return restored{}, err
	}
	return newRestored(meta, a), nil
}

// rescue turns a panic of a connector into an error, so that it fails the job and not the process.
func rescue(err *error) {
	if r := recover(); r != nil {
		*err = &panicError{fmt.Sprintf("panic: %v\n%s", r, debug.Stack())}
	}
}

// panicError is a panic of a connector.
type panicError struct{ text string }

func (e *panicError) Error() string { return e.text }

// restored finds what a checkpoint holds for an operator.
type restored struct {
	id        job.CheckpointID
	operators map[job.OperatorID]assign.RestoredOperator
	finished  map[job.VertexID]bool
}

func newRestored(meta *snapshot.Metadata, a *assign.Assignment) restored {
	r := restored{operators: map[job.OperatorID]assign.RestoredOperator{}, finished: map[job.VertexID]bool{}}
	if meta == nil {
		return r
	}
	r.id = meta.Checkpoint
	for _, v := range a.Vertices {
		r.finished[v.ID] = v.Finished
		for _, op := range v.Operators {
			r.operators[op.ID] = op
		}
	}
	return r
}

func (r restored) state(op job.OperatorID, subtask int) *snapshot.OperatorSubtask {
	if o, ok := r.operators[op]; ok {
		return o.Subtasks[subtask]
	}
	return nil
}

func assignJob(p *graph.Plan) assign.Job {
	var j assign.Job
	for _, v := range p.Vertices {
		av := assign.Vertex{
			ID: v.ID(), Name: v.Name(), Parallelism: v.Parallelism, MaxParallelism: v.MaxParallelism, MaxExplicit: v.ExplicitMax,
		}
		for _, n := range v.Nodes {
			av.Operators = append(av.Operators, assign.Operator{ID: n.ID(), FormerIDs: n.FormerIDs(), Name: n.Name, Named: n.Named})
		}
		for _, in := range v.Inputs {
			av.Inputs = append(av.Inputs, assign.Edge{From: in.FromVertex.ID(), AllToAll: in.Partitioning != graph.Forward})
		}
		j.Vertices = append(j.Vertices, av)
	}
	return j
}

func (m *master) deployment(r restored, which func(job.Subtask) bool) *program.Deployment {
	mode := barrier.ExactlyOnce
	if m.checkpoints.Mode == config.AtLeastOnce {
		mode = barrier.AtLeastOnce
	}
	return &program.Deployment{
		Plan: m.Plan,
		Attempt: func(s job.Subtask) (int, bool) {
			return m.attempts[s] + 1, which(s)
		},
		Mode:            mode,
		Master:          reports{m},
		Logger:          m.logger,
		Now:             m.Now,
		Beside:          m.besides(),
		Line:            m.line,
		Streams:         m.streams(),
		OpenStream:      m.openStream,
		MayUse:          m.mayUse(),
		Incremental:     m.checkpoints.Incremental,
		Backend:         m.Backend,
		Changelog:       m.changelog,
		Checkpointed:    m.checkpoints.On(),
		NoFinal:         !m.checkpoints.AfterTasksFinish,
		Restored:        r.id,
		LeaveUndeclared: m.Config.Recovery().IgnoreUnclaimedState,
		State:           r.state,
		Finished:        func(v *graph.Vertex) bool { return r.finished[v.ID()] },
		Committer: func(op job.OperatorID) sink.Committer {
			if c, ok := m.sinks.committers[op]; ok {
				return c
			}
			return nil
		},
		Metrics: m.progress.scope,
		Loops: program.Loops{
			Memory: m.Config.LoopMemory(), Files: spill.Temp(""), Lossy: m.checkpoints.Loops == config.LoseInLoops,
		},
	}
}

// streams returns where tasks of the present plan write. It is called by them.
func (m *master) streams() func(job.Subtask, job.CheckpointID) operator.Streams {
	parallelism := map[job.VertexID]int{}
	for _, v := range m.Plan.Vertices {
		parallelism[v.ID()] = v.Parallelism
	}
	return func(sub job.Subtask, id job.CheckpointID) operator.Streams {
		s := m.places.streams(m.storage, id, m.logger)
		if m.merger != nil && s.place == nil {
			s.part = m.merger.Part(id, sub, parallelism[sub.Vertex])
		}
		if m.copies != nil && m.Config.LocalCopies().Write && s.place == nil {
			s.copies = m.copies.Part(id, sub)
		}
		return s
	}
}

// startTask gives a task its goroutine.
func (m *master) startTask(t *task.Task) {
	ctx, cancel := context.WithCancel(context.Background())
	m.tasks[t.Attempt.Subtask] = &running{task: t, attempt: t.Attempt, name: t.Name, parallelism: m.parallelismOf(t.Attempt.Subtask.Vertex), cancel: cancel}
	m.attempts[t.Attempt.Subtask] = t.Attempt.Number
	m.coordinator.TaskDeployed(t.Attempt)
	m.progress.task(t.Attempt, view.TaskInitializing, m.Now())
	m.runTask(ctx, t)
}

func (m *master) parallelismOf(id job.VertexID) int {
	for _, v := range m.Plan.Vertices {
		if v.ID() == id {
			return v.Parallelism
		}
	}
	return 0
}
