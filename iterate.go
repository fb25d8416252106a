package weir

import (
	"fmt"

	"github.com/weirstream/weir/codec"
	"github.com/weirstream/weir/internal/element"
	"github.com/weirstream/weir/internal/graph"
	"github.com/weirstream/weir/internal/runtime/exchange"
	"github.com/weirstream/weir/internal/runtime/operator"
	"github.com/weirstream/weir/internal/runtime/program"
	"github.com/weirstream/weir/internal/stateform"
)

// Iterate lets records go round. The body is given the records of the stream as they enter the loop, and those that come round; it returns the
// stream that goes round once more, and that which leaves the loop:
//
//	weir.Iterate(in, "halve", func(loop weir.Stream[int]) (again, out weir.Stream[int]) {
//		halved := weir.Map(loop, func(n int) int { return n / 2 })
//		return weir.Filter(halved, func(n int) bool { return n > 1 }), weir.Filter(halved, func(n int) bool { return n <= 1 })
//	})
//
// The way round never blocks: what does not fit in memory waits in files. A body that sends round more than it lets out fills them; one
// that sends a record round for ever keeps the job from finishing. See IterateUpTo for a bound.
//
// The body may hold steps with state, and keys; what goes round is any number of steps and tasks away from where it came in. Event time is
// that of the stream before the loop, and does not wait for what goes round: assign times behind the loop if windows follow.
//
// When the input has ended the loop is emptied before the end is told to the steps in it. What they emit then, in Finish, cannot go round:
// that is an error. The id is what the records in the loop are found by in a checkpoint; a job with a loop takes checkpoints only if
// checkpoint.Loops says so. Options apply to the steps at both ends of the loop.
func Iterate[T, O any](in Stream[T], id string, body func(loop Stream[T]) (again Stream[T], out Stream[O]), options ...Option) Stream[O] {
	j := in.job
	c, err := newLoopCodec[T]()
	if err != nil {
		j.fail("loop %q: what goes round may have to be written to a file: %w", id, err)
	}
	if j.loop != "" {
		j.fail("loop %q is within loop %q: put it before or behind that", id, j.loop)
	}
	head := addNode(j, graph.Node{Name: id, Named: true, Head: true, Inputs: in.edges}, program.Step{
		In:   operator.TypeOf[T](),
		Outs: []operator.Type{operator.TypeOf[T]()},
		Form: stateform.Form{Lists: []stateform.State{{Name: operator.LoopState, Kind: stateform.Split, Elem: c.schema}}},
		Make: func(env *operator.Env, outs []any) (any, operator.Operator, error) {
			h := operator.NewLoopHead(env, c, outs[0].(operator.Pusher[T]))
			return h, h, nil
		},
		Feedback: func(o exchange.FeedbackOptions) exchange.Output {
			return exchange.NewFeedback(c, operator.HoldsPointers[T](), o)
		},
	}, options)
	outer := j.loop
	j.loop = id
	again, out := body(stream[T](j, head, 0))
	j.loop = outer
	if again.job != j || out.job != j {
		j.fail("loop %q: the body returns a stream of another job, or none", id)
		return Stream[O]{job: j, edges: []graph.Edge{{From: head}}}
	}
	addNode(j, graph.Node{Name: id + " again", LoopsTo: head, Inputs: again.edges, Parallelism: head.Parallelism}, program.Step{
		In: operator.TypeOf[T](),
		Make: func(env *operator.Env, _ []any) (any, operator.Operator, error) {
			return env.Loop.Feedback, nil, nil
		},
	}, nil)
	return out
}

// Lap is a record on its way round, with the number of the lap: 1 when it enters the loop.
type Lap[T any] struct {
	N     int
	Value T
}

// With returns another value in the same lap.
func (l Lap[T]) With(v T) Lap[T] { return Lap[T]{l.N, v} }

// IterateUpTo lets records go round at most so many times. It is Iterate for records that know which lap they are in. The body keeps that
// number and does not count: what it sends round in lap n comes back in lap n+1, and what it sends round in the last lap leaves the
// loop in the second stream, with its value as it is then. Whether such a record is a result, an error or of no interest the caller knows.
func IterateUpTo[T, O any](in Stream[T], id string, laps int, body func(loop Stream[Lap[T]]) (again Stream[Lap[T]], out Stream[O]), options ...Option) (out Stream[O], rest Stream[T]) {
	if laps < 1 {
		in.job.fail("loop %q: at most %d laps: let there be one at least", id, laps)
	}
	first := Map(in, func(v T) Lap[T] { return Lap[T]{1, v} })
	out = Iterate(first, id, func(loop Stream[Lap[T]]) (Stream[Lap[T]], Stream[O]) {
		again, out := body(loop)
		if again.job != in.job {
			return again, out
		}
		next := addNode(in.job, graph.Node{Name: "next lap", Inputs: again.edges}, program.Step{
			In:   operator.TypeOf[Lap[T]](),
			Outs: []operator.Type{operator.TypeOf[Lap[T]](), operator.TypeOf[T]()},
			Make: func(_ *operator.Env, outs []any) (any, operator.Operator, error) {
				return &nextLap[T]{laps: laps, again: outs[0].(operator.Pusher[Lap[T]]), rest: outs[1].(operator.Pusher[T])}, nil, nil
			},
		}, nil)
		rest = stream[T](in.job, next, 1)
		return stream[Lap[T]](in.job, next, 0), out
	}, options...)
	if rest.job == nil {
		rest = stream[T](in.job, out.edges[0].From, 0) // of a body that returned none, which is reported
	}
	return out, rest
}

// nextLap counts the laps, and lets those out that have had the last.
type nextLap[T any] struct {
	laps  int
	again operator.Pusher[Lap[T]]
	rest  operator.Pusher[T]
	batch element.Batch[T]
}

// Push sends a batch on its way.
func (s *nextLap[T]) Push(b *element.Batch[Lap[T]]) error {
	kept := 0
	s.batch.Recs, s.batch.TS, s.batch.Untimed = s.batch.Recs[:0], s.batch.TS[:0], b.Untimed
	for i, l := range b.Recs {
		switch {
		case l.N < 1 || l.N > s.laps:
			return Permanent(fmt.Errorf("a record in lap %d is sent round, in a loop of %d laps: the body must keep the number of the lap it was given", l.N, s.laps))
		case l.N == s.laps:
			s.batch.Recs, s.batch.TS = append(s.batch.Recs, l.Value), append(s.batch.TS, b.TS[i])
			continue
		}
		l.N++
		b.Recs[kept] = l
		if !b.Untimed {
			b.TS[kept] = b.TS[i]
		}
		kept++
	}
	if err := s.leave(); err != nil || kept == 0 {
		return err
	}
	b.Recs, b.TS = b.Recs[:kept], b.TS[:kept]
	return s.again.Push(b)
}

// leave sends what has had its last lap.
func (s *nextLap[T]) leave() error {
	if len(s.batch.Recs) == 0 {
		return nil
	}
	recs, ts := s.batch.Recs, s.batch.TS
	err := s.rest.Push(&s.batch)
	clear(recs)
	s.batch.Recs, s.batch.TS = recs, ts // what was done to the batch does not matter, its room does
	return err
}

// Event passes an event on, both ways.
func (s *nextLap[T]) Event(e element.Event) error {
	if err := s.rest.Event(e); err != nil {
		return err
	}
	return s.again.Event(e)
}

// loopCodec is the codec of the records of a loop.
type loopCodec[T any] struct {
	codec.Codec[T]
	schema *codec.Schema
}

// loopRecord is a record of a loop in a checkpoint, as operator.LoopHead writes it: its event time, and the record. It is here for its schema,
// by which those who look at a checkpoint without its program can tell what is in the loop.
type loopRecord[T any] struct {
	Time   int64 // in milliseconds since 1970 UTC; the smallest int64 if there is none
	Record T
}

func newLoopCodec[T any]() (loopCodec[T], error) {
	c, err := codec.For[T]()
	if err != nil {
		return loopCodec[T]{}, err
	}
	whole, err := codec.For[loopRecord[T]]()
	if err != nil {
		return loopCodec[T]{}, err
	}
	return loopCodec[T]{c, whole.Schema()}, nil
}

// Schema returns the canonical form of the schema of a record with its time.
func (c loopCodec[T]) Schema() []byte { return c.schema.AppendTo(nil) }

// Reader returns what reads a record where a checkpoint has another schema.
func (c loopCodec[T]) Reader(schema []byte) (func(src []byte, v *T) (rest []byte, err error), error) {
	old, err := codec.ParseSchema(schema)
	if err != nil {
		return nil, err
	}
	if v := codec.Compare(old, c.schema); v.Err() != nil {
		return nil, fmt.Errorf("the type of the records has changed: %w", v.Err())
	}
	if len(old.Fields) != 2 || old.Fields[1].Name != "Record" {
		return nil, fmt.Errorf("%w: %v is no record with its time", codec.ErrSchema, old)
	}
	r, err := codec.From[T](old.Fields[1].Schema)
	if err != nil {
		return nil, err
	}
	return r.Decode, nil
}
