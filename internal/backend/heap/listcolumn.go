package heap

import (
	"encoding/binary"
	"fmt"
	"reflect"
	"unsafe"

	"github.com/weirstream/weir/codec"
)

// listCell is what a key's row holds for a list: its first and last chunk, as rows plus one, and the number of elements.
type listCell struct{ head, tail, count uint32 }

// ListColumn is a list of the row under the cursor. Its elements lie in chunks, each of which but the last is full.
type ListColumn[T any] struct {
	cur   *Cursor
	off   uintptr
	shape *shape
	elem  part
	size  uintptr // of an element in a chunk
	first uintptr // offset of the first one; before it lies the next chunk's row plus one
	fit   uint32  // elements in a chunk
	group []rows
	wiped int // how often a list was cleared, so that loops notice
}

// DeclareList declares a keyed list.
func DeclareList[T any](d *Declaration) *ListColumn[T] {
	name := d.stateName()
	l := &ListColumn[T]{}
	c := d.codecOf(name, reflect.TypeFor[T]())
	if c == nil {
		return l
	}
	l.elem = newPart(c, reflect.TypeFor[T]())
	col := &column{name: name, kind: KindList, codec: c, cell: reflect.TypeFor[listCell]()}
	col.entries = func(s *core, col *column) linked {
		l.init(s, col)
		return l
	}
	col.attach = func(*core) {}
	d.add(col)
	return l
}

func (l *ListColumn[T]) init(s *core, col *column) {
	l.cur, l.off, l.size = &s.cur, col.off, l.elem.cell.Size()
	l.fit = elementsPerChunk(l.size)
	row := rounded([]reflect.StructField{
		{Name: "Next", Type: reflect.TypeFor[uint32]()},
		{Name: "Elements", Type: reflect.ArrayOf(int(l.fit), l.elem.cell)},
	})
	l.first = row.Field(1).Offset
	l.shape = newShape(row, pointerFree(row), s.arena, &s.clock)
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

func (l *ListColumn[T]) here() (*rows, *listCell) {
	l.cur.At()
	return &l.group[l.cur.ref.group], (*listCell)(l.cur.cell(l.off))
}

func nextOf(chunk unsafe.Pointer) *uint32 { return (*uint32)(chunk) }

func (l *ListColumn[T]) elementAt(chunk unsafe.Pointer, i uint32) unsafe.Pointer {
	return unsafe.Add(chunk, l.first+uintptr(i)*l.size)
}

// Append adds an element at the end.
func (l *ListColumn[T]) Append(x T) {
	r, cell := l.here()
	encoded := prepare(&l.elem, x)
	l.cur.Own()
	store(&l.elem, l.grow(r, cell), x, encoded)
}

// grow adds a zero element and returns its place. The cell must be owned.
func (l *ListColumn[T]) grow(r *rows, cell *listCell) unsafe.Pointer {
	i := cell.count % l.fit
	if i == 0 {
		l.addChunk(r, cell)
	} else {
		r.own(cell.tail - 1)
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
	}
	cell.tail = id + 1
}

// Len returns the number of elements.
func (l *ListColumn[T]) Len() int {
	_, cell := l.here()
	return int(cell.count)
}

// Clear removes all elements.
func (l *ListColumn[T]) Clear() {
	r, cell := l.here()
	if cell.count == 0 {
		return
	}
	l.cur.Own()
	for chunk := cell.head; chunk != 0; {
		next := *nextOf(r.at(chunk - 1))
		r.remove(chunk - 1)
		chunk = next
	}
	*cell = listCell{}
	l.wiped++
	l.cur.Cleared()
}

// Each calls yield for each element in order until it returns false. Elements that are appended meanwhile are not among them; when a list
// is cleared the loop ends.
func (l *ListColumn[T]) Each(yield func(T) bool) {
	r, cell := l.here()
	wiped, chunk := l.wiped, cell.head
	for i := range cell.count {
		if i > 0 && i%l.fit == 0 {
			chunk = *nextOf(r.at(chunk - 1))
		}
		if !yield(load[T](&l.elem, l.elementAt(r.at(chunk-1), i%l.fit))) || l.wiped != wiped {
			return
		}
	}
}

func (l *ListColumn[T]) encode(dst []byte, cell unsafe.Pointer, f *frozen) []byte {
	c := (*listCell)(cell)
	dst = binary.AppendUvarint(dst, uint64(c.count))
	for left, id := c.count, c.head; left > 0; {
		chunk := f.at(id - 1)
		n := min(left, l.fit)
		for i := range n {
			dst = l.elem.append(dst, l.elementAt(chunk, i))
		}
		left, id = left-n, *nextOf(chunk)
	}
	return dst
}

func (l *ListColumn[T]) decode(src []byte, cell unsafe.Pointer, owner rowID) ([]byte, error) {
	n, src, err := count(src, "list")
	if err != nil {
		return nil, err
	}
	const mostEmpty = 1 << 24 // elements that take no bytes
	if n > uint64(len(src)) && (l.elem.fixedSize() != 0 || n > mostEmpty) {
		return nil, fmt.Errorf("%w: a list of %d elements in %d bytes", codec.ErrCorrupt, n, len(src))
	}
	for range n {
		if src, err = l.elem.decode(src, l.grow(&l.group[owner.group], (*listCell)(cell))); err != nil {
			return nil, err
		}
	}
	return src, nil
}
