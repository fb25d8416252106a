package jobmaster

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"sync"
	"time"

	"github.com/weirstream/weir/internal/exitcode"
	"github.com/weirstream/weir/internal/graph"
	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/protocol/line"
	"github.com/weirstream/weir/internal/protocol/snapshot"
	"github.com/weirstream/weir/internal/runtime/operator"
	"github.com/weirstream/weir/internal/runtime/program"
	"github.com/weirstream/weir/sink"
)

// sinks holds the committers of a job's two-phase sinks.
type sinks struct {
	nodes      []*graph.Node
	committers map[job.OperatorID]sink.Committer
	pause      func(context.Context, time.Duration) // between attempts at a read
}

func stepOf(n *graph.Node) *program.Step { return n.Payload.(*program.Step) }

// open opens the committers, once. It opens all of them or none, and changes nothing outside.
func (s *sinks) open(ctx context.Context, o *Options, l sink.Line) error {
	if s.committers != nil {
		return nil
	}
	opened := sinks{committers: map[job.OperatorID]sink.Committer{}, pause: o.pause}
	for _, v := range o.Plan.Vertices {
		for _, n := range v.Nodes {
			if stepOf(n).Committer == nil {
				continue
			}
			c, err := openCommitter(ctx, n, sink.CommitterEnv{Line: l, Logger: o.Logger.With("step", n.Name), Now: o.Now})
			if err != nil {
				if closing := opened.close(); closing != nil {
					o.Logger.Warn("close the sinks", "error", closing)
				}
				return refuse(exitcode.Refused, "sink %q: %v", n.Name, err)
			}
			opened.nodes = append(opened.nodes, n)
			opened.committers[n.ID()] = &serial{committer: c}
		}
	}
	*s = opened
	return nil
}

func openCommitter(ctx context.Context, n *graph.Node, env sink.CommitterEnv) (c sink.Committer, err error) {
	defer rescue(&err)
	return stepOf(n).Committer(ctx, env)
}

// committer returns the committer of a sink; nil if it has none.
func (s *sinks) committer(op job.OperatorID) sink.Committer { return s.committers[op] }

func (s *sinks) close() error {
	var errs []error
	for _, n := range s.nodes {
		errs = append(errs, s.committers[n.ID()].Close())
	}
	s.nodes, s.committers = nil, nil
	return errors.Join(errs...)
}

// ask asks every sink what it has committed after a checkpoint.
func (s *sinks) ask(ctx context.Context, st *start, v line.Verdict) ([]line.SinkAnswer, error) {
	l := sink.Line{ID: v.Record.Line, Name: v.Record.Name, Epoch: v.Record.Epoch}
	if err := s.open(ctx, &st.Options, l); err != nil {
		return nil, err
	}
	var answers []line.SinkAnswer
	for _, n := range s.nodes {
		c := s.committers[n.ID()]
		a, err := retry(ctx, st.pause, func() (line.SinkAnswer, error) {
			names, err := c.CommittedAfter(ctx, int64(v.After))
			if errors.Is(err, sink.ErrUnknown) {
				return line.SinkAnswer{Unknown: err.Error()}, nil
			}
			return line.SinkAnswer{Committed: names}, err
		})
		if err != nil {
			return nil, refuse(exitcode.Refused, "sink %q: find out what was committed after checkpoint %d: %v", n.Name, v.After, err)
		}
		a.Name, a.Withdrawal = n.Name, withdrawal(n)
		answers = append(answers, a)
	}
	return answers, nil
}

func withdrawal(n *graph.Node) line.Withdrawal {
	switch w := stepOf(n).Withdrawer; {
	case w == nil:
		return line.Unable
	case w.Withdraws():
		return line.Automatic
	}
	return line.OnRequest
}

// check finds out whether every sink will be able to recover. It changes nothing.
func (s *sinks) check(ctx context.Context, meta *snapshot.Metadata, r recovery, open streamOpener) (err error) {
	defer rescue(&err)
	_, err = s.plans(ctx, meta, r, open)
	return err
}

func (s *sinks) plans(ctx context.Context, meta *snapshot.Metadata, r recovery, open streamOpener) ([]sinkRecovery, error) {
	plans := make([]sinkRecovery, len(s.nodes))
	for i, n := range s.nodes {
		var err error
		if plans[i], err = s.planRecovery(ctx, n, meta, r, open); err != nil {
			return nil, fmt.Errorf("sink %q: %w", n.Name, err)
		}
	}
	return plans, nil
}

// recover lets every sink commit what the restored checkpoint knows as prepared, withdraw and sweep, before any writer is opened. All are
// asked whether they can before the first one does. It replaces the writers' states in meta by those that the sinks return. meta is nil
// for a new start. try calls what it is given, more than once if it likes.
func (s *sinks) recover(ctx context.Context, meta *snapshot.Metadata, r recovery, open streamOpener, try func(func() error) error) (moved []string, err error) {
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

type streamOpener func(context.Context, snapshot.Stream) (operator.StreamReader, error)

func (s *sinks) planRecovery(ctx context.Context, n *graph.Node, meta *snapshot.Metadata, r recovery, open streamOpener) (p sinkRecovery, err error) {
	p.what = sink.Recovery{Fresh: r.fresh, Withdraw: slices.Contains(r.withdraw, n.Name)}
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
	if c, ok := s.committers[n.ID()].(*serial).committer.(sink.RecoveryChecker); ok {
		return p, c.Check(ctx, p.what)
	}
	return p, nil
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
func (s *sinks) elements(ctx context.Context, subtasks []*snapshot.OperatorSubtask, name string, open streamOpener) (all [][]byte, err error) {
	for _, sub := range subtasks {
		if sub == nil {
			continue
		}
		for _, l := range sub.Lists {
			if l.Name != name {
				continue
			}
			es, err := retry(ctx, s.pause, func() ([][]byte, error) { return operator.ReadElements(ctx, open, l) })
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
	defer rescue(&err)
	return s.committer.CommittedAfter(ctx, checkpoint)
}

func (s *serial) Recover(ctx context.Context, r sink.Recovery) (done sink.Recovered, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer rescue(&err)
	return s.committer.Recover(ctx, r)
}

func (s *serial) RecoverSubtask(ctx context.Context, subtask int, r sink.Recovery) (done sink.Recovered, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer rescue(&err)
	return s.committer.(sink.SubtaskRecoverer).RecoverSubtask(ctx, subtask, r)
}

func (s *serial) Close() (err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer rescue(&err)
	return s.committer.Close()
}
