package assign

import (
	"fmt"

	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/protocol/snapshot"
)

// status says how far an operator or a vertex had come.
type status uint8

const (
	running status = iota
	partlyFinished
	fullyFinished
)

func (s status) String() string {
	return [...]string{"running", "partly finished", "fully finished"}[s]
}

// statusOfOperator takes an operator that is not in the snapshot as running: it is new.
func statusOfOperator(state *snapshot.OperatorState) status {
	switch {
	case state == nil:
		return running
	case state.FullyFinished:
		return fullyFinished
	}
	for _, s := range state.Subtasks {
		if s != nil && s.Finished {
			return partlyFinished
		}
	}
	return running
}

// statusOf returns the status of a vertex: that of its operators, which checkFinished has seen to be the same, or the least advanced.
func statusOf(v Vertex, matched map[job.OperatorID]*snapshot.OperatorState) status {
	if len(v.Operators) == 0 {
		return running
	}
	least := fullyFinished
	for _, op := range v.Operators {
		least = min(least, statusOfOperator(matched[op.ID]))
	}
	return least
}

// checkFinished refuses a graph in which something that had finished would get new input, or would have to finish again beside something
// that runs.
func checkFinished(j Job, matched map[job.OperatorID]*snapshot.OperatorState) error {
	byID := map[job.VertexID]Vertex{}
	for _, v := range j.Vertices {
		byID[v.ID] = v
		if err := checkUniform(v, matched); err != nil {
			return err
		}
	}
	for _, v := range j.Vertices {
		for _, in := range v.Inputs {
			from := byID[in.From]
			if err := checkEdge(v, statusOf(v, matched), from, statusOf(from, matched), allToAll(v, in.From)); err != nil {
				return err
			}
		}
	}
	return nil
}

func checkUniform(v Vertex, matched map[job.OperatorID]*snapshot.OperatorState) error {
	for _, op := range v.Operators[min(1, len(v.Operators)):] {
		first, other := statusOfOperator(matched[v.Operators[0].ID]), statusOfOperator(matched[op.ID])
		if first != other {
			return fmt.Errorf("task %q: step %q is %s in the checkpoint and step %q is %s, but they run in one task now: "+
				"separate them as they were", v.Name, v.Operators[0].Name, first, op.Name, other)
		}
	}
	return nil
}

// allToAll reports whether any edge between the two is all-to-all: it rules.
func allToAll(v Vertex, from job.VertexID) bool {
	for _, in := range v.Inputs {
		if in.From == from && in.AllToAll {
			return true
		}
	}
	return false
}

func checkEdge(v Vertex, is status, from Vertex, fromIs status, allToAll bool) error {
	need := running
	switch {
	case is == fullyFinished || is == partlyFinished && allToAll:
		need = fullyFinished
	case is == partlyFinished:
		need = partlyFinished
	}
	if fromIs >= need {
		return nil
	}
	return fmt.Errorf("task %q is %s in the checkpoint, but its input %q is %s: a step that had finished cannot get new input; "+
		"restore with the graph the checkpoint was taken of", v.Name, is, from.Name, fromIs)
}
