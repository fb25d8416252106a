package stateform

import (
	"errors"
	"strings"
	"testing"

	"github.com/weirstream/weir/codec"
)

func schema[T any](t *testing.T) *codec.Schema {
	t.Helper()
	c, err := codec.For[T]()
	if err != nil {
		t.Fatal(err)
	}
	return c.Schema()
}

// What fits and what does not, one row for each way in which a step can change, and the words for it.
func TestCompare(t *testing.T) {
	integer, text := schema[int64](t), schema[string](t)
	sum := State{Name: "sum", Kind: Value, Elem: integer}
	named := State{Name: "sum", Field: "Sum", Kind: Value, Elem: integer}
	pages := State{Name: "pages", Kind: Map, Key: text, Elem: integer}
	idle := State{Name: "idle", Kind: Timer, Clock: "event"}
	own := State{Name: "splits", Kind: Split}
	with := func(s State, change func(*State)) State { change(&s); return s }
	keyed := func(states ...State) Form { return Form{Key: integer, Keyed: states} }
	listed := func(states ...State) Form { return Form{Lists: states} }
	pair := schema[struct{ A, B int }](t)
	ruled := func(key *codec.Schema) State {
		return State{Name: "rules", Kind: Broadcast, Elem: &codec.Schema{Kind: codec.Struct, Fields: []codec.Field{{Name: "Key", Schema: key}, {Name: "Value", Schema: integer}}}}
	}
	formed := func(version int) *codec.Schema {
		return &codec.Schema{Kind: codec.Opaque, Codec: "own", Version: version}
	}
	for _, c := range []struct {
		name        string
		stored, now Form
		want        []string // parts of the error, and of what is left; none for no error and nothing left
	}{
		{"nothing", Form{}, Form{}, nil},
		{"the same", keyed(sum, pages, idle), keyed(named, pages, idle), nil},
		{"another order", keyed(sum, pages), keyed(pages, named), nil},
		{"a new state", keyed(sum), keyed(named, idle), nil},
		{"a new step", Form{}, keyed(named, idle), nil},
		{"another type", keyed(sum), keyed(with(named, func(s *State) { s.Elem = text })), []string{`state "sum" (field Sum): value: was int64, is now string`}},
		{"another kind", keyed(sum), keyed(with(named, func(s *State) { s.Kind = List })), []string{`state "sum" (field Sum): was value "sum" of int64, is now list "sum" of int64`}},
		{"another clock", keyed(idle), keyed(with(idle, func(s *State) { s.Clock = "processing" })), []string{`was event-time timer "idle", is now processing-time timer "idle"`}},
		{"other keys of a map", keyed(pages), keyed(with(pages, func(s *State) { s.Key = integer })), []string{`state "pages", keys of the map: value: was string, is now int64`}},
		{"a state is gone", keyed(sum, idle), keyed(named),
			[]string{`the snapshot holds states that the program does not: it has value "sum" of int64, event-time timer "idle"; the program has value "sum" of int64`}},
		{"two mistakes", keyed(sum, idle), keyed(with(named, func(s *State) { s.Elem = text })), []string{"was int64, is now string", `event-time timer "idle"; the program has`}},
		{"a state of keys is one of subtasks now", keyed(sum), Form{Key: integer, Lists: []State{with(own, func(s *State) { s.Name, s.Kind, s.Elem = "sum", Union, integer })}},
			[]string{`it has value "sum" of int64; the program has union list "sum" of int64`}},
		{"another key of a broadcast state", listed(ruled(pair)), listed(ruled(integer)), []string{`state "rules", keys of the map: value: was struct{A int64; B int64}, is now int64`}},
		{"another value of a broadcast state", listed(ruled(integer)), listed(with(ruled(integer), func(s *State) {
			s.Elem = schema[struct {
				Key   int64
				Value string
			}](t)
		})), []string{`field Value: was int64, is now string; to keep it, give the processor a migration: state.Migrate("rules", func(old int64) (string, error)`}},
		{"another form of its own", keyed(with(sum, func(s *State) { s.Elem = formed(1) })), keyed(with(named, func(s *State) { s.Elem = formed(2) })),
			[]string{`was opaque(own/1), is now opaque(own/2): its codec reads no other version; to keep it, give the processor a migration: state.Migrate("sum", func(old Old) (New, error)`}},
		{"another key", keyed(sum), Form{Key: text, Keyed: []State{named}}, []string{"the snapshot's key is int64, the program's is string", "package savepoint"}},
		{"no key any more", keyed(sum), listed(own), []string{"by keys of type int64, the program's step has no keys"}},
		{"a key now", listed(with(own, func(s *State) { s.Empty = true })), keyed(sum), nil},
		{"a list of its own form", listed(own), listed(own), nil},
		{"a list has a form now", listed(own), listed(with(own, func(s *State) { s.Elem = text })), []string{`was split list "splits", is now split list "splits" of string`}},
		{"a list is dealt out otherwise", listed(own), listed(with(own, func(s *State) { s.Kind = Union })), []string{`is now union list "splits"`}},
		{"a list is gone", listed(with(own, func(s *State) { s.Elem = text })), Form{}, []string{`states that the program does not: it has split list "splits" of string; the program has no state`}},
		{"a list of its own form is gone", listed(own), Form{}, []string{`state "splits": the step does not keep it any more`}},
		{"an empty list is gone", listed(with(own, func(s *State) { s.Empty = true })), Form{}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			compared := Compare(c.stored, c.now)
			err := errors.Join(compared.Err(), compared.Left())
			if (err == nil) != (c.want == nil) {
				t.Fatalf("%v, want %q", err, c.want)
			}
			for _, part := range c.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%v lacks %q", err, part)
				}
			}
		})
	}
}

type (
	v1 struct{ Cents int32 }
	v2 struct {
		Cents int64
		Of    string `codec:",default=EUR"`
	}
	v3 struct{ Amount, Currency string }
)

// Which way stored values take to a state with migrations, and what the step is told of it.
func TestRoute(t *testing.T) {
	int16s, ints, floats := schema[int16](t), schema[int64](t), schema[float64](t)
	one, two, three := schema[v1](t), schema[v2](t), schema[v3](t)
	chain := State{Name: "total", Kind: Value, Elem: three, Migrations: []Migration{{one, two}, {two, three}}}
	scaled := State{Name: "total", Kind: Value, Elem: ints, Migrations: []Migration{{schema[int32](t), ints}}}
	for _, c := range []struct {
		name   string
		state  State
		stored *codec.Schema
		want   string
	}{
		{"present", chain, three, ""},
		{"first version", chain, one, "migrated by the program from " + one.String()},
		{"second version", chain, two, "migrated by the program from " + two.String()},
		{"a version from before the migrations", chain, schema[struct{ Cents int8 }](t), "! it could be read in more than one way"},
		{"nothing fits", chain, floats, "! value: was float64, is now struct{Amount string; Currency string}; it is not struct{Cents int32} either, with which its migrations begin"},
		{"what a migration begins with, not what is wider", scaled, schema[int32](t), "migrated by the program from int32"},
		{"narrower than both", scaled, int16s, "! was int16, and it could be read in more than one way (as int32, to be migrated; as int64 without a migration): add a migration from exactly that type"},
		{"without loss in one way only", chain, schema[struct {
			Amount, Currency string
			Note             string
		}](t), "! it could be read in more than one way"},
		{"no migration", State{Name: "n", Kind: Value, Elem: ints}, floats, `! value: was float64, is now int64; to keep it, give the processor a migration: state.Migrate("n", func(old float64) (int64, error) { ... })`},
		{"evolves", State{Name: "n", Kind: Value, Elem: two}, one, "field Cents: int32 becomes int64; field Of: is new (string), EUR at first"},
		{"key of a broadcast entry", State{Name: "n", Kind: Broadcast, Elem: schema[struct {
			Key   struct{ A int }
			Value int
		}](t)}, schema[struct {
			Key   struct{ A, B int }
			Value int
		}](t), `! field B: was int64, is gone: keys that differ only there would become one; if it has another name now, its tag must say so: codec:",formerly=..."` +
			`; to keep it, give the processor a migration: state.Migrate("n", func(old int64) (int64, error) { ... })`},
	} {
		r, err := c.state.Route(c.stored)
		got := strings.Join(r.words(c.state), "; ")
		if err != nil {
			got = "! " + err.Error()
		}
		if got != c.want && (!strings.HasPrefix(c.want, "! it could") || !errors.Is(err, ErrAmbiguous)) {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// A state that was renamed takes what was stored under its former name, unless another state has that name now.
func TestFormerNames(t *testing.T) {
	integer, wide := schema[int32](t), schema[int64](t)
	was := Form{Key: integer, Keyed: []State{{Name: "hits", Kind: Value, Elem: integer}, {Name: "idle", Kind: Timer, Clock: "event"}}}
	now := Form{Key: wide, Keyed: []State{{Name: "clicks", Kind: Value, Elem: wide, Former: []string{"visits", "hits"}}, {Name: "quiet", Kind: Timer, Clock: "event", Former: []string{"idle"}}}}
	c := Compare(was, now)
	if c.Err() != nil || c.Left() != nil || len(c.States) != 2 || c.States[0].From != "hits" || c.States[1].From != "idle" {
		t.Errorf("%+v %v %v", c.States, c.Err(), c.Left())
	}
	if got := strings.Join(append(c.KeyChanges, c.States[0].Changes...), "; "); got != "value: int32 becomes int64; value: int32 becomes int64" {
		t.Error(got)
	}
	now.Keyed = append(now.Keyed, State{Name: "hits", Kind: Value, Elem: integer})
	c = Compare(was, now)
	if c.Err() != nil || !c.States[0].New || c.States[2].New {
		t.Errorf("%+v %v", c.States, c.Err())
	}
}

// What a step does not declare any more is told apart from what it cannot read, so that the one may be given up and the other not.
func TestLeft(t *testing.T) {
	integer, text := schema[int64](t), schema[string](t)
	sum, idle := State{Name: "sum", Kind: Value, Elem: integer}, State{Name: "idle", Kind: Timer, Clock: "event"}
	due := State{Name: "due", Kind: "timers", Clock: "processing"}
	names := State{Name: "names", Kind: Union, Elem: text}
	c := Compare(Form{Key: integer, Keyed: []State{sum, idle, due}, Lists: []State{names}}, Form{Key: integer})
	if c.Err() != nil || len(c.States) != 4 {
		t.Fatalf("%v, %+v", c.Err(), c.States)
	}
	for _, f := range c.States {
		if !f.Gone || f.Err != nil {
			t.Errorf("%+v", f)
		}
	}
	for _, part := range []string{`value "sum"`, `event-time timer "idle", processing-time timers "due", union list "names" of string; the program has no state`} {
		if !strings.Contains(c.Left().Error(), part) {
			t.Errorf("%v lacks %q", c.Left(), part)
		}
	}
	if c := Compare(Form{Key: text, Keyed: []State{sum}}, Form{Key: integer}); c.Err() == nil || c.Left() != nil {
		t.Errorf("keys cannot be read: %v, left %v", c.Err(), c.Left())
	}
}
