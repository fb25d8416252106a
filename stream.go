package weir

import (
	"context"
	"iter"

	"github.com/weirstream/weir/internal/graph"
	"github.com/weirstream/weir/internal/runtime/operator"
	"github.com/weirstream/weir/internal/runtime/program"
	"github.com/weirstream/weir/sink"
	"github.com/weirstream/weir/source"
)

// Stream is a sequence of records of type T in a job, between the step that produces it and those that read it. It is a description and
// may be read by any number of steps, each of which gets every record.
type Stream[T any] struct {
	job   *Job
	edges []graph.Edge // more than one after a Union
}

// stream returns the stream of one output of a node.
func stream[T any](j *Job, n *graph.Node, slot int) Stream[T] {
	return Stream[T]{job: j, edges: []graph.Edge{{From: n, Slot: slot}}}
}

// with returns the stream with another way to the next step.
func (s Stream[T]) with(p graph.Partitioning, payload any) Stream[T] {
	edges := make([]graph.Edge, len(s.edges))
	for i, e := range s.edges {
		e.Partitioning, e.Payload = p, payload
		edges[i] = e
	}
	return Stream[T]{job: s.job, edges: edges}
}

// addNode adds a step to the job.
func addNode(j *Job, n graph.Node, step program.Step, options []Option) *graph.Node {
	n.Payload = &step
	for _, o := range options {
		o(&n)
	}
	j.graph.Nodes = append(j.graph.Nodes, &n)
	return &n
}

// From begins a stream with what a source reads. The id is what the positions of the source are found by in a checkpoint.
func From[T any](j *Job, id string, src source.Source[T], options ...Option) Stream[T] {
	if c, ok := src.(source.Checker); ok {
		if err := c.CheckSource(); err != nil {
			j.fail("source %q: %w", id, err)
		}
	}
	n := addNode(j, graph.Node{Kind: graph.Source, Name: id, Named: true, Location: src.Location()}, program.Step{
		Form: operator.SourceForm,
		Outs: []operator.Type{operator.TypeOf[T]()},
		Make: func(env *operator.Env, outs []any) (any, operator.Operator, error) {
			return nil, operator.NewSourceReader(env, src, outs[0].(operator.Pusher[T])), nil
		},
		Enumerator: src.Enumerator,
	}, options)
	return stream[T](j, n, 0)
}

// To ends a stream in a sink. The id is what the sink's pending output is found by in a checkpoint.
func To[T any](in Stream[T], id string, s sink.Sink[T], options ...Option) {
	step := program.Step{
		In: operator.TypeOf[T](),
		Make: func(env *operator.Env, _ []any) (any, operator.Operator, error) {
			w := operator.NewSinkWriter(env, s)
			return w, w, nil
		},
	}
	if two, ok := s.(sink.TwoPhase[T]); ok {
		step.Committer = func(ctx context.Context, env sink.CommitterEnv) (sink.Committer, error) {
			return two.Committer(ctx, env)
		}
		in.job.addCommitting(committing{id, s, s.Location()})
		step.Form = operator.SinkForm
		step.Withdrawer, _ = s.(sink.Withdrawer)
	}
	if c, ok := s.(sink.Checker); ok {
		if err := c.CheckSink(); err != nil {
			in.job.fail("sink %q: %w", id, err)
		}
	}
	addNode(in.job, graph.Node{Kind: graph.Sink, Name: id, Named: true, Location: s.Location(), Inputs: in.edges}, step, options)
}

// unnamed adds a step that keeps no state.
func unnamed[T, U any](in Stream[T], name string, options []Option, newStep func(out operator.Pusher[U]) operator.Pusher[T]) Stream[U] {
	n := addNode(in.job, graph.Node{Name: name, Inputs: in.edges}, program.Step{
		In:   operator.TypeOf[T](),
		Outs: []operator.Type{operator.TypeOf[U]()},
		Make: func(_ *operator.Env, outs []any) (any, operator.Operator, error) {
			return newStep(outs[0].(operator.Pusher[U])), nil, nil
		},
	}, options)
	return stream[U](in.job, n, 0)
}

// Map turns each record into another. To return a record of more than four words costs some 15 ns: see MapInto and Edit.
func Map[T, U any](in Stream[T], f func(T) U, options ...Option) Stream[U] {
	return unnamed(in, "map", options, func(out operator.Pusher[U]) operator.Pusher[T] { return operator.NewMap(f, out) })
}

// TryMap turns each record into another, and fails the job when f fails.
func TryMap[T, U any](in Stream[T], f func(T) (U, error), options ...Option) Stream[U] {
	return unnamed(in, "try map", options, func(out operator.Pusher[U]) operator.Pusher[T] { return operator.NewTryMap(f, out) })
}

// MapInto turns each record into another, which f fills: it is zero before. Both pointers are valid during the call only.
func MapInto[T, U any](in Stream[T], f func(*T, *U), options ...Option) Stream[U] {
	return unnamed(in, "map into", options, func(out operator.Pusher[U]) operator.Pusher[T] { return operator.NewMapInto(f, out) })
}

// Edit changes each record in place. The pointer is valid during the call only. What lies behind pointers, slices and maps in the record
// may be shared and must not be changed.
func Edit[T any](in Stream[T], f func(*T), options ...Option) Stream[T] {
	return unnamed(in, "edit", options, func(out operator.Pusher[T]) operator.Pusher[T] { return operator.NewEdit(f, out) })
}

// Filter keeps the records for which f is true.
func Filter[T any](in Stream[T], f func(T) bool, options ...Option) Stream[T] {
	return unnamed(in, "filter", options, func(out operator.Pusher[T]) operator.Pusher[T] { return operator.NewFilter(f, out) })
}

// FlatMap turns each record into any number of others, which carry its event time.
func FlatMap[T, U any](in Stream[T], f func(T) iter.Seq[U], options ...Option) Stream[U] {
	return unnamed(in, "flat map", options, func(out operator.Pusher[U]) operator.Pusher[T] { return operator.NewFlatMap(f, out) })
}

// Union merges streams of one type. Records of each stream stay in order, those of different streams come in any.
func Union[T any](first Stream[T], others ...Stream[T]) Stream[T] {
	all := Stream[T]{job: first.job, edges: append([]graph.Edge{}, first.edges...)}
	for _, s := range others {
		if s.job != first.job {
			first.job.fail("Union: the streams belong to different jobs")
		}
		all.edges = append(all.edges, s.edges...)
	}
	return all
}

// Rebalance deals the records out evenly to the subtasks of the next step.
func Rebalance[T any](in Stream[T]) Stream[T] { return in.with(graph.Rebalance, nil) }

// Broadcast sends every record to all subtasks of the next step.
func Broadcast[T any](in Stream[T]) Stream[T] { return in.with(graph.Broadcast, nil) }

// Forward keeps every record in the subtask of the same index. The next step must have the same parallelism.
func Forward[T any](in Stream[T]) Stream[T] { return in.with(graph.Forward, nil) }

// Partition sends each record to the subtask of the next step that pick returns, 0 .. subtasks-1.
func Partition[T any](in Stream[T], pick func(record T, subtasks int) int) Stream[T] {
	return in.with(graph.Custom, program.EdgePayload{Picker: pick})
}
