package stateform

import (
	"errors"
	"fmt"
	"strings"

	"github.com/weirstream/weir/codec"
)

// Migration is a function of the program, told by its types, that makes values of one type from those of another.
type Migration struct{ Old, New *codec.Schema }

// Route is how stored values become those of a state: they are read as the type that the migration First begins with, and go through it and
// all that follow; or they are read as the state's own type, if First is the number of its migrations.
type Route struct {
	First   int
	Verdict codec.Verdict // how they are read
}

// ErrAmbiguous is wrapped by errors about stored values that could be read in more than one way.
var ErrAmbiguous = errors.New("it could be read in more than one way")

// Route finds the way for values that were stored under a schema. What was stored by a version of the program that a migration begins with
// takes that migration; what was stored in the present form takes none. Anything else has evolved from one of these without the program
// saying from which: it must fit only one of them, or only one without loss.
func (s State) Route(stored *codec.Schema) (Route, error) {
	last := len(s.Migrations)
	routes := make([]Route, last+1)
	for i := range routes {
		routes[i] = Route{i, s.compare(stored, s.version(i))}
	}
	for i := last; i >= 0; i-- {
		if routes[i].Verdict.Same() {
			return routes[i], nil
		}
	}
	fits := func(Route) bool { return true }
	whole := func(r Route) bool { return !r.Verdict.Loses }
	for _, good := range []func(Route) bool{whole, fits} {
		var found []Route
		for _, r := range routes {
			if r.Verdict.Err() == nil && good(r) {
				found = append(found, r)
			}
		}
		switch {
		case len(found) == 1:
			return found[0], nil
		case len(found) > 1:
			return Route{}, s.ambiguous(stored, found)
		}
	}
	return Route{}, s.refused(stored, routes[last].Verdict.Err())
}

// version returns the type that migration i begins with; the one behind the last is the present type.
func (s State) version(i int) *codec.Schema {
	if i == len(s.Migrations) {
		return s.Elem
	}
	return s.Migrations[i].Old
}

// compare compares values as the kind of the state asks for.
func (s State) compare(stored, now *codec.Schema) codec.Verdict {
	switch s.Kind {
	case List, Split, Union:
		return codec.CompareElements(stored, now)
	case Broadcast:
		if old, key := entryField(stored, "Key"), entryField(now, "Key"); old != nil && key != nil {
			if v := codec.CompareMapKeys(old, key); v.Err() != nil {
				return v
			}
		}
	}
	return codec.Compare(stored, now)
}

// entryField returns the Key or the Value of an entry of a broadcast state, which is kept as a list of them.
func entryField(s *codec.Schema, name string) *codec.Schema {
	for _, f := range s.Fields {
		if f.Name == name {
			return f.Schema
		}
	}
	return nil
}

// migrates returns what a migration of the state is given, and makes, of stored and present elements: the values of a broadcast map, not its
// entries.
func (s State) migrates(elem *codec.Schema) *codec.Schema {
	if s.Kind == Broadcast {
		if value := entryField(elem, "Value"); value != nil {
			return value
		}
	}
	return elem
}

func (s State) ambiguous(stored *codec.Schema, found []Route) error {
	var ways []string
	for _, r := range found {
		if r.First == len(s.Migrations) {
			ways = append(ways, fmt.Sprintf("as %v without a migration", s.Elem))
		} else {
			ways = append(ways, fmt.Sprintf("as %v, to be migrated", s.migrates(s.version(r.First))))
		}
	}
	return fmt.Errorf("was %v, and %w (%s): add a migration from exactly that type", stored, ErrAmbiguous, strings.Join(ways, "; "))
}

// refused says why, and what can be done.
func (s State) refused(stored *codec.Schema, why error) error {
	if len(s.Migrations) == 0 {
		return fmt.Errorf("%w; to keep it, give the processor a migration: state.Migrate(%q, func(old %s) (%s, error) { ... })",
			why, s.Name, typeName(s.migrates(stored), "Old"), typeName(s.migrates(s.Elem), "New"))
	}
	return fmt.Errorf("%w; it is not %v either, with which its migrations begin", why, s.migrates(s.Migrations[0].Old))
}

// typeName returns a type as a program may write it, or a name for one that is long or has a form of its own, whose Go type is not known.
func typeName(s *codec.Schema, name string) string {
	const short = 24
	if text := s.String(); len(text) <= short && !strings.Contains(text, "(") {
		return text
	}
	return name
}

// words says what becomes of the values.
func (r Route) words(s State) (changes []string) {
	if r.First < len(s.Migrations) {
		changes = append(changes, fmt.Sprintf("migrated by the program from %v", s.migrates(s.version(r.First))))
		for _, c := range r.Verdict.Changes {
			changes = append(changes, "before that, "+c)
		}
		return changes
	}
	return r.Verdict.Changes
}
