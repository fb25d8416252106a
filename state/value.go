package state

import (
	"reflect"
	"unsafe"

	"github.com/weirstream/weir/internal/backend/heap"
)

// Value holds one value of type T for each key: the zero value until Set is called.
//
// Values without slices, maps and pointers are kept as they are, and Get and Set cost about as much as the access to a variable. Others are
// kept encoded, since they could be changed without Set; for them [List] and [Map] are often better. T can be anything that package codec
// can encode.
//
// A string in a value keeps alive all of what it was cut from; use strings.Clone for a small part of something large. Keys are cloned.
type Value[T any] struct {
	cur *heap.Cursor
	off uintptr
	enc *heap.Encoded // nil for a value that is kept as it is
}

// Get returns the present key's value.
func (v *Value[T]) Get() T {
	if v.cur.Row == nil { // then the value is kept encoded, or the cursor is at no row
		return v.load()
	}
	return *(*T)(unsafe.Add(v.cur.Row, v.off))
}

// Set replaces the present key's value.
func (v *Value[T]) Set(x T) {
	// The text of this method is as it is because the inliner then counts 78 of the 80 it allows; see TestInlined. A write is one
	// compare and a store, unless it is the first to its page since a checkpoint, or the value is kept encoded.
	if v.cur.Shared {
		v.store(x)
		return
	}
	*(*T)(unsafe.Add(v.cur.Row, v.off)) = x
}

// Clear makes the present key's value zero.
func (v *Value[T]) Clear() {
	if v.enc != nil {
		v.enc.Clear()
		return
	}
	var zero T
	v.Set(zero)
	v.cur.Cleared()
}

//go:noinline
func (v *Value[T]) load() T {
	v.mustBeKeyed()
	var x T
	v.enc.Load(unsafe.Pointer(&x))
	return x
}

//go:noinline
func (v *Value[T]) store(x T) {
	if v.enc != nil {
		kept := x // so that only here x moves to the heap
		v.enc.Store(unsafe.Pointer(&kept))
		return
	}
	v.cur.Own()
	*(*T)(unsafe.Add(v.cur.Row, v.off)) = x
}

func (v *Value[T]) mustBeKeyed() {
	if v.enc == nil {
		v.cur.At()
	}
}

// DeclareState is for the runtime.
func (v *Value[T]) DeclareState(d *heap.Declaration) {
	d.Value(reflect.TypeFor[T](), func(cur *heap.Cursor, off uintptr, enc *heap.Encoded) {
		v.cur, v.off, v.enc = cur, off, enc
	})
}
