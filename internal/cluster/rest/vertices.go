package rest

import (
	"fmt"
	"time"

	"github.com/weirstream/weir/internal/cluster/view"
	"github.com/weirstream/weir/internal/protocol/coordinator"
)

// unassigned is the place of a subtask that was never deployed.
const unassigned = "(unassigned)"

// place returns where a subtask runs.
func place(s *view.Subtask) string {
	if s.Started().IsZero() {
		return unassigned
	}
	return thisProcess
}

type vertexDetailsJSON struct {
	ID             string         `json:"id"`
	Name           string         `json:"name"`
	Parallelism    int            `json:"parallelism"`
	MaxParallelism int            `json:"maxParallelism"`
	Now            int64          `json:"now"`
	Subtasks       []attemptJSON  `json:"subtasks"`
	Aggregated     aggregatedJSON `json:"aggregated"`
}

// attemptJSON is the present attempt of a subtask.
type attemptJSON struct {
	Subtask        int              `json:"subtask"`
	Status         string           `json:"status"`
	Attempt        int              `json:"attempt"`
	Endpoint       string           `json:"endpoint"`
	Start          int64            `json:"start-time"`
	StartAgain     int64            `json:"start_time"` // under its old name
	End            int64            `json:"end-time"`
	Duration       int64            `json:"duration"`
	Metrics        ioJSON           `json:"metrics"`
	TaskManager    string           `json:"taskmanager-id"`
	StatusDuration map[string]int64 `json:"status-duration"`
}

// aggregatedJSON is how quantities are spread over subtasks.
type aggregatedJSON struct {
	Metrics        map[string]overSubtasksJSON `json:"metrics"`
	StatusDuration map[string]overSubtasksJSON `json:"status-duration"`
}

type overSubtasksJSON struct {
	Min    int64 `json:"min"`
	Max    int64 `json:"max"`
	Avg    int64 `json:"avg"`
	Sum    int64 `json:"sum"`
	Median int64 `json:"median"`
	P25    int64 `json:"p25"`
	P75    int64 `json:"p75"`
	P95    int64 `json:"p95"`
}

func vertexDetails(_ *query, v vertexOf) (any, error) {
	out := vertexDetailsJSON{
		ID: v.Vertex.ID.String(), Name: v.Vertex.Name, Parallelism: v.Parallelism, MaxParallelism: v.MaxParallelism, Now: v.Now.UnixMilli(),
		Subtasks: attempts(v),
	}
	out.Aggregated = aggregate(out.Subtasks)
	return out, nil
}

func attempts(v vertexOf) []attemptJSON {
	all := []attemptJSON{}
	for i := range v.Subtasks {
		all = append(all, attempt(v, i))
	}
	return all
}

func attemptDetails(_ *query, v vertexOf, i int) (any, error) { return attempt(v, i), nil }

func attempt(v vertexOf, i int) attemptJSON {
	s := &v.Subtasks[i]
	began, ended := s.Started(), s.Ended()
	return attemptJSON{
		Subtask: i, Status: s.State.String(), Attempt: s.Attempt, Endpoint: place(s), TaskManager: place(s),
		Start: millis(began, -1), StartAgain: millis(began, -1), End: millis(ended, -1), Duration: lasted(began, ended, v.Now),
		Metrics:        inOut(v.Steps[0].Subtasks[i].In, v.Written[i], !began.IsZero()),
		StatusDuration: durations(s, v.Now),
	}
}

// lifeStates are those whose durations the interface tells.
var lifeStates = []view.TaskState{view.TaskCreated, view.TaskScheduled, view.TaskDeploying, view.TaskInitializing, view.TaskRunning}

// durations returns the milliseconds that an attempt was in each state; -1 for those that it was never in.
func durations(s *view.Subtask, now time.Time) map[string]int64 {
	out := map[string]int64{}
	for _, state := range lifeStates {
		out[state.String()] = -1
		if d, ever := s.Lasted(state, now); ever {
			out[state.String()] = d.Milliseconds()
		}
	}
	return out
}

// aggregate puts attempts together. What is not known of one does not count; what is known of none is -1.
func aggregate(subtasks []attemptJSON) aggregatedJSON {
	over := func(value func(*attemptJSON) int64) overSubtasksJSON {
		var m coordinator.Measure
		for i := range subtasks {
			if n := value(&subtasks[i]); n >= 0 {
				m.Add(n)
			}
		}
		if m.Count == 0 {
			return overSubtasksJSON{-1, -1, -1, -1, -1, -1, -1, -1}
		}
		p := m.Percentiles(50, 25, 75, 95)
		return overSubtasksJSON{m.Min, m.Max, m.Average(), m.Sum, int64(p[0]), int64(p[1]), int64(p[2]), int64(p[3])}
	}
	out := aggregatedJSON{map[string]overSubtasksJSON{
		"read-bytes":                     over(func(a *attemptJSON) int64 { return a.Metrics.ReadBytes }),
		"write-bytes":                    over(func(a *attemptJSON) int64 { return a.Metrics.WriteBytes }),
		"read-records":                   over(func(a *attemptJSON) int64 { return a.Metrics.ReadRecords }),
		"write-records":                  over(func(a *attemptJSON) int64 { return a.Metrics.WriteRecords }),
		"accumulated-backpressured-time": over(func(a *attemptJSON) int64 { return a.Metrics.Backpressured }),
		"accumulated-idle-time":          over(func(a *attemptJSON) int64 { return a.Metrics.Idle }),
		"accumulated-busy-time":          over(func(*attemptJSON) int64 { return 0 }),
	}, map[string]overSubtasksJSON{}}
	for _, state := range lifeStates {
		out.StatusDuration[state.String()] = over(func(a *attemptJSON) int64 { return a.StatusDuration[state.String()] })
	}
	return out
}

type subtaskTimesJSON struct {
	ID       string            `json:"id"`
	Name     string            `json:"name"`
	Now      int64             `json:"now"`
	Subtasks []subtaskTimeJSON `json:"subtasks"`
}

type subtaskTimeJSON struct {
	Subtask    int              `json:"subtask"`
	Endpoint   string           `json:"endpoint"`
	Duration   int64            `json:"duration"`
	Timestamps map[string]int64 `json:"timestamps"`
}

// subtaskTimes answers with when each subtask came into each state; 0 for those that it was never in.
func subtaskTimes(_ *query, v vertexOf) (any, error) {
	out := subtaskTimesJSON{ID: v.Vertex.ID.String(), Name: v.Vertex.Name, Now: v.Now.UnixMilli(), Subtasks: []subtaskTimeJSON{}}
	for i := range v.Subtasks {
		s := &v.Subtasks[i]
		times := subtaskTimeJSON{Subtask: i, Endpoint: place(s), Duration: lasted(s.Started(), s.Ended(), v.Now), Timestamps: map[string]int64{}}
		for state, at := range s.Since {
			times.Timestamps[view.TaskState(state).String()] = millis(at, 0)
		}
		out.Subtasks = append(out.Subtasks, times)
	}
	return out, nil
}

type managersJSON struct {
	ID       string        `json:"id"`
	Name     string        `json:"name"`
	Now      int64         `json:"now"`
	Managers []managerJSON `json:"taskmanagers"`
}

type managerJSON struct {
	Endpoint   string         `json:"endpoint"`
	ID         string         `json:"taskmanager-id"`
	Status     string         `json:"status"`
	Start      int64          `json:"start-time"`
	End        int64          `json:"end-time"`
	Duration   int64          `json:"duration"`
	Metrics    ioJSON         `json:"metrics"`
	Counts     map[string]int `json:"status-counts"`
	Aggregated aggregatedJSON `json:"aggregated"`
}

// vertexManagers answers with the vertex by places: there is one, which has all.
func vertexManagers(_ *query, v vertexOf) (any, error) {
	all := vertex(v.Vertex, v.Now)
	where := place(&v.Subtasks[0])
	return managersJSON{v.Vertex.ID.String(), v.Vertex.Name, v.Now.UnixMilli(), []managerJSON{{
		Endpoint: where, ID: where, Status: all.Status, Start: all.Start, End: all.End, Duration: all.Duration, Metrics: all.Metrics, Counts: all.Tasks,
		Aggregated: aggregate(attempts(v)),
	}}}, nil
}

// accumulatorsJSON is what programs have accumulated. There is no such thing here; what steps count is among the metrics.
type accumulatorsJSON []struct{}

func jobAccumulators(*query, view.Shown) (any, error) {
	return map[string]any{
		"job-accumulators": accumulatorsJSON{}, "user-task-accumulators": accumulatorsJSON{}, "serialized-user-task-accumulators": struct{}{},
	}, nil
}

func vertexAccumulators(_ *query, v vertexOf) (any, error) {
	return map[string]any{"id": v.Vertex.ID.String(), "user-accumulators": accumulatorsJSON{}}, nil
}

func subtasksAccumulators(_ *query, v vertexOf) (any, error) {
	all := []any{}
	for i := range v.Subtasks {
		s := &v.Subtasks[i]
		all = append(all, map[string]any{"subtask": i, "attempt": s.Attempt, "endpoint": place(s), "user-accumulators": accumulatorsJSON{}})
	}
	return map[string]any{"id": v.Vertex.ID.String(), "parallelism": v.Parallelism, "subtasks": all}, nil
}

func attemptAccumulators(_ *query, v vertexOf, i int) (any, error) {
	n := v.Subtasks[i].Attempt
	id := fmt.Sprintf("%s_%d_%d", v.Vertex.ID, i, n)
	return map[string]any{"subtask": i, "attempt": n, "id": id, "user-accumulators": accumulatorsJSON{}}, nil
}
