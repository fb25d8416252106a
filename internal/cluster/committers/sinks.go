// Package committers holds the committers of a job's sinks with two phases: it opens them, asks them what earlier runs have committed, and lets
// them recover before any writer is opened.
//
//   - A committer is used by one goroutine at a time, though each subtask of its sink commits by itself.
//   - What is asked of a committer at a start does not panic, and a read of state that fails without proof of damage is tried again.
//   - All sinks are asked whether they can recover before the first one does.
//   - A sink that has recovered has no pending output in the state that its tasks are given.
package committers

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"sync"

	"github.com/weirstream/weir/internal/cluster/deal"
	"github.com/weirstream/weir/internal/cluster/patience"
	"github.com/weirstream/weir/internal/graph"
	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/protocol/line"
	"github.com/weirstream/weir/internal/protocol/snapshot"
	"github.com/weirstream/weir/internal/runtime/operator"
	"github.com/weirstream/weir/internal/runtime/program"
	"github.com/weirstream/weir/sink"
)

// Set holds the committers of a job's two-phase sinks. Zero is a set that is not open, and holds none. Its methods must not be called
// concurrently, but those of the committers may.
type Set struct {
	nodes      []*graph.Node
	committers map[job.OperatorID]*serial
	pause      patience.Pause // between attempts at a read
}

// Env is what committers are opened with.
type Env struct {
	sink.CommitterEnv
	// Pause is between attempts at something that may yet succeed.
	Pause patience.Pause
}

// Recovery is what the sinks are told before a run.
type Recovery struct {
	// Fresh means that earlier output is not the run's own.
	Fresh bool
	// Withdraw names sinks that take back what they have committed after the checkpoint.
	Withdraw []string
}

// StreamOpener opens a stream of the snapshot that is recovered from.
type StreamOpener func(context.Context, snapshot.Stream) (operator.StreamReader, error)

// Open opens the committers of a plan, unless they are. It opens all of them or none, and changes nothing outside.
func (s *Set) Open(ctx context.Context, p *graph.Plan, env Env) error {
	if s.committers != nil {
		return nil
	}
	opened := Set{committers: map[job.OperatorID]*serial{}, pause: env.Pause}
	for _, v := range p.Vertices {
		for _, n := range v.Nodes {
			if program.StepOf(n).Committer == nil {
				continue
			}
			own := env.CommitterEnv
			own.Logger = env.Logger.With("step", n.Name)
			c, err := openCommitter(ctx, n, own)
			if err != nil {
				if closing := opened.Close(); closing != nil {
					env.Logger.Warn("close the sinks", "error", closing)
				}
				return fmt.Errorf("sink %q: %w", n.Name, err)
			}
			opened.nodes = append(opened.nodes, n)
			opened.committers[n.ID()] = &serial{committer: c}
		}
	}
	*s = opened
	return nil
}

// Of returns the committer of a sink, for its tasks; nil if it has none. Any goroutine may use it.
func (s *Set) Of(op job.OperatorID) sink.Committer {
	if c, ok := s.committers[op]; ok {
		return c
	}
	return nil
}

// Names returns the names of those of some sinks that commit, in the order of the plan.
func (s *Set) Names(ops []job.OperatorID) (names []string) {
	for _, n := range s.nodes {
		if slices.Contains(ops, n.ID()) {
			names = append(names, n.Name)
		}
	}
	return names
}

func openCommitter(ctx context.Context, n *graph.Node, env sink.CommitterEnv) (c sink.Committer, err error) {
	defer patience.Rescue(&err)
	return program.StepOf(n).Committer(ctx, env)
}

// Close closes the committers. The set holds none then.
func (s *Set) Close() error {
	var errs []error
	for _, n := range s.nodes {
		errs = append(errs, s.committers[n.ID()].Close())
	}
	s.nodes, s.committers = nil, nil
	return errors.Join(errs...)
}

// Ask asks every sink what it has committed after a checkpoint.
func (s *Set) Ask(ctx context.Context, after job.CheckpointID) ([]line.SinkAnswer, error) {
	var answers []line.SinkAnswer
	for _, n := range s.nodes {
		c := s.committers[n.ID()]
		a, err := patience.Retry(ctx, s.pause, func() (line.SinkAnswer, error) {
			names, err := c.CommittedAfter(ctx, int64(after))
			if errors.Is(err, sink.ErrUnknown) {
				return line.SinkAnswer{Unknown: err.Error()}, nil
			}
			return line.SinkAnswer{Committed: names}, err
		})
		if err != nil {
			return nil, fmt.Errorf("sink %q: find out what was committed after checkpoint %d: %w", n.Name, after, err)
		}
		a.Name, a.Withdrawal = n.Name, withdrawal(n)
		answers = append(answers, a)
	}
	return answers, nil
}

// Earlier returns a sink that holds output of an earlier run, by its name, and some of that output; both are empty if there is none.
func (s *Set) Earlier(ctx context.Context) (step, output string, err error) {
	for _, n := range s.nodes {
		earlier, err := s.committers[n.ID()].CommittedAfter(ctx, 0)
		if err != nil && !errors.Is(err, sink.ErrUnknown) {
			return "", "", fmt.Errorf("sink %q: find out what earlier runs have committed: %w", n.Name, err)
		}
		if len(earlier) > 0 {
			return n.Name, earlier[0], nil
		}
	}
	return "", "", nil
}

func withdrawal(n *graph.Node) line.Withdrawal {
	switch w := program.StepOf(n).Withdrawer; {
	case w == nil:
		return line.Unable
	case w.Withdraws():
		return line.Automatic
	}
	return line.OnRequest
}

// Check finds out whether every sink will be able to recover. It changes nothing.
func (s *Set) Check(ctx context.Context, meta *snapshot.Metadata, r Recovery, open StreamOpener) error {
	_, err := s.plans(ctx, meta, r, open)
	return err
}

func (s *Set) plans(ctx context.Context, meta *snapshot.Metadata, r Recovery, open StreamOpener) ([]sinkRecovery, error) {
	plans := make([]sinkRecovery, len(s.nodes))
	for i, n := range s.nodes {
		var err error
		if plans[i], err = s.planRecovery(ctx, n, meta, r, open); err != nil {
			return nil, fmt.Errorf("sink %q: %w", n.Name, err)
		}
	}
	return plans, nil
}

// Recover lets every sink commit what the restored checkpoint knows as prepared, withdraw and sweep, before any writer is opened. All are
// asked whether they can before the first one does. It replaces the writers' states in meta by those that the sinks return. meta is nil
// for a new start. try calls what it is given, more than once if it likes.
func (s *Set) Recover(ctx context.Context, meta *snapshot.Metadata, r Recovery, open StreamOpener, try func(func() error) error) (moved []string, err error) {
	plans, err := s.plans(ctx, meta, r, open)
	if err != nil {
		return nil, err
	}
	for i, n := range s.nodes {
		var done sink.Recovered
		err := try(func() (err error) {
			done, err = s.committers[n.ID()].Recover(ctx, plans[i].what)
			moved = append(moved, done.Moved...)
			return err
		})
		if err != nil {
			return moved, fmt.Errorf("sink %q: %w", n.Name, err)
		}
		if want := len(plans[i].what.Writers); len(done.Writers) != want {
			return moved, fmt.Errorf("sink %q: recovery returned %d writer states for %d", n.Name, len(done.Writers), want)
		}
		if plans[i].state != nil {
			replaceState(plans[i].state, done.Writers)
		}
	}
	return moved, nil
}

// sinkRecovery is what one sink is told to recover, and the state that this comes from, nil if there is none.
type sinkRecovery struct {
	what  sink.Recovery
	state *snapshot.OperatorState
}

func (s *Set) planRecovery(ctx context.Context, n *graph.Node, meta *snapshot.Metadata, r Recovery, open StreamOpener) (p sinkRecovery, err error) {
	p.what = sink.Recovery{Fresh: r.Fresh, Withdraw: slices.Contains(r.Withdraw, n.Name)}
	if meta != nil {
		p.what.Checkpoint = int64(meta.Checkpoint)
		p.state = stateOf(meta, n)
	}
	if p.state != nil {
		if p.what.Writers, err = s.elements(ctx, p.state.Subtasks, operator.WriterState, open); err != nil {
			return p, err
		}
		pending, err := s.elements(ctx, p.state.Subtasks, operator.PendingState, open)
		if err != nil {
			return p, err
		}
		if p.what.Pending, err = operator.DecodePending(pending); err != nil {
			return p, err
		}
	}
	return p, s.committers[n.ID()].Check(ctx, p.what)
}

// stateOf returns what a snapshot holds for a node, under its present id or an earlier one.
func stateOf(meta *snapshot.Metadata, n *graph.Node) *snapshot.OperatorState {
	for _, id := range append([]job.OperatorID{n.ID()}, n.FormerIDs()...) {
		for i := range meta.Operators {
			if meta.Operators[i].ID == id {
				return &meta.Operators[i]
			}
		}
	}
	return nil
}

// elements returns the elements of one list state of some subtasks. A read that fails without proof of damage is tried again: no task is there
// yet whose restart would do so.
func (s *Set) elements(ctx context.Context, subtasks []*snapshot.OperatorSubtask, name string, open StreamOpener) (all [][]byte, err error) {
	for _, sub := range subtasks {
		if sub == nil {
			continue
		}
		for _, l := range sub.Lists {
			if l.Name != name {
				continue
			}
			es, err := patience.Retry(ctx, s.pause, func() ([][]byte, error) { return operator.ReadElements(ctx, open, l) })
			if err != nil {
				return nil, fmt.Errorf("read state %q: %w", name, err)
			}
			all = append(all, es...)
		}
	}
	return all, nil
}

// replaceState leaves the given writers' states as the only state of a sink, each where the one was that it replaces: a subtask that restarts
// alone finds there what it had.
func replaceState(state *snapshot.OperatorState, writers [][]byte) {
	for _, sub := range state.Subtasks {
		if sub != nil {
			n := countElements(sub, operator.WriterState)
			sub.Lists = writerLists(writers[:n])
			writers = writers[n:]
		}
	}
}

func countElements(sub *snapshot.OperatorSubtask, name string) (n int) {
	for _, l := range sub.Lists {
		if l.Name == name {
			n += len(l.Offsets)
		}
	}
	return n
}

// writerLists returns the list states of a sink's subtask that hold the states of writers and nothing else.
func writerLists(writers [][]byte) []snapshot.List {
	if len(writers) == 0 {
		return nil
	}
	l := snapshot.List{Name: operator.WriterState, Mode: snapshot.Split}
	for _, w := range writers {
		l.Offsets = append(l.Offsets, int64(len(l.Stream.Inline)))
		l.Stream.Inline = append(l.Stream.Inline, w...)
	}
	l.Stream.Length = int64(len(l.Stream.Inline))
	l.Stream.CRC = crc32.Checksum(l.Stream.Inline, crc32.MakeTable(crc32.Castagnoli))
	return []snapshot.List{l}
}

// RecoversSingly reports whether what a node writes outside can be put right for single subtasks.
func (s *Set) RecoversSingly(n *graph.Node) bool {
	c, commits := s.committers[n.ID()]
	if !commits {
		return true
	}
	_, ok := c.committer.(sink.SubtaskRecoverer)
	return ok
}

// WithoutPending returns a checkpoint without what sinks had prepared, as it is after they have recovered: state is dealt out as it was then.
// meta itself is not changed. It is nil for none.
func (s *Set) WithoutPending(meta *snapshot.Metadata) *snapshot.Metadata {
	if meta == nil {
		return nil
	}
	copied := *meta
	copied.Operators = slices.Clone(meta.Operators)
	for _, n := range s.nodes {
		if state := stateOf(&copied, n); state != nil {
			state.Subtasks = slices.Clone(state.Subtasks)
			for i, sub := range state.Subtasks {
				if sub != nil {
					own := *sub
					own.Lists = slices.DeleteFunc(slices.Clone(sub.Lists), func(l snapshot.List) bool { return l.Name != operator.WriterState })
					state.Subtasks[i] = &own
				}
			}
		}
	}
	return &copied
}

// Region is some tasks of a plan that restart from a checkpoint while the others go on.
type Region struct {
	Plan  *graph.Plan
	Tasks map[job.Subtask]bool
	// Meta is the checkpoint, nil for none; Restored is what it holds for the tasks once the sinks have recovered: see WithoutPending.
	Meta     *snapshot.Metadata
	Restored *deal.Restored
}

// RecoverRegion lets the sinks put right what the tasks of a region have left, and replaces the states of their writers by those that they
// return. All sinks of the region must recover singly.
func (s *Set) RecoverRegion(ctx context.Context, r Region, open StreamOpener) error {
	for _, n := range s.nodes {
		v := r.Plan.VertexOf(n)
		for i := range v.Parallelism {
			if !r.Tasks[job.Subtask{Vertex: v.ID(), Index: i}] {
				continue
			}
			if err := s.recoverSubtask(ctx, n, i, v.Parallelism, r, open); err != nil {
				return fmt.Errorf("sink %q, subtask %d: %w", n.Name, i, err)
			}
		}
	}
	return nil
}

func (s *Set) recoverSubtask(ctx context.Context, n *graph.Node, subtask, parallelism int, r Region, open StreamOpener) (err error) {
	what := sink.Recovery{Checkpoint: int64(r.Restored.ID)}
	own := []*snapshot.OperatorSubtask{r.Restored.State(n.ID(), subtask)}
	if what.Writers, err = s.elements(ctx, own, operator.WriterState, open); err != nil {
		return err
	}
	if what.Pending, err = s.pendingOf(ctx, r.Meta, n, subtask, parallelism, open); err != nil {
		return err
	}
	recovered, err := s.committers[n.ID()].RecoverSubtask(ctx, subtask, what)
	if err != nil {
		return err
	}
	if len(recovered.Writers) != len(what.Writers) {
		return fmt.Errorf("recovery returned %d writer states for %d", len(recovered.Writers), len(what.Writers))
	}
	if len(what.Writers) > 0 {
		r.Restored.Replace(n.ID(), subtask, &snapshot.OperatorSubtask{Lists: writerLists(recovered.Writers)})
	}
	return nil
}

// pendingOf returns what a subtask of a sink had prepared at a checkpoint. If that was taken at another parallelism all of it was committed
// when the job first went on from there.
func (s *Set) pendingOf(ctx context.Context, meta *snapshot.Metadata, n *graph.Node, subtask, parallelism int, open StreamOpener) ([]sink.Pending, error) {
	if meta == nil {
		return nil, nil
	}
	state := stateOf(meta, n)
	if state == nil || state.Parallelism != parallelism || subtask >= len(state.Subtasks) {
		return nil, nil
	}
	items, err := s.elements(ctx, state.Subtasks[subtask:subtask+1], operator.PendingState, open)
	if err != nil {
		return nil, err
	}
	return operator.DecodePending(items)
}

// serial lets one goroutine at a time use a committer, since each subtask of a sink commits what it has prepared. What the master asks of
// it does not panic: that would end the process, and with it what else there is to say.
type serial struct {
	mu        sync.Mutex // held across the committer's I/O, which is what it is for
	committer sink.Committer
}

func (s *serial) Commit(ctx context.Context, checkpoint int64, pending [][]byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.committer.Commit(ctx, checkpoint, pending)
}

func (s *serial) CommittedAfter(ctx context.Context, checkpoint int64) (names []string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer patience.Rescue(&err)
	return s.committer.CommittedAfter(ctx, checkpoint)
}

// Check finds nothing if the committer cannot tell.
func (s *serial) Check(ctx context.Context, r sink.Recovery) (err error) {
	c, ok := s.committer.(sink.RecoveryChecker)
	if !ok {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	defer patience.Rescue(&err)
	return c.Check(ctx, r)
}

func (s *serial) Recover(ctx context.Context, r sink.Recovery) (done sink.Recovered, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer patience.Rescue(&err)
	return s.committer.Recover(ctx, r)
}

func (s *serial) RecoverSubtask(ctx context.Context, subtask int, r sink.Recovery) (done sink.Recovered, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer patience.Rescue(&err)
	return s.committer.(sink.SubtaskRecoverer).RecoverSubtask(ctx, subtask, r)
}

func (s *serial) Close() (err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer patience.Rescue(&err)
	return s.committer.Close()
}
