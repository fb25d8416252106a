package heap

import (
	"encoding/binary"
	"errors"
	"fmt"
	"unsafe"

	"github.com/weirstream/weir/internal/backend/keyed"
)

// An outlying set of deadlines lies in the byte store as a map does, by time in the place of by key, so that what is due is read without the rest.
//
//   - All deadlines before filedTo, which is as in a timerCell, or all if that is none, are in memory and filed in the queue of timers. They stay there until
//     they have fired, and so do all that are due while others fire. Of the rest some may be in memory, filed or not.
//   - The row's entry among the alarms is not behind filedTo. When it comes up, what is due is read, and filedTo moves on.
//   - So a set of any size costs what is set, taken back and due of it.

// byTime appends the key under which a deadline is found.
func byTime(dst []byte, deadline *int64) []byte {
	return binary.BigEndian.AppendUint64(dst, uint64(*deadline))
}

// earlier returns the earlier of two times as in a timerCell, of which either may be none.
func earlier(a, b int64) int64 {
	if a == none || b != none && uint64(b) < uint64(a) {
		return b
	}
	return a
}

// holds reports whether a deadline of an outlying set must stay in memory.
func (t *TimersColumn) holds(o *outlyingMap[int64], deadline *int64) bool {
	return o.filedTo == none || uint64(*deadline) < uint64(o.filedTo) || loaded(*deadline) <= t.deadlines.backing().alarms.firing[t.domain]
}

func (t *TimersColumn) spread(owner rowID) bool {
	if !t.deadlines.spread(owner) {
		return false
	}
	t.deadlines.outlying[owner].filedTo = t.firstInMemory(owner)
	return true
}

// firstInMemory returns the first of a set's deadlines that are in memory, as in a timerCell.
func (t *TimersColumn) firstInMemory(owner rowID) (first int64) {
	m := &t.deadlines
	for row := range m.entries(m.mapAt(owner), owner.group) {
		first = earlier(first, *m.keyAt(row))
	}
	return first
}

func (t *TimersColumn) seal(owner rowID) { t.deadlines.seal(owner) }

func (t *TimersColumn) wipe(owner rowID) { t.deadlines.wipe(owner) }

func (t *TimersColumn) evict(owner rowID, goal int64) { t.deadlines.evict(owner, goal) }

func (t *TimersColumn) evictAll(goal int64) { t.deadlines.evictAll(goal) }

// storedOver reports false: a deadline does not expire, it is due.
func (t *TimersColumn) storedOver([]byte) (bool, error) { return false, nil }

func (t *TimersColumn) sweepStored(rowID, []byte) error { return nil }

// decodeHead makes an empty cell that of an outlying set, none of which is in memory. None is before the entry among the alarms.
func (t *TimersColumn) decodeHead(src []byte, cell *mapCell, owner rowID) ([]byte, error) {
	src, err := t.deadlines.decodeHead(src, cell, owner)
	if err != nil {
		return nil, err
	}
	at := t.deadlines.backing().alarms.at[owner][t.domain]
	if at == none {
		return nil, fmt.Errorf("%w: nothing sees to it that deadlines fire", keyed.ErrCorrupt)
	}
	t.deadlines.outlying[owner].filedTo = at
	return src, nil
}

// storedDeadline is a deadline in the byte store.
type storedDeadline struct {
	at    int64
	place uint64
}

// wake takes the deadlines of an outlying set into memory and files them that are due up to a time, moves filedTo on and returns it.
func (t *TimersColumn) wake(owner rowID, upTo int64) (filedTo int64) {
	m := &t.deadlines
	cell := m.mapAt(owner)
	if !cell.isOutlying() {
		return none
	}
	g, o := &m.groups[owner.group], m.outlying[owner]
	if o.filedTo == none || loaded(o.filedTo) > upTo {
		return o.filedTo
	}
	o.prune(m.backing().applied)
	due, first := t.stored(owner, upTo)
	for _, y := range o.young { // which may not be in the byte store yet, and are filed
		if deadline, ok := m.isAt(g, owner, y.id, y.place); ok && loaded(deadline) > upTo {
			first = earlier(first, deadline)
		}
	}
	for _, d := range due {
		id, ok := m.lookUp(g, owner.id, d.at)
		if !ok {
			var err error
			if id, err = m.load(g, cell, owner, d.at, d.place, nil); err != nil {
				m.backing().fail(err)
				return none
			}
		}
		r := rowID{owner.group, id}
		if cell := t.cellAt(r); cell.filed == none {
			t.queue.file(cell, loaded(d.at), entry{r, t.number})
		}
	}
	o.filedTo = first
	return first
}

// stored returns the deadlines that the byte store has from filedTo up to a time, and the first one after it, none if there is none. Those in memory may be
// among them.
func (t *TimersColumn) stored(owner rowID, upTo int64) (due []storedDeadline, first int64) {
	m := &t.deadlines
	b, o := m.backing(), m.outlying[owner]
	from := m.entryKey(nil, owner, &o.filedTo)
	it, err := b.store.Scan(from, b.stateKey(nil, owner, m.state+1, entrySpace))
	if err != nil {
		b.fail(err)
		return nil, o.filedTo
	}
	defer func() { b.fail(errors.Join(err, it.Err(), it.Close())) }()
	for it.Next() {
		place, size := binary.Uvarint(it.Value())
		if len(it.Key()) != len(from) || size <= 0 {
			err = fmt.Errorf("%w: a deadline in the byte store", keyed.ErrCorrupt)
			return nil, o.filedTo
		}
		at := int64(binary.BigEndian.Uint64(it.Key()[len(from)-8:]))
		switch {
		case o.gone[at] > b.applied: // it was taken back since, or has fired
		case loaded(at) > upTo:
			return due, at
		default:
			due = append(due, storedDeadline{at, place >> 1})
		}
	}
	return due, none
}

// firstOf returns a time before which no deadline of a row's set is, as in a timerCell.
func (t *TimersColumn) firstOf(r rowID, row unsafe.Pointer) (first int64) {
	cell := (*mapCell)(unsafe.Add(row, t.deadlines.off))
	if cell.isOutlying() && t.deadlines.outlying[r].filedTo != none {
		return t.deadlines.outlying[r].filedTo
	}
	return t.firstInMemory(r)
}
