package barrier

import (
	"time"

	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/protocol/reason"
)

// aligner is the exactly-once rule: one checkpoint at a time, each channel blocked from its barrier until the last one came.
type aligner struct {
	*inputs
	current  job.CheckpointID // the highest id begun or given up; 0 before the first
	lastDone job.CheckpointID // the highest id that was decided; current is pending while it is larger

	// Of the pending checkpoint.
	pending   Barrier
	alignment Alignment
	aligned   []bool // by channel
	blocked   []bool // by channel
	count     int    // how many channels are aligned
	target    int    // how many must be: those open when it began
}

func (a *aligner) isPending() bool { return a.current > a.lastDone }

func (a *aligner) obsolete(id job.CheckpointID) bool {
	return id < a.current || id == a.current && !a.isPending()
}

func (a *aligner) barrier(ch int, b Barrier, now time.Time) {
	if a.obsolete(b.ID) {
		return
	}
	a.begin(b, now)
	if !a.align(ch) {
		return
	}
	if a.count == a.target {
		a.complete(now)
		return
	}
	a.blocked[ch] = true
	a.actions = append(a.actions, Action{Kind: Block, Channel: ch})
}

func (a *aligner) trigger(b Barrier, now time.Time) {
	if a.obsolete(b.ID) {
		return
	}
	a.begin(b, now)
	a.complete(now)
}

func (a *aligner) cancel(_ int, id job.CheckpointID) {
	if id > a.current || id == a.current && a.isPending() {
		a.giveUp(id, reason.CheckpointDeclinedOnCancelBarrier)
	}
}

func (a *aligner) endOfPartition(ch int, now time.Time) {
	if a.isPending() && a.align(ch) && a.count == a.target {
		a.complete(now)
	}
}

// abort leaves an id alone that has not begun here: an older one may be pending that the coordinator still wants.
func (a *aligner) abort(id job.CheckpointID, why reason.Reason) {
	if id == a.current && a.isPending() {
		a.giveUp(id, why)
	}
}

// begin makes the barrier's checkpoint the pending one, unless it is already.
func (a *aligner) begin(b Barrier, now time.Time) {
	if b.ID == a.current {
		return
	}
	if a.isPending() {
		a.giveUp(a.current, reason.CheckpointDeclinedSubsumed)
	}
	a.current, a.pending, a.target = b.ID, b, a.open
	a.alignment = Alignment{Start: now}
}

// align counts a channel and reports whether it was not counted before.
func (a *aligner) align(ch int) bool {
	if a.aligned[ch] {
		return false
	}
	a.aligned[ch] = true
	a.count++
	return true
}

// complete takes the snapshot first and lets the channels go after it.
func (a *aligner) complete(now time.Time) {
	a.alignment.End = now
	a.snapshot(a.pending, a.alignment)
	a.finish(a.current)
}

func (a *aligner) giveUp(id job.CheckpointID, why reason.Reason) {
	a.current = max(a.current, id)
	a.finish(id)
	a.aborted(id, why)
}

// finish clears what is known of the pending checkpoint and unblocks every channel.
func (a *aligner) finish(id job.CheckpointID) {
	a.lastDone = max(a.lastDone, id)
	a.count, a.target = 0, 0
	clear(a.aligned)
	for ch, blocked := range a.blocked {
		if blocked {
			a.blocked[ch] = false
			a.actions = append(a.actions, Action{Kind: Unblock, Channel: ch})
		}
	}
}
