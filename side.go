package weir

import (
	"reflect"

	"github.com/weirstream/weir/internal/element"
	"github.com/weirstream/weir/internal/graph"
	"github.com/weirstream/weir/internal/runtime/operator"
	"github.com/weirstream/weir/internal/runtime/program"
)

// Side is a further output of a processor, a field of its struct. SideOutput returns what is emitted to it as a stream.
type Side[T any] struct {
	recs     []T
	ts       []int64
	out      operator.Pusher[T]
	pointers bool
}

// Emit sends a record to the side output. It carries the event time of the record or timer that is being handled.
func (s *Side[T]) Emit(t T) { s.recs = append(s.recs, t) }

// sideField is a Side of any type, as the runtime sees it.
type sideField interface {
	recordType() operator.Type
	attach(out any)
	stamp(at int64)
	cut()
	unstamped() bool
	flush(split int) error
	event(e element.Event) error
}

func (s *Side[T]) recordType() operator.Type { return operator.TypeOf[T]() }

func (s *Side[T]) attach(out any) {
	s.out, s.pointers = out.(operator.Pusher[T]), operator.HoldsPointers[T]()
}

func (s *Side[T]) stamp(at int64) {
	for len(s.ts) < len(s.recs) {
		s.ts = append(s.ts, at)
	}
}

func (s *Side[T]) unstamped() bool { return len(s.recs) > len(s.ts) }

func (s *Side[T]) cut() { s.recs = s.recs[:len(s.ts)] }

func (s *Side[T]) flush(split int) error {
	if len(s.recs) == 0 {
		return nil
	}
	recs, ts := s.recs, s.ts
	err := s.out.Push(&element.Batch[T]{Recs: recs, TS: ts, Split: split})
	if s.pointers {
		clear(recs)
	}
	s.recs, s.ts = recs[:0], ts[:0]
	return err
}

func (s *Side[T]) event(e element.Event) error { return s.out.Event(e) }

// sidesOf returns the side outputs among the fields of a processor, in order.
func sidesOf(processor any) (sides []sideField) {
	v := reflect.ValueOf(processor)
	if v.Kind() != reflect.Pointer || v.Elem().Kind() != reflect.Struct {
		return nil
	}
	for i := range v.Elem().NumField() {
		if f := v.Elem().Field(i); f.CanInterface() {
			if s, ok := f.Addr().Interface().(sideField); ok {
				sides = append(sides, s)
			}
		}
	}
	return sides
}

// addSides adds the side outputs of a template to its step.
func addSides(step *program.Step, template any) {
	for _, s := range sidesOf(template) {
		step.Outs = append(step.Outs, s.recordType())
		step.Sides = append(step.Sides, s)
	}
}

// SideOutput returns the stream of a processor's side output. side points into the very struct that was given to Process:
//
//	p := &Sessions{Gap: time.Minute}
//	out := weir.Process(keyed, "sessions", p)
//	late := weir.SideOutput(out, &p.Late)
func SideOutput[T, Out any](of Stream[Out], side *Side[T]) Stream[T] {
	for _, e := range of.edges {
		for i, s := range e.From.Payload.(*program.Step).Sides {
			if s == any(side) {
				return stream[T](of.job, e.From, 1+i)
			}
		}
	}
	of.job.fail("SideOutput: the field does not belong to the processor of this stream: pass the address of a field of the struct that was given to Process")
	return Stream[T]{job: of.job, edges: []graph.Edge{of.edges[0]}}
}
