package program

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/weirstream/weir/internal/graph"
	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/metrics"
	"github.com/weirstream/weir/internal/protocol/barrier"
	"github.com/weirstream/weir/internal/protocol/snapshot"
	"github.com/weirstream/weir/internal/runtime/exchange"
	"github.com/weirstream/weir/internal/runtime/operator"
	"github.com/weirstream/weir/internal/runtime/spill"
	"github.com/weirstream/weir/internal/runtime/task"
	"github.com/weirstream/weir/sink"
)

// Deployment says what tasks are made with.
type Deployment struct {
	Plan *graph.Plan
	// Attempt returns the number of the attempt of a subtask, and false if it is not to be made. With a subtask all must be made that it is
	// connected to by edges.
	Attempt func(s job.Subtask) (number int, deploy bool)
	Mode    barrier.Mode
	Master  task.Master
	Logger  *slog.Logger
	Now     func() time.Time
	// Beside runs work beside tasks; nil means on goroutines.
	Beside func(work func())
	Line   sink.Line

	// Streams opens the place where a task writes its part of a checkpoint.
	Streams func(s job.Subtask, id job.CheckpointID) operator.Streams
	// OpenStream opens a stream of the checkpoint that is restored.
	OpenStream func(ctx context.Context, s snapshot.Stream) (operator.StreamReader, error)
	// MayUse, Again, Incremental, Compress, Backend, Changelog and Tracking are passed on to the operators.
	MayUse      func(s snapshot.Stream) bool
	Again       func(ctx context.Context, f func() error) error
	Incremental bool
	Compress    bool
	Backend     *operator.Backend
	Changelog   *operator.Changelog
	Tracking    operator.Tracking
	// Checkpointed and NoFinal are as in task.Config.
	Checkpointed, NoFinal bool
	// Restored is the checkpoint that is restored, 0 for none; State returns what it holds for one operator in one subtask.
	Restored job.CheckpointID
	// LeaveUndeclared is passed on to the operators.
	LeaveUndeclared bool
	State           func(op job.OperatorID, subtask int) *snapshot.OperatorSubtask
	// Finished reports whether a vertex had finished before the checkpoint.
	Finished func(v *graph.Vertex) bool
	// Committer returns the committer of a sink; nil if it has none.
	Committer func(op job.OperatorID) sink.Committer
	// Metrics returns the metrics of an operator in one subtask.
	Metrics func(op job.OperatorID, subtask int) *metrics.Scope
	// Loops says how loops keep what goes round in them.
	Loops Loops
}

// Loops says how loops keep what goes round in them.
type Loops struct {
	// Memory is the number of bytes that the feedback edge of a subtask takes, and each log of a checkpoint, before they go to Files.
	Memory int64
	Files  spill.Files
	// Lossy leaves what is in a loop at a checkpoint out of it.
	Lossy bool
}

// Deploy makes the tasks of the plan, or some of them, in the order of its vertices and their subtasks. None of them runs yet.
func Deploy(d *Deployment) ([]*task.Task, error) {
	b := &builder{Deployment: d, channels: map[channelKey][]*exchange.Channel{}, loops: loopsOf(d.Plan)}
	for _, v := range d.Plan.Vertices {
		for i := range v.Parallelism {
			if n, ok := d.Attempt(job.Subtask{Vertex: v.ID(), Index: i}); ok {
				b.newSubtask(v, i, n)
			}
		}
	}
	for _, s := range b.subtasks {
		b.connect(s)
	}
	b.closeLoops()
	var tasks []*task.Task
	for _, s := range b.subtasks {
		if err := b.chain(s); err != nil {
			return nil, fmt.Errorf("step %q, subtask %d: %w", s.vertex.Name(), s.index, err)
		}
		tasks = append(tasks, s.task)
	}
	return tasks, nil
}

type builder struct {
	*Deployment
	subtasks []*subtask
	of       map[*graph.Vertex][]*subtask
	// channels holds, for each producer subtask of an input, the channel to each consumer subtask.
	channels map[channelKey][]*exchange.Channel
	loops    []*loop
}

type channelKey struct {
	to       *graph.Vertex
	input    int // index in the vertex's inputs
	producer int
}

// subtask is a task that is being made.
type subtask struct {
	vertex *graph.Vertex
	index  int
	number int // of the attempt
	task   *task.Task
	gate   *exchange.Gate
	parker *task.Parker
	ops    []operator.Operator // each after those it pushes to
	outs   []operator.Output
	splits *operator.Splits // of a source
}

func (b *builder) newSubtask(v *graph.Vertex, index, number int) {
	s := &subtask{vertex: v, index: index, number: number, parker: task.NewParker()}
	s.task = task.New(s.parker)
	if len(v.Inputs) > 0 {
		s.gate = exchange.NewGate(s.parker.Wake)
	} else {
		s.splits = operator.NewSplits()
	}
	if b.of == nil {
		b.of = map[*graph.Vertex][]*subtask{}
	}
	b.of[v] = append(b.of[v], s)
	b.subtasks = append(b.subtasks, s)
}

// connect makes the channels of a subtask's gate: for each input one from every producer that may send to it.
func (b *builder) connect(s *subtask) {
	for i, in := range s.vertex.Inputs {
		for _, p := range b.of[in.FromVertex] {
			if in.Partitioning == graph.Forward && p.index != s.index {
				continue
			}
			key := channelKey{s.vertex, i, p.index}
			b.channels[key] = append(b.channels[key], s.gate.NewChannel(p.parker.Wake))
		}
	}
}

// chain makes the steps of a subtask and completes its task.
func (b *builder) chain(s *subtask) error {
	head := s.vertex.Nodes[0]
	first, err := b.step(s, head)
	if err != nil {
		return err
	}
	slices.Reverse(s.ops)
	subtask := job.Subtask{Vertex: s.vertex.ID(), Index: s.index}
	c := task.Config{
		Attempt:      job.Attempt{Subtask: subtask, Number: s.number},
		Name:         s.vertex.Name(),
		Logger:       b.Logger,
		Mode:         b.Mode,
		Master:       b.Master,
		Now:          b.Now,
		Beside:       b.Beside,
		Gate:         s.gate,
		Operators:    s.ops,
		Outputs:      s.outs,
		Streams:      func(id job.CheckpointID) operator.Streams { return b.Streams(subtask, id) },
		Checkpointed: b.Checkpointed,
		NoFinal:      b.NoFinal,
		Finished:     b.Finished(s.vertex),
		Restored:     b.Restored,
	}
	if s.gate != nil {
		c.Head = head.Payload.(*Step).In.Head(first)
	} else {
		c.Source = s.ops[0].(operator.Source)
	}
	b.joinLoops(s, &c)
	s.task.Start(c)
	return nil
}

// step makes a node's step, after all that it pushes to, and returns the pusher that takes its records.
func (b *builder) step(s *subtask, n *graph.Node) (first any, err error) {
	step := n.Payload.(*Step)
	env := b.env(s, n)
	outs := make([]any, len(step.Outs))
	for slot, t := range step.Outs {
		pushers, err := b.consumers(s, n, slot)
		if err != nil {
			return nil, err
		}
		outs[slot] = t.Join(pushers)
		if slot == 0 {
			outs[slot] = t.Count(outs[slot], env.Metrics.Counter(operator.RecordsOut))
		}
	}
	first, op, err := step.Make(env, outs)
	if err != nil {
		return nil, err
	}
	if n.LoopsTo != nil {
		s.outs = append(s.outs, operator.Output{Output: env.Loop.Feedback.(exchange.Output), Pusher: first})
	}
	if op != nil {
		s.ops = append(s.ops, op)
	}
	if first == nil {
		return nil, nil
	}
	return step.In.Guard(first, n.Name, s.index, operator.NewEntry(env.Metrics)), nil
}

// consumers returns a pusher for every consumer of one output of a node: the next step of the chain, or the way to another task.
func (b *builder) consumers(s *subtask, n *graph.Node, slot int) (pushers []any, err error) {
	for _, v := range b.Plan.Vertices[s.vertex.Index:] {
		if v == s.vertex {
			for _, next := range v.Nodes[1:] {
				if e := next.Inputs[0]; e.From == n && e.Slot == slot {
					p, err := b.step(s, next)
					if err != nil {
						return nil, err
					}
					pushers = append(pushers, p)
				}
			}
			continue
		}
		for i, in := range v.Inputs {
			if in.From == n && in.Slot == slot {
				pushers = append(pushers, b.output(s, n, v, i))
			}
		}
	}
	return pushers, nil
}

// output makes the sending side of an edge to another task.
func (b *builder) output(s *subtask, n *graph.Node, to *graph.Vertex, input int) any {
	in := to.Inputs[input]
	e := operator.Edge{Partitioning: in.Partitioning, MaxParallelism: to.MaxParallelism, Consumer: to.Nodes[0].Name}
	if p, ok := in.Payload.(EdgePayload); ok {
		e.Hasher, e.ShipHashes, e.Picker = p.Hasher, p.ShipHashes, p.Picker
	}
	out := n.Payload.(*Step).Outs[in.Slot].Output(e, b.channels[channelKey{to, input, s.index}], s.index)
	s.outs = append(s.outs, out)
	return out.Pusher
}

// env returns what a node knows of its subtask.
func (b *builder) env(s *subtask, n *graph.Node) *operator.Env {
	t, id := s.task, n.ID()
	return &operator.Env{
		Operator:        id,
		Former:          n.FormerIDs(),
		Name:            n.Name,
		Subtask:         s.index,
		Parallelism:     s.vertex.Parallelism,
		MaxParallelism:  s.vertex.MaxParallelism,
		Attempt:         s.number,
		Logger:          b.Logger.With("step", n.Name, "subtask", s.index),
		Metrics:         b.Metrics(id, s.index),
		Now:             b.Now,
		Restored:        b.State(id, s.index),
		RestoredFrom:    b.Restored,
		MayUse:          b.MayUse,
		Again:           b.Again,
		Incremental:     b.Incremental,
		Compress:        b.Compress,
		Backend:         b.Backend,
		Changelog:       b.Changelog,
		Tracking:        b.Tracking,
		LeaveUndeclared: b.LeaveUndeclared,
		OpenStream:      b.OpenStream,
		Go:              t.Go,
		Wake:            s.parker.Wake,
		Splits:          s.splits,
		RequestSplit:    func() { b.Master.RequestSplit(t.Attempt, id) },
		Line:            b.Line,
		Checkpointed:    t.SnapshotFollows,
		Committer:       b.Committer(id),
		Loop:            b.loopEnv(n, s.index),
	}
}
