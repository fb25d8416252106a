package graph

import (
	"fmt"
	"strings"
	"testing"
)

// sketch builds graphs for tests.
type sketch struct{ Graph }

func (s *sketch) add(kind Kind, name string, parallelism int, inputs ...Edge) *Node {
	n := &Node{Kind: kind, Name: strings.TrimPrefix(name, "~"), Named: !strings.HasPrefix(name, "~"), Parallelism: parallelism, Inputs: inputs}
	s.Nodes = append(s.Nodes, n)
	return n
}

func edge(from *Node, p ...Partitioning) Edge {
	e := Edge{From: from}
	if len(p) > 0 {
		e.Partitioning = p[0]
	}
	return e
}

// describe writes a plan on a line for each vertex.
func describe(p *Plan) string {
	var b strings.Builder
	for _, v := range p.Vertices {
		fmt.Fprintf(&b, "%s x%d", v.Name(), v.Parallelism)
		for _, in := range v.Inputs {
			fmt.Fprintf(&b, " <%s %s.%d", in.Partitioning, in.From.Name, in.Slot)
		}
		b.WriteString("\n")
	}
	return b.String()
}

// TestChains shows which steps share a task and how records go between tasks. A name with ~ is that of an operation.
func TestChains(t *testing.T) {
	tests := []struct {
		name  string
		build func(s *sketch)
		want  string
	}{
		{"a line is one chain", func(s *sketch) {
			s.add(Sink, "out", 0, edge(s.add(Step, "~map", 0, edge(s.add(Source, "in", 0)))))
		}, "in -> map -> out x2\n"},
		{"another parallelism deals out", func(s *sketch) {
			s.add(Sink, "out", 3, edge(s.add(Source, "in", 0)))
		}, "in x2\nout x3 <rebalance in.0\n"},
		{"forward stays", func(s *sketch) {
			s.add(Sink, "out", 0, edge(s.add(Source, "in", 0), Forward))
		}, "in -> out x2\n"},
		{"a shuffle breaks the chain", func(s *sketch) {
			in := s.add(Source, "in", 0)
			k := s.add(Step, "count", 0, edge(in, Hash))
			s.add(Sink, "out", 0, edge(k))
			s.add(Sink, "all", 0, edge(in, Broadcast))
		}, "in x2\ncount -> out x2 <hash in.0\nall x2 <broadcast in.0\n"},
		{"two consumers share the task", func(s *sketch) {
			in := s.add(Source, "in", 0)
			s.add(Sink, "a", 0, edge(in))
			s.add(Sink, "b", 0, edge(s.add(Step, "~map", 0, edge(in))))
		}, "in -> a -> map -> b x2\n"},
		{"a union begins a task", func(s *sketch) {
			s.add(Sink, "out", 0, edge(s.add(Source, "a", 0)), edge(s.add(Source, "b", 3)))
		}, "a x2\nb x3\nout x2 <forward a.0 <rebalance b.0\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := &sketch{}
			test.build(s)
			for range 2 { // a plan leaves the graph as it was
				p, err := s.Plan(Defaults{Parallelism: 2})
				if err != nil {
					t.Fatal(err)
				}
				if got := describe(p); got != test.want {
					t.Errorf("got\n%swant\n%s", got, test.want)
				}
			}
		})
	}
}

// pipeline is in -> map -> map -> count -> out, with what a test wants to add before.
func pipeline(before func(s *sketch, in *Node)) (*sketch, []*Node) {
	s := &sketch{}
	in := s.add(Source, "in", 0)
	if before != nil {
		before(s, in)
	}
	m1 := s.add(Step, "~map", 0, edge(in))
	m2 := s.add(Step, "~map", 0, edge(m1))
	count := s.add(Step, "count", 0, edge(m2, Hash))
	s.add(Sink, "out", 0, edge(count))
	return s, []*Node{in, m1, m2, count}
}

// TestIDs shows that ids do not change with edits elsewhere, and that those of steps without a name are different.
func TestIDs(t *testing.T) {
	plan := func(s *sketch) *Plan {
		t.Helper()
		p, err := s.Plan(Defaults{Parallelism: 2})
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	s, base := pipeline(nil)
	was := plan(s)
	edits := map[string]func(s *sketch, in *Node){
		"another source":      func(s *sketch, _ *Node) { s.add(Sink, "o2", 0, edge(s.add(Source, "in2", 0))) },
		"another kind beside": func(s *sketch, in *Node) { s.add(Sink, "o2", 0, edge(s.add(Step, "~filter", 0, edge(in)))) },
	}
	for name, edit := range edits {
		s, nodes := pipeline(edit)
		plan(s)
		for i, n := range nodes {
			if n.ID() != base[i].ID() {
				t.Errorf("%s: the id of %s has changed", name, n.Name)
			}
		}
	}
	if base[1].ID() == base[2].ID() {
		t.Error("two steps have one id")
	}
	s, _ = pipeline(nil)
	if p, err := s.Plan(Defaults{Parallelism: 5}); err != nil || p.Fingerprint() != was.Fingerprint() {
		t.Error("the fingerprint depends on the parallelism")
	}
	s, _ = pipeline(edits["another source"])
	if p := plan(s); p.Fingerprint() == was.Fingerprint() {
		t.Error("the fingerprint does not depend on the steps")
	}
}

// TestMistakes shows that everything that is wrong is reported at once, and each once.
func TestMistakes(t *testing.T) {
	s := &sketch{}
	in := s.add(Source, "in", 0)
	s.add(Step, "unread", 0, edge(in))
	s.add(Sink, "in", 0, edge(in))
	s.add(Sink, "", 0, edge(in))
	s.add(Sink, "forward", 3, edge(in, Forward))
	s.add(Sink, "negative", -1, edge(in))
	s.add(Sink, "huge", 40000, edge(in))
	s.Nodes[2].Former = []string{"unread"}
	_, err := s.Plan(Defaults{Parallelism: 2})
	if err == nil {
		t.Fatal("no mistake was found")
	}
	for _, want := range []string{`nothing reads what "unread" produces`, `two steps have the id "in"`, `two steps have the id "unread"`,
		"has an empty id", `step "forward": Forward needs`, `step "negative"`, `step "huge"`} {
		if n := strings.Count(err.Error(), want); n != 1 {
			t.Errorf("%q is reported %d times in\n%v", want, n, err)
		}
	}
	if _, err := (&Graph{}).Plan(Defaults{Parallelism: 1}); err == nil || !strings.Contains(err.Error(), "no steps") {
		t.Errorf("an empty graph: %v", err)
	}
}

// TestMaxParallelism shows whose setting a chain follows: a step with keys keeps its own.
func TestMaxParallelism(t *testing.T) {
	s := &sketch{}
	in := s.add(Source, "in", 0)
	count := s.add(Step, "count", 0, edge(in, Hash))
	count.Keyed, count.MaxParallelism = true, 64
	m := s.add(Step, "~map", 0, edge(count))
	m.MaxParallelism = 256
	s.add(Sink, "out", 0, edge(m))
	p, err := s.Plan(Defaults{Parallelism: 2})
	if err != nil {
		t.Fatal(err)
	}
	if v := p.VertexOf(count); v.MaxParallelism != 64 || !v.ExplicitMax {
		t.Errorf("max parallelism %d, explicit %v", v.MaxParallelism, v.ExplicitMax)
	}
}
