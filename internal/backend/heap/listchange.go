package heap

import (
	"fmt"
	"slices"
	"unsafe"

	"github.com/weirstream/weir/codec"
)

// ownerAt says nothing: what has changed of a list is its end.
func (l *ListColumn[T]) ownerAt(unsafe.Pointer) (id uint32, ok bool) { return 0, false }

func (l *ListColumn[T]) dropAll(cell unsafe.Pointer, owner rowID) {
	l.removeAll(&l.group[owner.group], (*listCell)(cell))
}

// encodeChanges writes how many elements are as they were, and all that come after them. A list whose elements expire is written anew: some
// have gone from its beginning.
func (l *ListColumn[T]) encodeChanges(w *writer, cell unsafe.Pointer, _ uint32, c *changes) error {
	if l.ttl != nil {
		w.buf = appendCount(w.buf, 0)
		return l.encode(w, cell, &c.frozen)
	}
	cl := (*listCell)(cell)
	var chunks []uint32
	kept := cl.count
	for id := cl.tail; id != 0; {
		chunk := c.changed(id - 1)
		if chunk == nil {
			break
		}
		chunks = append(chunks, id-1)
		kept = (kept - 1) / l.fit * l.fit
		id = *prevOf(chunk)
	}
	w.buf = appendCount(w.buf, int(kept))
	w.buf = appendCount(w.buf, int(cl.count-kept))
	for _, id := range slices.Backward(chunks) {
		for i := range min(l.fit, cl.count-kept) {
			w.buf = l.elem.append(w.buf, l.elementAt(c.at(id), i))
			if err := w.element(&c.frozen); err != nil {
				return err
			}
		}
		kept = min(kept+l.fit, cl.count)
	}
	return nil
}

func (l *ListColumn[T]) decodeChanges(src []byte, cell unsafe.Pointer, owner rowID, stamps stampsIn) ([]byte, error) {
	kept, src, err := count(src, "what is left of a list")
	if err != nil {
		return nil, err
	}
	r, c := &l.group[owner.group], (*listCell)(cell)
	if kept > uint64(c.count) {
		return nil, fmt.Errorf("%w: %d elements of a list of %d are kept", codec.ErrCorrupt, kept, c.count)
	}
	l.truncate(r, c, uint32(kept))
	return l.decode(src, cell, owner, stamps)
}

// truncate removes all elements but the first ones.
func (l *ListColumn[T]) truncate(r *rows, c *listCell, kept uint32) {
	for c.count > kept {
		first := (c.count - 1) / l.fit * l.fit
		if first < kept {
			for i := kept; i < c.count; i++ {
				store(&l.elem, unsafe.Add(l.elementAt(r.at(c.tail-1), i-first), l.inner), *new(T), "")
			}
			c.count = kept
			return
		}
		last := c.tail - 1
		c.tail, c.count = *prevOf(r.at(last)), first
		r.remove(last)
		if c.tail == 0 {
			c.head = 0
		} else {
			*nextOf(r.at(c.tail - 1)) = 0
		}
	}
}
