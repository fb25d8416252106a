package codec

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
)

// The binary form of a schema is a version byte and then the tree in pre-order; see docs/formats/schema.md. It is canonical: equal
// schemas have equal forms, and ParseSchema accepts no other spelling.
const schemaVersion = 1

// ErrSchema is wrapped by every error of ParseSchema and Validate.
var ErrSchema = errors.New("invalid schema")

// AppendTo appends the binary form of the schema to dst and returns the extended slice.
func (s *Schema) AppendTo(dst []byte) []byte {
	return s.appendNode(append(dst, schemaVersion))
}

func (s *Schema) appendNode(dst []byte) []byte {
	dst = append(dst, byte(s.Kind))
	switch s.Kind {
	case Array:
		dst = s.Elem.appendNode(binary.AppendUvarint(dst, uint64(s.Len)))
	case Slice, Pointer:
		dst = s.Elem.appendNode(dst)
	case Map:
		dst = s.Elem.appendNode(s.Key.appendNode(dst))
	case Struct:
		dst = binary.AppendUvarint(dst, uint64(len(s.Fields)))
		for _, f := range s.Fields {
			dst = f.Schema.appendNode(appendString(dst, f.Name))
		}
	case Ref:
		dst = binary.AppendUvarint(dst, uint64(s.Up))
	case Opaque:
		dst = binary.AppendUvarint(appendString(dst, s.Codec), uint64(s.Version))
	case Foreign:
		dst = binary.AppendUvarint(appendString(dst, s.Codec), uint64(s.Version))
		dst = append(binary.AppendUvarint(dst, uint64(len(s.Description))), s.Description...)
	}
	return dst
}

// ParseSchema returns the schema whose binary form is src, the whole of it. It returns an error that wraps [ErrSchema] for anything
// that AppendTo of a valid schema does not write, and is bounded in time and memory by the length of src.
func ParseSchema(src []byte) (*Schema, error) {
	if len(src) == 0 {
		return nil, fmt.Errorf("%w: it is empty", ErrSchema)
	}
	if src[0] != schemaVersion {
		return nil, fmt.Errorf("%w: version %d is not known; this program reads version %d", ErrSchema, src[0], schemaVersion)
	}
	r := schemaReader{src: src[1:]}
	s := r.node(0)
	if r.err == nil && len(r.src) > 0 {
		r.fail("%d bytes follow its end", len(r.src))
	}
	if r.err != nil {
		return nil, r.err
	}
	if err := s.Validate(); err != nil {
		return nil, err
	}
	return s, nil
}

// schemaReader reads the tree. After the first error everything it returns is empty.
type schemaReader struct {
	src   []byte
	nodes int
	err   error
}

func (r *schemaReader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: "+format, append([]any{ErrSchema}, args...)...)
	}
	r.src = nil
}

func (r *schemaReader) node(depth int) *Schema {
	s := &Schema{}
	if r.nodes++; depth == maxSchemaDepth || r.nodes > maxSchemaNodes {
		r.fail("it has more than %d levels or %d parts", maxSchemaDepth, maxSchemaNodes)
	}
	if len(r.src) == 0 {
		r.fail("it ends early")
		return s
	}
	s.Kind, r.src = Kind(r.src[0]), r.src[1:]
	switch s.Kind {
	case Array:
		s.Len = r.number()
		s.Elem = r.node(depth + 1)
	case Slice, Pointer:
		s.Elem = r.node(depth + 1)
	case Map:
		s.Key = r.node(depth + 1)
		s.Elem = r.node(depth + 1)
	case Struct:
		s.Fields = r.fields(depth + 1)
	case Ref:
		s.Up = r.number()
	case Opaque:
		s.Codec = r.name()
		s.Version = r.number()
	case Foreign:
		s.Codec = r.name()
		s.Version = r.number()
		s.Description = r.bytes()
	}
	return s
}

func (r *schemaReader) bytes() []byte {
	n := r.number()
	if n > len(r.src) {
		r.fail("a description of %d bytes, with %d bytes left", n, len(r.src))
		return nil
	}
	b := bytes.Clone(r.src[:n])
	r.src = r.src[n:]
	if n == 0 {
		return nil
	}
	return b
}

func (r *schemaReader) fields(depth int) []Field {
	n := r.number()
	if n > min(len(r.src), maxSchemaNodes) {
		r.fail("a struct of %d fields, with %d bytes left and at most %d allowed", n, len(r.src), maxSchemaNodes)
		return nil
	}
	fields := make([]Field, 0, n)
	for range n {
		if r.err != nil {
			return nil
		}
		name := r.name()
		fields = append(fields, Field{Name: name, Schema: r.node(depth)})
	}
	return fields
}

func (r *schemaReader) number() int {
	n, rest, ok := readUvarint(r.src)
	if !ok || n > math.MaxInt {
		r.fail("a number is cut short or not in its shortest form")
		return 0
	}
	r.src = rest
	return int(n)
}

func (r *schemaReader) name() string {
	n := r.number()
	if n > min(len(r.src), maxNameBytes) {
		r.fail("a name of %d bytes, with %d bytes left and at most %d allowed", n, len(r.src), maxNameBytes)
		return ""
	}
	name := string(r.src[:n])
	r.src = r.src[n:]
	return name
}

// Validate checks a schema that was built by hand, as the adapter of a foreign codec does: kinds and names must be known and valid, field
// names unique, map keys comparable, references must lead to an enclosing schema by way of a slice, map or pointer, and the size be in
// bounds. Schemas of [Of] and [ParseSchema] are valid.
func (s *Schema) Validate() error {
	v := validator{}
	return v.check(s, "")
}

type validator struct {
	within []Kind // the kinds around the present one, outermost first
	nodes  int
}

func (v *validator) check(s *Schema, path string) error {
	if v.nodes++; len(v.within) == maxSchemaDepth || v.nodes > maxSchemaNodes {
		return fmt.Errorf("%w: it has more than %d levels or %d parts", ErrSchema, maxSchemaDepth, maxSchemaNodes)
	}
	if why := v.problem(s); why != "" {
		return fmt.Errorf("%w: %s: %s", ErrSchema, place(path), why)
	}
	v.within = append(v.within, s.Kind)
	defer func() { v.within = v.within[:len(v.within)-1] }()

	return s.eachPart(path, v.check)
}

// problem returns what is wrong with s itself, or nothing.
func (v *validator) problem(s *Schema) string {
	switch {
	case s == nil:
		return "a part is missing"
	case !s.Kind.known():
		return fmt.Sprintf("%v is not known to this program", s.Kind)
	case s.Len < 0:
		return fmt.Sprintf("the array length %d is negative", s.Len)
	case (s.Kind == Opaque || s.Kind == Foreign) && (!validName(s.Codec) || s.Version < 0):
		return fmt.Sprintf("%q version %d names no codec", s.Codec, s.Version)
	case s.Kind == Map && (s.Key == nil || s.Elem == nil || !s.Key.canBeKey()):
		return "a map key must be made of bools, integers, durations and strings"
	case s.Kind == Ref && !v.refers(s.Up):
		return fmt.Sprintf("the reference ^%d leads to no schema around it through a slice, map or pointer", s.Up)
	case s.Kind == Struct:
		return fieldNamesProblem(s.Fields)
	}
	return ""
}

// refers reports whether a reference can lead so many levels up: to a schema whose values would not contain themselves.
func (v *validator) refers(up int) bool {
	if up < 1 || up > len(v.within) {
		return false
	}
	return slices.ContainsFunc(v.within[len(v.within)-up:], func(k Kind) bool { return k == Slice || k == Map || k == Pointer })
}

func fieldNamesProblem(fields []Field) string {
	seen := make(map[string]bool, len(fields))
	for _, f := range fields {
		if !validName(f.Name) {
			return fmt.Sprintf("%q is no field name", f.Name)
		}
		if seen[f.Name] {
			return fmt.Sprintf("two fields are named %s", f.Name)
		}
		seen[f.Name] = true
	}
	return ""
}

// eachPart calls f for the schemas directly within s and stops at the first error.
func (s *Schema) eachPart(path string, f func(part *Schema, path string) error) error {
	switch s.Kind {
	case Array, Slice:
		return f(s.Elem, path+"[]")
	case Pointer:
		return f(s.Elem, path)
	case Map:
		if err := f(s.Key, path+"[key]"); err != nil {
			return err
		}
		return f(s.Elem, path+"[]")
	case Struct:
		for _, fd := range s.Fields {
			if err := f(fd.Schema, join(path, fd.Name)); err != nil {
				return err
			}
		}
	}
	return nil
}
