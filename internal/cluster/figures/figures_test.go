package figures

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/weirstream/weir/internal/cluster/view"
	"github.com/weirstream/weir/internal/element"
	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/protocol/coordinator"
)

// told is a job that tells what a test has written down. It cannot be asked for its checkpoints if there are no statistics.
type told struct {
	view.Shown
	job   view.Job
	stats *coordinator.Stats
	whole map[job.CheckpointID]*coordinator.CheckpointStats
}

func (t told) Job() view.Job { return t.job }

func (t told) Checkpoints(context.Context) (coordinator.Stats, error) {
	if t.stats == nil {
		return coordinator.Stats{}, errors.New("no connection")
	}
	return *t.stats, nil
}

func (t told) Checkpoint(_ context.Context, id job.CheckpointID) (*coordinator.CheckpointStats, error) {
	return t.whole[id], nil
}

func valueOf(all []Figure, name string) (v int64, ok bool) {
	for _, f := range all {
		if f.Name == name {
			return f.Value, true
		}
	}
	return 0, false
}

// TestNewest: the newest of a checkpoint and a savepoint is told; -1 if there is none, nothing if nobody knows.
func TestNewest(t *testing.T) {
	at := func(ms int64) time.Time { return time.UnixMilli(ms) }
	checkpoint := &coordinator.CheckpointStats{ID: 3, Triggered: at(10), LatestAck: at(14), Ended: at(15), NewBytes: 7}
	savepoint := &coordinator.CheckpointStats{ID: 4, Kind: coordinator.Savepoint, Triggered: at(20), LatestAck: at(29), Ended: at(30), NewBytes: 70}
	for _, c := range []struct {
		name               string
		stats              *coordinator.Stats
		id, duration, size int64
		known              bool
	}{
		{"a checkpoint", &coordinator.Stats{LatestCompleted: checkpoint}, 3, 4, 7, true},
		{"a savepoint", &coordinator.Stats{LatestSavepoint: savepoint}, 4, 9, 70, true},
		{"both", &coordinator.Stats{LatestCompleted: checkpoint, LatestSavepoint: savepoint}, 4, 9, 70, true},
		{"none", &coordinator.Stats{}, -1, -1, -1, true},
		{"nobody knows", nil, 0, 0, 0, false},
	} {
		all := Of(t.Context(), told{stats: c.stats}).Whole()
		for name, want := range map[string]int64{"lastCompletedCheckpointId": c.id, "lastCheckpointDuration": c.duration, "lastCheckpointSize": c.size} {
			if got, ok := valueOf(all, name); got != want || ok != c.known {
				t.Errorf("%s: %s is %d, %v", c.name, name, got, ok)
			}
		}
		if _, ok := valueOf(all, "numRestarts"); !ok {
			t.Errorf("%s: the rest is not told", c.name)
		}
	}
}

// TestSubtask: a watermark is told once there is one, and the part in a checkpoint if the subtask had one, in the job's present shape.
func TestSubtask(t *testing.T) {
	vertex := func(parallelism int) view.Vertex {
		v := view.Vertex{ID: job.VertexID{1}, Subtasks: make([]view.Subtask, parallelism), Written: make([]int64, parallelism)}
		v.Steps = []view.Step{{Subtasks: make([]view.Metrics, parallelism)}}
		for i := range parallelism {
			v.Written[i], v.Steps[0].Subtasks[i] = 5, view.Metrics{In: 9, Watermark: element.NoTime}
		}
		return v
	}
	newest := &coordinator.CheckpointStats{ID: 3, Vertices: []coordinator.VertexStats{{ID: job.VertexID{1}, Subtasks: []coordinator.SubtaskStats{
		{Acked: true, Metrics: coordinator.TaskMetrics{StartDelay: 2 * time.Microsecond, Alignment: time.Microsecond}}, {}}}}}
	shown := told{stats: &coordinator.Stats{LatestCompleted: newest}, whole: map[job.CheckpointID]*coordinator.CheckpointStats{3: newest}}
	for _, c := range []struct {
		parallelism, subtask int
		took                 bool
	}{{2, 0, true}, {2, 1, false}, {1, 0, false}, {3, 0, false}} {
		v := vertex(c.parallelism)
		all := Of(t.Context(), shown).Subtask(&v, c.subtask)
		delay, took := valueOf(all, "checkpointStartDelayNanos")
		in, _ := valueOf(all, "numRecordsIn")
		out, _ := valueOf(all, "numRecordsOut")
		if _, ok := valueOf(all, "currentInputWatermark"); ok || took != c.took || took && delay != 2000 || in != 9 || out != 5 {
			t.Errorf("%+v: %+v", c, all)
		}
	}
	v := vertex(1)
	v.Steps[0].Subtasks[0].Watermark = 8
	if w, ok := valueOf(Of(t.Context(), shown).Subtask(&v, 0), "currentInputWatermark"); w != 8 || !ok {
		t.Errorf("watermark %d, %v", w, ok)
	}
}
