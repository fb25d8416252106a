// Package metrics holds the counters, gauges and histograms of a running job, as plain values that a status line, a log or a server can read.
//
//   - A Counter or Gauge is written by one goroutine, or several, without a lock, and read by any.
//   - A Scope belongs to one operator in one subtask. Names are unique within it: asking again returns the same metric.
package metrics

import (
	"sync"
	"sync/atomic"
)

// Counter is a number that grows. Its methods may be called concurrently.
type Counter struct{ n atomic.Int64 }

// Inc adds one.
func (c *Counter) Inc() { c.n.Add(1) }

// Add adds n, which is not negative.
func (c *Counter) Add(n int64) { c.n.Add(n) }

// Value returns the number.
func (c *Counter) Value() int64 { return c.n.Load() }

// Gauge is a number that goes up and down. Its methods may be called concurrently.
type Gauge struct{ n atomic.Int64 }

// Set replaces the number.
func (g *Gauge) Set(n int64) { g.n.Store(n) }

// Value returns the number.
func (g *Gauge) Value() int64 { return g.n.Load() }

// Scope holds the metrics of one operator in one subtask. Its methods may be called concurrently; call them when a step opens and keep
// what they return, since they take a lock.
type Scope struct {
	mu       sync.Mutex
	counters map[string]*Counter
	gauges   map[string]*Gauge

	histograms map[HistogramName]*Histogram
}

// NewScope returns a scope without metrics.
func NewScope() *Scope {
	return &Scope{counters: map[string]*Counter{}, gauges: map[string]*Gauge{}, histograms: map[HistogramName]*Histogram{}}
}

// Counter returns the counter of that name. That of a nil Scope is nobody else's.
func (s *Scope) Counter(name string) *Counter {
	if s == nil {
		return new(Counter)
	}
	return named(s, s.counters, name)
}

// Gauge returns the gauge of that name. That of a nil Scope is nobody else's.
func (s *Scope) Gauge(name string) *Gauge {
	if s == nil {
		return new(Gauge)
	}
	return named(s, s.gauges, name)
}

func named[M any](s *Scope, metrics map[string]*M, name string) *M {
	s.mu.Lock()
	defer s.mu.Unlock()
	if m, ok := metrics[name]; ok {
		return m
	}
	m := new(M)
	metrics[name] = m
	return m
}

// Counters returns the value of every counter by its name.
func (s *Scope) Counters() map[string]int64 { return values(s, s.counters) }

// Gauges returns the value of every gauge by its name.
func (s *Scope) Gauges() map[string]int64 { return values(s, s.gauges) }

func values[M interface{ Value() int64 }](s *Scope, metrics map[string]M) map[string]int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make(map[string]int64, len(metrics))
	for name, m := range metrics {
		all[name] = m.Value()
	}
	return all
}
