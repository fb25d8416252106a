// Package plan answers what becomes of each state of a snapshot in the job as it is now, before anything of the job begins.
//
// It is what `--plan` prints, and what every start from a snapshot asks: both have the same answer because it is the same decision. Who gets
// which part of a state is dealt out by package assign, whether stored values can be read is compared by package stateform; here the two
// come together, state by state.
//
//   - Nothing is left out: every state of the snapshot and every state that a step declares has one fate.
//   - If anything stands against the restore there is no assignment, and Err says all of it.
//   - It is pure: the forms of what is stored have been read before.
package plan

import (
	"errors"
	"fmt"

	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/protocol/assign"
	"github.com/weirstream/weir/internal/protocol/snapshot"
	"github.com/weirstream/weir/internal/stateform"
)

// Fate is what becomes of a state.
type Fate string

// The fates.
const (
	// Keep means that every subtask goes on with what it had, or with a copy.
	Keep Fate = "keep"
	// Recut means that the state is dealt out anew among another number of subtasks.
	Recut Fate = "re-cut"
	// Evolve means that what was stored becomes values of the state's present type, see State.Changes.
	Evolve Fate = "evolve"
	// New means that the snapshot has nothing of it: it begins empty.
	New Fate = "new"
	// Dropped means that no step takes it, or that its step does not declare it any more, so that it is lost, or would be if the start were
	// not refused for it.
	Dropped Fate = "dropped"
	// Incompatible means that its step is there but cannot read it. The start is refused.
	Incompatible Fate = "incompatible"
)

// Input is what is known of both sides.
type Input struct {
	Meta *snapshot.Metadata
	Job  assign.Job
	// Steps says of each operator of the job, by its id, what it is.
	Steps map[job.OperatorID]Declared
	// Stored says of each operator of the snapshot, by its id there, what its state looks like.
	Stored  map[job.OperatorID]stateform.Form
	Options assign.Options
}

// Declared is what a step says of itself before it runs.
type Declared struct {
	Source bool // it has a coordinator, whose state is kept beside that of its subtasks
	Form   stateform.Form
}

// Plan is what a restore would do.
type Plan struct {
	Checkpoint job.CheckpointID
	// Steps has those of the job in its order, and then those of the snapshot that no step takes the state of.
	Steps      []Step
	assignment *assign.Assignment
	err        error
}

// Step is one step of the job, or of the snapshot alone.
type Step struct {
	Name string
	ID   job.OperatorID
	From string // the name its state was stored under, if that was another; else empty
	Was  int    // parallelism in the snapshot, 0 if the step is not in it
	Now  int    // parallelism in the job, 0 if the step is not in it
	// Finished says that the step has read all its data and does not run again.
	Finished bool
	// Uncommitted is how much a dropped sink has prepared that would be lost: see snapshot.OperatorState.
	Uncommitted int
	States      []State
}

// State is one state of a step.
type State struct {
	Name string
	Kind string // as in stateform.Kind; "enumerator" for the coordinator of a source
	Type string // as a program writes it, empty for what the engine or a connector keeps in a form of its own
	Fate Fate
	Why  string // it is incompatible
	From string // the name it was stored under, if that was another; else empty
	// Changes says what becomes of it as it evolves, a phrase each.
	Changes []string
}

// enumerator names the state of a source's coordinator.
const enumerator = "enumerator"

// Make compares a snapshot with a job.
func Make(in Input) *Plan {
	p := &Plan{Checkpoint: in.Meta.Checkpoint}
	m, err := assign.Match(in.Meta, in.Job)
	if err != nil {
		p.err = err
		return p
	}
	var errs []error
	for _, v := range in.Job.Vertices {
		for _, op := range v.Operators {
			s, err := in.step(v, op, m.Of[op.ID])
			p.Steps = append(p.Steps, s)
			errs = append(errs, err)
		}
	}
	for _, left := range m.Left {
		p.Steps = append(p.Steps, in.dropped(left))
	}
	a, err := assign.Assign(in.Meta, in.Job, in.Options)
	if p.err = errors.Join(append(errs, err)...); p.err == nil {
		p.assignment = a
	}
	return p
}

// Err returns everything that stands against the restore, nil if nothing does.
func (p *Plan) Err() error { return p.err }

// Assignment says what each subtask begins with. It is nil if Err is not.
func (p *Plan) Assignment() *assign.Assignment { return p.assignment }

// Count returns how many states have a fate.
func (p *Plan) Count(f Fate) (n int) {
	for _, s := range p.Steps {
		for _, state := range s.States {
			if state.Fate == f {
				n++
			}
		}
	}
	return n
}

// step compares one step of the job with its state in the snapshot, nil if there is none.
func (in Input) step(v assign.Vertex, op assign.Operator, stored *snapshot.OperatorState) (Step, error) {
	declared := in.Steps[op.ID]
	s := Step{Name: op.Name, ID: op.ID, Now: v.Parallelism}
	if stored == nil {
		s.compare(stateform.Compare(stateform.Form{}, declared.Form))
		return s, nil
	}
	s.Was, s.Finished = stored.Parallelism, stored.FullyFinished
	if stored.ID != op.ID {
		s.From = stored.Name
	}
	var err error
	if len(stored.Coordinator) > 0 {
		state := State{Name: enumerator, Kind: enumerator, Fate: Keep}
		if !declared.Source {
			state.Fate, state.Why = Incompatible, "the step is no source any more"
			err = fmt.Errorf("step %q: the snapshot holds the enumerator of a source, and the step is none any more", op.Name)
		}
		s.States = append(s.States, state)
	}
	if s.Finished && !holdsState(stored) {
		return s, err
	}
	c := stateform.Compare(in.Stored[stored.ID], declared.Form)
	s.compare(c)
	if c.Err() != nil {
		err = errors.Join(err, fmt.Errorf("step %q: %w", op.Name, c.Err()))
	}
	if c.Left() != nil && !in.Options.AllowNonRestored {
		err = errors.Join(err, fmt.Errorf("step %q: %w; declare it again, or give it up with --allow-non-restored-state", op.Name, c.Left()))
	}
	if n := stored.Uncommitted(); n > 0 && !takes(declared.Form, snapshot.UncommittedList) {
		s.Uncommitted = n
		err = errors.Join(err, fmt.Errorf("step %q: it has prepared output that is not known to be committed, and does not commit any more: finish or stop the job with the sink as it was, then change it", op.Name))
	}
	return s, err
}

func takes(f stateform.Form, list string) bool {
	for _, l := range f.Lists {
		if l.Name == list {
			return true
		}
	}
	return false
}

func holdsState(o *snapshot.OperatorState) bool {
	for _, s := range o.Subtasks {
		if !s.IsEmpty() {
			return true
		}
	}
	return false
}

// compare adds the states of a comparison.
func (s *Step) compare(c stateform.Comparison) {
	for _, f := range c.States {
		state := State{Name: f.Name, Kind: string(f.Kind), Type: f.Type(), Fate: s.fate(f.Kind), From: f.From}
		keyed := isKeyed(f.Kind)
		changes := f.Changes
		if keyed {
			for _, change := range c.KeyChanges {
				changes = append(changes[:len(changes):len(changes)], "key: "+change)
			}
		}
		switch {
		case f.New && !keyed && f.Elem == nil:
			continue // the engine's own, and empty
		case f.New:
			state.Fate = New
		case keyed && c.Key != nil:
			state.Fate, state.Why = Incompatible, c.Key.Error()
		case f.Err != nil:
			state.Fate, state.Why = Incompatible, f.Err.Error()
		case f.Gone:
			state.Fate = Dropped
		case len(changes) > 0:
			state.Fate, state.Changes = Evolve, changes
		}
		s.States = append(s.States, state)
	}
}

// fate is what becomes of a state that can be read.
func (s *Step) fate(k stateform.Kind) Fate {
	if s.Was == s.Now || k == stateform.Union || k == stateform.Broadcast {
		return Keep
	}
	return Recut
}

// Dropped returns the states that a step of the job does not declare any more. It is empty for a step that the job does not have.
func (s *Step) Dropped() (states []State) {
	for _, state := range s.States {
		if s.Now > 0 && state.Fate == Dropped {
			states = append(states, state)
		}
	}
	return states
}

func isKeyed(k stateform.Kind) bool {
	switch k {
	case stateform.Split, stateform.Union, stateform.Broadcast:
		return false
	}
	return true
}

// dropped tells of a step that the job does not have.
func (in Input) dropped(left assign.Unmatched) Step {
	s := Step{Name: left.Name, ID: left.ID, Uncommitted: left.Uncommitted}
	for i := range in.Meta.Operators {
		o := &in.Meta.Operators[i]
		if o.ID != left.ID {
			continue
		}
		s.Was = o.Parallelism
		if len(o.Coordinator) > 0 {
			s.States = append(s.States, State{Name: enumerator, Kind: enumerator, Fate: Dropped})
		}
	}
	form := in.Stored[left.ID]
	for _, state := range append(form.Keyed[:len(form.Keyed):len(form.Keyed)], form.Lists...) {
		s.States = append(s.States, State{Name: state.Name, Kind: string(state.Kind), Type: state.Type(), Fate: Dropped})
	}
	return s
}
