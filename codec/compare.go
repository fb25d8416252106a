package codec

import (
	"fmt"
	"slices"
	"strings"
)

// MismatchError says how the schema of stored values differs from that of the present type. The values cannot be read.
type MismatchError struct {
	Differences []Difference // at least one, in the order of the old schema, then what is new
}

// Difference is one place in which two schemas differ.
type Difference struct {
	Path     string  // where, as in Items[].Price; empty for the value itself
	Old, New *Schema // nil for a field that is new, or gone
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
	switch {
	case d.Old == nil:
		return fmt.Sprintf("%s: is new (%s)", place(d.Path), brief(d.New))
	case d.New == nil:
		return fmt.Sprintf("%s: was %s, is gone", place(d.Path), brief(d.Old))
	case d.Old.Kind == Struct && d.New.Kind == Struct:
		return fmt.Sprintf("%s: the order of fields was %s, is now %s", place(d.Path), d.Old.order(), d.New.order())
	}
	return fmt.Sprintf("%s: was %s, is now %s", place(d.Path), brief(d.Old), brief(d.New))
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

// Compare returns nil if values written under the old schema can be read under the new one, which at present means that the two are
// equal, and otherwise a *[MismatchError] with every difference. The caller adds which state the schemas belong to.
func Compare(old, new *Schema) error {
	diffs := differences(nil, "", old, new)
	if len(diffs) == 0 {
		return nil
	}
	return &MismatchError{diffs}
}

func differences(diffs []Difference, path string, old, new *Schema) []Difference {
	if old.Kind != new.Kind || old.Len != new.Len || old.Up != new.Up || old.Codec != new.Codec || old.Version != new.Version {
		return append(diffs, Difference{path, old, new})
	}
	switch old.Kind {
	case Array, Slice:
		return differences(diffs, path+"[]", old.Elem, new.Elem)
	case Pointer:
		return differences(diffs, path, old.Elem, new.Elem)
	case Map:
		diffs = differences(diffs, path+"[key]", old.Key, new.Key)
		return differences(diffs, path+"[]", old.Elem, new.Elem)
	case Struct:
		return fieldDifferences(diffs, path, old, new)
	}
	return diffs
}

func fieldDifferences(diffs []Difference, path string, old, new *Schema) []Difference {
	same := len(old.Fields) == len(new.Fields)
	for _, f := range old.Fields {
		counterpart := new.field(f.Name)
		if counterpart == nil {
			same = false
			diffs = append(diffs, Difference{join(path, f.Name), f.Schema, nil})
			continue
		}
		diffs = differences(diffs, join(path, f.Name), f.Schema, counterpart)
	}
	for _, f := range new.Fields {
		if old.field(f.Name) == nil {
			same = false
			diffs = append(diffs, Difference{join(path, f.Name), nil, f.Schema})
		}
	}
	sameOrder := slices.EqualFunc(old.Fields, new.Fields, func(a, b Field) bool { return a.Name == b.Name })
	if same && !sameOrder {
		diffs = append(diffs, Difference{path, old, new})
	}
	return diffs
}

// field returns the schema of the field with that name, or nil.
func (s *Schema) field(name string) *Schema {
	for _, f := range s.Fields {
		if f.Name == name {
			return f.Schema
		}
	}
	return nil
}
