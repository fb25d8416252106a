package state

import (
	"iter"

	"github.com/weirstream/weir/internal/backend/heap"
)

// List holds a list of elements of type T: on a keyed stream one for each key, on a plain stream one for each subtask.
//
// Appending costs the same whatever the length. A subtask's list is dealt out anew, element by element, when a job is restored at another
// parallelism; after the processor's Finish it is not kept any more. T is anything that package codec can encode; in a keyed list an element that holds slices, maps or pointers is kept encoded.
//
// With a [TTL], which only a keyed list can have, each element expires by itself.
type List[T any] struct {
	column *heap.ListColumn[T] // nil on a plain stream
	ttl    TTL
	plain  sequence[T]
}

// Append adds elements at the end.
func (l *List[T]) Append(elements ...T) {
	if l.column == nil {
		l.plain.append(elements...)
		return
	}
	for _, x := range elements {
		l.column.Append(x)
	}
}

// All returns all elements in order. What is appended during the loop is not among them; Clear and Set end it.
func (l *List[T]) All() iter.Seq[T] {
	if l.column != nil {
		return l.column.Each
	}
	return l.plain.each
}

// Len returns the number of elements.
func (l *List[T]) Len() int {
	if l.column != nil {
		return l.column.Len()
	}
	return len(l.plain.items)
}

// Clear removes all elements.
func (l *List[T]) Clear() {
	if l.column != nil {
		l.column.Clear()
		return
	}
	l.plain.clear()
}

// Set replaces all elements. The slice stays the caller's.
func (l *List[T]) Set(elements []T) {
	l.Clear()
	l.Append(elements...)
}

// Expire is as [Value.Expire].
func (l *List[T]) Expire(ttl TTL) { l.ttl = ttl }

// DeclareState is for the runtime.
func (l *List[T]) DeclareState(d *heap.Declaration) {
	if d.Keyed() {
		l.column = heap.DeclareList[T](d, &l.ttl)
		return
	}
	heap.DeclareOperatorList(d, l.plain.all, l.plain.append)
}
