package coordinator

import (
	"math"
	"slices"
)

// measureWindow bounds the values that percentiles are computed from, to about 80 kB for each measure.
const measureWindow = 10_000

// Measure is the spread of a quantity over the complete checkpoints. Count, Min, Max and Sum are over all of them, percentiles over the
// newest 10,000.
type Measure struct {
	Count         int64
	Min, Max, Sum int64
	window        []int64 // a ring once it is full
}

// Average returns the mean, rounded down; 0 if nothing was measured.
func (m Measure) Average() int64 {
	if m.Count == 0 {
		return 0
	}
	return m.Sum / m.Count
}

// Percentiles returns the values below which the given percentages of the measured ones lie, interpolated between neighbours. Each is NaN if
// nothing was measured. It sorts a copy, so it may be called concurrently on a Measure that nobody changes, and costs accordingly.
func (m Measure) Percentiles(percentages ...float64) []float64 {
	sorted := slices.Sorted(slices.Values(m.window))
	out := make([]float64, len(percentages))
	for i, p := range percentages {
		out[i] = percentile(sorted, p)
	}
	return out
}

// percentile takes the p-th of n values to be at position p(n+1)/100, counted from 1. Other definitions differ for few values; this is the
// one that dashboards of Flink's statistics have always shown.
func percentile(sorted []int64, p float64) float64 {
	n := len(sorted)
	if n == 0 {
		return math.NaN()
	}
	at := p / 100 * float64(n+1)
	switch below := int(at); {
	case below < 1:
		return float64(sorted[0])
	case below >= n:
		return float64(sorted[n-1])
	default:
		lower, upper := float64(sorted[below-1]), float64(sorted[below])
		return lower + (at-float64(below))*(upper-lower)
	}
}

// Add notes one more value.
func (m *Measure) Add(v int64) {
	if m.Count == 0 {
		m.Min, m.Max = v, v
	}
	if len(m.window) < measureWindow {
		m.window = append(m.window, v)
	} else {
		m.window[m.Count%measureWindow] = v
	}
	m.Count, m.Sum = m.Count+1, m.Sum+v
	m.Min, m.Max = min(m.Min, v), max(m.Max, v)
}

func (m Measure) clone() Measure {
	m.window = slices.Clone(m.window)
	return m
}
