package operator

import (
	"fmt"
	"reflect"

	"github.com/weirstream/weir/internal/element"
	"github.com/weirstream/weir/internal/graph"
	"github.com/weirstream/weir/internal/metrics"
	"github.com/weirstream/weir/internal/runtime/exchange"
)

// Edge is how records of one type go from one task to the next.
type Edge struct {
	Partitioning graph.Partitioning
	// Hasher is a func([]T, []uint64) error for hash edges, Picker a func(T, int) int for custom ones.
	Hasher, Picker any
	ShipHashes     bool   // for hash edges
	MaxParallelism int    // of the consumer, for hash edges
	Consumer       string // the step that reads the edge, which messages name for hash and custom edges
}

// Output is a pusher at the end of a chain: an exchange with the type of its records taken away.
type Output struct {
	exchange.Output
	Pusher any // the same as a Pusher[T]
}

// Type builds the parts of a chain whose record type only the user's program knows.
type Type interface {
	// String returns the Go type of the records.
	String() string
	// Join returns a pusher of this type that pushes to all of the given ones.
	Join(outs []any) any
	// Output returns the sending side of an edge to the given channels for the producer of the given index.
	Output(e Edge, channels []*exchange.Channel, producer int) Output
	// Guard returns a pusher that measures what goes into a step and gives the step's errors its name.
	Guard(first any, step string, subtask int, entry Entry) any
	// Count returns a pusher that counts the records on their way out of a step.
	Count(out any, records *metrics.Counter) any
	// Head adapts a pusher of this type to batches that come through a gate.
	Head(first any) Head
}

// TypeOf returns the builder for records of type T.
func TypeOf[T any]() Type { return typeOf[T]{} }

type typeOf[T any] struct{}

func (typeOf[T]) String() string { return reflect.TypeFor[T]().String() }

func (typeOf[T]) Join(outs []any) any {
	switch len(outs) {
	case 0:
		return drop[T]{}
	case 1:
		return outs[0]
	}
	tee := &Tee[T]{pointers: HoldsPointers[T]()}
	for _, o := range outs {
		tee.outs = append(tee.outs, o.(Pusher[T]))
	}
	return tee
}

func (typeOf[T]) Output(e Edge, channels []*exchange.Channel, producer int) Output {
	switch e.Partitioning {
	case graph.Forward:
		o := exchange.NewForward[T](channels[0])
		return Output{o, o}
	case graph.Rebalance:
		o := exchange.NewRebalance[T](channels, producer)
		return Output{o, o}
	case graph.Broadcast:
		o := exchange.NewBroadcast[T](channels)
		return Output{o, o}
	case graph.Hash:
		o := exchange.NewHash(channels, e.MaxParallelism, e.ShipHashes, e.Hasher.(func([]T, []uint64) error))
		return Output{o, &picking[T]{"the key function of " + e.Consumer, producer, o}}
	case graph.Custom:
		o := exchange.NewCustom(channels, e.Picker.(func(T, int) int))
		return Output{o, &picking[T]{"the partitioner of " + e.Consumer, producer, o}}
	}
	panic(fmt.Sprintf("operator: an edge with partitioning %v cannot be run", e.Partitioning))
}

func (typeOf[T]) Guard(first any, step string, subtask int, entry Entry) any {
	return &guard[T]{step, subtask, entry, first.(Pusher[T])}
}

func (typeOf[T]) Count(out any, records *metrics.Counter) any {
	return &counter[T]{records, out.(Pusher[T])}
}

func (typeOf[T]) Head(first any) Head {
	return &head[T]{first: first.(Pusher[T]), pointers: HoldsPointers[T]()}
}

type head[T any] struct {
	first    Pusher[T]
	pointers bool
	noTimes  noTimes
}

func (h *head[T]) Push(m element.Any) error {
	b := m.(*element.Batch[T])
	recs, ts, hash := b.Recs, b.TS, b.Hash // what the chain leaves in the batch does not matter, its room does
	if b.Untimed {
		b.TS = h.noTimes.of(len(recs))
	}
	err := h.first.Push(b)
	wipe(recs, h.pointers)
	b.Recs, b.TS, b.Hash = recs[:0], ts[:0], hash[:0]
	return err
}

func (h *head[T]) Event(e element.Event) error { return h.first.Event(e) }

// noTimes makes the times of records that have none. Nobody writes to them: see element.Batch.Untimed.
type noTimes struct{ all []int64 }

func (t *noTimes) of(n int) []int64 {
	for len(t.all) < n {
		t.all = append(t.all, element.NoTime)
	}
	return t.all[:n]
}

// wipe clears records that hold pointers, so that a batch that waits for its next use keeps nothing alive.
func wipe[T any](recs []T, pointers bool) {
	if pointers {
		clear(recs)
	}
}

// HoldsPointers reports whether a value of type T can keep something else alive.
func HoldsPointers[T any]() bool { return typeHoldsPointers(reflect.TypeFor[T]()) }

func typeHoldsPointers(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Array:
		return t.Len() > 0 && typeHoldsPointers(t.Elem())
	case reflect.Struct:
		for i := range t.NumField() {
			if typeHoldsPointers(t.Field(i).Type) {
				return true
			}
		}
		return false
	}
	return t.Kind() > reflect.Complex128 // what is neither a number nor made of numbers
}
