package rest

import (
	"math"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/weirstream/weir/internal/cluster/view"
	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/protocol/coordinator"
)

// spreadJSON is how a quantity is spread. Percentiles of nothing are "NaN".
type spreadJSON struct {
	Min  int64    `json:"min"`
	Max  int64    `json:"max"`
	Avg  int64    `json:"avg"`
	P50  quantile `json:"p50"`
	P90  quantile `json:"p90"`
	P95  quantile `json:"p95"`
	P99  quantile `json:"p99"`
	P999 quantile `json:"p999"`
}

// quantile is a number that always has a decimal point, or the text "NaN".
type quantile float64

// MarshalJSON writes it.
func (q quantile) MarshalJSON() ([]byte, error) {
	if math.IsNaN(float64(q)) {
		return []byte(`"NaN"`), nil
	}
	text := strconv.FormatFloat(float64(q), 'f', -1, 64)
	if !strings.Contains(text, ".") {
		text += ".0"
	}
	return []byte(text), nil
}

func spread(m coordinator.Measure) spreadJSON {
	p := m.Percentiles(50, 90, 95, 99, 99.9)
	return spreadJSON{m.Min, m.Max, m.Average(), quantile(p[0]), quantile(p[1]), quantile(p[2]), quantile(p[3]), quantile(p[4])}
}

// withoutPercentiles is the spread over subtasks, of which the interface knows no percentiles.
func withoutPercentiles(m coordinator.Measure) spreadJSON {
	none := quantile(math.NaN())
	return spreadJSON{m.Min, m.Max, m.Average(), none, none, none, none, none}
}

// checkpointJSON is what all checkpoints have.
type checkpointJSON struct {
	Class             string              `json:"className"`
	ID                job.CheckpointID    `json:"id"`
	Status            string              `json:"status"`
	IsSavepoint       bool                `json:"is_savepoint"`
	SavepointFormat   *string             `json:"savepointFormat"`
	Triggered         int64               `json:"trigger_timestamp"`
	LatestAck         int64               `json:"latest_ack_timestamp"`
	CheckpointedSize  int64               `json:"checkpointed_size"`
	StateSize         int64               `json:"state_size"`
	Duration          int64               `json:"end_to_end_duration"`
	AlignmentBuffered int64               `json:"alignment_buffered"` // not measured by anybody any more
	ProcessedData     int64               `json:"processed_data"`
	PersistedData     int64               `json:"persisted_data"`
	Subtasks          int                 `json:"num_subtasks"`
	Acked             int                 `json:"num_acknowledged_subtasks"`
	Type              string              `json:"checkpoint_type"`
	Tasks             map[string]taskJSON `json:"tasks"`
}

type completedJSON struct {
	checkpointJSON
	ExternalPath string `json:"external_path"`
	Discarded    bool   `json:"discarded"`
}

type failedJSON struct {
	checkpointJSON
	At      int64  `json:"failure_timestamp"`
	Message string `json:"failure_message"`
}

type restoredJSON struct {
	ID           job.CheckpointID `json:"id"`
	At           int64            `json:"restore_timestamp"`
	IsSavepoint  bool             `json:"is_savepoint"`
	ExternalPath string           `json:"external_path"`
}

func checkpoints(q *query, s view.Shown) (any, error) {
	stats, err := s.Checkpoints(q.Context())
	if err != nil {
		return nil, err
	}
	history := []any{}
	for i := range stats.History {
		history = append(history, checkpoint(&stats.History[i]))
	}
	latest := map[string]any{
		"completed": orNull(stats.LatestCompleted), "savepoint": orNull(stats.LatestSavepoint), "failed": orNull(stats.LatestFailed), "restored": nil,
	}
	if r := stats.LatestRestore; r != nil {
		latest["restored"] = restoredJSON{r.From.ID, r.At.UnixMilli(), r.From.Savepoint, fileURL(r.From.Pointer)}
	}
	c := stats.Counts
	return map[string]any{
		"counts":  map[string]int{"restored": c.Restored, "total": c.Total, "in_progress": c.InProgress, "completed": c.Completed, "failed": c.Failed},
		"summary": summary(&stats), "latest": latest, "history": history,
	}, nil
}

func summary(s *coordinator.Stats) map[string]spreadJSON {
	return map[string]spreadJSON{
		"checkpointed_size": spread(s.NewBytes), "state_size": spread(s.StateBytes), "end_to_end_duration": spread(s.DurationMillis),
		"alignment_buffered": {}, "processed_data": spread(s.ProcessedBytes), "persisted_data": spread(s.PersistedBytes),
	}
}

func orNull(cs *coordinator.CheckpointStats) any {
	if cs == nil {
		return nil
	}
	return checkpoint(cs)
}

var statusNames = map[coordinator.Status]string{coordinator.InProgress: "IN_PROGRESS", coordinator.Complete: "COMPLETED", coordinator.GivenUp: "FAILED"}

// checkpoint returns a checkpoint with the fields of what became of it.
func checkpoint(cs *coordinator.CheckpointStats) any {
	out := checkpointJSON{
		ID: cs.ID, Status: statusNames[cs.Status], IsSavepoint: cs.IsSavepoint(), SavepointFormat: formatOf(cs), Triggered: cs.Triggered.UnixMilli(),
		LatestAck: millis(cs.LatestAck, -1), CheckpointedSize: cs.NewBytes, StateSize: cs.StateBytes, Duration: untilAck(cs.Triggered, cs.LatestAck),
		ProcessedData: cs.ProcessedBytes, PersistedData: cs.PersistedBytes, Subtasks: cs.Tasks + cs.Finished, Acked: cs.Acked + cs.Finished, Type: typeOf(cs),
		Tasks: map[string]taskJSON{},
	}
	for i := range cs.Vertices {
		out.Tasks[cs.Vertices[i].ID.String()] = task(cs, &cs.Vertices[i])
	}
	switch cs.Status {
	case coordinator.Complete:
		out.Class = "completed"
		return completedJSON{out, fileURL(cs.Pointer), cs.Discarded}
	case coordinator.GivenUp:
		out.Class, out.Duration = "failed", cs.Duration.Milliseconds()
		return failedJSON{out, cs.Ended.UnixMilli(), cs.Reason.With(cs.Cause)}
	}
	out.Class = "in_progress"
	return out
}

// untilAck returns the milliseconds until the latest acknowledgement, -1 before the first.
func untilAck(triggered, ack time.Time) int64 {
	if ack.IsZero() {
		return -1
	}
	return max(0, ack.Sub(triggered).Milliseconds())
}

func formatOf(cs *coordinator.CheckpointStats) *string {
	switch {
	case !cs.IsSavepoint():
		return nil
	case cs.Native:
		return new("NATIVE")
	}
	return new("CANONICAL")
}

func typeOf(cs *coordinator.CheckpointStats) string {
	switch {
	case cs.Kind == coordinator.StopWithSavepoint:
		return "SYNC_SAVEPOINT"
	case cs.IsSavepoint():
		return "SAVEPOINT"
	case cs.Unaligned:
		return "UNALIGNED_CHECKPOINT"
	}
	return "CHECKPOINT"
}

// fileURL returns where a checkpoint lies as the interface says it: a path as a URL with one slash, and complete, since who reads it is
// somewhere else.
func fileURL(path string) string {
	if path == "" {
		return "<checkpoint-not-externally-addressable>"
	}
	if strings.Contains(path, ":/") {
		return path
	}
	if abs, err := filepath.Abs(path); err == nil {
		path = filepath.ToSlash(abs)
	}
	return "file:" + path
}

func checkpointDetails(_ *query, cs *coordinator.CheckpointStats) (any, error) {
	return checkpoint(cs), nil
}

// part returns a subtask's part. One that had ended before counts as if it had acknowledged at once, with nothing.
func part(cs *coordinator.CheckpointStats, v *coordinator.VertexStats, subtask int) coordinator.SubtaskStats {
	if v.Finished[subtask] {
		return coordinator.SubtaskStats{Acked: true, AckedAt: cs.Triggered}
	}
	return v.Subtasks[subtask]
}

// taskJSON is the part of one vertex.
type taskJSON struct {
	ID                job.CheckpointID `json:"id"`
	Status            string           `json:"status"`
	LatestAck         int64            `json:"latest_ack_timestamp"`
	CheckpointedSize  int64            `json:"checkpointed_size"`
	StateSize         int64            `json:"state_size"`
	Duration          int64            `json:"end_to_end_duration"`
	AlignmentBuffered int64            `json:"alignment_buffered"`
	ProcessedData     int64            `json:"processed_data"`
	PersistedData     int64            `json:"persisted_data"`
	Subtasks          int              `json:"num_subtasks"`
	Acked             int              `json:"num_acknowledged_subtasks"`
}

func task(cs *coordinator.CheckpointStats, v *coordinator.VertexStats) taskJSON {
	out := taskJSON{ID: cs.ID, Status: statusNames[cs.Status], Subtasks: len(v.Subtasks)}
	var latest time.Time
	for i := range v.Subtasks {
		s := part(cs, v, i)
		if !s.Acked {
			continue
		}
		out.Acked++
		if s.AckedAt.After(latest) {
			latest = s.AckedAt
		}
		out.CheckpointedSize += s.Metrics.NewBytes
		out.StateSize += s.StateBytes
		out.ProcessedData += s.Metrics.ProcessedBytes
		out.PersistedData += s.Metrics.PersistedBytes
	}
	out.LatestAck, out.Duration = millis(latest, -1), untilAck(cs.Triggered, latest)
	return out
}

type taskDetailsJSON struct {
	taskJSON
	Summary  taskSummaryJSON `json:"summary"`
	Subtasks []any           `json:"subtasks"`
}

type taskSummaryJSON struct {
	CheckpointedSize spreadJSON `json:"checkpointed_size"`
	StateSize        spreadJSON `json:"state_size"`
	Duration         spreadJSON `json:"end_to_end_duration"`
	StartDelay       spreadJSON `json:"start_delay"`
	Checkpoint       struct {
		Sync  spreadJSON `json:"sync"`
		Async spreadJSON `json:"async"`
	} `json:"checkpoint_duration"`
	Alignment struct {
		Buffered  spreadJSON `json:"buffered"`
		Processed spreadJSON `json:"processed"`
		Persisted spreadJSON `json:"persisted"`
		Duration  spreadJSON `json:"duration"`
	} `json:"alignment"`
}

type pendingSubtaskJSON struct {
	Class  string `json:"className"`
	Index  int    `json:"index"`
	Status string `json:"status"`
}

type subtaskJSON struct {
	pendingSubtaskJSON
	AckedAt          int64 `json:"ack_timestamp"`
	Duration         int64 `json:"end_to_end_duration"`
	CheckpointedSize int64 `json:"checkpointed_size"`
	StateSize        int64 `json:"state_size"`
	Checkpoint       struct {
		Sync  int64 `json:"sync"`
		Async int64 `json:"async"`
	} `json:"checkpoint"`
	Alignment struct {
		Buffered  int64 `json:"buffered"`
		Processed int64 `json:"processed"`
		Persisted int64 `json:"persisted"`
		Duration  int64 `json:"duration"`
	} `json:"alignment"`
	StartDelay int64 `json:"start_delay"`
	Unaligned  bool  `json:"unaligned_checkpoint"`
	Aborted    bool  `json:"aborted"`
}

func subtaskDetails(q *query, cs *coordinator.CheckpointStats) (any, error) {
	id, err := job.ParseOperatorID(q.params["vertexid"])
	if err != nil {
		return nil, q.malformed("vertexid")
	}
	for i := range cs.Vertices {
		if v := &cs.Vertices[i]; v.ID == job.VertexID(id) {
			return partDetails(cs, v), nil
		}
	}
	return nil, notFound("There is no checkpoint statistics for task %s.", id)
}

func partDetails(cs *coordinator.CheckpointStats, v *coordinator.VertexStats) taskDetailsJSON {
	out := taskDetailsJSON{taskJSON: task(cs, v), Summary: taskSummary(cs, v), Subtasks: []any{}}
	for i := range v.Subtasks {
		out.Subtasks = append(out.Subtasks, subtask(i, part(cs, v, i)))
	}
	return out
}

func subtask(i int, s coordinator.SubtaskStats) any {
	if !s.Acked && !s.Reported {
		return pendingSubtaskJSON{"pending", i, "pending_or_failed"}
	}
	out := subtaskJSON{
		pendingSubtaskJSON: pendingSubtaskJSON{"completed", i, "completed"}, AckedAt: millis(s.AckedAt, -1), Duration: -1,
		CheckpointedSize: s.Metrics.NewBytes, StateSize: s.StateBytes, StartDelay: s.Metrics.StartDelay.Milliseconds(),
		Unaligned: s.Metrics.Unaligned, Aborted: !s.Acked,
	}
	if s.Acked {
		out.Duration = s.Duration.Milliseconds()
	}
	out.Checkpoint.Sync, out.Checkpoint.Async = s.Metrics.Sync.Milliseconds(), s.Metrics.Async.Milliseconds()
	out.Alignment.Processed, out.Alignment.Persisted = s.Metrics.ProcessedBytes, s.Metrics.PersistedBytes
	out.Alignment.Duration = s.Metrics.Alignment.Milliseconds()
	return out
}

func taskSummary(cs *coordinator.CheckpointStats, v *coordinator.VertexStats) (out taskSummaryJSON) {
	over := func(value func(coordinator.SubtaskStats) int64) spreadJSON {
		var m coordinator.Measure
		for i := range v.Subtasks {
			if s := part(cs, v, i); s.Acked {
				m.Add(value(s))
			}
		}
		return withoutPercentiles(m)
	}
	type sub = coordinator.SubtaskStats
	out.CheckpointedSize = over(func(s sub) int64 { return s.Metrics.NewBytes })
	out.StateSize = over(func(s sub) int64 { return s.StateBytes })
	out.Duration = over(func(s sub) int64 { return s.Duration.Milliseconds() })
	out.StartDelay = over(func(s sub) int64 { return s.Metrics.StartDelay.Milliseconds() })
	out.Checkpoint.Sync = over(func(s sub) int64 { return s.Metrics.Sync.Milliseconds() })
	out.Checkpoint.Async = over(func(s sub) int64 { return s.Metrics.Async.Milliseconds() })
	out.Alignment.Processed = over(func(s sub) int64 { return s.Metrics.ProcessedBytes })
	out.Alignment.Persisted = over(func(s sub) int64 { return s.Metrics.PersistedBytes })
	out.Alignment.Duration = over(func(s sub) int64 { return s.Metrics.Alignment.Milliseconds() })
	return out
}

// millisOrNever returns an interval in milliseconds, and as the interface says it that there is none.
func millisOrNever(d time.Duration) int64 {
	if d == 0 {
		return math.MaxInt64
	}
	return d.Milliseconds()
}

func checkpointConfig(_ *query, s view.Shown) (any, error) {
	c := s.Checkpointing()
	mode := "exactly_once"
	if c.AtLeastOnce {
		mode = "at_least_once"
	}
	return map[string]any{
		"mode": mode, "interval": millisOrNever(c.Interval), "timeout": c.Timeout.Milliseconds(), "min_pause": c.MinPause.Milliseconds(),
		"max_concurrent": c.MaxConcurrent, "tolerable_failed_checkpoints": c.TolerableFailures,
		"externalization": map[string]bool{"enabled": c.KeepOnFailure, "delete_on_cancellation": !c.KeepOnCancel},
		"state_backend":   c.StateBackend, "checkpoint_storage": c.Storage, "checkpoints_after_tasks_finish": c.AfterTasksFinish,
		"unaligned_checkpoints": c.Unaligned, "aligned_checkpoint_timeout": c.AlignedTimeout.Milliseconds(),
		"state_changelog_enabled": c.Changelog, "changelog_storage": c.ChangelogStorage, "changelog_periodic_materialization_interval": millisOrNever(c.MaterializationInterval),
	}, nil
}
