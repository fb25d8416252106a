// Package assign answers who gets which state: it deals out what a snapshot holds to the subtasks of a job that may have other steps, other
// chains and another parallelism than the job the snapshot was taken of.
//
//   - Each key group and each element of a split list goes to exactly one subtask; a union list goes to all, a broadcast state to each
//     as one copy.
//   - State that no operator takes is an error, never dropped in silence. What a sink has prepared and not committed is output that would be
//     lost: it is dropped only for the step whose name is said.
//   - It is pure: no file is opened, streams are only cut by their offsets. The snapshot is not changed; the result shares its slices.
package assign

import (
	"errors"
	"fmt"

	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/keygroup"
	"github.com/weirstream/weir/internal/keyhash"
	"github.com/weirstream/weir/internal/protocol/snapshot"
)

// Job is the job that is to be restored, as far as it matters for state.
type Job struct {
	Vertices []Vertex
}

// Vertex is one task of the job, a chain of operators.
type Vertex struct {
	ID          job.VertexID
	Name        string // for messages
	Parallelism int
	// MaxParallelism is the user's if MaxExplicit is set. Otherwise it is a default that gives way to that of the state.
	MaxParallelism int
	MaxExplicit    bool
	Operators      []Operator // head first
	Inputs         []Edge
}

// Edge is one input of a vertex.
type Edge struct {
	From     job.VertexID
	AllToAll bool // every upstream subtask sends to every one downstream; otherwise each to some
}

// Operator is one operator of a vertex.
type Operator struct {
	ID job.OperatorID
	// FormerIDs are other ids under which its state may be found, in order of preference, after ID.
	FormerIDs []job.OperatorID
	Name      string // the user's id of the step or its generated name
	Named     bool   // whether Name is the user's id
}

// Options say how a snapshot is restored.
type Options struct {
	// AllowNonRestored drops state that no operator takes, instead of refusing. It does not drop what sinks have prepared.
	AllowNonRestored bool
	// DropUncommitted names operators, by name or id, whose state may be dropped if no operator takes it, together with what it holds of
	// a sink's prepared output. Names that the snapshot does not have mean nothing.
	DropUncommitted []string
	// Failover marks a restart within one run: the graph has been compared when the run began, and what it left behind then stays so.
	Failover bool
}

// Assignment says what each subtask begins with.
type Assignment struct {
	Vertices []RestoredVertex // one for each of the job, in its order
	Dropped  []Unmatched      // state of the snapshot that is left behind, as Options permit
}

// RestoredVertex is what one vertex begins with.
type RestoredVertex struct {
	ID             job.VertexID
	MaxParallelism int // that of the state if there is any
	// Finished marks a vertex whose operators had all finished: its tasks only pass on the end of data and barriers.
	Finished  bool
	Operators []RestoredOperator // in the order of the vertex
}

// RestoredOperator is what one operator begins with.
type RestoredOperator struct {
	ID          job.OperatorID
	From        job.OperatorID // the id its state was found under; zero if there was none
	Coordinator []byte         // nil if its coordinator has no state
	// Subtasks has one entry for each subtask, nil where it begins empty.
	Subtasks []*snapshot.OperatorSubtask
}

// Assign deals out a snapshot. The error joins everything that stands against it; each part names the operator or vertex and what can be
// done, and *UnmatchedError is the one for state that no operator takes.
func Assign(meta *snapshot.Metadata, j Job, o Options) (*Assignment, error) {
	if err := checkKeys(meta); err != nil {
		return nil, err
	}
	m, err := Match(meta, j)
	if err != nil {
		return nil, err
	}
	errs := []error{m.refuse(meta.Checkpoint, o)}
	if !o.Failover {
		errs = append(errs, checkFinished(j, m.Of))
	}
	a := &Assignment{Dropped: m.Left}
	for _, v := range j.Vertices {
		restored, err := restoreVertex(v, m.Of)
		if err != nil {
			errs = append(errs, fmt.Errorf("restore %q from checkpoint %d: %w", v.Name, meta.Checkpoint, err))
		}
		a.Vertices = append(a.Vertices, restored)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return a, nil
}

// checkKeys refuses keyed state that was laid out by other rules: keys would be looked for in groups they are not in.
func checkKeys(meta *snapshot.Metadata) error {
	if meta.KeyHash == keyhash.Name && meta.GroupRule == keygroup.GroupRule || !hasKeyed(meta) {
		return nil
	}
	return fmt.Errorf("checkpoint %d has keys laid out by hash %q and group rule %q, this version of Weir knows %q and %q",
		meta.Checkpoint, meta.KeyHash, meta.GroupRule, keyhash.Name, keygroup.GroupRule)
}

func hasKeyed(meta *snapshot.Metadata) bool {
	for i := range meta.Operators {
		if isKeyed(&meta.Operators[i]) {
			return true
		}
	}
	return false
}

func isKeyed(o *snapshot.OperatorState) bool {
	for _, s := range o.Subtasks {
		if s != nil && len(s.Keyed) > 0 {
			return true
		}
	}
	return false
}

func restoreVertex(v Vertex, matched map[job.OperatorID]*snapshot.OperatorState) (RestoredVertex, error) {
	r := RestoredVertex{ID: v.ID, Finished: statusOf(v, matched) == fullyFinished}
	var err error
	if r.MaxParallelism, err = maxParallelism(v, matched); err != nil {
		return r, err
	}
	for _, op := range v.Operators {
		r.Operators = append(r.Operators, restoreOperator(op.ID, v.Parallelism, matched[op.ID]))
	}
	return r, nil
}

func restoreOperator(id job.OperatorID, parallelism int, state *snapshot.OperatorState) RestoredOperator {
	r := RestoredOperator{ID: id}
	if state == nil {
		r.Subtasks = make([]*snapshot.OperatorSubtask, parallelism)
		return r
	}
	r.From, r.Coordinator = state.ID, state.Coordinator
	r.Subtasks = redistribute(state, parallelism)
	return r
}

// decisive returns the state that fixes the max parallelism of a vertex, nil if there is none: the one with keys, or else the one that allows
// most. Lists are not laid out by key groups, so steps may be chained whose lists were written under different ones.
func decisive(v Vertex, matched map[job.OperatorID]*snapshot.OperatorState) (from *snapshot.OperatorState, err error) {
	keyed := false
	for _, op := range v.Operators {
		state := matched[op.ID]
		switch {
		case state == nil || !state.HasState():
		case keyed && isKeyed(state) && from.MaxParallelism != state.MaxParallelism:
			return nil, fmt.Errorf("its steps run in one task, but the state of %q has max parallelism %d and that of %q %d: separate them",
				from.Name, from.MaxParallelism, state.Name, state.MaxParallelism)
		case keyed:
		case isKeyed(state):
			from, keyed = state, true
		case from == nil || state.MaxParallelism > from.MaxParallelism:
			from = state
		}
	}
	return from, nil
}

// maxParallelism returns the max parallelism of a vertex, which is that of its state: a key's group must not change.
func maxParallelism(v Vertex, matched map[job.OperatorID]*snapshot.OperatorState) (int, error) {
	from, err := decisive(v, matched)
	if err != nil {
		return 0, err
	}
	switch {
	case from == nil:
		return v.MaxParallelism, nil
	case from.MaxParallelism < v.Parallelism:
		return 0, fmt.Errorf("parallelism %d is larger than the max parallelism %d of the state of %q: set it to %d or less",
			v.Parallelism, from.MaxParallelism, from.Name, from.MaxParallelism)
	case v.MaxExplicit && from.MaxParallelism != v.MaxParallelism:
		return 0, fmt.Errorf("max parallelism was changed from %d to %d, but the state of %q is laid out for %d: set it back, or do not set it",
			from.MaxParallelism, v.MaxParallelism, from.Name, from.MaxParallelism)
	}
	return from.MaxParallelism, nil
}
