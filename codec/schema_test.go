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
	two, one := schemaFor[struct{ A, B int }](), schemaFor[struct{ A int }]()
	cases := []struct {
		name     string
		old, new *Schema
		want     string // what changes, or "! " and what stands against it
	}{
		{"same", schemaFor[hits](), schemaFor[hits](), ""},
		{"only Go names differ", schemaFor[hits](), schemaFor[renamed](), ""},
		{"recursive, only Go names differ", schemaFor[chain](), schemaFor[link](), ""},
		{"wider", schemaFor[int32](), schemaFor[int64](), "value: int32 becomes int64"},
		{"unsigned to signed", schemaFor[uint32](), schemaFor[int64](), "value: uint32 becomes int64"},
		{"unsigned to signed of the same width", schemaFor[uint32](), schemaFor[int32](), "! value: was uint32, is now int32"},
		{"signed to unsigned", schemaFor[int8](), schemaFor[uint64](), "! value: was int8, is now uint64"},
		{"narrower", schemaFor[int64](), schemaFor[int32](), "! value: was int64, is now int32"},
		{"integer to float", schemaFor[int8](), schemaFor[float64](), "! value: was int8, is now float64"},
		{"float", schemaFor[[2]float32](), schemaFor[[2]float64](), "value[]: float32 becomes float64"},
		{"complex", schemaFor[complex64](), schemaFor[complex128](), "value: complex64 becomes complex128"},
		{"a duration is no number", schemaFor[int64](), schemaFor[time.Duration](), "! value: was int64, is now time.Duration"},
		{"element", schemaFor[[]int32](), schemaFor[[]int64](), "value[]: int32 becomes int64"},
		{"array length", schemaFor[[2]int32](), schemaFor[[3]int32](), "! value: was [2]int32, is now [3]int32"},
		{"map", schemaFor[map[string]int8](), schemaFor[map[int64]bool](), "! value[key]: was string, is now int64; value[]: was int8, is now bool"},
		{"map widened", schemaFor[map[uint8]int8](), schemaFor[map[int64]int16](), "value[key]: uint8 becomes int64; value[]: int8 becomes int16"},
		{"map key with a field more", schemaFor[map[struct{ A int }]bool](), schemaFor[map[struct{ A, B int }]bool](), "value[key].B: is new (int64)"},
		{"map key with a field less", schemaFor[map[struct{ A, B int }]bool](), schemaFor[map[struct{ A int }]bool](),
			`! value[key].B: was int64, is gone: keys that differ only there would become one; if it has another name now, its tag must say so: codec:",formerly=..."`},
		{"value and map key with a field less", &Schema{Kind: Struct, Fields: []Field{{Name: "V", Schema: two}, {Name: "M", Schema: &Schema{Kind: Map, Key: two, Elem: one}}}},
			&Schema{Kind: Struct, Fields: []Field{{Name: "V", Schema: one}, {Name: "M", Schema: &Schema{Kind: Map, Key: one, Elem: one}}}},
			`! field M[key].B: was int64, is gone: keys that differ only there would become one; if it has another name now, its tag must say so: codec:",formerly=..."`},
		{"field", schemaFor[hits](), schemaFor[struct{ Name, Hits string }](), "! field Hits: was int64, is now string"},
		{"new field", schemaFor[hits](), schemaFor[struct {
			Name string
			Hits int64
			At   time.Time
		}](), "field At: is new (time.Time)"},
		{"field gone", schemaFor[hits](), schemaFor[struct{ Hits int64 }](), "field Name: is dropped (string)"},
		{"field renamed without a word", schemaFor[struct{ A int }](), schemaFor[struct{ B int }](), "field B: is new (int64); field A: is dropped (int64)"},
		{"field renamed", schemaFor[struct{ A int }](), schemaFor[struct {
			B int `codec:",formerly=Z,formerly=A"`
		}](), "field B: was named A"},
		{"renamed and its name reused", schemaFor[struct{ A int32 }](), schemaFor[struct {
			B int `codec:",formerly=A"`
			A string
		}](), "! field A: was int32, is now string"},
		{"default", schemaFor[struct{}](), schemaFor[struct {
			N int8 `codec:"n,default=-5"`
		}](), "field n: is new (int8), -5 at first"},
		{"order", schemaFor[hits](), schemaFor[struct {
			Hits int64
			Name string
		}](), "value: its fields are in another order"},
		{"deep inside", schemaFor[map[string][]struct{ P *hits }](), schemaFor[map[string][]struct{ P *struct{ Name, Hits string } }](),
			"! value[][].P.Hits: was int64, is now string"},
		{"pointer to value", schemaFor[struct{ P *int }](), schemaFor[struct{ P int }](), "! field P: was *int64, is now int64"},
		{"value to pointer", schemaFor[struct{ P int16 }](), schemaFor[struct{ P *int }](), "field P: int16 becomes *int64"},
		{"value to slice", schemaFor[hits](), schemaFor[[]*hits](), "value: struct{Name string; Hits int64} becomes []*struct{Name string; Hits int64}"},
		{"value to nothing but slices", schemaFor[int64](), schemaFor[forest](), "! value: was int64, is now []^1"},
		{"elements out of nothing", schemaFor[[]struct{}](), schemaFor[[]struct{ A int }](),
			"! value[]: was struct{}, is now struct{A int64}: elements that took no bytes cannot become some that do, since a damaged number of them could not be told from a true one"},
		{"recursive", schemaFor[chain](), schemaFor[struct {
			Next *chain
			N    int
		}](), "field N: is new (int64)"},
		{"codec version", &Schema{Kind: Opaque, Codec: "p", Version: 1}, &Schema{Kind: Opaque, Codec: "p", Version: 2},
			"! value: was opaque(p/1), is now opaque(p/2): its codec reads no other version"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			v := Compare(c.old, c.new)
			if got := worded(v); got != c.want {
				t.Errorf("the verdict is %q, want %q", got, c.want)
			}
			if me := (*MismatchError)(nil); v.Err() != nil && !errors.As(v.Err(), &me) {
				t.Errorf("%T is no MismatchError", v.Err())
			}
			if same := c.want == ""; c.old.Equal(c.new) != same || (c.old.Fingerprint() == c.new.Fingerprint()) != same || v.Same() != same {
				t.Error("Equal, Fingerprint and Compare do not agree")
			}
		})
	}
}

// worded returns a verdict in one line.
func worded(v Verdict) string {
	if v.Err() != nil {
		return "! " + v.Err().Error()
	}
	return strings.Join(v.Changes, "; ")
}

// A key that state is found by may be spelled in another way only if it keeps its hash.
func TestCompareStreamKeys(t *testing.T) {
	type pair struct {
		Day  int16
		User string
	}
	const rehashed = ": keys would have other hashes, so that their state would be looked for in other key groups"
	for _, c := range []struct {
		name     string
		old, new *Schema
		want     string
	}{
		{"same", schemaFor[pair](), schemaFor[pair](), ""},
		{"wider", schemaFor[uint32](), schemaFor[int64](), "value: uint32 becomes int64"},
		{"float", schemaFor[[2]float32](), schemaFor[[2]float64](), "value[]: float32 becomes float64"},
		{"another type", schemaFor[int64](), schemaFor[string](), "! value: was int64, is now string" + rehashed},
		{"field renamed and wider", schemaFor[pair](), schemaFor[struct {
			Date int64 `codec:",formerly=Day"`
			User string
		}](), "field Date: was named Day; field Date: int16 becomes int64"},
		{"another order", schemaFor[pair](), schemaFor[struct {
			User string
			Day  int16
		}](), "! value: the order of fields was Day, User, is now User, Day" + rehashed},
		{"a field more", schemaFor[struct{ A int8 }](), schemaFor[struct{ A, B int8 }](), "! value: was struct{A int8}, is now struct{A int8; B int8}" + rehashed},
		{"renamed without a word", schemaFor[struct{ A int8 }](), schemaFor[struct{ B int8 }](), `! field A: was int8, is gone: if it has another name now, its tag must say so: codec:",formerly=..."`},
	} {
		if got := worded(CompareStreamKeys(c.old, c.new)); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
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
		{Kind: Struct, Fields: []Field{{Name: "a"}}}, {Kind: Opaque, Codec: "x", Version: -1}} {
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
