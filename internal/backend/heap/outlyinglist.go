package heap

import (
	"encoding/binary"
	"fmt"
	"unsafe"

	"github.com/weirstream/weir/codec"
	"github.com/weirstream/weir/internal/backend/keyed"
)

// outlyingList is what is known of an outlying list as long as its row is in memory. What was appended and is not in the byte store yet is in memory in
// chunks, as if it were all there is; all of it is given up together.
type outlyingList struct {
	outlyingHead        // first is where the segment begins in which the first element lies that is left
	base         uint64 // the place of the first element in memory
	sealed       uint64 // the place behind the last element that was sealed
	seal         uint32 // the one that has it
	weight       int64  // of what is in memory
	recent       bool
}

const (
	// segmentBytes is the size of a segment from which another one is begun.
	segmentBytes = 16 << 10
	// nothingHere is the tail of a list that is outlying and of which nothing is in memory.
	nothingHere = ^uint32(0)
)

// start returns the place of the first element that is left.
func (o *outlyingList) start() uint64 { return o.next - o.count }

func (l *ListColumn[T]) backing() *backing { return l.cur.core.backed }

// outlyingAt returns what is known of the list of a row if it is outlying, else nil.
func (l *ListColumn[T]) outlyingAt(r rowID) *outlyingList {
	if len(l.outlying) == 0 {
		return nil
	}
	return l.outlying[r]
}

// at returns the row of the present key.
func (l *ListColumn[T]) at() rowID { return rowID{l.cur.ref.group, l.cur.ref.id} }

func (l *ListColumn[T]) cellAt(r rowID) unsafe.Pointer {
	return unsafe.Add(l.cur.core.rowsOf(r.group).at(r.id), l.off)
}

// appended notes that an element was appended, whose place in memory is e. Nothing may be half done.
func (l *ListColumn[T]) appended(r rowID, e unsafe.Pointer) {
	l.counted(r, e)
	l.backing().relieve()
}

// counted notes what an element takes that is new in memory.
func (l *ListColumn[T]) counted(r rowID, e unsafe.Pointer) {
	b := l.backing()
	if b == nil || b.loading {
		return
	}
	weight := int64(l.size) + stringBytes(unsafe.Add(e, l.inner), l.strings)
	o := l.outlyingAt(r)
	if o == nil {
		b.grown += weight
		return
	}
	o.next++
	o.count++
	o.weight += weight
	b.held += weight
	b.entries++
	if l.ttl != nil {
		o.stamp = newer(o.stamp, *stampAt(e))
	}
}

func (l *ListColumn[T]) spread(owner rowID) bool {
	cell := l.cellAt(owner)
	c := (*listCell)(cell)
	if !l.canSpread || c.count == 0 || l.outlyingAt(owner) != nil {
		return false
	}
	removed := uint64(l.removed(cell))
	o := &outlyingList{outlyingHead: outlyingHead{first: removed, next: uint64(c.count), count: uint64(c.count) - removed}, sealed: removed, recent: true}
	for e := range l.each(&l.group[owner.group], cell) {
		o.weight += int64(l.size) + stringBytes(unsafe.Add(e, l.inner), l.strings)
		if l.ttl != nil {
			o.stamp = newer(o.stamp, *stampAt(e))
		}
	}
	if o.stamp == undated && l.ttl != nil {
		return false // it is dated where it lies, when somebody knows the time
	}
	l.backing().held += o.weight
	l.setOutlying(owner, o)
	return true
}

func (l *ListColumn[T]) setOutlying(owner rowID, o *outlyingList) {
	if l.outlying == nil {
		l.outlying = map[rowID]*outlyingList{}
	}
	l.outlying[owner] = o
}

func (l *ListColumn[T]) seal(owner rowID) {
	o := l.outlyingAt(owner)
	if o == nil || o.sealed == o.next {
		return
	}
	b, place, n := l.backing(), o.base, 0
	from, segment := o.sealed, []byte(nil)
	put := func(upTo uint64) {
		value := binary.AppendUvarint(b.value[:0], uint64(n))
		b.value = append(value, segment...)
		b.scratch = b.placeKey(b.scratch[:0], owner, l.state, from)
		b.batch.Put(b.scratch, b.value)
		from, segment, n = upTo, segment[:0], 0
	}
	l.eachFrom(owner, o.sealed, func(e unsafe.Pointer) {
		place = from + uint64(n) + 1
		if l.ttl != nil {
			segment = appendStamp(segment, *stampAt(e))
		}
		segment = l.elem.append(segment, unsafe.Add(e, l.inner))
		if n++; len(segment) >= segmentBytes {
			put(place)
		}
	})
	if n > 0 {
		put(place)
	}
	o.sealed, o.seal = o.next, b.now
}

// eachFrom calls f for the elements in memory of an outlying list from a place on.
func (l *ListColumn[T]) eachFrom(owner rowID, place uint64, f func(e unsafe.Pointer)) {
	o, r, c := l.outlying[owner], &l.group[owner.group], (*listCell)(l.cellAt(owner))
	chunk := c.head
	for i := range c.count {
		if i > 0 && i%l.fit == 0 {
			chunk = *nextOf(r.at(chunk - 1))
		}
		if o.base+uint64(i) >= place {
			f(l.elementAt(r.at(chunk-1), i%l.fit))
		}
	}
}

func (l *ListColumn[T]) evict(owner rowID, _ int64) {
	o, b := l.outlyingAt(owner), l.backing()
	switch {
	case o == nil || o.base == o.next:
	case o.recent:
		o.recent = false
	case o.sealed == o.next && o.seal <= b.applied:
		l.drain(owner, o)
	}
}

// drain takes all of an outlying list out of memory.
func (l *ListColumn[T]) drain(owner rowID, o *outlyingList) {
	cell := l.cellAt(owner)
	l.removeAll(&l.group[owner.group], (*listCell)(cell))
	(*listCell)(cell).tail = nothingHere
	l.backing().held -= o.weight
	o.weight, o.base = 0, o.next
	l.drained++
}

func (l *ListColumn[T]) evictAll(goal int64) {
	for owner := range l.outlying {
		if l.backing().held <= goal {
			return
		}
		l.evict(owner, goal)
	}
}

// clear removes all of an outlying list.
func (l *ListColumn[T]) clear(owner rowID, o *outlyingList) {
	l.drain(owner, o)
	l.wipeCell(l.cellAt(owner))
	l.backing().removeState(l.backing().rowKey(nil, owner), l.state)
	delete(l.outlying, owner)
	l.wiped++
}

func (l *ListColumn[T]) wipe(owner rowID) {
	if o := l.outlyingAt(owner); o != nil {
		l.clear(owner, o)
	}
}

// decodeHead makes an empty cell that of an outlying list.
func (l *ListColumn[T]) decodeHead(src []byte, cell unsafe.Pointer, owner rowID) ([]byte, error) {
	h, src, err := cutOutlyingHead(src, l.ttl != nil)
	if err != nil {
		return nil, err
	}
	l.setOutlying(owner, &outlyingList{outlyingHead: h, base: h.next, sealed: h.next})
	(*listCell)(cell).tail = nothingHere
	l.backing().metaOf(owner).flags |= scattered
	return src, nil
}

// cutSegment reads how many elements follow.
func cutSegment(value []byte) (n uint64, elements []byte, err error) {
	n, size := binary.Uvarint(value)
	if size <= 0 || n == 0 {
		return 0, nil, fmt.Errorf("%w: a piece of a list", codec.ErrCorrupt)
	}
	return n, value[size:], nil
}

// visit goes through an outlying list up to a place, until visit returns false: through what the byte store has, and then through what is in memory. An
// element's stamp is none if it has none. What is appended meanwhile is left out.
func (l *ListColumn[T]) visit(owner rowID, end uint64, visit func(place uint64, stamp int64, value func() T) bool) {
	b, o, wiped := l.backing(), l.outlying[owner], l.wiped
	o.recent = true
	var data []byte
	var segments []read
	from, at := o.first, o.start() // from is where the segment begins that holds at
	most := 1
	for at < end && b.err == nil {
		if at >= o.base {
			from = o.base
			var going bool
			if at, going = l.visitMemory(owner, o, at, end, visit); !going || l.wiped != wiped {
				return
			}
			continue
		}
		data, segments = data[:0], segments[:0]
		b.scanPlaces(owner, l.state, from, o.base, func(place uint64, value []byte) (bool, error) {
			segments = append(segments, read{place, len(data), len(data) + len(value)})
			data = append(data, value...)
			return len(segments) < most && len(data) < 64<<10, nil
		})
		most = min(2*most, 1024)
		if len(segments) == 0 && b.err == nil {
			b.fail(fmt.Errorf("%w: a list ends at place %d of %d", keyed.ErrCorrupt, at, o.base))
		}
		for _, s := range segments {
			n, src, err := cutSegment(data[s.from:s.to])
			for place := s.place; err == nil && place < s.place+n; place++ {
				var stamp int64
				if stamp, src, err = l.ttl.stamps().cut(src, l.ttl); err != nil {
					break
				}
				value := src
				if src, err = l.elem.codec.Schema().Skip(src); err != nil || place < at {
					continue
				}
				at = place + 1
				if place >= end || !visit(place, stamp, func() T { return l.decoded(value) }) || l.wiped != wiped {
					return
				}
			}
			if err != nil {
				b.fail(fmt.Errorf("a piece of a list: %w", err))
				return
			}
			from = s.place + n
		}
	}
}

// visitMemory goes through what is in memory from a place on, and returns how far it has come: to the end, or to where what is in memory was given up.
func (l *ListColumn[T]) visitMemory(owner rowID, o *outlyingList, at, end uint64, visit func(uint64, int64, func() T) bool) (_ uint64, going bool) {
	r, c, drained, wiped := &l.group[owner.group], (*listCell)(l.cellAt(owner)), l.drained, l.wiped
	chunk, base := c.head, o.base
	for i := uint32(0); base+uint64(i) < end; i++ {
		if i > 0 && i%l.fit == 0 {
			chunk = *nextOf(r.at(chunk - 1))
		}
		if base+uint64(i) < at {
			continue
		}
		at++
		e := l.elementAt(r.at(chunk-1), i%l.fit)
		stamp := int64(none)
		if l.ttl != nil {
			stamp = *stampAt(e)
		}
		if !visit(at-1, stamp, func() T { return load[T](&l.elem, unsafe.Add(e, l.inner)) }) || l.wiped != wiped {
			return at, false
		}
		if l.drained != drained {
			break
		}
	}
	return at, true
}

// decoded returns an element that is not taken into memory.
func (l *ListColumn[T]) decoded(src []byte) (x T) {
	if _, err := l.elem.codec.Decode(src, unsafe.Pointer(&x)); err != nil {
		l.backing().fail(err)
	}
	return x
}

// eachOutlying is Each for what an outlying list has from one place up to another.
func (l *ListColumn[T]) eachOutlying(owner rowID, from, end uint64, yield func(T) bool) {
	b := l.backing()
	l.visit(owner, end, func(place uint64, stamp int64, value func() T) bool {
		if place < from || l.ttl != nil && !l.ttl.ReturnExpired && l.ttl.expired(stamp) {
			return true
		}
		x := value()
		return b.err == nil && yield(x)
	})
}

// lenOutlying returns the number of elements that have not expired.
func (l *ListColumn[T]) lenOutlying(owner rowID, o *outlyingList) int {
	n := int(o.count)
	if l.ttl == nil || l.ttl.ReturnExpired {
		return n
	}
	l.visit(owner, o.next, func(_ uint64, stamp int64, _ func() T) bool {
		if !l.ttl.expired(stamp) {
			return false
		}
		n--
		return true
	})
	return n
}

func (l *ListColumn[T]) storedOver(value []byte) (bool, error) {
	_, elements, err := cutSegment(value)
	if err != nil {
		return false, err
	}
	stamp, _, err := useStamps.cut(elements, nil)
	return l.ttl.expired(stamp), err
}

func (l *ListColumn[T]) sweepStored(owner rowID, _ []byte) error {
	if l.outlyingAt(owner) != nil && l.sweepOutlying(owner, 1<<10) {
		l.cur.core.doubtful = append(l.cur.core.doubtful, owner)
	}
	return nil
}

// sweepOutlying removes elements that have expired from the beginning of an outlying list, and reports whether it is empty now.
func (l *ListColumn[T]) sweepOutlying(owner rowID, most int) (emptied bool) {
	o, b := l.outlying[owner], l.backing()
	n := uint64(0)
	l.visit(owner, o.next, func(_ uint64, stamp int64, _ func() T) bool {
		if most--; most < 0 || !l.ttl.expired(stamp) {
			return false
		}
		n++
		return true
	})
	switch {
	case n == 0:
		return false
	case n == o.count:
		b.changed(owner)
		l.clear(owner, o)
		return true
	}
	b.changed(owner)
	o.count -= n
	if left := l.segmentOf(owner, o); left > o.first {
		b.scanPlaces(owner, l.state, o.first, left, func(place uint64, _ []byte) (bool, error) {
			b.batch.Delete(b.placeKey(nil, owner, l.state, place))
			return true, nil
		})
		o.first = left
	}
	return false
}

// segmentOf returns where the segment begins that holds the first element that is left.
func (l *ListColumn[T]) segmentOf(owner rowID, o *outlyingList) (first uint64) {
	start := o.start()
	if start >= o.base {
		return min(o.base, o.sealed)
	}
	first = o.first
	l.backing().scanPlaces(owner, l.state, o.first, o.base, func(place uint64, _ []byte) (bool, error) {
		if place <= start {
			first = place
		}
		return place <= start, nil
	})
	return first
}
