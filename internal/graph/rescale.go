package graph

import (
	"errors"
	"fmt"
	"maps"

	"github.com/weirstream/weir/internal/nearest"
)

// Rescaled returns the plan of the same graph with another parallelism of a step, given by its id, and of all that runs in one task with it:
// they have the same, or they would not. So have the head and the tail of a loop. The error says what stands against it.
func (p *Plan) Rescaled(step string, parallelism int) (*Plan, error) {
	v, err := p.vertexOf(step)
	if err != nil {
		return nil, err
	}
	switch {
	case parallelism < 1:
		return nil, fmt.Errorf("step %q: parallelism %d: it must be at least 1", step, parallelism)
	case parallelism > v.MaxParallelism:
		return nil, fmt.Errorf("step %q: parallelism %d is larger than its max parallelism %d, which is fixed once there is a checkpoint", step, parallelism, v.MaxParallelism)
	}
	d := p.defaults
	d.rescaled = maps.Clone(d.rescaled)
	if d.rescaled == nil {
		d.rescaled = map[*Node]int{}
	}
	for n := range p.together(v) {
		d.rescaled[n] = parallelism
	}
	if err := errors.Join(p.of.check(d)...); err != nil {
		return nil, fmt.Errorf("step %q: parallelism %d: %w", step, parallelism, err)
	}
	return p.of.plan(d), nil // the ids do not depend on the parallelism, and tasks may be reading them
}

func (p *Plan) vertexOf(step string) (*Vertex, error) {
	_, v, err := p.Step(step)
	return v, err
}

// Step returns the node of a step by its id, and the vertex that it runs in.
func (p *Plan) Step(step string) (*Node, *Vertex, error) {
	var names []string
	for _, v := range p.Vertices {
		for _, n := range v.Nodes {
			if n.Named && n.Name == step {
				return n, v, nil
			}
			if n.Named {
				names = append(names, n.Name)
			}
		}
	}
	if name, ok := nearest.Name(step, names, nearest.Half(step)); ok {
		return nil, nil, fmt.Errorf("the job has no step %q: is it %q?", step, name)
	}
	return nil, nil, fmt.Errorf("the job has no step %q: its steps are %q", step, names)
}

// together returns the nodes that have one parallelism with those of a vertex.
func (p *Plan) together(v *Vertex) map[*Node]bool {
	nodes := map[*Node]bool{}
	var add func(v *Vertex)
	add = func(v *Vertex) {
		if nodes[v.Nodes[0]] {
			return
		}
		for _, n := range v.Nodes {
			nodes[n] = true
		}
		for _, l := range p.Loops {
			if nodes[l.Head] != nodes[l.Tail] {
				add(p.byNode[l.Head])
				add(p.byNode[l.Tail])
			}
		}
	}
	add(v)
	return nodes
}
