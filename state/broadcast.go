package state

import (
	"iter"
	"slices"

	"github.com/weirstream/weir/internal/backend/heap"
)

// Broadcast holds a map from K to V of which every subtask has a copy, on a plain stream or beside the state of keys: rules, rates, a small
// table that all records are held against. The copies are the processor's to keep equal: what changes the map must reach all subtasks, in
// the same order, as the records of a stream do behind weir.Broadcast. A step that reads rules and records takes both as one type, from
// weir.Union(weir.Broadcast(rules), weir.Rebalance(records)).
//
// Each subtask's copy is in the checkpoint. At the same parallelism a subtask is restored with its own; at another, subtask i begins with
// the copy of subtask i modulo the number of copies.
//
// Each copy lies in memory, and a checkpoint encodes it while the subtask waits: it is meant for thousands of entries, not for millions. A
// value that holds slices, maps or pointers is the one that was put, not a copy.
//
// The handle may be used in all methods of the processor. K can be made of numbers, strings and bools; V is anything that package codec can
// encode.
type Broadcast[K comparable, V any] struct {
	entries []heap.Entry[K, V] // in the order in which they were put
	at      map[K]int          // where in entries each key is
	loops   int                // over entries, under way
}

// Get returns the value under k; ok is false, and the value zero, if there is none.
func (b *Broadcast[K, V]) Get(k K) (v V, ok bool) {
	i, ok := b.at[k]
	if ok {
		v = b.entries[i].Value
	}
	return v, ok
}

// Put sets the value under k.
func (b *Broadcast[K, V]) Put(k K, v V) {
	if i, ok := b.at[k]; ok {
		b.entries[i].Value = v
		return
	}
	if b.at == nil {
		b.at = map[K]int{}
	}
	b.at[k] = len(b.entries)
	b.entries = append(b.entries, heap.Entry[K, V]{Key: k, Value: v})
}

// Delete removes k, if it is there.
func (b *Broadcast[K, V]) Delete(k K) {
	if i, ok := b.at[k]; ok {
		delete(b.at, k)
		b.entries[i] = heap.Entry[K, V]{Gone: true}
		if len(b.entries) > 2*len(b.at)+fewGone {
			b.drop()
		}
	}
}

// fewGone is the number of deleted entries that are never worth dropping.
const fewGone = 16

// drop gives up the room of deleted entries, unless a loop stands on one.
func (b *Broadcast[K, V]) drop() {
	if b.loops > 0 || len(b.entries) == len(b.at) {
		return
	}
	b.entries = slices.DeleteFunc(b.entries, func(e heap.Entry[K, V]) bool { return e.Gone })
	for i := range b.entries {
		b.at[b.entries[i].Key] = i
	}
}

// Has reports whether there is a value under k.
func (b *Broadcast[K, V]) Has(k K) bool { _, ok := b.at[k]; return ok }

// All returns all entries in the order in which their keys were put first, which a restore keeps. The map may be changed during the loop: an
// entry that is deleted before its turn is left out, and one that is added is not.
func (b *Broadcast[K, V]) All() iter.Seq2[K, V] { return b.each }

func (b *Broadcast[K, V]) each(yield func(K, V) bool) {
	b.loops++
	defer func() { b.loops-- }()
	for i := range len(b.entries) {
		if e := &b.entries[i]; !e.Gone && !yield(e.Key, e.Value) {
			return
		}
	}
}

// Len returns the number of entries.
func (b *Broadcast[K, V]) Len() int { return len(b.at) }

// Clear removes all entries.
func (b *Broadcast[K, V]) Clear() {
	for i := range b.entries {
		b.entries[i] = heap.Entry[K, V]{Gone: true}
	}
	clear(b.at)
	b.drop()
}

// DeclareState is for the runtime.
func (b *Broadcast[K, V]) DeclareState(d *heap.Declaration) {
	heap.DeclareBroadcast(d, b.all, b.restore)
}

// all returns the entries that are left.
func (b *Broadcast[K, V]) all() []heap.Entry[K, V] {
	b.drop()
	return b.entries
}

func (b *Broadcast[K, V]) restore(entries ...heap.Entry[K, V]) {
	for _, e := range entries {
		b.Put(e.Key, e.Value)
	}
}
