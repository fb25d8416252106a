package task

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/weirstream/weir/internal/element"
	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/protocol/barrier"
	"github.com/weirstream/weir/internal/protocol/reason"
	"github.com/weirstream/weir/internal/protocol/snapshot"
	"github.com/weirstream/weir/internal/runtime/operator"
)

// Trigger begins a checkpoint in a task that no barrier will reach: a source, or a task all of whose inputs have finished. It is
// called by any goroutine, like the other messages of the master below.
func (t *Task) Trigger(b barrier.Barrier) {
	t.Post(func() error {
		if t.Gate != nil && !t.ended && !(t.Checkpointed && !t.NoFinal) {
			t.deferred = append(t.deferred, b)
			return nil
		}
		return t.trigger(b)
	})
}

func (t *Task) trigger(b barrier.Barrier) error {
	t.handler.Trigger(b, t.Now())
	return t.act()
}

// triggerDeferred begins the checkpoints that the task was triggered for before it had seen the end of its data. That happens where tasks do
// not wait for a last checkpoint: the ones before it have finished while what they sent is still on its way, and belongs before the barrier.
func (t *Task) triggerDeferred() error {
	for _, b := range t.deferred {
		if err := t.trigger(b); err != nil {
			return err
		}
	}
	t.deferred = nil
	return nil
}

// CheckpointComplete tells that a checkpoint exists.
func (t *Task) CheckpointComplete(c operator.Checkpoint) {
	t.Post(func() error { return t.completed(c) })
}

// CheckpointAborted tells that a checkpoint was given up. latest is the newest that is complete, in case the task has missed it.
func (t *Task) CheckpointAborted(c operator.Checkpoint, latest job.CheckpointID, why reason.Reason) {
	t.Post(func() error {
		if err := t.completed(operator.Checkpoint{ID: latest, Triggered: t.taken[latest]}); err != nil {
			return err
		}
		return t.aborted(c, why)
	})
}

// act performs what the barrier handler has decided.
func (t *Task) act() error {
	for _, a := range t.handler.Actions() {
		switch a.Kind {
		case barrier.Block:
			t.Gate.Block(a.Channel)
		case barrier.Unblock:
			t.Gate.Unblock(a.Channel)
		default:
			if err := t.decide(a); err != nil {
				return err
			}
		}
	}
	return nil
}

// decide performs a decision about a checkpoint: to take its snapshot, or to give it up.
func (t *Task) decide(a barrier.Action) error {
	if t.loop != nil && t.loop.mustDrain(t, a) {
		return nil
	}
	if a.Kind == barrier.Snapshot {
		return t.begin(a.Barrier, a.Alignment)
	}
	t.ledger.Handled(a.Barrier.ID)
	t.sendAll(element.Event{Kind: element.CancelBarrier, ID: a.Barrier.ID})
	t.Master.Decline(t.Attempt, a.Barrier.ID, a.Reason, errors.New(a.Reason.Message()))
	return nil
}

// begin takes the snapshot that a barrier asks for, unless it is known to be in vain.
func (t *Task) begin(b barrier.Barrier, align barrier.Alignment) error {
	switch t.ledger.Begin(b.ID) {
	case barrier.Stale:
		return nil
	case barrier.GivenUp:
		t.sendAll(element.Event{Kind: element.CancelBarrier, ID: b.ID})
		return nil
	}
	if err := t.stopBefore(b); err != nil {
		return err
	}
	return t.snapshot(b, Metrics{StartDelay: align.StartDelay(b), Alignment: align.Duration()})
}

// snapshot sends the barrier on, captures the state of the operators and has it written beside the task.
func (t *Task) snapshot(b barrier.Barrier, m Metrics) error {
	c := operator.Checkpoint{ID: b.ID, Kind: b.Snapshot.Kind, Triggered: b.Timestamp}
	if !t.Finished {
		t.taken[b.ID] = b.Timestamp
		for _, op := range t.Operators {
			if err := op.PrepareBarrier(t.ctx, c); err != nil {
				return fmt.Errorf("checkpoint %d: %w", b.ID, err)
			}
		}
	}
	t.sendAll(element.Event{Kind: element.Barrier, ID: b.ID, Time: b.Timestamp.UnixMilli(), Snapshot: b.Snapshot})
	t.inUse = t.inUse || !t.ended && !b.Snapshot.Kind.IsSavepoint()
	if t.ended && t.final == 0 {
		t.final = b.ID
	}
	if t.Finished {
		t.Master.Acknowledge(t.Attempt, b.ID, &snapshot.Task{FinishedOnRestore: true, OperatorsFinished: true}, m)
		return nil
	}
	began := t.Now()
	captures, err := t.capture(c)
	if err != nil {
		return fmt.Errorf("checkpoint %d: %w", b.ID, err)
	}
	m.Sync = t.Now().Sub(began)
	t.whenReturned(b.ID, captures, func(finished bool) { t.write(b.ID, captures, m, finished) })
	return nil
}

// capture captures the operators' states, the last one's first.
func (t *Task) capture(of operator.Checkpoint) ([]operator.Capture, error) {
	captures := make([]operator.Capture, len(t.Operators))
	for i := len(t.Operators) - 1; i >= 0; i-- {
		c, err := t.Operators[i].Snapshot(t.ctx, of)
		if err != nil {
			release(captures)
			return nil, err
		}
		if c != nil && !t.counts(t.Operators[i]) {
			c.Release()
			c = nil
		}
		captures[i] = c
	}
	return captures, nil
}

// counts reports whether the state of an operator belongs in a checkpoint. After the end of the data an operator has emitted all that it held
// back; if its subtask is run again, because others of the step have not come to their end, it must not do so once more. Only what is to be
// committed outside remains. At least once it may be run again with records from before its end, and needs its state for them.
func (t *Task) counts(op operator.Operator) bool {
	_, outside := op.(operator.Outside)
	return !t.operatorsFinished() || outside || t.Mode != barrier.ExactlyOnce
}

func release(captures []operator.Capture) {
	for _, c := range captures {
		if c != nil {
			c.Release()
		}
	}
}

// write writes the captures and acknowledges the checkpoint, or declines it. finished says that the operators had come to the
// end of the data.
func (t *Task) write(id job.CheckpointID, captures []operator.Capture, m Metrics, finished bool) {
	ctx, cancel := context.WithCancel(t.ctx)
	t.running[id] = cancel
	t.runBeside(&t.snapping, func() {
		defer cancel()
		defer release(captures)
		began := t.Now()
		streams := t.Streams(id)
		fresh := &measured{Streams: streams}
		state, err := t.writeAll(ctx, fresh, captures)
		if s, ok := streams.(operator.Sealer); ok && err == nil {
			err = s.Seal(ctx, state)
		}
		m.Async = t.Now().Sub(began)
		t.Post(func() error { delete(t.running, id); return nil })
		switch {
		case t.ctx.Err() != nil: // the task has ended: nobody waits for it
		case ctx.Err() != nil: // nor for what was given up
			t.Master.Measured(t.Attempt, id, m)
		case err != nil:
			t.Master.Measured(t.Attempt, id, m)
			t.Master.Decline(t.Attempt, id, reason.CheckpointAsyncException, err)
		default:
			state.OperatorsFinished = finished
			m.Bytes = fresh.bytes.Load()
			acknowledged(captures)
			t.Master.Acknowledge(t.Attempt, id, state, m)
			return
		}
		if a, ok := streams.(operator.Abandoner); ok {
			a.Abandon()
		}
	})
}

// acknowledged tells those that want to know, before anybody can delete what they have written.
func acknowledged(captures []operator.Capture) {
	for _, c := range captures {
		if a, ok := c.(operator.Acknowledger); ok {
			a.Acknowledged()
		}
	}
}

// measured counts the bytes of the streams that are made; the state may refer to earlier ones too.
type measured struct {
	operator.Streams
	bytes atomic.Int64
}

// Wrote counts what was written elsewhere.
func (m *measured) Wrote(bytes int64) { m.bytes.Add(bytes) }

// NewStream begins a stream.
func (m *measured) NewStream(ctx context.Context, scope snapshot.Scope) (snapshot.StreamWriter, error) {
	s, err := m.Streams.NewStream(ctx, scope)
	return measuredStream{s, m}, err
}

type measuredStream struct {
	snapshot.StreamWriter
	of *measured
}

// Unwrap returns the stream that is measured.
func (s measuredStream) Unwrap() snapshot.StreamWriter { return s.StreamWriter }

// Finish ends the stream.
func (s measuredStream) Finish() (snapshot.Stream, error) {
	done, err := s.StreamWriter.Finish()
	if err == nil {
		s.of.bytes.Add(done.Length)
	}
	return done, err
}

func (t *Task) writeAll(ctx context.Context, streams operator.Streams, captures []operator.Capture) (state *snapshot.Task, err error) {
	defer t.rescue(&err)
	state = &snapshot.Task{}
	for i, c := range captures {
		op := snapshot.Operator{ID: t.Operators[i].ID()}
		if c != nil {
			if op.State, err = c.Write(ctx, streams); err != nil {
				return nil, err
			}
		}
		state.Operators = append(state.Operators, op)
	}
	return state, nil
}

// completed tells the operators, the last one first, and lets the task finish if it has waited for this checkpoint.
func (t *Task) completed(c operator.Checkpoint) error {
	if c.ID <= t.complete {
		return nil
	}
	t.complete = c.ID
	t.stopping.stopCompleted(c.ID)
	maps.DeleteFunc(t.taken, func(id job.CheckpointID, _ time.Time) bool { return id <= c.ID })
	t.forgetReturnsBefore(c.ID)
	err := t.tell(func(op operator.Operator) error { return op.CheckpointComplete(c) })
	if err != nil {
		return fmt.Errorf("checkpoint %d is complete: %w", c.ID, err)
	}
	t.confirming = append(t.confirming, c.ID)
	t.confirm()
	return nil
}

// tell tells all operators something, the last one first, also if one of them fails. It returns the first error.
func (t *Task) tell(f func(op operator.Operator) error) (first error) {
	if t.Finished {
		return nil
	}
	for i := len(t.Operators) - 1; i >= 0; i-- {
		if err := f(t.Operators[i]); err != nil && first == nil {
			first = err
		}
	}
	return first
}

// confirm reports complete checkpoints as done once nothing that follows from them is under way.
func (t *Task) confirm() {
	if len(t.confirming) == 0 || t.busy() {
		return
	}
	t.Master.Completed(t.Attempt, t.confirming[len(t.confirming)-1])
	t.confirming = t.confirming[:0]
}

// aborted gives up the task's part of a checkpoint and tells the operators, once: the master may repeat itself.
func (t *Task) aborted(c operator.Checkpoint, why reason.Reason) error {
	if slices.Contains(t.givenUp, c.ID) {
		return nil
	}
	t.givenUp = append(t.givenUp, c.ID)
	t.givenUp = t.givenUp[max(0, len(t.givenUp)-maxGivenUp):]
	delete(t.taken, c.ID)
	if err := t.stopping.stopAborted(c.ID); err != nil {
		return err
	}
	if t.ledger.Abort(c.ID) {
		t.handler.Abort(c.ID, why)
		if err := t.act(); err != nil {
			return err
		}
	} else if cancel := t.running[c.ID]; cancel != nil {
		cancel()
	} else {
		t.forgetReturn(c.ID)
	}
	err := t.tell(func(op operator.Operator) error { return op.CheckpointAborted(c) })
	if err != nil {
		return fmt.Errorf("checkpoint %d was given up: %w", c.ID, err)
	}
	return nil
}
