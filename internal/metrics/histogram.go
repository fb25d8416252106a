package metrics

import (
	"math"
	"slices"
	"sync"
)

// Histogram keeps the newest of many measurements, and counts all. Its methods may be called concurrently; they take a lock, so that it is
// for what is sampled.
type Histogram struct {
	mu struct {
		sync.Mutex
		newest []int64 // a ring once it is full
		all    int64
	}
	most int
}

// NewHistogram returns a histogram that keeps so many measurements, at least one.
func NewHistogram(most int) *Histogram { return &Histogram{most: max(most, 1)} }

// Update adds a measurement.
func (h *Histogram) Update(n int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.mu.newest) < h.most {
		h.mu.newest = append(h.mu.newest, n)
	} else {
		h.mu.newest[h.mu.all%int64(h.most)] = n
	}
	h.mu.all++
}

// Distribution returns what the measurements are like that are kept.
func (h *Histogram) Distribution() Distribution {
	h.mu.Lock()
	d := Distribution{Count: h.mu.all, sorted: slices.Clone(h.mu.newest)}
	h.mu.Unlock()
	slices.Sort(d.sorted)
	return d
}

// Distribution is what a number of measurements are like. All but Count is about the newest ones; of none it is zero.
type Distribution struct {
	Count  int64 // of all there ever were
	sorted []int64
}

// DistributionOf returns the distribution of measurements.
func DistributionOf(all ...int64) Distribution {
	return Distribution{int64(len(all)), slices.Sorted(slices.Values(all))}
}

// Min returns the smallest measurement.
func (d Distribution) Min() int64 {
	if len(d.sorted) == 0 {
		return 0
	}
	return d.sorted[0]
}

// Max returns the largest measurement.
func (d Distribution) Max() int64 {
	if len(d.sorted) == 0 {
		return 0
	}
	return d.sorted[len(d.sorted)-1]
}

// Mean returns their mean.
func (d Distribution) Mean() float64 {
	sum := 0.0
	for _, n := range d.sorted {
		sum += float64(n)
	}
	return sum / float64(max(len(d.sorted), 1))
}

// StdDev returns how far they are from their mean: the square root of the mean square, corrected for being a sample.
func (d Distribution) StdDev() float64 {
	mean, squares := d.Mean(), 0.0
	for _, n := range d.sorted {
		squares += (float64(n) - mean) * (float64(n) - mean)
	}
	return math.Sqrt(squares / float64(max(len(d.sorted)-1, 1)))
}

// Quantile returns the value that a part q of them does not exceed, between two measurements if it lies there.
func (d Distribution) Quantile(q float64) float64 {
	n := len(d.sorted)
	if n == 0 {
		return 0
	}
	place := min(max(q*float64(n+1), 1), float64(n)) // of n, counted from 1
	below := int(place)
	low, high := float64(d.sorted[below-1]), float64(d.sorted[min(below, n-1)])
	return low + (place-float64(below))*(high-low)
}

// HistogramName is what a histogram is found by. One of several like things has a Group of its own, such as the name of a state; Label says what
// that is, and is empty if the group is to be part of the name.
type HistogramName struct{ Label, Group, Name string }

// Histogram returns the histogram of that name, which keeps so many measurements if it is new. That of a nil Scope is nobody else's.
func (s *Scope) Histogram(name HistogramName, most int) *Histogram {
	if s == nil {
		return NewHistogram(most)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.histograms[name]
	if h == nil {
		h = NewHistogram(most)
		s.histograms[name] = h
	}
	return h
}

// Histograms returns the distribution of every histogram by its name, nil if there are none.
func (s *Scope) Histograms() map[HistogramName]Distribution {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.histograms) == 0 {
		return nil
	}
	all := make(map[HistogramName]Distribution, len(s.histograms))
	for name, h := range s.histograms {
		all[name] = h.Distribution()
	}
	return all
}
