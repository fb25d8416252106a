package heap

import (
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"math"
	"reflect"
	"slices"
	"unsafe"

	"github.com/weirstream/weir/codec"
	"github.com/weirstream/weir/internal/backend/keyed"
	"github.com/weirstream/weir/internal/keyhash"
)

// mapCell is what a key's row holds for a map: its first entry and their number. It is zero if there are none.
type mapCell struct {
	head  uint32 // row of the first entry plus one
	count uint32 // with the flag indexed
}

const (
	// walked is the number of entries up to which a map is searched from its head. More are entered in the index. A search from the head
	// takes one cache miss for each entry, the index two for any number.
	walked = 3
	// indexed says that the map's entries are in the index. They stay there until the map is empty.
	indexed = 1 << 31
	// mostEntries is the number of entries of one map, for the sake of the flags beside it.
	mostEntries = outlying - 1
)

// len returns the number of entries in memory.
func (c *mapCell) len() uint32     { return c.count &^ (indexed | outlying) }
func (c *mapCell) isIndexed() bool { return c.count&indexed != 0 }

// links begin the row of an entry. The entries of a map form a ring in the order in which they were put. If they expire a stamp follows.
type links struct{ owner, next, prev uint32 }

// MapColumn is a map of the row under the cursor. Its entries are rows of a table of their own, with an index by the owner's row and the
// user's key.
type MapColumn[K comparable, V any] struct {
	cur            *Cursor
	off            uintptr
	shape          *shape
	key, val       part
	keyOff, valOff uintptr
	ttl            *expiry
	measured       *measured // nil for a set of deadlines
	stampOff       uintptr
	keyStrings     []uintptr
	valStrings     []uintptr
	hash           func(*K) uint64
	groups         []mapGroup
	loops          []*mapLoop

	state     int                       // the number of the column
	canSpread bool                      // over a byte store it may be outlying
	outlying  map[rowID]*outlyingMap[K] // by row, those in memory
	// name appends the key under which an entry of an outlying map is found, nil: the encoding of the user's key. holds says which entries stay in
	// memory, nil: none.
	name  func(dst []byte, k *K) []byte
	holds func(o *outlyingMap[K], k *K) bool
}

type mapGroup struct {
	number uint32
	index  index
	rows   rows
	gone   graves      // entries that were deleted
	meta   []entryMeta // of entries of outlying maps, by their row
}

// DeclareMap declares a map. ttl is the one given in code, nil if there is none.
func DeclareMap[K comparable, V any](d *Declaration, ttl *TTL) *MapColumn[K, V] {
	name, o := d.state(ttl)
	m := &MapColumn[K, V]{}
	if o.hasInitial {
		d.fail("state %q: a map begins empty and has no default", name)
	}
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
	m.ttl = newExpiry(o.ttl)
	m.canSpread = isBytes(kt)
	col := &column{name: name, kind: keyed.KindMap, user: kc, codec: vc, cell: reflect.TypeFor[mapCell](), ttl: m.ttl, query: m.query, measured: &measured{names: &mapAccesses}}
	m.measured = col.measured
	col.entries = func(s *core, col *column) linked {
		m.init(s, col)
		return m
	}
	col.attach = func(*core) {}
	d.add(col)
	return m
}

func (m *MapColumn[K, V]) init(s *core, col *column) {
	fields := []reflect.StructField{
		{Name: "Links", Type: reflect.TypeFor[links]()},
		{Name: "Key", Type: m.key.cell},
		{Name: "Value", Type: m.val.cell},
	}
	if m.ttl != nil {
		fields = append(fields, reflect.StructField{Name: "Stamp", Type: reflect.TypeFor[int64]()})
	}
	row := rounded(fields)
	m.cur, m.off = &s.cur, col.off
	m.keyOff, m.valOff = row.Field(1).Offset, row.Field(2).Offset
	if m.ttl != nil {
		m.stampOff = row.Field(3).Offset
	}
	m.keyStrings, m.valStrings = stringsIn(m.key.cell, 0, nil), stringsIn(m.val.cell, 0, nil)
	m.state = slices.Index(s.layout.columns, col)
	seed := maphash.MakeSeed()
	m.hash = hasherOf(func(k K) uint64 { return maphash.Comparable(seed, k) })
	m.shape = newShape(row, pointerFree(row), s.arena, &s.clock)
	m.shape.chained = true
	m.groups = make([]mapGroup, s.groups.Len())
	for i := range m.groups {
		m.groups[i] = mapGroup{number: uint32(i), index: newIndex(s.arena), rows: rows{sh: m.shape}}
	}
}

func (m *MapColumn[K, V]) gravesOf(group uint32) *graves { return &m.groups[group].gone }

func (m *MapColumn[K, V]) rowsOf(group uint32) *rows { return &m.groups[group].rows }

// here returns what is at the row under the cursor, which is at one.
func (m *MapColumn[K, V]) here() (*mapGroup, *mapCell) {
	return &m.groups[m.cur.ref.group], (*mapCell)(m.cur.cell(m.off))
}

func linksAt(row unsafe.Pointer) *links { return (*links)(row) }

func (m *MapColumn[K, V]) keyAt(row unsafe.Pointer) *K { return (*K)(unsafe.Add(row, m.keyOff)) }

func (m *MapColumn[K, V]) valAt(row unsafe.Pointer) unsafe.Pointer { return unsafe.Add(row, m.valOff) }

func (m *MapColumn[K, V]) stampOf(row unsafe.Pointer) *int64 {
	return stampAt(unsafe.Add(row, m.stampOff))
}

// at returns the row of the present key.
func (m *MapColumn[K, V]) at() rowID { return rowID{m.cur.ref.group, m.cur.ref.id} }

func (m *MapColumn[K, V]) tag(owner uint32, k *K) uint32 {
	return uint32(keyhash.Pair(uint64(owner), m.hash(k)))
}

// find returns the row of the entry of k in the map of an owner.
func (m *MapColumn[K, V]) find(g *mapGroup, cell *mapCell, owner uint32, k K) (id uint32, ok bool) {
	if cell.isIndexed() {
		if id, ok = m.lookUp(g, owner, k); !cell.isOutlying() {
			return id, ok
		}
		if !ok {
			return m.fetch(g, cell, rowID{g.number, owner}, k)
		}
		m.metaOf(g, id).flags |= recent
		return id, true
	}
	id = cell.head - 1
	for range cell.count {
		row := g.rows.at(id)
		if *m.keyAt(row) == k {
			return id, true
		}
		id = linksAt(row).next
	}
	return 0, false
}

func (m *MapColumn[K, V]) lookUp(g *mapGroup, owner uint32, k K) (id uint32, ok bool) {
	tag := m.tag(owner, &k)
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
	if m.cur.Row == nil {
		return m.measuredGet(k)
	}
	g, cell := m.here()
	id, ok := m.find(g, cell, m.cur.ref.id, k)
	if !ok {
		return v, false
	}
	if m.ttl != nil {
		return m.readStamped(g, cell, id)
	}
	return load[V](&m.val, m.valAt(g.rows.at(id))), true
}

// readStamped returns the value of an entry, which it removes if it has expired.
func (m *MapColumn[K, V]) readStamped(g *mapGroup, cell *mapCell, id uint32) (v V, ok bool) {
	row := g.rows.at(id)
	if m.ttl.expired(*m.stampOf(row)) {
		if ok = m.ttl.ReturnExpired; ok {
			v = load[V](&m.val, m.valAt(row))
		}
		m.drop(g, cell, m.at(), id)
		return v, ok
	}
	if now := m.ttl.stamp(); m.ttl.RefreshOnRead && *m.stampOf(row) != now {
		m.cur.Touch()
		g.rows.change(id)
		*m.stampOf(row) = now
		if cell.isOutlying() {
			m.touched(g, m.at(), id)
		}
	}
	return load[V](&m.val, m.valAt(row)), true
}

// Has reports whether there is a value under k.
func (m *MapColumn[K, V]) Has(k K) bool {
	if m.cur.Row == nil {
		return m.measuredHas(k)
	}
	g, cell := m.here()
	id, ok := m.find(g, cell, m.cur.ref.id, k)
	if ok && m.ttl != nil {
		_, ok = m.readStamped(g, cell, id)
	}
	return ok
}

// Put sets the value under k.
func (m *MapColumn[K, V]) Put(k K, v V) {
	if m.cur.Row == nil {
		m.measuredPut(k, v)
		return
	}
	g, cell := m.here()
	encoded := prepare(&m.val, v)
	id, ok := m.find(g, cell, m.cur.ref.id, k)
	if ok && m.ttl != nil && m.ttl.expired(*m.stampOf(g.rows.at(id))) {
		m.drop(g, cell, m.at(), id)
		ok = false
	}
	if ok {
		m.cur.Touch()
		g.rows.change(id)
	} else {
		m.cur.Own()
		id = m.insert(g, cell, m.cur.ref.id, k)
	}
	row := g.rows.at(id)
	if m.ttl != nil {
		*m.stampOf(row) = m.ttl.stamp()
	}
	store(&m.val, m.valAt(row), v, encoded)
	if m.cur.core.backed != nil {
		m.noted(g, cell, m.at(), id, !ok)
	}
}

// insert adds an entry and leaves its value zero. The cell must be owned.
func (m *MapColumn[K, V]) insert(g *mapGroup, cell *mapCell, owner uint32, k K) uint32 {
	id := m.link(g, cell, owner, k)
	if cell.isOutlying() {
		m.entered(g, rowID{g.number, owner}, id)
	}
	return id
}

// link adds an entry at the end of the ring of those in memory.
func (m *MapColumn[K, V]) link(g *mapGroup, cell *mapCell, owner uint32, k K) uint32 {
	if cell.len() == mostEntries {
		panic("a map is full: it has more than a billion entries under one key of the stream; divide them among more keys")
	}
	id := g.rows.insert()
	row := g.rows.at(id)
	*m.keyAt(row) = k
	cloneStrings(unsafe.Pointer(m.keyAt(row)), m.keyStrings)
	l := linksAt(row)
	*l = links{owner, id, id}
	if cell.len() == 0 {
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
	switch {
	case cell.isIndexed():
		g.index.add(m.tag(owner, &k), id)
	case cell.count > walked:
		m.indexAll(g, cell, owner)
	}
	return id
}

func (m *MapColumn[K, V]) indexAll(g *mapGroup, cell *mapCell, owner uint32) {
	id := cell.head - 1
	for range cell.len() {
		row := g.rows.at(id)
		g.index.add(m.tag(owner, m.keyAt(row)), id)
		id = linksAt(row).next
	}
	cell.count |= indexed
}

// Delete removes k, which need not be there.
func (m *MapColumn[K, V]) Delete(k K) {
	if m.cur.Row == nil {
		m.measuredDelete(k)
		return
	}
	g, cell := m.here()
	if id, ok := m.find(g, cell, m.cur.ref.id, k); ok {
		m.drop(g, cell, m.at(), id)
	}
}

// drop removes an entry of the map of an owner.
func (m *MapColumn[K, V]) drop(g *mapGroup, cell *mapCell, owner rowID, id uint32) {
	m.cur.core.rowsOf(owner.group).change(owner.id)
	m.cur.core.noteChange(owner)
	m.leaving(owner, id, linksAt(g.rows.at(id)))
	m.bury(g, id)
	if cell.isOutlying() {
		m.leave(g, owner, id)
	}
	m.unlink(g, cell, id)
	if cell.isOutlying() {
		m.left(cell, owner)
	}
	if cell.count == 0 {
		m.cur.core.doubtful = append(m.cur.core.doubtful, owner)
	}
}

// unlink removes an entry from its ring. The cell must be owned.
func (m *MapColumn[K, V]) unlink(g *mapGroup, cell *mapCell, id uint32) {
	l := *linksAt(g.rows.at(id))
	g.rows.own(l.next)
	g.rows.own(l.prev)
	linksAt(g.rows.at(l.next)).prev = l.prev
	linksAt(g.rows.at(l.prev)).next = l.next
	m.remove(g, cell, id)
	cell.count--
	switch {
	case cell.isOutlying() && cell.len() == 0:
		cell.head = 0
	case cell.len() == 0:
		*cell = mapCell{}
	case cell.head == id+1:
		cell.head = l.next + 1
	}
}

// bury remembers that an entry is deleted.
func (m *MapColumn[K, V]) bury(g *mapGroup, id uint32) {
	core := m.cur.core
	if !core.clock.tracks || g.rows.isFresh(id) {
		return
	}
	row := g.rows.at(id)
	core.scratch = m.key.append(core.scratch[:0], unsafe.Pointer(m.keyAt(row)))
	core.remember(&g.gone, linksAt(row).owner, core.scratch)
}

// remove frees the row of an entry, which must not be needed any more to find others.
func (m *MapColumn[K, V]) remove(g *mapGroup, cell *mapCell, id uint32) {
	if cell.isIndexed() {
		row := g.rows.at(id)
		g.index.remove(m.tag(linksAt(row).owner, m.keyAt(row)), id)
	}
	g.rows.remove(id)
}

// Len returns the number of entries.
func (m *MapColumn[K, V]) Len() int {
	if m.cur.Row == nil {
		return m.measuredLen()
	}
	g, cell := m.here()
	switch all := m.ttl == nil || m.ttl.ReturnExpired; {
	case all && cell.isOutlying():
		return int(m.headOf(m.at()).count)
	case all:
		return int(cell.len())
	case cell.isOutlying():
		return m.lenOutlying(m.at())
	}
	n, id := 0, cell.head-1
	for range cell.len() {
		row := g.rows.at(id)
		if !m.ttl.expired(*m.stampOf(row)) {
			n++
		}
		id = linksAt(row).next
	}
	return n
}

// Clear removes all entries.
func (m *MapColumn[K, V]) Clear() {
	if m.cur.Row == nil {
		m.measuredClear()
		return
	}
	g, cell := m.here()
	if cell.count == 0 {
		return
	}
	m.cur.Own()
	if cell.isOutlying() {
		m.clear(m.at())
		m.cur.Cleared()
		return
	}
	m.endLoops(m.at())
	if known := m.removeAll(g, cell); known && m.shape.clock.tracks {
		m.cur.core.remember(&g.gone, m.cur.ref.id, nil)
	}
	m.cur.Cleared()
}

// removeAll removes all entries from a cell, which must be owned, and reports whether a capture may have one of them.
func (m *MapColumn[K, V]) removeAll(g *mapGroup, cell *mapCell) (known bool) {
	id := cell.head - 1
	for range cell.len() {
		next := linksAt(g.rows.at(id)).next
		known = known || !g.rows.isFresh(id)
		m.remove(g, cell, id)
		id = next
	}
	*cell = mapCell{}
	return known
}

// mapLoop is a loop over a map that is under way.
type mapLoop struct {
	owner      rowID
	next, last uint32 // entries: the one whose turn it is, and that with which the loop ends
	over       bool
}

// Each calls yield for each entry in the order in which the keys were put first, until it returns false. An entry that is deleted in the
// course of it before its turn is left out, and so is one that is put.
func (m *MapColumn[K, V]) Each(yield func(K, V) bool) {
	if m.cur.Row == nil {
		m.measuredEach(yield)
		return
	}
	g, cell := m.here()
	if cell.count == 0 {
		return
	}
	if cell.isOutlying() && !m.outlying[m.at()].inOrder {
		m.eachOutlying(m.at(), yield)
		return
	}
	first := cell.head - 1
	l := &mapLoop{m.at(), first, linksAt(g.rows.at(first)).prev, false}
	m.loops = append(m.loops, l)
	defer func() { m.loops = slices.DeleteFunc(m.loops, func(o *mapLoop) bool { return o == l }) }()
	for !l.over {
		id := l.next
		row := g.rows.at(id)
		l.over = id == l.last
		l.next = linksAt(row).next
		k, v, ok := *m.keyAt(row), *new(V), true
		if m.ttl != nil {
			v, ok = m.readStamped(g, cell, id)
		} else {
			v = load[V](&m.val, m.valAt(row))
		}
		if ok && !yield(k, v) {
			return
		}
	}
}

// leaving moves the loops on that are at an entry which is going to be deleted.
func (m *MapColumn[K, V]) leaving(owner rowID, id uint32, links *links) {
	for _, l := range m.loops {
		if l.over || l.owner != owner {
			continue
		}
		switch {
		case l.next == id && l.last == id:
			l.over = true
		case l.next == id:
			l.next = links.next
		case l.last == id:
			l.last = links.prev
		}
	}
}

// sweepEntry removes an entry that has expired.
func (m *MapColumn[K, V]) sweepEntry(group, id uint32) {
	g := &m.groups[group]
	row := g.rows.at(id)
	if !m.ttl.due(&g.rows, id, m.stampOf(row)) {
		return
	}
	owner := rowID{group, linksAt(row).owner}
	m.drop(g, (*mapCell)(unsafe.Add(m.cur.core.rowsOf(group).at(owner.id), m.off)), owner, id)
}

// living returns the number of entries that have not expired when the capture was made, up to most.
func (m *MapColumn[K, V]) living(w *writer, cell unsafe.Pointer, f *frozen, most int) (n int) {
	c := (*mapCell)(cell)
	switch {
	case c.isOutlying() && (m.ttl == nil || !w.expired(m.ttl, m.headOf(w.owner).stamp)):
		return min(int(m.headOf(w.owner).count), most)
	case c.isOutlying():
		return 0
	case m.ttl == nil:
		return min(int(c.len()), most)
	}
	id := c.head - 1
	for range c.len() {
		row := f.at(id)
		if !w.expired(m.ttl, *m.stampOf(row)) {
			if n++; n == most {
				break
			}
		}
		id = linksAt(row).next
	}
	return n
}

func (m *MapColumn[K, V]) encode(w *writer, cell unsafe.Pointer, f *frozen) error {
	c := (*mapCell)(cell)
	if c.isOutlying() {
		w.buf = m.headOf(w.owner).appendTo(w.buf, m.ttl != nil)
		return nil
	}
	w.buf = appendCount(w.buf, m.living(w, cell, f, math.MaxInt))
	id := c.head - 1
	for range c.len() {
		row := f.at(id)
		id = linksAt(row).next
		if m.ttl != nil && w.expired(m.ttl, *m.stampOf(row)) {
			continue
		}
		w.buf = m.key.append(w.buf, unsafe.Pointer(m.keyAt(row)))
		if m.ttl != nil {
			w.buf = appendStamp(w.buf, *m.stampOf(row))
		}
		w.buf = m.val.append(w.buf, m.valAt(row))
		if err := w.element(f); err != nil {
			return err
		}
	}
	return nil
}

func (m *MapColumn[K, V]) decode(src []byte, cell unsafe.Pointer, owner rowID, stamps stampsIn) ([]byte, error) {
	g, c := &m.groups[owner.group], (*mapCell)(cell)
	if b := m.backing(); b != nil && b.loading && isOutlying(src) {
		return m.decodeHead(src, c, owner)
	}
	n, src, err := count(src, "map")
	if err != nil {
		return nil, err
	}
	for range n {
		var k K
		if src, err = m.key.decode(src, unsafe.Pointer(&k)); err != nil {
			return nil, err
		}
		if m.isTwice(g, c, owner.id, k) {
			return nil, fmt.Errorf("%w: a map holds a key twice", codec.ErrCorrupt)
		}
		id := m.insert(g, c, owner.id, k)
		row := g.rows.at(id)
		var stamp int64
		if stamp, src, err = stamps.cut(src, m.ttl); err != nil {
			return nil, err
		}
		if m.ttl != nil {
			*m.stampOf(row) = stamp
		}
		if src, err = m.val.decode(src, m.valAt(row)); err != nil {
			return nil, err
		}
		m.counted(g, c, owner, id)
	}
	return src, nil
}

// isTwice reports whether a map has a key already. Of one that is restored into a byte store only what is in memory is looked at.
func (m *MapColumn[K, V]) isTwice(g *mapGroup, cell *mapCell, owner uint32, k K) (twice bool) {
	if cell.isOutlying() {
		_, twice = m.lookUp(g, owner, k)
	} else {
		_, twice = m.find(g, cell, owner, k)
	}
	return twice
}

// count reads the number of elements of a map or list. Elements may take no bytes at all, so that the length of src is no bound.
func count(src []byte, what string) (n uint64, rest []byte, err error) {
	n, size := binary.Uvarint(src)
	if size <= 0 || n >= indexed {
		return 0, nil, fmt.Errorf("%w: the length of a %s", codec.ErrCorrupt, what)
	}
	return n, src[size:], nil
}
