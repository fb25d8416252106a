package codec

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

func schemaFor[T any]() *Schema { return must[T]().Schema() }

// The words for each way in which a type may have changed, and none where only Go names did.
func TestCompare(t *testing.T) {
	type hits struct {
		Name string
		Hits int64
	}
	type renamed struct {
		Title userID `codec:"Name"`
		Count int    `codec:"Hits"`
	}
	type link struct {
		After *link `codec:"Next"`
	}
	cases := []struct {
		name     string
		old, new *Schema
		want     string
	}{
		{"same", schemaFor[hits](), schemaFor[hits](), ""},
		{"only Go names differ", schemaFor[hits](), schemaFor[renamed](), ""},
		{"recursive, only Go names differ", schemaFor[chain](), schemaFor[link](), ""},
		{"scalar", schemaFor[int32](), schemaFor[int64](), "value: was int32, is now int64"},
		{"a duration is no number", schemaFor[int64](), schemaFor[time.Duration](), "value: was int64, is now time.Duration"},
		{"element", schemaFor[[]int32](), schemaFor[[]int64](), "value[]: was int32, is now int64"},
		{"array length", schemaFor[[2]int32](), schemaFor[[3]int32](), "value: was [2]int32, is now [3]int32"},
		{"map", schemaFor[map[string]int8](), schemaFor[map[int64]bool](), "value[key]: was string, is now int64; value[]: was int8, is now bool"},
		{"field", schemaFor[hits](), schemaFor[struct{ Name, Hits string }](), "field Hits: was int64, is now string"},
		{"new field", schemaFor[hits](), schemaFor[struct {
			Name string
			Hits int64
			At   time.Time
		}](), "field At: is new (time.Time)"},
		{"field gone", schemaFor[hits](), schemaFor[struct{ Hits int64 }](), "field Name: was string, is gone"},
		{"field renamed", schemaFor[struct{ A int }](), schemaFor[struct{ B int }](), "field A: was int64, is gone; field B: is new (int64)"},
		{"order", schemaFor[hits](), schemaFor[struct {
			Hits int64
			Name string
		}](), "value: the order of fields was Name, Hits, is now Hits, Name"},
		{"deep inside", schemaFor[map[string][]struct{ P *hits }](), schemaFor[map[string][]struct{ P *struct{ Name, Hits string } }](),
			"value[][].P.Hits: was int64, is now string"},
		{"pointer", schemaFor[struct{ P *int }](), schemaFor[struct{ P int }](), "field P: was *int64, is now int64"},
		{"codec version", &Schema{Kind: Opaque, Codec: "p", Version: 1}, &Schema{Kind: Opaque, Codec: "p", Version: 2}, "value: was opaque(p/1), is now opaque(p/2)"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			err := Compare(c.old, c.new)
			if got := text(err); got != c.want {
				t.Errorf("the difference is %q, want %q", got, c.want)
			}
			if me := (*MismatchError)(nil); err != nil && !errors.As(err, &me) {
				t.Errorf("%T is no MismatchError", err)
			}
			if same := c.want == ""; c.old.Equal(c.new) != same || (c.old.Fingerprint() == c.new.Fingerprint()) != same {
				t.Error("Equal, Fingerprint and Compare do not agree")
			}
		})
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// What ParseSchema says to bytes that no schema has.
func TestParseSchemaRefuses(t *testing.T) {
	manyFields := []byte{1, byte(Struct), 2, 1, 'a', byte(Bool), 1, 'a', byte(Bool)}
	cases := []struct {
		name string
		src  []byte
		want string
	}{
		{"nothing", nil, "it is empty"},
		{"version", []byte{2, byte(Bool)}, "version 2 is not known"},
		{"no kind", []byte{1}, "it ends early"},
		{"unknown kind", []byte{1, 99}, "kind(99) is not known"},
		{"kind 0", []byte{1, 0}, "kind(0) is not known"},
		{"more behind", []byte{1, byte(Bool), 0, 0}, "2 bytes follow its end"},
		{"no element", []byte{1, byte(Slice)}, "it ends early"},
		{"long number", []byte{1, byte(Array), 0x80, 0, byte(Bool)}, "shortest form"},
		{"many fields", []byte{1, byte(Struct), 100}, "a struct of 100 fields, with 0 bytes left"},
		{"same name", manyFields, "two fields are named a"},
		{"bad name", []byte{1, byte(Struct), 1, 1, ' ', byte(Bool)}, "is no field name"},
		{"long name", []byte{1, byte(Struct), 1, 50, 'a', byte(Bool)}, "a name of 50 bytes"},
		{"float key", []byte{1, byte(Map), byte(Float64), byte(Bool)}, "a map key must"},
		{"reference to nothing", []byte{1, byte(Ref), 1}, "^1 leads to no schema"},
		{"reference to itself", []byte{1, byte(Slice), byte(Ref), 0}, "^0 leads to no schema"},
		{"value in itself", []byte{1, byte(Slice), byte(Struct), 1, 1, 'a', byte(Ref), 1}, "value[].a: the reference ^1"},
		{"codec without name", []byte{1, byte(Opaque), 0, 1}, "names no codec"},
		{"too deep", append([]byte{1}, strings.Repeat(string(rune(Slice)), 101)...), "more than 100 levels"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s, err := ParseSchema(c.src)
			if !errors.Is(err, ErrSchema) || !strings.Contains(text(err), c.want) {
				t.Errorf("it is %v, error %v, want %q", s, err, c.want)
			}
		})
	}
}

// Schemas made by hand must not crash Validate, however wrong.
func TestValidateByHand(t *testing.T) {
	for _, s := range []*Schema{nil, {}, {Kind: Map}, {Kind: Map, Key: &Schema{Kind: Array}}, {Kind: Slice}, {Kind: Array, Len: -1},
		{Kind: Struct, Fields: []Field{{"a", nil}}}, {Kind: Opaque, Codec: "x", Version: -1}} {
		if err := s.Validate(); !errors.Is(err, ErrSchema) {
			t.Errorf("%+v passes: %v", s, err)
		}
	}
	if err := (&Schema{Kind: Opaque, Codec: "protobuf/orders.Order", Version: 2}).Validate(); err != nil {
		t.Error(err)
	}
}

// Which types may be copied wholesale, kept out of the garbage collector's sight, or snapshotted by a plain copy.
func TestProperties(t *testing.T) {
	type padded struct {
		A int16
		B int32
	}
	type leftOut struct {
		A int64
		B []int `codec:"-"`
	}
	cases := []struct {
		typ                            reflect.Type
		fixed                          int
		memory, pointerFree, immutable bool
	}{
		{reflect.TypeFor[int64](), 8, true, true, true},
		{reflect.TypeFor[point](), 16, true, true, true},
		{reflect.TypeFor[[3]point](), 48, true, true, true},
		{reflect.TypeFor[struct{}](), 0, true, true, true},
		{reflect.TypeFor[complex128](), 16, true, true, true},
		{reflect.TypeFor[bool](), 1, false, true, true},
		{reflect.TypeFor[padded](), 6, false, true, true},
		{reflect.TypeFor[[2]padded](), 12, false, true, true},
		{reflect.TypeFor[leftOut](), 8, false, false, false},
		{reflect.TypeFor[string](), -1, false, false, true},
		{reflect.TypeFor[record](), -1, false, false, true},
		{reflect.TypeFor[time.Time](), 12, false, false, true},
		{reflect.TypeFor[time.Duration](), 8, true, true, true},
		{reflect.TypeFor[[]int64](), -1, false, false, false},
		{reflect.TypeFor[*int64](), -1, false, false, false},
		{reflect.TypeFor[map[string]int64](), -1, false, false, false},
		{reflect.TypeFor[even](), -1, false, true, true},
		{reflect.TypeFor[address](), -1, false, false, false},
		{reflect.TypeFor[[0]string](), 0, true, true, true},
	}
	for _, c := range cases {
		got, err := Of(c.typ)
		if err != nil {
			t.Fatal(err)
		}
		have := fmt.Sprint(got.FixedSize(), got.Memory(), got.PointerFree(), got.Immutable())
		if want := fmt.Sprint(c.fixed, c.memory && littleEndian, c.pointerFree, c.immutable); have != want {
			t.Errorf("%v: fixed size, memory, pointer-free, immutable are %v, want %v", c.typ, have, want)
		}
	}
}
