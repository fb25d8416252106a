package heap

import (
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"reflect"
	"unsafe"

	"github.com/weirstream/weir/codec"
	"github.com/weirstream/weir/internal/keyhash"
)

// mapCell is what a key's row holds for a map: its first entry and their number.
type mapCell struct {
	head  uint32 // row of the first entry plus one
	count uint32
}

// links begin the row of an entry. The entries of a map form a ring in the order in which they were put.
type links struct{ owner, next, prev uint32 }

// MapColumn is a map of the row under the cursor. Its entries are rows of a table keyed by the owner's row and the user's key.
type MapColumn[K comparable, V any] struct {
	cur            *Cursor
	off            uintptr
	shape          *shape
	key, val       part
	keyOff, valOff uintptr
	keyStrings     []uintptr
	hash           func(*K) uint64
	groups         []mapGroup
	spare          []uint32 // for loops
}

type mapGroup struct {
	index index
	rows  rows
}

// DeclareMap declares a map.
func DeclareMap[K comparable, V any](d *Declaration) *MapColumn[K, V] {
	name := d.stateName()
	m := &MapColumn[K, V]{}
	kt, vt := reflect.TypeFor[K](), reflect.TypeFor[V]()
	if why := notAKey(kt); why != "" {
		d.fail("state %q: key type %v: %s", name, kt, why)
		return m
	}
	kc, vc := d.codecOf(name, kt), d.codecOf(name, vt)
	if kc == nil || vc == nil {
		return m
	}
	m.key, m.val = newPart(kc, kt), newPart(vc, vt)
	col := &column{name: name, kind: KindMap, user: kc, codec: vc, cell: reflect.TypeFor[mapCell]()}
	col.entries = func(s *core, col *column) linked {
		m.init(s, col)
		return m
	}
	col.attach = func(*core) {}
	d.add(col)
	return m
}

func (m *MapColumn[K, V]) init(s *core, col *column) {
	row := rounded([]reflect.StructField{
		{Name: "Links", Type: reflect.TypeFor[links]()},
		{Name: "Key", Type: m.key.cell},
		{Name: "Value", Type: m.val.cell},
	})
	m.cur, m.off = &s.cur, col.off
	m.keyOff, m.valOff = row.Field(1).Offset, row.Field(2).Offset
	m.keyStrings = stringsIn(m.key.cell, 0, nil)
	seed := maphash.MakeSeed()
	m.hash = hasherOf(func(k K) uint64 { return maphash.Comparable(seed, k) })
	m.shape = newShape(row, pointerFree(row), s.arena, &s.clock)
	m.groups = make([]mapGroup, s.groups.Len())
	for i := range m.groups {
		m.groups[i] = mapGroup{newIndex(s.arena), rows{sh: m.shape}}
	}
}

func (m *MapColumn[K, V]) rowsOf(group uint32) *rows { return &m.groups[group].rows }

func (m *MapColumn[K, V]) here() (*mapGroup, *mapCell) {
	m.cur.At()
	return &m.groups[m.cur.ref.group], (*mapCell)(m.cur.cell(m.off))
}

func linksAt(row unsafe.Pointer) *links { return (*links)(row) }

func (m *MapColumn[K, V]) keyAt(row unsafe.Pointer) *K { return (*K)(unsafe.Add(row, m.keyOff)) }

func (m *MapColumn[K, V]) valAt(row unsafe.Pointer) unsafe.Pointer { return unsafe.Add(row, m.valOff) }

func (m *MapColumn[K, V]) tag(owner uint32, k *K) uint32 {
	return uint32(keyhash.Pair(uint64(owner), m.hash(k)))
}

// find returns the row of the entry of k in the map of an owner.
func (m *MapColumn[K, V]) find(g *mapGroup, owner, tag uint32, k K) (id uint32, ok bool) {
	for i := int(tag >> g.index.shift); g.index.slots[i] != 0; i++ {
		e := g.index.slots[i]
		if uint32(e>>32) != tag {
			continue
		}
		row := g.rows.at(uint32(e) - 1)
		if linksAt(row).owner == owner && *m.keyAt(row) == k {
			return uint32(e) - 1, true
		}
	}
	return 0, false
}

// Get returns the value under k.
func (m *MapColumn[K, V]) Get(k K) (v V, ok bool) {
	g, cell := m.here()
	if cell.count == 0 {
		return v, false
	}
	id, ok := m.find(g, m.cur.ref.id, m.tag(m.cur.ref.id, &k), k)
	if ok {
		v = load[V](&m.val, m.valAt(g.rows.at(id)))
	}
	return v, ok
}

// Has reports whether there is a value under k.
func (m *MapColumn[K, V]) Has(k K) bool {
	g, cell := m.here()
	if cell.count == 0 {
		return false
	}
	_, ok := m.find(g, m.cur.ref.id, m.tag(m.cur.ref.id, &k), k)
	return ok
}

// Put sets the value under k.
func (m *MapColumn[K, V]) Put(k K, v V) {
	g, cell := m.here()
	owner, encoded := m.cur.ref.id, prepare(&m.val, v)
	tag := m.tag(owner, &k)
	id, ok := m.find(g, owner, tag, k)
	if ok {
		g.rows.own(id)
	} else {
		m.cur.Own()
		id = m.insert(g, cell, owner, tag, k)
	}
	store(&m.val, m.valAt(g.rows.at(id)), v, encoded)
}

// insert adds an entry at the end of the ring and leaves its value zero. The cell must be owned.
func (m *MapColumn[K, V]) insert(g *mapGroup, cell *mapCell, owner, tag uint32, k K) uint32 {
	id := g.rows.insert()
	row := g.rows.at(id)
	*m.keyAt(row) = k
	cloneStrings(unsafe.Pointer(m.keyAt(row)), m.keyStrings)
	g.index.add(tag, id)
	l := linksAt(row)
	*l = links{owner, id, id}
	if cell.count == 0 {
		cell.head = id + 1
	} else {
		l.next = cell.head - 1
		l.prev = linksAt(g.rows.at(l.next)).prev
		g.rows.own(l.next)
		g.rows.own(l.prev)
		linksAt(g.rows.at(l.next)).prev = id
		linksAt(g.rows.at(l.prev)).next = id
	}
	cell.count++
	return id
}

// Delete removes k, which need not be there.
func (m *MapColumn[K, V]) Delete(k K) {
	g, cell := m.here()
	if cell.count == 0 {
		return
	}
	tag := m.tag(m.cur.ref.id, &k)
	id, ok := m.find(g, m.cur.ref.id, tag, k)
	if !ok {
		return
	}
	m.cur.Own()
	l := *linksAt(g.rows.at(id))
	g.rows.own(l.next)
	g.rows.own(l.prev)
	linksAt(g.rows.at(l.next)).prev = l.prev
	linksAt(g.rows.at(l.prev)).next = l.next
	cell.count--
	switch {
	case cell.count == 0:
		cell.head = 0
		m.cur.Cleared()
	case cell.head == id+1:
		cell.head = l.next + 1
	}
	g.index.remove(tag, id)
	g.rows.remove(id)
}

// Len returns the number of entries.
func (m *MapColumn[K, V]) Len() int {
	_, cell := m.here()
	return int(cell.count)
}

// Clear removes all entries.
func (m *MapColumn[K, V]) Clear() {
	g, cell := m.here()
	if cell.count == 0 {
		return
	}
	m.cur.Own()
	id := cell.head - 1
	for range cell.count {
		row := g.rows.at(id)
		next := linksAt(row).next
		g.index.remove(m.tag(m.cur.ref.id, m.keyAt(row)), id)
		g.rows.remove(id)
		id = next
	}
	*cell = mapCell{}
	m.cur.Cleared()
}

// Each calls yield for each entry in the order in which the keys were put first, until it returns false. An entry that is deleted in the
// course of it before its turn is left out, one that is put may be.
func (m *MapColumn[K, V]) Each(yield func(K, V) bool) {
	g, cell := m.here()
	owner := m.cur.ref.id
	ids := m.spare[:0]
	m.spare = nil
	defer func() { m.spare = ids }()
	id := cell.head - 1
	for range cell.count {
		ids = append(ids, id)
		id = linksAt(g.rows.at(id)).next
	}
	for _, id := range ids {
		if row := g.rows.at(id); g.rows.isLive(id) && linksAt(row).owner == owner {
			if !yield(*m.keyAt(row), load[V](&m.val, m.valAt(row))) {
				return
			}
		}
	}
}

func (m *MapColumn[K, V]) encode(dst []byte, cell unsafe.Pointer, f *frozen) []byte {
	c := (*mapCell)(cell)
	dst = binary.AppendUvarint(dst, uint64(c.count))
	id := c.head - 1
	for range c.count {
		row := f.at(id)
		dst = m.key.append(dst, unsafe.Pointer(m.keyAt(row)))
		dst = m.val.append(dst, m.valAt(row))
		id = linksAt(row).next
	}
	return dst
}

func (m *MapColumn[K, V]) decode(src []byte, cell unsafe.Pointer, owner rowID) ([]byte, error) {
	n, src, err := count(src, "map")
	if err != nil {
		return nil, err
	}
	g := &m.groups[owner.group]
	for range n {
		var k K
		if src, err = m.key.decode(src, unsafe.Pointer(&k)); err != nil {
			return nil, err
		}
		tag := m.tag(owner.id, &k)
		if _, twice := m.find(g, owner.id, tag, k); twice {
			return nil, fmt.Errorf("%w: a map holds a key twice", codec.ErrCorrupt)
		}
		id := m.insert(g, (*mapCell)(cell), owner.id, tag, k)
		if src, err = m.val.decode(src, m.valAt(g.rows.at(id))); err != nil {
			return nil, err
		}
	}
	return src, nil
}

// count reads the number of elements of a map or list. Elements may take no bytes at all, so that the length of src is no bound.
func count(src []byte, what string) (n uint64, rest []byte, err error) {
	n, size := binary.Uvarint(src)
	if size <= 0 || n > 1<<32-2 {
		return 0, nil, fmt.Errorf("%w: the length of a %s", codec.ErrCorrupt, what)
	}
	return n, src[size:], nil
}
