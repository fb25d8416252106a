package state

import (
	"iter"
	"time"

	"github.com/weirstream/weir/internal/backend/heap"
)

// Timers calls OnTimer for a key at each of any number of deadlines, which are a set: the same deadline is there once. Setting one, taking one
// back and firing one cost the same whatever their number.
//
// The tag is that of a [Timer]. OnTimer is called with what the method Timer returns, and the deadline is the time of its Ctx; it is not in the
// set any more by then. Deadlines are kept in whole milliseconds.
type Timers struct {
	column *heap.TimersColumn
	timer  Timer
}

// At adds a deadline for the present key.
func (t *Timers) At(at time.Time) { t.column.Set(at.UnixMilli()) }

// AtMillis is At for a time in milliseconds since 1970 UTC.
func (t *Timers) AtMillis(at int64) { t.column.Set(at) }

// Delete takes a deadline of the present key back. It need not be there.
func (t *Timers) Delete(at time.Time) { t.column.Delete(at.UnixMilli()) }

// DeleteMillis is Delete for a time in milliseconds since 1970 UTC.
func (t *Timers) DeleteMillis(at int64) { t.column.Delete(at) }

// Has reports whether the present key has a deadline.
func (t *Timers) Has(at time.Time) bool { return t.column.Has(at.UnixMilli()) }

// All returns the present key's deadlines in UTC, in the order in which they were set. They may be changed during the loop, as a Map.
func (t *Timers) All() iter.Seq[time.Time] {
	return func(yield func(time.Time) bool) {
		t.column.Each(func(at int64) bool { return yield(time.UnixMilli(at).UTC()) })
	}
}

// Len returns the number of the present key's deadlines.
func (t *Timers) Len() int { return t.column.Len() }

// Clear takes all deadlines of the present key back.
func (t *Timers) Clear() { t.column.Clear() }

// Timer returns what OnTimer is called with for these deadlines. It cannot be set itself.
func (t *Timers) Timer() *Timer { return &t.timer }

// DeclareState is for the runtime.
func (t *Timers) DeclareState(d *heap.Declaration) {
	t.column = d.Timers()
	t.timer = Timer{many: t.column}
}
