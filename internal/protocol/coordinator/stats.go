package coordinator

import (
	"slices"
	"time"

	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/protocol/reason"
	"github.com/weirstream/weir/internal/protocol/snapshot"
)

// historySize bounds the checkpoints in Stats.History.
const historySize = 10

// Status is what became of a checkpoint.
type Status uint8

// What can become of a checkpoint.
const (
	InProgress Status = iota
	Complete
	GivenUp
)

// TaskMetrics is what a task measured of one checkpoint.
type TaskMetrics struct {
	StartDelay time.Duration // from the trigger to the first barrier
	Alignment  time.Duration // from the first barrier to the last
	Sync       time.Duration // the part on the task's own goroutine
	Async      time.Duration // the part beside it
	NewBytes   int64         // written for this checkpoint; the state may be larger
}

// SubtaskStats is one subtask's part in a checkpoint.
type SubtaskStats struct {
	Acked      bool
	AckedAt    time.Time
	Duration   time.Duration // from the trigger to the ack
	StateBytes int64         // all that its snapshot refers to
	Metrics    TaskMetrics
}

// VertexStats is one vertex's part in a checkpoint.
type VertexStats struct {
	ID       job.VertexID
	Name     string
	Subtasks []SubtaskStats // those that had finished before it never acknowledge
}

// CheckpointStats is what is known of one checkpoint.
type CheckpointStats struct {
	ID            job.CheckpointID
	Kind          RequestKind
	Status        Status
	Triggered     time.Time
	LatestAck     time.Time // zero before the first
	Ended         time.Time // zero while in progress
	Duration      time.Duration
	Tasks         int // that had to acknowledge
	Acked         int
	StateBytes    int64         // all that it refers to
	NewBytes      int64         // written for it
	MetadataBytes int64         // of the `_metadata` file
	Pointer       string        // what a restore is given to find it
	Discarded     bool          // complete, but deleted since
	Reason        reason.Reason // why it was given up
	Cause         string        // in words, if known beyond the reason
	Attempt       job.Attempt   // the task to blame, zero if none
	Vertices      []VertexStats
}

// Measure is the spread of a quantity over the complete checkpoints.
type Measure struct {
	Count         int64
	Min, Max, Sum int64
}

// Average returns the mean, 0 if nothing was measured.
func (m Measure) Average() int64 {
	if m.Count == 0 {
		return 0
	}
	return m.Sum / m.Count
}

func (m *Measure) add(v int64) {
	if m.Count == 0 {
		m.Min, m.Max = v, v
	}
	m.Count, m.Sum = m.Count+1, m.Sum+v
	m.Min, m.Max = min(m.Min, v), max(m.Max, v)
}

// RestoreStats is the latest restore.
type RestoreStats struct {
	From Retained
	At   time.Time
}

// Counts is how many checkpoints came to which end. Failed ones include requests that never became a checkpoint.
type Counts struct{ Restored, Total, InProgress, Completed, Failed int }

// Stats is what is known of the checkpoints of a job since its process started.
type Stats struct {
	Counts          Counts
	History         []CheckpointStats // newest first, at most 10
	LatestCompleted *CheckpointStats  // nil if there is none; so below
	LatestFailed    *CheckpointStats
	LatestRestore   *RestoreStats
	DurationMillis  Measure // over the complete checkpoints; so below
	StateBytes      Measure
	NewBytes        Measure
}

// Stats returns a copy of the statistics.
func (c *Coordinator) Stats() Stats { return c.stats.copy() }

// statistics collects Stats.
type statistics struct {
	Stats
	history []*CheckpointStats // oldest first
	latest  struct{ completed, failed *CheckpointStats }
}

func (s *statistics) begin(id job.CheckpointID, t *trigger, vertices []Vertex) *CheckpointStats {
	cs := &CheckpointStats{ID: id, Kind: t.request.Kind, Triggered: t.at, Tasks: len(t.plan.tasks)}
	for _, v := range vertices {
		cs.Vertices = append(cs.Vertices, VertexStats{ID: v.ID, Name: v.Name, Subtasks: make([]SubtaskStats, v.Parallelism)})
	}
	s.Counts.Total++
	s.Counts.InProgress++
	if len(s.history) == historySize {
		s.history = slices.Delete(s.history, 0, 1)
	}
	s.history = append(s.history, cs)
	return cs
}

func (s *statistics) refused() {
	s.Counts.Total++
	s.Counts.Failed++
}

func (cs *CheckpointStats) acked(vertex, subtask int, state *snapshot.Task, m TaskMetrics, now time.Time) {
	sub := &cs.Vertices[vertex].Subtasks[subtask]
	*sub = SubtaskStats{Acked: true, AckedAt: now, Duration: max(0, now.Sub(cs.Triggered)), Metrics: m}
	if state != nil {
		sub.StateBytes = state.Size()
	}
	cs.Acked++
	cs.LatestAck = now
	cs.StateBytes += sub.StateBytes
	cs.NewBytes += m.NewBytes
}

// metrics notes what a task measured of a checkpoint that it did not complete.
func (s *statistics) metrics(id job.CheckpointID, a job.Attempt, vertices map[job.VertexID]int, m TaskMetrics) {
	v, ok := vertices[a.Subtask.Vertex]
	i := slices.IndexFunc(s.history, func(cs *CheckpointStats) bool { return cs.ID == id })
	if !ok || i < 0 || a.Subtask.Index >= len(s.history[i].Vertices[v].Subtasks) {
		return
	}
	if sub := &s.history[i].Vertices[v].Subtasks[a.Subtask.Index]; !sub.Acked {
		sub.Metrics = m
	}
}

func (s *statistics) completed(cs *CheckpointStats, pointer string, metadataBytes int64, now time.Time) {
	cs.end(Complete, now)
	cs.Pointer, cs.MetadataBytes = pointer, metadataBytes
	s.Counts.InProgress--
	s.Counts.Completed++
	s.latest.completed = cs
	s.DurationMillis.add(cs.Duration.Milliseconds())
	s.StateBytes.add(cs.StateBytes)
	s.NewBytes.add(cs.NewBytes)
}

func (s *statistics) failed(cs *CheckpointStats, f failure, now time.Time) {
	cs.end(GivenUp, now)
	cs.Reason, cs.Cause, cs.Attempt = f.why, f.cause, f.attempt
	s.Counts.InProgress--
	s.Counts.Failed++
	s.latest.failed = cs
}

func (cs *CheckpointStats) end(status Status, now time.Time) {
	cs.Status, cs.Ended, cs.Duration = status, now, max(0, now.Sub(cs.Triggered))
}

func (s *statistics) discarded(id job.CheckpointID) {
	for _, cs := range s.history {
		if cs.ID == id {
			cs.Discarded = true
		}
	}
	if cs := s.latest.completed; cs != nil && cs.ID == id {
		cs.Discarded = true
	}
}

func (s *statistics) restored(from Retained, now time.Time) {
	s.Counts.Restored++
	s.LatestRestore = &RestoreStats{From: from, At: now}
}

func (s *statistics) copy() Stats {
	out := s.Stats
	for _, cs := range slices.Backward(s.history) {
		out.History = append(out.History, cs.clone())
	}
	out.LatestCompleted, out.LatestFailed = copyOf(s.latest.completed), copyOf(s.latest.failed)
	if s.LatestRestore != nil {
		restore := *s.LatestRestore
		out.LatestRestore = &restore
	}
	return out
}

func copyOf(cs *CheckpointStats) *CheckpointStats {
	if cs == nil {
		return nil
	}
	out := cs.clone()
	return &out
}

func (cs *CheckpointStats) clone() CheckpointStats {
	out := *cs
	out.Vertices = slices.Clone(cs.Vertices)
	for i := range out.Vertices {
		out.Vertices[i].Subtasks = slices.Clone(cs.Vertices[i].Subtasks)
	}
	return out
}
