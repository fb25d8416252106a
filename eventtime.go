package weir

import (
	"time"

	"github.com/weirstream/weir/internal/graph"
	"github.com/weirstream/weir/internal/runtime/operator"
	"github.com/weirstream/weir/internal/runtime/program"
)

// TimeOption says how event time advances.
type TimeOption func(*timeOptions)

type timeOptions struct {
	disorder time.Duration
	idle     time.Duration
}

// BoundedDisorder says how far behind the latest record of its split another may come and still be on time.
func BoundedDisorder(d time.Duration) TimeOption { return func(o *timeOptions) { o.disorder = d } }

// IdleAfter says after how long a split without records stops holding back event time for the others. Without it a quiet split holds
// everything back.
func IdleAfter(d time.Duration) TimeOption { return func(o *timeOptions) { o.idle = d } }

// EventTime gives each record its event time, a time or milliseconds since 1970 UTC, and lets event time advance by it: for each split
// of the source by itself, if no shuffle lies between, and otherwise for each subtask. It runs at the parallelism of the step it reads from.
func EventTime[T any, V time.Time | int64](in Stream[T], at func(T) V, options ...TimeOption) Stream[T] {
	var o timeOptions
	for _, option := range options {
		option(&o)
	}
	if o.disorder < 0 || o.idle < 0 {
		in.job.fail("EventTime: disorder %v and idle time %v must not be negative", o.disorder, o.idle)
	}
	assign := assigner(at)
	n := addNode(in.job, graph.Node{Name: "event time", Inputs: in.edges, Parallelism: in.parallelism()}, program.Step{
		Form: operator.EventTimeForm,
		In:   operator.TypeOf[T](),
		Outs: []operator.Type{operator.TypeOf[T]()},
		Make: func(env *operator.Env, outs []any) (any, operator.Operator, error) {
			s := operator.NewEventTime(env, assign, o.disorder, o.idle, outs[0].(operator.Pusher[T]))
			return s, s, nil
		},
	}, nil)
	return stream[T](in.job, n, 0)
}

// parallelism returns that of the step the stream comes from, if that was set and no shuffle or union lies between, else 0. A step which has it
// too runs in one task with the other, and its records keep their order.
func (s Stream[T]) parallelism() int {
	if len(s.edges) != 1 || s.edges[0].Partitioning != graph.Unset {
		return 0
	}
	return s.edges[0].From.Parallelism
}

func assigner[T any, V time.Time | int64](at func(T) V) func([]T, []int64) {
	if at, ok := any(at).(func(T) int64); ok {
		return func(recs []T, ts []int64) {
			for i := range recs {
				ts[i] = at(recs[i])
			}
		}
	}
	atTime := any(at).(func(T) time.Time)
	return func(recs []T, ts []int64) {
		for i := range recs {
			ts[i] = atTime(recs[i]).UnixMilli()
		}
	}
}
