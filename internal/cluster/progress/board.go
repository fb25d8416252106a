package progress

import (
	"slices"
	"strings"
	"time"

	"github.com/weirstream/weir/internal/cluster/view"
	"github.com/weirstream/weir/internal/element"
	"github.com/weirstream/weir/internal/graph"
	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/runtime/operator"
)

// board says what became of a job and its tasks, and when. Part of a Tracker, and guarded like it.
type board struct {
	state   view.JobState
	since   [view.JobStates]time.Time
	changed time.Time
	tasks   map[job.Subtask]*view.Subtask
	shape   []view.Vertex           // without subtasks
	leaving map[job.OperatorID]bool // what these emit goes to another vertex
}

// Became notes that the job is in another state.
func (p *Tracker) Became(s view.JobState, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.becomeLocked(s, now)
}

func (p *Tracker) becomeLocked(s view.JobState, now time.Time) {
	p.board.state, p.board.since[s], p.board.changed = s, now, now
}

// Task notes that an attempt is in another state.
func (p *Tracker) Task(a job.Attempt, s view.TaskState, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := p.board.tasks[a.Subtask]
	if n := a.Number - 1; t == nil || t.Attempt != n {
		t = &view.Subtask{Attempt: n}
		p.board.tasks[a.Subtask] = t
	}
	t.State, t.Since[s], p.board.changed = s, now, now
}

// Cancelling notes that the tasks that have not ended are being stopped.
func (p *Tracker) Cancelling(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, t := range p.board.tasks {
		if !t.State.Ended() {
			t.State, t.Since[view.TaskCanceling], p.board.changed = view.TaskCanceling, now, now
		}
	}
}

// FinishedBefore notes that an earlier run has done it all.
func (p *Tracker) FinishedBefore(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.becomeLocked(view.JobFinished, now)
	for _, v := range p.board.shape {
		for i := range v.Parallelism {
			p.board.tasks[job.Subtask{Vertex: v.ID, Index: i}] = &view.Subtask{State: view.TaskFinished}
		}
	}
}

// Deployed notes the shape in which the job runs from now on. It is copied, since the master changes its plan when it deals out state.
func (p *Tracker) Deployed(plan *graph.Plan) {
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

// Job returns the board, and the counters of all subtasks.
func (p *Tracker) Job() view.Job {
	p.mu.Lock()
	defer p.mu.Unlock()
	j := view.Job{State: p.board.state, Since: p.board.since, Changed: p.board.changed, Restarts: p.now.Restarts, Futile: p.now.Futile}
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
func (p *Tracker) addSubtask(v *view.Vertex, subtask int) {
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

func (p *Tracker) metrics(op job.OperatorID, subtask int) view.Metrics {
	m := view.Metrics{Watermark: element.NoTime}
	scope := p.all[scopeKey{op, subtask}]
	if scope == nil {
		return m
	}
	m.Counters, m.Gauges, m.Histograms = scope.Counters(), scope.Gauges(), scope.Histograms()
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
