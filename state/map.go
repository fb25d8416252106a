package state

import (
	"iter"

	"github.com/weirstream/weir/internal/backend/heap"
)

// Map holds a map from K to V for each key of the stream. Each entry is read and written on its own, so that a large map costs no more than
// a small one.
//
// K can be made of numbers, strings and bools; V is anything that package codec can encode, and is kept encoded if it holds slices, maps or
// pointers.
//
// Over a state backend that keeps state elsewhere than in memory, a small map is read and written with all other state of its key, and a large one
// entry by entry, so that it may be larger than memory. Then an entry that was not used lately is read when it is asked for.
//
// With a [TTL] each entry expires by itself, and Len looks at all of them.
type Map[K comparable, V any] struct {
	column *heap.MapColumn[K, V]
	ttl    TTL
}

// Get returns the value under k; ok is false, and the value zero, if there is none.
func (m *Map[K, V]) Get(k K) (v V, ok bool) { return m.column.Get(k) }

// Put sets the value under k.
func (m *Map[K, V]) Put(k K, v V) { m.column.Put(k, v) }

// PutAll sets the value under each key of entries, in their order: those of a Go map by maps.All.
func (m *Map[K, V]) PutAll(entries iter.Seq2[K, V]) {
	for k, v := range entries {
		m.column.Put(k, v)
	}
}

// Delete removes k, if it is there.
func (m *Map[K, V]) Delete(k K) { m.column.Delete(k) }

// Has reports whether there is a value under k.
func (m *Map[K, V]) Has(k K) bool { return m.column.Has(k) }

// All returns all entries in the order in which their keys were put first, which a restore keeps. The map may be changed during the loop: an
// entry that is deleted before its turn is left out, and one that is added is not among them.
func (m *Map[K, V]) All() iter.Seq2[K, V] { return m.column.Each }

// Keys returns the keys of All.
func (m *Map[K, V]) Keys() iter.Seq[K] {
	return func(yield func(K) bool) { m.column.Each(func(k K, _ V) bool { return yield(k) }) }
}

// Values returns the values of All.
func (m *Map[K, V]) Values() iter.Seq[V] {
	return func(yield func(V) bool) { m.column.Each(func(_ K, v V) bool { return yield(v) }) }
}

// Len returns the number of entries.
func (m *Map[K, V]) Len() int { return m.column.Len() }

// Clear removes all entries.
func (m *Map[K, V]) Clear() { m.column.Clear() }

// Expire is as [Value.Expire].
func (m *Map[K, V]) Expire(ttl TTL) { m.ttl = ttl }

// DeclareState is for the runtime.
func (m *Map[K, V]) DeclareState(d *heap.Declaration) { m.column = heap.DeclareMap[K, V](d, &m.ttl) }
