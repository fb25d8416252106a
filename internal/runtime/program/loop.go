package program

import (
	"slices"
	"sync"

	"github.com/weirstream/weir/internal/graph"
	"github.com/weirstream/weir/internal/protocol/drain"
	"github.com/weirstream/weir/internal/runtime/exchange"
	"github.com/weirstream/weir/internal/runtime/operator"
	"github.com/weirstream/weir/internal/runtime/task"
)

// loop is a loop of the plan while its tasks are being made.
type loop struct {
	graph.Loop
	number uint16
	edges  []exchange.Output // the feedback edges by subtask
	drain  *draining
}

func loopsOf(p *graph.Plan) (loops []*loop) {
	for i, l := range p.Loops {
		loops = append(loops, &loop{Loop: l, number: uint16(i)})
	}
	return loops
}

// closeLoops makes the feedback edges.
func (b *builder) closeLoops() {
	for _, l := range b.loops {
		heads := b.of[b.Plan.VertexOf(l.Head)]
		l.drain = &draining{decide: drain.New(len(heads))}
		for _, s := range heads {
			l.drain.heads = append(l.drain.heads, s.task)
			l.edges = append(l.edges, l.Head.Payload.(*Step).Feedback(exchange.FeedbackOptions{
				Memory: b.Loops.Memory, Files: b.Loops.Files, Wake: s.parker.Wake,
			}))
		}
	}
}

// loopEnv returns what the head or the tail of a loop knows of it, nil for other nodes.
func (b *builder) loopEnv(n *graph.Node, subtask int) *operator.LoopEnv {
	for _, l := range b.loops {
		if l.Head == n || l.Tail == n {
			return &operator.LoopEnv{Feedback: l.edges[subtask], Lossy: b.Loops.Lossy, Memory: b.Loops.Memory, Files: b.Loops.Files}
		}
	}
	return nil
}

// joinLoops tells a task which loops it begins and which it is part of.
func (b *builder) joinLoops(s *subtask, c *task.Config) {
	for _, l := range b.loops {
		switch {
		case l.Head == s.vertex.Nodes[0]:
			c.Loop = &task.Loop{Head: s.ops[0].(operator.Loop), Number: l.number, Drain: l.drain}
		case slices.Contains(l.Vertices, s.vertex):
			c.Loops = append(c.Loops, l.number)
		}
	}
}

// draining carries the reports of the heads of one loop to the decision, and what it says back to them.
type draining struct {
	heads  []*task.Task
	mu     sync.Mutex // guards decide
	decide *drain.Drain
}

// Ended reports that the outside inputs of a head have ended.
func (d *draining) Ended(subtask int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.decide.Ended(subtask)
	d.tellLocked()
}

// Returned reports that the probe of a round has come back.
func (d *draining) Returned(subtask int, round uint32, records int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.decide.Returned(subtask, round, records)
	d.tellLocked()
}

// tellLocked tells every head what to do. It holds the lock, so that all are told in the same order.
func (d *draining) tellLocked() {
	for _, a := range d.decide.Actions() {
		for _, h := range d.heads {
			switch a.Kind {
			case drain.Probe, drain.EndTime:
				h.SendProbe(a.Round, a.Kind == drain.EndTime)
			case drain.End:
				h.EndLoop()
			}
		}
	}
}
