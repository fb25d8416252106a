package heap

import "unsafe"

// Epoch counts the captures of a store: every change belongs to the epoch in which it is made, and a capture ends one. So what has changed
// since a capture is what has changed in the epoch that the capture has begun, or later.
type Epoch uint32

// history says which rows of a page have changed when, as far back as anyone may ask, in three eras: the epoch in which the page was last
// owned, and two before it. Usually an era is an epoch. Only if checkpoints are confirmed more than two captures late has one several, and an
// increment may then have rows that have changed only before its base. It never has too few.
type history struct {
	wrote   uint32   // the epoch in which the page was last owned
	changed []uint64 // rows that have changed in it, one bit each; nil in a store that does not track changes
	past    [2]era   // the newer one first
}

type era struct {
	last uint32   // its last epoch
	rows []uint64 // that have changed in it
}

// since returns, of the rows 64*i to 64*i+63, those that have changed in an epoch or after it.
func (h *history) since(epoch uint32, i int) (rows uint64) {
	if h.wrote >= epoch {
		rows = h.changed[i]
	}
	for _, e := range h.past {
		if e.last >= epoch {
			rows |= e.rows[i]
		}
	}
	return rows
}

// has reports whether a row of the page has changed in an epoch or after it.
func (h *history) has(row, epoch uint32) bool { return h.since(epoch, int(row>>6))>>(row&63)&1 != 0 }

// copyOf makes a history that of another page.
func (h *history) copyOf(other *history) {
	h.wrote = other.wrote
	copy(h.changed, other.changed)
	for i, e := range other.past {
		h.past[i].last = e.last
		copy(h.past[i].rows, e.rows)
	}
}

// newHistory makes an empty history of what cut returns: one bit for each row.
func newHistory(cut func() []uint64) history {
	return history{changed: cut(), past: [2]era{{rows: cut()}, {rows: cut()}}}
}

// marking says how the history of the pages of a slab lies in memory.
//
// slab.marks has a mark for each page: wrote, and in a store that tracks changes eight bytes further changed. This is all that the first change
// of a row in an epoch looks at; it lies together, and is small enough to stay in the processor's caches however large the state is. The rest
// is in slab.past.
type marking struct {
	size uintptr // from one mark to the next
	past uintptr // from what slab.past has of one page to the next; 0: no changes are tracked
}

// before is what slab.past has of a page, and behind it for each row three bits, word by word apart: whether it has changed in the eras, and
// whether it was born, that is inserted in wrote. No capture has such a row, so that it may go without a trace.
type before struct{ last [2]uint32 }

const (
	changedAt = 8 // bytes into a mark
	pastSets  = 3
)

func newMarking(tracks bool, words int) marking {
	if !tracks {
		return marking{size: 4}
	}
	bytes := 8 * uintptr(words)
	return marking{size: changedAt + bytes, past: unsafe.Sizeof(before{}) + pastSets*bytes}
}

// newMarks makes the marks of a new slab.
func (sh *shape) newMarks(s *slab) {
	pages := len(s.pages)
	s.marks = sh.arena.alloc(pages * int(sh.marks.size))
	if sh.marks.past > 0 {
		s.past = sh.arena.alloc(pages * int(sh.marks.past))
	}
}

// wroteOf returns the wrote of a page, with which its mark begins.
func (sh *shape) wroteOf(s *slab, k int) *uint32 {
	return (*uint32)(unsafe.Add(s.marks, uintptr(k)*sh.marks.size))
}

// changedWord returns the word of a mark in which the bit of a row of its page lies.
func changedWord(wrote *uint32, row uint32) *uint64 {
	return (*uint64)(unsafe.Add(unsafe.Pointer(wrote), changedAt+uintptr(row>>6)*8))
}

func (sh *shape) beforeOf(s *slab, k int) *before {
	return (*before)(unsafe.Add(s.past, uintptr(k)*sh.marks.past))
}

// pastSet returns one of the sets of rows behind before.
func (sh *shape) pastSet(b *before, i int) []uint64 {
	return unsafe.Slice((*uint64)(unsafe.Add(unsafe.Pointer(b), unsafe.Sizeof(*b)+uintptr(i*sh.words)*8)), sh.words)
}

func (sh *shape) bornIn(b *before) []uint64 { return sh.pastSet(b, 2) }

// historyOf returns the history of a page, which must be busy or the subtask's own. It holds until the page is owned anew.
func (sh *shape) historyOf(s *slab, k int) history {
	wrote := sh.wroteOf(s, k)
	h := history{wrote: *wrote}
	if sh.marks.past > 0 {
		h.changed = unsafe.Slice(changedWord(wrote, 0), sh.words)
		b := sh.beforeOf(s, k)
		for i := range h.past {
			h.past[i] = era{b.last[i], sh.pastSet(b, i)}
		}
	}
	return h
}

// turn begins the present epoch for a page. What changed in its last one becomes an era, if anyone may ask for it, or part of the newer one as
// long as anyone may ask for the older.
func (sh *shape) turn(s *slab, k int) {
	now := sh.clock.now
	if sh.marks.past > 0 {
		h, b, lost := sh.historyOf(s, k), sh.beforeOf(s, k), sh.clock.lost
		newer, older := h.past[0], h.past[1]
		switch {
		case h.wrote <= lost: // what changed then was confirmed
		case older.last <= lost:
			copy(older.rows, newer.rows)
			copy(newer.rows, h.changed)
			b.last = [2]uint32{h.wrote, newer.last}
		default:
			for i, changed := range h.changed {
				newer.rows[i] |= changed
			}
			b.last[0] = h.wrote
		}
		clear(h.changed)
		clear(sh.bornIn(b))
	}
	*sh.wroteOf(s, k) = now
}

// change owns the page of a row and marks the row. own alone is for what is no state, such as where a row's neighbours lie.
func (r *rows) change(id uint32) {
	s, k := r.place(id)
	wrote := r.sh.wroteOf(s, k)
	if *wrote != r.sh.clock.now {
		r.ownPage(s, k)
	}
	if r.sh.clock.tracks {
		r.sh.note(wrote, id)
	}
}

// change is rows.change for a row that was found.
func (s *core) change(r Ref) {
	if *r.wrote != s.clock.now {
		s.rowsOf(r.group).own(r.id)
	}
	if s.clock.tracks {
		s.shape.note(r.wrote, r.id)
	}
}

// note marks a row as changed. Its page is owned.
func (sh *shape) note(wrote *uint32, id uint32) {
	row := sh.inPage(id)
	*changedWord(wrote, row) |= 1 << (row & 63)
}

// born marks a row that was inserted. Its page is owned.
func (r *rows) born(id uint32) {
	if r.sh.clock.tracks {
		s, k := r.place(id)
		row := r.sh.inPage(id)
		r.sh.bornIn(r.sh.beforeOf(s, k))[row>>6] |= 1 << (row & 63)
		r.sh.note(r.sh.wroteOf(s, k), id)
	}
}

// isFresh reports whether no capture has a row. It is false if that is not known.
func (r *rows) isFresh(id uint32) bool {
	if !r.sh.clock.tracks {
		return false
	}
	s, k := r.place(id)
	row := r.sh.inPage(id)
	return *r.sh.wroteOf(s, k) == r.sh.clock.now && r.sh.bornIn(r.sh.beforeOf(s, k))[row>>6]>>(row&63)&1 != 0
}

// Confirmed forgets what was removed before an epoch: nothing will be asked for any more that happened before it.
func (s *Store[K]) Confirmed(since Epoch) { s.forget(uint32(since)) }

// Knows reports whether all is remembered that has changed in an epoch or after it. It is false for epochs before the one that was confirmed
// last, and where so much was removed since that forgetting it and starting over is cheaper.
func (s *Store[K]) Knows(since Epoch) bool {
	return s.clock.tracks && uint32(since) > s.clock.lost
}
