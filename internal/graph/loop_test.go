package graph

import (
	"fmt"
	"strings"
	"testing"
)

// loopSketch is a job with a loop of several tasks, and something beside and behind it.
func loopSketch() (s *sketch, head, tail *Node) {
	s = &sketch{}
	in, beside := s.add(Source, "in", 0), s.add(Source, "beside", 0)
	head = s.add(Step, "loop", 0, edge(in))
	head.Head = true
	one := s.add(Step, "one", 0, edge(head))
	two := s.add(Step, "two", 3, edge(one, Hash), edge(beside, Rebalance))
	side := s.add(Step, "side", 0, edge(head, Hash))
	tail = s.add(Step, "~loop again", 0, edge(two))
	tail.LoopsTo = head
	s.add(Sink, "out", 0, edge(two))
	s.add(Sink, "side-out", 0, edge(side))
	return s, head, tail
}

// TestLoops shows how a loop is planned: the head begins a task although it could be chained, the feedback edge is no input, and the loop
// consists of what is on a way from its head to its tail.
func TestLoops(t *testing.T) {
	s, head, tail := loopSketch()
	p, err := s.Plan(Defaults{Parallelism: 2})
	if err != nil {
		t.Fatal(err)
	}
	const want = "in x2\nbeside x2\nloop -> one x2 <forward in.0\ntwo x3 <hash one.0 <rebalance beside.0\n" +
		"side -> side-out x2 <hash loop.0\nloop again x2 <rebalance two.0\nout x2 <rebalance two.0\n"
	if got := describe(p); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	if len(p.Loops) != 1 || p.Loops[0].Head != head || p.Loops[0].Tail != tail {
		t.Fatalf("the loops are %+v", p.Loops)
	}
	var names []string
	for _, v := range p.Loops[0].Vertices {
		names = append(names, v.Name())
	}
	if got := fmt.Sprint(names); got != "[loop -> one two loop again]" {
		t.Errorf("the loop is %s", got)
	}
}

// TestLoopFingerprint shows that the feedback edge is part of what makes a plan the same as another.
func TestLoopFingerprint(t *testing.T) {
	var prints []string
	for _, closed := range []bool{true, false} {
		s, _, tail := loopSketch()
		if !closed {
			tail.LoopsTo, tail.Kind = nil, Sink
		}
		p, err := s.Plan(Defaults{Parallelism: 2})
		if err != nil {
			t.Fatal(err)
		}
		prints = append(prints, p.Fingerprint())
	}
	if prints[0] == prints[1] {
		t.Error("the fingerprints are the same")
	}
}

// TestLoopMistakes shows what is no loop.
func TestLoopMistakes(t *testing.T) {
	s, _, tail := loopSketch()
	tail.Parallelism = 3
	_, err := s.Plan(Defaults{Parallelism: 2})
	if err == nil || !strings.Contains(err.Error(), `loop "loop": its head has parallelism 2 and its tail 3`) {
		t.Errorf("got %v", err)
	}
	s, _, tail = loopSketch()
	tail.Inputs = []Edge{edge(s.Nodes[1])}
	_, err = s.Plan(Defaults{Parallelism: 2})
	if err == nil || !strings.Contains(err.Error(), `loop "loop": what goes round does not come from the loop`) {
		t.Errorf("got %v", err)
	}
}

// TestRescaledLoop shows that head and tail are rescaled together, and their tasks with them, whichever is named.
func TestRescaledLoop(t *testing.T) {
	for _, step := range []string{"loop", "one"} {
		s, head, tail := loopSketch()
		p, err := s.Plan(Defaults{Parallelism: 2})
		if err != nil {
			t.Fatal(err)
		}
		r, err := p.Rescaled(step, 5)
		if err != nil {
			t.Fatal(err)
		}
		if h, l := r.VertexOf(head).Parallelism, r.VertexOf(tail).Parallelism; h != 5 || l != 5 {
			t.Errorf("%s: the head has parallelism %d and the tail %d, want 5", step, h, l)
		}
		if two := r.VertexOf(s.Nodes[4]).Parallelism; two != 3 {
			t.Errorf("%s: a step of another task has parallelism %d, want 3", step, two)
		}
	}
}
