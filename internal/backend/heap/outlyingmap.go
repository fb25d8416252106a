package heap

import (
	"encoding/binary"
	"fmt"
	"iter"
	"slices"
	"unsafe"

	"github.com/weirstream/weir/codec"
	"github.com/weirstream/weir/internal/backend/keyed"
)

// outlying is set in the count of a map some of whose entries may be in the byte store alone: see outlyingMap. Those in memory are in the index, and
// their ring is in no particular order.
const outlying = 1 << 30

func (c *mapCell) isOutlying() bool { return c.count&outlying != 0 }

// outlyingMap is what is known of an outlying map as long as its row is in memory.
type outlyingMap[K comparable] struct {
	outlyingHead              // of all entries, wherever they are
	inOrder      bool         // the entries in memory are all there are, and their ring is in the order of their places
	changed      []uint32     // entries in memory that were changed since the last seal; it may have doubles and others
	young        []young      // entries that the byte store may not have, in the order of their places
	gone         map[K]uint32 // keys of entries that were deleted, with the seal after which the byte store knows
	missed       K            // a key that was looked up last and is not there
	hasMissed    bool
	filedTo      int64 // of a set of deadlines: see outlyingtimers.go
}

// young is an entry that was put while the map was outlying, or became so.
type young struct {
	place uint64
	id    uint32
	seal  uint32 // the first that has it
}

// entryMeta is what is known of an entry of an outlying map in memory.
type entryMeta struct {
	place  uint64
	sealed uint32 // as in rowMeta
	weight uint32 // what it takes in memory
	flags  uint8  // recent and kept, as in rowMeta
}

const (
	// entryOverhead is what an entry takes beside its row and strings: meta and a place in the index.
	entryOverhead = 40
	// twice is the size of a value up to which it lies in the byte store by key and by place.
	twice = 256
)

// metaOf returns what is known of an entry.
func (m *MapColumn[K, V]) metaOf(g *mapGroup, id uint32) *entryMeta {
	if int(id) >= len(g.meta) {
		g.meta = append(g.meta, make([]entryMeta, max(int(id)+1-len(g.meta), len(g.meta), 16))...)
	}
	return &g.meta[id]
}

// backing returns what is under the tables, nil if they are all there is.
func (m *MapColumn[K, V]) backing() *backing { return m.cur.core.backed }

// mapAt returns the cell of a row that is in memory.
func (m *MapColumn[K, V]) mapAt(owner rowID) *mapCell {
	return (*mapCell)(unsafe.Add(m.cur.core.rowsOf(owner.group).at(owner.id), m.off))
}

// weigh brings up to date what an entry of an outlying map takes.
func (m *MapColumn[K, V]) weigh(g *mapGroup, id uint32) {
	e := m.metaOf(g, id)
	now := m.weightOf(g, id)
	m.backing().held += now - int64(e.weight)
	e.weight = uint32(min(now, 1<<32-1))
}

func (m *MapColumn[K, V]) weightOf(g *mapGroup, id uint32) int64 {
	row := g.rows.at(id)
	return int64(m.shape.size) + entryOverhead + stringBytes(unsafe.Pointer(m.keyAt(row)), m.keyStrings) + stringBytes(m.valAt(row), m.valStrings)
}

// entryKey appends the key under which an entry is found in the byte store.
func (m *MapColumn[K, V]) entryKey(dst []byte, owner rowID, k *K) []byte {
	dst = m.backing().stateKey(dst, owner, m.state, entrySpace)
	if m.name != nil {
		return m.name(dst, k)
	}
	return m.key.append(dst, unsafe.Pointer(k))
}

// fetch reads an entry that is not in memory, if there is one.
func (m *MapColumn[K, V]) fetch(g *mapGroup, cell *mapCell, owner rowID, k K) (id uint32, ok bool) {
	b, o := m.backing(), m.outlying[owner]
	if int(cell.len()) == int(o.count) || b.err != nil || o.hasMissed && o.missed == k {
		return 0, false
	}
	if seal, gone := o.gone[k]; gone && seal > b.applied {
		return 0, false
	}
	b.relieve()
	key := m.entryKey(b.scratch[:0], owner, &k)
	b.scratch = key
	var value []byte
	take := func(_ int, v []byte) error { value, ok = append(b.value[:0], v...), true; return nil }
	err := b.store.Get([][]byte{key}, take)
	if !ok || err != nil {
		b.fail(err)
		o.missed, o.hasMissed = k, true
		return 0, false
	}
	b.value = value
	if id, err = m.take(g, cell, owner, k, value); err != nil {
		b.fail(fmt.Errorf("an entry of a map in group %d: %w", b.core.groups.First+int(owner.group), err))
		return 0, false
	}
	return id, true
}

// take takes an entry into memory that was found by its key.
func (m *MapColumn[K, V]) take(g *mapGroup, cell *mapCell, owner rowID, k K, value []byte) (id uint32, err error) {
	place, size := binary.Uvarint(value)
	if size <= 0 {
		return 0, fmt.Errorf("%w: its place", codec.ErrCorrupt)
	}
	src := value[size:]
	if place&1 != 0 { // the value is large
		if src, err = m.valueAt(owner, place>>1); err != nil {
			return 0, err
		}
	}
	return m.load(g, cell, owner, k, place>>1, src)
}

// valueAt reads what follows the key of the entry at a place.
func (m *MapColumn[K, V]) valueAt(owner rowID, place uint64) (src []byte, err error) {
	b := m.backing()
	found := false
	err = b.store.Get([][]byte{b.placeKey(nil, owner, m.state, place)}, func(_ int, v []byte) (err error) {
		found = true
		src, err = m.key.codec.Schema().Skip(v)
		src = slices.Clone(src)
		return err
	})
	if err == nil && !found {
		err = fmt.Errorf("%w: there is nothing at its place", keyed.ErrCorrupt)
	}
	return src, err
}

// load takes an entry into memory: src is its stamp, if it has one, and its value.
func (m *MapColumn[K, V]) load(g *mapGroup, cell *mapCell, owner rowID, k K, place uint64, src []byte) (id uint32, err error) {
	o := m.outlying[owner]
	id = m.link(g, cell, owner.id, k)
	row := g.rows.at(id)
	*m.metaOf(g, id) = entryMeta{place: place, flags: recent | kept}
	o.inOrder = false
	stamp, src, err := m.ttl.stamps().cut(src, m.ttl)
	if err != nil {
		return 0, err
	}
	if m.ttl != nil {
		*m.stampOf(row) = stamp
	}
	if src, err = m.val.decode(src, m.valAt(row)); err == nil && len(src) > 0 {
		err = fmt.Errorf("%w: %d bytes follow it", keyed.ErrCorrupt, len(src))
	}
	m.weigh(g, id)
	return id, err
}

// entered notes a new entry of an outlying map.
func (m *MapColumn[K, V]) entered(g *mapGroup, owner rowID, id uint32) {
	b, o := m.backing(), m.outlying[owner]
	*m.metaOf(g, id) = entryMeta{place: o.next, sealed: b.now, flags: recent}
	o.young = append(o.young, young{o.next, id, b.now})
	o.changed = append(o.changed, id)
	o.next++
	o.count++
	o.hasMissed = false
	b.entries++
}

// noted notes that an entry was changed, whether it is new or not. Nothing may be half done.
func (m *MapColumn[K, V]) noted(g *mapGroup, cell *mapCell, owner rowID, id uint32, isNew bool) {
	b := m.backing()
	if isNew || cell.isOutlying() {
		m.counted(g, cell, owner, id)
	}
	b.relieve()
}

// touched notes that an entry of an outlying map was changed.
func (m *MapColumn[K, V]) touched(g *mapGroup, owner rowID, id uint32) {
	b, o, e := m.backing(), m.outlying[owner], m.metaOf(g, id)
	if m.ttl != nil {
		o.stamp = newer(o.stamp, *m.stampOf(g.rows.at(id)))
	}
	if e.sealed != b.now {
		e.sealed = b.now
		o.changed = append(o.changed, id)
		b.entries++
	}
}

// counted notes what an entry takes that was decoded.
func (m *MapColumn[K, V]) counted(g *mapGroup, cell *mapCell, owner rowID, id uint32) {
	b := m.backing()
	switch {
	case b == nil || b.loading:
	case cell.isOutlying():
		m.touched(g, owner, id)
		m.weigh(g, id)
	default:
		b.grown += m.weightOf(g, id)
	}
}

// leave notes that an entry of an outlying map is going to be deleted.
func (m *MapColumn[K, V]) leave(g *mapGroup, owner rowID, id uint32) {
	b, o, e := m.backing(), m.outlying[owner], m.metaOf(g, id)
	k := *m.keyAt(g.rows.at(id))
	if e.flags&kept != 0 {
		b.batch.Delete(b.placeKey(nil, owner, m.state, e.place))
		b.batch.Delete(m.entryKey(nil, owner, &k))
		if o.gone == nil {
			o.gone = map[K]uint32{}
		}
		o.gone[k] = b.now
	}
	o.count--
	b.held -= int64(e.weight)
}

// left makes a map one that is not outlying if its last entry was deleted.
func (m *MapColumn[K, V]) left(cell *mapCell, owner rowID) {
	if m.outlying[owner].count == 0 {
		m.endLoops(owner)
		delete(m.outlying, owner)
		*cell = mapCell{}
	}
}

// forget takes an entry out of memory.
func (m *MapColumn[K, V]) forget(g *mapGroup, cell *mapCell, id uint32) {
	m.backing().held -= int64(m.metaOf(g, id).weight)
	m.unlink(g, cell, id)
}

// clear removes all of an outlying map.
func (m *MapColumn[K, V]) clear(owner rowID) {
	b := m.backing()
	g, cell := &m.groups[owner.group], m.mapAt(owner)
	m.drain(g, cell, owner)
	b.removeState(b.rowKey(nil, owner), m.state)
	m.endLoops(owner)
	*cell = mapCell{}
}

// drain takes an outlying map out of memory, but for its cell.
func (m *MapColumn[K, V]) drain(g *mapGroup, cell *mapCell, owner rowID) {
	delete(m.outlying, owner)
	id := cell.head - 1
	for range cell.len() {
		next := linksAt(g.rows.at(id)).next
		m.backing().held -= int64(m.metaOf(g, id).weight)
		m.remove(g, cell, id)
		id = next
	}
}

func (m *MapColumn[K, V]) endLoops(owner rowID) {
	for _, l := range m.loops {
		l.over = l.over || l.owner == owner
	}
}

func (m *MapColumn[K, V]) wipe(owner rowID) {
	if m.mapAt(owner).isOutlying() {
		m.clear(owner)
	}
}

func (m *MapColumn[K, V]) spread(owner rowID) bool {
	g, cell := &m.groups[owner.group], m.mapAt(owner)
	if !m.canSpread || cell.len() == 0 || cell.isOutlying() {
		return false
	}
	if !cell.isIndexed() {
		m.indexAll(g, cell, owner.id)
	}
	cell.count |= outlying
	o := m.setOutlying(owner, outlyingMap[K]{inOrder: true})
	id := cell.head - 1
	for range cell.len() {
		m.entered(g, owner, id)
		m.weigh(g, id)
		if m.ttl != nil {
			o.stamp = newer(o.stamp, *m.stampOf(g.rows.at(id)))
		}
		id = linksAt(g.rows.at(id)).next
	}
	return true
}

func (m *MapColumn[K, V]) seal(owner rowID) {
	if !m.mapAt(owner).isOutlying() {
		return
	}
	b, o, g := m.backing(), m.outlying[owner], &m.groups[owner.group]
	for _, id := range o.changed {
		e := m.metaOf(g, id)
		if e.sealed == b.now && g.rows.isLive(id) && linksAt(g.rows.at(id)).owner == owner.id {
			m.sealEntry(owner, g.rows.at(id), e)
		}
	}
	o.changed = o.changed[:0]
	o.prune(b.applied)
	for k, seal := range o.gone {
		if seal <= b.applied {
			delete(o.gone, k)
		}
	}
}

func (m *MapColumn[K, V]) setOutlying(owner rowID, o outlyingMap[K]) *outlyingMap[K] {
	if m.outlying == nil {
		m.outlying = map[rowID]*outlyingMap[K]{}
	}
	m.outlying[owner] = &o
	return &o
}

// prune forgets which entries are young that are so no more.
func (o *outlyingMap[K]) prune(applied uint32) {
	n := 0
	for n < len(o.young) && o.young[n].seal <= applied {
		n++
	}
	o.young = slices.Delete(o.young, 0, n)
}

// sealEntry adds an entry to the batch.
func (m *MapColumn[K, V]) sealEntry(owner rowID, row unsafe.Pointer, e *entryMeta) {
	b := m.backing()
	value := m.key.append(b.value[:0], unsafe.Pointer(m.keyAt(row)))
	keyEnds := len(value)
	if m.ttl != nil {
		if now := m.ttl.times.now[m.ttl.clock]; *m.stampOf(row) == undated && stored(now) != undated {
			*m.stampOf(row) = stored(now)
		}
		value = appendStamp(value, *m.stampOf(row))
	}
	value = m.val.append(value, m.valAt(row))
	b.value = value
	b.scratch = b.placeKey(b.scratch[:0], owner, m.state, e.place)
	b.batch.Put(b.scratch, value)
	b.scratch = m.entryKey(b.scratch[:0], owner, m.keyAt(row))
	if len(value)-keyEnds > twice {
		b.batch.Put(b.scratch, binary.AppendUvarint(nil, e.place<<1|1))
	} else {
		place := binary.AppendUvarint(make([]byte, 0, twice+binary.MaxVarintLen64), e.place<<1)
		b.batch.Put(b.scratch, append(place, value[keyEnds:]...))
	}
	e.flags |= kept
}

func (m *MapColumn[K, V]) evict(owner rowID, goal int64) {
	cell := m.mapAt(owner)
	if !cell.isOutlying() || m.isWalked(owner) {
		return
	}
	b, g, o := m.backing(), &m.groups[owner.group], m.outlying[owner]
	for n := cell.len(); n > 0 && b.held > goal; n-- {
		id := cell.head - 1
		e := m.metaOf(g, id)
		cell.head = linksAt(g.rows.at(id)).next + 1
		o.inOrder = false
		if e.flags&recent != 0 {
			e.flags &^= recent
		} else if e.sealed <= b.applied && (m.holds == nil || !m.holds(o, m.keyAt(g.rows.at(id)))) {
			m.forget(g, cell, id)
			o.hasMissed = false
		}
	}
}

// isWalked reports whether a loop goes along the ring of a map.
func (m *MapColumn[K, V]) isWalked(owner rowID) bool {
	return slices.ContainsFunc(m.loops, func(l *mapLoop) bool { return l.owner == owner && !l.over && l.next != byPlace })
}

func (m *MapColumn[K, V]) evictAll(goal int64) {
	for owner := range m.outlying {
		if m.backing().held <= goal {
			return
		}
		m.evict(owner, goal)
	}
}

// headOf returns what the row of an outlying map says of it.
func (m *MapColumn[K, V]) headOf(owner rowID) *outlyingHead { return &m.outlying[owner].outlyingHead }

// decodeHead makes an empty cell that of an outlying map.
func (m *MapColumn[K, V]) decodeHead(src []byte, cell *mapCell, owner rowID) ([]byte, error) {
	h, src, err := cutOutlyingHead(src, m.ttl != nil)
	if err == nil && h.count > mostEntries {
		err = fmt.Errorf("%w: a map of %d entries", codec.ErrCorrupt, h.count)
	}
	if err != nil {
		return nil, err
	}
	m.setOutlying(owner, outlyingMap[K]{outlyingHead: h})
	*cell = mapCell{count: indexed | outlying}
	m.backing().metaOf(owner).flags |= scattered
	return src, nil
}

func (m *MapColumn[K, V]) storedOver(value []byte) (bool, error) {
	src, err := m.key.codec.Schema().Skip(value)
	if err != nil {
		return false, err
	}
	stamp, _, err := useStamps.cut(src, nil)
	return m.isDue(stamp), err
}

// isDue reports whether the search for what has expired is to look at what has a stamp.
func (m *MapColumn[K, V]) isDue(stamp int64) bool {
	now := m.ttl.times.now[m.ttl.clock]
	return m.ttl.expired(stamp) || stamp == undated && stored(now) != undated
}

func (m *MapColumn[K, V]) sweepStored(owner rowID, value []byte) error {
	var k K
	if _, err := m.key.decode(value, unsafe.Pointer(&k)); err != nil {
		return err
	}
	g, cell := &m.groups[owner.group], m.mapAt(owner)
	if !cell.isOutlying() {
		return nil // it is on its way out
	}
	id, ok := m.find(g, cell, owner.id, k)
	if !ok {
		return nil
	}
	if stamp := m.stampOf(g.rows.at(id)); *stamp == undated {
		m.backing().changed(owner)
		m.touched(g, owner, id) // the seal dates it
	}
	m.sweepEntry(owner.group, id)
	return nil
}

// byPlace is where a loop is that does not go along the ring.
const byPlace = ^uint32(0)

// read is an entry as it was read from the byte store.
type read struct {
	place    uint64
	from, to int // in the data
}

// visit goes through an outlying map from the first place to the last one there is now. What is changed meanwhile is seen as a loop should: see Each. visit gets
// an entry that is in memory, or the key and what follows it of one that is not.
func (m *MapColumn[K, V]) visit(owner rowID, visit func(k K, id uint32, inMemory bool, place uint64, rest []byte) bool) {
	b, g, cell, o := m.backing(), &m.groups[owner.group], m.mapAt(owner), m.outlying[owner]
	l := &mapLoop{owner, byPlace, byPlace, false}
	m.loops = append(m.loops, l)
	defer func() { m.loops = slices.DeleteFunc(m.loops, func(o *mapLoop) bool { return o == l }) }()
	var data []byte
	var chunk []read
	most := 16 // of a chunk; a loop may end early
	for at, end := o.first, o.next; at < end && !l.over && b.err == nil; {
		b.poll()
		o.prune(b.applied)
		until := end
		if len(o.young) > 0 {
			until = min(end, o.young[0].place)
		}
		if at >= until {
			id, place, ok := o.youngFrom(at)
			if !ok || place >= end {
				return
			}
			at = place + 1
			if k, ok := m.isAt(g, owner, id, place); ok && !visit(k, id, true, place, nil) {
				return
			}
			continue
		}
		data, chunk = data[:0], chunk[:0]
		b.scanPlaces(owner, m.state, at, until, func(place uint64, value []byte) (bool, error) {
			chunk = append(chunk, read{place, len(data), len(data) + len(value)})
			data = append(data, value...)
			return len(chunk) < most && len(data) < 64<<10, nil
		})
		most = min(2*most, 1024)
		if len(chunk) == 0 {
			at = until
			continue
		}
		for reliefs := b.reliefs; len(chunk) > 0 && reliefs == b.reliefs; chunk = chunk[1:] { // else what was read may be out of date
			r := chunk[0]
			if at = r.place + 1; l.over || b.err != nil {
				return
			}
			var k K
			rest, err := m.key.decode(data[r.from:r.to], unsafe.Pointer(&k))
			if err != nil {
				b.fail(err)
				return
			}
			id, inMemory := m.lookUp(g, owner.id, k)
			switch {
			case inMemory && m.metaOf(g, id).place != r.place: // it was deleted and put again
				continue
			case !inMemory && (int(cell.len()) == int(o.count) || o.gone[k] > b.applied):
				continue
			case !visit(k, id, inMemory, r.place, rest):
				return
			}
		}
	}
}

// youngFrom returns the first young entry at a place or after it.
func (o *outlyingMap[K]) youngFrom(place uint64) (id uint32, at uint64, ok bool) {
	i, _ := slices.BinarySearchFunc(o.young, place, func(y young, place uint64) int {
		if y.place < place {
			return -1
		}
		return 1
	})
	if i == len(o.young) {
		return 0, 0, false
	}
	return o.young[i].id, o.young[i].place, true
}

// isAt returns the key of an entry in memory if it has a place still.
func (m *MapColumn[K, V]) isAt(g *mapGroup, owner rowID, id uint32, place uint64) (k K, ok bool) {
	if !g.rows.isLive(id) || linksAt(g.rows.at(id)).owner != owner.id || m.metaOf(g, id).place != place {
		return k, false
	}
	return *m.keyAt(g.rows.at(id)), true
}

// eachOutlying is Each for an outlying map. What is read from the byte store is not kept in memory, unless the loop changes it.
func (m *MapColumn[K, V]) eachOutlying(owner rowID, yield func(K, V) bool) {
	b, g, cell := m.backing(), &m.groups[owner.group], m.mapAt(owner)
	m.visit(owner, func(k K, id uint32, inMemory bool, place uint64, rest []byte) bool {
		v, ok := *new(V), true
		switch {
		case inMemory && m.ttl == nil:
			v = load[V](&m.val, m.valAt(g.rows.at(id)))
		case inMemory:
			v, ok = m.readStamped(g, cell, id)
		case m.ttl != nil:
			v, ok = m.readStored(g, cell, owner, k, place, rest)
		default:
			v = m.decoded(rest)
		}
		return b.err != nil || !ok || yield(k, v)
	})
}

// decoded returns a value that is not taken into memory.
func (m *MapColumn[K, V]) decoded(src []byte) (v V) {
	if m.val.form != nil {
		return v
	}
	if _, err := m.val.codec.Decode(src, unsafe.Pointer(&v)); err != nil {
		m.backing().fail(err)
	}
	return v
}

// readStored is readStamped for an entry that is not in memory.
func (m *MapColumn[K, V]) readStored(g *mapGroup, cell *mapCell, owner rowID, k K, place uint64, src []byte) (v V, ok bool) {
	stamp, rest, err := useStamps.cut(src, nil)
	if err == nil && !m.ttl.expired(stamp) && (!m.ttl.RefreshOnRead || stamp == m.ttl.stamp()) {
		return m.decoded(rest), true
	}
	m.backing().relieve()
	id, err2 := m.load(g, cell, owner, k, place, src)
	if err != nil || err2 != nil {
		m.backing().fail(err2)
		return v, false
	}
	return m.readStamped(g, cell, id)
}

// all yields what has not expired of a map of any row, in no particular order, and changes nothing.
func (m *MapColumn[K, V]) all(cell *mapCell, owner rowID) iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		if !cell.isOutlying() {
			for e := range m.entries(cell, owner.group) {
				if !yield(*m.keyAt(e), load[V](&m.val, m.valAt(e))) {
					return
				}
			}
			return
		}
		rows := &m.groups[owner.group].rows
		m.visit(owner, func(k K, id uint32, inMemory bool, _ uint64, rest []byte) bool {
			var v V
			stamp, rest, err := m.ttl.stamps().cut(rest, nil)
			switch {
			case inMemory && m.ttl != nil:
				stamp = *m.stampOf(rows.at(id))
				fallthrough
			case inMemory:
				v = load[V](&m.val, m.valAt(rows.at(id)))
			case err != nil:
				m.backing().fail(err)
			default:
				v = m.decoded(rest)
			}
			return m.ttl != nil && m.ttl.expired(stamp) || yield(k, v)
		})
	}
}

// lenOutlying returns the number of entries that have not expired.
func (m *MapColumn[K, V]) lenOutlying(owner rowID) (n int) {
	g := &m.groups[owner.group]
	m.visit(owner, func(_ K, id uint32, inMemory bool, _ uint64, rest []byte) bool {
		var stamp int64
		var err error
		if inMemory {
			stamp = *m.stampOf(g.rows.at(id))
		} else if stamp, _, err = useStamps.cut(rest, nil); err != nil {
			m.backing().fail(err)
		}
		if !m.ttl.expired(stamp) {
			n++
		}
		return true
	})
	return n
}
