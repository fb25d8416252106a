package heap

import (
	"encoding/binary"
	"fmt"
	"slices"
	"unsafe"

	"github.com/weirstream/weir/codec"
)

func (m *MapColumn[K, V]) ownerAt(row unsafe.Pointer) (id uint32, ok bool) {
	return linksAt(row).owner, true
}

func (m *MapColumn[K, V]) drop(cell unsafe.Pointer, owner rowID) {
	m.removeAll(&m.groups[owner.group], (*mapCell)(cell))
}

// encodeChanges writes the keys that were removed, and then the entries that have changed: first such as were there before, in any order, and
// last all that are new, in theirs.
func (m *MapColumn[K, V]) encodeChanges(w *writer, cell unsafe.Pointer, owner uint32, c *changes) error {
	changed, gone := c.of(owner)
	gone, cleared := lastClear(gone)
	head := 1
	if !cleared { // else what is there now has come after it
		gone = distinct(gone)
		head = len(gone) << 1
	}
	w.buf = appendCount(w.buf, head)
	for _, g := range gone[:head>>1] {
		w.buf = append(w.buf, g.name...)
		if err := w.element(&c.frozen); err != nil {
			return err
		}
	}
	return m.encodeEntries(w, (*mapCell)(cell), owner, changed, &c.frozen)
}

func (m *MapColumn[K, V]) encodeEntries(w *writer, cell *mapCell, owner uint32, changed []uint64, f *frozen) error {
	w.buf = appendCount(w.buf, len(changed))
	newest := m.newest(cell, len(changed), f)
	last := make([]bool, len(changed))
	for _, id := range newest {
		i, _ := slices.BinarySearch(changed, ownedRow(owner, id))
		last[i] = true
	}
	for i, r := range changed {
		if !last[i] {
			if err := m.encodeEntry(w, uint32(r), f); err != nil {
				return err
			}
		}
	}
	for _, id := range slices.Backward(newest) {
		if err := m.encodeEntry(w, id, f); err != nil {
			return err
		}
	}
	return nil
}

func (m *MapColumn[K, V]) encodeEntry(w *writer, id uint32, f *frozen) error {
	row := f.at(id)
	w.buf = m.key.append(w.buf, unsafe.Pointer(m.keyAt(row)))
	w.buf = m.val.append(w.buf, m.valAt(row))
	return w.element(f)
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

func (m *MapColumn[K, V]) decodeChanges(src []byte, cell unsafe.Pointer, owner rowID) ([]byte, error) {
	n, src, err := changeCount(src, "what was removed from a map")
	if err != nil {
		return nil, err
	}
	g, c := &m.groups[owner.group], (*mapCell)(cell)
	if n&1 != 0 {
		m.removeAll(g, c)
	}
	for range n >> 1 {
		var k K
		if src, err = m.key.decode(src, unsafe.Pointer(&k)); err != nil {
			return nil, err
		}
		if id, ok := m.find(g, c, owner.id, k); ok {
			m.unlink(g, c, id)
		}
	}
	if n, src, err = changeCount(src, "the changed entries of a map"); err != nil {
		return nil, err
	}
	for range n {
		if src, err = m.decodeEntry(src, g, c, owner); err != nil {
			return nil, err
		}
	}
	return src, nil
}

func (m *MapColumn[K, V]) decodeEntry(src []byte, g *mapGroup, c *mapCell, owner rowID) (rest []byte, err error) {
	var k K
	if src, err = m.key.decode(src, unsafe.Pointer(&k)); err != nil {
		return nil, err
	}
	id, ok := m.find(g, c, owner.id, k)
	if ok {
		store(&m.val, m.valAt(g.rows.at(id)), *new(V), "")
	} else {
		id = m.insert(g, c, owner.id, k)
	}
	return m.val.decode(src, m.valAt(g.rows.at(id)))
}

// changeCount reads the number of things that have changed. There is at most one that takes no bytes.
func changeCount(src []byte, what string) (n uint64, rest []byte, err error) {
	n, size := binary.Uvarint(src)
	if size <= 0 || n>>1 > uint64(len(src)) {
		return 0, nil, fmt.Errorf("%w: the number of %s", codec.ErrCorrupt, what)
	}
	return n, src[size:], nil
}
