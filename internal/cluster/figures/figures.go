// Package figures is what a job counts, under the names that Flink's metrics have, for whoever writes it down in some form.
//
//   - What is not measured is not there. -1 says that there has been no checkpoint yet, as in Flink.
//   - All are whole numbers, but for those of a distribution. Those of a step, and what a user's step counts by itself, go on over restarts.
//   - Names of users are as they are; a form that cannot hold them changes them.
package figures

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/weirstream/weir/internal/cluster/view"
	"github.com/weirstream/weir/internal/element"
	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/metrics"
	"github.com/weirstream/weir/internal/protocol/coordinator"
)

// Figure is a number and what it is.
type Figure struct {
	Name  string
	Help  string // meaning and unit; empty if the name says both, and for those of users
	Value int64
}

// Job is a job at one moment, with what is known of its newest complete checkpoint.
type Job struct {
	view.Job
	stats *coordinator.Stats // nil: it cannot be asked now
	parts map[job.VertexID]coordinator.VertexStats
}

// Of asks a job. One that cannot be asked for its checkpoints tells the rest all the same.
func Of(ctx context.Context, shown view.Shown) *Job {
	j := &Job{Job: shown.Job(), parts: map[job.VertexID]coordinator.VertexStats{}}
	stats, err := shown.Checkpoints(ctx)
	if err != nil {
		return j
	}
	j.stats = &stats
	newest := j.Newest()
	if newest == nil {
		return j
	}
	if cs, err := shown.Checkpoint(ctx, newest.ID); err == nil && cs != nil {
		for _, v := range cs.Vertices {
			j.parts[v.ID] = v
		}
	}
	return j
}

// Newest returns the newest complete checkpoint or savepoint, nil if there is none or nobody knows.
func (j *Job) Newest() *coordinator.CheckpointStats {
	if j.stats == nil {
		return nil
	}
	c, s := j.stats.LatestCompleted, j.stats.LatestSavepoint
	if c == nil || s != nil && s.Ended.After(c.Ended) {
		return s
	}
	return c
}

// Whole returns the figures of the job as a whole.
func (j *Job) Whole() []Figure {
	all := j.states()
	if j.stats != nil {
		all = append(all, j.checkpoints()...)
	}
	if m := j.Merged; m != nil {
		all = append(all,
			Figure{"logicalFileCount", "streams of state in merged files", int64(m.LogicalFiles)},
			Figure{"logicalFileSize", "bytes of them", m.LogicalBytes},
			Figure{"physicalFileCount", "merged files", int64(m.PhysicalFiles)},
			Figure{"physicalFileSize", "bytes of them, with what nobody needs any more", m.PhysicalBytes})
	}
	return all
}

// states tells for how long the job has been in the state that it is in; 0 for those that it is not in.
func (j *Job) states() []Figure {
	since := func(state view.JobState) int64 {
		if j.State != state {
			return 0
		}
		return max(0, j.Now.Sub(j.Since[state]).Milliseconds())
	}
	up := since(view.JobRunning)
	return []Figure{
		{"numRestarts", "restarts since the process began", int64(j.Restarts)},
		{"numFutileRestarts", "restarts in a row from the same checkpoint, without one complete in between", int64(j.Futile)},
		{"uptime", "ms for which the job has been running without interruption", up},
		{"downtime", "ms for which a failed job has not been running", since(view.JobRestarting) + since(view.JobFailing)},
		{"initializingTime", "ms in this state", since(view.JobInitializing)},
		{"createdTime", "ms in this state", since(view.JobCreated)},
		{"runningTime", "ms in this state", up},
		{"restartingTime", "ms in this state", since(view.JobRestarting)},
		{"failingTime", "ms in this state", since(view.JobFailing)},
		{"cancellingTime", "ms in this state", since(view.JobCancelling)},
	}
}

// checkpoints tells the counts, and of the newest complete one what it was like.
func (j *Job) checkpoints() []Figure {
	c, last := j.stats.Counts, j.Newest()
	duration, completed, restored := int64(-1), int64(-1), int64(-1)
	if last == nil {
		last = &coordinator.CheckpointStats{ID: -1, StateBytes: -1, NewBytes: -1, MetadataBytes: -1, ProcessedBytes: -1, PersistedBytes: -1}
	} else {
		duration, completed = last.AckDuration().Milliseconds(), last.Ended.UnixMilli()
	}
	if r := j.stats.LatestRestore; r != nil {
		restored = r.At.UnixMilli()
	}
	return []Figure{
		{"totalNumberOfCheckpoints", "in progress, complete and failed, triggers that failed included", int64(c.Total)},
		{"numberOfInProgressCheckpoints", "", int64(c.InProgress)},
		{"numberOfCompletedCheckpoints", "", int64(c.Completed)},
		{"numberOfFailedCheckpoints", "triggers that failed included", int64(c.Failed)},
		{"lastCompletedCheckpointId", "", int64(last.ID)},
		{"lastCheckpointDuration", "ms from the trigger to the last acknowledgement", duration},
		{"lastCheckpointSize", "bytes written for it", last.NewBytes},
		{"lastCheckpointFullSize", "bytes that it refers to", last.StateBytes},
		{"lastCheckpointMetadataSize", "bytes", last.MetadataBytes},
		{"lastCheckpointProcessedData", "bytes of data in flight that went through during alignment", last.ProcessedBytes},
		{"lastCheckpointPersistedData", "bytes of data in flight in it", last.PersistedBytes},
		{"lastCheckpointCompletedTimestamp", "ms since 1970 UTC", completed},
		{"lastCheckpointRestoreTimestamp", "ms since 1970 UTC", restored},
	}
}

// Subtask returns the figures of one subtask of a vertex: what crossed its borders, and how it took part in the newest complete checkpoint.
func (j *Job) Subtask(v *view.Vertex, subtask int) []Figure {
	head := v.Steps[0].Subtasks[subtask]
	all := []Figure{
		{"numRecordsIn", "records that came in, since the process began", head.In},
		{"numRecordsOut", "records that went out, since the process began", v.Written[subtask]},
	}
	all = append(all, watermark(head)...)
	part := j.parts[v.ID]
	if len(part.Subtasks) != len(v.Subtasks) || !part.Subtasks[subtask].Acked { // taken before the job had its present shape, or not by it
		return all
	}
	m := part.Subtasks[subtask].Metrics
	return append(all,
		Figure{"checkpointStartDelayNanos", "from the trigger to the first barrier, in the newest complete checkpoint", int64(m.StartDelay / time.Nanosecond)},
		Figure{"checkpointAlignmentTime", "ns from the first barrier to the last, in the newest complete checkpoint", int64(m.Alignment / time.Nanosecond)})
}

// Step returns the figures of one subtask of a step, the engine's and then its own. Of a counter and a gauge with one name it has the counter.
func Step(m view.Metrics) []Figure {
	all := append([]Figure{
		{"numRecordsIn", "records that came in, since the process began", m.In},
		{"numRecordsOut", "records that went out, since the process began", m.Out},
	}, watermark(m)...)
	for _, name := range slices.Sorted(maps.Keys(m.Counters)) {
		all = append(all, Figure{Name: name, Value: m.Counters[name]})
	}
	for _, name := range slices.Sorted(maps.Keys(m.Gauges)) {
		if _, counted := m.Counters[name]; !counted {
			all = append(all, Figure{Name: name, Value: m.Gauges[name]})
		}
	}
	return all
}

// Distribution is what measurements are like, and of what.
type Distribution struct {
	metrics.HistogramName
	metrics.Distribution
}

// Distributions returns what the step measures in one subtask, in the order of their names.
func Distributions(m view.Metrics) (all []Distribution) {
	for name, d := range m.Histograms {
		all = append(all, Distribution{name, d})
	}
	slices.SortFunc(all, func(a, b Distribution) int { return cmp.Or(cmp.Compare(a.Group, b.Group), cmp.Compare(a.Name, b.Name)) })
	return all
}

// Measure is one number of a distribution.
type Measure struct {
	Name  string
	Value float64
	Whole bool
}

// Measures returns the numbers of a distribution, under the names that they have behind that of the metric.
func (d *Distribution) Measures() []Measure {
	all := []Measure{
		{"min", float64(d.Min()), true}, {"max", float64(d.Max()), true}, {"mean", d.Mean(), false}, {"median", d.Quantile(0.5), false},
		{"stddev", d.StdDev(), false},
	}
	for _, q := range []struct {
		name string
		q    float64
	}{{"p75", 0.75}, {"p90", 0.9}, {"p95", 0.95}, {"p98", 0.98}, {"p99", 0.99}, {"p999", 0.999}} {
		all = append(all, Measure{q.name, d.Quantile(q.q), false})
	}
	return all
}

// watermark tells of it once there is one.
func watermark(m view.Metrics) []Figure {
	if m.Watermark == element.NoTime {
		return nil
	}
	return []Figure{{"currentInputWatermark", "ms since 1970 UTC", m.Watermark}}
}
