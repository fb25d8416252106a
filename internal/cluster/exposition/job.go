package exposition

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/weirstream/weir/internal/cluster/view"
	"github.com/weirstream/weir/internal/element"
	"github.com/weirstream/weir/internal/protocol/coordinator"
)

// host is where everything runs, as long as that is one process.
const host = "localhost"

// scope is the beginning of metrics' names, and their labels.
type scope struct {
	page   *page
	prefix string
	labels labels
}

func (s scope) add(name, help string, value float64) {
	s.page.add(s.prefix+name, help, s.labels, value)
}

func (s scope) millis(name, help string, d time.Duration) {
	s.add(name, help, float64(d.Milliseconds()))
}

// within returns the scope with a longer prefix and more labels.
func (s scope) within(prefix string, more ...[2]string) scope {
	return scope{s.page, s.prefix + prefix, slices.Concat(s.labels, more)}
}

func addJob(ctx context.Context, p *page, shown view.Shown, j *view.Job) {
	of := labels{{"job_id", j.ID.String()}, {"job_name", j.Name}, {"host", host}}
	manager := scope{p, "flink_jobmanager_job_", of}
	addStates(manager, j)
	var parts []coordinator.VertexStats
	if stats, err := shown.Checkpoints(ctx); err == nil { // else the job cannot be asked now, and the rest is still worth telling
		addCheckpoints(manager, &stats)
		parts = newestParts(ctx, shown, &stats)
	}
	tasks := scope{p, "flink_taskmanager_job_task_", slices.Concat(of, labels{{"tm_id", host}})}
	for i := range j.Vertices {
		addVertex(tasks, &j.Vertices[i])
	}
	for _, v := range parts {
		addParts(tasks, j, &v)
	}
}

// addStates tells for how long the job has been in the state that it is in; 0 for those that it is not in.
func addStates(s scope, j *view.Job) {
	s.add("numRestarts", "restarts since the process began", float64(j.Restarts))
	since := func(state view.JobState) time.Duration {
		if j.State != state {
			return 0
		}
		return j.Now.Sub(j.Since[state])
	}
	up := since(view.JobRunning)
	s.millis("uptime", "ms for which the job has been running without interruption", up)
	s.millis("downtime", "ms for which a failed job has not been running", since(view.JobRestarting)+since(view.JobFailing))
	s.millis("initializingTime", "ms in this state", since(view.JobInitializing))
	s.millis("createdTime", "ms in this state", since(view.JobCreated))
	s.millis("runningTime", "ms in this state", up)
	s.millis("restartingTime", "ms in this state", since(view.JobRestarting))
	s.millis("failingTime", "ms in this state", since(view.JobFailing))
	s.millis("cancellingTime", "ms in this state", since(view.JobCancelling))
}

// addCheckpoints tells the counts, and of the newest complete checkpoint or savepoint what it was like; -1 while there is none.
func addCheckpoints(s scope, stats *coordinator.Stats) {
	c := stats.Counts
	s.add("totalNumberOfCheckpoints", "in progress, complete and failed, triggers that failed included", float64(c.Total))
	s.add("numberOfInProgressCheckpoints", "", float64(c.InProgress))
	s.add("numberOfCompletedCheckpoints", "", float64(c.Completed))
	s.add("numberOfFailedCheckpoints", "triggers that failed included", float64(c.Failed))
	last := &coordinator.CheckpointStats{ID: -1, StateBytes: -1, NewBytes: -1, MetadataBytes: -1, ProcessedBytes: -1, PersistedBytes: -1}
	duration, completed := -1.0, -1.0
	if newest := newestComplete(stats); newest != nil {
		last = newest
		duration, completed = float64(last.AckDuration().Milliseconds()), float64(last.Ended.UnixMilli())
	}
	s.add("lastCompletedCheckpointId", "", float64(last.ID))
	s.add("lastCheckpointDuration", "ms from the trigger to the last acknowledgement", duration)
	s.add("lastCheckpointSize", "bytes written for it", float64(last.NewBytes))
	s.add("lastCheckpointFullSize", "bytes that it refers to", float64(last.StateBytes))
	s.add("lastCheckpointMetadataSize", "bytes", float64(last.MetadataBytes))
	s.add("lastCheckpointProcessedData", "bytes of data in flight that went through during alignment", float64(last.ProcessedBytes))
	s.add("lastCheckpointPersistedData", "bytes of data in flight in it", float64(last.PersistedBytes))
	s.add("lastCheckpointCompletedTimestamp", "ms since 1970 UTC", completed)
	restored := -1.0
	if r := stats.LatestRestore; r != nil {
		restored = float64(r.At.UnixMilli())
	}
	s.add("lastCheckpointRestoreTimestamp", "ms since 1970 UTC", restored)
}

func newestComplete(stats *coordinator.Stats) *coordinator.CheckpointStats {
	c, s := stats.LatestCompleted, stats.LatestSavepoint
	if c == nil || s != nil && s.Ended.After(c.Ended) {
		return s
	}
	return c
}

// newestParts returns what the subtasks did for the newest complete checkpoint.
func newestParts(ctx context.Context, shown view.Shown, stats *coordinator.Stats) []coordinator.VertexStats {
	newest := newestComplete(stats)
	if newest == nil {
		return nil
	}
	cs, err := shown.Checkpoint(ctx, newest.ID)
	if err != nil || cs == nil {
		return nil
	}
	return cs.Vertices
}

// addVertex tells what went in and out of the subtasks of a vertex, and of each of its steps.
func addVertex(s scope, v *view.Vertex) {
	for i := range v.Subtasks {
		task := s.within("", taskLabels(v, i)...)
		head, tail := v.Steps[0].Subtasks[i], v.Written[i]
		task.add("numRecordsIn", "records that came in, since the process began", float64(head.In))
		task.add("numRecordsOut", "records that went out, since the process began", float64(tail))
		addWatermark(task, head)
		for _, step := range v.Steps {
			addStep(task.within("operator_", [2]string{"operator_id", step.ID.String()}, [2]string{"operator_name", step.Name}), step.Subtasks[i])
		}
	}
}

func addStep(s scope, m view.Metrics) {
	s.add("numRecordsIn", "records that came in, since the process began", float64(m.In))
	s.add("numRecordsOut", "records that went out, since the process began", float64(m.Out))
	addWatermark(s, m)
	for _, own := range []map[string]int64{m.Counters, m.Gauges} {
		for _, name := range slices.Sorted(maps.Keys(own)) {
			s.add(nameOf(name), "", float64(own[name]))
		}
	}
}

func addWatermark(s scope, m view.Metrics) {
	if m.Watermark != element.NoTime {
		s.add("currentInputWatermark", "ms since 1970 UTC", float64(m.Watermark))
	}
}

// addParts tells of each subtask how it took part in the newest complete checkpoint.
func addParts(s scope, j *view.Job, part *coordinator.VertexStats) {
	i := slices.IndexFunc(j.Vertices, func(v view.Vertex) bool { return v.ID == part.ID })
	if i < 0 || len(j.Vertices[i].Subtasks) != len(part.Subtasks) { // taken before the job had its present shape
		return
	}
	for n, sub := range part.Subtasks {
		if sub.Acked {
			task := s.within("", taskLabels(&j.Vertices[i], n)...)
			task.add("checkpointStartDelayNanos", "from the trigger to the first barrier, in the newest complete checkpoint", float64(sub.Metrics.StartDelay))
			task.add("checkpointAlignmentTime", "ns from the first barrier to the last, in the newest complete checkpoint", float64(sub.Metrics.Alignment))
		}
	}
}

func taskLabels(v *view.Vertex, subtask int) labels {
	attempt, index := strconv.Itoa(v.Subtasks[subtask].Attempt), strconv.Itoa(subtask)
	return labels{
		{"task_id", v.ID.String()}, {"task_name", v.Name}, {"subtask_index", index}, {"task_attempt_num", attempt},
		{"task_attempt_id", v.ID.String() + "_" + index + "_" + attempt},
	}
}
