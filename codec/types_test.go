package codec

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// The types here cover every kind and every way of nesting. Round trips, golden files and fuzz targets share them.

type (
	userID string
	level  int8

	record struct {
		ID, At, Amount, Flags int64
		Name, City            string
	}

	point struct{ X, Y int64 }

	scalars struct {
		B    bool
		I    int
		I8   int8
		I16  int16
		I32  int32
		I64  int64
		U    uint
		U8   uint8
		U16  uint16
		U32  uint32
		U64  uint64
		F32  float32
		F64  float64
		C64  complex64
		C128 complex128
		S    string
		T    time.Time
		D    time.Duration
	}

	base struct {
		Created time.Time
		Owner   userID
	}

	nested struct {
		base         // unexported, its fields are not
		Name  string `codec:"title"`
		Raw   []byte
		Tags  []string
		Spots []point
		Pairs [2]record
		Sums  map[string]int64
		Deep  map[userID]map[level][]string
		Set   map[point]struct{}
		Next  *point
		Cache chan int `codec:"-"`
		_     int32
	}

	tree struct {
		Value int32
		Kids  []tree
		Left  *tree
		Names map[string]tree
	}

	chain struct{ Next *chain }

	forest []forest

	// address is a foreign type made storable.
	address struct{ netip.Addr }

	// even marshals only even numbers, and panics on some bytes.
	even struct{ n int }

	withOpaque struct {
		From, To address
		N        *even
	}
)

// upper has a form by a library: a string in capitals.
type upper struct{ text string }

func init() {
	Register(Form[upper]{
		Name: "test/upper", Version: 1, Description: []byte("capitals"),
		Append: func(dst []byte, v *upper) ([]byte, error) { return append(dst, v.text...), nil },
		Decode: func(src []byte, v *upper) error {
			if v.text = string(src); strings.ToUpper(v.text) != v.text {
				return errors.New("not in capitals")
			}
			return nil
		},
	})
}

func (address) CodecID() (string, int) { return "ip-address", 1 }

func (even) CodecID() (string, int) { return "even", 3 }

func (e even) MarshalBinary() ([]byte, error) {
	if e.n%2 != 0 {
		return nil, errors.New("odd")
	}
	return fmt.Append(nil, e.n), nil
}

func (e *even) UnmarshalBinary(b []byte) error {
	if b[0] == 'p' {
		panic("p")
	}
	n, err := strconv.Atoi(string(b))
	if err != nil || n%2 != 0 || strconv.Itoa(n) != string(b) {
		return fmt.Errorf("%q is no even number", b)
	}
	e.n = n
	return nil
}

var (
	aRecord = record{1, 2, -3, 1 << 40, "Ann", "Zürich"}
	aTime   = time.Date(2015, 1, 31, 23, 59, 58, 123456789, time.UTC)
	aTree   = tree{1, []tree{{Value: 2}, {3, nil, &tree{Value: 4}, nil}}, nil, map[string]tree{"b": {Value: 5}, "a": {Value: 6}}}
	aNested = nested{
		base: base{aTime, "root"}, Name: "n", Raw: []byte{0, 255}, Tags: []string{"", "x", "yz"},
		Spots: []point{{1, 2}, {3, 4}}, Pairs: [2]record{aRecord, {}},
		Sums: map[string]int64{"b": 2, "a": 1, "ccc": 3, "bb": 4},
		Deep: map[userID]map[level][]string{"u": {-1: {"a"}, 1: nil}, "v": nil, "w": {}},
		Set:  map[point]struct{}{{1, 2}: {}, {2, 1}: {}},
		Next: &point{5, 6},
	}
	someScalars = scalars{true, -1, -2, -3, -4, -5, 1, 2, 3, 4, 5, 1.5, -2.5, 1 + 2i, 3 - 4i, "s", aTime, time.Minute}
)

// sample is a value under the name it has in golden files and subtests, with the codec of its type.
type sample struct {
	name   string
	value  any // a *T
	schema *Schema
	fresh  func() any // a *T
	encode func(p any) []byte
	decode func(src []byte, p any) ([]byte, error)
}

func sampleOf[T any](name string, v T) sample {
	c := must[T]()
	return sample{
		name:   name,
		value:  &v,
		schema: c.Schema(),
		fresh:  func() any { return new(T) },
		encode: func(p any) []byte { return c.Append(nil, p.(*T)) },
		decode: func(src []byte, p any) ([]byte, error) { return c.Decode(src, p.(*T)) },
	}
}

func must[T any]() Codec[T] {
	c, err := For[T]()
	if err != nil {
		panic(err)
	}
	return c
}

func samples() []sample {
	return []sample{
		sampleOf("false", false),
		sampleOf("true", true),
		sampleOf("int", -1),
		sampleOf("int8", int8(-128)),
		sampleOf("int16", int16(258)),
		sampleOf("int32", int32(0x01020304)),
		sampleOf("int64", int64(0x0102030405060708)),
		sampleOf("uint", uint(1)),
		sampleOf("uint8", uint8(255)),
		sampleOf("uint16", uint16(258)),
		sampleOf("uint32", uint32(0x01020304)),
		sampleOf("uint64", uint64(1<<63)),
		sampleOf("float32", float32(1.5)),
		sampleOf("float64", -0.1),
		sampleOf("complex64", complex64(1+2i)),
		sampleOf("complex128", 1-2i),
		sampleOf("empty string", ""),
		sampleOf("string", "Zürich"),
		sampleOf("long string", strings.Repeat("ab", 100)),
		sampleOf("time", aTime),
		sampleOf("zero time", time.Time{}),
		sampleOf("time before 1970", time.Unix(-1, 999_999_999).UTC()),
		sampleOf("duration", 90*time.Second),
		sampleOf("named", userID("ann")),
		sampleOf("nil bytes", []byte(nil)),
		sampleOf("empty bytes", []byte{}),
		sampleOf("bytes", []byte{1, 2, 3}),
		sampleOf("ints", []int{1, 2}),
		sampleOf("bools", []bool{true, false}),
		sampleOf("strings", []string{"a", "", "bc"}),
		sampleOf("slices", [][]int16{{1}, nil, {}}),
		sampleOf("array", [3]uint16{1, 2, 3}),
		sampleOf("array of strings", [2]string{"a", "b"}),
		sampleOf("empty array", [0]string{}),
		sampleOf("slice of empty arrays", [][0]string{{}, {}}),
		sampleOf("slice of empty structs", []struct{}{{}, {}}),
		sampleOf("nil map", map[string]int8(nil)),
		sampleOf("empty map", map[string]int8{}),
		sampleOf("map", map[string]int8{"b": 2, "a": 1, "aa": 3}),
		sampleOf("map by int", map[int16][]string{256: {"x"}, 1: nil, -1: {}}),
		sampleOf("map by bool", map[bool]bool{true: false, false: true}),
		sampleOf("map by nothing", map[struct{}]int8{{}: 1}),
		sampleOf("nil pointer", (*int8)(nil)),
		sampleOf("pointer", new(int8(7))),
		sampleOf("pointer to pointer", new(new("x"))),
		sampleOf("empty struct", struct{}{}),
		sampleOf("record", aRecord),
		sampleOf("scalars", someScalars),
		sampleOf("nested", aNested),
		sampleOf("zero nested", nested{}),
		sampleOf("tree", aTree),
		sampleOf("chain", chain{&chain{&chain{}}}),
		sampleOf("forest", forest{nil, {}, {{}}}),
		sampleOf("opaque", withOpaque{address{netip.MustParseAddr("10.0.0.1")}, address{netip.MustParseAddr("::1")}, &even{42}}),
		sampleOf("library form", []*upper{{"ABC"}, nil, {}}),
	}
}
