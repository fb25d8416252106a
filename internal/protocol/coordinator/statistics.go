package coordinator

import (
	"slices"
	"time"

	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/protocol/snapshot"
)

// statistics collects Stats.
type statistics struct {
	Stats
	capacity int                // of history
	history  []*CheckpointStats // oldest first
	latest   struct{ completed, savepoint, failed *CheckpointStats }
}

func (s *statistics) begin(id job.CheckpointID, t *trigger, vertices []Vertex) *CheckpointStats {
	cs := &CheckpointStats{ID: id, Kind: t.request.Kind, Native: t.request.Native, Triggered: t.at, Tasks: len(t.plan.tasks)}
	for i, v := range vertices {
		vs := VertexStats{ID: v.ID, Name: v.Name, Subtasks: make([]SubtaskStats, v.Parallelism), Finished: t.plan.finished[i]}
		cs.Vertices = append(cs.Vertices, vs)
		for _, finished := range vs.Finished {
			if finished {
				cs.Finished++
			}
		}
	}
	s.Counts.Total++
	s.Counts.InProgress++
	s.history = append(s.history, cs)
	if excess := len(s.history) - s.capacity; excess > 0 {
		s.history = slices.Delete(s.history, 0, excess)
	}
	return cs
}

// without notes that a subtask of a vertex has no part in the checkpoint after all. finished are all those of the vertex that have none.
func (cs *CheckpointStats) without(vertex int, finished []bool) {
	cs.Tasks--
	cs.Finished++
	cs.Vertices[vertex].Finished = finished
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
	cs.ProcessedBytes += m.ProcessedBytes
	cs.PersistedBytes += m.PersistedBytes
	cs.Unaligned = cs.Unaligned || m.Unaligned
	cs.LongestSync = max(cs.LongestSync, m.Sync)
}

// metrics notes what a task measured of a checkpoint that it did not complete.
func (s *statistics) metrics(id job.CheckpointID, a job.Attempt, vertices map[job.VertexID]int, m TaskMetrics) {
	v, ok := vertices[a.Subtask.Vertex]
	cs := s.find(id)
	if !ok || cs == nil || a.Subtask.Index >= len(cs.Vertices[v].Subtasks) {
		return
	}
	if sub := &cs.Vertices[v].Subtasks[a.Subtask.Index]; !sub.Acked {
		*sub = SubtaskStats{Reported: true, Metrics: m}
	}
}

// find returns a checkpoint that is remembered, nil if it is not.
func (s *statistics) find(id job.CheckpointID) *CheckpointStats {
	for _, cs := range s.history {
		if cs.ID == id {
			return cs
		}
	}
	for _, cs := range []*CheckpointStats{s.latest.completed, s.latest.savepoint, s.latest.failed} {
		if cs != nil && cs.ID == id {
			return cs
		}
	}
	return nil
}

func (s *statistics) completed(cs *CheckpointStats, pointer string, metadataBytes int64, now time.Time) {
	cs.end(Complete, now)
	cs.Pointer, cs.MetadataBytes = pointer, metadataBytes
	s.Counts.InProgress--
	s.Counts.Completed++
	if cs.IsSavepoint() {
		s.latest.savepoint = cs
	} else {
		s.latest.completed = cs
	}
	s.DurationMillis.Add(cs.AckDuration().Milliseconds())
	s.StateBytes.Add(cs.StateBytes)
	s.NewBytes.Add(cs.NewBytes)
	s.ProcessedBytes.Add(cs.ProcessedBytes)
	s.PersistedBytes.Add(cs.PersistedBytes)
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
	if cs := s.find(id); cs != nil {
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
		out.History = append(out.History, cs.overview())
	}
	out.LatestCompleted, out.LatestSavepoint, out.LatestFailed = copyOf(s.latest.completed), copyOf(s.latest.savepoint), copyOf(s.latest.failed)
	if s.LatestRestore != nil {
		restore := *s.LatestRestore
		out.LatestRestore = &restore
	}
	for _, m := range []*Measure{&out.DurationMillis, &out.StateBytes, &out.NewBytes, &out.ProcessedBytes, &out.PersistedBytes} {
		*m = m.clone()
	}
	return out
}

func copyOf(cs *CheckpointStats) *CheckpointStats {
	if cs == nil {
		return nil
	}
	out := cs.overview()
	return &out
}

// overview returns a copy without the vertices.
func (cs *CheckpointStats) overview() CheckpointStats {
	out := *cs
	out.Vertices = nil
	return out
}

func (cs *CheckpointStats) clone() CheckpointStats {
	out := *cs
	out.Vertices = slices.Clone(cs.Vertices)
	for i := range out.Vertices {
		out.Vertices[i].Subtasks = slices.Clone(cs.Vertices[i].Subtasks)
	}
	return out
}
