package failover

import (
	"slices"

	"github.com/weirstream/weir/internal/job"
)

// Vertex is one task of a job, as far as it matters for who must restart together. Vertices stand in topological order.
type Vertex struct {
	ID          job.VertexID
	Parallelism int
	Inputs      []Input
	// Joined says that its subtasks can only restart together: something that they share, such as the committer of a sink, cannot be
	// put right for some of them.
	Joined bool
}

// Input is an edge from another vertex.
type Input struct {
	From     int  // index in the list of vertices
	AllToAll bool // every subtask sends to every other one; otherwise each to that of the same index
}

// Regions are the maximal sets of subtasks that are connected by edges. What is on the way between two tasks is lost when one of them
// restarts, so a region restarts as a whole; nothing flows between regions.
type Regions struct {
	tasks [][]job.Subtask // by region, in the order of vertices and subtasks
	of    map[job.Subtask]int
}

// NewRegions finds the regions of a job. They are numbered by their first task.
func NewRegions(vertices []Vertex) *Regions {
	var all []job.Subtask
	sets := disjoint{}
	for _, v := range vertices {
		for i := range v.Parallelism {
			s := job.Subtask{Vertex: v.ID, Index: i}
			all = append(all, s)
			sets[s] = s
		}
	}
	for _, v := range vertices {
		if v.Joined {
			sets.joinAll(v)
		}
		for _, in := range v.Inputs {
			sets.connect(vertices[in.From], v, in.AllToAll)
		}
	}
	return numbered(all, sets)
}

// Whole returns the regions of a job that always restarts as a whole: one.
func Whole(vertices []Vertex) *Regions {
	r := NewRegions(vertices)
	for s := range r.of {
		r.of[s] = 0
	}
	r.tasks = [][]job.Subtask{slices.Concat(r.tasks...)}
	return r
}

func numbered(all []job.Subtask, sets disjoint) *Regions {
	r := &Regions{of: map[job.Subtask]int{}}
	numbers := map[job.Subtask]int{}
	for _, s := range all {
		root := sets.root(s)
		n, known := numbers[root]
		if !known {
			n = len(r.tasks)
			numbers[root] = n
			r.tasks = append(r.tasks, nil)
		}
		r.of[s] = n
		r.tasks[n] = append(r.tasks[n], s)
	}
	return r
}

// Len returns how many regions there are.
func (r *Regions) Len() int { return len(r.tasks) }

// Tasks returns the subtasks of a region. The slice must not be changed.
func (r *Regions) Tasks(region int) []job.Subtask { return r.tasks[region] }

// Of returns the region of a subtask, and whether the job has such a subtask.
func (r *Regions) Of(s job.Subtask) (region int, ok bool) {
	region, ok = r.of[s]
	return region, ok
}

// disjoint holds, for each subtask, another one of the same set, and for one of them itself.
type disjoint map[job.Subtask]job.Subtask

func (d disjoint) root(s job.Subtask) job.Subtask {
	for d[s] != s {
		d[s] = d[d[s]] // so that the way is shorter next time
		s = d[s]
	}
	return s
}

func (d disjoint) join(a, b job.Subtask) { d[d.root(b)] = d.root(a) }

func (d disjoint) joinAll(v Vertex) {
	for i := range v.Parallelism {
		d.join(job.Subtask{Vertex: v.ID}, job.Subtask{Vertex: v.ID, Index: i})
	}
}

// connect joins the subtasks on both sides of an edge.
func (d disjoint) connect(from, to Vertex, allToAll bool) {
	if allToAll {
		d.joinAll(from)
		d.joinAll(to)
		d.join(job.Subtask{Vertex: from.ID}, job.Subtask{Vertex: to.ID})
		return
	}
	for i := range min(from.Parallelism, to.Parallelism) {
		d.join(job.Subtask{Vertex: from.ID, Index: i}, job.Subtask{Vertex: to.ID, Index: i})
	}
}
