package codec

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"unsafe"
)

// mapPlan encodes a map as its length and its entries, ascending by the bytes of their keys.
type mapPlan struct {
	typ       reflect.Type
	key, elem *plan
	scratch   sync.Pool // *mapScratch
}

// mapScratch is what walking, sorting and filling a map of one type need, so that it allocates nothing once warm.
type mapScratch struct {
	iter      reflect.MapIter
	key, elem reflect.Value // settable
	entries   []mapEntry
	sorted    []byte
}

// mapEntry is where an encoded entry lies.
type mapEntry struct{ start, keyEnd, end int }

// maxScratch is the size in bytes above which scratch memory is left to the garbage collector.
const maxScratch = 64 << 10

func newMapPlan(t reflect.Type, key, elem *plan) *mapPlan {
	m := &mapPlan{typ: t, key: key, elem: elem}
	m.scratch.New = func() any {
		return &mapScratch{key: reflect.New(t.Key()).Elem(), elem: reflect.New(t.Elem()).Elem()}
	}
	return m
}

// release returns scratch that refers to nothing of the caller.
func (m *mapPlan) release(s *mapScratch) {
	s.iter.Reset(reflect.Value{})
	s.clear()
	s.entries, s.sorted = s.entries[:0], s.sorted[:0]
	if cap(s.sorted) <= maxScratch && cap(s.entries)*int(unsafe.Sizeof(mapEntry{})) <= maxScratch {
		m.scratch.Put(s)
	}
}

func (s *mapScratch) clear() {
	s.key.SetZero()
	s.elem.SetZero()
}

func (m *mapPlan) append(dst []byte, v unsafe.Pointer, depth int) []byte {
	value := reflect.NewAt(m.typ, v).Elem()
	dst = appendLen(dst, value.Len(), value.IsNil())
	if value.Len() == 0 {
		return dst
	}
	s := m.scratch.Get().(*mapScratch)
	first := len(dst)
	s.iter.Reset(value)
	for s.iter.Next() {
		s.key.SetIterKey(&s.iter)
		s.elem.SetIterValue(&s.iter)
		e := mapEntry{start: len(dst)}
		dst = m.key.append(dst, s.key.Addr().UnsafePointer(), depth)
		e.keyEnd = len(dst)
		dst = m.elem.append(dst, s.elem.Addr().UnsafePointer(), depth)
		e.end = len(dst)
		s.entries = append(s.entries, e)
	}
	s.sort(dst, first)
	m.release(s)
	return dst
}

// sort puts the entries, which fill dst from first on, into order.
func (s *mapScratch) sort(dst []byte, first int) {
	byKey := func(a, b mapEntry) int { return bytes.Compare(dst[a.start:a.keyEnd], dst[b.start:b.keyEnd]) }
	if slices.IsSortedFunc(s.entries, byKey) {
		return
	}
	slices.SortFunc(s.entries, byKey)
	for _, e := range s.entries {
		s.sorted = append(s.sorted, dst[e.start:e.end]...)
	}
	copy(dst[first:], s.sorted)
}

func (m *mapPlan) decode(src []byte, v unsafe.Pointer, depth int) ([]byte, error) {
	least := m.key.least + m.elem.least
	n, isNil, src, err := decodeLen(src, least)
	if err != nil {
		return nil, err
	}
	value := reflect.NewAt(m.typ, v).Elem()
	if isNil {
		value.SetZero()
		return src, nil
	}
	if m.key.fixed == 0 && n > 1 {
		return nil, corrupt("its %d keys are all equal", n)
	}
	into := reflect.MakeMapWithSize(m.typ, n)
	s := m.scratch.Get().(*mapScratch)
	defer m.release(s)
	var key []byte
	for i := range n {
		own := src[:len(src)-least*(n-1-i)] // as in decodeN
		var left []byte
		if key, left, err = m.decodeEntry(own, s, i, key, depth); err != nil {
			return nil, err
		}
		src = src[len(own)-len(left):]
		into.SetMapIndex(s.key, s.elem)
		s.clear()
	}
	value.Set(into)
	return src, nil
}

// decodeEntry reads entry i into the scratch and returns the bytes of its key, which must be greater than those of the last one.
func (m *mapPlan) decodeEntry(src []byte, s *mapScratch, i int, last []byte, depth int) (key, rest []byte, err error) {
	rest, err = m.key.decode(src, s.key.Addr().UnsafePointer(), depth)
	if err != nil {
		return nil, nil, within(fmt.Sprintf("[key %d]", i), err)
	}
	key = src[:len(src)-len(rest)]
	if i > 0 && bytes.Compare(last, key) >= 0 {
		return nil, nil, within(fmt.Sprintf("[key %d]", i), corrupt("it is not greater than the one before"))
	}
	rest, err = m.elem.decode(rest, s.elem.Addr().UnsafePointer(), depth)
	if err != nil {
		return nil, nil, within(fmt.Sprintf("[%d]", i), err)
	}
	return key, rest, nil
}
