package graph

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/keygroup"
)

// Defaults holds what is used where a node says nothing.
type Defaults struct {
	Parallelism    int
	MaxParallelism int // 0: derived from the parallelism
	// NoChaining keeps every node in a task of its own, for measurements and to look at a job step by step.
	NoChaining bool

	rescaled map[*Node]int // nodes whose parallelism was changed since
}

// of returns the parallelism of a node.
func (d Defaults) of(n *Node) int { return cmp.Or(d.rescaled[n], n.Parallelism, d.Parallelism) }

// Plan checks the graph and returns how it is run. The error joins everything that is wrong with it.
func (g *Graph) Plan(d Defaults) (*Plan, error) {
	if err := errors.Join(g.check(d)...); err != nil {
		return nil, err
	}
	g.assignIDs()
	return g.plan(d), nil
}

func (g *Graph) plan(d Defaults) *Plan {
	p := &Plan{byNode: map[*Node]*Vertex{}, of: g, defaults: d}
	for _, n := range g.Nodes {
		p.place(n, d)
	}
	for _, v := range p.Vertices {
		for _, e := range v.Nodes[0].Inputs { // copies: the declaration is shared by all that read a stream, and by later plans
			from := p.byNode[e.From]
			if e.Partitioning == Unset {
				e.Partitioning = Rebalance
				if from.Parallelism == v.Parallelism {
					e.Partitioning = Forward
				}
			}
			v.Inputs = append(v.Inputs, Input{e, from})
		}
	}
	for _, n := range g.Nodes {
		if n.LoopsTo != nil {
			p.Loops = append(p.Loops, Loop{Head: n.LoopsTo, Tail: n, Vertices: p.between(n.LoopsTo, n)})
		}
	}
	return p
}

// between returns the vertices on the ways from one node to another.
func (p *Plan) between(from, to *Node) []*Vertex {
	first, last := p.byNode[from].Index, p.byNode[to].Index
	behind, before := map[*Vertex]bool{p.byNode[from]: true}, map[*Vertex]bool{p.byNode[to]: true}
	for _, v := range p.Vertices[first : last+1] {
		for _, in := range v.Inputs {
			behind[v] = behind[v] || behind[in.FromVertex]
		}
	}
	for _, v := range slices.Backward(p.Vertices[first : last+1]) {
		for _, in := range v.Inputs {
			before[in.FromVertex] = before[in.FromVertex] || before[v]
		}
	}
	return slices.DeleteFunc(slices.Clone(p.Vertices[first:last+1]), func(v *Vertex) bool { return !behind[v] || !before[v] })
}

// place appends a node to the chain it reads from, if it may, and else begins a new vertex with it.
func (p *Plan) place(n *Node, d Defaults) {
	parallelism := d.of(n)
	maxParallelism := cmp.Or(n.MaxParallelism, d.MaxParallelism, keygroup.DefaultMax(parallelism))
	if v := p.chainFor(n, parallelism); v != nil && !d.NoChaining {
		v.Nodes = append(v.Nodes, n)
		p.byNode[n] = v
		if n.MaxParallelism != 0 && !v.Nodes[0].Keyed { // the key groups of the head are not changed by who follows
			v.MaxParallelism, v.ExplicitMax = n.MaxParallelism, true
		}
		return
	}
	v := &Vertex{
		Index:          len(p.Vertices),
		Nodes:          []*Node{n},
		Parallelism:    parallelism,
		MaxParallelism: maxParallelism,
		ExplicitMax:    n.MaxParallelism != 0 || d.MaxParallelism != 0,
	}
	p.Vertices = append(p.Vertices, v)
	p.byNode[n] = v
}

// chainFor returns the vertex whose task may run the node too: that of its only input, if every record stays in its subtask. The head of a
// loop begins a task, since it is where the ends of data, of event time and of a checkpoint's wait are decided.
func (p *Plan) chainFor(n *Node, parallelism int) *Vertex {
	if len(n.Inputs) != 1 || n.Head {
		return nil
	}
	e := n.Inputs[0]
	v := p.byNode[e.From]
	if e.Partitioning != Unset && e.Partitioning != Forward || v.Parallelism != parallelism {
		return nil
	}
	return v
}

// assignIDs gives every node its operator id, and the ids it had under former names of its own or of a step upstream.
func (g *Graph) assignIDs() {
	generations := 0
	for _, n := range g.Nodes {
		generations = max(generations, len(n.Former))
	}
	for n, id := range g.ids(func(n *Node) string { return n.Name }) {
		n.id, n.former = id, nil
	}
	for i := range generations {
		former := g.ids(func(n *Node) string {
			if i < len(n.Former) {
				return n.Former[i]
			}
			return n.Name
		})
		for n, id := range former {
			if id != n.id && !slices.Contains(n.former, id) {
				n.former = append(n.former, id)
			}
		}
	}
}

// ids returns the operator ids that follow from the names of the named nodes. A node without a name gets the id of a path that begins at
// the nearest named node upstream and says, for each step from there, which operation it is and the how-manieth of its kind at that place.
func (g *Graph) ids(nameOf func(*Node) string) map[*Node]job.OperatorID {
	ids, paths, used := map[*Node]job.OperatorID{}, map[*Node]string{}, map[string]int{}
	for _, n := range g.Nodes {
		if n.Named {
			paths[n] = nameOf(n)
			ids[n] = job.OperatorIDOf(paths[n])
			continue
		}
		var from []string
		for _, e := range n.Inputs {
			from = append(from, fmt.Sprintf("%s.%d", paths[e.From], e.Slot))
		}
		path := strings.Join(from, "+") + " > " + n.Name
		used[path]++
		paths[n] = fmt.Sprintf("%s#%d", path, used[path])
		ids[n] = job.OperatorIDOf("\x00" + paths[n]) // no user's id begins with a zero byte
	}
	return ids
}

// check returns everything that is wrong with the graph.
func (g *Graph) check(d Defaults) (errs []error) {
	fail := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if len(g.Nodes) == 0 {
		fail("the job has no steps: begin with a source")
	}
	names, consumed := map[string]bool{}, map[*Node]bool{}
	for _, n := range g.Nodes {
		if n.Named {
			for _, name := range append([]string{n.Name}, n.Former...) {
				switch {
				case name == "":
					fail("a %s has an empty id: its state is found by it, so it needs one", n.Kind)
				case strings.ContainsRune(name, 0):
					fail("id %q contains a zero byte", name)
				case names[name]:
					fail("two steps have the id %q: an id must be unique within the job", name)
				}
				names[name] = true
			}
		}
		parallelism := d.of(n)
		maxP := cmp.Or(n.MaxParallelism, d.MaxParallelism, keygroup.DefaultMax(max(parallelism, 1)))
		if err := keygroup.Validate(parallelism, maxP); err != nil {
			fail("step %q: %w", n.Name, err)
		}
		for _, e := range n.Inputs {
			consumed[e.From] = true
			if from := d.of(e.From); e.Partitioning == Forward && from != parallelism {
				fail("step %q: Forward needs the same parallelism on both sides, but %q has %d and %q has %d: use Rebalance", n.Name, e.From.Name, from, n.Name, parallelism)
			}
		}
	}
	sinks := false
	for _, n := range g.Nodes {
		sinks = sinks || n.Kind == Sink
		if n.Kind != Sink && n.LoopsTo == nil && !consumed[n] {
			fail("nothing reads what %q produces: end it with To", n.Name)
		}
		if n.LoopsTo != nil {
			errs = append(errs, g.checkLoop(n.LoopsTo, n, d)...)
		}
	}
	if !sinks && len(g.Nodes) > 0 {
		fail("the job has no sink: end a stream with To")
	}
	return errs
}

// checkLoop returns what is wrong with a loop.
func (g *Graph) checkLoop(head, tail *Node, d Defaults) (errs []error) {
	if d.of(tail) != d.of(head) {
		errs = append(errs, fmt.Errorf("loop %q: its head has parallelism %d and its tail %d: they must be the same", head.Name, d.of(head), d.of(tail)))
	}
	if !g.leads(head, tail) {
		errs = append(errs, fmt.Errorf("loop %q: what goes round does not come from the loop: return a stream that was made from the body's argument", head.Name))
	}
	return errs
}

// leads reports whether there is a way from one node to another.
func (g *Graph) leads(from, to *Node) bool {
	behind := map[*Node]bool{from: true}
	for _, n := range g.Nodes {
		for _, e := range n.Inputs {
			behind[n] = behind[n] || behind[e.From]
		}
	}
	return behind[to]
}

// String returns the name that messages use.
func (k Kind) String() string { return [...]string{"step", "source", "sink"}[k] }

// Fingerprint returns a short text that two plans share if they run the same nodes in the same tasks, whatever the parallelism.
func (p *Plan) Fingerprint() string {
	h := sha256.New()
	for _, v := range p.Vertices {
		for _, n := range v.Nodes {
			fmt.Fprintf(h, "%s %d", n.id, n.Kind)
			for _, e := range n.Inputs {
				fmt.Fprintf(h, " %s.%d:%s", e.From.id, e.Slot, e.Partitioning)
			}
			if n.LoopsTo != nil {
				fmt.Fprintf(h, " back to %s", n.LoopsTo.id)
			}
			fmt.Fprintln(h)
		}
		fmt.Fprintln(h, "--")
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// Name returns the names of the chain's nodes, as in "lines -> flat map -> words".
func (v *Vertex) Name() string {
	names := make([]string, len(v.Nodes))
	for i, n := range v.Nodes {
		names[i] = n.Name
	}
	return strings.Join(names, " -> ")
}
