// Package stateform answers what the state of a step looks like, and whether state that was stored fits the step as it is now.
//
// A Form is a value: a step declares one before it runs, and what a snapshot holds of a step has one. They are compared here and nowhere
// else, so that a plan that is only looked at, a start and a restore say the same in the same words.
//
//   - Keyed states and list states are found by their names, or those that they had; a step may have one of each of a name.
//   - Values of another type are read if they evolve (codec.Compare) or the step has a migration for them (State.Route): what becomes of them is
//     told in words.
//   - Stored state that the step does not declare is left: nobody would read it. Whether that may be is for the caller to say. A declared
//     state that was not stored begins empty.
//   - A list without a schema is kept by the engine, or a connector, in a form of its own. All that can be compared is that it is there, and
//     it cannot be left: without it the step would not be what it was.
package stateform

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/weirstream/weir/codec"
)

// Kind says how a state is kept and dealt out. It is the word that users read.
type Kind string

// The kinds: of keyed state, and of lists that belong to subtasks.
const (
	Value     Kind = "value"
	Map       Kind = "map"
	List      Kind = "list"
	Timer     Kind = "timer"
	Timers    Kind = "timers"
	Split     Kind = "split list"
	Union     Kind = "union list"
	Broadcast Kind = "broadcast list"
)

// isTimer reports whether a state consists of deadlines, and has no values.
func (k Kind) isTimer() bool { return k == Timer || k == Timers }

// State is one state.
type State struct {
	Name  string
	Field string // of the processor, as the user wrote it; empty if that is not known
	Kind  Kind
	Clock string        // of a timer and of timers: event or processing
	Key   *codec.Schema // of a map
	Elem  *codec.Schema // of a value, a map's values or a list's elements; nil for timers and for a form of its own
	Empty bool          // of a stored list: it has no elements, so that nothing is lost without it

	// The following are what a step says beside: of a stored state they are empty.
	Former     []string    // names that the state had
	Migrations []Migration // of Elem, in the order of the program's versions: each begins with the type that the one before ends with
}

// String returns the state as in a list of states: map "pages" from string to int64.
func (s State) String() string {
	switch {
	case s.Kind.isTimer():
		return fmt.Sprintf("%s-time %s %q", s.Clock, s.Kind, s.Name)
	case s.Kind == Map:
		return fmt.Sprintf("map %q from %v to %v", s.Name, s.Key, s.Elem)
	case s.Elem == nil:
		return fmt.Sprintf("%s %q", s.Kind, s.Name)
	}
	return fmt.Sprintf("%s %q of %v", s.Kind, s.Name, s.Elem)
}

// Type returns the type as a program would write it, "" for a form of its own.
func (s State) Type() string {
	switch {
	case s.Kind.isTimer():
		return s.Clock + " time"
	case s.Kind == Map:
		return fmt.Sprintf("map[%v]%v", s.Key, s.Elem)
	case s.Elem == nil:
		return ""
	case s.Kind == List || s.Kind == Split || s.Kind == Union:
		return "[]" + s.Elem.String()
	}
	return s.Elem.String()
}

// mapKey returns the schema of the keys of a map, be it one that is kept as a list of entries, nil for other states.
func (s State) mapKey() *codec.Schema {
	if s.Kind == Broadcast && s.Elem != nil {
		return entryField(s.Elem, "Key")
	}
	return s.Key
}

// label names the state in a message about it.
func (s State) label() string {
	if s.Field == "" {
		return fmt.Sprintf("state %q", s.Name)
	}
	return fmt.Sprintf("state %q (field %s)", s.Name, s.Field)
}

// Form is what the state of one step looks like. The zero value is that of a step without state.
type Form struct {
	Key   *codec.Schema // nil: the step has no keyed state
	Keyed []State
	Lists []State
}

// declared returns what a program declares: all but lists that the engine or a connector keeps.
func (f Form) declared() []State {
	all := slices.Clone(f.Keyed)
	for _, l := range f.Lists {
		if l.Elem != nil {
			all = append(all, l)
		}
	}
	return all
}

// Fit says how one state of a step stands to what was stored.
type Fit struct {
	State            // as it is now, or as it was stored if the step does not have it any more
	New     bool     // nothing was stored under the name
	Gone    bool     // the step does not have it any more; then Err says why it cannot be left, nil if it can
	Err     error    // why what was stored cannot be read, nil if it can
	Stored  bool     // something was stored under the name, or one that it had
	From    string   // the name under which it was stored, if that was another
	Changes []string // in words, what becomes of what was stored, if that is not what it was
}

// Comparison is the result of Compare.
type Comparison struct {
	Key error // why the keys cannot be read, nil if they can; then no keyed state can be read either
	// KeyChanges says in words how the keys are read, if they are of another type.
	KeyChanges []string
	States     []Fit // what the step has, in its order, and then what only the snapshot has: first keyed states, then lists
	err        error
	left       error
}

// Compare compares what was stored of a step with what the step declares. Lists of which nothing was stored are new.
func Compare(stored, now Form) Comparison {
	c := CompareKeyed(stored, now)
	lists := compareStates(stored.Lists, now.Lists)
	c.States = append(c.States, lists...)
	c.err = errors.Join(c.err, errorsOf(lists))
	fits := c.States
	if c.Key != nil {
		fits = lists // of keyed state that is said
	}
	c.left = missing(fits, stored.declared(), now.declared())
	return c
}

// Err joins everything that stands against reading what was stored, nil if nothing does.
func (c Comparison) Err() error { return c.err }

// Left lists both sides if there is stored state that the step does not declare, so that it would be left; nil if there is none.
func (c Comparison) Left() error { return c.left }

// CompareKeyed compares the keyed state alone.
func CompareKeyed(stored, now Form) (c Comparison) {
	c.States = compareStates(stored.Keyed, now.Keyed)
	switch {
	case stored.Key == nil: // nothing was stored
	case now.Key == nil:
		c.Key = fmt.Errorf("the snapshot holds state by keys of type %v, the program's step has no keys", stored.Key)
	default:
		v := codec.CompareStreamKeys(stored.Key, now.Key)
		if c.KeyChanges = v.Changes; v.Err() != nil {
			c.Key = fmt.Errorf("the snapshot's key is %v, the program's is %v: %w; package savepoint can write it anew with other keys", stored.Key, now.Key, v.Err())
		}
	}
	if c.Key != nil {
		c.err = c.Key
		return c
	}
	c.err = errorsOf(c.States)
	c.left = missing(c.States, stored.Keyed, now.Keyed)
	return c
}

func errorsOf(fits []Fit) error {
	var errs []error
	for _, f := range fits {
		errs = append(errs, f.Err)
	}
	return errors.Join(errs...)
}

// missing lists both sides if the step does not have all that was stored.
func missing(fits []Fit, stored, now []State) error {
	for _, f := range fits {
		if f.Gone && f.Err == nil {
			return fmt.Errorf("the snapshot holds states that the program does not: it has %s; the program has %s", listed(stored), listed(now))
		}
	}
	return nil
}

func compareStates(stored, now []State) (fits []Fit) {
	taken := make(map[string]bool, len(stored))
	for _, n := range now {
		taken[n.Name] = true // before former names: what has a name now is not what had it
	}
	for _, n := range now {
		f := Fit{State: n, New: true}
		if s := n.among(stored, now); s != nil {
			f.New, f.Stored = false, true
			taken[s.Name] = true
			if s.Name != n.Name {
				f.From = s.Name
			}
			f.Changes, f.Err = n.accepts(*s)
		}
		fits = append(fits, f)
	}
	for _, s := range stored {
		if !taken[s.Name] && !s.Empty {
			fits = append(fits, Fit{State: s, Gone: true, Stored: true, Err: s.mustStay()})
		}
	}
	return fits
}

// Source returns the name of the state of now, if any, that takes what was stored under a name, given all that was stored.
func Source(stored, now []State) map[string]string {
	takers := map[string]string{}
	for _, n := range now {
		if s := n.among(stored, now); s != nil {
			takers[s.Name] = n.Name
		}
	}
	return takers
}

// among returns what was stored of the state: under its name, or else the first of its former names that no state has now.
func (s State) among(stored, now []State) *State {
	if was := find(stored, s.Name); was != nil {
		return was
	}
	for _, name := range s.Former {
		if was := find(stored, name); was != nil && find(now, name) == nil {
			return was
		}
	}
	return nil
}

// mustStay returns why stored state cannot be left by a step that goes on with the rest, nil if it can.
func (s State) mustStay() error {
	if s.Kind.isTimer() || s.Elem != nil {
		return nil
	}
	return fmt.Errorf("%s: the step does not keep it any more", s.label())
}

func find(states []State, name string) *State {
	for i := range states {
		if states[i].Name == name {
			return &states[i]
		}
	}
	return nil
}

// accepts returns how what was stored is read into this state, or why it cannot be.
func (s State) accepts(stored State) (changes []string, err error) {
	if s.Kind != stored.Kind || s.Clock != stored.Clock || (s.Elem == nil) != (stored.Elem == nil) {
		return nil, fmt.Errorf("%s: was %v, is now %v: to begin anew, give it another name; to keep it, rewrite it by package savepoint", s.label(), stored, s)
	}
	if old, key := stored.mapKey(), s.mapKey(); old != nil && key != nil {
		v := codec.CompareMapKeys(old, key)
		if v.Err() != nil {
			return nil, fmt.Errorf("%s, keys of the map: %w", s.label(), v.Err())
		}
		if s.Kind == Broadcast {
			v.Changes = nil // which are told of its entries
		}
		for _, c := range v.Changes {
			changes = append(changes, "keys of the map: "+c)
		}
	}
	if s.Elem != nil {
		r, err := s.Route(stored.Elem)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.label(), err)
		}
		changes = append(changes, r.words(s)...)
	}
	return changes, nil
}

func listed(states []State) string {
	if len(states) == 0 {
		return "no state"
	}
	var names []string
	for _, s := range states {
		names = append(names, s.String())
	}
	return strings.Join(names, ", ")
}
