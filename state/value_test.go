package state_test

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/weirstream/weir/backend"
	"github.com/weirstream/weir/internal/backend/heap"
	"github.com/weirstream/weir/internal/backend/pebble"
	"github.com/weirstream/weir/internal/keygroup"
	"github.com/weirstream/weir/internal/keyhash"
	"github.com/weirstream/weir/internal/metrics"
	"github.com/weirstream/weir/state"
)

// operator drives a store of one processor as the runtime does.
type operator[K comparable] struct {
	*heap.Store[K]
	layout *heap.Layout
	hash   func(K) uint64
}

func newOperator[K comparable](t testing.TB, processor any, hash func(K) uint64) operator[K] {
	t.Helper()
	return newTracking(t, processor, hash, false)
}

// newTracking is newOperator with a store that knows what has changed, if it is to.
func newTracking[K comparable](t testing.TB, processor any, hash func(K) uint64, track bool) operator[K] {
	t.Helper()
	var key K
	l, err := heap.NewLayout(typeOf(key))
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Bind(processor); err != nil {
		t.Fatal(err)
	}
	if track {
		l.Track()
	}
	s, err := heap.NewStore(l, keygroup.RangeOf(0, 1, 128), 128, func(k *K) uint64 { return hash(*k) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	if pebbles != nil {
		s.Back(openPebble(t), pebbleRoom)
	}
	if measured {
		all := metrics.NewScope()
		in := func(state, name string) *metrics.Histogram {
			return all.Histogram(metrics.HistogramName{Group: state, Name: name}, 16)
		}
		s.Measure(heap.Measuring{Latency: 1, LatencyOf: in, Sizes: 2, SizesOf: in})
	}
	return operator[K]{s, l, hash}
}

// pebbles makes byte stores for the tests to run on; nil for the heap alone.
var pebbles backend.Factory

// measured says that accesses are, those of each record.
var measured bool

// pebbleRoom is the memory for rows over one of them.
var pebbleRoom = int64(1)

func openPebble(t testing.TB) backend.Store {
	t.Helper()
	s, err := pebbles.Open(context.Background(), backend.Env{Parallelism: 1, Groups: backend.Groups{First: 0, Last: 127}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestMain runs all tests on the heap, and on Pebble with room for hardly a row in memory, so that each batch reads and writes its rows; and
// both again with each access measured, which takes other ways. What a processor sees must be the same.
func TestMain(m *testing.M) {
	code := m.Run()
	if flag.Lookup("test.bench").Value.String() == "" && flag.Lookup("test.list").Value.String() == "" {
		for _, again := range []func(*testing.M) int{runMeasured, runOnPebble} {
			if code == 0 {
				code = again(m)
			}
		}
	}
	os.Exit(code)
}

func runOnPebble(m *testing.M) (code int) {
	dir, err := os.MkdirTemp("", "weir-state-test-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	o := pebble.Default()
	o.Dir, o.Memory = dir, pebble.LeastMemory
	if pebbles, err = pebble.Open(o, slog.New(slog.DiscardHandler)); err != nil {
		panic(err)
	}
	defer pebbles.Close()
	fmt.Println("the same on Pebble")
	if code = m.Run(); code == 0 {
		code = runMeasured(m)
	}
	return code
}

func runMeasured(m *testing.M) int {
	measured = true
	defer func() { measured = false }()
	fmt.Println("the same measured")
	return m.Run()
}

// on calls f with the handles at each key in turn, as one batch.
func (o operator[K]) on(f func(key K), keys ...K) {
	hashes, refs := make([]uint64, len(keys)), make([]heap.Ref, len(keys))
	for i, k := range keys {
		hashes[i] = o.hash(k)
	}
	o.Resolve(keys, hashes, refs)
	for i, r := range refs {
		o.Seek(r)
		f(keys[i])
	}
	o.EndBatch()
}

type pageViews struct {
	Count state.Value[int64]
	Last  state.Value[string]
	Tags  state.Value[[]string]
}

// Each key has its own values of every class: in the row, with strings, and encoded.
func TestValuePerKey(t *testing.T) {
	var p pageViews
	o := newOperator(t, &p, keyhash.String)
	see := func(k string) {
		p.Count.Set(p.Count.Get() + 1)
		p.Last.Set(p.Last.Get() + k)
		p.Tags.Set(append(p.Tags.Get(), k))
	}
	o.on(see, "a", "b", "a", "c", "a")
	var got []string
	o.on(func(k string) {
		got = append(got, fmt.Sprintf("%s %d %s %v", k, p.Count.Get(), p.Last.Get(), p.Tags.Get()))
	}, "a", "b", "c")
	want := "a 3 aaa [a a a];b 1 b [b];c 1 c [c]"
	if s := strings.Join(got, ";"); s != want {
		t.Errorf("got %s, want %s", s, want)
	}
	if len(o.layout.Warnings()) != 1 || !strings.Contains(o.layout.Warnings()[0], "Tags") {
		t.Errorf("warnings: %q", o.layout.Warnings())
	}
}

// A key is forgotten when all its states are zero, whether they were cleared, set to zero, or never set.
func TestKeyWithoutStateIsForgotten(t *testing.T) {
	var p pageViews
	o := newOperator(t, &p, keyhash.String)
	o.on(func(string) { p.Count.Set(1); p.Tags.Set([]string{"x"}) }, "a", "b")
	o.on(func(string) {}, "c")
	if o.Len() != 2 {
		t.Fatalf("%d keys, want 2", o.Len())
	}
	o.on(func(string) { p.Count.Clear() }, "a")
	if o.Len() != 2 {
		t.Fatalf("%d keys after clearing one of two states, want 2", o.Len())
	}
	o.on(func(string) { p.Tags.Clear() }, "a")
	if o.Len() != 1 {
		t.Fatalf("%d keys after clearing both states, want 1", o.Len())
	}
	o.on(func(string) {
		if p.Count.Get() != 0 || p.Tags.Get() != nil {
			t.Error("a forgotten key must come back empty")
		}
	}, "a")
}

// Outside On a handle belongs to no key.
func TestUseOutsidePanics(t *testing.T) {
	var p pageViews
	newOperator(t, &p, keyhash.String)
	for name, f := range map[string]func(){
		"Get":           func() { p.Count.Get() },
		"Set":           func() { p.Count.Set(1) },
		"Get encoded":   func() { p.Tags.Get() },
		"Set encoded":   func() { p.Tags.Set(nil) },
		"Clear":         func() { p.Count.Clear() },
		"Clear encoded": func() { p.Tags.Clear() },
	} {
		func() {
			defer func() {
				if r := fmt.Sprint(recover()); !strings.Contains(r, "outside On") {
					t.Errorf("%s: panic %q", name, r)
				}
			}()
			f()
		}()
	}
}

// Get, Set and Seek must be inlined into other packages: a call costs a third of an update. This asks the compiler for its verdict on the
// calls in this file, so that an innocent change that costs the inlining fails here.
func TestInlined(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles the package")
	}
	if pebbles != nil || measured {
		t.Skip("it has been asked")
	}
	out, err := exec.Command("go", "test", "-c", "-o", os.DevNull, "-gcflags=-m", ".").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, method := range []string{
		"inlining call to state.(*Value[go.shape.int64]).Get",
		"inlining call to state.(*Value[go.shape.int64]).Set",
		"inlining call to state.(*Value[go.shape.string]).Set",
		"inlining call to heap.(*Store[go.shape.string]).Seek",
	} {
		if !strings.Contains(string(out), method) {
			t.Errorf("the compiler does not say %q", method)
		}
	}
}
