package metrics

import (
	"maps"
	"testing"
)

// A name is one metric, counters and gauges have names of their own, and a nil scope can be measured with.
func TestScope(t *testing.T) {
	var none *Scope
	none.Counter("n").Inc()
	none.Gauge("n").Set(1)
	s := NewScope()
	s.Counter("n").Inc()
	s.Counter("n").Add(2)
	s.Gauge("n").Set(-7)
	s.Gauge("other")
	if got, want := s.Counters(), map[string]int64{"n": 3}; !maps.Equal(got, want) {
		t.Errorf("counters %v, want %v", got, want)
	}
	if got, want := s.Gauges(), map[string]int64{"n": -7, "other": 0}; !maps.Equal(got, want) {
		t.Errorf("gauges %v, want %v", got, want)
	}
}
