package graph

import (
	"strings"
	"testing"
)

// TestRescaled shows what becomes of a plan when the parallelism of a step changes: the steps of its task stay together, edges follow, tasks may
// come together or part, and the ids and the plan before stay as they are.
func TestRescaled(t *testing.T) {
	s := &sketch{}
	in := s.add(Source, "in", 0)
	odd := s.add(Step, "~filter", 0, edge(in))
	sums := s.add(Step, "sums", 1, edge(odd, Hash))
	s.add(Sink, "out", 1, edge(sums))
	s.add(Sink, "all", 3, edge(odd))
	p, err := s.Plan(Defaults{Parallelism: 2, MaxParallelism: 4})
	if err != nil {
		t.Fatal(err)
	}
	before, id := describe(p), sums.ID()
	for _, test := range []struct {
		step string
		n    int
		want string
	}{
		{"in", 3, "in -> filter -> all x3\nsums -> out x1 <hash filter.0\n"},
		{"sums", 4, "in -> filter -> all x3\nsums -> out x4 <hash filter.0\n"},
		{"out", 2, "in -> filter -> all x3\nsums -> out x2 <hash filter.0\n"},
		{"all", 1, "in -> filter -> all x1\nsums -> out x2 <hash filter.0\n"},
	} {
		next, err := p.Rescaled(test.step, test.n)
		if err != nil {
			t.Fatal(err)
		}
		if got := describe(next); got != test.want {
			t.Errorf("%s to %d:\n%swant\n%s", test.step, test.n, got, test.want)
		}
		if describe(p) != before || sums.ID() != id {
			t.Errorf("%s to %d: the plan before is\n%swas\n%s", test.step, test.n, describe(p), before)
		}
		p, before = next, describe(next)
	}
}

// TestRescaledRefused shows what cannot be rescaled.
func TestRescaledRefused(t *testing.T) {
	s := &sketch{}
	left, right := s.add(Source, "left", 0), s.add(Source, "right", 0)
	s.add(Sink, "out", 0, edge(left, Forward), edge(right))
	p, err := s.Plan(Defaults{Parallelism: 2, MaxParallelism: 4})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		step string
		n    int
		want string
	}{
		{"lift", 1, `is it "left"?`},
		{"unheard of", 1, `its steps are ["left" "right" "out"]`},
		{"out", 0, "at least 1"},
		{"out", 5, "larger than its max parallelism 4"},
		{"left", 3, "Forward needs the same parallelism on both sides"},
	} {
		if _, err := p.Rescaled(test.step, test.n); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s to %d: %v, want %q", test.step, test.n, err, test.want)
		}
	}
}
