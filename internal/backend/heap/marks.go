package heap

import "unsafe"

// Epoch counts the captures of a store: every change belongs to the epoch in which it is made, and a capture ends one. So what has changed
// since a capture is what has changed in the epoch that the capture has begun, or later.
type Epoch uint32

const (
	markBytes = 4
	// epochMask cuts the epoch out of a mark.
	epochMask = 1<<31 - 1
	// fresh is set in the mark of a row that was inserted in the epoch of the mark. No capture has it, so that it may go without a trace.
	fresh = 1 << 31
)

// marking says where a row's mark is: the number that a write compares with the present epoch. It is the row's own, the epoch in which the
// row was last changed, in a store that tracks changes, and the page's wrote in any other, where nothing is kept for each row. In both
// cases a row whose mark is the present epoch lies in a page that is owned, so that one compare tells that nothing is left to do.
type marking struct {
	shift uint8   // log2 of the rows that share a mark
	size  uintptr // from one mark to the next
}

// marksOf returns where the marks of a new slab begin.
func (sh *shape) marksOf(s *slab) unsafe.Pointer {
	if sh.clock.tracks {
		return sh.arena.alloc(len(s.pages) << sh.shift * markBytes)
	}
	return unsafe.Pointer(s.wrote)
}

// rowMarks returns the marks of the rows of a page, nothing if there are none.
func (sh *shape) rowMarks(s *slab, k int) []uint32 {
	if !sh.clock.tracks {
		return nil
	}
	return unsafe.Slice((*uint32)(s.marks), len(s.pages)<<sh.shift)[k<<sh.shift : (k+1)<<sh.shift]
}

// mark returns the mark of a row.
func (r *rows) mark(id uint32) *uint32 {
	s, _ := r.place(id)
	return (*uint32)(unsafe.Add(s.marks, uintptr((id-s.first)>>r.sh.marks.shift)*r.sh.marks.size))
}

// change owns the page of a row and marks the row. own alone is for what is no state, such as where a row's neighbours lie.
func (r *rows) change(id uint32) {
	s, k := r.place(id)
	now := r.sh.clock.now
	if *s.wroteOf(k) != now {
		r.ownPage(s, k)
	}
	if r.sh.clock.tracks {
		if m := (*uint32)(unsafe.Add(s.marks, uintptr(id-s.first)*markBytes)); *m&epochMask != now {
			*m = now
		}
	}
}

// born marks a row that was inserted.
func (r *rows) born(id uint32) {
	if r.sh.clock.tracks {
		*r.mark(id) = r.sh.clock.now | fresh
	}
}

// isFresh reports whether no capture has a row. It is false if that is not known.
func (r *rows) isFresh(id uint32) bool {
	return r.sh.clock.tracks && *r.mark(id) == r.sh.clock.now|fresh
}

// Confirmed forgets what was removed before an epoch: nothing will be asked for any more that happened before it.
func (s *Store[K]) Confirmed(since Epoch) { s.forget(uint32(since)) }

// Knows reports whether all is remembered that has changed in an epoch or after it. It is false for epochs before the one that was confirmed
// last, and where so much was removed since that forgetting it and starting over is cheaper.
func (s *Store[K]) Knows(since Epoch) bool {
	return s.clock.tracks && uint32(since) > s.lost
}
