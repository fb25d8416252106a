package metrics

import (
	"math"
	"testing"
)

// TestHistogram shows that a histogram keeps the newest measurements and counts all, and what it says of them.
func TestHistogram(t *testing.T) {
	h := NewHistogram(4)
	if d := h.Distribution(); d.Count != 0 || d.Min() != 0 || d.Max() != 0 || d.Mean() != 0 || d.StdDev() != 0 || d.Quantile(0.5) != 0 {
		t.Errorf("of nothing: %+v", d)
	}
	for _, n := range []int64{1000, 7, 1, 5, 3} {
		h.Update(n)
	}
	d := h.Distribution()
	if d.Count != 5 || d.Min() != 1 || d.Max() != 7 || d.Mean() != 4 || math.Abs(d.StdDev()-math.Sqrt(20.0/3)) > 1e-9 {
		t.Errorf("%d measurements from %d to %d, mean %v, deviation %v", d.Count, d.Min(), d.Max(), d.Mean(), d.StdDev())
	}
	for q, want := range map[float64]float64{0: 1, 0.1: 1, 0.2: 1, 0.5: 4, 0.7: 6, 0.9: 7, 1: 7} {
		if got := d.Quantile(q); math.Abs(got-want) > 1e-9 {
			t.Errorf("quantile %v is %v, want %v", q, got, want)
		}
	}
	if d := DistributionOf(9); d.Count != 1 || d.Quantile(0.999) != 9 || d.StdDev() != 0 {
		t.Errorf("of one: %+v", d)
	}
}

// TestHistogramsOfAScope shows that a name means the same histogram each time, and another one in another group.
func TestHistogramsOfAScope(t *testing.T) {
	s := NewScope()
	if all := s.Histograms(); all != nil {
		t.Errorf("an empty scope has %v", all)
	}
	a, b := HistogramName{"state_name", "a", "get"}, HistogramName{"state_name", "b", "get"}
	s.Histogram(a, 8).Update(1)
	s.Histogram(a, 8).Update(2)
	s.Histogram(b, 8).Update(3)
	if all := s.Histograms(); len(all) != 2 || all[a].Count != 2 || all[b].Max() != 3 {
		t.Errorf("%v", all)
	}
	(*Scope)(nil).Histogram(a, 8).Update(1)
}
