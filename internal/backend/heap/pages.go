package heap

import (
	"math/bits"
	"reflect"
	"runtime"
	"slices"
	"sync/atomic"
	"unsafe"
)

const (
	pageBytes = 4096
	// busy marks a page that someone is copying.
	busy = ^uint32(0)
)

// clock counts the captures of a store. Only the subtask's goroutine touches it.
type clock struct {
	now     uint32     // the epoch: 1 + the number of captures so far
	tracks  bool       // it is known which rows have changed when; set once
	lost    uint32     // the newest epoch of which it is forgotten what was removed, and need not be known what has changed
	reading []*Capture // those that may still read pages, the oldest first
}

// copying reports whether pages must be claimed before they are changed.
func (c *clock) copying() bool {
	for i, reader := range c.reading {
		if reader.over.Load() {
			c.reading = slices.Delete(c.reading, i, i+1)
			return c.copying()
		}
	}
	return len(c.reading) > 0
}

// isNeeded reports whether a capture that reads pages may want one that was last changed in the given epoch.
func (c *clock) isNeeded(wrote uint32) bool {
	for _, reader := range c.reading {
		if wrote >= reader.since {
			return true
		}
	}
	return false
}

// oldestBase returns the first epoch whose changes any of the captures that read pages may want, 0 if one wants all there is.
func (c *clock) oldestBase() uint32 {
	base := c.now
	for _, reader := range c.reading {
		base = min(base, reader.since)
	}
	return base
}

// readOnlyByNewest reports whether no capture but the newest reads pages.
func (c *clock) readOnlyByNewest() bool { return len(c.reading) == 1 && c.reading[0].epoch == c.now }

// Page is the head of a page of rows.
//
// Before the first change in an epoch the subtask claims the page: it moves claimed to busy, copies the page aside and moves claimed to the
// epoch. A capture's writer claims pages in the same way to read them: the copy that was made first since the capture, or the page itself if
// there is none. With one capture at a time whoever comes second finds the epoch there and knows that the page as it was is saved (the
// writer) or was written out (the subtask). With several, each copy serves all captures between the change before it and its own epoch.
// While a page is busy the other side waits, for the time it takes to copy it.
type Page struct {
	claimed atomic.Uint32 // the epoch in which it was last claimed, or busy
	saved   *image        // copies of the page, the newest first; only while holding it busy
}

// lock makes the page busy and returns the epoch in which it was claimed before.
func (p *Page) lock() (before uint32) {
	for spin := 1; ; spin++ {
		before = p.claimed.Load()
		if before != busy && p.claimed.CompareAndSwap(before, busy) {
			return before
		}
		if spin&63 == 0 {
			runtime.Gosched()
		}
	}
}

func (p *Page) unlock(epoch uint32) { p.claimed.Store(epoch) }

// at returns the page as it was at the beginning of an epoch, nil if it has not changed since. The page is busy.
func (p *Page) at(epoch uint32) (img *image) {
	for next := p.saved; next != nil && next.upto >= epoch; next = next.next {
		img = next
	}
	return img
}

// cut takes away the copies that hold the page as it was only before the beginning of an epoch. The page is busy.
func (p *Page) cut(epoch uint32) (old *image) {
	link := &p.saved
	for *link != nil && (*link).upto >= epoch {
		link = &(*link).next
	}
	old, *link = *link, nil
	return old
}

// shape is what all rows of one kind have in common, in all key groups.
type shape struct {
	size    uintptr // of a row, in bytes
	shift   uint8   // log2 of the rows in a page
	marks   marking
	chained bool         // the rows are a linked table's, of which increments read also such as have not changed
	always  bool         // increments read pages that have not changed, too
	words   int          // of the bitmap of live rows in a page
	typ     reflect.Type // of a row if it holds pointers, else nil
	arena   *arena
	clock   *clock
	pool    pool
}

func newShape(row reflect.Type, pointerFree bool, a *arena, c *clock) *shape {
	sh := &shape{size: row.Size(), arena: a, clock: c}
	sh.shift = uint8(bits.Len(uint(max(pageBytes/max(sh.size, 1), 1))) - 1)
	sh.words = (1<<sh.shift + 63) / 64
	if !pointerFree {
		sh.typ = row
	}
	sh.marks = newMarking(c.tracks, sh.shift, sh.words)
	sh.pool.sh = sh
	return sh
}

// perPage returns the number of rows in a page.
func (sh *shape) perPage() int { return 1 << sh.shift }

// inPage returns the place of a row in its page.
func (sh *shape) inPage(id uint32) uint32 { return id & (1<<(sh.shift&31) - 1) }

// block returns room for n pages of zeroed rows.
func (sh *shape) block(pages int) unsafe.Pointer {
	n := pages << sh.shift
	if sh.typ != nil {
		return reflect.MakeSlice(reflect.SliceOf(sh.typ), n, n).UnsafePointer()
	}
	return sh.arena.alloc(n * int(sh.size))
}

// move copies n rows, with the write barriers that the collector needs if they hold pointers.
func (sh *shape) move(dst, src unsafe.Pointer, n int) {
	if sh.typ == nil {
		copy(unsafe.Slice((*byte)(dst), n*int(sh.size)), unsafe.Slice((*byte)(src), n*int(sh.size)))
		return
	}
	t := reflect.ArrayOf(n, sh.typ)
	reflect.NewAt(t, dst).Elem().Set(reflect.NewAt(t, src).Elem())
}

// slab is a run of pages. Slab 0 is one page, each later one as large as all before it together.
type slab struct {
	base  unsafe.Pointer
	pages []Page
	live  *uint64 // shape.words for each page, one bit for each row in use
	// marks and past are what is known of when the pages have changed: see marking. They are the subtask's goroutine's, or whoever's that holds
	// a page busy before it is saved.
	marks unsafe.Pointer
	past  unsafe.Pointer
	first uint32 // its first row
	_     uint32 // to make it one cache line
}

// rows holds rows of one shape, of one key group. A row never moves. A row that is not in use is zero.
type rows struct {
	sh    *shape
	slabs []slab   // only ever appended to
	next  uint32   // the first row that was never in use
	bound uint32   // next at the time of the newest capture: no capture reads a page that begins at or after it
	count int      // rows in use
	free  []uint32 // rows that can be used again
}

// mostRows is where row numbers end. A key group with so many keys is past 32 GB.
const mostRows = 1<<32 - 2

// at returns the address of a row.
func (r *rows) at(id uint32) unsafe.Pointer {
	s := &r.slabs[bits.Len32(id>>r.sh.shift)]
	return unsafe.Add(s.base, uintptr(id-s.first)*r.sh.size)
}

// place returns the slab of a row and the number of its page there.
func (r *rows) place(id uint32) (s *slab, page int) { return placeIn(r.slabs, r.sh, id) }

func placeIn(slabs []slab, sh *shape, id uint32) (s *slab, page int) {
	s = &slabs[bits.Len32(id>>sh.shift)]
	return s, int(id-s.first) >> sh.shift
}

// own allows the page of a row to be changed until the next capture begins.
func (r *rows) own(id uint32) {
	if s, k := r.place(id); *r.sh.wroteOf(s, k) != r.sh.clock.now {
		r.ownPage(s, k)
	}
}

func (r *rows) ownPage(s *slab, k int) {
	if r.sh.clock.copying() && s.first+uint32(k)<<r.sh.shift < r.bound {
		r.save(s, k)
		return
	}
	r.sh.turn(s, k)
}

// save keeps the page for the captures that are being read, unless that is the newest alone and its writer was there before, or all of them
// are increments that the page is no part of; and owns it.
func (r *rows) save(s *slab, k int) {
	p, c := &s.pages[k], r.sh.clock
	if before := p.lock(); (r.sh.always || c.isNeeded(*r.sh.wroteOf(s, k))) && (before != c.now || !c.readOnlyByNewest()) {
		r.sh.pool.reuse(p.cut(c.reading[0].epoch))
		img := r.sh.pool.get()
		r.sh.copyTo(img, s, k, c.oldestBase())
		img.upto, img.next = c.now, p.saved
		p.saved = img
	}
	r.sh.turn(s, k)
	p.unlock(c.now)
}

// copyTo copies a page, which must be busy or the subtask's own. If it is for increments only then it may be without rows that have not
// changed in the epoch since or after it; 0 stands for all.
func (sh *shape) copyTo(img *image, s *slab, k int, since uint32) {
	h, live := sh.historyOf(s, k), sh.liveOf(s, k)
	img.history.copyOf(&h)
	copy(img.live, live)
	if since == 0 || sh.chained || sh.typ != nil {
		sh.move(img.base, sh.pageOf(s, k), sh.perPage())
		return
	}
	sh.moveChanged(img.base, sh.pageOf(s, k), live, &h, since)
}

// moveChanged copies the rows of a page that have changed in an epoch or after it. They hold no pointers.
func (sh *shape) moveChanged(dst, src unsafe.Pointer, live []uint64, h *history, since uint32) {
	for i, word := range live {
		word &= h.since(since, i)
		if from := i << 6; bits.OnesCount64(word) > min(64, sh.perPage())/4 {
			off := uintptr(from) * sh.size
			sh.move(unsafe.Add(dst, off), unsafe.Add(src, off), min(64, sh.perPage()-from))
			continue
		}
		for ; word != 0; word &= word - 1 {
			off := uintptr(i<<6+bits.TrailingZeros64(word)) * sh.size
			sh.move(unsafe.Add(dst, off), unsafe.Add(src, off), 1)
		}
	}
}

func (sh *shape) pageOf(s *slab, k int) unsafe.Pointer {
	return unsafe.Add(s.base, uintptr(k)<<sh.shift*sh.size)
}

func (sh *shape) liveOf(s *slab, k int) []uint64 {
	return unsafe.Slice(s.live, len(s.pages)*sh.words)[k*sh.words : (k+1)*sh.words]
}

// insert returns a zeroed row whose page is owned.
func (r *rows) insert() uint32 {
	var id uint32
	if n := len(r.free); n > 0 {
		id, r.free = r.free[n-1], r.free[:n-1]
	} else {
		id = r.next
		r.reserve(int(id) + 1)
		r.next++
	}
	r.own(id)
	r.setLive(id, true)
	r.born(id)
	r.count++
	return id
}

// remove zeroes a row and takes it out of use. Nothing remembers that it was there: see graves.
func (r *rows) remove(id uint32) {
	r.own(id)
	r.setLive(id, false)
	r.zero(id)
	r.count--
	r.free = append(r.free, id)
}

func (r *rows) zero(id uint32) {
	if r.sh.typ != nil {
		reflect.NewAt(r.sh.typ, r.at(id)).Elem().SetZero()
		return
	}
	clear(unsafe.Slice((*byte)(r.at(id)), r.sh.size))
}

func (r *rows) setLive(id uint32, on bool) {
	s, k := r.place(id)
	i := r.sh.inPage(id)
	word := &r.sh.liveOf(s, k)[i>>6]
	if on {
		*word |= 1 << (i & 63)
	} else {
		*word &^= 1 << (i & 63)
	}
}

func (r *rows) isLive(id uint32) bool {
	s, k := r.place(id)
	i := r.sh.inPage(id)
	return r.sh.liveOf(s, k)[i>>6]&(1<<(i&63)) != 0
}

// reserve makes room for rows 0 to n-1.
func (r *rows) reserve(n int) {
	if uint64(n) > mostRows {
		panic("a key group is full: it has more than 4 billion rows; raise the max parallelism")
	}
	for n > 0 && bits.Len32(uint32(n-1)>>r.sh.shift) >= len(r.slabs) {
		pages, first := 1, uint32(0)
		if k := len(r.slabs); k > 0 {
			pages = 1 << (k - 1)
			first = uint32(pages) << r.sh.shift
		}
		s := slab{base: r.sh.block(pages), pages: make([]Page, pages), live: unsafe.SliceData(make([]uint64, pages*r.sh.words)), first: first}
		r.sh.newMarks(&s)
		for i := range s.pages {
			*r.sh.wroteOf(&s, i) = r.sh.clock.now
			s.pages[i].claimed.Store(r.sh.clock.now)
		}
		r.slabs = append(r.slabs, s)
	}
}
