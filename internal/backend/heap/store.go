package heap

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"reflect"
	"unsafe"

	"github.com/weirstream/weir/internal/backend/keyed"
	"github.com/weirstream/weir/internal/keygroup"
)

// core is what does not depend on the type of the key.
//
// What runs for every record and does not need the key's type is written here and not in Store: the code of a generic type is compiled
// in the user's package, where calls of plain functions of this package are not inlined.
type core struct {
	layout *Layout
	groups keygroup.Range
	first  uint32 // key group of tables[0]
	tables []table
	// maxParallelism is the number of all key groups.
	maxParallelism uint64
	touched        uint64 // keeps loads from being optimised away
	arena          *arena
	clock          clock
	cur            Cursor
	shape          *shape
	markMask       uint32 // of shape.marks
	rowsOf         func(group uint32) *rows
	hashOf         func(rowID) uint64
	doubtful       []rowID // rows that may have no state left
	buried         int     // bytes of all graves
	foreign        bool    // a stream was restored whose states are not the layout's
	scratch        []byte
	timers         [keyed.ProcessingTime + 1]*timerQueue // by domain; nil if there are none
	times          times
	sweep          sweep
	backed         *backing // nil if the tables are all there is
	meter          *meter   // nil if nothing is measured
	watched        bool     // the first change of each row in an epoch, or in a batch over a byte store, must be known
}

// Store holds the state of one operator for the key groups of one subtask.
type Store[K comparable] struct {
	core
	hash func(*K) uint64
}

// table holds the rows of one key group.
type table struct {
	index index
	rows  rows
	gone  graves // keys that had a row
}

// NewStore makes a store for the key groups of a subtask and attaches the handles of the layout, which it takes over. hash must be the
// function by which records were sent to this subtask: it places restored keys.
func NewStore[K comparable](l *Layout, groups keygroup.Range, maxParallelism int, hash func(*K) uint64) (*Store[K], error) {
	switch {
	case l.key != reflect.TypeFor[K]():
		return nil, fmt.Errorf("key type %v: the layout is for %v", reflect.TypeFor[K](), l.key)
	case l.done:
		return nil, fmt.Errorf("the layout has a store already")
	case groups.First < 0 || groups.Last >= maxParallelism:
		return nil, fmt.Errorf("key groups %v do not lie in 0..%d", groups, maxParallelism-1)
	}
	l.finish()
	s := &Store[K]{
		core: core{
			layout:         l,
			groups:         groups,
			first:          uint32(groups.First),
			tables:         make([]table, groups.Len()),
			maxParallelism: uint64(maxParallelism),
			arena:          newArena(),
			clock:          clock{now: 1, tracks: l.tracked},
			watched:        l.tracked,
			times:          newTimes(),
		},
		hash: hash,
	}
	s.shape = newShape(l.row, l.pointerFree, s.arena, &s.clock)
	s.markMask = s.shape.marks.mask
	for i := range s.tables {
		s.tables[i] = table{index: newIndex(s.arena), rows: rows{sh: s.shape}}
	}
	s.rowsOf = func(group uint32) *rows { return &s.tables[group].rows }
	s.hashOf = func(r rowID) uint64 { return hash((*K)(s.tables[r.group].rows.at(r.id))) }
	s.attach()
	return s, nil
}

func (s *core) attach() {
	s.cur = Cursor{Shared: true, core: s}
	for _, c := range s.layout.columns {
		if c.entries != nil {
			c.linked = c.entries(s, c)
			if e, ok := c.linked.(expiringEntries); ok && c.ttl != nil {
				s.sweep.tables = append(s.sweep.tables, e)
			}
		}
		if c.ttl != nil {
			c.ttl.times = &s.times
		}
		if c.kind == keyed.KindTimer || c.kind == keyed.KindTimers {
			if s.timers[c.domain] == nil {
				s.timers[c.domain] = newTimerQueue(s)
			}
			s.timers[c.domain].place(c)
		}
		c.attach(s)
	}
}

// resolveAtOnce is the number of keys that are looked up together: enough for their cache misses to overlap, and few, because a key that
// is new is looked up a second time wherever it comes again among them.
const resolveAtOnce = 64

// Resolve finds the rows of a batch's keys, and makes those that are not there. hashes holds the keys' hashes, refs receives the rows; all
// are of one length. It takes passes, over the index and then over the rows, so that the cache misses of different keys overlap. Over a byte
// store Err tells whether it has succeeded.
func (s *Store[K]) Resolve(keys []K, hashes []uint64, refs []Ref) {
	all, began := refs, s.meter.begins()
	for len(keys) > 0 {
		n := min(len(keys), resolveAtOnce)
		s.candidates(hashes[:n], refs[:n])
		for j := range keys[:n] {
			if r := &refs[j]; r.row == nil || *(*K)(r.row) != keys[j] {
				*r = s.findOrInsert(keys[j], hashes[j], r.group)
			}
		}
		keys, hashes, refs = keys[n:], hashes[n:], refs[n:]
	}
	if s.backed != nil {
		s.backed.touch(all)
		s.backed.fetch()
	}
	s.meter.resolved(all, began)
}

// candidates finds for each hash the first row in the index that may be meant; the row is nil if there is none.
//
// Its first pass only loads where the entries should be, and its second one loads the rows before their keys are compared: what a branch
// depends on is then in the cache. Otherwise each miss of a key that the processor guessed wrong about, such as a new one, would be
// waited for by itself.
func (s *core) candidates(hashes []uint64, refs []Ref) {
	tables, size, shift, sum := s.tables, s.shape.size, s.shape.shift&31, uint64(0)
	markShift := s.shape.marks.shift & 31
	groups, first := s.maxParallelism, s.first
	refs = refs[:len(hashes)]
	for j, h := range hashes {
		g := groupOf(h, groups, first)
		x := &tables[g].index
		refs[j].group = g
		sum += x.slots[uint32(h)>>x.shift]
	}
	for j, h := range hashes {
		r := &refs[j]
		t := &tables[r.group]
		id := t.index.candidate(uint32(h))
		if id == 0 {
			r.row = nil
			continue
		}
		id--
		sl := &t.rows.slabs[bits.Len32(id>>shift)] // as in rows.place
		inSlab := id - sl.first
		r.id, r.row = id, unsafe.Add(sl.base, uintptr(inSlab)*size)
		r.mark = (*uint64)(unsafe.Add(sl.marks, uintptr(inSlab>>markShift)*markBytes))
		sum += uint64(*(*byte)(r.row)) + *r.mark
	}
	s.touched = sum
}

// groupOf returns the table of a hash. The rule is keygroup.Of's.
func groupOf(hash, maxParallelism uint64, first uint32) uint32 {
	return uint32((hash>>32)*maxParallelism>>32) - first
}

func (s *Store[K]) findOrInsert(key K, hash uint64, group uint32) Ref {
	if id, ok := s.find(&s.tables[group], key, uint32(hash)); ok {
		return s.refOf(group, id)
	}
	r := s.insert(group, uint32(hash))
	*(*K)(r.row) = key
	cloneStrings(r.row, s.layout.keyStrings)
	return r
}

// insert enters a zero row, whose key is the caller's to set.
func (s *core) insert(group, tag uint32) Ref {
	t := &s.tables[group]
	id := t.rows.insert()
	t.index.add(tag, id)
	s.layout.beginRow(t.rows.at(id))
	s.doubtful = append(s.doubtful, rowID{group, id})
	if s.backed != nil {
		s.backed.inserted(rowID{group, id})
	}
	return s.refOf(group, id)
}

func (s *core) refOf(group, id uint32) Ref {
	rows := &s.tables[group].rows
	sl, _ := rows.place(id)
	return Ref{rows.at(id), rows.sh.markOf(sl, id), id, group}
}

func (s *Store[K]) find(t *table, key K, tag uint32) (id uint32, ok bool) {
	for i := int(tag >> t.index.shift); t.index.slots[i] != 0; i++ {
		e := t.index.slots[i]
		if uint32(e>>32) == tag && *(*K)(t.rows.at(uint32(e) - 1)) == key {
			return uint32(e) - 1, true
		}
	}
	return 0, false
}

// Seek points all handles at a row.
func (s *Store[K]) Seek(r Ref) {
	s.cur.Row, s.cur.ref = r.row, r
	s.cur.Shared = uint32(*r.mark>>32) != s.clock.now || *r.mark>>(r.id&s.markMask)&1 == 0 || s.backed != nil
}

// Leave points the handles nowhere: using one panics until the next Seek.
func (s *Store[K]) Leave() {
	s.cur.Row, s.cur.Shared, s.cur.ref = nil, true, Ref{}
}

// EndBatch frees the rows without state among those that the batch has found for the first time, cleared or fired. All Refs become invalid.
func (s *Store[K]) EndBatch() {
	s.Leave()
	for _, r := range s.doubtful {
		t := &s.tables[r.group]
		if !t.rows.isLive(r.id) || !s.layout.isZero(t.rows.at(r.id)) {
			continue
		}
		if s.backed != nil && !s.backed.mayGo(r) {
			s.backed.changed(r) // it goes once the byte store has removed it
			continue
		}
		s.free(r)
	}
	s.doubtful = s.doubtful[:0]
	switch {
	case s.meter != nil:
		s.meter.batchEnded()
	case s.backed != nil:
		s.backed.batchEnded()
	}
}

// isZero reports whether a row holds no state.
func (l *Layout) isZero(row unsafe.Pointer) bool {
	for _, z := range l.zeroes {
		if !zeroBytes(unsafe.Add(row, z.off), z.size) {
			return false
		}
	}
	for _, c := range l.begins {
		if !c.isBegin(unsafe.Add(row, c.off)) {
			return false
		}
	}
	return true
}

// beginRow makes a zero row one that holds no state.
func (l *Layout) beginRow(row unsafe.Pointer) {
	for _, c := range l.begins {
		c.begin(unsafe.Add(row, c.off))
	}
}

func zeroBytes(p unsafe.Pointer, n uintptr) bool {
	b := unsafe.Slice((*byte)(p), n)
	for len(b) >= 8 {
		if binary.NativeEndian.Uint64(b) != 0 {
			return false
		}
		b = b[8:]
	}
	for _, x := range b {
		if x != 0 {
			return false
		}
	}
	return true
}

// Len returns the number of keys that have a row. Over a byte store all of it is read.
func (s *Store[K]) Len() int {
	if s.backed != nil {
		return s.backed.len()
	}
	n := 0
	for i := range s.tables {
		n += s.tables[i].rows.count
	}
	return n
}

// Close frees the memory outside the Go heap, or leaves that to the last capture that still reads it. Neither the store nor its handles
// may be used afterwards. It is idempotent.
func (s *Store[K]) Close() {
	if s.tables == nil {
		return
	}
	s.Leave()
	s.tables = nil
	s.arena.drop()
	if s.backed != nil {
		s.backed.close()
	}
}
