package assign

import (
	"fmt"
	"slices"
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
	// Uncommitted is how much a sink has prepared in it; see snapshot.OperatorState.Uncommitted.
	Uncommitted int
	// Clocks marks state that tells only how far event time had come: to leave it behind loses no data.
	Clocks bool
	// Nearest is the step without state whose name is most like Name; empty if none is alike.
	Nearest string
}

// String names the state, and what of it is output that exists nowhere else.
func (u Unmatched) String() string {
	generated, uncommitted := "", ""
	if !u.Named {
		generated = ", a generated id: it changes with the graph unless the step gets an id"
	}
	if u.Uncommitted > 0 {
		uncommitted = fmt.Sprintf(", with %s that %s not known to be committed and would be LOST", things(u.Uncommitted), are(u.Uncommitted))
	}
	return fmt.Sprintf("%q (%s%s%s)", u.Name, u.ID, generated, uncommitted)
}

func things(n int) string {
	if n == 1 {
		return "1 prepared piece of output"
	}
	return fmt.Sprintf("%d prepared pieces of output", n)
}

func are(n int) string {
	if n == 1 {
		return "is"
	}
	return "are"
}

// UnmatchedError reports state that no operator of the job takes and that may not be left behind.
type UnmatchedError struct {
	Checkpoint job.CheckpointID
	States     []Unmatched
	Free       []string // names of the job's steps that found no state
}

// Error lists both sides, guesses which belong together, and says what can be done.
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
	b.WriteString("; keep each such step, or name it with FormerlyID in the step that takes its place, or ")
	b.WriteString(e.remedy())
	b.WriteString(", or start anew with --fresh")
	return b.String()
}

// remedy says which flags give the states up.
func (e *UnmatchedError) remedy() string {
	var flags []string
	for _, s := range e.States {
		if s.Uncommitted == 0 {
			flags = []string{"--allow-non-restored-state"}
			break
		}
	}
	what := "that state"
	for _, s := range e.States {
		if s.Uncommitted > 0 {
			flags = append(flags, "--drop-uncommitted "+s.Name)
			what = "that state and output"
		}
	}
	return fmt.Sprintf("give %s up with %s", what, strings.Join(flags, " "))
}

func (e *UnmatchedError) states() string {
	var all []string
	for _, s := range e.States {
		all = append(all, s.String())
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

// Matching says which operator takes which state.
type Matching struct {
	// Of holds the state of each operator of the job that has found one, by the operator's id. It points into the snapshot.
	Of map[job.OperatorID]*snapshot.OperatorState
	// Left is the state that nobody takes, in the order of the snapshot, without what is empty: that is no loss.
	Left []Unmatched
	// Free names the job's steps that have found nothing, in its order. Steps without an id of the user's are left out.
	Free []string
}

// Match finds the state of each operator of the job: under its id, or else under one of its former ids. The error names two steps that
// take the same.
func Match(meta *snapshot.Metadata, j Job) (Matching, error) {
	m := matcher{
		states:   map[job.OperatorID]*snapshot.OperatorState{},
		taken:    map[job.OperatorID]string{},
		Matching: Matching{Of: map[job.OperatorID]*snapshot.OperatorState{}},
	}
	for i := range meta.Operators {
		m.states[meta.Operators[i].ID] = &meta.Operators[i]
	}
	for _, v := range j.Vertices {
		for _, op := range v.Operators {
			if err := m.operator(op); err != nil {
				return Matching{}, err
			}
		}
	}
	m.leave(meta)
	return m.Matching, nil
}

type matcher struct {
	Matching
	states map[job.OperatorID]*snapshot.OperatorState // of the snapshot
	taken  map[job.OperatorID]string                  // by the operator of that name
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
		m.Of[op.ID] = state
		return nil
	}
	if op.Named {
		m.Free = append(m.Free, op.Name)
	}
	return nil
}

func (m *matcher) leave(meta *snapshot.Metadata) {
	for i := range meta.Operators {
		o := &meta.Operators[i]
		if _, ok := m.taken[o.ID]; ok || !o.HasState() {
			continue
		}
		near, _ := nearest.Name(o.Name, m.Free, nearest.Half(o.Name))
		m.Left = append(m.Left, Unmatched{
			ID: o.ID, Name: o.Name, Named: o.Named, Uncommitted: o.Uncommitted(), Clocks: o.OnlyClocks(), Nearest: near,
		})
	}
}

// MayDrop reports whether the options allow to leave a state behind.
func (o Options) MayDrop(u Unmatched) bool {
	switch {
	case o.Failover || u.Clocks:
		return true
	case slices.Contains(o.DropUncommitted, u.Name) || slices.Contains(o.DropUncommitted, u.ID.String()):
		return true
	}
	return o.AllowNonRestored && u.Uncommitted == 0
}

// refuse returns the error about the states that may not be left behind, nil if all may.
func (m Matching) refuse(id job.CheckpointID, o Options) error {
	kept := slices.DeleteFunc(slices.Clone(m.Left), o.MayDrop)
	if len(kept) == 0 {
		return nil
	}
	return &UnmatchedError{Checkpoint: id, States: kept, Free: m.Free}
}
