package operator

import (
	"iter"
	"slices"

	"github.com/weirstream/weir/internal/element"
)

// Map applies a function to each record.
type Map[T, U any] struct {
	f   func(T) U
	out mapped[U]
}

// NewMap returns a step that sends f(r) for each record r.
func NewMap[T, U any](f func(T) U, out Pusher[U]) *Map[T, U] { return &Map[T, U]{f, newMapped(out)} }

// Push maps a batch.
func (s *Map[T, U]) Push(b *element.Batch[T]) error {
	f, recs := s.f, s.out.room()
	for i := range b.Recs {
		recs = append(recs, f(b.Recs[i]))
	}
	return s.out.push(recs, b.TS, b.Untimed, b.Split)
}

// Event passes an event on.
func (s *Map[T, U]) Event(e element.Event) error { return s.out.next.Event(e) }

// mapped is the way on for records that were made one for one: they share the time stamps of what they were made from.
type mapped[U any] struct {
	next     Pusher[U]
	buf      element.Batch[U]
	pointers bool
}

func newMapped[U any](next Pusher[U]) mapped[U] {
	return mapped[U]{next: next, pointers: HoldsPointers[U]()}
}

// room returns an empty slice for the next batch.
func (m *mapped[U]) room() []U { return m.buf.Recs[:0] }

func (m *mapped[U]) push(recs []U, ts []int64, untimed bool, split int) error {
	m.buf.Recs, m.buf.TS, m.buf.Untimed, m.buf.Split = recs, ts, untimed, split
	err := m.next.Push(&m.buf)
	wipe(recs, m.pointers)
	m.buf.Recs, m.buf.TS = recs[:0], nil
	return err
}

// MapInto fills a record for each record.
type MapInto[T, U any] struct {
	f   func(*T, *U)
	out mapped[U]
}

// NewMapInto returns a step that lets f fill a zero U for each record.
func NewMapInto[T, U any](f func(*T, *U), out Pusher[U]) *MapInto[T, U] {
	return &MapInto[T, U]{f, newMapped(out)}
}

// Push maps a batch.
func (s *MapInto[T, U]) Push(b *element.Batch[T]) error {
	f, recs := s.f, slices.Grow(s.out.room(), len(b.Recs))[:len(b.Recs)]
	clear(recs)
	for i := range b.Recs {
		f(&b.Recs[i], &recs[i])
	}
	return s.out.push(recs, b.TS, b.Untimed, b.Split)
}

// Event passes an event on.
func (s *MapInto[T, U]) Event(e element.Event) error { return s.out.next.Event(e) }

// Edit changes records in place.
type Edit[T any] struct {
	f   func(*T)
	out Pusher[T]
}

// NewEdit returns a step that lets f change each record.
func NewEdit[T any](f func(*T), out Pusher[T]) *Edit[T] { return &Edit[T]{f, out} }

// Push edits a batch.
func (s *Edit[T]) Push(b *element.Batch[T]) error {
	f := s.f
	for i := range b.Recs {
		f(&b.Recs[i])
	}
	return s.out.Push(b)
}

// Event passes an event on.
func (s *Edit[T]) Event(e element.Event) error { return s.out.Event(e) }

// Filter keeps some records.
type Filter[T any] struct {
	f   func(T) bool
	out Pusher[T]
}

// NewFilter returns a step that keeps the records for which f is true.
func NewFilter[T any](f func(T) bool, out Pusher[T]) *Filter[T] { return &Filter[T]{f, out} }

// Push filters a batch in place.
func (s *Filter[T]) Push(b *element.Batch[T]) error {
	var k int
	if b.Untimed {
		k = s.keep(b.Recs)
	} else {
		k = s.keepTimed(b.Recs, b.TS)
	}
	if k == 0 {
		return nil
	}
	b.Recs, b.TS = b.Recs[:k], b.TS[:k]
	return s.out.Push(b)
}

// keep moves the records that are kept to the front and returns how many there are.
func (s *Filter[T]) keep(recs []T) (k int) {
	f := s.f
	for i := range recs {
		if f(recs[i]) {
			if k != i {
				recs[k] = recs[i]
			}
			k++
		}
	}
	return k
}

// keepTimed is keep for records with their times.
func (s *Filter[T]) keepTimed(recs []T, ts []int64) (k int) {
	f := s.f
	ts = ts[:len(recs)]
	for i := range recs {
		if f(recs[i]) {
			if k != i {
				recs[k], ts[k] = recs[i], ts[i]
			}
			k++
		}
	}
	return k
}

// Event passes an event on.
func (s *Filter[T]) Event(e element.Event) error { return s.out.Event(e) }

// TryMap applies a function that can fail to each record.
type TryMap[T, U any] struct {
	f   func(T) (U, error)
	out mapped[U]
}

// NewTryMap returns a step that sends f(r) for each record r and fails the job with f's first error.
func NewTryMap[T, U any](f func(T) (U, error), out Pusher[U]) *TryMap[T, U] {
	return &TryMap[T, U]{f, newMapped(out)}
}

// Push maps a batch.
func (s *TryMap[T, U]) Push(b *element.Batch[T]) error {
	f, recs := s.f, s.out.room()
	for i := range b.Recs {
		u, err := f(b.Recs[i])
		if err != nil {
			return err
		}
		recs = append(recs, u)
	}
	return s.out.push(recs, b.TS, b.Untimed, b.Split)
}

// Event passes an event on.
func (s *TryMap[T, U]) Event(e element.Event) error { return s.out.next.Event(e) }

// flatBatch is the number of results after which FlatMap hands on what it has.
const flatBatch = 1024

// FlatMap sends any number of records for each record.
type FlatMap[T, U any] struct {
	f        func(T) iter.Seq[U]
	out      Pusher[U]
	buf      element.Batch[U]
	pointers bool
}

// NewFlatMap returns a step that sends what f(r) yields for each record r.
func NewFlatMap[T, U any](f func(T) iter.Seq[U], out Pusher[U]) *FlatMap[T, U] {
	return &FlatMap[T, U]{f: f, out: out, pointers: HoldsPointers[U]()}
}

// Push maps a batch. Results carry the event time of the record they were made from.
func (s *FlatMap[T, U]) Push(b *element.Batch[T]) error {
	s.buf.Split = b.Split
	for i := range b.Recs {
		for u := range s.f(b.Recs[i]) {
			s.buf.Recs, s.buf.TS = append(s.buf.Recs, u), append(s.buf.TS, b.TS[i])
			if len(s.buf.Recs) >= flatBatch {
				if err := s.flush(); err != nil {
					return err
				}
			}
		}
	}
	return s.flush()
}

func (s *FlatMap[T, U]) flush() error {
	if len(s.buf.Recs) == 0 {
		return nil
	}
	recs, ts := s.buf.Recs, s.buf.TS
	err := s.out.Push(&s.buf)
	wipe(recs, s.pointers)
	s.buf.Recs, s.buf.TS = recs[:0], ts[:0] // what out left in the batch does not matter, its room does
	return err
}

// Event passes an event on.
func (s *FlatMap[T, U]) Event(e element.Event) error { return s.out.Event(e) }

// Tee sends each batch to several consumers, of which each gets a batch of its own: the last one the original.
type Tee[T any] struct {
	outs     []Pusher[T]
	buf      element.Batch[T]
	pointers bool
}

// Push copies the batch for all consumers but the last.
func (s *Tee[T]) Push(b *element.Batch[T]) error {
	last := len(s.outs) - 1
	for _, out := range s.outs[:last] {
		recs, ts := append(s.buf.Recs[:0], b.Recs...), append(s.buf.TS[:0], b.TS...)
		s.buf.Recs, s.buf.TS, s.buf.Untimed, s.buf.Split = recs, ts, b.Untimed, b.Split
		err := out.Push(&s.buf)
		wipe(recs, s.pointers)
		s.buf.Recs, s.buf.TS = recs[:0], ts[:0]
		if err != nil {
			return err
		}
	}
	return s.outs[last].Push(b)
}

// Event passes an event to all consumers.
func (s *Tee[T]) Event(e element.Event) error {
	for _, out := range s.outs {
		if err := out.Event(e); err != nil {
			return err
		}
	}
	return nil
}

// drop is the end of a stream that nobody reads.
type drop[T any] struct{}

func (drop[T]) Push(*element.Batch[T]) error { return nil }

func (drop[T]) Event(element.Event) error { return nil }
