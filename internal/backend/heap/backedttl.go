package heap

import (
	"encoding/binary"
	"errors"
	"math"
	"unsafe"

	"github.com/weirstream/weir/backend"
	"github.com/weirstream/weir/internal/backend/keyed"
)

// lives says until when a row has any state, by the clock that its states expire by: it is over when all clocks have come so far. A row with
// state that does not expire lives for ever by both. Two of them stand before the states of a row whose layout expires, behind the alarms, so
// that a row in the byte store can be given up without being decoded.
type lives [keyed.ProcessingTime + 1]int64

const livesBytes = 2 * 8

var forEver = lives{math.MaxInt64, math.MaxInt64, math.MaxInt64}

func (l lives) put(dst []byte) {
	binary.LittleEndian.PutUint64(dst, uint64(l[keyed.EventTime]))
	binary.LittleEndian.PutUint64(dst[8:], uint64(l[keyed.ProcessingTime]))
}

func livesOf(src []byte) lives {
	return lives{keyed.EventTime: int64(binary.LittleEndian.Uint64(src)), keyed.ProcessingTime: int64(binary.LittleEndian.Uint64(src[8:]))}
}

func (l lives) over(now [keyed.ProcessingTime + 1]int64) bool {
	return l[keyed.EventTime] <= now[keyed.EventTime] && l[keyed.ProcessingTime] <= now[keyed.ProcessingTime]
}

// livesOf says until when a row has any state.
func (s *core) livesOf(r rowID) lives {
	row := s.tables[r.group].rows.at(r.id)
	all := lives{math.MinInt64, math.MinInt64, math.MinInt64}
	for _, c := range s.layout.columns {
		cell := unsafe.Add(row, c.off)
		if c.ttl == nil {
			if c.hasState(cell) {
				return forEver
			}
			continue
		}
		var stamp int64
		if newest, ok := c.linked.(stampedTable); ok {
			stamp = newest.newestStamp(r, row)
		} else {
			stamp = *stampAt(cell)
		}
		switch end, known := c.ttl.endOf(stamp); {
		case stamp == none:
		case !known:
			return forEver
		default:
			all[c.ttl.clock] = max(all[c.ttl.clock], end)
		}
	}
	return all
}

// hasState reports whether a cell that does not expire holds anything.
func (c *column) hasState(cell unsafe.Pointer) bool {
	switch {
	case c.begin != nil:
		return !c.isBegin(cell)
	case c.kind == keyed.KindTimer:
		return (*timerCell)(cell).deadline != none
	}
	return !zeroBytes(cell, c.cell.Size())
}

// stampedTable is a linked table whose rows expire.
type stampedTable interface {
	// newestStamp returns the newest stamp of what hangs on a row, none if nothing does, undated if that is not known.
	newestStamp(r rowID, row unsafe.Pointer) int64
}

func (m *MapColumn[K, V]) newestStamp(r rowID, row unsafe.Pointer) int64 {
	g, cell := &m.groups[r.group], (*mapCell)(unsafe.Add(row, m.off))
	if cell.isOutlying() {
		return m.headOf(r).stamp
	}
	stamp, id := int64(none), cell.head-1
	for range cell.len() {
		row := g.rows.at(id)
		stamp = newer(stamp, *m.stampOf(row))
		id = linksAt(row).next
	}
	return stamp
}

func (l *ListColumn[T]) newestStamp(r rowID, row unsafe.Pointer) int64 {
	if o := l.outlyingAt(r); o != nil {
		return o.stamp
	}
	stamp := int64(none)
	for e := range l.each(&l.group[r.group], unsafe.Add(row, l.off)) {
		stamp = newer(stamp, *stampAt(e))
	}
	return stamp
}

// newer returns the stamp that counts longer.
func newer(a, b int64) int64 {
	if a == undated || b == undated {
		return undated
	}
	return int64(max(uint64(a), uint64(b)))
}

// storeSweep is how far the search for what has expired has come in the byte store.
type storeSweep struct {
	from    []byte
	began   [keyed.ProcessingTime + 1]int64
	resting bool
}

// sweepStore looks at about n entries of the byte store and removes the rows that are over. Those that are in the tables are looked at there.
func (b *backing) sweepStore(n int) {
	w, now := &b.sweep, b.core.times.now
	if w.resting && !b.core.worthSweepingSince(w.began) {
		return
	}
	begin, end := backend.Groups{First: b.core.groups.First, Last: b.core.groups.Last}.Keys()
	if w.resting || w.from == nil {
		w.began, w.resting, w.from = now, false, begin
	}
	it, err := b.store.Scan(w.from, end)
	if err != nil {
		b.fail(err)
		return
	}
	defer func() { b.fail(errors.Join(it.Err(), it.Close())) }()
	for ; n > 0 && b.err == nil && it.Next(); n-- {
		switch key, value := it.Key(), it.Value(); {
		case key[2] == placeSpace:
			b.fail(b.sweepPlace(key, value))
		case key[2] == rowSpace && b.prefix().over(value, now) && !b.has(key):
			b.batch.Delete(key)
			b.fail(b.removeOutlying(key, value))
		}
		w.from = append(append(w.from[:0:0], it.Key()...), 0)
	}
	w.resting = n > 0
}

// prefix is what stands before the states of a row in the byte store.
type prefix struct {
	alarms int // bytes
	lives  bool
}

func (b *backing) prefix() prefix { return prefix{b.alarms.room(), b.core.layout.stamped} }

// size returns the number of bytes.
func (p prefix) size() int {
	if p.lives {
		return p.alarms + livesBytes
	}
	return p.alarms
}

// over reports whether the value of a row says that nothing is left of it.
func (p prefix) over(value []byte, now [keyed.ProcessingTime + 1]int64) bool {
	return p.lives && len(value) >= p.size() && livesOf(value[p.alarms:]).over(now)
}
