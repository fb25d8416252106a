// Package progress says how a job is doing, whoever asks and whenever: what its steps have counted, what became of its tasks and checkpoints,
// how often it has restarted.
//
//   - It is told, and asks nobody: the master says what happens, and tasks count in scopes that they are given here.
//   - What a subtask has counted stays when it restarts, and when the job is rescaled.
//   - Whoever asks gets values of one moment, and holds up nobody but for a moment.
package progress

import (
	"sync"
	"time"

	"github.com/weirstream/weir/internal/cluster/view"
	"github.com/weirstream/weir/internal/element"
	"github.com/weirstream/weir/internal/graph"
	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/metrics"
	"github.com/weirstream/weir/internal/protocol/coordinator"
	"github.com/weirstream/weir/internal/runtime/operator"
)

// Progress is how a job is doing at one moment.
type Progress struct {
	Phase Phase
	Steps []Step // those with an id, in the order of the plan
	// Newest is the largest event time that was assigned to a record, in milliseconds since 1970 UTC; the smallest
	// int64 if none was.
	Newest     int64
	Checkpoint Checkpoints
	Restarts   int
	// Futile is how many of the restarts, in a row, went back to the same checkpoint without one complete in between.
	Futile    int
	LastError string // why it restarted; empty if it never did
}

// Phase is what a job is doing.
type Phase string

// The phases of a run.
const (
	Starting   Phase = "starting"
	Running    Phase = "running"
	Restarting Phase = "restarting"
	Stopping   Phase = "stopping" // until its last checkpoint is complete and committed
)

// Step is what a step has done, summed over its subtasks, since the process began. What is read again after a restart counts
// again.
type Step struct {
	Name         string
	Source, Sink bool
	In           int64 // records; a source has none
	Out          int64 // records; a sink has none
	// Watermark is the lowest of its subtasks' that have one, in milliseconds since 1970 UTC; the smallest int64 if none has, and the
	// largest at the end of the data.
	Watermark int64
	Counters  map[string]int64 // the step's own
}

// Checkpoints is what became of the checkpoints.
type Checkpoints struct {
	Completed, Failed int
	LastID            job.CheckpointID // of the last complete one
	LastBytes         int64
	LastDuration      time.Duration
	LastAt            time.Time
	LastFailure       string // the reason's name, of the last failed one; empty if none has failed
	// LastSync and MaxSync are the longest time that a subtask stood still to capture its state, in the last checkpoint and in all.
	LastSync, MaxSync time.Duration
}

// Tracker gathers what a job does. Tasks count without it; the master tells it the rest. Any goroutine may call its methods.
type Tracker struct {
	mu   sync.Mutex // guards all below
	plan *graph.Plan
	all  map[scopeKey]*metrics.Scope
	// most is the largest number of subtasks that an operator has had, if it has been rescaled: what those counted that are no more still
	// counts.
	most map[job.OperatorID]int
	now  Progress
	board
}

type scopeKey struct {
	operator job.OperatorID
	subtask  int
}

// New returns the tracker of a job that has not begun.
func New(p *graph.Plan) *Tracker {
	out := &Tracker{
		plan: p, all: map[scopeKey]*metrics.Scope{}, most: map[job.OperatorID]int{}, now: Progress{Phase: Starting, Newest: element.NoTime},
		board: board{tasks: map[job.Subtask]*view.Subtask{}},
	}
	out.Deployed(p)
	return out
}

// Replan takes over a plan of the same steps.
func (p *Tracker) Replan(plan *graph.Plan) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, v := range p.plan.Vertices {
		for _, n := range v.Nodes {
			p.most[n.ID()] = max(p.most[n.ID()], v.Parallelism)
		}
	}
	p.plan = plan
}

// Scope returns the metrics of an operator in one subtask, which go on over restarts.
func (p *Tracker) Scope(op job.OperatorID, subtask int) *metrics.Scope {
	p.mu.Lock()
	defer p.mu.Unlock()
	key := scopeKey{op, subtask}
	if p.all[key] == nil {
		p.all[key] = metrics.NewScope()
	}
	return p.all[key]
}

// Entered says what the job does now. A job that is stopping does nothing else any more.
func (p *Tracker) Entered(phase Phase) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.enterLocked(phase)
}

func (p *Tracker) enterLocked(phase Phase) {
	if p.now.Phase != Stopping {
		p.now.Phase = phase
	}
}

// Restarted says that the job is about to restart for the nth time, and why.
func (p *Tracker) Restarted(n int, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.enterLocked(Restarting)
	p.now.Restarts, p.now.LastError = n, err.Error()
}

// Futile says how many restarts in a row have gone back to the same checkpoint.
func (p *Tracker) Futile(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now.Futile = n
}

// Completed counts a complete checkpoint.
func (p *Tracker) Completed(s coordinator.CheckpointStats) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := &p.now.Checkpoint
	c.Completed++
	c.LastID, c.LastBytes, c.LastDuration, c.LastAt = s.ID, s.StateBytes, s.Duration, s.Ended
	c.LastSync = s.LongestSync
	c.MaxSync = max(c.MaxSync, c.LastSync)
}

// Failed counts a checkpoint that came to nothing.
func (p *Tracker) Failed(s coordinator.CheckpointStats) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now.Checkpoint.Failed++
	p.now.Checkpoint.LastFailure = s.Reason.String()
}

// Progress returns how the job is doing now.
func (p *Tracker) Progress() Progress {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now
	for _, v := range p.plan.Vertices {
		for _, n := range v.Nodes {
			step, newest := p.step(n, v.Parallelism)
			now.Newest = max(now.Newest, newest)
			if n.Named {
				now.Steps = append(now.Steps, step)
			}
		}
	}
	return now
}

// step sums up a step's subtasks, and returns the newest event time that it has assigned.
func (p *Tracker) step(n *graph.Node, parallelism int) (s Step, newest int64) {
	s = Step{Name: n.Name, Source: n.Kind == graph.Source, Sink: n.Kind == graph.Sink, Watermark: element.NoTime, Counters: map[string]int64{}}
	newest = element.NoTime
	for i := range max(parallelism, p.most[n.ID()]) {
		scope := p.all[scopeKey{n.ID(), i}]
		if scope == nil {
			continue
		}
		for name, value := range scope.Counters() {
			switch name {
			case operator.RecordsIn:
				s.In += value
			case operator.RecordsOut:
				s.Out += value
			default:
				s.Counters[name] += value
			}
		}
		if i >= parallelism {
			continue // it has no watermark any more
		}
		gauges := scope.Gauges()
		s.Watermark = lowest(s.Watermark, gauges, operator.Watermark)
		if at, ok := gauges[operator.NewestTime]; ok {
			newest = max(newest, at)
		}
	}
	return s, newest
}

// lowest returns the lower of a time and a gauge's, of which either may be none.
func lowest(at int64, gauges map[string]int64, name string) int64 {
	g, ok := gauges[name]
	switch {
	case !ok || g == element.NoTime:
		return at
	case at == element.NoTime:
		return g
	}
	return min(at, g)
}
