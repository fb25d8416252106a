package codec

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

// Kind says how a value is encoded. The numbers are part of the format: one is never reused, nor its encoding changed.
type Kind uint8

// The kinds. An int is encoded as Int64 and a uint as Uint64, on every machine.
const (
	Bool       Kind = 1
	Int8       Kind = 2
	Int16      Kind = 3
	Int32      Kind = 4
	Int64      Kind = 5
	Uint8      Kind = 6
	Uint16     Kind = 7
	Uint32     Kind = 8
	Uint64     Kind = 9
	Float32    Kind = 10
	Float64    Kind = 11
	Complex64  Kind = 12
	Complex128 Kind = 13
	String     Kind = 14
	Time       Kind = 15 // an instant: a time.Time without zone
	Duration   Kind = 16 // a time.Duration
	Array      Kind = 17 // Len values of Elem
	Slice      Kind = 18 // values of Elem
	Map        Kind = 19 // pairs of Key and Elem
	Pointer    Kind = 20 // an Elem or nothing
	Struct     Kind = 21 // Fields in order
	Ref        Kind = 22 // the schema Up levels further out, which makes it recursive
	Opaque     Kind = 23 // bytes that the codec named Codec in its Version understands
	Foreign    Kind = 24 // bytes in the form of a library, named like an Opaque one, which Description tells more of
)

// kindNames are Go-like where a kind has no parts.
var kindNames = [...]string{
	Bool: "bool",
	Int8: "int8", Int16: "int16", Int32: "int32", Int64: "int64",
	Uint8: "uint8", Uint16: "uint16", Uint32: "uint32", Uint64: "uint64",
	Float32: "float32", Float64: "float64", Complex64: "complex64", Complex128: "complex128",
	String: "string", Time: "time.Time", Duration: "time.Duration",
	Array: "array", Slice: "slice", Map: "map", Pointer: "pointer", Struct: "struct", Ref: "ref", Opaque: "opaque", Foreign: "foreign",
}

// String returns the Go-like name of the kind.
func (k Kind) String() string {
	if k.known() {
		return kindNames[k]
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

func (k Kind) known() bool  { return k >= Bool && k <= Foreign }
func (k Kind) scalar() bool { return k >= Bool && k <= Duration }

// Schema describes an encoding in full: a tree that holds no Go type names. Snapshots keep it beside the values, so that a later
// program can tell whether its types still mean the same. A schema is shared once it is handed out and must not be changed.
type Schema struct {
	Kind    Kind
	Fields  []Field // Struct
	Key     *Schema // Map
	Elem    *Schema // Array, Slice, Map, Pointer
	Len     int     // Array
	Up      int     // Ref: 1 is the schema directly around it
	Codec   string  // Opaque, Foreign
	Version int     // Opaque, Foreign
	// Description is a Foreign codec's own account of the values: what its library needs to read them with a later type. It may be empty.
	Description []byte

	// accepts is set in the schema of a type, by the codec of an Opaque or Foreign part: how that reads another version or description.
	accepts func(old *Schema) (changes []string, err error)
}

// Field is a field of a struct.
type Field struct {
	Name   string
	Schema *Schema
	// Former and Default are what the present program says of the field, in its tag: names that it had, and what it is where nothing was
	// stored of it. They count in Compare, and are part of neither Equal nor the binary form.
	Former  []string
	Default string
}

// Bounds of a schema, checked when one is compiled and when one is parsed.
const (
	maxSchemaDepth = 100
	maxSchemaNodes = 10_000
	maxNameBytes   = 255
)

// Fingerprint identifies a schema: equal schemas have equal fingerprints, others in all likelihood different ones.
type Fingerprint [16]byte

// String returns the fingerprint in hexadecimal.
func (f Fingerprint) String() string { return hex.EncodeToString(f[:]) }

// Fingerprint returns the first 16 bytes of the SHA-256 of the schema's binary form.
func (s *Schema) Fingerprint() Fingerprint {
	sum := sha256.Sum256(s.AppendTo(nil))
	return Fingerprint(sum[:len(Fingerprint{})])
}

// Equal reports whether both schemas describe the same encoding under the same names.
func (s *Schema) Equal(o *Schema) bool {
	if s == nil || o == nil {
		return s == o
	}
	return s.Kind == o.Kind && s.Len == o.Len && s.Up == o.Up && s.Codec == o.Codec && s.Version == o.Version &&
		bytes.Equal(s.Description, o.Description) &&
		s.Key.Equal(o.Key) && s.Elem.Equal(o.Elem) &&
		slices.EqualFunc(s.Fields, o.Fields, func(a, b Field) bool { return a.Name == b.Name && a.Schema.Equal(b.Schema) })
}

// String returns the schema on one line in the manner of Go: struct{Name string; Hits int64}. A recursive reference is written ^n, n
// being how many levels further out the meant schema is, an opaque one as opaque(codec/version), and a foreign one as codec/version with the first
// bytes of the SHA-256 of its description.
func (s *Schema) String() string {
	var b strings.Builder
	s.text(&b)
	return b.String()
}

func (s *Schema) text(b *strings.Builder) {
	switch s.Kind {
	case Array:
		fmt.Fprintf(b, "[%d]", s.Len)
		s.Elem.text(b)
	case Slice:
		s.sliceText(b)
	case Map:
		b.WriteString("map[")
		s.Key.text(b)
		b.WriteString("]")
		s.Elem.text(b)
	case Pointer:
		b.WriteString("*")
		s.Elem.text(b)
	case Struct:
		s.structText(b)
	case Ref:
		fmt.Fprintf(b, "^%d", s.Up)
	case Opaque:
		fmt.Fprintf(b, "opaque(%s/%d)", s.Codec, s.Version)
	case Foreign:
		fmt.Fprintf(b, "%s/%d", s.Codec, s.Version)
		if len(s.Description) > 0 {
			sum := sha256.Sum256(s.Description)
			fmt.Fprintf(b, "(%x)", sum[:4])
		}
	default:
		b.WriteString(s.Kind.String())
	}
}

func (s *Schema) sliceText(b *strings.Builder) {
	if s.Elem.Kind == Uint8 {
		b.WriteString("[]byte")
		return
	}
	b.WriteString("[]")
	s.Elem.text(b)
}

func (s *Schema) structText(b *strings.Builder) {
	b.WriteString("struct{")
	for i, f := range s.Fields {
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(f.Name)
		b.WriteString(" ")
		f.Schema.text(b)
	}
	b.WriteString("}")
}

// canBeKey reports whether values of the schema are equal in Go exactly if their encodings are.
func (s *Schema) canBeKey() bool {
	if s == nil {
		return false
	}
	switch s.Kind {
	case Float32, Float64, Complex64, Complex128, Time:
		return false
	case Array:
		return s.Elem.canBeKey()
	case Struct:
		return !slices.ContainsFunc(s.Fields, func(f Field) bool { return !f.Schema.canBeKey() })
	}
	return s.Kind.scalar()
}
