package heap

import (
	"fmt"
	"iter"
	"math"
	"reflect"
	"slices"
	"unsafe"

	"github.com/weirstream/weir/codec"
	"github.com/weirstream/weir/internal/backend/keyed"
)

// listCell is what a key's row holds for a list: its first and last chunk, as rows plus one, and the number of elements, with those that
// were removed from the first chunk.
type listCell struct{ head, tail, count uint32 }

// expiringCell is what it holds for a list whose elements expire.
type expiringCell struct {
	listCell
	removed uint32 // from the first chunk
}

// ListColumn is a list of the row under the cursor. Its elements lie in chunks, each of which but the last is full.
type ListColumn[T any] struct {
	cur      *Cursor
	off      uintptr
	shape    *shape
	elem     part
	size     uintptr // of an element in a chunk
	first    uintptr // offset of the first one; before it lie the links
	fit      uint32  // elements in a chunk
	inner    uintptr // offset of the value in an element
	ttl      *expiry // its stamp begins the element; elements are in the order of their stamps, but for those that were not dated at first
	group    []rows
	measured *measured
	wiped    int // how often a list was cleared, so that loops notice

	state     int                     // the number of the column
	canSpread bool                    // over a byte store it may be outlying
	outlying  map[rowID]*outlyingList // by row, those in memory
	drained   int                     // how often one was taken out of memory
	strings   []uintptr               // where in an element its strings lie
}

// DeclareList declares a keyed list. ttl is the one given in code, nil if there is none.
func DeclareList[T any](d *Declaration, ttl *TTL) *ListColumn[T] {
	name, o := d.state(ttl)
	l := &ListColumn[T]{}
	if o.hasInitial {
		d.fail("state %q: a list begins empty and has no default", name)
	}
	c := d.codecOf(name, reflect.TypeFor[T]())
	if c == nil {
		return l
	}
	l.elem = newPart(c, reflect.TypeFor[T]())
	l.ttl = newExpiry(o.ttl)
	l.canSpread = l.ttl == nil || !l.ttl.RefreshOnRead // else reading writes all
	col := &column{name: name, kind: keyed.KindList, codec: c, cell: reflect.TypeFor[listCell](), ttl: l.ttl, query: l.query, measured: &measured{names: &listAccesses}}
	l.measured = col.measured
	if l.ttl != nil {
		col.cell, col.sweepRow = reflect.TypeFor[expiringCell](), l.sweepRow
	}
	col.entries = func(s *core, col *column) linked {
		l.init(s, col)
		return l
	}
	col.attach = func(*core) {}
	d.add(col)
	return l
}

func (l *ListColumn[T]) init(s *core, col *column) {
	element := l.elem.cell
	if l.ttl != nil {
		element, l.inner = stampedCell(element), stampBytes
	}
	l.cur, l.off, l.size = &s.cur, col.off, element.Size()
	l.fit = elementsPerChunk(l.size)
	row := rounded([]reflect.StructField{
		{Name: "Links", Type: reflect.TypeFor[chunkLinks]()},
		{Name: "Elements", Type: reflect.ArrayOf(int(l.fit), element)},
	})
	l.first = row.Field(1).Offset
	l.shape = newShape(row, pointerFree(row), s.arena, &s.clock)
	l.shape.chained, l.shape.always = true, l.ttl != nil
	l.state, l.strings = slices.Index(s.layout.columns, col), stringsIn(l.elem.cell, 0, nil)
	l.group = make([]rows, s.groups.Len())
	for i := range l.group {
		l.group[i].sh = l.shape
	}
}

// elementsPerChunk aims at one cache line for small elements and a few elements for large ones.
func elementsPerChunk(size uintptr) uint32 {
	const header = 8
	line := uintptr(64)
	for size > line/4 && line < 512 {
		line *= 2
	}
	return uint32(max(1, (line-header)/max(size, 1)))
}

func (l *ListColumn[T]) rowsOf(group uint32) *rows { return &l.group[group] }

// gravesOf returns nothing to remember: that a list was cleared shows in what is left of it.
func (l *ListColumn[T]) gravesOf(uint32) *graves { return new(graves) }

// here returns what is at the row under the cursor, which is at one.
func (l *ListColumn[T]) here() (*rows, *listCell) {
	return &l.group[l.cur.ref.group], (*listCell)(l.cur.cell(l.off))
}

// chunkLinks begin a chunk: the next chunk and the one before it, as rows plus one.
type chunkLinks struct{ next, prev uint32 }

func nextOf(chunk unsafe.Pointer) *uint32 { return &(*chunkLinks)(chunk).next }

func prevOf(chunk unsafe.Pointer) *uint32 { return &(*chunkLinks)(chunk).prev }

func (l *ListColumn[T]) elementAt(chunk unsafe.Pointer, i uint32) unsafe.Pointer {
	return unsafe.Add(chunk, l.first+uintptr(i)*l.size)
}

// removed returns the number of elements that were removed from the first chunk.
func (l *ListColumn[T]) removed(cell unsafe.Pointer) uint32 {
	if l.ttl == nil {
		return 0
	}
	return (*expiringCell)(cell).removed
}

// wipeCell makes a cell that of an empty list.
func (l *ListColumn[T]) wipeCell(cell unsafe.Pointer) {
	if l.ttl != nil {
		*(*expiringCell)(cell) = expiringCell{}
		return
	}
	*(*listCell)(cell) = listCell{}
}

// Append adds an element at the end.
func (l *ListColumn[T]) Append(x T) {
	if l.cur.Row == nil {
		l.measuredAppend(x)
		return
	}
	r, cell := l.here()
	encoded := prepare(&l.elem, x)
	l.cur.Own()
	var stamp int64
	if l.ttl != nil {
		stamp = l.nextStamp(r, cell)
	}
	e := l.grow(r, cell)
	if l.ttl != nil {
		*stampAt(e) = stamp
	}
	store(&l.elem, unsafe.Add(e, l.inner), x, encoded)
	if l.cur.core.backed != nil {
		l.appended(l.at(), e)
	}
}

// nextStamp returns the stamp of an element that is to be appended.
func (l *ListColumn[T]) nextStamp(r *rows, cell *listCell) int64 {
	stamp := l.ttl.stamp()
	if cell.count > 0 {
		stamp = max(stamp, *stampAt(l.elementAt(r.at(cell.tail-1), (cell.count-1)%l.fit)))
	} else if o := l.outlyingAt(l.at()); o != nil && o.stamp != undated {
		stamp = max(stamp, o.stamp)
	}
	return stamp
}

// grow adds a zero element and returns its place. The cell must be owned.
func (l *ListColumn[T]) grow(r *rows, cell *listCell) unsafe.Pointer {
	i := cell.count % l.fit
	if i == 0 {
		l.addChunk(r, cell)
	} else {
		r.change(cell.tail - 1)
	}
	cell.count++
	return l.elementAt(r.at(cell.tail-1), i)
}

func (l *ListColumn[T]) addChunk(r *rows, cell *listCell) {
	id := r.insert()
	if cell.count == 0 {
		cell.head = id + 1
	} else {
		r.own(cell.tail - 1)
		*nextOf(r.at(cell.tail - 1)) = id + 1
		*prevOf(r.at(id)) = cell.tail
	}
	cell.tail = id + 1
}

// Len returns the number of elements.
func (l *ListColumn[T]) Len() int {
	if l.cur.Row == nil {
		return l.measuredLen()
	}
	r, cell := l.here()
	if o := l.outlyingAt(l.at()); o != nil {
		return l.lenOutlying(l.at(), o)
	}
	n := int(cell.count - l.removed(unsafe.Pointer(cell)))
	if l.ttl == nil || l.ttl.ReturnExpired {
		return n
	}
	for e := range l.each(r, unsafe.Pointer(cell)) {
		if !l.ttl.expired(*stampAt(e)) {
			break
		}
		n--
	}
	return n
}

// Clear removes all elements.
func (l *ListColumn[T]) Clear() {
	if l.cur.Row == nil {
		l.measuredClear()
		return
	}
	r, cell := l.here()
	if o := l.outlyingAt(l.at()); o != nil {
		l.cur.Own()
		l.clear(l.at(), o)
		l.cur.Cleared()
		return
	}
	if cell.count == 0 {
		return
	}
	l.cur.Own()
	l.removeAll(r, cell)
	l.wiped++
	l.cur.Cleared()
}

// removeAll removes all elements from a cell, which must be owned.
func (l *ListColumn[T]) removeAll(r *rows, cell *listCell) {
	for chunk := cell.head; chunk != 0; {
		next := *nextOf(r.at(chunk - 1))
		r.remove(chunk - 1)
		chunk = next
	}
	l.wipeCell(unsafe.Pointer(cell))
}

// each returns the addresses of the elements in order. The loop must end before the list is cleared.
func (l *ListColumn[T]) each(r *rows, cell unsafe.Pointer) iter.Seq[unsafe.Pointer] {
	return func(yield func(unsafe.Pointer) bool) {
		c := (*listCell)(cell)
		chunk := c.head
		for i, n := l.removed(cell), c.count; i < n; i++ {
			if i > 0 && i%l.fit == 0 {
				chunk = *nextOf(r.at(chunk - 1))
			}
			if !yield(l.elementAt(r.at(chunk-1), i%l.fit)) {
				return
			}
		}
	}
}

// Each calls yield for each element in order until it returns false. Elements that are appended meanwhile are not among them; when a list
// is cleared the loop ends.
func (l *ListColumn[T]) Each(yield func(T) bool) {
	if l.cur.Row == nil {
		l.measuredEach(yield)
		return
	}
	r, cell := l.here()
	if l.outlyingAt(l.at()) != nil {
		l.eachOutlying(l.at(), 0, l.outlyingAt(l.at()).next, yield)
		return
	}
	if l.ttl != nil {
		l.eachStamped(yield)
		return
	}
	wiped, drained, chunk := l.wiped, l.drained, cell.head
	n := cell.count
	for i := range n {
		if i > 0 && i%l.fit == 0 {
			chunk = *nextOf(r.at(chunk - 1))
		}
		if !yield(load[T](&l.elem, l.elementAt(r.at(chunk-1), i%l.fit))) || l.wiped != wiped {
			return
		}
		if l.drained != drained && l.outlyingAt(l.at()) != nil {
			l.eachOutlying(l.at(), uint64(i)+1, uint64(n), yield)
			return
		}
	}
}

// eachStamped is Each for elements that expire.
func (l *ListColumn[T]) eachStamped(yield func(T) bool) {
	r, cell := l.here()
	wiped, drained, now := l.wiped, l.drained, l.ttl.stamp()
	chunk := cell.head
	for i, n := l.removed(unsafe.Pointer(cell)), cell.count; i < n; i++ {
		if i > 0 && i%l.fit == 0 {
			chunk = *nextOf(r.at(chunk - 1))
		}
		e := l.elementAt(r.at(chunk-1), i%l.fit)
		switch dead := l.ttl.expired(*stampAt(e)); {
		case dead && !l.ttl.ReturnExpired:
			continue
		case !dead && l.ttl.RefreshOnRead && *stampAt(e) != now:
			l.cur.Touch()
			r.own(chunk - 1)
			*stampAt(e) = now
		}
		if !yield(load[T](&l.elem, unsafe.Add(e, l.inner))) || l.wiped != wiped {
			return
		}
		if l.drained != drained && l.outlyingAt(l.at()) != nil {
			l.eachOutlying(l.at(), uint64(i)+1, uint64(n), yield)
			return
		}
	}
}

// sweepRow removes the elements that have expired from the beginning of a list, and reports whether it is empty now.
func (l *ListColumn[T]) sweepRow(main *rows, id rowID, most int) (emptied bool) {
	if l.outlyingAt(id) != nil {
		return l.sweepOutlying(id, most)
	}
	cell := (*expiringCell)(unsafe.Add(main.at(id.id), l.off))
	r := &l.group[id.group]
	for ; cell.count > 0 && most > 0; most-- {
		e := l.elementAt(r.at(cell.head-1), cell.removed)
		if !l.ttl.due(r, cell.head-1, stampAt(e)) {
			return false
		}
		main.own(id.id)
		emptied = cell.count == cell.removed+1
		if cell.removed++; cell.removed == min(l.fit, cell.count) {
			l.dropChunk(r, cell)
			continue
		}
		r.own(cell.head - 1)
		*stampAt(e) = none
		store(&l.elem, unsafe.Add(e, l.inner), *new(T), "")
	}
	return emptied
}

// dropChunk removes the first chunk. The cell must be owned.
func (l *ListColumn[T]) dropChunk(r *rows, cell *expiringCell) {
	first := cell.head - 1
	next, left := *nextOf(r.at(first)), cell.count-min(l.fit, cell.count)
	r.remove(first)
	if left == 0 {
		*cell = expiringCell{}
		return
	}
	cell.head, cell.count, cell.removed = next, left, 0
}

// living returns the number of elements that have not expired when the capture was made, up to most.
func (l *ListColumn[T]) living(w *writer, cell unsafe.Pointer, f *frozen, most int) (n int) {
	switch o := l.outlyingAt(w.owner); {
	case o != nil && (l.ttl == nil || !w.expired(l.ttl, o.stamp)):
		return min(int(o.count), most)
	case o != nil:
		return 0
	case l.ttl == nil:
		return min(int((*listCell)(cell).count), most)
	}
	for e := range l.frozen(cell, f) {
		if !w.expired(l.ttl, *stampAt(e)) {
			if n++; n == most {
				break
			}
		}
	}
	return n
}

// frozen is each for a list as it was.
func (l *ListColumn[T]) frozen(cell unsafe.Pointer, f *frozen) iter.Seq[unsafe.Pointer] {
	return func(yield func(unsafe.Pointer) bool) {
		c := (*listCell)(cell)
		id := c.head
		for i := l.removed(cell); i < c.count; i++ {
			if i > 0 && i%l.fit == 0 {
				id = *nextOf(f.at(id - 1))
			}
			if !yield(l.elementAt(f.at(id-1), i%l.fit)) {
				return
			}
		}
	}
}

func (l *ListColumn[T]) encode(w *writer, cell unsafe.Pointer, f *frozen) error {
	if o := l.outlyingAt(w.owner); o != nil {
		w.buf = o.appendTo(w.buf, l.ttl != nil)
		return nil
	}
	w.buf = appendCount(w.buf, l.living(w, cell, f, math.MaxInt))
	for e := range l.frozen(cell, f) {
		if l.ttl != nil {
			if w.expired(l.ttl, *stampAt(e)) {
				continue
			}
			w.buf = appendStamp(w.buf, *stampAt(e))
		}
		w.buf = l.elem.append(w.buf, unsafe.Add(e, l.inner))
		if err := w.element(f); err != nil {
			return err
		}
	}
	return nil
}

func (l *ListColumn[T]) decode(src []byte, cell unsafe.Pointer, owner rowID, stamps stampsIn) ([]byte, error) {
	if b := l.backing(); b != nil && b.loading && isOutlying(src) {
		return l.decodeHead(src, cell, owner)
	}
	n, src, err := count(src, "list")
	if err != nil {
		return nil, err
	}
	const mostEmpty = 1 << 24 // elements that take no bytes
	if n > uint64(len(src)) && (l.elem.fixedSize() != 0 || n > mostEmpty) {
		return nil, fmt.Errorf("%w: a list of %d elements in %d bytes", codec.ErrCorrupt, n, len(src))
	}
	for range n {
		var stamp int64
		if stamp, src, err = stamps.cut(src, l.ttl); err != nil {
			return nil, err
		}
		e := l.grow(&l.group[owner.group], (*listCell)(cell))
		if l.ttl != nil {
			*stampAt(e) = stamp
		}
		if src, err = l.elem.decode(src, unsafe.Add(e, l.inner)); err != nil {
			return nil, err
		}
		l.counted(owner, e)
	}
	return src, nil
}
