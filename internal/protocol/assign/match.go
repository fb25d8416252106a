package assign

import (
	"fmt"
	"strings"

	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/nearest"
	"github.com/weirstream/weir/internal/protocol/snapshot"
)

// Unmatched is state of a snapshot that no operator takes.
type Unmatched struct {
	ID    job.OperatorID
	Name  string
	Named bool
	// Nearest is the step without state whose name is most like Name; empty if none is alike.
	Nearest string
}

// UnmatchedError reports state that no operator of the job takes.
type UnmatchedError struct {
	Checkpoint job.CheckpointID
	States     []Unmatched
	Free       []string // names of the job's steps that found no state
}

func (e *UnmatchedError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "checkpoint %d has state that no step of this job takes: %s", e.Checkpoint, e.states())
	if len(e.Free) > 0 {
		fmt.Fprintf(&b, "; steps of this job without state: %s", quoted(e.Free))
	} else {
		b.WriteString("; every step of this job has found its state or has none")
	}
	for _, s := range e.States {
		if s.Nearest != "" && s.Named {
			fmt.Fprintf(&b, "; if %q is the former %q, say so with FormerlyID(%q)", s.Nearest, s.Name, s.Name)
		}
	}
	b.WriteString("; keep each such step, or name it with FormerlyID in the step that takes its place (giving state up is not available yet), or start anew with --fresh")
	return b.String()
}

func (e *UnmatchedError) states() string {
	var all []string
	for _, s := range e.States {
		text := fmt.Sprintf("%q (%s)", s.Name, s.ID)
		if !s.Named {
			text = fmt.Sprintf("%q (%s, a generated id: it changes with the graph unless the step gets an id)", s.Name, s.ID)
		}
		all = append(all, text)
	}
	return strings.Join(all, ", ")
}

func quoted(names []string) string {
	q := make([]string, len(names))
	for i, n := range names {
		q[i] = fmt.Sprintf("%q", n)
	}
	return strings.Join(q, ", ")
}

// match finds the state of each operator of the job: under its id, or else under one of its former ids.
func match(meta *snapshot.Metadata, j Job, o Options) (matched map[job.OperatorID]*snapshot.OperatorState, dropped []string, err error) {
	m := matcher{
		states:  map[job.OperatorID]*snapshot.OperatorState{},
		taken:   map[job.OperatorID]string{},
		matched: map[job.OperatorID]*snapshot.OperatorState{},
	}
	for i := range meta.Operators {
		m.states[meta.Operators[i].ID] = &meta.Operators[i]
	}
	for _, v := range j.Vertices {
		for _, op := range v.Operators {
			if err := m.operator(op); err != nil {
				return nil, nil, err
			}
		}
	}
	left := m.left(meta)
	if len(left) == 0 {
		return m.matched, nil, nil
	}
	if !o.AllowNonRestored && !o.Failover {
		return nil, nil, &UnmatchedError{Checkpoint: meta.Checkpoint, States: left, Free: m.free}
	}
	for _, l := range left {
		dropped = append(dropped, l.Name)
	}
	return m.matched, dropped, nil
}

type matcher struct {
	states  map[job.OperatorID]*snapshot.OperatorState // of the snapshot
	taken   map[job.OperatorID]string                  // by the operator of that name
	matched map[job.OperatorID]*snapshot.OperatorState // by the id of the job's operator
	free    []string                                   // operators that found nothing
}

func (m *matcher) operator(op Operator) error {
	for _, id := range append([]job.OperatorID{op.ID}, op.FormerIDs...) {
		state := m.states[id]
		if state == nil {
			continue
		}
		if other, ok := m.taken[id]; ok {
			return fmt.Errorf("steps %q and %q both take the state of %q (%s): give each an id of its own", other, op.Name, state.Name, id)
		}
		m.taken[id] = op.Name
		m.matched[op.ID] = state
		return nil
	}
	m.free = append(m.free, op.Name)
	return nil
}

// left returns the state that nobody took, without what is empty: that is no loss.
func (m *matcher) left(meta *snapshot.Metadata) (left []Unmatched) {
	for i := range meta.Operators {
		o := &meta.Operators[i]
		if _, ok := m.taken[o.ID]; ok || !o.HasState() {
			continue
		}
		near, _ := nearest.Name(o.Name, m.free, nearest.Half(o.Name))
		left = append(left, Unmatched{ID: o.ID, Name: o.Name, Named: o.Named, Nearest: near})
	}
	return left
}
