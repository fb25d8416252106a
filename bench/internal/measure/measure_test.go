package measure

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestSpreadOf(t *testing.T) {
	for _, c := range []struct {
		name     string
		values   []float64
		want     Spread
		relative float64
	}{
		{"none", nil, Spread{}, 0},
		{"one", []float64{3}, Spread{3, 3, 3}, 0},
		{"odd, unsorted", []float64{5, 1, 4}, Spread{4, 1, 5}, 1},
		{"even", []float64{4, 1, 2, 3}, Spread{2.5, 1, 4}, 1.2},
	} {
		got := SpreadOf(c.values)
		if got != c.want || math.Abs(got.Relative()-c.relative) > 1e-12 {
			t.Errorf("%s: %+v, relative %v; want %+v, %v", c.name, got, got.Relative(), c.want, c.relative)
		}
	}
}

func TestSpreadLeavesItsArgumentAlone(t *testing.T) {
	v := []float64{2, 1}
	SpreadOf(v)
	if v[0] != 2 {
		t.Error("SpreadOf sorted its argument")
	}
}

// TestBuckets shows that the buckets cover all values in order, without gap or overlap, none wider than 1/64 of its values.
func TestBuckets(t *testing.T) {
	lower := uint64(0)
	for i := range buckets {
		upper := upperEnd(i)
		if bucketOf(lower) != i || bucketOf(upper) != i {
			t.Fatalf("bucket %d should hold %d..%d; they fall into %d and %d", i, lower, upper, bucketOf(lower), bucketOf(upper))
		}
		if width := upper - lower; width > lower/fine {
			t.Fatalf("bucket %d, %d..%d, is too wide", i, lower, upper)
		}
		lower = upper + 1
	}
	if lower != math.MaxInt64+1 {
		t.Errorf("the last bucket ends below %d, want at the longest duration", lower)
	}
}

func TestQuantile(t *testing.T) {
	for _, c := range []struct {
		name   string
		values []time.Duration
		q      float64
		want   time.Duration
	}{
		{"empty", nil, 0.5, 0},
		{"one value, any quantile", []time.Duration{7}, 0.999, 7},
		{"median of two is the lower", []time.Duration{1, 2}, 0.5, 1},
		{"just above the half", []time.Duration{1, 2}, 0.500001, 2},
		{"smallest", []time.Duration{3, 1, 2}, 0, 1},
		{"largest, not its bucket's end", []time.Duration{1, 1_000_001}, 1, 1_000_001},
		{"negative counts as 0", []time.Duration{-5}, 1, 0},
	} {
		var h Histogram
		for _, d := range c.values {
			h.Record(d)
		}
		if got := h.Quantile(c.q); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}

// TestQuantileIsCloseToTheExactOne compares with sorting, over values that span six decades, recorded in two merged halves.
func TestQuantileIsCloseToTheExactOne(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var halves [2]Histogram
	var all []time.Duration
	for i := range 100_000 {
		d := time.Duration(math.Exp(r.Float64() * 14))
		halves[i%2].Record(d)
		all = append(all, d)
	}
	halves[0].Merge(&halves[1])
	slices.Sort(all)
	for _, q := range []float64{0.5, 0.99, 0.999, 0.9999, 1} {
		exact := all[rankOf(q, uint64(len(all)))-1]
		got := halves[0].Quantile(q)
		if got < exact || float64(got) > float64(exact)*(1+1.0/fine) {
			t.Errorf("quantile %v = %d, exact %d", q, got, exact)
		}
	}
	if halves[0].Count() != 100_000 || halves[0].Max() != all[len(all)-1] {
		t.Errorf("count %d, max %d", halves[0].Count(), halves[0].Max())
	}
}

// TestMeter shows that CPU time is counted, and that a second Start leaves out what came before.
func TestMeter(t *testing.T) {
	var m Meter
	m.Start()
	spin(20 * time.Millisecond)
	m.Stop()
	first := m.Usage()
	if first.CPU < 5*time.Millisecond || first.Wall < 20*time.Millisecond {
		t.Errorf("20 ms of work: %+v", first)
	}
	m.Start()
	m.Start()
	m.Stop()
	m.Stop()
	if again := m.Usage(); again.Wall >= first.Wall {
		t.Errorf("no work: %v, before %v", again.Wall, first.Wall)
	}
}

func spin(d time.Duration) {
	for begin := time.Now(); time.Since(begin) < d; {
	}
}
