package local

import (
	"sync"
	"time"

	"github.com/weirstream/weir/internal/graph"
	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/metrics"
	"github.com/weirstream/weir/internal/protocol/coordinator"
	"github.com/weirstream/weir/internal/runtime/operator"
)

// Progress is how a job is doing at one moment.
type Progress struct {
	Steps      []StepProgress // those with an id, in the order of the plan
	Checkpoint CheckpointProgress
	Restarts   int
	LastError  string
}

// StepProgress is what a step has done, summed over its subtasks, since the process began.
type StepProgress struct {
	Name string
	In   int64 // records
	Out  int64
	// Watermark is the lowest of its subtasks in milliseconds since 1970 UTC, and Timed whether there is one.
	Watermark int64
	Timed     bool
	Counters  map[string]int64 // the step's own
}

// CheckpointProgress is what became of the checkpoints.
type CheckpointProgress struct {
	Completed, Failed int
	LastID            job.CheckpointID
	LastBytes         int64
	LastDuration      time.Duration
	LastAt            time.Time
	// LastSync and MaxSync are the longest time that a subtask stood still to capture its state, in the last checkpoint and in all.
	LastSync, MaxSync time.Duration
}

// progress gathers what a job does. Tasks count without it; the master tells it the rest.
type progress struct {
	plan *graph.Plan
	mu   sync.Mutex // guards all below
	all  map[scopeKey]*metrics.Scope
	now  Progress
}

type scopeKey struct {
	operator job.OperatorID
	subtask  int
}

func newProgress(p *graph.Plan) *progress {
	return &progress{plan: p, all: map[scopeKey]*metrics.Scope{}}
}

// scope returns the metrics of an operator in one subtask, which go on over restarts.
func (p *progress) scope(op job.OperatorID, subtask int) *metrics.Scope {
	p.mu.Lock()
	defer p.mu.Unlock()
	key := scopeKey{op, subtask}
	if p.all[key] == nil {
		p.all[key] = metrics.NewScope()
	}
	return p.all[key]
}

func (p *progress) restarted(n int, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now.Restarts, p.now.LastError = n, err.Error()
}

func (p *progress) completed(s coordinator.CheckpointStats) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := &p.now.Checkpoint
	c.Completed++
	c.LastID, c.LastBytes, c.LastDuration, c.LastAt = s.ID, s.StateBytes, s.Duration, s.Ended
	c.LastSync = longestSync(s)
	c.MaxSync = max(c.MaxSync, c.LastSync)
}

func longestSync(s coordinator.CheckpointStats) (longest time.Duration) {
	for _, v := range s.Vertices {
		for _, sub := range v.Subtasks {
			longest = max(longest, sub.Metrics.Sync)
		}
	}
	return longest
}

func (p *progress) failed(coordinator.CheckpointStats) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now.Checkpoint.Failed++
}

func (p *progress) snapshot() Progress {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now
	for _, v := range p.plan.Vertices {
		for _, n := range v.Nodes {
			if n.Named {
				now.Steps = append(now.Steps, p.step(n, v.Parallelism))
			}
		}
	}
	return now
}

func (p *progress) step(n *graph.Node, parallelism int) StepProgress {
	s := StepProgress{Name: n.Name, Counters: map[string]int64{}}
	for i := range parallelism {
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
	}
	return s
}
