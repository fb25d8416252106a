package barrier

import (
	"cmp"
	"slices"
	"time"

	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/protocol/reason"
)

// maxTracked bounds the checkpoints that a tracker follows at once; beyond it the oldest is forgotten.
const maxTracked = 50

// tracker is the at-least-once rule: several checkpoints may be under way, each is counted and none blocks.
type tracker struct {
	*inputs
	newest  job.CheckpointID // the highest id ever seen
	pending []tracked        // ids grow
	free    [][]bool         // seen sets to use again
}

// tracked is a checkpoint some of whose barriers came.
type tracked struct {
	barrier Barrier
	start   time.Time
	seen    []bool // by channel
	count   int
	target  int // the channels open when it was first seen
	aborted bool
}

func (t *tracked) see(ch int) {
	if !t.seen[ch] {
		t.seen[ch] = true
		t.count++
	}
}

func (t *tracked) complete() bool { return t.count == t.target }

func (t *tracker) barrier(ch int, b Barrier, now time.Time) {
	i, known := t.find(b.ID)
	switch {
	case known:
		t.pending[i].see(ch)
	case b.ID <= t.newest:
		return
	default:
		i = t.add(ch, b, now)
	}
	t.completeAt(i, now)
}

func (t *tracker) trigger(b Barrier, now time.Time) {
	i, known := t.find(b.ID)
	switch {
	case known:
		t.decide(i, now)
	case b.ID > t.newest:
		t.newest = b.ID
		t.forget(len(t.pending))
		t.snapshot(b, Alignment{Start: now, End: now})
	}
}

func (t *tracker) cancel(ch int, id job.CheckpointID) {
	const why = reason.CheckpointDeclinedOnCancelBarrier
	i, known := t.find(id)
	for older := range i {
		t.abortAt(older, why)
	}
	t.forget(i)
	switch {
	case known:
		t.pending[0].see(ch)
	case id > t.newest:
		t.add(ch, Barrier{ID: id}, time.Time{})
	default:
		return
	}
	t.abortAt(0, why)
	t.completeAt(0, time.Time{})
}

// endOfPartition goes from the newest to the oldest, because completing one makes the older ones void.
func (t *tracker) endOfPartition(ch int, now time.Time) {
	for i := range t.pending {
		t.pending[i].see(ch)
	}
	for i := len(t.pending) - 1; i >= 0; i-- {
		if t.pending[i].complete() {
			t.decide(i, now)
			return
		}
	}
}

func (t *tracker) abort(id job.CheckpointID, why reason.Reason) {
	if i, known := t.find(id); known {
		t.abortAt(i, why)
	}
}

func (t *tracker) find(id job.CheckpointID) (int, bool) {
	return slices.BinarySearchFunc(t.pending, id, func(p tracked, id job.CheckpointID) int { return cmp.Compare(p.barrier.ID, id) })
}

// add begins to track the newest checkpoint and returns its place.
func (t *tracker) add(ch int, b Barrier, now time.Time) int {
	t.newest = b.ID
	if len(t.pending) == maxTracked {
		t.forget(1)
	}
	t.pending = append(t.pending, tracked{barrier: b, start: now, seen: t.emptySet(), target: t.open})
	last := len(t.pending) - 1
	t.pending[last].see(ch)
	return last
}

func (t *tracker) completeAt(i int, now time.Time) {
	if t.pending[i].complete() {
		t.decide(i, now)
	}
}

// decide takes the snapshot of a checkpoint, unless it was aborted, and forgets it and all older ones.
func (t *tracker) decide(i int, now time.Time) {
	if p := &t.pending[i]; !p.aborted {
		t.snapshot(p.barrier, Alignment{Start: p.start, End: now})
	}
	t.forget(i + 1)
}

// abortAt keeps the checkpoint, so that its remaining barriers are known for what they are.
func (t *tracker) abortAt(i int, why reason.Reason) {
	if p := &t.pending[i]; !p.aborted {
		p.aborted = true
		t.aborted(p.barrier.ID, why)
	}
}

// forget drops the n oldest checkpoints.
func (t *tracker) forget(n int) {
	for _, p := range t.pending[:n] {
		t.free = append(t.free, p.seen)
	}
	t.pending = slices.Delete(t.pending, 0, n)
}

func (t *tracker) emptySet() []bool {
	if len(t.free) == 0 {
		return make([]bool, len(t.ended))
	}
	set := t.free[len(t.free)-1]
	t.free = t.free[:len(t.free)-1]
	clear(set)
	return set
}
