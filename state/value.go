package state

import (
	"unsafe"

	"github.com/weirstream/weir/internal/backend/heap"
)

// Value holds one value of type T for each key: the zero value until Set is called, or another one that it begins with.
//
// What a key begins with is said by the tag, `state:"level,default=5"`, for numbers, strings, bools, durations and types that implement
// encoding.TextUnmarshaler; or, for any other type, by a method InitialState() T of T itself. A default is not state: a key of which nothing
// else is known than defaults is forgotten, and begins with the default of the program to which it comes back.
//
// Values without slices, maps and pointers are kept as they are, and Get and Set cost about as much as the access to a variable. Others are
// kept encoded, since they could be changed without Set; for them [List] and [Map] are often better. With a [TTL] Get and Set take a call
// each. T can be anything that package codec can encode.
//
// Over a backend that keeps state elsewhere than in memory a long value, of more than some KB, is read when Get asks for it, and what Set changes of it is
// written in pieces: see docs/backends.md.
//
// A string in a value keeps alive all of what it was cut from; use strings.Clone for a small part of something large. Keys are cloned.
type Value[T any] struct {
	cur    *heap.Cursor
	off    uintptr
	column *heap.ValueColumn[T]
	ttl    TTL
}

// Get returns the present key's value.
func (v *Value[T]) Get() T {
	if v.cur.Row == nil { // then the value is not simply in the row, or the cursor is at no row
		return v.load()
	}
	return *(*T)(unsafe.Add(v.cur.Row, v.off))
}

// Set replaces the present key's value.
func (v *Value[T]) Set(x T) {
	// The text of this method is as it is because the inliner then counts 78 of the 80 it allows; see TestInlined. A write is one
	// compare and a store, unless it is the first to its page since a checkpoint, or the value is not simply in the row.
	if v.cur.Shared {
		v.store(x)
		return
	}
	*(*T)(unsafe.Add(v.cur.Row, v.off)) = x
}

// Clear makes the present key's value what it was at first: zero, or the default.
func (v *Value[T]) Clear() { v.column.Clear() }

//go:noinline
func (v *Value[T]) load() T { return v.column.Load() }

//go:noinline
func (v *Value[T]) store(x T) { v.column.Store(x) }

// Expire gives the state a TTL that is known only when the program runs, in place of one in the tag. It is called before the job is built.
func (v *Value[T]) Expire(ttl TTL) { v.ttl = ttl }

// DeclareState is for the runtime.
func (v *Value[T]) DeclareState(d *heap.Declaration) { v.declare(d, initialOf[T, T]()) }

func (v *Value[T]) declare(d *heap.Declaration, begin *T) {
	v.column = heap.DeclareValue(d, begin, &v.ttl, func(cur *heap.Cursor, off uintptr) { v.cur, v.off = cur, off })
}

// initialOf returns what S says that a T begins with, nil if it says nothing.
func initialOf[S, T any]() *T {
	var s S
	if i, ok := any(s).(interface{ InitialState() T }); ok {
		x := i.InitialState()
		return &x
	}
	return nil
}
