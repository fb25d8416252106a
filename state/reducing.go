package state

import (
	"cmp"

	"github.com/weirstream/weir/internal/backend/heap"
)

// Reducing holds one value for each key, which is combined with every element that is added:
//
//	Total   state.Reducing[int64, state.Sum[int64]] `state:"total"`
//	Longest state.Reducing[string, longest]         `state:"longest"`
//
//	type longest struct{}
//
//	func (longest) Reduce(a, b string) string { ... }
//
// The function is the method of a type, and that type a part of the handle's, so that it is known wherever the state is: it cannot be
// forgotten, the zero value of a processor works, and a call costs what a call of a func value does or a little less. One that needs to know
// more than its arguments is better written out, with a [Value].
//
// A key begins with the zero value, so that must not change what it is combined with; if another value is it, F has a method InitialState() T
// that returns it, as Min and Max do. It is what Get returns for a key to which nothing was added. For the rest a Reducing is a Value, also in
// a checkpoint: the one can be made the other.
type Reducing[T any, F Reducer[T]] struct {
	value  Value[T]
	reduce F
}

// Reducer combines two values. The order in which elements were added is that of a's elements and then b's.
type Reducer[T any] interface {
	Reduce(a, b T) T
}

// Add combines the present key's value with x.
func (r *Reducing[T, F]) Add(x T) { r.value.Set(r.reduce.Reduce(r.value.Get(), x)) }

// Get returns the present key's value.
func (r *Reducing[T, F]) Get() T { return r.value.Get() }

// Clear forgets all that was added.
func (r *Reducing[T, F]) Clear() { r.value.Clear() }

// Expire is as [Value.Expire].
func (r *Reducing[T, F]) Expire(ttl TTL) { r.value.Expire(ttl) }

// DeclareState is for the runtime.
func (r *Reducing[T, F]) DeclareState(d *heap.Declaration) {
	begin := initialOf[F, T]()
	if begin == nil {
		begin = initialOf[T, T]()
	}
	r.value.declare(d, begin)
	r.value.column.Reduced()
}

// number is what can be added.
type number interface {
	integer | ~float32 | ~float64
}

type integer interface {
	~int | ~int8 | ~int16 | ~int32 | ~int64 | ~uint | ~uint8 | ~uint16 | ~uint32 | ~uint64 | ~uintptr
}

// Sum is a [Reducer] that adds.
type Sum[T number] struct{}

// Reduce returns a + b.
func (Sum[T]) Reduce(a, b T) T { return a + b }

// Min is a [Reducer] that keeps the smallest. A key begins with the largest value that there is, +Inf for floats.
type Min[T number] struct{}

// Reduce returns the smaller one.
func (Min[T]) Reduce(a, b T) T { return min(a, b) }

// InitialState returns the largest value of T.
func (Min[T]) InitialState() T { _, most := limits[T](); return most }

// Max is a [Reducer] that keeps the largest. A key begins with the smallest value that there is, -Inf for floats.
type Max[T number] struct{}

// Reduce returns the larger one.
func (Max[T]) Reduce(a, b T) T { return max(a, b) }

// InitialState returns the smallest value of T.
func (Max[T]) InitialState() T { least, _ := limits[T](); return least }

// limits finds the smallest and the largest value of a type by what its arithmetic does.
func limits[T number]() (least, most T) {
	one, two := T(1), T(2)
	if half := one / two; half != 0 { // a float
		for most = one; most+most != most; {
			most += most
		}
		return -most, most
	}
	least = one
	for cmp.Compare(least+least, 0) > 0 { // until the largest power of two
		least += least
	}
	most = least - 1 + least
	if least+least < 0 {
		return -most - 1, most
	}
	return 0, most
}

// Aggregating holds an accumulator for each key, to which elements of another type are added, and which is read as a third. Both functions
// are methods of the accumulator:
//
//	Mean state.Aggregating[float64, mean, float64] `state:"mean"`
//
//	type mean struct{ Sum, N float64 }
//
//	func (m mean) Add(x float64) mean { return mean{m.Sum + x, m.N + 1} }
//	func (m mean) Result() float64    { return m.Sum / m.N }
//
// A key begins with the zero accumulator, or with what Acc's method InitialState() Acc returns, if it has one. For the rest an Aggregating is a
// [Value] of the accumulator, also in a checkpoint.
type Aggregating[In any, Acc Accumulator[In, Acc, Out], Out any] struct{ value Value[Acc] }

// Accumulator is the state of an [Aggregating].
type Accumulator[In, Acc, Out any] interface {
	// Add returns the accumulator with an element in it.
	Add(x In) Acc
	// Result returns what the accumulator amounts to.
	Result() Out
}

// Add adds an element to the present key's accumulator.
func (a *Aggregating[In, Acc, Out]) Add(x In) { a.value.Set(a.value.Get().Add(x)) }

// Get returns the result for the present key, that of the accumulator which a key begins with if nothing was added.
func (a *Aggregating[In, Acc, Out]) Get() Out { return a.value.Get().Result() }

// Accumulator returns the present key's accumulator.
func (a *Aggregating[In, Acc, Out]) Accumulator() Acc { return a.value.Get() }

// Clear forgets all that was added.
func (a *Aggregating[In, Acc, Out]) Clear() { a.value.Clear() }

// Expire is as [Value.Expire].
func (a *Aggregating[In, Acc, Out]) Expire(ttl TTL) { a.value.Expire(ttl) }

// DeclareState is for the runtime.
func (a *Aggregating[In, Acc, Out]) DeclareState(d *heap.Declaration) {
	a.value.declare(d, initialOf[Acc, Acc]())
	a.value.column.Aggregated()
}
