package codec

import (
	"reflect"
	"sync"
	"testing"
	"unsafe"
)

// Every sample comes back equal, leaves what follows it, and encodes to the same bytes again.
func TestRoundTrip(t *testing.T) {
	for _, s := range samples() {
		t.Run(s.name, func(t *testing.T) {
			b := s.encode(s.value)
			back := s.fresh()
			rest, err := s.decode(append(b, "rest"...), back)
			if err != nil {
				t.Fatal(err)
			}
			if string(rest) != "rest" {
				t.Errorf("it left %q, want rest", rest)
			}
			if !reflect.DeepEqual(s.value, back) {
				t.Errorf("it came back as %+v, was %+v", reflect.ValueOf(back).Elem(), reflect.ValueOf(s.value).Elem())
			}
			if again := s.encode(back); string(again) != string(b) {
				t.Errorf("encoded again it is %x, was %x", again, b)
			}
		})
	}
}

// A map gives the same bytes however it was filled and however often it is asked.
func TestEqualMapsGiveEqualBytes(t *testing.T) {
	c := must[map[string]int]()
	up, down := map[string]int{}, map[string]int{}
	for i := range 200 {
		up[string(rune('a'+i))] = i
		down[string(rune('a'+199-i))] = 199 - i
	}
	want := c.Append(nil, &up)
	for range 20 {
		if string(c.Append(nil, &down)) != string(want) {
			t.Fatal("equal maps gave different bytes")
		}
	}
}

// Encoding into a large enough buffer allocates nothing, maps included; decoding allocates what the value consists of.
func TestAllocations(t *testing.T) {
	r, m, n := benchRecord(), eight(), aNested
	buf := make([]byte, 0, 4096)
	expect := func(name string, want float64, f func()) {
		t.Helper()
		f() // warm the scratch memory of maps
		if got := testing.AllocsPerRun(100, f); got > want {
			t.Errorf("%s: %v allocations, want %v", name, got, want)
		}
	}
	records, maps, nesteds := must[record](), must[map[string]int64](), must[nested]()
	points, spots := must[[]point](), []point{{1, 2}}
	expect("encode record", 0, func() { records.Append(buf, &r) })
	if !raceEnabled { // the race detector makes sync.Pool drop things
		expect("encode map", 0, func() { maps.Append(buf, &m) })
		expect("encode nested", 0, func() { nesteds.Append(buf, &n) })
	}
	record, slice := records.Append(nil, &r), points.Append(nil, &spots)
	expect("decode record", 2, func() { mustDecode(t, records, record, &r) })
	expect("decode slice", 1, func() { mustDecode(t, points, slice, &spots) })
}

func mustDecode[T any](t *testing.T, c Codec[T], src []byte, v *T) {
	if _, err := c.Decode(src, v); err != nil {
		t.Fatal(err)
	}
}

// Rows are encoded one after the other, whether one by one or wholesale.
func TestSlices(t *testing.T) {
	testRows(t, []point{{1, 2}, {3, 4}})
	testRows(t, []record{aRecord, {}, aRecord})
	testRows(t, []struct{}{{}, {}})
	testRows(t, []int32(nil))
}

func testRows[T any](t *testing.T, rows []T) {
	t.Helper()
	c, err := Of(reflect.TypeFor[T]())
	if err != nil {
		t.Fatal(err)
	}
	var want []byte
	for i := range rows {
		want = c.Append(want, unsafe.Pointer(&rows[i]))
	}
	got := c.AppendSlice(nil, unsafe.Pointer(unsafe.SliceData(rows)), len(rows))
	if string(got) != string(want) {
		t.Errorf("rows of %v are %x, want %x", c.Type(), got, want)
	}
	back := make([]T, len(rows))
	rest, err := c.DecodeSlice(append(got, 7), unsafe.Pointer(unsafe.SliceData(back)), len(back))
	if err != nil || len(rest) != 1 || len(rows) > 0 && !reflect.DeepEqual(back, rows) {
		t.Errorf("rows of %v came back as %v, left %v, %v", c.Type(), back, rest, err)
	}
}

// A codec may be compiled and used by many goroutines at once (run with -race), and each type has one.
func TestConcurrentUse(t *testing.T) {
	compiled.Clear()
	var wg sync.WaitGroup
	found := make([]*Compiled, 8)
	for i := range found {
		wg.Go(func() {
			c, err := Of(reflect.TypeFor[nested]())
			if err != nil {
				t.Error(err)
				return
			}
			found[i] = c
			for range 50 {
				var back nested
				if _, err := c.Decode(c.Append(nil, unsafe.Pointer(&aNested)), unsafe.Pointer(&back)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	for _, c := range found {
		if c != found[0] {
			t.Error("the type has two codecs")
		}
	}
}
