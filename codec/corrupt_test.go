package codec

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"runtime"
	"strings"
	"testing"
)

// What Decode says to bytes that are no value of the type, and where it sees the damage.
func TestDecodeRefuses(t *testing.T) {
	huge := binary.AppendUvarint(nil, math.MaxInt32)
	cases := []struct {
		name string
		in   sample
		src  []byte
		want string
	}{
		{"short scalar", sampleOf("", int64(0)), make([]byte, 7), "decode value: 7 bytes are left, and it takes 8 or more"},
		{"bool", sampleOf("", struct{ On bool }{}), []byte{2}, "decode field On: the byte 0x2 is neither 0 nor 1"},
		{"string", sampleOf("", []record{}), append([]byte{2}, append(make([]byte, 32), 99, 0)...), "decode value[0].Name: its length is damaged, or more than the 2 bytes left"},
		{"slice", sampleOf("", struct{ Tags []string }{}), huge, "decode field Tags: 0 bytes are left, and 2147483646 elements take 1 or more each"},
		{"slice beyond int", sampleOf("", []struct{}{}), binary.AppendUvarint(nil, math.MaxUint64), "decode value: its length 18446744073709551614 is too large"},
		{"length in a long form", sampleOf("", ""), []byte{0x80, 0}, "its length is damaged"},
		{"length cut short", sampleOf("", []byte{}), []byte{0x80}, "its length is damaged"},
		{"array", sampleOf("", struct{ Two [2]string }{}), []byte{1, 'a', 9}, "decode field Two[1]: its length is damaged"},
		{"map", sampleOf("", map[string]bool{}), huge, "elements take 2 or more each"},
		{"map order", sampleOf("", map[int8]int8{}), []byte{3, 2, 0, 1, 0}, "decode value[key 1]: it is not greater than the one before"},
		{"map twice", sampleOf("", map[int8]int8{}), []byte{3, 1, 0, 1, 0}, "decode value[key 1]: it is not greater than the one before"},
		{"map of equal keys", sampleOf("", map[struct{}]struct{}{}), huge, "keys are all equal"},
		{"map value", sampleOf("", map[int8]bool{}), []byte{2, 1, 7}, "decode value[0]: the byte 0x7 is neither 0 nor 1"},
		{"pointer", sampleOf("", new(int8)), []byte{3}, "decode value: the byte 0x3 is neither 0 nor 1"},
		{"time", sampleOf("", aTime), bytes.Repeat([]byte{255}, 12), "nanoseconds are more than a second"},
		{"nesting", sampleOf("", chain{}), bytes.Repeat([]byte{1}, MaxDepth+1), "decode field ....Next.Next"},
		{"opaque length", sampleOf("", even{}), []byte{9}, "its length is damaged"},
		{"opaque refuses", sampleOf("", struct{ N even }{}), []byte{1, 'x'}, "decode field N: its codec: \"x\" is no even number: corrupt value"},
		{"opaque panics", sampleOf("", even{}), []byte{1, 'p'}, "its codec panics on these bytes: p"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := c.in.decode(c.src, c.in.fresh())
			if !errors.Is(err, ErrCorrupt) || !strings.Contains(text(err), c.want) {
				t.Errorf("the error is %v, want %q", err, c.want)
			}
		})
	}
}

// No proper beginning of a value is a value.
func TestDecodeOfEveryPrefixFails(t *testing.T) {
	for _, s := range samples() {
		b := s.encode(s.value)
		for n := range b {
			if _, err := s.decode(b[:n:n], s.fresh()); !errors.Is(err, ErrCorrupt) {
				t.Errorf("%s: the first %d of %d bytes decode, error %v", s.name, n, len(b), err)
			}
		}
	}
}

// A decoded value does not change with the bytes it was read from.
func TestDecodeCopies(t *testing.T) {
	for _, s := range samples() {
		b := s.encode(s.value)
		back := s.fresh()
		if _, err := s.decode(b, back); err != nil {
			t.Fatal(err)
		}
		before := s.encode(back)
		for i := range b {
			b[i] = 0xdb
		}
		if after := s.encode(back); !bytes.Equal(before, after) {
			t.Errorf("%s: it became %x, was %x", s.name, after, before)
		}
	}
}

// Decoding into a value that is in use gives the same as into a new one, and leaves alone what it referred to and what is left out.
func TestDecodeIntoUsed(t *testing.T) {
	c := must[nested]()
	cache := make(chan int)
	used := aNested
	used.Cache = cache
	tags, sums, next := used.Tags, used.Sums, used.Next
	if _, err := c.Decode(c.Append(nil, &nested{Sums: map[string]int64{"z": 26}, Tags: []string{"new"}}), &used); err != nil {
		t.Fatal(err)
	}
	if tags[0] != "" || len(sums) != 4 || next.X != 5 {
		t.Errorf("what the old value referred to changed: %v %v %v", tags, sums, next)
	}
	if used.Cache != cache || len(used.Sums) != 1 || used.Next != nil || used.Spots != nil || used.Name != "" {
		t.Errorf("the new value is %+v", used)
	}
}

// Append panics with an error that says what is wrong with the value.
func TestAppendPanics(t *testing.T) {
	loop := &chain{}
	loop.Next = loop
	for want, encode := range map[string]func(){
		"codec: encode field Next: it holds more than 10000 values within each other, or a pointer to itself": func() { must[chain]().Append(nil, loop) },
		"codec: encode field N: MarshalBinary: odd":                                                           func() { must[struct{ N even }]().Append(nil, &struct{ N even }{even{1}}) },
	} {
		func() {
			defer func() {
				if err, ok := recover().(*EncodeError); !ok || err.Error() != want {
					t.Errorf("it panics with %v, want %q", err, want)
				}
			}()
			encode()
			t.Errorf("no panic, want %q", want)
		}()
	}
}

// A value nested as deep as is allowed goes there and back.
func TestDeepestValue(t *testing.T) {
	c, v := must[chain](), chain{}
	for range MaxDepth - 1 {
		v = chain{&chain{v.Next}}
	}
	var back chain
	if rest, err := c.Decode(c.Append(nil, &v), &back); err != nil || len(rest) > 0 {
		t.Fatal(rest, err)
	}
}

// Damaged lengths cannot make Decode take much memory, neither one alone nor many within each other, where each claims all that is left.
func TestDecodeAllocationIsBounded(t *testing.T) {
	const size = 16 << 10
	one := append(binary.AppendUvarint(nil, size/2), make([]byte, size)...)
	var many []byte
	for len(many) < size {
		many = binary.AppendUvarint(many, uint64(max(1, size-len(many)-8)))
	}
	for _, s := range append(samples(), sampleOf("map in map", selfMap{}), sampleOf("kids first", kidsFirst{})) {
		for _, src := range [][]byte{one, many} {
			var before, after runtime.MemStats
			into := s.fresh()
			runtime.ReadMemStats(&before)
			s.decode(src, into)
			runtime.ReadMemStats(&after)
			if n := after.TotalAlloc - before.TotalAlloc; n > 100*size {
				t.Errorf("%s: %d bytes allocated to decode %d", s.name, n, len(src))
			}
		}
	}
}

type (
	selfMap   map[bool]selfMap
	kidsFirst struct {
		Kids  []kidsFirst
		Names map[int8]kidsFirst
	}
)

// FuzzDecode feeds arbitrary bytes to the types of all samples. What is accepted must encode to the very bytes it came from.
func FuzzDecode(f *testing.F) {
	all := samples()
	for i, s := range all {
		f.Add(uint8(i), s.encode(s.value))
	}
	f.Fuzz(func(t *testing.T, which uint8, src []byte) {
		s := all[int(which)%len(all)]
		v := s.fresh()
		rest, err := s.decode(src, v)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) || err.Error() == "" {
				t.Fatalf("%s: the error %v is not ErrCorrupt", s.name, err)
			}
			return
		}
		read := src[:len(src)-len(rest)]
		if again := s.encode(v); !bytes.Equal(again, read) {
			t.Fatalf("%s: %x decodes, but encodes as %x", s.name, read, again)
		}
	})
}

// FuzzParseSchema feeds arbitrary bytes to ParseSchema. What is accepted must have that very form, and all methods must work on it.
func FuzzParseSchema(f *testing.F) {
	for _, s := range samples() {
		f.Add(s.schema.AppendTo(nil))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		s, err := ParseSchema(src)
		if err != nil {
			if !errors.Is(err, ErrSchema) {
				t.Fatalf("the error %v is not ErrSchema", err)
			}
			return
		}
		if again := s.AppendTo(nil); !bytes.Equal(again, src) {
			t.Fatalf("%x parses, but is written as %x", src, again)
		}
		if s.String() == "" || !s.Equal(s) || !Compare(s, s).Same() {
			t.Fatalf("the schema %v is not equal to itself", s)
		}
		_ = worded(Compare(s, &Schema{Kind: Struct}))
	})
}
