package heap

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"unsafe"

	"github.com/weirstream/weir/codec"
	"github.com/weirstream/weir/internal/backend/keyed"
	"github.com/weirstream/weir/internal/stateform"
)

// Migration is a function that makes values of one type from those of another, for the elements of one state: a value, a map's values, a
// list's elements.
type Migration struct {
	state    string
	old, new reflect.Type
	apply    func(old, new unsafe.Pointer) error
	codec    *codec.Compiled // of old
	entries  *codec.Compiled // of entries with such values, for a map that is kept as a list
	values   reflect.Type    // what the user has written for old, if old is an entry
}

// NewMigration returns the migration of a state by its name. The function is called during a restore, by any number of goroutines at a
// time, with what a snapshot holds.
func NewMigration[Old, New any](state string, f func(Old) (New, error)) Migration {
	return Migration{state: state, old: reflect.TypeFor[Old](), new: reflect.TypeFor[New](), apply: func(old, new unsafe.Pointer) (err error) {
		defer func() {
			if r := recover(); r != nil {
				err = fmt.Errorf("it panics: %v", r)
			}
		}()
		x, err := f(*(*Old)(old))
		if err == nil {
			*(*New)(new) = x
		}
		return err
	}}
}

// State returns the name of the state that the migration is for.
func (m Migration) State() string { return m.state }

// migrant is implemented by processors that have migrations.
type migrant interface{ Migrations() []Migration }

// migrations puts the migrations of a processor in front of the states that they are for.
func migrations(processor any, layout *Layout, lists *OperatorLists) error {
	p, ok := processor.(migrant)
	if !ok {
		return nil
	}
	var errs []error
	for _, m := range p.Migrations() {
		errs = append(errs, m.enter(layout, lists))
	}
	if layout != nil {
		for _, c := range layout.columns {
			errs = append(errs, checkChain(c.name, c.codec, c.migrations))
		}
	}
	if lists != nil {
		for i := range lists.lists {
			l := &lists.lists[i]
			errs = append(errs, checkChain(l.name, l.migrating(), l.migrations))
		}
	}
	return errors.Join(errs...)
}

func (m Migration) enter(layout *Layout, lists *OperatorLists) (err error) {
	if m.apply == nil {
		return errors.New("a migration was not made by state.Migrate")
	}
	if m.codec, err = codec.Of(m.old); err != nil {
		return fmt.Errorf("migration of state %q: %w", m.state, err)
	}
	if layout != nil {
		if c := layout.column(m.state); c != nil && c.codec != nil {
			c.migrations = append(c.migrations, m)
			return nil
		}
	}
	if lists != nil {
		if l := lists.find(m.state); l != nil {
			if l.values != nil {
				if m.entries, err = codec.Of(entryOf(l.codec.Type(), m.old)); err != nil {
					return fmt.Errorf("migration of state %q: %w", m.state, err)
				}
			}
			l.migrations = append(l.migrations, m)
			return nil
		}
	}
	return fmt.Errorf("there is a migration of state %q, but no such state with values", m.state)
}

// checkChain makes sure that the migrations of a state lead from one to the next and at last to its type.
func checkChain(name string, now *codec.Compiled, chain []Migration) error {
	for i, m := range chain {
		next := now
		if i+1 < len(chain) {
			next = chain[i+1].codec
		}
		switch {
		case m.new != next.Type():
			return fmt.Errorf("state %q: its migration from %v ends with %v, and must end with %v", name, m.old, m.new, next.Type())
		case m.codec.Schema().Equal(next.Schema()):
			return fmt.Errorf("state %q: its migration from %v to %v cannot be told from none, since both are stored as %v: name a field otherwise, or the state", name, m.old, m.new, next.Schema())
		}
	}
	return nil
}

// migrating returns what the migrations of a list end with: its elements, or the values of a map.
func (l *operatorList) migrating() *codec.Compiled {
	if l.values != nil {
		return l.values
	}
	return l.codec
}

// chain returns the migrations of a list's elements. Those of a map are for its values: made into ones of its entries, they leave the keys alone.
func (l *operatorList) chain() []Migration {
	if l.values == nil {
		return l.migrations
	}
	chain := slices.Clone(l.migrations)
	for i, m := range l.migrations {
		to := l.codec
		if i+1 < len(chain) {
			to = l.migrations[i+1].entries
		}
		chain[i] = m.ofEntries(to.Type())
	}
	return chain
}

// ofEntries returns the migration of the entries of a map from the one of its values.
func (m Migration) ofEntries(to reflect.Type) Migration {
	from := m.entries.Type()
	return Migration{state: m.state, old: from, new: to, codec: m.entries, values: m.old, apply: func(old, new unsafe.Pointer) error {
		was, is := reflect.NewAt(from, old).Elem(), reflect.NewAt(to, new).Elem()
		is.Field(0).Set(was.Field(0))
		if err := m.apply(was.Field(1).Addr().UnsafePointer(), is.Field(1).Addr().UnsafePointer()); err != nil {
			return fmt.Errorf("key %v: %w", was.Field(0), err)
		}
		return nil
	}}
}

// entryOf returns the type of an [Entry] with values of another type.
func entryOf(entry, value reflect.Type) reflect.Type {
	return reflect.StructOf([]reflect.StructField{{Name: "Key", Type: entry.Field(0).Type}, {Name: "Value", Type: value}})
}

func migrationForms(chain []Migration, now *codec.Compiled) (forms []stateform.Migration) {
	for i, m := range chain {
		next := now
		if i+1 < len(chain) {
			next = chain[i+1].codec
		}
		forms = append(forms, stateform.Migration{Old: m.codec.Schema(), New: next.Schema()})
	}
	return forms
}

// reading is how stored values become those of a state: as the bytes they are, or evolved, or by way of migrations.
type reading struct {
	stored  *codec.Schema
	now     *codec.Compiled
	decoder *codec.Decoder // into the type that the migrations begin with
	chain   []Migration
	same    bool   // what was stored is what would be written
	zero    []byte // what the zero value was stored as, if it is not the same; nil if that is not known
}

// newReading returns how values stored under a schema are read into a state.
func newReading(s *stateform.State, stored *codec.Schema, now *codec.Compiled, chain []Migration) (*reading, error) {
	route, err := s.Route(stored)
	if err != nil {
		return nil, err
	}
	r := &reading{stored: stored, now: now, chain: chain[route.First:]}
	first := now
	if len(r.chain) > 0 {
		first = r.chain[0].codec
	}
	if r.decoder, err = first.From(stored); err != nil {
		return nil, err
	}
	if r.same = len(r.chain) == 0 && r.decoder.Verdict().Same(); !r.same {
		r.zero, _ = stored.Zero()
	}
	return r, nil
}

// readsAsWritten ends the reading of a stream: rows that are read from now on are of this program.
func (l *Layout) readsAsWritten() {
	for _, c := range l.columns {
		if c.linked != nil {
			c.linked.reads(nil, nil)
		}
	}
}

// migrationError marks that the program itself could not make anything of a value.
type migrationError struct{ error }

func (e migrationError) Unwrap() error { return e.error }

// decode reads a value into the zero value at p.
func (r *reading) decode(src []byte, p unsafe.Pointer) (rest []byte, err error) {
	if len(r.chain) == 0 {
		return r.decoder.Decode(src, p)
	}
	at := reflect.New(r.chain[0].old).UnsafePointer()
	if rest, err = r.decoder.Decode(src, at); err != nil {
		return nil, err
	}
	for i, m := range r.chain {
		into := p
		if i+1 < len(r.chain) {
			into = reflect.New(m.new).UnsafePointer()
		}
		if err := m.apply(at, into); err != nil {
			return nil, migrationError{fmt.Errorf("its migration from %v: %w", cmp.Or(m.values, m.old), err)}
		}
		at = into
	}
	return rest, nil
}

// neverSet returns what follows a value that is zero in a snapshot, which is as good as none: it is so still, whatever its type has
// become.
func (r *reading) neverSet(src []byte) (rest []byte, ok bool) {
	return bytes.CutPrefix(src, r.zero)
}

// value reads the value of a key, which may be one that was never set, into a zero cell.
func (r *reading) value(p *part, src []byte, cell unsafe.Pointer) (rest []byte, err error) {
	if r.zero != nil {
		if rest, ok := r.neverSet(src); ok {
			return rest, nil
		}
	}
	return r.into(p, src, cell)
}

// into reads a value into a zero cell.
func (r *reading) into(p *part, src []byte, cell unsafe.Pointer) (rest []byte, err error) {
	if !p.encoded {
		return r.decode(src, cell)
	}
	x := reflect.New(r.now.Type()).UnsafePointer()
	if rest, err = r.decode(src, x); err != nil {
		return nil, err
	}
	if r.same {
		*(*string)(cell) = string(src[:len(src)-len(rest)])
	} else {
		*(*string)(cell) = string(r.now.Append(nil, x))
	}
	return rest, nil
}

// fixedSize returns the size of the stored values, or -1 if they differ.
func (p *part) fixedSize() int {
	if p.from != nil {
		return p.from.decoder.FixedSize()
	}
	return p.codec.FixedSize()
}

// reads makes the map decode what was stored under other schemas.
func (m *MapColumn[K, V]) reads(key, elem *reading) { m.key.from, m.val.from = key, elem }

// reads makes the list decode what was stored under another schema.
func (l *ListColumn[T]) reads(_, elem *reading) { l.elem.from = elem }

// reads is for columns with types that are the user's.
func (t *TimersColumn) reads(_, _ *reading) {}

// prepare says how the values of a stream are read, and reports whether rows are as they lie in memory.
func (in *restorer[K]) prepare(h *keyed.Head) (err error) {
	l := in.s.layout
	if in.key, err = l.keyCodec.From(h.Key); err != nil {
		return err
	}
	in.packed = l.packed != nil && !in.stamped && len(in.columns) == len(l.columns) && in.key.Verdict().Same()
	for i, c := range in.columns {
		same := c != nil && c == l.columns[min(i, len(l.columns)-1)]
		var key, elem *reading
		if c != nil && c.codec != nil {
			if key, elem, err = c.readings(&h.States[i]); err != nil {
				return fmt.Errorf("state %q: %w", c.name, err)
			}
			same = same && elem.same
			if c.linked != nil {
				c.linked.reads(key, elem)
			}
		}
		in.readings = append(in.readings, elem)
		in.packed = in.packed && same
	}
	return nil
}

func (c *column) readings(old *keyed.State) (key, elem *reading, err error) {
	s := c.state()
	if elem, err = newReading(&s, old.Elem, c.codec, c.migrations); err != nil {
		return nil, nil, err
	}
	if c.user != nil {
		key = &reading{now: c.user}
		if key.decoder, err = c.user.From(old.Key); err != nil {
			return nil, nil, err
		}
		key.same = key.decoder.Verdict().Same()
	}
	return key, elem, nil
}

// takeFormer takes the option formerly=name out of the options of a tag: as often as the state had another name. What follows default= is not an
// option but its text.
func (d *Declaration) takeFormer(options []string) (others []string) {
	for i, o := range options {
		if strings.HasPrefix(strings.TrimSpace(o), "default=") {
			return append(others, options[i:]...)
		}
		name, ok := strings.CutPrefix(strings.TrimSpace(o), "formerly=")
		switch {
		case ok && name == "":
			d.fail("formerly= wants the name that the state had")
		case ok:
			d.former = append(d.former, name)
		default:
			others = append(others, o)
		}
	}
	return others
}
