// Package barrier decides what a barrier means that reached one of a task's inputs: wait for the others, or take the snapshot now.
//
// A Handler sees all input channels of one task, over all its gates, numbered 0 .. channels-1. The task reports what came out of each
// channel and performs, in order, the actions that Actions returns:
//
//   - Block: take nothing more from the channel until it is unblocked. What is in it stays there.
//   - Unblock: take from the channel again.
//   - Snapshot: take the snapshot of the barrier and send the barrier on, before any later action is performed.
//   - Aborted: decline the checkpoint with the reason and send a cancellation marker for it on.
//
// Invariants:
//
//   - Of one checkpoint id there is at most one Snapshot or one Aborted, never both.
//   - The ids of Snapshots grow.
//   - In exactly-once mode no record that came after a barrier is taken before the Snapshot of that barrier, except after Trigger, whose
//     task has no running task before it. A channel is never blocked twice, nor unblocked when it is not blocked.
//   - In at-least-once mode no channel is ever blocked.
//
// A channel that ended counts as aligned: checkpoints go on after some tasks have finished. A Handler is used by one goroutine.
package barrier

import (
	"fmt"
	"time"

	"github.com/weirstream/weir/internal/element"
	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/protocol/reason"
)

// Mode says how the inputs of a task are brought together.
type Mode uint8

const (
	ExactlyOnce Mode = iota // a channel waits, blocked, for the barriers of the others
	AtLeastOnce             // barriers are counted and nothing waits
)

// Barrier is what the coordinator sends through the job to cut off one snapshot. It is a value and small.
type Barrier struct {
	ID        job.CheckpointID
	Timestamp time.Time // when the coordinator triggered it, wall time
	Snapshot  element.Snapshot
}

// Alignment is when the first and the last barrier of a checkpoint reached a task.
type Alignment struct{ Start, End time.Time }

// Duration returns how long the task waited for the barriers of all its channels.
func (a Alignment) Duration() time.Duration { return a.End.Sub(a.Start) }

// StartDelay returns how long the first barrier took from the coordinator to the task. Clocks that disagree give 0, never less.
func (a Alignment) StartDelay(b Barrier) time.Duration { return max(0, a.Start.Sub(b.Timestamp)) }

// Kind is the kind of an Action.
type Kind uint8

const (
	Block    Kind = iota + 1 // of Channel
	Unblock                  // of Channel
	Snapshot                 // with Barrier and Alignment
	Aborted                  // with Barrier.ID and Reason
)

// Action is something the task must do. Fields that its kind does not name are zero.
type Action struct {
	Kind      Kind
	Channel   int
	Barrier   Barrier
	Alignment Alignment
	Reason    reason.Reason
}

// Handler follows the barriers of one task. Make one with New.
type Handler struct {
	inputs
	rule    rule
	drained []Action // what Actions returned last, reused by the call after
}

// inputs is what every rule knows of the channels.
type inputs struct {
	ended   []bool // by channel: it delivered its end of partition
	open    int    // how many channels have not ended
	actions []Action
}

// rule is what differs between the modes. Each call appends to inputs.actions.
type rule interface {
	barrier(ch int, b Barrier, now time.Time)
	trigger(b Barrier, now time.Time)
	cancel(ch int, id job.CheckpointID)
	endOfPartition(ch int, now time.Time) // inputs already counts the channel as ended
	abort(id job.CheckpointID, why reason.Reason)
}

// New returns a handler for a task with the given number of input channels; a source has none.
func New(mode Mode, channels int) *Handler {
	h := &Handler{inputs: inputs{ended: make([]bool, channels), open: channels}}
	if mode == AtLeastOnce {
		h.rule = &tracker{inputs: &h.inputs}
	} else {
		h.rule = &aligner{inputs: &h.inputs, aligned: make([]bool, channels), blocked: make([]bool, channels)}
	}
	return h
}

// Barrier reports that a barrier came out of a channel.
func (h *Handler) Barrier(ch int, b Barrier, now time.Time) {
	h.mustBeOpen(ch, "a barrier")
	h.rule.barrier(ch, b, now)
}

// Cancel reports that a cancellation marker came out of a channel: a task upstream gave the checkpoint up.
func (h *Handler) Cancel(ch int, id job.CheckpointID) {
	h.mustBeOpen(ch, "a cancellation marker")
	h.rule.cancel(ch, id)
}

// EndOfPartition reports that a channel ended: nothing more comes out of it.
func (h *Handler) EndOfPartition(ch int, now time.Time) {
	h.mustBeOpen(ch, "an end of partition")
	h.ended[ch] = true
	h.open--
	h.rule.endOfPartition(ch, now)
}

// Trigger reports that the coordinator triggered this very task: it is a source, or all tasks before it have finished though their
// ends may still be in the channels. It stands for the barrier of every channel that has not ended, and blocks none.
func (h *Handler) Trigger(b Barrier, now time.Time) { h.rule.trigger(b, now) }

// Abort reports that the coordinator gave a checkpoint up. Only a checkpoint that is being aligned is concerned, for one that has not
// begun the task keeps a Ledger.
func (h *Handler) Abort(id job.CheckpointID, why reason.Reason) { h.rule.abort(id, why) }

// Actions returns what is to be done since the last call, in order. The slice is valid until the next call of Actions.
func (h *Handler) Actions() []Action {
	out := h.actions
	h.actions, h.drained = h.drained[:0], out
	return out
}

func (h *Handler) mustBeOpen(ch int, what string) {
	if h.ended[ch] {
		panic(fmt.Sprintf("barrier: channel %d delivered %s after its end of partition", ch, what))
	}
}

func (in *inputs) snapshot(b Barrier, a Alignment) {
	in.actions = append(in.actions, Action{Kind: Snapshot, Barrier: b, Alignment: a})
}

func (in *inputs) aborted(id job.CheckpointID, why reason.Reason) {
	in.actions = append(in.actions, Action{Kind: Aborted, Barrier: Barrier{ID: id}, Reason: why})
}
