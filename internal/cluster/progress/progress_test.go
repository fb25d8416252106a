package progress

import (
	"errors"
	"testing"
	"time"

	"github.com/weirstream/weir/internal/element"
	"github.com/weirstream/weir/internal/graph"
	"github.com/weirstream/weir/internal/metrics"
	"github.com/weirstream/weir/internal/protocol/coordinator"
	"github.com/weirstream/weir/internal/protocol/reason"
	"github.com/weirstream/weir/internal/runtime/operator"
)

// Two subtasks count and tell the time; what is shown is their sum, the lowest watermark that there is, and the newest time of all.
func TestProgressOfSteps(t *testing.T) {
	source := &graph.Node{Kind: graph.Source, Name: "in", Named: true, Parallelism: 2}
	timed := &graph.Node{Name: "event time", Inputs: []graph.Edge{{From: source}}, Parallelism: 2}
	sink := &graph.Node{Kind: graph.Sink, Name: "out", Named: true, Inputs: []graph.Edge{{From: timed}}, Parallelism: 2}
	g := graph.Graph{Nodes: []*graph.Node{source, timed, sink}}
	plan, err := g.Plan(graph.Defaults{Parallelism: 2})
	if err != nil {
		t.Fatal(err)
	}
	p := New(plan)
	if s := p.Progress(); s.Phase != Starting || len(s.Steps) != 2 || s.Steps[1].Watermark != element.NoTime || s.Newest != element.NoTime {
		t.Errorf("at first: %+v", s)
	}
	measure := func(subtask int, n int64) *metrics.Scope {
		p.Scope(source.ID(), subtask).Counter(operator.RecordsOut).Add(n)
		out := p.Scope(sink.ID(), subtask)
		operator.NewEntry(out).Records.Add(n)
		out.Counter("rejected").Add(n)
		p.Scope(timed.ID(), subtask).Gauge(operator.NewestTime).Set(n * 100)
		return out
	}
	first := measure(0, 7)
	measure(1, 5)
	first.Gauge(operator.Watermark).Set(600) // the other subtask has none, and does not hold it back
	s := p.Progress()
	if in := s.Steps[0]; in.Name != "in" || !in.Source || in.Sink || in.Out != 12 || in.In != 0 {
		t.Errorf("the source: %+v", in)
	}
	if out := s.Steps[1]; !out.Sink || out.In != 12 || out.Counters["rejected"] != 12 || out.Watermark != 600 || s.Newest != 700 {
		t.Errorf("the sink: %+v, newest %d", out, s.Newest)
	}
	p.Scope(sink.ID(), 1).Gauge(operator.Watermark).Set(-400)
	if s := p.Progress(); s.Steps[1].Watermark != -400 {
		t.Errorf("the lowest watermark: %d", s.Steps[1].Watermark)
	}
}

// A job that is stopping does not look as if it ran on, even if it restarts meanwhile.
func TestProgressOfJob(t *testing.T) {
	p := New(&graph.Plan{})
	p.Entered(Running)
	p.Restarted(1, errors.New("boom"))
	if s := p.Progress(); s.Phase != Restarting || s.Restarts != 1 || s.LastError != "boom" {
		t.Errorf("after a failure: %+v", s)
	}
	p.Entered(Stopping)
	p.Entered(Running)
	at := time.Unix(7, 0)
	p.Failed(coordinator.CheckpointStats{ID: 1, Reason: reason.CheckpointExpired})
	p.Completed(coordinator.CheckpointStats{ID: 2, StateBytes: 10, Duration: time.Second, Ended: at})
	s := p.Progress()
	want := Checkpoints{Completed: 1, Failed: 1, LastID: 2, LastBytes: 10, LastDuration: time.Second, LastAt: at, LastFailure: "CHECKPOINT_EXPIRED"}
	if s.Phase != Stopping || s.Checkpoint != want {
		t.Errorf("at the end: %+v", s)
	}
}
