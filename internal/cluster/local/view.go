package local

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/weirstream/weir/internal/cluster/config"
	"github.com/weirstream/weir/internal/cluster/view"
	"github.com/weirstream/weir/internal/element"
	"github.com/weirstream/weir/internal/graph"
	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/protocol/coordinator"
	"github.com/weirstream/weir/internal/runtime/operator"
)

// board says what became of a job and its tasks, and when. Part of progress, and guarded like it.
type board struct {
	state   view.JobState
	since   [view.JobStates]time.Time
	changed time.Time
	tasks   map[job.Subtask]*view.Subtask
	shape   []view.Vertex           // without subtasks
	leaving map[job.OperatorID]bool // what these emit goes to another vertex
}

// became notes that the job is in another state.
func (p *progress) became(s view.JobState, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.board.state, p.board.since[s], p.board.changed = s, now, now
}

// task notes that an attempt is in another state.
func (p *progress) task(a job.Attempt, s view.TaskState, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := p.board.tasks[a.Subtask]
	if n := a.Number - 1; t == nil || t.Attempt != n {
		t = &view.Subtask{Attempt: n}
		p.board.tasks[a.Subtask] = t
	}
	t.State, t.Since[s], p.board.changed = s, now, now
}

// cancelling notes that the tasks that have not ended are being stopped.
func (p *progress) cancelling(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, t := range p.board.tasks {
		if !t.State.Ended() {
			t.State, t.Since[view.TaskCanceling], p.board.changed = view.TaskCanceling, now, now
		}
	}
}

// finishedBefore notes that an earlier run has done it all.
func (p *progress) finishedBefore(now time.Time) {
	p.became(view.JobFinished, now)
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, v := range p.board.shape {
		for i := range v.Parallelism {
			p.board.tasks[job.Subtask{Vertex: v.ID, Index: i}] = &view.Subtask{State: view.TaskFinished}
		}
	}
}

// endState returns how a run has ended in the words of the view. An aborted job is resumable like a suspended one.
func endState(s Status) view.JobState {
	switch s {
	case Finished, AlreadyFinished:
		return view.JobFinished
	case Canceled:
		return view.JobCanceled
	case Failed:
		return view.JobFailed
	}
	return view.JobSuspended
}

// ID returns the job's id.
func (e *Execution) ID() job.ID { return e.id }

// Job returns the job as it is now.
func (e *Execution) Job() view.Job {
	j := e.progress.job()
	j.ID, j.Name, j.Now = e.id, e.options.Name, e.options.Now()
	j.Settings = view.Settings{
		Parallelism:     e.options.Config.Parallelism().Default,
		RestartStrategy: e.options.Config.Restart().Strategy.String(),
	}
	if e.master != nil && e.master.merger != nil {
		j.Merged = new(view.MergedFiles(e.master.merger.Stats()))
	}
	return j
}

// Checkpoints returns the statistics of the job's checkpoints, without what single subtasks have done.
func (e *Execution) Checkpoints(ctx context.Context) (coordinator.Stats, error) {
	return ask(ctx, e, func(m *master) coordinator.Stats {
		s := m.coordinator.Stats()
		for i := range s.History {
			m.hideLost(&s.History[i])
		}
		for _, latest := range []*coordinator.CheckpointStats{s.LatestCompleted, s.LatestSavepoint} {
			if latest != nil {
				m.hideLost(latest)
			}
		}
		return s
	})
}

// hideLost leaves away where a checkpoint lies if nobody could find it there: in the memory of this process.
func (m *master) hideLost(cs *coordinator.CheckpointStats) {
	if !cs.IsSavepoint() && !m.storage.Survives() {
		cs.Pointer = ""
	}
}

// Checkpoint returns all that is known of one checkpoint, nil if it is not remembered.
func (e *Execution) Checkpoint(ctx context.Context, id job.CheckpointID) (*coordinator.CheckpointStats, error) {
	return ask(ctx, e, func(m *master) *coordinator.CheckpointStats {
		if cs, ok := m.coordinator.Checkpoint(id); ok {
			m.hideLost(&cs)
			return &cs
		}
		return nil
	})
}

// Checkpointing returns how the job takes checkpoints.
func (e *Execution) Checkpointing() view.Checkpointing {
	c := e.options.Config.Checkpointing()
	out := view.Checkpointing{
		Interval: c.Interval, Timeout: c.Timeout, MinPause: c.MinPause, MaxConcurrent: c.MaxConcurrent, TolerableFailures: c.Tolerable,
		AtLeastOnce:   c.Mode == config.AtLeastOnce,
		KeepOnFailure: coordinator.Retention(c.Retention).Keeps(coordinator.JobFailed),
		KeepOnCancel:  coordinator.Retention(c.Retention).Keeps(coordinator.JobCanceled),
		Storage:       "JobManagerCheckpointStorage", StateBackend: backendName(e.options.Config.Backend().Type),
		AfterTasksFinish: c.AfterTasksFinish, Unaligned: c.Unaligned, AlignedTimeout: c.AlignedTimeout,
	}
	log := e.options.Config.Changelog()
	out.Changelog, out.ChangelogStorage, out.MaterializationInterval = log.Enabled, log.Storage.String(), log.Interval
	if c.Storage == config.FilesystemStorage {
		out.Storage = "FileSystemCheckpointStorage"
	}
	return out
}

// backendName is the name of a state backend in the interface.
func backendName(name string) string {
	switch name {
	case "hashmap":
		return "HashMapStateBackend"
	case "rocksdb":
		return "EmbeddedRocksDBStateBackend"
	case "pebble":
		return "PebbleStateBackend"
	}
	return name
}

// ask has the master answer between two of its steps, so that nobody needs a lock; after the job's end nobody changes anything any more.
// Of a job that was never begun the answer is zero.
func ask[T any](ctx context.Context, e *Execution, question func(*master) T) (answer T, err error) {
	if e.master == nil {
		return answer, nil
	}
	answers := make(chan T, 1)
	e.master.post(func() { answers <- question(e.master) })
	select {
	case answer = <-answers:
		return answer, nil
	case <-e.done:
		return question(e.master), nil
	case <-ctx.Done():
		return answer, fmt.Errorf("wait for the job's answer: %w", context.Cause(ctx))
	}
}

// deployed notes the shape in which the job runs from now on. It is copied, since the master changes its plan when it deals out state.
func (p *progress) deployed(plan *graph.Plan) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.board.shape, p.board.leaving = nil, map[job.OperatorID]bool{}
	for _, v := range plan.Vertices {
		out := view.Vertex{ID: v.ID(), Name: v.Name(), Parallelism: v.Parallelism, MaxParallelism: v.MaxParallelism}
		for _, in := range v.Inputs {
			out.Inputs = append(out.Inputs, view.Input{From: in.FromVertex.ID(), Partitioning: strings.ToUpper(in.Partitioning.String())})
			p.board.leaving[in.From.ID()] = true
		}
		for _, n := range v.Nodes {
			out.Steps = append(out.Steps, view.Step{ID: n.ID(), Name: n.Name})
		}
		p.board.shape = append(p.board.shape, out)
	}
	for _, l := range plan.Loops {
		head, tail := l.Vertices[0], l.Vertices[len(l.Vertices)-1]
		inputs := &p.board.shape[head.Index].Inputs
		*inputs = append(*inputs, view.Input{From: tail.ID(), Partitioning: view.Feedback})
	}
}

// job returns the board, and the counters of all subtasks.
func (p *progress) job() view.Job {
	p.mu.Lock()
	defer p.mu.Unlock()
	j := view.Job{State: p.board.state, Since: p.board.since, Changed: p.board.changed, Restarts: p.now.Restarts}
	for _, v := range p.board.shape {
		v.Steps = slices.Clone(v.Steps)
		for i := range v.Parallelism {
			p.addSubtask(&v, i)
		}
		j.Vertices = append(j.Vertices, v)
	}
	return j
}

// addSubtask adds what is known of one subtask of a vertex.
func (p *progress) addSubtask(v *view.Vertex, subtask int) {
	var s view.Subtask
	if t := p.board.tasks[job.Subtask{Vertex: v.ID, Index: subtask}]; t != nil {
		s = *t
	}
	v.Subtasks = append(v.Subtasks, s)
	written := int64(0)
	for i := range v.Steps {
		step := &v.Steps[i]
		m := p.metrics(step.ID, subtask)
		step.Subtasks = append(step.Subtasks, m)
		if p.board.leaving[step.ID] {
			written += m.Out
		}
	}
	v.Written = append(v.Written, written)
}

func (p *progress) metrics(op job.OperatorID, subtask int) view.Metrics {
	m := view.Metrics{Watermark: element.NoTime}
	scope := p.all[scopeKey{op, subtask}]
	if scope == nil {
		return m
	}
	m.Counters, m.Gauges = scope.Counters(), scope.Gauges()
	m.In, m.Out = m.Counters[operator.RecordsIn], m.Counters[operator.RecordsOut]
	if w, ok := m.Gauges[operator.Watermark]; ok {
		m.Watermark = w
	}
	delete(m.Counters, operator.RecordsIn)
	delete(m.Counters, operator.RecordsOut)
	delete(m.Gauges, operator.Watermark)
	delete(m.Gauges, operator.NewestTime)
	return m
}
