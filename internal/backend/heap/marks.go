package heap

import "unsafe"

// Epoch counts the captures of a store: every change belongs to the epoch in which it is made, and a capture ends one. So what has changed
// since a capture is what has changed in the epoch that the capture has begun, or later.
type Epoch uint32

// history says which rows of a page have changed when, as far back as anyone may ask, in three eras: the epoch in which the page was last
// owned, and two before it. Usually an era is an epoch. Only if checkpoints are confirmed more than two captures late has one several, and an
// increment may then have rows that have changed only before its base. It never has too few.
type history struct {
	wrote uint32   // the epoch in which the page was last owned
	marks []uint64 // of the page: see marking
	past  [2]era   // the newer one first
}

type era struct {
	last uint32   // its last epoch
	rows []uint64 // that have changed in it, one bit each
}

// latest returns, of the rows 64*i to 64*i+63, those that have changed in the epoch in which the page was last owned.
func (h *history) latest(i int) (rows uint64) {
	for j, m := range h.marks[2*i : min(2*i+2, len(h.marks))] {
		if uint32(m>>32) == h.wrote {
			rows |= uint64(uint32(m)) << (32 * j)
		}
	}
	return rows
}

// since returns, of the rows 64*i to 64*i+63, those that have changed in an epoch or after it.
func (h *history) since(epoch uint32, i int) (rows uint64) {
	if h.wrote >= epoch {
		rows = h.latest(i)
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
	copy(h.marks, other.marks)
	for i, e := range other.past {
		h.past[i].last = e.last
		copy(h.past[i].rows, e.rows)
	}
}

// marking says how the history of the pages of a slab lies in memory.
//
// A mark tells in one look whether a row may be changed at once: it holds an epoch, in its upper half, and a bit for each of up to 32 rows of one
// page, set if the row has changed in that epoch. A row whose bit is set in a mark of the present epoch lies in a page that is owned, and is
// marked. In a store that does not track changes all rows of a page share one bit. Marks are few enough to stay in the processor's caches with
// larger states than the rows do.
//
// slab.marks has the marks of all rows, and behind them for each page wrote. The rest is in slab.past.
type marking struct {
	shift   uint8   // log2 of the rows that share a mark
	mask    uint32  // cuts a row's bit out of its number
	perPage uint8   // log2 of the marks of a page
	past    uintptr // from what slab.past has of one page to the next; 0: no changes are tracked
}

// before is what slab.past has of a page, and behind it for each row three bits, word by word apart: whether it has changed in the eras, and
// whether it was born, that is inserted in wrote. No capture has such a row, so that it may go without a trace.
type before struct{ last [2]uint32 }

const (
	markBytes  = 8
	wroteBytes = 4
	pastSets   = 3
)

func newMarking(tracks bool, shift uint8, words int) marking {
	if !tracks {
		return marking{shift: shift}
	}
	m := marking{shift: min(shift, 5), past: unsafe.Sizeof(before{}) + pastSets*8*uintptr(words)}
	m.mask, m.perPage = 1<<m.shift-1, shift-m.shift
	return m
}

// bytes returns how much of slab.marks belongs to a page.
func (m *marking) bytes() int { return markBytes<<m.perPage + wroteBytes }

// newMarks makes the marks of a new slab.
func (sh *shape) newMarks(s *slab) {
	pages := len(s.pages)
	s.marks = sh.arena.alloc(pages * sh.marks.bytes())
	if sh.marks.past > 0 {
		s.past = sh.arena.alloc(pages * int(sh.marks.past))
	}
}

// markOf returns the mark of a row.
func (sh *shape) markOf(s *slab, id uint32) *uint64 {
	return (*uint64)(unsafe.Add(s.marks, uintptr((id-s.first)>>(sh.marks.shift&31))*markBytes))
}

// marksOf returns the marks of a page.
func (sh *shape) marksOf(s *slab, k int) []uint64 {
	return unsafe.Slice((*uint64)(s.marks), len(s.pages)<<sh.marks.perPage)[k<<sh.marks.perPage : (k+1)<<sh.marks.perPage]
}

// wroteOf returns the wrote of a page.
func (sh *shape) wroteOf(s *slab, k int) *uint32 {
	return (*uint32)(unsafe.Add(s.marks, len(s.pages)<<sh.marks.perPage*markBytes+k*wroteBytes))
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
	h := history{wrote: *sh.wroteOf(s, k)}
	if sh.clock.tracks {
		h.marks = sh.marksOf(s, k)
		b := sh.beforeOf(s, k)
		for i := range h.past {
			h.past[i] = era{b.last[i], sh.pastSet(b, i)}
		}
	}
	return h
}

// historyWords returns how many words newHistory needs, none in a store that does not track changes.
func (sh *shape) historyWords() int {
	if !sh.clock.tracks {
		return 0
	}
	return 1<<sh.marks.perPage + 2*sh.words
}

// newHistory makes an empty history. cut returns so many words.
func (sh *shape) newHistory(cut func(words int) []uint64) history {
	return history{marks: cut(1 << sh.marks.perPage), past: [2]era{{rows: cut(sh.words)}, {rows: cut(sh.words)}}}
}

// turn begins the present epoch for a page. What changed in its last one becomes an era, if anyone may ask for it, or part of the newer one as
// long as anyone may ask for the older.
func (sh *shape) turn(s *slab, k int) {
	if sh.clock.tracks {
		sh.closeEra(s, k)
	} else {
		sh.note(&sh.marksOf(s, k)[0], 0)
	}
	*sh.wroteOf(s, k) = sh.clock.now
}

// closeEra makes what changed in the page's last epoch part of the eras, if anyone may ask for it, and forgets which rows were born in it.
func (sh *shape) closeEra(s *slab, k int) {
	h, b, lost := sh.historyOf(s, k), sh.beforeOf(s, k), sh.clock.lost
	newer, older := h.past[0], h.past[1]
	switch {
	case h.wrote <= lost: // what changed then was confirmed
	case older.last <= lost:
		copy(older.rows, newer.rows)
		for i := range newer.rows {
			newer.rows[i] = h.latest(i)
		}
		b.last = [2]uint32{h.wrote, newer.last}
	default:
		for i := range newer.rows {
			newer.rows[i] |= h.latest(i)
		}
		b.last[0] = h.wrote
	}
	clear(sh.bornIn(b))
}

// change owns the page of a row and marks the row. own alone is for what is no state, such as where a row's neighbours lie.
func (r *rows) change(id uint32) {
	s, k := r.place(id)
	if *r.sh.wroteOf(s, k) != r.sh.clock.now {
		r.ownPage(s, k)
	}
	r.sh.note(r.sh.markOf(s, id), id)
}

// change is rows.change for a row that was found.
func (s *core) change(r Ref) {
	if uint32(*r.mark>>32) != s.clock.now {
		s.rowsOf(r.group).change(r.id)
		return
	}
	s.shape.note(r.mark, r.id) // another row of the page was changed
}

// note marks a row as changed. Its page is owned, or about to be.
func (sh *shape) note(mark *uint64, id uint32) {
	m := *mark
	if now := sh.clock.now; uint32(m>>32) != now {
		m = uint64(now) << 32
	}
	*mark = m | 1<<(id&sh.marks.mask)
}

// born marks a row that was inserted. Its page is owned.
func (r *rows) born(id uint32) {
	if r.sh.clock.tracks {
		s, k := r.place(id)
		row := r.sh.inPage(id)
		r.sh.bornIn(r.sh.beforeOf(s, k))[row>>6] |= 1 << (row & 63)
		r.sh.note(r.sh.markOf(s, id), id)
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
