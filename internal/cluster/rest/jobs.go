package rest

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/weirstream/weir/internal/cluster/view"
	"github.com/weirstream/weir/internal/job"
)

// millis returns a time as the interface writes it: in milliseconds since 1970 UTC, or none for the zero time.
func millis(t time.Time, none int64) int64 {
	if t.IsZero() {
		return none
	}
	return t.UnixMilli()
}

// lasted returns the milliseconds between two times; until now if it has not ended, -1 if it has not begun.
func lasted(began, ended, now time.Time) int64 {
	if began.IsZero() {
		return -1
	}
	if ended.IsZero() {
		ended = now
	}
	return max(0, ended.Sub(began).Milliseconds())
}

type jobStateJSON struct {
	ID     job.ID `json:"id"`
	Status string `json:"status"`
}

func jobs(q *query) (any, error) {
	all := []jobStateJSON{}
	for _, s := range q.jobs {
		all = append(all, jobStateJSON{s.ID(), s.Job().State.String()})
	}
	return map[string]any{"jobs": all}, nil
}

type jobOverviewJSON struct {
	ID               job.ID         `json:"jid"`
	Name             string         `json:"name"`
	State            string         `json:"state"`
	Start            int64          `json:"start-time"`
	End              int64          `json:"end-time"`
	Duration         int64          `json:"duration"`
	LastModification int64          `json:"last-modification"`
	Tasks            map[string]int `json:"tasks"`
	PendingOperators int            `json:"pending-operators"`
}

func jobsOverview(q *query) (any, error) {
	all := []jobOverviewJSON{}
	for _, s := range q.jobs {
		j := s.Job()
		all = append(all, jobOverviewJSON{
			ID: j.ID, Name: j.Name, State: j.State.String(), Start: millis(j.Started(), -1), End: millis(j.Ended(), -1),
			Duration: lasted(j.Started(), j.Ended(), j.Now), LastModification: millis(j.Changed, -1), Tasks: taskTotals(&j),
		})
	}
	return map[string]any{"jobs": all}, nil
}

// taskTotals counts the subtasks of a job by their states.
func taskTotals(j *view.Job) map[string]int {
	totals := map[string]int{"total": 0}
	for s := range view.TaskStates {
		totals[strings.ToLower(s.String())] = 0
	}
	for _, v := range j.Vertices {
		for s, n := range v.Count() {
			totals[strings.ToLower(view.TaskState(s).String())] += n
			totals["total"] += n
		}
	}
	return totals
}

func jobStatus(_ *query, s view.Shown) (any, error) {
	return map[string]string{"status": s.Job().State.String()}, nil
}

func jobConfig(_ *query, s view.Shown) (any, error) {
	j := s.Job()
	return map[string]any{"jid": j.ID, "name": j.Name, "execution-config": map[string]any{
		"restart-strategy": j.Settings.RestartStrategy, "job-parallelism": j.Settings.Parallelism,
		"object-reuse-mode": true, // records are never copied between the steps of a task
		"user-config":       map[string]string{},
	}}, nil
}

type jobJSON struct {
	ID               job.ID           `json:"jid"`
	Name             string           `json:"name"`
	IsStoppable      bool             `json:"isStoppable"`
	State            string           `json:"state"`
	Type             string           `json:"job-type"`
	Start            int64            `json:"start-time"`
	End              int64            `json:"end-time"`
	Duration         int64            `json:"duration"`
	MaxParallelism   int              `json:"maxParallelism"`
	Now              int64            `json:"now"`
	Timestamps       map[string]int64 `json:"timestamps"`
	Vertices         []vertexJSON     `json:"vertices"`
	StatusCounts     map[string]int   `json:"status-counts"`
	Plan             planJSON         `json:"plan"`
	PendingOperators int              `json:"pending-operators"`
}

type vertexJSON struct {
	ID               string         `json:"id"`
	SlotSharingGroup string         `json:"slotSharingGroupId"`
	Name             string         `json:"name"`
	MaxParallelism   int            `json:"maxParallelism"`
	Parallelism      int            `json:"parallelism"`
	Status           string         `json:"status"`
	Start            int64          `json:"start-time"`
	End              int64          `json:"end-time"`
	Duration         int64          `json:"duration"`
	Tasks            map[string]int `json:"tasks"`
	Metrics          ioJSON         `json:"metrics"`
}

// ioJSON is what crossed the borders of a vertex. "Complete" says that the number is known for all subtasks.
type ioJSON struct {
	ReadBytes            int64       `json:"read-bytes"`
	ReadBytesComplete    bool        `json:"read-bytes-complete"`
	WriteBytes           int64       `json:"write-bytes"`
	WriteBytesComplete   bool        `json:"write-bytes-complete"`
	ReadRecords          int64       `json:"read-records"`
	ReadRecordsComplete  bool        `json:"read-records-complete"`
	WriteRecords         int64       `json:"write-records"`
	WriteRecordsComplete bool        `json:"write-records-complete"`
	Backpressured        int64       `json:"accumulated-backpressured-time"`
	Idle                 int64       `json:"accumulated-idle-time"`
	Busy                 json.Number `json:"accumulated-busy-time"`
}

// slotSharingGroup is that of all vertices: every job runs in one process.
var slotSharingGroup = job.OperatorIDOf("default").String()

func jobDetails(_ *query, s view.Shown) (any, error) {
	j := s.Job()
	out := jobJSON{
		ID: j.ID, Name: j.Name, State: j.State.String(), Type: "STREAMING", Start: millis(j.Started(), -1), End: millis(j.Ended(), -1),
		Duration: lasted(j.Started(), j.Ended(), j.Now), MaxParallelism: -1, Now: j.Now.UnixMilli(), Timestamps: map[string]int64{},
		Vertices: []vertexJSON{}, StatusCounts: counts([view.TaskStates]int{}), Plan: plan(&j),
	}
	for state, at := range j.Since {
		out.Timestamps[view.JobState(state).String()] = millis(at, 0)
	}
	for _, v := range j.Vertices {
		out.Vertices = append(out.Vertices, vertex(&v, j.Now))
		out.StatusCounts[v.State().String()]++
	}
	return out, nil
}

func vertex(v *view.Vertex, now time.Time) vertexJSON {
	began, ended := v.Times()
	deployed := !began.IsZero()
	return vertexJSON{
		ID: v.ID.String(), SlotSharingGroup: slotSharingGroup, Name: v.Name, MaxParallelism: v.MaxParallelism, Parallelism: v.Parallelism,
		Status: v.State().String(), Start: millis(began, -1), End: millis(ended, -1), Duration: lasted(began, ended, now), Tasks: counts(v.Count()),
		Metrics: inOut(v.ReadRecords(), v.WriteRecords(), deployed),
	}
}

// inOut says what is known of what came in and went out. Records have no size in bytes before they are written for another process, and nobody
// watches how busy a task is.
func inOut(read, written int64, complete bool) ioJSON {
	return ioJSON{ReadRecords: read, ReadRecordsComplete: complete, WriteRecords: written, WriteRecordsComplete: complete, Busy: "0.0"}
}

func counts(n [view.TaskStates]int) map[string]int {
	out := map[string]int{}
	for s, count := range n {
		out[view.TaskState(s).String()] = count
	}
	return out
}

type planJSON struct {
	ID    job.ID         `json:"jid"`
	Name  string         `json:"name"`
	Type  string         `json:"type"`
	Nodes []planNodeJSON `json:"nodes"`
}

type planNodeJSON struct {
	ID          string          `json:"id"`
	Parallelism int             `json:"parallelism"`
	Operator    string          `json:"operator"`
	Strategy    string          `json:"operator_strategy"`
	Description string          `json:"description"`
	Inputs      []planInputJSON `json:"inputs,omitempty"`
	Properties  struct{}        `json:"optimizer_properties"`
}

type planInputJSON struct {
	Num          int    `json:"num"`
	ID           string `json:"id"`
	ShipStrategy string `json:"ship_strategy"`
	Exchange     string `json:"exchange"`
}

func jobPlan(_ *query, s view.Shown) (any, error) {
	j := s.Job()
	return map[string]any{"plan": plan(&j)}, nil
}

func plan(j *view.Job) planJSON {
	p := planJSON{ID: j.ID, Name: j.Name, Type: "STREAMING", Nodes: []planNodeJSON{}}
	for _, v := range j.Vertices {
		n := planNodeJSON{ID: v.ID.String(), Parallelism: v.Parallelism, Description: describe(&v)}
		for i, in := range v.Inputs {
			n.Inputs = append(n.Inputs, planInputJSON{Num: i, ID: in.From.String(), ShipStrategy: in.Partitioning, Exchange: "pipelined_bounded"})
		}
		p.Nodes = append(p.Nodes, n)
	}
	return p
}

// describe lists the steps of a chain, one on a line of HTML.
func describe(v *view.Vertex) string {
	var b strings.Builder
	for i, s := range v.Steps {
		if i > 0 {
			b.WriteString("+- ")
		}
		b.WriteString(escape(s.Name) + "<br/>")
	}
	return b.String()
}

func escape(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(s)
}
