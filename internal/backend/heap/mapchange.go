package heap

import (
	"iter"
	"slices"
	"unsafe"

	"github.com/weirstream/weir/internal/backend/keyed"
)

func (m *MapColumn[K, V]) ownerAt(row unsafe.Pointer) (id uint32, ok bool) {
	return linksAt(row).owner, true
}

func (m *MapColumn[K, V]) dropAll(cell unsafe.Pointer, owner rowID) {
	m.removeAll(&m.groups[owner.group], (*mapCell)(cell))
}

// mapForm is how the parts of a map are written.
type mapForm struct {
	key   func(dst, name []byte) []byte // of an entry that was removed, from its grave
	entry func(w *writer, row unsafe.Pointer)
}

func (m *MapColumn[K, V]) form() mapForm {
	return mapForm{func(dst, name []byte) []byte { return append(dst, name...) }, m.appendEntry}
}

func (m *MapColumn[K, V]) appendEntry(w *writer, row unsafe.Pointer) {
	w.buf = m.key.append(w.buf, unsafe.Pointer(m.keyAt(row)))
	if m.ttl != nil {
		w.buf = appendStamp(w.buf, *m.stampOf(row))
	}
	w.buf = m.val.append(w.buf, m.valAt(row))
}

func (m *MapColumn[K, V]) encodeChanges(w *writer, cell unsafe.Pointer, owner uint32, c *changes) error {
	return m.encodeChangesAs(m.form(), w, (*mapCell)(cell), owner, c)
}

// encodeChangesAs writes the keys that were removed, and then the entries that have changed: first such as were there before, in any order,
// and last all that are new, in theirs.
func (m *MapColumn[K, V]) encodeChangesAs(form mapForm, w *writer, cell *mapCell, owner uint32, c *changes) error {
	changed, gone := c.of(owner)
	gone, cleared := lastClear(gone)
	head := 1
	if !cleared { // else what is there now has come after it
		gone = distinct(gone)
		head = len(gone) << 1
	}
	w.buf = appendCount(w.buf, head)
	for _, g := range gone[:head>>1] {
		w.buf = form.key(w.buf, g.name)
		if err := w.element(&c.frozen); err != nil {
			return err
		}
	}
	w.buf = appendCount(w.buf, len(changed))
	for id := range m.inOrder(cell, owner, changed, &c.frozen) {
		form.entry(w, c.at(id))
		if err := w.element(&c.frozen); err != nil {
			return err
		}
	}
	return nil
}

// inOrder yields the entries of a map that have changed such that all that are new come last, in their order.
func (m *MapColumn[K, V]) inOrder(cell *mapCell, owner uint32, changed []uint64, f *frozen) iter.Seq[uint32] {
	newest := m.newest(cell, len(changed), f)
	last := make([]bool, len(changed))
	for _, id := range newest {
		i, _ := slices.BinarySearch(changed, ownedRow(owner, id))
		last[i] = true
	}
	return func(yield func(uint32) bool) {
		for i, r := range changed {
			if !last[i] && !yield(uint32(r)) {
				return
			}
		}
		for _, id := range slices.Backward(newest) {
			if !yield(id) {
				return
			}
		}
	}
}

// newest returns the end of a map's ring, the last entry first, as far as it has changed since the base. New entries are put at the end, so
// that all of them are there.
func (m *MapColumn[K, V]) newest(cell *mapCell, most int, f *frozen) (ids []uint32) {
	if most == 0 {
		return nil
	}
	head := cell.head - 1
	row := f.at(head)
	if !f.wanted { // a new entry changes the links of the first one
		return nil
	}
	for id := linksAt(row).prev; len(ids) < most; id = linksAt(row).prev {
		if row = f.changed(id); row == nil {
			break
		}
		if ids = append(ids, id); id == head {
			break
		}
	}
	return ids
}

func (m *MapColumn[K, V]) decodeChanges(src []byte, cell unsafe.Pointer, owner rowID, stamps stampsIn) ([]byte, error) {
	g, c := &m.groups[owner.group], (*mapCell)(cell)
	src, err := m.decodeGone(src, g, c, owner, m.decodeKey)
	if err != nil {
		return nil, err
	}
	n, src, err := keyed.CutCount(src, "the changed entries of a map")
	for ; n > 0 && err == nil; n-- {
		src, err = m.decodeEntry(src, g, c, owner, stamps)
	}
	return src, err
}

func (m *MapColumn[K, V]) decodeKey(src []byte) (k K, rest []byte, err error) {
	rest, err = m.key.decode(src, unsafe.Pointer(&k))
	return k, rest, err
}

// decodeGone removes the entries whose keys are in src.
func (m *MapColumn[K, V]) decodeGone(src []byte, g *mapGroup, c *mapCell, owner rowID, key func([]byte) (K, []byte, error)) ([]byte, error) {
	n, src, err := keyed.CutCount(src, "what was removed from a map")
	if err != nil {
		return nil, err
	}
	if n&1 != 0 {
		m.removeAll(g, c)
	}
	for range n >> 1 {
		var k K
		if k, src, err = key(src); err != nil {
			return nil, err
		}
		if id, ok := m.find(g, c, owner.id, k); ok {
			m.unlink(g, c, id)
		}
	}
	return src, nil
}

func (m *MapColumn[K, V]) decodeEntry(src []byte, g *mapGroup, c *mapCell, owner rowID, stamps stampsIn) (rest []byte, err error) {
	k, src, err := m.decodeKey(src)
	if err != nil {
		return nil, err
	}
	stamp, src, err := stamps.cut(src, m.ttl)
	if err != nil {
		return nil, err
	}
	id, ok := m.find(g, c, owner.id, k)
	if !ok {
		id = m.insert(g, c, owner.id, k)
	}
	row := g.rows.at(id)
	if m.ttl != nil {
		*m.stampOf(row) = stamp
	}
	store(&m.val, m.valAt(row), *new(V), "")
	return m.val.decode(src, m.valAt(row))
}
