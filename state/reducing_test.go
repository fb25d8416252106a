package state_test

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/weirstream/weir/internal/backend/heap"
	"github.com/weirstream/weir/internal/keyhash"
	"github.com/weirstream/weir/state"
)

func bindError(t *testing.T, processor any) error {
	t.Helper()
	l, err := heap.NewLayout(typeOf(""))
	if err != nil {
		t.Fatal(err)
	}
	return l.Bind(processor)
}

type longest struct{}

func (longest) Reduce(a, b string) string {
	if len(b) > len(a) {
		return b
	}
	return a
}

type mean struct{ Sum, N float64 }

func (m mean) Add(x float64) mean { return mean{m.Sum + x, m.N + 1} }
func (m mean) Result() float64    { return m.Sum / max(m.N, 1) }

type folded struct {
	Total   state.Reducing[int64, state.Sum[int64]]
	Least   state.Reducing[int8, state.Min[int8]]
	Most    state.Reducing[float32, state.Max[float32]]
	Longest state.Reducing[string, longest]
	Mean    state.Aggregating[float64, mean, float64]
}

func (f *folded) String() string {
	return fmt.Sprintf("%d %d %v %s %v", f.Total.Get(), f.Least.Get(), f.Most.Get(), f.Longest.Get(), f.Mean.Get())
}

// Each key folds its own elements, begins with what does not change them, and begins again after Clear.
func TestFolding(t *testing.T) {
	var p folded
	o := newOperator(t, &p, keyhash.String)
	for _, x := range []float64{5, -7, 100, 0} {
		o.on(func(key string) {
			p.Total.Add(int64(x))
			p.Least.Add(int8(x) / 5)
			p.Most.Add(float32(-x) - 1)
			p.Longest.Add(fmt.Sprint(x))
			p.Mean.Add(x)
		}, "ann")
	}
	for key, want := range map[string]string{"ann": "98 -1 6 100 24.5", "bob": "0 127 -Inf  0"} {
		o.on(func(string) {
			if got := p.String(); got != want {
				t.Errorf("%s: %s, want %s", key, got, want)
			}
		}, key)
	}
	if o.Len() != 1 {
		t.Errorf("%d keys, want 1: bob has nothing but what a key begins with", o.Len())
	}
	o.on(func(string) {
		p.Total.Clear()
		p.Least.Clear()
		p.Most.Clear()
		p.Longest.Clear()
		p.Mean.Clear()
	}, "ann")
	if o.Len() != 0 {
		t.Errorf("%d keys after all was cleared", o.Len())
	}
}

// In a checkpoint they are values of what they keep, byte for byte.
func TestFoldingIsStoredAsValues(t *testing.T) {
	type values struct {
		Total   state.Value[int64]
		Least   state.Value[int8]
		Most    state.Value[float32]
		Longest state.Value[string]
		Mean    state.Value[mean]
	}
	var p folded
	var q values
	o, v := newOperator(t, &p, keyhash.String), newOperator(t, &q, keyhash.String)
	o.on(func(string) {
		p.Total.Add(3)
		p.Least.Add(-3)
		p.Most.Add(3)
		p.Longest.Add("three")
		p.Mean.Add(3)
	}, "ann")
	v.on(func(string) {
		q.Total.Set(3)
		q.Least.Set(-3)
		q.Most.Set(3)
		q.Longest.Set("three")
		q.Mean.Set(mean{3, 1})
	}, "ann")
	if a, b := written(t, o), written(t, v); !bytes.Equal(a, b) {
		t.Errorf("%q\nis not what values are written as:\n%q", a, b)
	}
}

func written(t *testing.T, o operator[string]) []byte {
	t.Helper()
	var b bytes.Buffer
	c := o.Capture()
	defer c.Release()
	if _, err := c.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// The bounds that Min and Max begin with are those of their types.
func TestBounds(t *testing.T) {
	for what, ok := range map[string]bool{
		"int8":    state.Min[int8]{}.InitialState() == math.MaxInt8 && state.Max[int8]{}.InitialState() == math.MinInt8,
		"int":     state.Min[int]{}.InitialState() == math.MaxInt && state.Max[int]{}.InitialState() == math.MinInt,
		"uint16":  state.Min[uint16]{}.InitialState() == math.MaxUint16 && state.Max[uint16]{}.InitialState() == 0,
		"uint64":  state.Min[uint64]{}.InitialState() == math.MaxUint64 && state.Max[uint64]{}.InitialState() == 0,
		"float32": math.IsInf(float64(state.Min[float32]{}.InitialState()), 1),
		"float64": math.IsInf(state.Max[float64]{}.InitialState(), -1),
	} {
		if !ok {
			t.Error(what)
		}
	}
}

type weekday int

func (d *weekday) UnmarshalText(text []byte) error {
	*d = weekday(strings.Index("sunmontuewedthufrisat", string(text)) / 3)
	return nil
}

type grade struct {
	Points int
	Marks  []string
}

func (grade) InitialState() grade { return grade{50, []string{"new"}} }

type place struct{ X, Y int16 }

func (place) InitialState() place { return place{-1, -1} }

type beginning struct {
	Level   state.Value[int32]         `state:"level,default=5"`
	Rate    state.Value[float64]       `state:"rate,default=0.5"`
	Open    state.Value[bool]          `state:"open,default=true"`
	Name    state.Value[string]        `state:"name,default=no name, yet"`
	Wait    state.Value[time.Duration] `state:"wait,default=90s"`
	From    state.Value[weekday]       `state:"from,default=tue"`
	Grade   state.Value[grade]         `state:"grade"`
	Place   state.Value[place]         `state:"place"`
	Nothing state.Value[int]           `state:"nothing"`
}

func (b *beginning) String() string {
	return fmt.Sprint(b.Level.Get(), b.Rate.Get(), b.Open.Get(), " ", b.Name.Get(), " ", b.Wait.Get(), b.From.Get(), b.Grade.Get(), b.Place.Get(), b.Nothing.Get())
}

const begin = "5 0.5 true no name, yet 1m30s 2 {50 [new]} {-1 -1} 0"

// A key begins with its defaults, which are not state: Clear goes back to them, a key of which nothing else is known is forgotten, and zero is
// a value like any other.
func TestDefaults(t *testing.T) {
	var p beginning
	o := newOperator(t, &p, keyhash.String)
	is := func(key, want string) {
		t.Helper()
		o.on(func(string) {
			if got := p.String(); got != want {
				t.Errorf("%s: %s, want %s", key, got, want)
			}
		}, key)
	}
	is("ann", begin)
	if o.Len() != 0 {
		t.Fatalf("%d keys after defaults were read", o.Len())
	}
	o.on(func(string) {
		p.Level.Set(0)
		p.Open.Set(false)
		p.Name.Set("")
		p.Grade.Set(grade{})
		p.Place.Set(place{})
	}, "ann")
	is("ann", "0 0.5 false  1m30s 2 {0 []} {0 0} 0")
	is("bob", begin)
	if o.Len() != 1 {
		t.Fatalf("%d keys, want 1", o.Len())
	}
	var restored beginning
	again := o.copied(t, &restored, 0)
	again.on(func(string) {
		if got := restored.String(); got != "0 0.5 false  1m30s 2 {0 []} {0 0} 0" {
			t.Errorf("restored: %s", got)
		}
	}, "ann")
	o.on(func(string) {
		p.Level.Clear()
		p.Open.Clear()
		p.Name.Clear()
		p.Grade.Clear()
		p.Place.Clear()
	}, "ann")
	is("ann", begin)
	if o.Len() != 0 {
		t.Fatalf("%d keys after all was cleared", o.Len())
	}
}

// A state that a snapshot does not have yet begins with its default for restored keys too.
func TestDefaultOfNewState(t *testing.T) {
	var old struct {
		Nothing state.Value[int]
	}
	o := newOperator(t, &old, keyhash.String)
	o.on(func(string) { old.Nothing.Set(9) }, "ann")
	var p beginning
	o = o.copied(t, &p, 0)
	o.on(func(string) {
		if got, want := p.String(), begin[:len(begin)-1]+"9"; got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}, "ann")
}
