package task

import (
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/weirstream/weir/internal/element"
	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/protocol/barrier"
	"github.com/weirstream/weir/internal/protocol/reason"
	"github.com/weirstream/weir/internal/runtime/operator"
)

// Loop is what a task knows of the loop that begins with it.
type Loop struct {
	Head   operator.Loop
	Number uint16
	Drain  Drain
}

// Drain finds out when a loop is empty: see protocol/drain. It answers by Task.SendProbe and Task.EndLoop. Its methods return at once and may
// be called by any goroutine.
type Drain interface {
	// Ended reports that the outside inputs of the head in a subtask have ended.
	Ended(subtask int)
	// Returned reports that the probe of a round has come back, and how many records did so while it was away.
	Returned(subtask int, round uint32, records int64)
}

// loop is the feedback side of a task that begins with the head of a loop.
type loop struct {
	// turns is how many messages of the feedback edge come before the next from outside.
	turns    int
	timeEnds bool   // event time has ended outside
	round    uint32 // of the probe that is away
	records  int64  // that came round since it left
	// waiting are the parts of checkpoints whose barriers are away.
	waiting map[job.CheckpointID]waitingPart
	// draining are decisions about checkpoints that wait for the loop to be empty.
	draining []barrier.Action
}

// waitingPart is a task's part of a checkpoint that lacks what is in the loop.
type waitingPart struct {
	captures []operator.Capture
	write    func()
}

func newLoop() *loop { return &loop{waiting: map[job.CheckpointID]waitingPart{}} }

// loopInput takes one message, from outside or from the feedback edge: one from outside for each time that what waited has gone round. So
// neither starves, and the loop holds at most as many messages from outside as a record has laps to go.
func (t *Task) loopInput(now time.Time) (worked bool, err error) {
	if t.loop.turns > 0 && !t.suspended() {
		t.loop.turns--
		if worked, err := t.feedback(); worked || err != nil {
			return worked, err
		}
	}
	if ch, m, ok := t.Gate.Poll(); ok {
		t.loop.turns = t.Loop.Head.Backlog()
		return true, t.handle(ch, m, now)
	}
	if t.suspended() && t.stopping.savepoint == 0 {
		return false, nil // what comes round waits for the savepoint, which it is to be part of
	}
	return t.feedback()
}

// suspended reports whether the task has ended its data for a savepoint after which the job goes on one day. Then nothing is sent round any
// more: what comes round belongs to the savepoint.
func (t *Task) suspended() bool { return t.ended && t.end == element.Suspend }

// feedback takes one message that has come round.
func (t *Task) feedback() (worked bool, err error) {
	m, ok, err := t.Loop.Head.Poll()
	if !ok || err != nil {
		return false, err
	}
	if m.Batch != nil {
		t.loop.records += int64(m.Batch.Len())
		if t.suspended() {
			t.Loop.Head.Keep(m.Batch)
			return true, nil
		}
		return true, t.Loop.Head.Again(m.Batch)
	}
	switch e := m.Event; e.Kind {
	case element.Barrier:
		t.barrierReturned(e.ID)
	case element.CancelBarrier:
		t.barrierLost(e.ID, reason.CheckpointDeclinedOnCancelBarrier)
	case element.EndOfPartition:
		for _, id := range slices.Sorted(maps.Keys(t.loop.waiting)) {
			t.barrierLost(id, reason.CheckpointDeclinedInputEndOfStream)
		}
	case element.Probe:
		if e.Loop == t.Loop.Number && e.Round == t.loop.round && !t.ended {
			t.Loop.Drain.Returned(t.Attempt.Subtask.Index, e.Round, t.loop.records)
		}
	}
	return true, nil
}

// whenReturned writes the task's part of a checkpoint: at the head of a loop once the barrier has come round, and elsewhere now.
func (t *Task) whenReturned(id job.CheckpointID, captures []operator.Capture, write func(finished bool)) {
	finished := t.operatorsFinished()
	if t.loop == nil || !t.Loop.Head.Logging(id) {
		write(finished)
		return
	}
	t.loop.waiting[id] = waitingPart{captures, func() { write(finished) }}
}

// mustDrain puts off a decision about a checkpoint if the job drains for it: at the head of a loop the data has not ended before the loop is
// empty. What is decided later comes behind it. For a savepoint that suspends the job the loop does not end but stop, also if it was about
// to end; that is done in stopBefore.
func (l *loop) mustDrain(t *Task, a barrier.Action) bool {
	if t.ended || len(l.draining) == 0 && (a.Kind != barrier.Snapshot || a.Barrier.Snapshot.Stop != element.Drain) {
		return false
	}
	l.draining = append(l.draining, a)
	return true
}

// drained performs the decisions that have waited for the loop to be empty.
func (t *Task) drained() error {
	actions := t.loop.draining
	t.loop.draining = nil
	for _, a := range actions {
		if err := t.decide(a); err != nil {
			return err
		}
	}
	return nil
}

// barrierReturned completes the task's part of a checkpoint, unless that was given up. The barrier goes no further.
func (t *Task) barrierReturned(id job.CheckpointID) {
	part, ok := t.loop.waiting[id]
	if !ok {
		return
	}
	delete(t.loop.waiting, id)
	t.Loop.Head.CloseLog(id)
	part.write()
}

// barrierLost declines a checkpoint whose barrier will not come round: its log would lack records.
func (t *Task) barrierLost(id job.CheckpointID, why reason.Reason) {
	if t.forgetReturn(id) {
		t.Master.Decline(t.Attempt, id, why, errors.New("its barrier was lost in the loop: "+why.Message()))
	}
}

// forgetReturn gives up the task's part of a checkpoint, if it waits for its barrier.
func (t *Task) forgetReturn(id job.CheckpointID) (waited bool) {
	if t.loop == nil {
		return false
	}
	part, ok := t.loop.waiting[id]
	if !ok {
		return false
	}
	delete(t.loop.waiting, id)
	t.Loop.Head.CloseLog(id)
	release(part.captures)
	return true
}

// forgetReturnsBefore gives up the parts of older checkpoints than one that is complete. They were given up with it, and the task may not have
// been told, nor their barriers ever come round: it would wait for them at its end.
func (t *Task) forgetReturnsBefore(id job.CheckpointID) {
	if t.loop == nil {
		return
	}
	for _, older := range slices.Sorted(maps.Keys(t.loop.waiting)) {
		if older < id {
			t.forgetReturn(older)
		}
	}
}

// awaitsReturn reports whether a barrier is away.
func (t *Task) awaitsReturn() bool { return t.loop != nil && len(t.loop.waiting) > 0 }

// SendProbe sends a probe into the loop that begins here. If endTime is set, event time comes to its end before it. Any goroutine may call it.
func (t *Task) SendProbe(round uint32, endTime bool) {
	t.Post(func() error {
		if t.ended { // the job was suspended meanwhile
			return nil
		}
		if endTime && t.loop.timeEnds {
			if err := t.Head.Event(element.Event{Kind: element.Watermark, Time: element.MaxTime}); err != nil {
				return err
			}
		}
		t.sendProbe(round)
		return nil
	})
}

// EndLoop ends the data of the loop that begins here. Any goroutine may call it.
func (t *Task) EndLoop() {
	t.Post(func() error {
		if t.ended {
			return nil
		}
		t.sendProbe(element.LastRound)
		if err := t.endOfData(); err != nil {
			return err
		}
		return t.drained()
	})
}

func (t *Task) sendProbe(round uint32) {
	t.loop.round, t.loop.records = round, 0
	t.sendAll(element.Event{Kind: element.Probe, Loop: t.Loop.Number, Round: round})
}

// probe passes a probe on once it has come through all channels, if the task is part of its loop. The head of a loop sends its own.
func (t *Task) probe(ch int, e element.Event) {
	if round, ok := t.probes.arrived(ch, e.Loop, e.Round); ok {
		t.sendAll(element.Event{Kind: element.Probe, Loop: e.Loop, Round: round})
	}
}

// noMoreProbes notes that a channel has delivered its data: probes need not wait for it.
func (t *Task) noMoreProbes(ch int) {
	for loop, round := range t.probes.endOfData(ch) {
		t.sendAll(element.Event{Kind: element.Probe, Loop: loop, Round: round})
	}
}
