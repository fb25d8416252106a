package heap

import "unsafe"

// index finds rows by hash: open addressing over entries of 8 bytes, the low half of the key's hash above the row's number plus one. The
// place of an entry is the top of its tag, so that entries lie in order of their tags, up to the disorder within a run of neighbours.
// Growing reads and writes in order and looks at no key. There is no wrapping: a tail of spare slots follows the last place, and the last
// slot is always empty.
type index struct {
	slots []uint64
	shift uint8 // place = tag >> shift
	used  int
	arena *arena
}

const (
	minSlots = 64
	minTail  = 64
)

// noSlots serves all indexes without entries: every tag has place 0 and finds it empty.
var noSlots = make([]uint64, 1)

func newIndex(a *arena) index { return index{slots: noSlots, shift: 32, arena: a} }

// candidate returns the row, plus one, of the first entry with the tag, or 0 if there is none. Whether it holds the key must be checked.
func (x *index) candidate(tag uint32) uint32 {
	for i := int(tag >> x.shift); ; i++ {
		e := x.slots[i]
		if e == 0 || uint32(e>>32) == tag {
			return uint32(e)
		}
	}
}

// add enters a row under a tag.
func (x *index) add(tag, row uint32) {
	if (x.used+1)*8 > x.places()*5 {
		x.resize(max(minSlots, 2*x.places()), minTail)
	}
	for !x.put(uint64(tag)<<32 | uint64(row+1)) {
		x.makeRoom()
	}
	x.used++
}

// places returns the number of slots without the tail, 0 for an index that never had an entry.
func (x *index) places() int {
	if x.shift == 32 {
		return 0
	}
	return 1 << (32 - x.shift)
}

func (x *index) put(e uint64) bool {
	i := int(uint32(e>>32) >> x.shift)
	for x.slots[i] != 0 {
		i++
	}
	if i == len(x.slots)-1 {
		return false
	}
	x.slots[i] = e
	return true
}

// makeRoom is called when the tail is full. More places help against chance; if the index is nearly empty then keys collide on purpose,
// and only a longer tail helps.
func (x *index) makeRoom() {
	if x.used*8 < x.places() {
		x.resize(x.places(), 2*(len(x.slots)-x.places()))
		return
	}
	x.resize(2*x.places(), minTail)
}

func (x *index) resize(places, tail int) {
	old := x.slots
	for {
		x.slots = unsafe.Slice((*uint64)(x.arena.alloc((places+tail)*8)), places+tail)
		clear(x.slots) // they are zero, but a first access that writes takes one page fault where a read and a write take two
		for x.shift = 32; 1<<(32-x.shift) < places; {
			x.shift--
		}
		if x.refill(old) {
			break
		}
		x.release()
		tail *= 2
	}
	if len(old) > 1 {
		x.arena.free(unsafe.Pointer(unsafe.SliceData(old)), len(old)*8)
	}
}

func (x *index) refill(old []uint64) bool {
	for _, e := range old {
		if e != 0 && !x.put(e) {
			return false
		}
	}
	return true
}

func (x *index) release() { x.arena.free(unsafe.Pointer(unsafe.SliceData(x.slots)), len(x.slots)*8) }

// remove takes out the entry of a row and closes the gap, so that no tombstones remain.
func (x *index) remove(tag, row uint32) {
	i := int(tag >> x.shift)
	for x.slots[i] != uint64(tag)<<32|uint64(row+1) {
		i++
	}
	for j := i + 1; x.slots[j] != 0; j++ {
		if int(uint32(x.slots[j]>>32)>>x.shift) <= i {
			x.slots[i] = x.slots[j]
			i = j
		}
	}
	x.slots[i] = 0
	x.used--
}

// presize makes room for n entries without growing.
func (x *index) presize(n int) {
	places := minSlots
	for places*5 < n*8 {
		places *= 2
	}
	if n > 0 && places > x.places() {
		x.resize(places, minTail)
	}
}
