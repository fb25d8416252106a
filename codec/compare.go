package codec

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// MismatchError says why stored values cannot be read into the present type.
type MismatchError struct {
	Differences []Difference // at least one, in the order of the old schema, then what is new
}

// Difference is one place in which two schemas differ, and not in a way that values can be carried over.
type Difference struct {
	Path     string  // where, as in Items[].Price; empty for the value itself
	Old, New *Schema // nil for a field that is new, or gone
	Why      string  // the reason, where the two schemas do not say it
}

// Error lists all differences: field Hits: was int64, is now string; field Name: was string, is gone.
func (e *MismatchError) Error() string {
	parts := make([]string, len(e.Differences))
	for i, d := range e.Differences {
		parts[i] = d.String()
	}
	return strings.Join(parts, "; ")
}

// String returns the difference in words.
func (d Difference) String() string {
	var text string
	switch {
	case d.Old == nil:
		text = fmt.Sprintf("%s: is new (%s)", place(d.Path), brief(d.New))
	case d.New == nil:
		text = fmt.Sprintf("%s: was %s, is gone", place(d.Path), brief(d.Old))
	case d.Old.Kind == Struct && d.New.Kind == Struct && len(d.Old.Fields) == len(d.New.Fields):
		text = fmt.Sprintf("%s: the order of fields was %s, is now %s", place(d.Path), d.Old.order(), d.New.order())
	default:
		text = fmt.Sprintf("%s: was %s, is now %s", place(d.Path), brief(d.Old), brief(d.New))
	}
	if d.Why != "" {
		text += ": " + d.Why
	}
	return text
}

// brief keeps an error readable when a whole struct changed into something else.
func brief(s *Schema) string {
	const most = 200
	text := s.String()
	if len(text) > most {
		return strings.ToValidUTF8(text[:most], "") + "..."
	}
	return text
}

func (s *Schema) order() string {
	names := make([]string, len(s.Fields))
	for i, f := range s.Fields {
		names[i] = f.Name
	}
	return strings.Join(names, ", ")
}

// Verdict is how stored values stand to the present type: the same, or readable with changes, or not readable.
type Verdict struct {
	// Changes says in words what becomes of the values, a phrase each, as in: field Hits: int32 becomes int64. It is empty if the schemas
	// are equal, and if the values cannot be read.
	Changes []string
	// Loses says that a field is dropped, with what it held.
	Loses bool
	err   error
}

// Same reports whether the schemas are equal, so that the stored bytes are what would be written today.
func (v Verdict) Same() bool { return v.err == nil && len(v.Changes) == 0 }

// Err returns nil if the values can be read, and otherwise a *[MismatchError] with everything that stands against it. The caller adds which
// state the schemas belong to.
func (v Verdict) Err() error { return v.err }

// Compare says how values written under the old schema are read into the type of the new one. docs/evolution.md has the rules. The new
// schema is that of a codec: what its fields say about earlier names and defaults counts.
func Compare(old, new *Schema) Verdict {
	return compareAs(old, new, func(c *comparison, old, new *around) { c.value("", old, new, 0) })
}

// CompareElements is Compare for the elements of a list, of which many may have been stored in few bytes.
func CompareElements(old, new *Schema) Verdict {
	return compareAs(old, new, func(c *comparison, old, new *around) { c.element("", old, new) })
}

// CompareMapKeys is Compare for the keys of a map: two that were different must stay so.
func CompareMapKeys(old, new *Schema) Verdict {
	return compareAs(old, new, func(c *comparison, old, new *around) { c.mapKey("", old, new) })
}

// CompareStreamKeys is Compare for the keys that state is found by: each must stay in its key group, which its hash decides.
func CompareStreamKeys(old, new *Schema) Verdict {
	return compareAs(old, new, func(c *comparison, old, new *around) { c.streamKey("", old.schema, new.schema) })
}

func compareAs(old, new *Schema, walk func(c *comparison, old, new *around)) Verdict {
	if old.Equal(new) {
		return Verdict{}
	}
	c := comparison{seen: map[schemas]bool{}}
	walk(&c, &around{schema: old}, &around{schema: new})
	if len(c.diffs) > 0 {
		return Verdict{err: &MismatchError{c.diffs}}
	}
	if len(c.changes) == 0 {
		// Equal but for where references lead: the same values, spelled by a type that is folded in otherwise.
		c.changes = []string{"value: the same values, described in another way"}
	}
	return Verdict{Changes: c.changes, Loses: len(c.dropped) > 0}
}

// schemas is a pair of nodes that are compared.
type schemas struct{ old, new *Schema }

type comparison struct {
	diffs   []Difference
	changes []string
	dropped []Difference     // fields, with what they held
	seen    map[schemas]bool // pairs that were compared, or are being compared further out: a recursive type comes back to them
}

func (c *comparison) differ(path string, old, new *Schema, why string) {
	c.diffs = append(c.diffs, Difference{path, old, new, why})
}

func (c *comparison) change(path, format string, args ...any) {
	c.changes = append(c.changes, place(path)+": "+fmt.Sprintf(format, args...))
}

// mostWraps is how many pointers and slices may be put around a value. A type that consists of nothing else could go on for ever.
const mostWraps = 4

// value compares values around which so many pointers and slices have been put already.
func (c *comparison) value(path string, old, new *around, wraps int) {
	old, new = old.resolved(), new.resolved()
	o, n := old.schema, new.schema
	if wraps == 0 {
		if c.seen[schemas{o, n}] {
			return
		}
		c.seen[schemas{o, n}] = true
	}
	switch {
	case o.Kind == n.Kind:
		c.sameKind(path, old, new)
	case widens(o.Kind, n.Kind):
		if wraps == 0 {
			c.change(path, "%v becomes %v", o, n)
		}
	case n.wraps() && wraps < mostWraps:
		if wraps == 0 {
			c.change(path, "%s becomes %s", brief(o), brief(n))
		}
		c.value(path, old, new.part(n.Elem), wraps+1)
	default:
		c.differ(path, o, n, "")
	}
}

// wraps reports whether a value of another kind may become one within s: the only element, or what a pointer leads to.
func (s *Schema) wraps() bool { return s.Kind == Pointer || s.Kind == Slice }

func (c *comparison) sameKind(path string, old, new *around) {
	o, n := old.schema, new.schema
	switch o.Kind {
	case Array:
		if o.Len != n.Len {
			c.differ(path, o, n, "")
			return
		}
		c.value(path+"[]", old.part(o.Elem), new.part(n.Elem), 0)
	case Slice:
		c.element(path+"[]", old.part(o.Elem), new.part(n.Elem))
	case Pointer:
		c.value(path, old.part(o.Elem), new.part(n.Elem), 0)
	case Map:
		c.mapKey(path+"[key]", old.part(o.Key), new.part(n.Key))
		c.value(path+"[]", old.part(o.Elem), new.part(n.Elem), 0)
	case Struct:
		c.fields(path, old, new)
	case Opaque, Foreign:
		c.foreign(path, o, n)
	}
}

// element compares elements of which as many may follow as their length says.
func (c *comparison) element(path string, old, new *around) {
	if old, new := old.resolved(), new.resolved(); old.schema.isEmpty() && !new.schema.isEmpty() {
		c.differ(path, old.schema, new.schema, "elements that took no bytes cannot become some that do, since a damaged number of them could not be told from a true one")
		return
	}
	c.value(path, old, new, 0)
}

func (c *comparison) fields(path string, old, new *around) {
	o, n := old.schema, new.schema
	from := matchFields(o.Fields, n.Fields)
	taken := make([]bool, len(o.Fields))
	last, ordered := -1, true
	for i, f := range n.Fields {
		at := join(path, f.Name)
		k := from[i]
		if k < 0 {
			if f.Default != "" {
				c.change(at, "is new (%s), %s at first", brief(f.Schema), f.Default)
			} else {
				c.change(at, "is new (%s)", brief(f.Schema))
			}
			continue
		}
		taken[k] = true
		ordered, last = ordered && k > last, k
		if was := o.Fields[k]; was.Name != f.Name {
			c.change(at, "was named %s", was.Name)
		}
		c.value(at, old.part(o.Fields[k].Schema), new.part(f.Schema), 0)
	}
	for k, f := range o.Fields {
		if !taken[k] {
			c.change(join(path, f.Name), "is dropped (%s)", brief(f.Schema))
			c.dropped = append(c.dropped, Difference{Path: join(path, f.Name), Old: f.Schema})
		}
	}
	if !ordered {
		c.change(path, "its fields are in another order")
	}
}

// matchFields returns for each present field the index of the one it was, or -1: that of its name, or else the first of its former names
// that no other field has now.
func matchFields(old, now []Field) []int {
	from := make([]int, len(now))
	at := make(map[string]int, len(old))
	for k, f := range old {
		at[f.Name] = k
	}
	for i, f := range now {
		from[i] = -1
		if k, ok := at[f.Name]; ok {
			from[i] = k
			delete(at, f.Name)
		}
	}
	for i, f := range now {
		for _, name := range f.Former {
			if k, ok := at[name]; ok && from[i] < 0 {
				from[i] = k
				delete(at, name)
			}
		}
	}
	return from
}

// mapKey compares keys that must not become equal.
func (c *comparison) mapKey(path string, old, new *around) {
	before, seen := len(c.dropped), c.seen
	c.seen = map[schemas]bool{} // what was compared as a value was not compared as a key, which contains no keys
	c.value(path, old, new, 0)
	c.seen = seen
	for _, d := range c.dropped[before:] {
		d.Why = "keys that differ only there would become one; " + saysSo
		c.diffs = append(c.diffs, d)
	}
}

// saysSo is what to do about a field that is missed only because nobody has said that it was renamed.
const saysSo = `if it has another name now, its tag must say so: codec:",formerly=..."`

// streamKey compares keys whose hash must stay the same. It is made of the parts in their order, with integers widened to 64 bits and floats
// to float64, so that names and widths have no part in it.
func (c *comparison) streamKey(path string, o, n *Schema) {
	const rehashed = "keys would have other hashes, so that their state would be looked for in other key groups"
	switch {
	case o.Kind == n.Kind && o.Kind == Struct:
		c.keyFields(path, o, n, rehashed)
	case o.Kind == n.Kind && o.Kind == Array && o.Len == n.Len:
		c.streamKey(path+"[]", o.Elem, n.Elem)
	case o.Equal(n):
	case widens(o.Kind, n.Kind):
		c.change(path, "%v becomes %v", o, n)
	default:
		c.differ(path, o, n, rehashed)
	}
}

func (c *comparison) keyFields(path string, o, n *Schema, rehashed string) {
	if len(o.Fields) != len(n.Fields) {
		c.differ(path, o, n, rehashed)
		return
	}
	for i, k := range matchFields(o.Fields, n.Fields) {
		switch {
		case k < 0 && !n.has(o.Fields[i].Name):
			c.differ(join(path, o.Fields[i].Name), o.Fields[i].Schema, nil, saysSo)
			continue
		case k != i:
			c.differ(path, o, n, rehashed)
			return
		}
		at := join(path, n.Fields[i].Name)
		if was := o.Fields[i].Name; was != n.Fields[i].Name {
			c.change(at, "was named %s", was)
		}
		c.streamKey(at, o.Fields[i].Schema, n.Fields[i].Schema)
	}
}

func (s *Schema) has(field string) bool {
	return slices.ContainsFunc(s.Fields, func(f Field) bool { return f.Name == field })
}

// foreign compares values of which only their own codec knows what is in them.
func (c *comparison) foreign(path string, o, n *Schema) {
	switch {
	case o.Codec != n.Codec:
		c.differ(path, o, n, "")
	case o.Version == n.Version && string(o.Description) == string(n.Description):
	case n.accepts == nil:
		c.differ(path, o, n, "its codec reads no other version")
	default:
		changes, err := n.accepts(o)
		if err != nil {
			c.differ(path, o, n, err.Error())
		}
		for _, change := range changes {
			c.change(path, "%s", change)
		}
		if err == nil && len(changes) == 0 {
			c.change(path, "%v becomes %v", o, n)
		}
	}
}

// widens reports whether every value of one scalar kind is one of the other.
func widens(old, new Kind) bool {
	switch {
	case old >= Int8 && old <= Int64:
		return new > old && new <= Int64
	case old >= Uint8 && old <= Uint64 && new > old && new <= Uint64:
		return true
	case old >= Uint8 && old < Uint64 && new >= Int8 && new <= Int64:
		return scalarBytes[new] > scalarBytes[old]
	}
	return old == Float32 && new == Float64 || old == Complex64 && new == Complex128
}

// errNotCompared is returned where a decoder is asked for that Compare has ruled out.
var errNotCompared = errors.New("the schemas do not fit")
