package heap

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"unsafe"

	"github.com/weirstream/weir/backend"
	"github.com/weirstream/weir/internal/backend/keyed"
)

// backing makes the tables of a store a cache over a byte store, in which the rows lie that are not in use.
//
// Processors see rows all the same: those of a batch are read together before it, and stay until it ends. A row that was changed is written
// back later, with others, by a goroutine of its own; in between it may have been changed a hundred times. What was not used for long makes
// room for others once it is written.
//
//   - A row is clean if the byte store has it as it is. Only clean rows are evicted, and only between batches.
//   - seal encodes all rows that are not clean, in time that is bounded by mostDirty, and hands them to the writer. Until it has written
//     them, in the order of the seals, none of them is evicted; and it takes snapshots, between two seals.
//   - A key whose last state was cleared keeps its row until the byte store knows. So what is not in the tables can always be looked up there.
//   - A map or list that has grown lies in the byte store entry by entry, and so it is in the tables: see outlying.go. A long value lies there by
//     itself: see outlyingvalue.go.
//   - What is being written back is in memory too. The next batch waits while that is more than mostFlying.
//   - The earliest deadline of each row that was sealed is in the byte store too, by time, so that the row is read when it is due: see
//     alarms.
//
// All but the writer's work is done on the subtask's goroutine.
type backing struct {
	core     *core
	store    backend.Store
	limit    int64 // of held, in bytes
	meta     [][]rowMeta
	columns  []releaser
	outliers []outlier       // those of columns that can be outlying
	outlies  []*valueOutlier // by the number of a state; nil for one that is no value, or never a long one
	values   []*valueOutlier // those that are not nil
	states   []keyed.State

	// The following need the type of the key.
	decode  func(src []byte, id rowID) error     // reads the states of a row, which is zero but for its key
	resolve func(group uint32, key []byte) rowID // finds or inserts the row of an encoded key
	has     func(key []byte) bool                // reports whether the tables have the row of a key in the byte store

	missing []rowID // inserted by the batch and not read yet
	keys    keyList
	dirty   []rowID                    // changed since the last seal; it may have doubles and rows that were freed since
	most    int                        // of dirty: mostDirty, or fewer if rows are large
	entries int                        // of outlying maps and lists, changed since the last seal
	held    int64                      // bytes of all rows, roughly
	grown   int64                      // bytes that came to rows since the last seal, and are not in held yet
	latest  *outlyingValue             // the outlying value that was used last, which is not in held; nil if there is none
	flights []flight                   // batches that are being written
	flying  int64                      // bytes of these together
	pieces  struct{ count, bytes int } // of long values, in the batch
	relief  int64                      // of both together, from which room is made within a batch
	reliefs int                        // how often room was made within a batch
	loading bool                       // what is decoded is the byte store's
	now     uint32                     // the number of the next seal
	applied uint32                     // of the last one that is written
	hand    rowID                      // where eviction goes on
	alarms  alarms
	sweep   storeSweep
	encoder rowEncoder
	batch   *backend.Batch // what the next seal adds to
	writer  backWriter
	log     func(backend.Op) // is told of all changes in their order; nil if nobody wants to know
	told    int              // how many of the batch it was told of
	closing chan struct{}
	scans   []*storeScan // that may not be closed yet
	scratch []byte
	value   []byte
	err     error
}

// flight is a batch that is being written.
type flight struct {
	number uint32
	bytes  int64
}

// mostFlying is how many bytes may be on their way to the byte store when more is sealed, beside what counts as memory in use. It is well above the two
// batches of an eighth each that there are if rows are small: with a quarter of the limit these had to wait for each other now and then.
func (b *backing) mostFlying() int64 { return max(b.limit/2, leastSlack) }

// rowMeta is what the cache knows of a row.
type rowMeta struct {
	sealed uint32 // the seal that has its last change, 0 for a row that was read and not changed
	size   uint32 // of its encoding, when it was read or sealed
	flags  uint8
}

const (
	recent    = 1 << iota // it was used since eviction has passed
	kept                  // the byte store has the key, or is going to have it
	unkept                // nobody but the tables knows of it
	scattered             // something that hangs on it is outlying, or was
)

const (
	// mostDirty is the number of changed rows after which they are written back, whatever room there is. It bounds the time that a seal takes,
	// which is the time a checkpoint stops the subtask for, to some 20 ms, and is large enough that a row in constant use is seldom written.
	mostDirty = 1 << 15
	// leastDirty is the number after which rows are written back that are not known to be small.
	leastDirty = 256
	// mostScratch is how much memory is kept for what is encoded next.
	mostScratch = 4 << 20
	// rowOverhead is what a row takes beside itself and its encoding: entry in the index, meta, mark.
	rowOverhead = 32
)

// Back puts a byte store under the tables, which may take so many bytes of memory, roughly. It is called before anything is restored. The
// byte store belongs to the Store from now on.
func (s *Store[K]) Back(under backend.Store, memory int64) {
	b := &backing{core: &s.core, store: under, limit: memory, meta: make([][]rowMeta, len(s.tables)), now: 1, most: leastDirty, batch: &backend.Batch{}, closing: make(chan struct{})}
	b.writer.store = under
	b.relief = b.limit + b.slack()
	b.encoder.init(s.layout)
	b.alarms.init(b)
	for _, c := range s.layout.columns {
		if r, ok := c.linked.(releaser); ok {
			b.columns = append(b.columns, r)
		}
		if o, ok := c.linked.(outlier); ok {
			b.outliers = append(b.outliers, o)
		}
		b.addValues(c)
	}
	in := restorer[K]{s: s}
	h, err := keyed.ParseHead(s.Head())
	if err == nil {
		err = in.match(h)
	}
	b.fail(err) // a layout fits itself
	b.states = in.stored
	s.layout.readsAsWritten()
	b.decode = func(src []byte, id rowID) error {
		b.loading = true
		row := s.rowsOf(id.group).at(id.id)
		rest, err := in.row(src, id, row)
		b.loading = false
		if err == nil {
			err = b.decodeHeads(rest, id, row)
		}
		return err
	}
	b.resolve = func(group uint32, key []byte) rowID {
		var k K
		if rest, err := s.layout.keyCodec.Decode(key, unsafe.Pointer(&k)); err != nil || len(rest) > 0 {
			b.fail(fmt.Errorf("%w: a key in the byte store", keyed.ErrCorrupt))
		}
		return rowID{group, s.findOrInsert(k, s.hash(&k), group).id}
	}
	b.has = func(key []byte) bool {
		var k K
		if _, err := s.layout.keyCodec.Decode(key[keyPrefix:], unsafe.Pointer(&k)); err != nil {
			b.fail(fmt.Errorf("%w: a key in the byte store", keyed.ErrCorrupt))
			return true
		}
		_, ok := s.find(&s.tables[int(binary.BigEndian.Uint16(key))-s.groups.First], k, uint32(s.hash(&k)))
		return ok
	}
	s.backed, s.watched = b, true
}

// addValues notes a column that may have long values.
func (b *backing) addValues(c *column) {
	var o *valueOutlier
	if c.outliesBy != nil {
		o = c.outliesBy(b, len(b.outlies))
	}
	b.outlies = append(b.outlies, o)
	if o != nil {
		b.values, b.columns, b.outliers = append(b.values, o), append(b.columns, o), append(b.outliers, o)
	}
}

// Err returns the first error that the byte store has met, nil without one. It is to be asked for after Resolve, EndBatch and the like: the tables
// may lack rows from then on.
func (s *Store[K]) Err() error {
	if s.backed == nil {
		return nil
	}
	return s.backed.err
}

func (b *backing) fail(err error) {
	if b.err == nil && err != nil {
		b.err = err
	}
}

// metaOf returns what is known of a row.
func (b *backing) metaOf(r rowID) *rowMeta {
	list := b.meta[r.group]
	if int(r.id) >= len(list) {
		list = append(list, make([]rowMeta, max(int(r.id)+1-len(list), len(list), 16))...)
		b.meta[r.group] = list
	}
	return &list[r.id]
}

// inserted notes a row that is not in the tables yet, and may be in the byte store.
func (b *backing) inserted(r rowID) {
	*b.metaOf(r) = rowMeta{flags: recent | unkept}
	b.held += int64(b.core.shape.size) + rowOverhead
	b.missing = append(b.missing, r)
}

// forgotten notes that a row has gone from the tables.
func (b *backing) forgotten(r rowID) {
	m := b.metaOf(r)
	b.held -= int64(b.core.shape.size) + rowOverhead + int64(m.size)
	*m = rowMeta{}
	b.alarms.forgotten(r)
}

// changed notes that a row is going to be changed, or what hangs on it.
func (b *backing) changed(r rowID) {
	if m := b.metaOf(r); m.sealed != b.now {
		m.sealed = b.now
		b.dirty = append(b.dirty, r)
	}
}

// mayGo reports whether a row without state can be freed because the byte store does not have its key either, nor is going to.
func (b *backing) mayGo(r rowID) bool {
	m := b.metaOf(r)
	return m.flags&unkept != 0 || m.flags&kept == 0 && m.sealed <= b.applied
}

// fetch reads the rows that the batch has found to be missing.
func (b *backing) fetch() {
	if len(b.missing) == 0 {
		return
	}
	b.keys.reset()
	for _, r := range b.missing {
		b.keys.add(b.rowKey(b.keys.room(), r))
	}
	missing := b.missing
	b.missing = nil // decoding a row changes nothing that could be missing, but a bug had better be seen
	order := b.keys.sorted()
	err := b.store.Get(b.keys.inOrder(order), func(i int, value []byte) error { return b.load(missing[order[i]], value) })
	if err != nil {
		b.fail(fmt.Errorf("read %d rows: %w", len(missing), err))
	}
	b.missing = missing[:0]
}

// load takes the value of a row that was inserted.
func (b *backing) load(r rowID, value []byte) error {
	m := b.metaOf(r)
	m.flags, m.size = recent|kept, uint32(len(value))
	b.held += int64(len(value))
	err := b.alarms.load(r, value)
	if size := b.prefix().size(); err == nil && len(value) >= size {
		err = b.decode(value[size:], r)
	} else if err == nil {
		err = fmt.Errorf("%w: a row is cut short", keyed.ErrCorrupt)
	}
	if err != nil {
		return fmt.Errorf("a row of group %d: %w", b.core.groups.First+int(r.group), err)
	}
	m = b.metaOf(r)
	m.sealed = 0 // decoding has counted as a change
	return nil
}

// touch notes that rows are in use.
func (b *backing) touch(refs []Ref) {
	for i := range refs {
		b.metaOf(rowID{refs[i].group, refs[i].id}).flags |= recent
	}
}

// The spaces of keys within a group: what follows the two bytes of the group.
const (
	rowSpace   = 0
	alarmSpace = 1 // and the domain
	placeSpace = 2 // what is outlying, in order: the key of the row, the number of the state (2 bytes), the place (8 bytes)
	entrySpace = 3 // entries of outlying maps: the key of the row, the number of the state (2 bytes), the key of the entry
)

// rowKey appends the key of a row in the byte store.
func (b *backing) rowKey(dst []byte, r rowID) []byte {
	dst = append(binary.BigEndian.AppendUint16(dst, uint16(b.core.groups.First+int(r.group))), rowSpace)
	return b.core.layout.keyCodec.Append(dst, b.core.tables[r.group].rows.at(r.id))
}

const keyPrefix = 3 // bytes before the key

// batchEnded writes back and evicts, if it is time.
func (b *backing) batchEnded() {
	if len(b.dirty)+2*b.entries >= b.most || b.batch.Len() >= mostDirty || b.grown > b.limit/8 || int64(b.batch.Size()) > b.mostFlying() {
		b.seal()
	}
	if b.counted() > b.limit {
		b.shrink()
	}
	b.relief = b.limit + b.slack()
}

// shrink makes room: it evicts rows that were not used lately until an eighth of the limit is free, and writes back as many as it takes.
func (b *backing) shrink() {
	goal := b.limit - b.limit/8
	for round := 0; b.counted() > goal && b.err == nil; round++ {
		b.poll()
		b.evict(goal)
		switch {
		case b.counted() <= goal:
			return
		case len(b.dirty) > 0 && b.held > goal:
			b.seal()
		case b.flying > 0:
			b.waitForBatches()
		case round > 2:
			return // whatever there is, is in use
		}
	}
}

// evict removes rows that are clean and were not used since it was there last, going around once at most.
func (b *backing) evict(goal int64) {
	groups := len(b.core.tables)
	for n := 0; n <= groups && b.held > goal; n++ {
		rows := &b.core.tables[b.hand.group].rows
		for ; b.hand.id < rows.next && b.held > goal; b.hand.id++ {
			if !rows.isLive(b.hand.id) {
				continue
			}
			m := b.metaOf(b.hand)
			if m.flags&scattered != 0 {
				for _, c := range b.outliers {
					c.evict(b.hand, goal)
				}
			}
			if m.flags&recent != 0 {
				m.flags &^= recent
			} else if m.sealed <= b.applied {
				b.core.release(b.hand)
			}
		}
		if b.held > goal {
			b.hand = rowID{(b.hand.group + 1) % uint32(groups), 0}
		}
	}
}

// releaser is a linked table that can give up what hangs on a row.
type releaser interface {
	// release frees the rows that hang on a cell of an owner. The cell itself goes with its row.
	release(owner rowID, row unsafe.Pointer)
}

// release frees a row and what hangs on it.
func (s *core) release(r rowID) {
	t := &s.tables[r.group]
	row := t.rows.at(r.id)
	for _, c := range s.backed.columns {
		c.release(r, row)
	}
	s.free(r)
}

// free frees a row on which nothing hangs.
func (s *core) free(r rowID) {
	t := &s.tables[r.group]
	t.index.remove(uint32(s.hashOf(r)), r.id)
	s.bury(r)
	t.rows.remove(r.id)
	if s.backed != nil {
		s.backed.forgotten(r)
	}
}

func (m *MapColumn[K, V]) release(owner rowID, row unsafe.Pointer) {
	g, cell := &m.groups[owner.group], (*mapCell)(unsafe.Add(row, m.off))
	if cell.isOutlying() {
		m.drain(g, cell, owner)
		return
	}
	id := cell.head - 1
	for range cell.len() {
		next := linksAt(g.rows.at(id)).next
		m.remove(g, cell, id)
		id = next
	}
}

func (t *TimersColumn) release(owner rowID, row unsafe.Pointer) { t.deadlines.release(owner, row) }

func (l *ListColumn[T]) release(owner rowID, row unsafe.Pointer) {
	if o := l.outlyingAt(owner); o != nil {
		l.backing().held -= o.weight
		delete(l.outlying, owner)
	}
	r := &l.group[owner.group]
	for chunk := (*listCell)(unsafe.Add(row, l.off)).head; chunk != 0; {
		next := *nextOf(r.at(chunk - 1))
		r.remove(chunk - 1)
		chunk = next
	}
}

// seal hands all changes to the writer.
func (b *backing) seal() {
	b.ready()
	b.encode()
	b.handOver()
}

// ready waits until another batch may be handed over.
func (b *backing) ready() {
	if b.poll(); b.writer.isFull() {
		b.wait()
	}
	if b.flying > b.mostFlying() {
		b.waitForBatches()
	}
}

// encode adds all rows that have changed to the batch.
func (b *backing) encode() {
	now := b.core.times.now
	for _, r := range b.dirty {
		if rows := &b.core.tables[r.group].rows; rows.isLive(r.id) && b.metaOf(r).sealed == b.now {
			b.sealRow(r, now)
		}
	}
	b.dirty, b.entries, b.grown = b.dirty[:0], 0, 0
	b.tell()
}

// handOver hands the batch to the writer, which is not full.
func (b *backing) handOver() {
	size := b.batch.Size()
	if n := b.batch.Len() - b.pieces.count; n > 0 { // an eighth of the memory is for rows that are being written back
		b.most = min(max(int(b.limit/8)/((size-b.pieces.bytes)/n+1), leastDirty), mostDirty)
	}
	b.flights, b.flying = append(b.flights, flight{b.now, int64(size)}), b.flying+int64(size)
	b.pieces.count, b.pieces.bytes = 0, 0
	if cap(b.value) > mostScratch {
		b.value = nil
	}
	b.batch = b.writer.start(b.batch, b.now, size <= int(b.mostFlying()))
	b.now, b.told = b.now+1, 0
}

// sealRow adds a row to the batch.
func (b *backing) sealRow(r rowID, now [keyed.ProcessingTime + 1]int64) {
	m := b.metaOf(r)
	value, living := b.encoder.encode(b.core, r, now)
	key := b.rowKey(b.keys.scratch[:0], r)
	b.keys.scratch = key
	b.alarms.seal(r, key, living, value)
	switch {
	case living:
		b.batch.Put(key, value)
		if m.flags&scattered != 0 {
			for _, c := range b.outliers {
				c.seal(r)
			}
		}
		b.held += int64(len(value)) - int64(m.size)
		m.size, m.flags = uint32(len(value)), m.flags&^unkept|kept
	default:
		if m.flags&kept != 0 {
			b.batch.Delete(key)
		}
		if m.flags&scattered != 0 {
			for _, c := range b.outliers {
				c.wipe(r)
			}
		}
		b.held -= int64(m.size)
		m.size, m.flags = 0, m.flags&^(kept|unkept)
	}
}

// poll notes what the writer has done, and wait waits for it.
func (b *backing) poll() { b.collect(b.writer.done()) }

func (b *backing) wait() { b.collect(b.writer.wait()) }

// waitForBatches waits until what was sealed is in the byte store, but for no snapshot that is taken of that.
func (b *backing) waitForBatches() { b.collect(b.writer.waitForBatches()) }

func (b *backing) collect(applied uint32, err error) {
	b.applied = max(b.applied, applied)
	for len(b.flights) > 0 && b.flights[0].number <= b.applied {
		b.flying -= b.flights[0].bytes
		b.flights = slices.Delete(b.flights, 0, 1)
	}
	if err != nil {
		b.fail(fmt.Errorf("write rows back: %w", err))
	}
}

// len returns the number of rows in the byte store, once all are written back.
func (b *backing) len() (n int) {
	b.seal()
	b.wait()
	it, err := b.store.Scan(backend.Groups{First: b.core.groups.First, Last: b.core.groups.Last}.Keys())
	if err != nil {
		b.fail(err)
		return 0
	}
	for it.Next() {
		if it.Key()[2] == rowSpace {
			n++
		}
	}
	b.fail(errors.Join(it.Err(), it.Close()))
	return n
}

// close ends the writer and gives the byte store up.
func (b *backing) close() error {
	close(b.closing)
	b.writer.end()
	for _, scan := range b.scans {
		scan.close()
	}
	return b.store.Close()
}

// rowEncoder encodes rows as they are: the states behind the key, as in docs/formats/keyed.md.
type rowEncoder struct {
	w      writer
	c      Capture
	tables []frozen
	images []rowsImage
	long   bytes.Buffer // the beginning of a row that is too long for the writer's buffer
}

func (e *rowEncoder) init(l *Layout) {
	e.c = Capture{layout: l}
	e.w = writer{c: &e.c, out: &e.long, full: writeBytes}
	n := 0
	for _, c := range l.columns {
		if c.linked != nil {
			n++
		}
	}
	e.tables, e.images = make([]frozen, n), make([]rowsImage, n)
	e.w.apart = make([][]byte, len(l.columns))
}

// encode returns the room for alarms and the states of a row, valid until the next call. living is false if none is left.
func (e *rowEncoder) encode(s *core, r rowID, now [keyed.ProcessingTime + 1]int64) (value []byte, living bool) {
	l, row := s.layout, s.tables[r.group].rows.at(r.id)
	e.c.now, e.w.owner = now, r
	n := 0
	for _, c := range l.columns {
		if c.linked != nil {
			rows := c.linked.rowsOf(r.group)
			e.images[n] = rowsImage{rows.sh, rows.slabs, rows.next, rows.count}
			e.tables[n] = e.w.freeze(&e.images[n])
			n++
		}
	}
	e.w.buf = e.w.buf[:0]
	if e.long.Reset(); e.long.Cap() > mostScratch {
		e.long = bytes.Buffer{}
	}
	prefix := s.backed.prefix()
	room := prefix.size()
	if l.stamped {
		living = e.w.isLiving(row, e.tables)
	} else {
		living = !l.isZero(row)
	}
	if !living {
		return make([]byte, room), false
	}
	key := len(l.keyCodec.Append(e.w.buf, row))
	hanging := func(i int, c *column, cell unsafe.Pointer) error {
		defer e.tables[i].leave()
		if of, ok := c.linked.(outlier); ok {
			return e.outlier(s, of, c, cell, &e.tables[i])
		}
		return c.linked.encode(&e.w, cell, &e.tables[i])
	}
	e.settle(s.backed.values, r)
	if err := e.w.row(row, hanging); err != nil {
		panic(err) // nothing is written that could fail
	}
	e.w.buf = e.heads(e.w.buf, s.backed.values, r)
	all := e.w.buf
	if e.long.Len() > 0 {
		e.long.Write(e.w.buf)
		all = e.long.Bytes()
	}
	// The key is followed by the states; the room for alarms is made where the key's last bytes were, if it is long enough.
	if key >= room {
		value = all[key-room:]
	} else {
		value = slices.Insert(all, key, make([]byte, room-key)...)
	}
	if prefix.lives {
		s.livesOf(r).put(value[prefix.alarms:])
	}
	return value, true
}

// outlier encodes what hangs on a cell of a row, or makes it outlying if that is too long.
func (e *rowEncoder) outlier(s *core, of outlier, c *column, cell unsafe.Pointer, f *frozen) error {
	from := e.long.Len() + len(e.w.buf)
	if err := c.linked.encode(&e.w, cell, f); err != nil {
		return err
	}
	if e.long.Len()+len(e.w.buf)-from <= outlyingFrom || !of.spread(e.w.owner) {
		return nil
	}
	s.backed.metaOf(e.w.owner).flags |= scattered
	if kept := e.long.Len(); from < kept {
		e.long.Truncate(from)
		e.w.buf = e.w.buf[:0]
	} else {
		e.w.buf = e.w.buf[:from-kept]
	}
	return c.linked.encode(&e.w, cell, f)
}

// keyList is a list of keys in one piece of memory.
type keyList struct {
	data    []byte
	ends    []int
	list    [][]byte
	order   []int
	scratch []byte
}

func (k *keyList) reset() { k.data, k.ends = k.data[:0], k.ends[:0] }

// room returns what a key is to be appended to.
func (k *keyList) room() []byte { return k.data }

func (k *keyList) add(data []byte) { k.data, k.ends = data, append(k.ends, len(data)) }

// sorted returns the numbers of the keys in the order of the keys.
func (k *keyList) sorted() []int {
	k.list, k.order = k.list[:0], k.order[:0]
	from := 0
	for i, end := range k.ends {
		k.list = append(k.list, k.data[from:end:end])
		k.order = append(k.order, i)
		from = end
	}
	slices.SortFunc(k.order, func(a, b int) int { return bytes.Compare(k.list[a], k.list[b]) })
	return k.order
}

// inOrder returns the keys in an order.
func (k *keyList) inOrder(order []int) [][]byte {
	all := make([][]byte, len(order))
	for i, n := range order {
		all[i] = k.list[n]
	}
	return all
}
