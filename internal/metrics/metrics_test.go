package metrics

import (
	"maps"
	"sync"
	"testing"
)

// TestScope shows that a name is one metric, whoever asks, and that counting needs no order.
func TestScope(t *testing.T) {
	s := NewScope()
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 1000 {
				s.Counter("n").Inc()
			}
			s.Counter("m").Add(5)
		})
	}
	all.Wait()
	s.Gauge("g").Set(7)
	if got := s.Counters(); !maps.Equal(got, map[string]int64{"n": 4000, "m": 20}) {
		t.Errorf("counters %v", got)
	}
	if s.Gauge("g").Value() != 7 || s.Gauge("n").Value() != 0 {
		t.Error("a gauge and a counter of one name are one")
	}
}
