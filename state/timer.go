package state

import (
	"time"

	"github.com/weirstream/weir/internal/backend/heap"
)

// Timer calls OnTimer for a key at a deadline. Each key has one deadline for each Timer field.
//
// The tag names the timer and says whose time it follows: `timer:"idle,event"`, that of the records, which is the default, or
// `timer:"poll,processing"`, that of the machine. A deadline in the past fires when time advances next. Timers fire in order of their
// deadlines.
//
// One deadline for each key is what timeouts and sessions want, and the cheapest; a key that waits for several at once has [Timers].
type Timer struct {
	column *heap.TimerColumn
	many   *heap.TimersColumn // of the Timers that it stands for, then column is nil
}

// At sets the present key's deadline in place of an earlier one. It is kept in whole milliseconds.
func (t *Timer) At(at time.Time) { t.AtMillis(at.UnixMilli()) }

// AtMillis is At for a time in milliseconds since 1970 UTC, which is what event times are.
func (t *Timer) AtMillis(at int64) {
	if t.column == nil {
		panic("a Timer that stands for Timers was set: set a deadline of the Timers")
	}
	t.column.Set(at)
}

// Clear takes the present key's deadline back. There need not be one.
func (t *Timer) Clear() {
	if t.column == nil {
		panic("a Timer that stands for Timers was cleared: take back a deadline of the Timers")
	}
	t.column.Clear()
}

// Deadline returns the present key's deadline in UTC. ok is false if none is set, also within the OnTimer call for it.
func (t *Timer) Deadline() (at time.Time, ok bool) {
	if t.column == nil {
		return time.Time{}, false
	}
	var ms int64
	if t.column.IsVeiled() {
		ms, ok = t.column.VeiledDeadline()
	} else {
		ms, ok = t.column.Deadline()
	}
	if !ok {
		return time.Time{}, false
	}
	return time.UnixMilli(ms).UTC(), true
}

// Name returns the timer's name.
func (t *Timer) Name() string {
	if t.column == nil {
		return t.many.Name()
	}
	return t.column.Name()
}

// DeclareState is for the runtime.
func (t *Timer) DeclareState(d *heap.Declaration) { t.column = d.Timer() }
