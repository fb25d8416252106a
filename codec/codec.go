package codec

import (
	"reflect"
	"sync"
	"unsafe"
)

// Codec turns values of one type into bytes and back. Implementations are safe for concurrent use.
type Codec[T any] interface {
	// Append appends the encoding of *v to dst and returns the extended slice. It panics with an *EncodeError if *v cannot be
	// encoded, which takes a cycle of pointers, nesting beyond [MaxDepth], or a failing MarshalBinary.
	Append(dst []byte, v *T) []byte

	// Decode reads one value from the front of src into *v and returns what follows it. An error wraps [ErrCorrupt] and leaves *v
	// in an unspecified, but valid, state. Memory that *v referred to before is not reused, and src may be reused afterwards.
	Decode(src []byte, v *T) (rest []byte, err error)

	// Schema describes the bytes. It is shared and must not be changed.
	Schema() *Schema
}

// For returns the codec of T. The error is that of [Of].
func For[T any]() (Codec[T], error) {
	c, err := Of(reflect.TypeFor[T]())
	if err != nil {
		return nil, err
	}
	return typed[T]{c}, nil
}

type typed[T any] struct{ c *Compiled }

func (t typed[T]) Append(dst []byte, v *T) []byte { return t.c.Append(dst, unsafe.Pointer(v)) }

func (t typed[T]) Decode(src []byte, v *T) ([]byte, error) { return t.c.Decode(src, unsafe.Pointer(v)) }

func (t typed[T]) Schema() *Schema { return t.c.schema }

// Compiled is the codec of one Go type for callers that know the type only at run time and hold values behind unsafe pointers. It is
// immutable and safe for concurrent use; there is one per type and process.
type Compiled struct {
	typ         reflect.Type
	plan        *plan
	schema      *Schema
	pointerFree bool
	immutable   bool
}

var compiled sync.Map // reflect.Type -> *Compiled

// Of returns the codec of the type t. The error is a *[TypeError], which lists everything in the type that cannot be encoded and what
// to do about it.
func Of(t reflect.Type) (*Compiled, error) {
	if c, ok := compiled.Load(t); ok {
		return c.(*Compiled), nil
	}
	schema, err := schemaOf(t)
	if err != nil {
		return nil, err
	}
	c := &Compiled{
		typ:         t,
		plan:        newPlan(t),
		schema:      schema,
		pointerFree: isPointerFree(t),
		immutable:   isImmutable(t),
	}
	first, _ := compiled.LoadOrStore(t, c)
	return first.(*Compiled), nil
}

// Append appends the encoding of the value at p, which must point to a value of the codec's type. It panics as [Codec] says.
func (c *Compiled) Append(dst []byte, p unsafe.Pointer) []byte {
	return c.plan.append(dst, p, 0)
}

// Decode reads one value from the front of src into the value at p, as [Codec] says, and returns the bytes that follow it.
func (c *Compiled) Decode(src []byte, p unsafe.Pointer) (rest []byte, err error) {
	return c.plan.decode(src, p, 0)
}

// AppendSlice appends the encodings of the n consecutive values at p, one after the other and without their number. If [Compiled.Memory]
// holds this is one copy.
func (c *Compiled) AppendSlice(dst []byte, p unsafe.Pointer, n int) []byte {
	return c.plan.appendN(dst, p, n, 0)
}

// DecodeSlice reads n values into the n consecutive values at p, the reverse of AppendSlice.
func (c *Compiled) DecodeSlice(src []byte, p unsafe.Pointer, n int) (rest []byte, err error) {
	return c.plan.decodeN(src, p, n, 0)
}

// Type returns the Go type.
func (c *Compiled) Type() reflect.Type { return c.typ }

// FixedSize returns the size in bytes of every encoded value, or -1 if sizes differ.
func (c *Compiled) FixedSize() int { return c.plan.fixed }

// Memory reports whether a value's encoding is what it has in memory on this machine, and every such byte pattern is a valid value, so
// that callers may copy whole arrays of values both ways. It is false for a type with pointers, padding, left-out fields or bools (a
// bool other than 0 and 1 must not get into memory), and on big-endian machines.
func (c *Compiled) Memory() bool { return c.plan.memory }

// PointerFree reports whether the Go type, left-out fields included, holds no pointers, so that values may lie in memory which the
// garbage collector does not scan.
func (c *Compiled) PointerFree() bool { return c.pointerFree }

// Immutable reports whether nothing that a value refers to can be changed (it refers to string bytes and time zones at most), so that
// a plain copy of a value is a snapshot of it. PointerFree implies Immutable.
func (c *Compiled) Immutable() bool { return c.immutable }

// Schema describes the encoding. It is shared and must not be changed.
func (c *Compiled) Schema() *Schema { return c.schema }

// isPointerFree reports whether no part of a value of type t is a pointer to the garbage collector.
func isPointerFree(t reflect.Type) bool {
	return holdsOnly(t, func(t reflect.Type) bool { return t.Kind() <= reflect.Complex128 })
}

// isImmutable reports whether a shallow copy of a value of type t can never change.
func isImmutable(t reflect.Type) bool {
	return holdsOnly(t, func(t reflect.Type) bool {
		return t.Kind() <= reflect.Complex128 || t.Kind() == reflect.String || t == timeType
	})
}

// holdsOnly reports whether leaf holds for t, or t is an array or struct of which this is true.
func holdsOnly(t reflect.Type, leaf func(reflect.Type) bool) bool {
	if leaf(t) {
		return true
	}
	switch t.Kind() {
	case reflect.Array:
		return t.Len() == 0 || holdsOnly(t.Elem(), leaf)
	case reflect.Struct:
		for i := range t.NumField() {
			if !holdsOnly(t.Field(i).Type, leaf) {
				return false
			}
		}
		return true
	}
	return false
}
