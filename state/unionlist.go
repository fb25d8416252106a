package state

import (
	"iter"

	"github.com/weirstream/weir/internal/backend/heap"
)

// UnionList holds a list of elements of type T for each subtask, on a plain stream or beside the state of keys. After a restore, at any
// parallelism, every subtask has the elements of all of them, in the order of subtasks.
//
// It is for steps that deal something out among themselves: each subtask keeps a list of what it is responsible for; in Open it looks at all,
// takes its share and says so by Set. One that does not leaves the others' elements in its own list, which then grows with every restore,
// by as many times as there are subtasks.
//
// A checkpoint that has the lists of only some subtasks would make the others' elements disappear. So there is none while some subtasks of
// the step have ended and others have not; the log names the step.
//
// The handle may be used in all methods of the processor. T is anything that package codec can encode.
type UnionList[T any] struct{ elements sequence[T] }

// Append adds elements at the end.
func (l *UnionList[T]) Append(elements ...T) { l.elements.append(elements...) }

// All returns all elements in order. What is appended during the loop is not among them; Clear and Set end it.
func (l *UnionList[T]) All() iter.Seq[T] { return l.elements.each }

// Len returns the number of elements.
func (l *UnionList[T]) Len() int { return len(l.elements.items) }

// Clear removes all elements.
func (l *UnionList[T]) Clear() { l.elements.clear() }

// Set replaces all elements. The slice stays the caller's.
func (l *UnionList[T]) Set(elements []T) {
	l.Clear()
	l.Append(elements...)
}

// DeclareState is for the runtime.
func (l *UnionList[T]) DeclareState(d *heap.Declaration) {
	heap.DeclareUnionList(d, l.elements.all, l.elements.append)
}
