// These tests deal checkpoints out to the plans of a small job. Which subtask gets which key group or element is shown in package assign: here
// that nothing is lost on the way, what becomes of the plan, and what is said of state that does not fit.
package deal

import (
	"reflect"
	"strings"
	"testing"

	"github.com/weirstream/weir/internal/graph"
	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/protocol/assign"
	"github.com/weirstream/weir/internal/protocol/snapshot"
)

// planOf is the plan of a job in which numbers are counted by their key: "in" and "double" are a chain, "count" and "out" another.
func planOf(t *testing.T, parallelism int) *graph.Plan {
	t.Helper()
	in := &graph.Node{Kind: graph.Source, Name: "in", Named: true}
	double := &graph.Node{Name: "double", Named: true, Inputs: []graph.Edge{{From: in}}}
	count := &graph.Node{Name: "count", Named: true, Former: []string{"tally"}, Keyed: true, Inputs: []graph.Edge{{From: double, Partitioning: graph.Hash}}}
	out := &graph.Node{Kind: graph.Sink, Name: "out", Named: true, Inputs: []graph.Edge{{From: count}}}
	g := graph.Graph{Nodes: []*graph.Node{in, double, count, out}}
	p, err := g.Plan(graph.Defaults{Parallelism: parallelism})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func node(t *testing.T, p *graph.Plan, name string) *graph.Node {
	t.Helper()
	n, _, err := p.Step(name)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// stored is the state of a step that had two subtasks and a max parallelism of 64: each has a list of two elements, which are split.
func stored(step string) snapshot.OperatorState {
	op := snapshot.OperatorState{ID: job.OperatorIDOf(step), Name: step, Named: true, Parallelism: 2, MaxParallelism: 64}
	for range 2 {
		l := snapshot.List{Name: "seen", Mode: snapshot.Split, Offsets: []int64{0, 1}, Stream: snapshot.Stream{Inline: []byte("ab"), Length: 2}}
		op.Subtasks = append(op.Subtasks, &snapshot.OperatorSubtask{Lists: []snapshot.List{l}})
	}
	return op
}

// elements returns how many elements of lists each subtask of a step begins with.
func elements(r Restored, n *graph.Node, parallelism int) (counts []int) {
	for i := range parallelism {
		count := 0
		if s := r.State(n.ID(), i); s != nil {
			for _, l := range s.Lists {
				count += len(l.Offsets)
			}
		}
		counts = append(counts, count)
	}
	return counts
}

func maxParallelisms(p *graph.Plan) (all []int) {
	for _, v := range p.Vertices {
		all = append(all, v.MaxParallelism)
	}
	return all
}

// TestNothing shows that a new start begins without anything, at the max parallelism of the plan.
func TestNothing(t *testing.T) {
	p := planOf(t, 2)
	before := maxParallelisms(p)
	dealt, err := Out(nil, p)
	if err != nil {
		t.Fatal(err)
	}
	in := node(t, p, "in")
	for name, r := range map[string]Restored{"of no checkpoint": dealt, "zero": {}} {
		if r.ID != 0 || r.State(in.ID(), 1) != nil || r.Enumerator(in.ID()) != nil || r.Finished[p.Vertices[0].ID()] {
			t.Errorf("%s there is %+v", name, r)
		}
	}
	if after := maxParallelisms(p); !reflect.DeepEqual(after, before) {
		t.Errorf("the max parallelisms were %v and are %v", before, after)
	}
}

// TestOut shows a checkpoint that is dealt out to a job at another parallelism: all state goes somewhere, under a former id too, and the plan takes
// over the max parallelism of the state.
func TestOut(t *testing.T) {
	p := planOf(t, 3)
	before := maxParallelisms(p)
	source := stored("in")
	source.Coordinator = []byte("splits")
	meta := &snapshot.Metadata{Checkpoint: 7, Operators: []snapshot.OperatorState{source, stored("tally")}}
	r, err := Out(meta, p)
	if err != nil {
		t.Fatal(err)
	}
	in, count := node(t, p, "in"), node(t, p, "count")
	if r.ID != 7 || string(r.Enumerator(in.ID())) != "splits" || r.Enumerator(count.ID()) != nil {
		t.Errorf("of checkpoint %d, enumerators %q and %q", r.ID, r.Enumerator(in.ID()), r.Enumerator(count.ID()))
	}
	for _, n := range []*graph.Node{in, count} {
		sum := 0
		for _, c := range elements(r, n, 3) {
			sum += c
		}
		if sum != 4 {
			t.Errorf("%s: %v elements of 4", n.Name, elements(r, n, 3))
		}
	}
	if got := elements(r, node(t, p, "double"), 3); !reflect.DeepEqual(got, []int{0, 0, 0}) {
		t.Errorf("double had nothing and has %v", got)
	}
	if got := maxParallelisms(p); !reflect.DeepEqual(got, []int{64, 64}) {
		t.Errorf("the max parallelisms were %v and are %v", before, got)
	}

	own := &snapshot.OperatorSubtask{}
	r.Replace(in.ID(), 1, own)
	if r.State(in.ID(), 1) != own || r.State(in.ID(), 0) == own {
		t.Error("one subtask's state was to be replaced, and no other")
	}
}

// TestFinished shows which vertices had finished.
func TestFinished(t *testing.T) {
	p := planOf(t, 2)
	meta := &snapshot.Metadata{Checkpoint: 7}
	for _, step := range []string{"in", "double"} {
		meta.Operators = append(meta.Operators, snapshot.OperatorState{
			ID: job.OperatorIDOf(step), Name: step, Named: true, Parallelism: 2, MaxParallelism: 128, FullyFinished: true, Subtasks: make([]*snapshot.OperatorSubtask, 2),
		})
	}
	r, err := Out(meta, p)
	if err != nil || !r.Finished[p.Vertices[0].ID()] || r.Finished[p.Vertices[1].ID()] {
		t.Errorf("finished are %v, %v", r.Finished, err)
	}
}

// TestLeftBehind shows that what no step takes is left behind: a start has settled that.
func TestLeftBehind(t *testing.T) {
	p := planOf(t, 2)
	meta := &snapshot.Metadata{Checkpoint: 7, Operators: []snapshot.OperatorState{stored("in"), stored("gone")}}
	r, err := Out(meta, p)
	if err != nil || r.State(job.OperatorIDOf("gone"), 0) != nil || !reflect.DeepEqual(elements(r, node(t, p, "in"), 2), []int{2, 2}) {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestPlanStaysAsItIs shows that a plan is changed by Out and Adopt alone, and not by an Out that fails; and what is said of state that does not
// fit, whoever asks.
func TestPlanStaysAsItIs(t *testing.T) {
	fits := &snapshot.Metadata{Checkpoint: 7, Operators: []snapshot.OperatorState{stored("in")}}
	for _, test := range []struct {
		name        string
		meta        *snapshot.Metadata
		parallelism int
		deal        func(*snapshot.Metadata, *graph.Plan) error
		says        string
	}{
		{"Again", fits, 2, again, ""},
		{"Fits", fits, 2, Fits, ""},
		{"Fits without state", nil, 2, Fits, ""},
		{"Again of too little", fits, 65, again, "parallelism 65 is larger than the max parallelism 64"},
		{"Fits of too little", fits, 65, Fits, "parallelism 65 is larger than the max parallelism 64"},
		{"Out of too little", fits, 65, out, "parallelism 65 is larger than the max parallelism 64"},
	} {
		p := planOf(t, test.parallelism)
		before := maxParallelisms(p)
		switch err := test.deal(test.meta, p); {
		case test.says == "" && err != nil:
			t.Errorf("%s: %v", test.name, err)
		case test.says != "" && (err == nil || !strings.Contains(err.Error(), test.says) || !strings.Contains(err.Error(), "checkpoint 7")):
			t.Errorf("%s: got %v, want an error that says %q", test.name, err, test.says)
		}
		if after := maxParallelisms(p); !reflect.DeepEqual(after, before) {
			t.Errorf("%s: the max parallelisms were %v and are %v", test.name, before, after)
		}
	}
}

func out(meta *snapshot.Metadata, p *graph.Plan) error {
	_, err := Out(meta, p)
	return err
}

func again(meta *snapshot.Metadata, p *graph.Plan) error {
	_, err := Again(meta, p)
	return err
}

// TestJob shows how a plan is described to those who decide about its state.
func TestJob(t *testing.T) {
	p := planOf(t, 2)
	p.Vertices[1].MaxParallelism, p.Vertices[1].ExplicitMax = 32, true
	id := func(step string) job.OperatorID { return node(t, p, step).ID() }
	op := func(step string) assign.Operator { return assign.Operator{ID: id(step), Name: step, Named: true} }
	count := op("count")
	count.FormerIDs = []job.OperatorID{job.OperatorIDOf("tally")}
	want := assign.Job{Vertices: []assign.Vertex{
		{ID: job.VertexID(id("in")), Name: p.Vertices[0].Name(), Parallelism: 2, MaxParallelism: p.Vertices[0].MaxParallelism, Operators: []assign.Operator{op("in"), op("double")}},
		{ID: job.VertexID(id("count")), Name: p.Vertices[1].Name(), Parallelism: 2, MaxParallelism: 32, MaxExplicit: true,
			Operators: []assign.Operator{count, op("out")}, Inputs: []assign.Edge{{From: job.VertexID(id("in")), AllToAll: true}}},
	}}
	if got := Job(p); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}
