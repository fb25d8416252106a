package heap

import (
	"fmt"
	"math"
	"reflect"
	"strings"
	"time"
	"unsafe"

	"github.com/weirstream/weir/internal/backend/keyed"
)

// answer is what a query of one state of one key has found.
type answer struct {
	found bool
	ends  int64 // when it expires, in milliseconds since 1970; the largest int64 if it does not, or as a whole does not
}

var nothing = answer{ends: math.MaxInt64}

// Query reads a state of a key without changing anything, between batches. into receives it: a *T for a value, a *map[K]V for a whole map and
// an *Entry[K, V] with a key for one of its entries, which is Gone if it is not there, a *[]T for a list, a *time.Time for a timer and a
// *[]time.Time for timers. found is false if the key has nothing but what a key begins with; that is in into then. ends is when what was found
// expires, in milliseconds since 1970, and the largest int64 if it does not or if its parts do so one by one. The error says that there is no
// such state, or that it is of another type.
func (s *Store[K]) Query(key K, hash uint64, state string, into any) (found bool, ends int64, err error) {
	c := s.layout.column(state)
	if c == nil {
		return false, 0, fmt.Errorf("there is no state %q: %s", state, s.layout.listed())
	}
	group := groupOf(hash, s.maxParallelism, s.first)
	if int(group) >= len(s.tables) {
		return false, 0, fmt.Errorf("key %v does not belong to this subtask", key)
	}
	var row unsafe.Pointer
	t := &s.tables[group]
	id, ok := s.find(t, key, uint32(hash))
	if !ok && s.backed != nil {
		refs := make([]Ref, 1)
		s.Resolve([]K{key}, []uint64{hash}, refs)
		defer s.EndBatch()
		if err := s.Err(); err != nil {
			return false, 0, err
		}
		id, ok = refs[0].id, true
	}
	if ok {
		row = t.rows.at(id)
	}
	a, ok := c.query(row, rowID{group, id}, into)
	if !ok {
		return false, 0, fmt.Errorf("state %q is %s, and not to be had as %s", state, c.described(), asked(into))
	}
	if err := s.Err(); err != nil {
		return false, 0, err
	}
	return a.found, a.ends, nil
}

// asked describes what into is for.
func asked(into any) string {
	if e, ok := into.(interface{ ofMap() reflect.Type }); ok {
		return fmt.Sprintf("an entry of a %v", e.ofMap())
	}
	return reflect.TypeOf(into).Elem().String()
}

func (*Entry[K, V]) ofMap() reflect.Type { return reflect.TypeFor[map[K]V]() }

// listed names the states.
func (l *Layout) listed() string {
	if len(l.columns) == 0 {
		return "the step has none"
	}
	var all []string
	for _, c := range l.columns {
		all = append(all, fmt.Sprintf("%s (%s)", c.name, c.described()))
	}
	return "there are " + strings.Join(all, ", ")
}

// described returns kind and Go types of a state.
func (c *column) described() string {
	switch c.kind {
	case keyed.KindMap:
		return fmt.Sprintf("a map[%v]%v", c.user.Type(), c.codec.Type())
	case keyed.KindList:
		return fmt.Sprintf("a list of %v", c.codec.Type())
	case keyed.KindTimer:
		return "a timer"
	case keyed.KindTimers:
		return "timers"
	}
	return fmt.Sprintf("a value of type %v", c.codec.Type())
}

// ends returns when what has a stamp is over.
func (e *expiry) ends(stamp int64) int64 {
	if at, ok := e.endOf(stamp); ok {
		return at
	}
	return math.MaxInt64
}

func (v *ValueColumn[T]) query(row unsafe.Pointer, id rowID, into any) (answer, bool) {
	to, ok := into.(*T)
	if !ok {
		return nothing, false
	}
	*to = v.begin
	if row == nil {
		return nothing, true
	}
	cell, a := unsafe.Add(row, v.off), nothing
	if v.ttl != nil {
		stamp := *stampAt(unsafe.Add(cell, -stampBytes))
		if stamp == none || v.ttl.expired(stamp) {
			return nothing, true
		}
		a.ends = v.ttl.ends(stamp)
	}
	if v.outlier != nil && !v.outlier.use(id, cell) {
		return nothing, true // the store has failed, and says so
	}
	*to = v.read(cell)
	a.found = v.ttl != nil || !v.isBegin(cell)
	return a, true
}

// isBegin reports whether a value that does not expire is what a key begins with.
func (v *ValueColumn[T]) isBegin(cell unsafe.Pointer) bool {
	if v.enc != nil {
		return *(*string)(cell) == ""
	}
	return any(*(*T)(cell)) == any(v.begin)
}

func (m *MapColumn[K, V]) query(row unsafe.Pointer, id rowID, into any) (answer, bool) {
	cell := &mapCell{}
	if row != nil {
		cell = (*mapCell)(unsafe.Add(row, m.off))
	}
	switch into := into.(type) {
	case *map[K]V:
		*into = nil
		for k, v := range m.all(cell, id) {
			if *into == nil {
				*into = map[K]V{}
			}
			(*into)[k] = v
		}
		return answer{len(*into) > 0, math.MaxInt64}, true
	case *Entry[K, V]:
		into.Gone = true
		g := &m.groups[id.group]
		entry, ok := m.find(g, cell, id.id, into.Key)
		if !ok {
			return nothing, true
		}
		e, ends := g.rows.at(entry), int64(math.MaxInt64)
		if m.ttl != nil {
			if m.ttl.expired(*m.stampOf(e)) {
				return nothing, true
			}
			ends = m.ttl.ends(*m.stampOf(e))
		}
		into.Gone, into.Value = false, load[V](&m.val, m.valAt(e))
		return answer{true, ends}, true
	}
	return nothing, false
}

// entries returns the rows of a map's entries that have not expired.
func (m *MapColumn[K, V]) entries(cell *mapCell, group uint32) func(yield func(unsafe.Pointer) bool) {
	return func(yield func(unsafe.Pointer) bool) {
		id := cell.head - 1
		for range cell.len() {
			row := m.groups[group].rows.at(id)
			if (m.ttl == nil || !m.ttl.expired(*m.stampOf(row))) && !yield(row) {
				return
			}
			id = linksAt(row).next
		}
	}
}

func (l *ListColumn[T]) query(row unsafe.Pointer, id rowID, into any) (answer, bool) {
	to, ok := into.(*[]T)
	if !ok {
		return nothing, false
	}
	*to = nil
	if row == nil {
		return nothing, true
	}
	if o := l.outlyingAt(id); o != nil {
		l.visit(id, o.next, func(_ uint64, stamp int64, value func() T) bool {
			if l.ttl == nil || !l.ttl.expired(stamp) {
				*to = append(*to, value())
			}
			return true
		})
		return answer{len(*to) > 0, math.MaxInt64}, true
	}
	for e := range l.each(&l.group[id.group], unsafe.Add(row, l.off)) {
		if l.ttl == nil || !l.ttl.expired(*stampAt(e)) {
			*to = append(*to, load[T](&l.elem, unsafe.Add(e, l.inner)))
		}
	}
	return answer{len(*to) > 0, math.MaxInt64}, true
}

func (t *TimerColumn) query(row unsafe.Pointer, _ rowID, into any) (answer, bool) {
	to, ok := into.(*time.Time)
	if !ok {
		return nothing, false
	}
	*to = time.Time{}
	if row == nil || (*timerCell)(unsafe.Add(row, t.off)).deadline == none {
		return nothing, true
	}
	*to = time.UnixMilli(loaded((*timerCell)(unsafe.Add(row, t.off)).deadline)).UTC()
	return answer{true, math.MaxInt64}, true
}

func (t *TimersColumn) query(row unsafe.Pointer, id rowID, into any) (answer, bool) {
	to, ok := into.(*[]time.Time)
	if !ok {
		return nothing, false
	}
	*to = nil
	if row == nil {
		return nothing, true
	}
	cell := *(*mapCell)(unsafe.Add(row, t.deadlines.off))
	for deadline := range t.deadlines.all(&cell, id) {
		*to = append(*to, time.UnixMilli(loaded(deadline)).UTC())
	}
	return answer{len(*to) > 0, math.MaxInt64}, true
}
