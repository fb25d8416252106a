package codec

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"
)

// evolution is a value of an old type and what it must become in a new one.
type evolution struct {
	name   string
	old    *Schema
	stored []byte
	want   any // a *T
	from   func(old *Schema) (decodeAny, error)
	fresh  func() any
	encode func(p any) []byte
}

type decodeAny func(src []byte, p any) ([]byte, error)

func evolves[Old, New any](name string, old Old, want New) evolution {
	c := must[New]()
	return evolution{
		name: name, old: schemaFor[Old](), stored: must[Old]().Append(nil, &old), want: &want,
		from: func(s *Schema) (decodeAny, error) {
			r, err := From[New](s)
			return func(src []byte, p any) ([]byte, error) { return r.Decode(src, p.(*New)) }, err
		},
		fresh:  func() any { return new(New) },
		encode: func(p any) []byte { return c.Append(nil, p.(*New)) },
	}
}

// The versions of a type over its life, as a user would write them.
type (
	visitV1 struct {
		Name string
		Hits int32
		Temp float32
		Old  []map[string]int16
		Spot point32
	}
	visitV2 struct {
		Spot    pointNamed
		Country string        `codec:"country,default=unknown, yet"`
		Hits    int64         `codec:"hits,formerly=Hits"`
		Wait    time.Duration `codec:",default=1m30s"`
		Temp    float64
		User    string    `codec:",formerly=nick,formerly=Name"`
		Since   time.Time `codec:",default=2026-01-02T03:04:05Z"`
		Tags    []string
		Inner   withDefaults
		Cache   func() `codec:"-"`
	}
	point32    struct{ X, Y int32 }
	pointNamed struct {
		Y, X  int64
		Label *string
		Rank  uint8 `codec:",default=0x10"`
	}
	withDefaults struct {
		On    bool    `codec:",default=true"`
		Share float32 `codec:",default=0.5"`
		More  map[string]int
	}
	treeV2 struct {
		Value *int64
		Names map[string]treeV2
		Left  *treeV2
		Depth int `codec:",default=1"`
		Kids  []treeV2
	}
	chainV2 struct {
		N    int16 `codec:",default=3"`
		Next *chainV2
	}
	chainV3 struct{ Next []*chainV3 }
)

func evolutions() []evolution {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	return []evolution{
		evolves("same", aNested, aNested),
		evolves("int8 to int", int8(-5), -5),
		evolves("int8 to int16", int8(-5), int16(-5)),
		evolves("int16 to int32", int16(math.MinInt16), int32(math.MinInt16)),
		evolves("int32 to int64", int32(math.MinInt32), int64(math.MinInt32)),
		evolves("uint8 to uint", uint8(200), uint(200)),
		evolves("uint8 to int16", uint8(200), int16(200)),
		evolves("uint16 to int32", uint16(math.MaxUint16), int32(math.MaxUint16)),
		evolves("uint32 to int64", uint32(math.MaxUint32), int64(math.MaxUint32)),
		evolves("uint32 to uint64", uint32(math.MaxUint32), uint64(math.MaxUint32)),
		evolves("float32 to float64", float32(0.1), float64(float32(0.1))),
		evolves("complex64 to complex128", complex64(1.5-2i), 1.5-2i),
		evolves("value to pointer", int32(7), new(int64(7))),
		evolves("value to slice", "a", []string{"a"}),
		evolves("array to slice of arrays", [2]int8{1, 2}, [][2]int16{{1, 2}}),
		evolves("struct to pointers in slice", point32{1, 2}, []*pointNamed{{Y: 2, X: 1, Rank: 16}}),
		evolves("pointer to pointer to pointer", new(int8(7)), new(new(int16(7)))),
		evolves("nil pointer", (*int8)(nil), (**int16)(nil)),
		evolves("slice to slice of slices", []int8{1, 2}, [][]int8{{1}, {2}}),
		evolves("nil slice", []int8(nil), []int64(nil)),
		evolves("bytes to ints", []byte{1, 255}, []int{1, 255}),
		evolves("array", [3]uint8{1, 2, 3}, [3]int64{1, 2, 3}),
		evolves("array of new fields", [2]struct{}{}, [2]struct {
			A int8 `codec:",default=9"`
		}{{9}, {9}}),
		evolves("swapped", point{1, 2}, struct{ Y, X int64 }{2, 1}),
		evolves("slice of swapped", []point{{1, 2}, {3, 4}}, []struct{ Y, X int64 }{{2, 1}, {4, 3}}),
		evolves("map", map[int16]point32{-1: {1, 2}, 300: {3, 4}}, map[int64]pointNamed{-1: {Y: 2, X: 1, Rank: 16}, 300: {Y: 4, X: 3, Rank: 16}}),
		evolves("map by struct", map[point32]bool{{1, 2}: true, {2, 1}: false}, map[point]bool{{1, 2}: true, {2, 1}: false}),
		evolves("embedded", struct{ Created, Changed time.Time }{aTime, aTime}, struct {
			base
			N int
		}{base: base{Created: aTime}}),
		evolves("visit", visitV1{"ann", 3, 1.5, []map[string]int16{{"x": 1}, nil}, point32{-1, 1}}, visitV2{
			Spot: pointNamed{Y: 1, X: -1, Rank: 16}, Country: "unknown, yet", Hits: 3, Wait: 90 * time.Second, Temp: 1.5, User: "ann", Since: now,
			Inner: withDefaults{On: true, Share: 0.5}}),
		evolves("tree", aTree, treeV2{Value: new(int64(1)), Depth: 1, Kids: []treeV2{{Value: new(int64(2)), Depth: 1},
			{Value: new(int64(3)), Depth: 1, Left: &treeV2{Value: new(int64(4)), Depth: 1}}},
			Names: map[string]treeV2{"b": {Value: new(int64(5)), Depth: 1}, "a": {Value: new(int64(6)), Depth: 1}}}),
		evolves("chain", chain{&chain{&chain{}}}, chainV2{3, &chainV2{3, &chainV2{3, nil}}}),
		evolves("everything dropped", aNested, struct{}{}),
		evolves("all scalars dropped", someScalars, struct {
			S string
			Z int
		}{S: "s"}),
		evolves("version of a codec", tempV1{21}, tempV2{210}),
	}
}

// tempV1 and tempV2 are versions of a type with a form of its own: degrees, and later tenths of them.
type (
	tempV1 struct{ degrees int8 }
	tempV2 struct{ tenths int16 }
)

func (tempV1) CodecID() (string, int)            { return "temperature", 1 }
func (t tempV1) MarshalBinary() ([]byte, error)  { return []byte{byte(t.degrees)}, nil }
func (t *tempV1) UnmarshalBinary(b []byte) error { t.degrees = int8(b[0]); return nil }
func (tempV2) CodecID() (string, int)            { return "temperature", 2 }
func (t tempV2) MarshalBinary() ([]byte, error) {
	return []byte{byte(t.tenths), byte(t.tenths >> 8)}, nil
}
func (t *tempV2) UnmarshalBinary(b []byte) error {
	t.tenths = int16(b[0]) | int16(b[1])<<8
	return nil
}
func (tempV2) OldestVersion() int { return 1 }
func (t *tempV2) UnmarshalVersion(version int, b []byte) error {
	if version != 1 {
		return fmt.Errorf("version %d", version)
	}
	t.tenths = 10 * int16(int8(b[0]))
	return nil
}

// Each old value becomes the new one, in a new variable and in one that is in use, and no part of its bytes is enough.
func TestEvolutions(t *testing.T) {
	for _, e := range evolutions() {
		t.Run(e.name, func(t *testing.T) {
			decode, err := e.from(e.old)
			if err != nil {
				t.Fatal(err)
			}
			into := e.fresh()
			for range 2 {
				rest, err := decode(append(e.stored[:len(e.stored):len(e.stored)], 0xaa), into)
				if err != nil || !bytes.Equal(rest, []byte{0xaa}) {
					t.Fatalf("it left %x, %v", rest, err)
				}
				if !reflect.DeepEqual(into, e.want) {
					t.Fatalf("it became %+v, want %+v", into, e.want)
				}
				scribble(reflect.ValueOf(into).Elem())
			}
			for n := range e.stored {
				if _, err := decode(e.stored[:n:n], e.fresh()); !errors.Is(err, ErrCorrupt) {
					t.Errorf("the first %d of %d bytes decode, error %v", n, len(e.stored), err)
				}
			}
		})
	}
}

// scribble makes a value other than zero wherever that is simple.
func scribble(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type() != timeType && v.Field(i).CanSet() && v.Type().Field(i).Tag.Get("codec") != "-" {
				scribble(v.Field(i))
			}
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 3, 3))
	case reflect.String:
		v.SetString("scribble")
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(99)
	}
}

// The golden file holds what was stored of each type, schema and bytes, and is read forever: what this version makes of it does not change.
func TestGoldenEvolutions(t *testing.T) {
	lines := goldenLines(t, "testdata/evolutions.v1.txt", evolutions(), func(e evolution) (string, string) {
		return e.name, fmt.Sprintf("%x | %x", e.old.AppendTo(nil), e.stored)
	})
	for _, e := range evolutions() {
		form, value, _ := strings.Cut(lines[e.name], " | ")
		old, err := ParseSchema(unhex(t, form))
		if err != nil {
			t.Fatalf("%s: %v", e.name, err)
		}
		decode, err := e.from(old)
		if err != nil {
			t.Fatalf("%s: %v", e.name, err)
		}
		got := e.fresh()
		if rest, err := decode(unhex(t, value), got); err != nil || len(rest) > 0 || !reflect.DeepEqual(got, e.want) {
			t.Errorf("%s: it became %+v, left %x, %v, want %+v", e.name, got, rest, err, e.want)
		}
	}
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// What Compare accepts the compiler of plans accepts, and the other way round, for every pair of types of the tests.
func TestCompareAndPlansAgree(t *testing.T) {
	types := map[string]*Compiled{}
	for _, v := range append(samples(), sampleOf("v2", visitV2{}), sampleOf("tree v2", treeV2{}), sampleOf("chain v2", chainV2{}), sampleOf("chain v3", chainV3{}),
		sampleOf("p", new(int64)), sampleOf("pp", new(new(int64))), sampleOf("empties", []struct{}{}), sampleOf("temp", tempV2{}), sampleOf("temp v1", tempV1{})) {
		typ := reflect.TypeOf(v.value).Elem()
		c, err := Of(typ)
		if err != nil {
			t.Fatal(err)
		}
		types[typ.String()] = c
	}
	fit := 0
	for oldName, old := range types {
		for newName, now := range types {
			v := Compare(old.schema, now.schema)
			_, err := newEvolvedPlan(old.schema, now.typ)
			empties := v.Err() != nil && strings.Contains(v.Err().Error(), "took no bytes") // the one that only Compare knows
			// A type of nothing but slices has no end, which the decoder would find by the depth.
			endless := newName == "codec.forest"
			keys := v.Err() != nil && strings.Contains(v.Err().Error(), "would become one")
			if (v.Err() == nil) != (err == nil) && !empties && !keys && !endless {
				t.Errorf("%s to %s: Compare says %v, the compiler %v", oldName, newName, v.Err(), err)
			}
			if err == nil {
				fit++
			}
		}
	}
	if fit < 3*len(types) {
		t.Errorf("only %d of %d pairs fit: the test shows little", fit, len(types)*len(types))
	}
}

// Damaged lengths cannot make an evolved decoder take much memory, as little as a plain one.
func TestEvolvedAllocationIsBounded(t *testing.T) {
	const size = 16 << 10
	var many []byte
	for len(many) < size {
		many = append(many, 0xff, 0x40)
	}
	for _, e := range evolutions() {
		decode, err := e.from(e.old)
		if err != nil {
			t.Fatal(err)
		}
		for _, src := range [][]byte{many, append([]byte{0xff, 0x40}, make([]byte, size)...), append([]byte{0xff, 0xff, 0xff, 0xff, 0x7f}, make([]byte, size)...)} {
			var before, after runtime.MemStats
			into := e.fresh()
			runtime.ReadMemStats(&before)
			decode(src, into)
			runtime.ReadMemStats(&after)
			if n := after.TotalAlloc - before.TotalAlloc; n > 300*size {
				t.Errorf("%s: %d bytes allocated to decode %d", e.name, n, len(src))
			}
		}
	}
}

// A flat struct is read without allocation, whatever has become of its fields.
func TestEvolvedFlatStructsDoNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	decode, from := flatEvolution(t)
	var into flatV2
	if n := testing.AllocsPerRun(100, func() {
		if _, err := decode.Decode(from, &into); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations for one value", n)
	}
	if want := (flatV2{At: 2, ID: 1, Amount: 3, Kind: 4, Zone: 7, Rate: 1.5}); into != want {
		t.Errorf("%+v, want %+v", into, want)
	}
}

type (
	flatV1 struct {
		ID, At int64
		Amount int32
		Kind   uint8
		Note   string
		Rate   float32
	}
	flatV2 struct {
		At, ID int64
		Amount int64
		Kind   int16
		Zone   int32 `codec:",default=7"`
		Rate   float64
	}
)

func flatEvolution(t testing.TB) (Reader[flatV2], []byte) {
	r, err := From[flatV2](schemaFor[flatV1]())
	if err != nil {
		t.Fatal(err)
	}
	return r, must[flatV1]().Append(nil, &flatV1{1, 2, 3, 4, "a note that is dropped", 1.5})
}

func BenchmarkDecodeEvolvedFlat(b *testing.B) {
	r, src := flatEvolution(b)
	var v flatV2
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Decode(src, &v); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodePlainFlat(b *testing.B) {
	c, v := must[flatV2](), flatV2{}
	src := c.Append(nil, &v)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Decode(src, &v); err != nil {
			b.Fatal(err)
		}
	}
}

// FuzzDecodeEvolved feeds arbitrary bytes to all evolutions. What is accepted must be a value that can be written, and the old schema must
// accept the same bytes.
func FuzzDecodeEvolved(f *testing.F) {
	all := evolutions()
	for i, e := range all {
		f.Add(uint8(i), e.stored)
	}
	f.Fuzz(func(t *testing.T, which uint8, src []byte) {
		e := all[int(which)%len(all)]
		decode, err := e.from(e.old)
		if err != nil {
			t.Fatal(err)
		}
		v := e.fresh()
		rest, err := decode(src, v)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Fatalf("%s: the error %v is not ErrCorrupt", e.name, err)
			}
			return
		}
		e.encode(v)
		if skipped, err := e.old.Skip(src); err == nil && len(skipped) != len(rest) {
			t.Fatalf("%s: %d bytes are left, and %d by the schema", e.name, len(rest), len(skipped))
		}
	})
}

// FuzzCompare reads arbitrary schemas as the types of the tests: the decoder that is made of them must not panic.
func FuzzCompare(f *testing.F) {
	for i, e := range evolutions() {
		f.Add(uint8(i), e.old.AppendTo(nil), e.stored)
	}
	all := evolutions()
	f.Fuzz(func(t *testing.T, which uint8, schema, src []byte) {
		e := all[int(which)%len(all)]
		old, err := ParseSchema(schema)
		if err != nil {
			return
		}
		decode, err := e.from(old)
		if err != nil {
			if me := (*MismatchError)(nil); !errors.As(err, &me) {
				t.Fatalf("%s of %v: %v", e.name, old, err)
			}
			return
		}
		if len(src) < 1<<12 {
			decode(src, e.fresh())
		}
	})
}

// What tags say is checked when a type is first met.
func TestTags(t *testing.T) {
	for _, c := range []struct {
		of   any
		want string
	}{
		{struct {
			A int `codec:",default=x"`
		}{}, `the default "x": it is no int`},
		{struct {
			A int8 `codec:",default=300"`
		}{}, `the default "300": it is no int8`},
		{struct {
			A []int `codec:",default=1"`
		}{}, "only numbers, bools, strings, times and durations have defaults"},
		{struct {
			A int `codec:"a,omitempty"`
		}{}, `unknown option "omitempty"`},
		{struct {
			A int `codec:"a,formerly="`
		}{}, `it was named "", which is no name`},
	} {
		if _, err := Of(reflect.TypeOf(c.of)); !strings.Contains(text(err), c.want) {
			t.Errorf("%T: %v, want %q", c.of, err, c.want)
		}
	}
}

// A form that is registered takes the place of the codec that the type would have, in all types around it, and reads what it says it can.
func TestRegister(t *testing.T) {
	type celsius struct{ v float64 }
	form := Form[celsius]{
		Name: "test/celsius", Version: 2, Description: []byte("tenths"),
		Append: func(dst []byte, v *celsius) ([]byte, error) { return fmt.Append(dst, v.v), nil },
		Decode: func(src []byte, v *celsius) error { _, err := fmt.Sscan(string(src), &v.v); return err },
		Accept: func(version int, description []byte) (func([]byte, *celsius) error, []string, error) {
			if version != 1 {
				return nil, nil, errors.New("only version 1 is known")
			}
			return func(src []byte, v *celsius) error { v.v = float64(src[0]); return nil }, []string{"degrees become tenths"}, nil
		},
	}
	Register(form)
	defer forget[celsius]()
	type room struct {
		At   *celsius
		Name string
	}
	c := must[room]()
	in := room{&celsius{21.5}, "kitchen"}
	b := c.Append(nil, &in)
	var back room
	if rest, err := c.Decode(b, &back); err != nil || len(rest) > 0 || !reflect.DeepEqual(in, back) {
		t.Fatalf("%+v %x %v", back, rest, err)
	}
	if parsed, err := ParseSchema(c.Schema().AppendTo(nil)); err != nil || !parsed.Equal(c.Schema()) || !strings.HasPrefix(parsed.String(), "struct{At *test/celsius/2(") {
		t.Errorf("%v %v", parsed, err)
	}
	old := &Schema{Kind: Struct, Fields: []Field{{Name: "At", Schema: &Schema{Kind: Foreign, Codec: "test/celsius", Version: 1}}, {Name: "Name", Schema: &Schema{Kind: String}}}}
	if got := worded(Compare(old, c.Schema())); !strings.HasPrefix(got, "field At: test/celsius/1 becomes *test/celsius/2(") {
		t.Error(got)
	}
	r, err := From[room](old)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Decode([]byte{1, 19, 1, 'x'}, &back); err != nil || back.At.v != 19 || back.Name != "x" {
		t.Errorf("%+v %v", back, err)
	}
	old.Fields[0].Schema.Version = 3
	if got := worded(Compare(old, c.Schema())); !strings.Contains(got, "only version 1 is known") {
		t.Error(got)
	}
	long := celsius{}
	if b := must[celsius]().Append([]byte("x"), &long); string(b) != "x\x010" {
		t.Errorf("%q", b)
	}
}

// forget undoes Register, so that a test can be repeated.
func forget[T any]() {
	forms.Delete(reflect.TypeFor[T]())
	met.Delete(reflect.TypeFor[T]())
	compiled.Clear()
}

// A type cannot be given a form once it has been encoded without, be it as a part of another.
func TestRegisterTooLate(t *testing.T) {
	type part struct{ A int }
	must[[]struct{ P part }]()
	defer func() {
		if r := recover(); r == nil || !strings.Contains(fmt.Sprint(r), "register it first") {
			t.Errorf("it is registered: %v", r)
		}
	}()
	Register(Form[part]{Name: "test/part", Append: func(dst []byte, v *part) ([]byte, error) { return dst, nil }, Decode: func([]byte, *part) error { return nil }})
}

// A form whose values are long has its length before them all the same.
func TestLongForm(t *testing.T) {
	type blob struct{ b []byte }
	Register(Form[blob]{
		Name:   "test/blob",
		Append: func(dst []byte, v *blob) ([]byte, error) { return append(dst, v.b...), nil },
		Decode: func(src []byte, v *blob) error { v.b = bytes.Clone(src); return nil },
	})
	defer forget[blob]()
	c := must[[]blob]()
	for _, n := range []int{0, 1, 127, 128, 129, 16383, 16384, 100_000} {
		in := []blob{{bytes.Repeat([]byte{7}, n)}, {[]byte("end")}}
		var back []blob
		if rest, err := c.Decode(c.Append(nil, &in), &back); err != nil || len(rest) > 0 || !bytes.Equal(back[0].b, in[0].b) || string(back[1].b) != "end" {
			t.Errorf("%d bytes: %v, %d left", n, err, len(rest))
		}
	}
}

// The zero value of a schema is that of its type.
func TestZero(t *testing.T) {
	for _, s := range samples() {
		if got, ok := s.schema.Zero(); ok && !bytes.Equal(got, s.encode(s.fresh())) {
			t.Errorf("%s: %x, want %x", s.name, got, s.encode(s.fresh()))
		} else if !ok && !strings.Contains(s.schema.String(), "/") {
			t.Errorf("%s: %v has a zero value", s.name, s.schema)
		}
	}
}
