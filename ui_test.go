package weir_test

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/weirstream/weir"
)

// asker asks a handler for JSON.
type asker struct {
	t *testing.T
	http.Handler
}

func (a asker) get(path string) string {
	a.t.Helper()
	w := httptest.NewRecorder()
	a.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
	if w.Code != http.StatusOK {
		a.t.Fatalf("GET %s: %d %s", path, w.Code, w.Body)
	}
	return w.Body.String()
}

// ask reads an answer into the fields of a struct.
func ask[T any](a asker, path string) (answer T) {
	a.t.Helper()
	if err := json.Unmarshal([]byte(a.get(path)), &answer); err != nil {
		a.t.Fatalf("GET %s: %v", path, err)
	}
	return answer
}

type jobAnswer struct {
	JID, State string
	Timestamps map[string]int64
	End        int64 `json:"end-time"`
	Vertices   []struct {
		ID, Name, Status string
		Parallelism      int
		Metrics          struct {
			Read    int64 `json:"read-records"`
			Written int64 `json:"write-records"`
		}
	}
	Plan struct {
		Nodes []struct {
			ID          string
			Parallelism int
			Inputs      []struct {
				ID       string
				Strategy string `json:"ship_strategy"`
			}
		}
	}
}

type jobsAnswer struct {
	Jobs []struct {
		JID, Name, State string
		Tasks            map[string]int
	}
}

type checkpointsAnswer struct {
	Counts map[string]int
	Latest struct {
		Completed, Restored *struct {
			ID           int64
			ExternalPath string `json:"external_path"`
		}
	}
	History []struct {
		ID              int64
		Status          string
		Subtasks, Acked int
	}
}

// TestHandler shows what the handler tells of a real job: while it runs, in a second run that goes on from the first one's checkpoint, and
// after its end.
func TestHandler(t *testing.T) {
	w := newWorld(t, 3, 60)
	w.set["web.checkpoints.history"] = "1000" // so that what the history tells of is there when it is asked for
	w.upTo(2, 40, func(e *weir.Execution, cancel func()) {
		a := asker{t, e.Handler()}
		jobs := ask[jobsAnswer](a, "/jobs/overview").Jobs
		if len(jobs) != 1 || jobs[0].State != "RUNNING" || jobs[0].Tasks["running"]+jobs[0].Tasks["finished"] != jobs[0].Tasks["total"] {
			t.Fatalf("jobs %+v", jobs)
		}
		checkJob(a, "/v1/jobs/"+jobs[0].JID)
		checkCheckpoints(a, "/jobs/"+jobs[0].JID+"/checkpoints")
		if page := a.get("/metrics"); !strings.Contains(page, `operator_name="sums"`) || !strings.Contains(page, "numberOfCompletedCheckpoints") {
			t.Errorf("metrics:\n%s", page)
		}
		cancel()
		e.Wait()
		if j := ask[jobAnswer](a, "/jobs/"+jobs[0].JID); j.State != "SUSPENDED" || j.End <= 0 || j.Vertices[0].Status != "CANCELED" {
			t.Errorf("after its end: %+v", j)
		}
	}, weir.Suspended)

	for i := range w.in.splits {
		w.in.release(i)
	}
	e := w.start(context.Background(), 2)
	w.end(e, weir.Finished)
	a := asker{t, e.Handler()}
	id := ask[jobsAnswer](a, "/jobs/overview").Jobs[0].JID
	c := ask[checkpointsAnswer](a, "/jobs/"+id+"/checkpoints")
	if c.Counts["restored"] != 1 || c.Latest.Restored == nil || c.Latest.Completed == nil || c.Latest.Completed.ID <= c.Latest.Restored.ID {
		t.Errorf("checkpoints of the second run: %+v", c)
	}
	if j := ask[jobAnswer](a, "/jobs/"+id); j.State != "FINISHED" || j.Timestamps["FINISHED"] != j.End || j.Vertices[0].Status != "FINISHED" {
		t.Errorf("the job has finished: %+v", j)
	}

	again := w.start(context.Background(), 2) // it has finished before: there is nothing to do, and that can be seen
	w.end(again, weir.AlreadyFinished)
	a = asker{t, again.Handler()}
	if jobs := ask[jobsAnswer](a, "/jobs/overview").Jobs; len(jobs) != 1 || jobs[0].State != "FINISHED" || jobs[0].JID != id || jobs[0].Tasks["finished"] == 0 {
		t.Errorf("a job that has finished before: %+v", jobs)
	}
	if c := ask[checkpointsAnswer](a, "/jobs/"+id+"/checkpoints"); len(c.History) != 0 {
		t.Errorf("it has taken checkpoints: %+v", c)
	}
}

func checkJob(a asker, path string) {
	a.t.Helper()
	j := ask[jobAnswer](a, path)
	in, sums := j.Vertices[0], -1
	for i, v := range j.Vertices {
		if strings.HasPrefix(v.Name, "sums") {
			sums = i
		}
	}
	if in.Name != "in -> filter -> event time" || in.Status != "RUNNING" || in.Parallelism != 2 || in.Metrics.Written == 0 || in.Metrics.Read != 0 {
		a.t.Errorf("the source: %+v", in)
	}
	if sums < 0 || j.Vertices[sums].Metrics.Read == 0 || j.Plan.Nodes[sums].Inputs[0].Strategy != "HASH" {
		a.t.Errorf("the sums: %+v", j)
	}
	if j.Timestamps["INITIALIZING"] == 0 || j.Timestamps["RUNNING"] < j.Timestamps["CREATED"] || j.End != -1 {
		a.t.Errorf("timestamps %v, end %d", j.Timestamps, j.End)
	}
}

func checkCheckpoints(a asker, path string) {
	a.t.Helper()
	c := ask[checkpointsAnswer](a, path)
	if c.Counts["completed"] < 2 || c.Latest.Completed == nil || !strings.HasPrefix(c.Latest.Completed.ExternalPath, "file:/") {
		a.t.Fatalf("checkpoints %+v", c)
	}
	first := c.History[len(c.History)-1]
	details := ask[struct {
		Subtasks int `json:"num_subtasks"`
		Acked    int `json:"num_acknowledged_subtasks"`
		Tasks    map[string]struct {
			StateSize int64 `json:"state_size"`
		}
	}](a, path+"/details/"+jsonText(first.ID))
	if details.Acked != details.Subtasks || details.Acked < len(details.Tasks) {
		a.t.Errorf("checkpoint %d: %+v", first.ID, details)
	}
	for _, v := range slices.Sorted(maps.Keys(details.Tasks)) {
		parts := ask[struct {
			Subtasks []struct {
				Class string `json:"className"`
			}
		}](a, path+"/details/"+jsonText(first.ID)+"/subtasks/"+v).Subtasks
		if len(parts) == 0 || parts[0].Class != "completed" {
			a.t.Errorf("checkpoint %d, vertex %s: %+v", first.ID, v, parts)
		}
	}
}

func jsonText(v any) string {
	b, _ := json.Marshal(v)
	return string(b)
}

// TestHandlerTellsFailures shows a failure of a task, and the restart that follows it, of a job that keeps its checkpoints in memory: where they
// lie is nobody's business.
func TestHandlerTellsFailures(t *testing.T) {
	w := newWorld(t, 1, 30)
	w.dir = ""
	w.set["restart-strategy.type"], w.set["restart-strategy.fixed-delay.delay"] = "fixed-delay", "0"
	var failed atomic.Bool
	w.in.poll = func(_, at int) error {
		if at >= 20 && !failed.Swap(true) {
			return errTest
		}
		return nil
	}
	e := w.start(context.Background(), 1)
	w.end(e, weir.Finished)
	a := asker{t, e.Handler()}
	id := ask[jobsAnswer](a, "/jobs/overview").Jobs[0].JID
	x := ask[struct {
		History struct {
			Entries []struct {
				Name  string `json:"exceptionName"`
				Text  string `json:"stacktrace"`
				Task  string `json:"taskName"`
				Stamp int64  `json:"timestamp"`
			}
		} `json:"exceptionHistory"`
	}](a, "/jobs/"+id+"/exceptions").History.Entries
	if len(x) != 1 || !strings.Contains(x[0].Text, errTest.Error()) || x[0].Task != "in -> filter -> event time (1/1)" || x[0].Stamp == 0 {
		t.Errorf("exceptions %+v", x)
	}
	if j := ask[jobAnswer](a, "/jobs/"+id); j.Timestamps["RESTARTING"] == 0 || j.Timestamps["RUNNING"] < j.Timestamps["RESTARTING"] {
		t.Errorf("timestamps %v", j.Timestamps)
	}
	if c := ask[checkpointsAnswer](a, "/jobs/"+id+"/checkpoints"); c.Latest.Completed.ExternalPath != "<checkpoint-not-externally-addressable>" {
		t.Errorf("a checkpoint in memory is at %s", c.Latest.Completed.ExternalPath)
	}
	if !strings.Contains(a.get("/metrics"), `numRestarts{job_id="`+id+`",job_name="test",host="localhost"} 1`) {
		t.Error("metrics tell of no restart")
	}
}
