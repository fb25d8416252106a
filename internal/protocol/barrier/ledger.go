package barrier

import (
	"slices"

	"github.com/weirstream/weir/internal/job"
)

// maxAborted bounds the aborted ids that a Ledger keeps one by one.
const maxAborted = 128

// Verdict is what a task does with a checkpoint whose barriers have all come.
type Verdict uint8

const (
	Take    Verdict = iota + 1 // take the snapshot and send the barrier on
	Stale                      // do nothing: the id was handled before, or a later one was
	GivenUp                    // it was given up before it reached the task: send a cancellation marker on instead of the barrier
)

// Ledger remembers which checkpoints a task has handled and which the coordinator gave up before they reached it. The zero value is
// that of a new task. The driver
//
//   - asks Begin before it performs a Snapshot action;
//   - calls Handled for an Aborted action;
//   - when the coordinator gave a checkpoint up, calls Handler.Abort, performs the actions, and then calls Abort.
type Ledger struct {
	last      job.CheckpointID   // the highest id handled
	aborted   []job.CheckpointID // sorted, each above last
	forgotten job.CheckpointID   // the highest aborted id that was dropped from aborted; everything up to it counts as aborted
}

// Begin says what to do with a checkpoint and counts it as handled.
func (l *Ledger) Begin(id job.CheckpointID) Verdict {
	if id <= l.last {
		return Stale
	}
	_, aborted := slices.BinarySearch(l.aborted, id)
	aborted = aborted || id <= l.forgotten
	l.Handled(id)
	if aborted {
		return GivenUp
	}
	return Take
}

// Handled notes an id that was decided without Begin: the handler aborted it.
func (l *Ledger) Handled(id job.CheckpointID) {
	l.last = max(l.last, id)
	past, _ := slices.BinarySearch(l.aborted, l.last+1)
	l.aborted = slices.Delete(l.aborted, 0, past)
}

// Abort notes that the coordinator gave an id up, and reports whether the task has yet to meet it. If not, the caller cancels the
// part of that snapshot that may still be running.
func (l *Ledger) Abort(id job.CheckpointID) (ahead bool) {
	if id <= l.last {
		return false
	}
	i, known := slices.BinarySearch(l.aborted, id)
	if known {
		return true
	}
	l.aborted = slices.Insert(l.aborted, i, id)
	if len(l.aborted) > maxAborted {
		l.forgotten = l.aborted[0]
		l.aborted = slices.Delete(l.aborted, 0, 1)
	}
	return true
}

// Last returns the highest id handled, 0 if none was.
func (l *Ledger) Last() job.CheckpointID { return l.last }
