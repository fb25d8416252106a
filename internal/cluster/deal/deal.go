// Package deal deals the state of a checkpoint out to the subtasks of a plan. Which state goes where package assign decides; here a plan is
// described to it, and what it says is kept for those who start tasks.
//
//   - Whether the state fits the plan, and what of it may be left behind, was settled when the job started (package plan): what no step takes was
//     left behind then, and is so again in a restart from the same checkpoint.
//   - A plan takes over the max parallelism of the state that it is dealt first.
package deal

import (
	"github.com/weirstream/weir/internal/graph"
	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/protocol/assign"
	"github.com/weirstream/weir/internal/protocol/snapshot"
)

// Restored is what the operators of a plan begin with. Zero is for a new start.
type Restored struct {
	// ID is that of the checkpoint, 0 for none.
	ID job.CheckpointID
	// Finished are the vertices that had finished before it.
	Finished  map[job.VertexID]bool
	operators map[job.OperatorID]assign.RestoredOperator
}

// State returns the handles of what an operator has in one subtask, nil for nothing.
func (r *Restored) State(op job.OperatorID, subtask int) *snapshot.OperatorSubtask {
	if o, ok := r.operators[op]; ok {
		return o.Subtasks[subtask]
	}
	return nil
}

// Replace gives an operator that has state another one in one subtask.
func (r *Restored) Replace(op job.OperatorID, subtask int, by *snapshot.OperatorSubtask) {
	r.operators[op].Subtasks[subtask] = by
}

// Enumerator returns the state of the enumerator of a source, nil for none.
func (r *Restored) Enumerator(source job.OperatorID) []byte { return r.operators[source].Coordinator }

// Out says what each operator of a plan begins with, and lets the plan take over the max parallelism. meta is nil for no checkpoint.
func Out(meta *snapshot.Metadata, p *graph.Plan) (Restored, error) {
	a, err := assigned(meta, p)
	if err != nil {
		return Restored{}, err
	}
	return Adopt(meta, p, a), nil
}

// Again is like Out for a plan that has been dealt the same state before: the plan is not changed.
func Again(meta *snapshot.Metadata, p *graph.Plan) (Restored, error) {
	a, err := assigned(meta, p)
	if err != nil {
		return Restored{}, err
	}
	return newRestored(meta, a), nil
}

// Fits returns why the state of a checkpoint cannot be dealt out to a plan, nil if it can. Nothing is changed.
func Fits(meta *snapshot.Metadata, p *graph.Plan) error {
	_, err := assigned(meta, p)
	return err
}

// Adopt is Out for a state that is assigned already.
func Adopt(meta *snapshot.Metadata, p *graph.Plan, a *assign.Assignment) Restored {
	for i, v := range a.Vertices {
		p.Vertices[i].MaxParallelism = v.MaxParallelism
	}
	return newRestored(meta, a)
}

// assigned deals out the state of a checkpoint; there is none without one.
func assigned(meta *snapshot.Metadata, p *graph.Plan) (*assign.Assignment, error) {
	if meta == nil {
		return &assign.Assignment{}, nil
	}
	return assign.Assign(meta, Job(p), assign.Options{Failover: true})
}

func newRestored(meta *snapshot.Metadata, a *assign.Assignment) Restored {
	r := Restored{operators: map[job.OperatorID]assign.RestoredOperator{}, Finished: map[job.VertexID]bool{}}
	if meta == nil {
		return r
	}
	r.ID = meta.Checkpoint
	for _, v := range a.Vertices {
		r.Finished[v.ID] = v.Finished
		for _, op := range v.Operators {
			r.operators[op.ID] = op
		}
	}
	return r
}

// Job describes a plan to package assign.
func Job(p *graph.Plan) assign.Job {
	var j assign.Job
	for _, v := range p.Vertices {
		av := assign.Vertex{
			ID: v.ID(), Name: v.Name(), Parallelism: v.Parallelism, MaxParallelism: v.MaxParallelism, MaxExplicit: v.ExplicitMax,
		}
		for _, n := range v.Nodes {
			av.Operators = append(av.Operators, assign.Operator{ID: n.ID(), FormerIDs: n.FormerIDs(), Name: n.Name, Named: n.Named})
		}
		for _, in := range v.Inputs {
			av.Inputs = append(av.Inputs, assign.Edge{From: in.FromVertex.ID(), AllToAll: in.Partitioning != graph.Forward})
		}
		j.Vertices = append(j.Vertices, av)
	}
	return j
}
