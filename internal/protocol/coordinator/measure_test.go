package coordinator

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/weirstream/weir/internal/job"
)

// The percentiles are those that a dashboard of Flink shows for thirteen checkpoints of these durations: it interpolates at p(n+1)/100.
func TestPercentiles(t *testing.T) {
	var m Measure
	for _, v := range []int64{1512, 1522, 1510, 1508, 1556, 1574, 1519, 1522, 2903, 1508, 2331, 1515, 2330} {
		m.Add(v)
	}
	if m.Min != 1508 || m.Max != 2903 || m.Average() != 1754 || m.Count != 13 {
		t.Errorf("min %d, max %d, average %d of %d", m.Min, m.Max, m.Average(), m.Count)
	}
	want := []float64{1522, 2674.2, 2903, 2903, 2903}
	if got := m.Percentiles(50, 90, 95, 99, 99.9); !nearly(got, want) {
		t.Errorf("percentiles %v, want %v", got, want)
	}
}

func nearly(a, b []float64) bool {
	return slices.EqualFunc(a, b, func(x, y float64) bool { return math.Abs(x-y) < 1e-6 })
}

// Nothing measured has no percentile, one value is all of them, and min and max outlast the window of percentiles.
func TestMeasureAtItsEdges(t *testing.T) {
	var m Measure
	if got := m.Percentiles(50)[0]; !math.IsNaN(got) || m.Average() != 0 {
		t.Errorf("of nothing: median %v, average %d", got, m.Average())
	}
	m.Add(7)
	if got := m.Percentiles(0, 50, 100); !nearly(got, []float64{7, 7, 7}) {
		t.Errorf("of one value: %v", got)
	}
	copied := m.clone()
	for range measureWindow {
		m.Add(3)
	}
	if got := m.Percentiles(100)[0]; got != 3 || m.Max != 7 || m.Count != measureWindow+1 {
		t.Errorf("after many more: p100 %v, max %d of %d", got, m.Max, m.Count)
	}
	if got := copied.Percentiles(50)[0]; got != 7 {
		t.Errorf("a copy changed to %v", got)
	}
}

// The history is bounded, but the latest checkpoint of each kind is remembered after it has left.
func TestHistoryIsBounded(t *testing.T) {
	s := statistics{capacity: 2}
	at := time.Unix(1, 0)
	vertices := []Vertex{{Name: "v", Parallelism: 1}}
	take := func(r Request) *CheckpointStats {
		t := &trigger{request: request{Request: r}, at: at, plan: plan{finished: [][]bool{{false}}}}
		return s.begin(s.last()+1, t, vertices)
	}
	s.completed(take(Request{Kind: Savepoint, Native: true}), "sp", 1, at)
	s.completed(take(Request{}), "chk", 1, at)
	s.failed(take(Request{}), failure{cause: "boom"}, at)
	s.failed(take(Request{}), failure{cause: "boom"}, at)
	got := s.copy()
	if len(got.History) != 2 || got.History[0].ID != 4 || got.History[1].ID != 3 {
		t.Errorf("history %+v", got.History)
	}
	if got.LatestSavepoint.ID != 1 || !got.LatestSavepoint.Native || got.LatestCompleted.ID != 2 || got.LatestFailed.ID != 4 {
		t.Errorf("latest: savepoint %d, completed %d, failed %d", got.LatestSavepoint.ID, got.LatestCompleted.ID, got.LatestFailed.ID)
	}
	if s.find(1) == nil || s.find(2) == nil || s.find(5) != nil {
		t.Error("the latest ones are found, and no others")
	}
	if got.History[0].Vertices != nil || len(s.find(4).clone().Vertices) != 1 {
		t.Error("only details have vertices")
	}
	parts := s.begin(5, &trigger{plan: plan{finished: [][]bool{{true}}}}, vertices)
	if parts.Finished != 1 || parts.Tasks != 0 || !parts.Vertices[0].Finished[0] {
		t.Errorf("of a job whose only task has ended: %+v", parts)
	}
	s.discarded(2)
	if !s.copy().LatestCompleted.Discarded || got.LatestCompleted.Discarded {
		t.Error("discarding shows in later copies alone")
	}
}

func (s *statistics) last() (id job.CheckpointID) {
	if n := len(s.history); n > 0 {
		return s.history[n-1].ID
	}
	return 0
}

// BenchmarkLargeCheckpoint is what statistics cost a checkpoint of 10,000 subtasks: its acknowledgements and its completion.
func BenchmarkLargeCheckpoint(b *testing.B) {
	const subtasks = 10_000
	s := statistics{capacity: 10}
	vertices := []Vertex{{Name: "v", Parallelism: subtasks}}
	b.ReportAllocs()
	for i := range b.N {
		cs := s.begin(job.CheckpointID(i+1), &trigger{plan: plan{finished: [][]bool{nil}}}, vertices)
		for j := range subtasks {
			cs.acked(0, j, nil, TaskMetrics{}, time.Unix(1, 0))
		}
		s.completed(cs, "", 1, time.Unix(1, 0))
		_ = s.copy()
	}
}
