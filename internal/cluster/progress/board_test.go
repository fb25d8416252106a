package progress

import (
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/weirstream/weir/internal/cluster/view"
	"github.com/weirstream/weir/internal/element"
	"github.com/weirstream/weir/internal/graph"
	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/protocol/coordinator"
	"github.com/weirstream/weir/internal/runtime/operator"
)

// pipeline is the plan of a job of three steps, of which the last two are a chain.
func pipeline(t *testing.T, parallelism int) *graph.Plan {
	t.Helper()
	in := &graph.Node{Kind: graph.Source, Name: "in", Named: true}
	count := &graph.Node{Name: "count", Named: true, Keyed: true, Inputs: []graph.Edge{{From: in, Partitioning: graph.Hash}}}
	out := &graph.Node{Kind: graph.Sink, Name: "out", Named: true, Inputs: []graph.Edge{{From: count}}}
	g := graph.Graph{Nodes: []*graph.Node{in, count, out}}
	p, err := g.Plan(graph.Defaults{Parallelism: parallelism})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func at(second int) time.Time { return time.Unix(int64(second), 0) }

func attempt(v *graph.Vertex, subtask, number int) job.Attempt {
	return job.Attempt{Subtask: job.Subtask{Vertex: v.ID(), Index: subtask}, Number: number}
}

// TestBoard tells the life of a small job: what its tasks do, a failure and the attempts that follow it, and a cancellation. Each line says what is
// told and what the subtasks of both vertices are shown as then.
func TestBoard(t *testing.T) {
	plan := pipeline(t, 2)
	p := New(plan)
	first, second := plan.Vertices[0], plan.Vertices[1]
	type shown [4]string // the subtasks of the first vertex, then those of the second
	for tick, step := range []struct {
		what string
		tell func(now time.Time)
		want shown
		job  view.JobState
	}{
		{"at first", func(time.Time) {}, shown{"CREATED 0", "CREATED 0", "CREATED 0", "CREATED 0"}, view.JobInitializing},
		{"one runs", func(now time.Time) {
			p.Became(view.JobRunning, now)
			p.Task(attempt(first, 1, 1), view.TaskRunning, now)
		},
			shown{"CREATED 0", "RUNNING 0", "CREATED 0", "CREATED 0"}, view.JobRunning},
		{"it fails", func(now time.Time) { p.Task(attempt(first, 1, 1), view.TaskFailed, now) }, shown{"CREATED 0", "FAILED 0", "CREATED 0", "CREATED 0"}, view.JobRunning},
		{"another attempt", func(now time.Time) { p.Task(attempt(first, 1, 2), view.TaskDeploying, now) }, shown{"CREATED 0", "DEPLOYING 1", "CREATED 0", "CREATED 0"}, view.JobRunning},
		{"one has finished", func(now time.Time) { p.Task(attempt(second, 0, 1), view.TaskFinished, now) }, shown{"CREATED 0", "DEPLOYING 1", "FINISHED 0", "CREATED 0"}, view.JobRunning},
		{"cancelled", func(now time.Time) { p.Became(view.JobCancelling, now); p.Cancelling(now) },
			shown{"CREATED 0", "CANCELING 1", "FINISHED 0", "CREATED 0"}, view.JobCancelling}, // of the others nobody has heard
	} {
		step.tell(at(tick))
		j := p.Job()
		var got shown
		for v := range 2 {
			for i, s := range j.Vertices[v].Subtasks {
				got[v*2+i] = s.State.String() + " " + string(rune('0'+s.Attempt))
			}
		}
		if got != step.want || j.State != step.job {
			t.Errorf("%s: %v %v, want %v %v", step.what, j.State, got, step.job, step.want)
		}
		if tick > 0 && !j.Changed.Equal(at(tick)) {
			t.Errorf("%s: it changed %v", step.what, j.Changed)
		}
	}
	j := p.Job()
	if !j.Since[view.JobRunning].Equal(at(1)) || !j.Since[view.JobCancelling].Equal(at(5)) {
		t.Errorf("the job was running since %v, cancelling since %v", j.Since[view.JobRunning], j.Since[view.JobCancelling])
	}
	if s := j.Vertices[0].Subtasks[1]; !s.Since[view.TaskRunning].IsZero() || !s.Since[view.TaskDeploying].Equal(at(3)) {
		t.Errorf("the second attempt has times of the first: %v", s.Since)
	}
}

// TestFinishedBefore shows a job of which an earlier run has done all.
func TestFinishedBefore(t *testing.T) {
	p := New(pipeline(t, 2))
	p.FinishedBefore(at(3))
	j := p.Job()
	if j.State != view.JobFinished || !j.Since[view.JobFinished].Equal(at(3)) {
		t.Errorf("the job is %v", j.State)
	}
	for _, v := range j.Vertices {
		for i, s := range v.Subtasks {
			if s.State != view.TaskFinished {
				t.Errorf("%s, subtask %d: %v", v.Name, i, s.State)
			}
		}
	}
}

// TestShape shows what is told of a plan: its vertices, steps and edges, the edge that closes a loop among them, and that it is the plan as it was
// when it was told of.
func TestShape(t *testing.T) {
	in := &graph.Node{Kind: graph.Source, Name: "in", Named: true}
	head := &graph.Node{Name: "loop", Named: true, Head: true, Inputs: []graph.Edge{{From: in}}}
	tail := &graph.Node{Name: "tail", Inputs: []graph.Edge{{From: head, Partitioning: graph.Rebalance}}, LoopsTo: head}
	out := &graph.Node{Kind: graph.Sink, Name: "out", Named: true, Inputs: []graph.Edge{{From: head, Slot: 1, Partitioning: graph.Rebalance}}}
	g := graph.Graph{Nodes: []*graph.Node{in, head, tail, out}}
	plan, err := g.Plan(graph.Defaults{Parallelism: 2, MaxParallelism: 16})
	if err != nil {
		t.Fatal(err)
	}
	p := New(plan)
	plan.Vertices[0].MaxParallelism = 32
	var inputs [][]view.Input
	for _, v := range p.Job().Vertices {
		if v.Parallelism != 2 || v.MaxParallelism != 16 || len(v.Subtasks) != 2 || len(v.Steps) != 1 {
			t.Errorf("%s: %+v", v.Name, v)
		}
		inputs = append(inputs, v.Inputs)
	}
	id := func(n *graph.Node) job.VertexID { return job.VertexID(n.ID()) }
	want := [][]view.Input{nil, {{From: id(in), Partitioning: "FORWARD"}, {From: id(tail), Partitioning: view.Feedback}}, {{From: id(head), Partitioning: "REBALANCE"}}, {{From: id(head), Partitioning: "REBALANCE"}}}
	if !reflect.DeepEqual(inputs, want) {
		t.Errorf("edges %v, want %v", inputs, want)
	}
	p.Deployed(plan)
	if got := p.Job().Vertices[0].MaxParallelism; got != 32 {
		t.Errorf("the plan was deployed with max parallelism 32, shown is %d", got)
	}
}

// TestCounted shows what is told of what a subtask has counted, that what has been given away does not change, and that only what leaves a vertex
// counts as written.
func TestCounted(t *testing.T) {
	plan := pipeline(t, 2)
	p := New(plan)
	in, count, out := plan.Vertices[0].Nodes[0], plan.Vertices[1].Nodes[0], plan.Vertices[1].Nodes[1]
	count1 := p.Scope(count.ID(), 1)
	count1.Counter(operator.RecordsIn).Add(5)
	count1.Counter(operator.RecordsOut).Add(4)
	count1.Counter("late").Add(3)
	count1.Gauge(operator.Watermark).Set(70)
	count1.Gauge("keys").Set(2)
	p.Scope(in.ID(), 0).Counter(operator.RecordsOut).Add(9)
	p.Scope(in.ID(), 0).Gauge(operator.NewestTime).Set(80)
	p.Scope(out.ID(), 1).Counter(operator.RecordsIn).Add(4)

	before := p.Job()
	want := view.Metrics{In: 5, Out: 4, Watermark: 70, Counters: map[string]int64{"late": 3}, Gauges: map[string]int64{"keys": 2}}
	check := func(j view.Job, want view.Metrics, written []int64) {
		t.Helper()
		if got := j.Vertices[1].Steps[0].Subtasks[1]; !reflect.DeepEqual(got, want) {
			t.Errorf("subtask 1 of count: %+v, want %+v", got, want)
		}
		if got := j.Vertices[0].Written; !reflect.DeepEqual(got, written) {
			t.Errorf("in has written %v, want %v", got, written)
		}
		if got := j.Vertices[1].Written; !reflect.DeepEqual(got, []int64{0, 0}) {
			t.Errorf("what a sink takes counts as written: %v", got)
		}
	}
	check(before, want, []int64{9, 0})
	if none := before.Vertices[1].Steps[0].Subtasks[0]; none.Watermark != element.NoTime || none.In != 0 || none.Counters != nil {
		t.Errorf("a subtask that has not counted: %+v", none)
	}

	count1.Counter(operator.RecordsIn).Add(1)
	count1.Counter("late").Add(1)
	p.Scope(in.ID(), 0).Counter(operator.RecordsOut).Add(1)
	p.Became(view.JobRestarting, at(1))
	p.Task(attempt(plan.Vertices[0], 0, 1), view.TaskRunning, at(1))
	check(before, want, []int64{9, 0})
	if before.State != view.JobInitializing || before.Vertices[0].Subtasks[0].State != view.TaskCreated {
		t.Errorf("what was shown has become %+v", before)
	}
	want.In, want.Counters = 6, map[string]int64{"late": 4}
	check(p.Job(), want, []int64{10, 0})
}

// TestRescaled shows that what subtasks have counted still counts when there are fewer of them, and when there are more again, but that those that
// are no more hold back no watermark.
func TestRescaled(t *testing.T) {
	wide := pipeline(t, 3)
	p := New(wide)
	out := wide.Vertices[1].Nodes[1].ID()
	for i := range 3 {
		s := p.Scope(out, i)
		s.Counter(operator.RecordsIn).Add(10)
		s.Gauge(operator.Watermark).Set(int64(300 - 100*i))
	}
	for _, test := range []struct {
		parallelism int
		watermark   int64
		subtasks    int
	}{{3, 100, 3}, {1, 300, 1}, {2, 200, 2}} {
		plan := pipeline(t, test.parallelism)
		p.Replan(plan)
		p.Deployed(plan)
		s := p.Progress().Steps[2]
		if s.In != 30 || s.Watermark != test.watermark {
			t.Errorf("at parallelism %d: %d records, watermark %d", test.parallelism, s.In, s.Watermark)
		}
		if got := p.Job().Vertices[1]; len(got.Subtasks) != test.subtasks || got.Parallelism != test.parallelism {
			t.Errorf("at parallelism %d: %d subtasks are shown", test.parallelism, len(got.Subtasks))
		}
	}
	if p.Scope(out, 2).Counter(operator.RecordsIn).Value() != 10 {
		t.Error("a subtask that comes again begins anew to count")
	}
}

// TestStandstill shows the longest time that a subtask stood still, in the last checkpoint and in all; and that each restart is told of.
func TestStandstill(t *testing.T) {
	p := New(pipeline(t, 1))
	for _, sync := range []time.Duration{3, 7, 2} {
		p.Completed(coordinator.CheckpointStats{LongestSync: sync})
	}
	p.Restarted(1, errors.New("boom"))
	p.Restarted(2, errors.New("bang"))
	s := p.Progress()
	if s.Checkpoint.Completed != 3 || s.Checkpoint.LastSync != 2 || s.Checkpoint.MaxSync != 7 || s.Restarts != 2 || s.LastError != "bang" || p.Job().Restarts != 2 {
		t.Errorf("%+v", s)
	}
}
