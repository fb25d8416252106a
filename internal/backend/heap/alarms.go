package heap

import (
	"encoding/binary"
	"fmt"
	"math"
	"unsafe"

	"github.com/weirstream/weir/backend"
	"github.com/weirstream/weir/internal/backend/keyed"
)

// alarms sees to it that timers fire whose rows are not in memory. For each row that was sealed and has deadlines of a domain the byte store has
// an entry under the earliest of them, or an earlier time: the key of the row by time. Before timers fire, the rows are read whose entries are due;
// then their deadlines are in the queue of timers like all others.
//
// A deadline that moves later leaves the entry where it is, as in the wheel. Where a row's entry stands is kept at the beginning of its value.
//
// From the time that a row's entry was removed until the row is sealed there is none. All its deadlines are in memory then, but for those of outlying sets, which
// is why such rows are remembered.
type alarms struct {
	b       *backing
	domains []keyed.Domain                            // those that the layout has timers of
	next    [keyed.ProcessingTime + 1][]int64         // by group: no entry stands before it
	awake   [keyed.ProcessingTime + 1]map[rowID]int64 // rows without an entry, by when their outlying sets have to be looked at
	at      map[rowID][keyed.ProcessingTime + 1]int64 // where the entries of the rows in memory stand, as in a timerCell
	firing  [keyed.ProcessingTime + 1]int64           // the latest time up to which timers were to fire
	due     []dueAlarm                                // that were removed just now
	scratch []byte
}

func (a *alarms) init(b *backing) {
	a.b, a.at = b, map[rowID][keyed.ProcessingTime + 1]int64{}
	for d := keyed.EventTime; d <= keyed.ProcessingTime; d++ {
		if b.core.timers[d] != nil {
			a.domains = append(a.domains, d)
			a.awake[d], a.firing[d] = map[rowID]int64{}, math.MinInt64
			a.next[d] = make([]int64, len(b.core.tables))
			for g := range a.next[d] {
				a.next[d][g] = math.MaxInt64
			}
		}
	}
}

// unknown says that nothing is known of what the byte store has, because it was restored.
func (a *alarms) unknown() {
	for _, d := range a.domains {
		clear(a.next[d])
		for g := range a.next[d] {
			a.next[d][g] = math.MinInt64
		}
	}
}

// room is the number of bytes before the states of a row.
func (a *alarms) room() int { return 8 * len(a.domains) }

// load takes what stands before the states of a row.
func (a *alarms) load(r rowID, value []byte) error {
	if len(value) < a.room() {
		return fmt.Errorf("%w: a row is cut short", keyed.ErrCorrupt)
	}
	var at [keyed.ProcessingTime + 1]int64
	for _, d := range a.domains {
		at[d] = int64(binary.LittleEndian.Uint64(value))
		value = value[8:]
	}
	a.set(r, at)
	return nil
}

func (a *alarms) set(r rowID, at [keyed.ProcessingTime + 1]int64) {
	if at == [len(at)]int64{} {
		delete(a.at, r)
		return
	}
	a.at[r] = at
}

func (a *alarms) forgotten(r rowID) {
	if len(a.at) > 0 {
		delete(a.at, r)
	}
	for _, d := range a.domains {
		delete(a.awake[d], r)
	}
}

// seal brings the entries of a row up to date and notes in its value where they stand.
func (a *alarms) seal(r rowID, key []byte, living bool, value []byte) {
	if len(a.domains) == 0 {
		return
	}
	at := a.at[r]
	for i, d := range a.domains {
		first := int64(none)
		if living {
			first = a.b.core.earliest(r, d)
		}
		if first == none || at[d] == none || uint64(first) < uint64(at[d]) {
			a.move(r, d, key, at[d], first)
			at[d] = first
		}
		delete(a.awake[d], r)
		binary.LittleEndian.PutUint64(value[8*i:], uint64(at[d]))
	}
	a.set(r, at)
}

// move takes an entry from one time to another, either of which may be none.
func (a *alarms) move(r rowID, d keyed.Domain, key []byte, from, to int64) {
	if from == to {
		return
	}
	if from != none {
		a.scratch = alarmKey(a.scratch[:0], key[:2], d, from, key[keyPrefix:])
		a.b.batch.Delete(a.scratch)
	}
	if to != none {
		a.scratch = alarmKey(a.scratch[:0], key[:2], d, to, key[keyPrefix:])
		a.b.batch.Put(a.scratch, nil)
		a.next[d][r.group] = min(a.next[d][r.group], loaded(to))
	}
}

// alarmKey appends the key of an entry. Stored times are in order as unsigned numbers.
func alarmKey(dst, group []byte, d keyed.Domain, at int64, key []byte) []byte {
	dst = append(append(dst, group...), alarmSpace, byte(d))
	return append(binary.BigEndian.AppendUint64(dst, uint64(at)), key...)
}

// earliest returns the first deadline of a row in a domain, as in a timerCell, or an earlier time.
func (s *core) earliest(r rowID, d keyed.Domain) (first int64) {
	row := s.tables[r.group].rows.at(r.id)
	for _, c := range s.layout.timers {
		switch {
		case c.domain != d:
		case c.many != nil:
			first = earlier(first, c.many.firstOf(r, row))
		default:
			first = earlier(first, (*timerCell)(unsafe.Add(row, c.off)).deadline)
		}
	}
	return first
}

// first returns a time before which no entry of a domain stands, and no outlying set has to be looked at.
func (a *alarms) first(d keyed.Domain) (at int64, ok bool) {
	at = math.MaxInt64
	for _, wake := range a.awake[d] {
		at = min(at, wake)
	}
	for _, next := range a.next[d] {
		at = min(at, next)
	}
	return at, at < math.MaxInt64
}

// read reads the rows whose entries stand at a time or before it, and removes the entries. It waits for the writer: an entry that is not in the byte store
// yet would be missed, and so would be that something stands there at all.
func (a *alarms) read(d keyed.Domain, upTo int64) {
	a.b.waitForBatches()
	for g, next := range a.next[d] {
		if next <= upTo && a.b.err == nil {
			if err := a.readGroup(uint32(g), d, upTo); err != nil {
				a.b.fail(fmt.Errorf("read the rows whose timers are due: %w", err))
			}
		}
	}
	a.b.fetch()
	a.wake(d, upTo)
	a.removed(d)
}

// wake brings the deadlines of outlying sets into memory that are due: those of the rows that were read, and of the rows without an entry.
func (a *alarms) wake(d keyed.Domain, upTo int64) {
	for r, at := range a.awake[d] {
		if at <= upTo {
			a.wakeRow(r, d, upTo)
		}
	}
	for _, due := range a.due {
		a.wakeRow(due.row, d, upTo)
	}
}

// wakeRow notes when the row has to be looked at again, if nothing else will see to it.
func (a *alarms) wakeRow(r rowID, d keyed.Domain, upTo int64) {
	next := int64(none)
	for _, c := range a.b.core.layout.timers {
		if c.domain == d && c.many != nil && a.b.err == nil {
			next = earlier(next, c.many.wake(r, upTo))
		}
	}
	if next == none {
		delete(a.awake[d], r)
	} else {
		a.awake[d][r] = loaded(next)
	}
}

func (a *alarms) readGroup(group uint32, d keyed.Domain, upTo int64) (err error) {
	prefix := backend.GroupKey(a.b.core.groups.First + int(group))
	from, to := alarmKey(nil, prefix, d, 0, nil), append(prefix, alarmSpace, byte(d)+1)
	it, err := a.b.store.Scan(from, to)
	if err != nil {
		return err
	}
	defer func() {
		if e := it.Close(); err == nil {
			err = e
		}
	}()
	a.next[d][group] = math.MaxInt64
	for it.Next() {
		key := it.Key()
		if len(key) < len(from) {
			return fmt.Errorf("%w: an entry of a timer", keyed.ErrCorrupt)
		}
		at := int64(binary.BigEndian.Uint64(key[len(from)-8:]))
		if loaded(at) > upTo {
			a.next[d][group] = loaded(at)
			break
		}
		a.b.batch.Delete(key)
		a.due = append(a.due, dueAlarm{a.b.resolve(group, key[len(from):]), at})
	}
	return it.Err()
}

// dueAlarm is an entry that was removed.
type dueAlarm struct {
	row rowID
	at  int64
}

// removed notes that the entries of rows are gone, once the rows are read; when they are sealed others are made for the deadlines that are left.
// An entry that was on its way out already, because the batch that removes it is not written yet, is not the one that its row knows of.
func (a *alarms) removed(d keyed.Domain) {
	for _, due := range a.due {
		if now := a.at[due.row]; now[d] == due.at {
			now[d] = none
			a.set(due.row, now)
		}
		a.b.changed(due.row)
	}
	a.due = a.due[:0]
}

// alarmSpan is the time whose timers are brought into memory together, in milliseconds.
const alarmSpan = 1 << 10

// fireStored fires the timers that are due up to the time of the last one whose row is not in memory, a span of time at a time, so that what is
// due at once need not fit into memory when event time makes a leap.
func (s *Store[K]) fireStored(d keyed.Domain, upTo int64, call func(e entry, at int64) error) error {
	b := s.backed
	for b.err == nil {
		first, ok := b.alarms.first(d)
		if !ok || first > upTo {
			return nil
		}
		end := max(first, first+alarmSpan)
		b.alarms.read(d, min(end, upTo))
		if b.err != nil {
			break
		}
		if end >= upTo {
			return nil // the caller goes on
		}
		if err := s.timers[d].fire(end, call); err != nil {
			return err
		}
		s.EndBatch()
	}
	return b.err
}

// noteChange notes that a row is going to be changed, or what hangs on it.
func (s *core) noteChange(r rowID) {
	if s.backed != nil {
		s.backed.changed(r)
	}
}
