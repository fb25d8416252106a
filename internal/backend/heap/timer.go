package heap

import (
	"bytes"
	"math"
	"reflect"
	"unsafe"

	"github.com/weirstream/weir/internal/backend/keyed"
)

// timerCell is what a row holds for a timer: its deadline, and where the row is filed. Both are in milliseconds with the sign bit flipped,
// so that zero, which stands for the smallest time, means none.
//
// A row is filed at most once in force. A deadline that moves later leaves it where it is: the place comes up first, and then the row is filed
// again. A deadline that moves earlier files it again at once, and the old place no longer matches filed when it comes up. What was left
// behind by a freed row matches its successor's filed at most by chance, and then does no harm: a timer fires only at its deadline.
type timerCell struct {
	deadline int64
	filed    int64 // the exact time if it waits in due, else the start of its bucket in the wheel; not part of a snapshot
}

// deadlineBytes is the part of a timerCell that is state.
const deadlineBytes = 8

const none = 0

// mostColumns keeps the number of a row's timers within a byte of the snapshot.
const mostColumns = 100

func stored(at int64) int64   { return max(at, math.MinInt64+1) ^ math.MinInt64 }
func loaded(cell int64) int64 { return cell ^ math.MinInt64 }

// timerQueue knows which timers of one domain come next.
type timerQueue struct {
	core   *core
	wheel  wheel
	due    []dueTimer   // a binary heap of what lies in opened buckets
	places []timerPlace // by number of the timer
	sweep  int          // the number of entries in the wheel at which those that are no longer in force are dropped
}

// leastSweep is a number of entries that is not worth sweeping: 1 MB.
const leastSweep = 1 << 16

type dueTimer struct {
	at   int64
	hash uint64 // of the key
	entry
	owner uint32 // row of the key, which is in the same group
}

func (d *dueTimer) key() rowID { return rowID{d.row.group, d.owner} }

// timerPlace says where the cells of a timer are: in the rows of keys, or in those of a set of deadlines.
type timerPlace struct {
	rowsOf func(group uint32) *rows
	off    uintptr
	many   *TimersColumn // nil for a timer with one deadline
}

func newTimerQueue(c *core) *timerQueue {
	return &timerQueue{core: c, wheel: newWheel(), sweep: leastSweep, places: make([]timerPlace, len(c.layout.timers))}
}

// place tells where the cells of a column are.
func (q *timerQueue) place(c *column) {
	p := timerPlace{q.core.rowsOf, c.off, nil}
	if c.many != nil {
		p = timerPlace{c.many.rowsOf, c.many.deadlines.keyOff, c.many}
	}
	q.places[c.number] = p
}

func (q *timerQueue) cellOf(e entry) *timerCell {
	p := &q.places[e.timer]
	return (*timerCell)(unsafe.Add(p.rowsOf(e.row.group).at(e.row.id), p.off))
}

// own allows the cell of an entry to be changed.
func (q *timerQueue) own(e entry) { q.places[e.timer].rowsOf(e.row.group).own(e.row.id) }

// ownerOf returns the row of the key that an entry belongs to.
func (q *timerQueue) ownerOf(e entry) rowID {
	if many := q.places[e.timer].many; many != nil {
		return many.ownerOf(e.row)
	}
	return e.row
}

// file files an entry for a time and notes it in the cell, whose page must be owned.
func (q *timerQueue) file(cell *timerCell, at int64, e entry) {
	if b := bucketOf(at); b > q.wheel.cur {
		cell.filed = stored(b << bucketShift)
		q.wheel.file(b, e)
		if q.wheel.count > q.sweep {
			q.drop()
		}
		return
	}
	cell.filed = stored(at)
	owner := q.ownerOf(e)
	q.push(dueTimer{at, q.core.hashOf(owner), e, owner.id})
}

// drop drops the entries that are not in force: those of rows that were freed, and those of deadlines that have moved earlier. Without it
// a key that sets a timer for next month and is done in a second would leave its entry until then. It runs when the entries have doubled,
// and so costs each a constant.
func (q *timerQueue) drop() {
	q.wheel.sweep(func(e entry, bucket int64) bool { return q.cellOf(e).filed == stored(bucket<<bucketShift) })
	q.sweep = max(leastSweep, 2*q.wheel.count)
}

// filedBy reports whether a cell is filed such that it will be looked at by the given time.
func (q *timerQueue) filedBy(cell *timerCell, at int64) bool {
	if cell.filed == none {
		return false
	}
	if b := bucketOf(at); b > q.wheel.cur {
		at = b << bucketShift
	}
	return loaded(cell.filed) <= at
}

// open looks at the entries of a bucket that has come up. It takes two passes so that the cache misses of different rows overlap.
func (q *timerQueue) open(entries []entry) {
	filed := stored(q.wheel.cur << bucketShift)
	n := 0
	for _, e := range entries {
		if q.cellOf(e).filed == filed {
			entries[n] = e
			n++
		}
	}
	for _, e := range entries[:n] {
		cell := q.cellOf(e)
		if cell.filed != filed {
			continue // it was there twice
		}
		q.own(e)
		cell.filed = none
		if cell.deadline != none {
			q.file(cell, loaded(cell.deadline), e)
		}
	}
}

// fire calls f for every timer due by upTo, in order of time, hash of the key, key, and number. A timer is cleared before f is called.
func (q *timerQueue) fire(upTo int64, f func(e entry, at int64) error) error {
	q.wheel.advance(bucketOf(upTo), q.open)
	for len(q.due) > 0 && q.due[0].at <= upTo {
		d := q.pop()
		cell := q.cellOf(d.entry)
		if cell.filed != stored(d.at) || !q.isOf(&d) {
			continue // it was cleared or moved earlier, and perhaps its row given to another
		}
		if cell.deadline != stored(d.at) {
			q.own(d.entry)
			cell.filed = none
			if cell.deadline != none {
				q.file(cell, loaded(cell.deadline), d.entry)
			}
			continue
		}
		owner := d.key()
		if many := q.places[d.timer].many; many != nil {
			q.own(d.entry)
			cell.filed = none
			many.fired(d.row, owner)
		} else {
			q.core.rowsOf(d.row.group).change(d.row.id)
			cell.filed, cell.deadline = none, none
		}
		q.core.noteChange(owner)
		q.core.doubtful = append(q.core.doubtful, owner)
		if err := f(entry{owner, d.timer}, loaded(stored(d.at))); err != nil {
			return err
		}
	}
	return nil
}

// isOf reports whether the row of a timer that is set belongs to the key that the timer was filed for. Rows are given away while entries for
// them wait in due; whoever has one now has filed an entry of its own.
func (q *timerQueue) isOf(d *dueTimer) bool {
	owner := q.ownerOf(d.entry)
	return owner.id == d.owner && q.core.hashOf(owner) == d.hash
}

// next returns a time before which no timer is due.
func (q *timerQueue) next() (at int64, ok bool) {
	if len(q.due) > 0 {
		return q.due[0].at, true
	}
	b, ok := q.wheel.next()
	return b << bucketShift, ok
}

func (q *timerQueue) less(a, b *dueTimer) bool {
	switch {
	case a.at != b.at:
		return a.at < b.at
	case a.hash != b.hash:
		return a.hash < b.hash
	case a.key() != b.key():
		return bytes.Compare(q.key(a.key()), q.key(b.key())) < 0
	}
	return a.timer < b.timer
}

func (q *timerQueue) key(r rowID) []byte {
	return q.core.layout.keyCodec.Append(nil, q.core.rowsOf(r.group).at(r.id))
}

func (q *timerQueue) push(d dueTimer) {
	q.due = append(q.due, d)
	i := len(q.due) - 1
	for i > 0 {
		up := (i - 1) / 2
		if !q.less(&q.due[i], &q.due[up]) {
			return
		}
		q.due[i], q.due[up] = q.due[up], q.due[i]
		i = up
	}
}

func (q *timerQueue) pop() dueTimer {
	top, last := q.due[0], len(q.due)-1
	q.due[0] = q.due[last]
	q.due = q.due[:last]
	for i := 0; ; {
		least := i
		for child := 2*i + 1; child <= 2*i+2 && child < last; child++ {
			if q.less(&q.due[child], &q.due[least]) {
				least = child
			}
		}
		if least == i {
			return top
		}
		q.due[i], q.due[least] = q.due[least], q.due[i]
		i = least
	}
}

// TimerColumn is a timer of the row under the cursor.
type TimerColumn struct {
	cur    *Cursor
	off    uintptr
	number uint32
	name   string
	queue  *timerQueue
}

// timer reads a timer tag. Its first option is the domain, event if there is none.
func (d *Declaration) timer() (name string, domain keyed.Domain) {
	name, options := d.name("timer", "state")
	domain = keyed.EventTime
	switch {
	case len(options) > 1 || len(options) == 1 && options[0] != "event" && options[0] != "processing":
		d.fail("timer %q: unknown option %q; use `timer:\"name,event\"` or `timer:\"name,processing\"`", name, options[len(options)-1])
	case len(options) == 1 && options[0] == "processing":
		domain = keyed.ProcessingTime
	}
	if d.layout != nil && len(d.layout.columns) > mostColumns {
		d.fail("timer %q: more than %d states", name, mostColumns)
	}
	return name, domain
}

// Timer declares a timer.
func (d *Declaration) Timer() *TimerColumn {
	name, domain := d.timer()
	t := &TimerColumn{name: name}
	col := &column{name: name, kind: keyed.KindTimer, domain: domain, cell: reflect.TypeFor[timerCell](), query: t.query}
	col.attach = func(s *core) {
		t.cur, t.off, t.number, t.queue = &s.cur, col.off, uint32(col.number), s.timers[domain]
	}
	d.add(col)
	return t
}

// Name returns the timer's name.
func (t *TimerColumn) Name() string { return t.name }

func (t *TimerColumn) cell() *timerCell { return (*timerCell)(t.cur.cell(t.off)) }

// Set sets the deadline in milliseconds since 1970, in place of an earlier one.
func (t *TimerColumn) Set(at int64) {
	if t.cur.Row == nil {
		t.veiledSet(at)
		return
	}
	t.cur.Own()
	cell := t.cell()
	cell.deadline = stored(at)
	if !t.queue.filedBy(cell, at) {
		t.queue.file(cell, at, entry{rowID{t.cur.ref.group, t.cur.ref.id}, t.number})
	}
}

// Clear takes the deadline back.
func (t *TimerColumn) Clear() {
	if t.cur.Row == nil {
		t.veiledClear()
		return
	}
	t.cur.Own()
	t.cell().deadline = none
	t.cur.Cleared()
}

// IsVeiled reports whether the cursor is at no row that can be seen. Then VeiledDeadline is to be called in place of Deadline, which does not ask
// itself, so that it is inlined.
func (t *TimerColumn) IsVeiled() bool { return t.cur.Row == nil }

// Deadline returns the deadline in milliseconds since 1970, if there is one.
func (t *TimerColumn) Deadline() (at int64, ok bool) {
	t.cur.At()
	d := t.cell().deadline
	return loaded(d), d != none
}

// FireEvent advances event time to the watermark and calls fire for every event-time timer that is due, in order of time and, at equal
// times, of the hashes of their keys, whatever the order in which they were set. timer is the number to give to [Layout.Timer]. A timer is
// cleared before its call; one that is set during it fires too if it is due. The first error ends it; the timers after it stay due.
func (s *Store[K]) FireEvent(watermark int64, fire func(r Ref, key K, timer int, at int64) error) error {
	return s.fire(keyed.EventTime, watermark, s.measuredFire(fire))
}

// FireProcessing does for processing time what FireEvent does for event time.
func (s *Store[K]) FireProcessing(now int64, fire func(r Ref, key K, timer int, at int64) error) error {
	return s.fire(keyed.ProcessingTime, now, s.measuredFire(fire))
}

func (s *Store[K]) fire(d keyed.Domain, upTo int64, fire func(r Ref, key K, timer int, at int64) error) error {
	q := s.core.timers[d]
	if q == nil {
		return nil
	}
	call := func(e entry, at int64) error {
		r := s.refOf(e.row.group, e.row.id)
		return fire(r, *(*K)(r.row), int(e.timer), at)
	}
	if s.backed != nil {
		s.backed.alarms.firing[d] = upTo
		if err := s.fireStored(d, upTo, call); err != nil {
			return err
		}
	}
	return q.fire(upTo, call)
}

// NextProcessing returns the time in milliseconds at which FireProcessing should be called again. It may be too early, never too late. ok is
// false if there is no processing-time timer.
func (s *Store[K]) NextProcessing() (at int64, ok bool) {
	q := s.core.timers[keyed.ProcessingTime]
	if q == nil {
		return 0, false
	}
	at, ok = q.next()
	if s.backed != nil {
		if first, any := s.backed.alarms.first(keyed.ProcessingTime); any && (!ok || first < at) {
			return first, true
		}
	}
	return at, ok
}
