// Package program turns a planned graph into the tasks of one process: it makes the channels between subtasks, and in each subtask the
// chain of its steps.
//
//   - Steps of a chain are made tail first, so that each is given what it pushes to.
//   - Nothing is opened here: a task opens its operators when it runs.
//   - The heads of a loop learn from each other that it is empty through an object that Deploy makes for each attempt. Its lock is held for
//     the time of a decision.
package program

import (
	"context"

	"github.com/weirstream/weir/internal/graph"
	"github.com/weirstream/weir/internal/runtime/exchange"
	"github.com/weirstream/weir/internal/runtime/operator"
	"github.com/weirstream/weir/internal/stateform"
	"github.com/weirstream/weir/sink"
	"github.com/weirstream/weir/source"
)

// Step is what a node of the graph is at run time. The user's program makes it, with the types it knows.
type Step struct {
	In   operator.Type   // nil for a source
	Outs []operator.Type // by slot; none for a sink
	// Make makes the step for one subtask. outs holds a pusher for each slot. first is the pusher that takes the step's records, nil for
	// a source; op is nil if the step has no part in the life of its subtask.
	Make func(env *operator.Env, outs []any) (first any, op operator.Operator, err error)
	// Form says what the step's state looks like, so that it can be compared with a snapshot before the step is made.
	Form stateform.Form
	// Union names the states of the step of which every subtask is restored with all subtasks' elements.
	Union []string
	// Sides holds the side outputs of the template, by slot from 1.
	Sides []any
	// Enumerator starts the enumerator of a source.
	Enumerator func(ctx context.Context, env source.EnumeratorEnv, restored []byte) (source.Enumerator, error)
	// Committer opens the committer of a sink with two phases; nil for others.
	Committer func(ctx context.Context, env sink.CommitterEnv) (sink.Committer, error)
	// Withdrawer is the sink, if its committer can make invisible again what it has committed.
	Withdrawer sink.Withdrawer
	// Feedback makes the feedback edge of one subtask of a loop, as operator.LoopEnv has it. It is set for the head.
	Feedback func(o exchange.FeedbackOptions) exchange.Output
}

// StepOf returns the step of a node of a planned graph.
func StepOf(n *graph.Node) *Step { return n.Payload.(*Step) }

// EdgePayload is what an edge is at run time, beyond its partitioning.
type EdgePayload struct {
	Hasher any // a func([]T, []uint64) error for hash edges
	Picker any // a func(T, int) int for custom ones
	// ShipHashes says whether the consumer of a hash edge is sent the hashes, or makes them again.
	ShipHashes bool
}
