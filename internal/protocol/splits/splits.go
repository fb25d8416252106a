// Package splits answers which splits of a source a subtask has been given since a checkpoint: those that nobody knows of when the subtask
// goes back to it, and that its enumerator must have again.
//
//   - The order of calls is that of events at the enumerator: what is given after Snapshot(n) is not part of checkpoint n.
//   - It is pure. What a split is does not matter.
package splits

import (
	"slices"

	"github.com/weirstream/weir/internal/job"
)

// Ledger remembers the splits that the enumerator of one source has handed out since the latest complete checkpoint. Make one with New.
type Ledger[S any] struct {
	given []given[S] // in order
	// snapshots are those after floor, in order; of those before nothing is known any more.
	snapshots []mark
	floor     job.CheckpointID
	dropped   int // splits that were given before those in given
}

type given[S any] struct {
	subtask int
	split   S
	back    bool // it was returned
}

// mark says how many splits had been handed out at a snapshot.
type mark struct {
	id job.CheckpointID
	n  int
}

// New returns the ledger of an enumerator that was made from a checkpoint, 0 if it is new.
func New[S any](from job.CheckpointID) *Ledger[S] { return &Ledger[S]{floor: from} }

// Given notes a split that was handed out to a subtask.
func (l *Ledger[S]) Given(subtask int, split S) {
	l.given = append(l.given, given[S]{subtask: subtask, split: split})
}

// Snapshot notes that the enumerator's state was captured for a checkpoint or savepoint.
func (l *Ledger[S]) Snapshot(id job.CheckpointID) {
	l.snapshots = append(l.snapshots, mark{id, l.dropped + len(l.given)})
}

// Complete notes that a checkpoint is complete: no subtask goes back further any more, and what was given before is forgotten. It does nothing
// for a checkpoint that the enumerator was not asked for.
func (l *Ledger[S]) Complete(id job.CheckpointID) {
	i := slices.IndexFunc(l.snapshots, func(m mark) bool { return m.id == id })
	if i < 0 {
		return
	}
	n := l.snapshots[i].n - l.dropped
	l.given = slices.Clone(l.given[n:])
	l.dropped += n
	l.snapshots = slices.Clone(l.snapshots[i+1:])
	l.floor = id
}

// Reset returns, in order, the splits that a subtask was given after a checkpoint, and forgets that it was. It returns false if that is not
// known, because the checkpoint is older than the latest that is complete.
func (l *Ledger[S]) Reset(subtask int, to job.CheckpointID) (back []S, ok bool) {
	from := 0
	if to != l.floor {
		i := slices.IndexFunc(l.snapshots, func(m mark) bool { return m.id == to })
		if i < 0 {
			return nil, false
		}
		from = l.snapshots[i].n - l.dropped
	}
	for i := from; i < len(l.given); i++ {
		if g := &l.given[i]; g.subtask == subtask && !g.back {
			g.back = true
			back = append(back, g.split)
		}
	}
	return back, true
}
