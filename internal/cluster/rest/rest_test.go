package rest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weirstream/weir/internal/cluster/view"
	"github.com/weirstream/weir/internal/element"
	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/metrics"
	"github.com/weirstream/weir/internal/protocol/coordinator"
	"github.com/weirstream/weir/internal/protocol/reason"
)

var update = flag.Bool("update", false, "rewrite the answers in testdata")

// still is a job that stands still: values, and nobody behind them.
type still struct {
	job         view.Job
	failures    []view.Failure
	settings    view.Checkpointing
	stats       coordinator.Stats
	checkpoints []coordinator.CheckpointStats
	silent      error
}

func (s *still) ID() job.ID                                             { return s.job.ID }
func (s *still) Job() view.Job                                          { return s.job }
func (s *still) Failures() ([]view.Failure, bool)                       { return s.failures, false }
func (s *still) Checkpointing() view.Checkpointing                      { return s.settings }
func (s *still) Checkpoints(context.Context) (coordinator.Stats, error) { return s.stats, s.silent }
func (s *still) Checkpoint(_ context.Context, id job.CheckpointID) (*coordinator.CheckpointStats, error) {
	for _, cs := range s.checkpoints {
		if cs.ID == id {
			return &cs, s.silent
		}
	}
	return nil, s.silent
}

var (
	began     = time.UnixMilli(1_700_000_000_000)
	jobID     = job.ID{0xab, 1}
	sourceID  = job.VertexID(job.OperatorIDOf("source"))
	countID   = job.VertexID(job.OperatorIDOf("count"))
	sourceHex = sourceID.String()
	countHex  = countID.String()
)

func after(ms int) time.Time { return began.Add(time.Duration(ms) * time.Millisecond) }

func vertices(state view.TaskState) []view.Vertex {
	sub := func(ms int) view.Subtask {
		s := view.Subtask{State: state, Attempt: 2}
		s.Since[view.TaskInitializing], s.Since[view.TaskRunning] = after(ms), after(ms+7)
		if state.Ended() {
			s.Since[state] = after(900 + ms)
		}
		return s
	}
	read := []view.Metrics{{Out: 30, Watermark: element.NoTime}, {Out: 40, Watermark: element.NoTime}}
	counted := []view.Metrics{{In: 33, Out: 33, Watermark: 7}, {In: 37, Out: 37, Watermark: 8}}
	own := slices.Clone(counted)
	for i := range own {
		own[i].Counters, own[i].Gauges = map[string]int64{"late ones": int64(4 + i)}, map[string]int64{"late ones": 9, "open": 5}
	}
	own[1].Histograms = map[metrics.HistogramName]metrics.Distribution{
		{Label: "state_name", Group: "my count", Name: "valueStateGetLatency"}: metrics.DistributionOf(100, 200, 400),
		{Group: "pages", Name: "mapStatePutKeySize"}:                           metrics.DistributionOf(16),
	}
	return []view.Vertex{
		{ID: sourceID, Name: "source", Parallelism: 2, MaxParallelism: 128, Subtasks: []view.Subtask{sub(20), sub(30)}, Written: []int64{30, 40},
			Steps: []view.Step{{ID: job.OperatorID(sourceID), Name: "source", Subtasks: read}}},
		{ID: countID, Name: "count -> out", Parallelism: 2, MaxParallelism: 128, Subtasks: []view.Subtask{sub(20), sub(35)}, Written: []int64{0, 0},
			Inputs: []view.Input{{From: sourceID, Partitioning: "HASH"}},
			Steps: []view.Step{
				{ID: job.OperatorID(countID), Name: "count: to ten", Subtasks: own},
				{ID: job.OperatorIDOf("out"), Name: "out", Subtasks: counted}}},
	}
}

// parts are what two vertices did for a checkpoint: the source all, the other with one subtask that has not come to it.
func parts(triggered int) []coordinator.VertexStats {
	acked := func(ms int, bytes int64) coordinator.SubtaskStats {
		return coordinator.SubtaskStats{Acked: true, AckedAt: after(triggered + ms), Duration: time.Duration(ms) * time.Millisecond, StateBytes: bytes,
			Metrics: coordinator.TaskMetrics{StartDelay: 2 * time.Millisecond, Alignment: time.Millisecond, Sync: time.Millisecond, Async: 4 * time.Millisecond, NewBytes: bytes}}
	}
	return []coordinator.VertexStats{
		{ID: sourceID, Name: "source", Subtasks: []coordinator.SubtaskStats{acked(5, 100), {}}, Finished: []bool{false, true}},
		{ID: countID, Name: "count -> out", Subtasks: []coordinator.SubtaskStats{acked(8, 1000), {}}, Finished: make([]bool, 2)},
	}
}

// running has checkpoints of every kind and fate; ended has none; fresh was begun a moment ago.
func running() *still {
	s := &still{
		job: view.Job{ID: jobID, Name: "flow", State: view.JobRunning, Changed: after(50), Now: after(2000), Restarts: 1, Futile: 1, Vertices: vertices(view.TaskRunning),
			Settings: view.Settings{Parallelism: 2, RestartStrategy: "exponential-delay"}},
		failures: []view.Failure{
			{At: after(1500), Name: "*errors.errorString", Text: "step \"count\", subtask 1: boom", Task: "count -> out (2/2)", Concurrent: []view.Failure{
				{At: after(1501), Name: "*errors.errorString", Text: "boom too", Task: "source (1/2)"}}},
			{At: after(500), Name: "*errors.errorString", Text: "Exceeded checkpoint tolerable failure threshold."},
		},
		settings: view.Checkpointing{Interval: time.Second, Timeout: 10 * time.Minute, MaxConcurrent: 1, KeepOnFailure: true, KeepOnCancel: true,
			Storage: "FileSystemCheckpointStorage", StateBackend: "HashMapStateBackend", Changelog: true, ChangelogStorage: "filesystem", MaterializationInterval: 3 * time.Minute, AfterTasksFinish: true},
	}
	s.job.Since[view.JobInitializing], s.job.Since[view.JobCreated], s.job.Since[view.JobRunning] = began, after(5), after(10)
	chk := func(id job.CheckpointID, kind coordinator.RequestKind, status coordinator.Status) coordinator.CheckpointStats {
		at := 100 * int(id)
		return coordinator.CheckpointStats{ID: id, Kind: kind, Status: status, Triggered: after(at), LatestAck: after(at + 8), Ended: after(at + 11),
			Duration: 11 * time.Millisecond, Tasks: 3, Acked: 2, Finished: 1, StateBytes: 1100, NewBytes: 1100, Vertices: parts(at)}
	}
	completed := chk(1, coordinator.Periodic, coordinator.Complete)
	completed.Pointer, completed.Discarded, completed.Vertices[1].Subtasks[1] = "/cp/chk-1", true, completed.Vertices[1].Subtasks[0]
	failed := chk(2, coordinator.Configured, coordinator.GivenUp)
	failed.Reason, failed.Cause = reason.CheckpointExpired, "not acknowledged by count -> out (2/2)"
	failed.Vertices[1].Subtasks[1] = coordinator.SubtaskStats{Reported: true, Metrics: coordinator.TaskMetrics{Sync: 3 * time.Millisecond}}
	savepoint := chk(3, coordinator.Savepoint, coordinator.Complete)
	savepoint.Pointer, savepoint.Native = "/sp/savepoint-ab0100-1", true
	stop := chk(4, coordinator.StopWithSavepoint, coordinator.InProgress)
	early := coordinator.CheckpointStats{ID: 5, Triggered: after(1900), Tasks: 3, Finished: 1, Vertices: []coordinator.VertexStats{
		{ID: sourceID, Subtasks: make([]coordinator.SubtaskStats, 2), Finished: make([]bool, 2)}}}
	s.checkpoints = []coordinator.CheckpointStats{completed, failed, savepoint, stop, early}
	completed.Vertices, failed.Vertices, savepoint.Vertices = nil, nil, nil
	s.stats = coordinator.Stats{Counts: coordinator.Counts{Restored: 1, Total: 6, InProgress: 2, Completed: 2, Failed: 2},
		LatestCompleted: &completed, LatestSavepoint: &savepoint, LatestFailed: &failed,
		LatestRestore: &coordinator.RestoreStats{From: coordinator.Retained{ID: 1, Pointer: "/cp/chk-1"}, At: after(1600)},
	}
	for _, cs := range []coordinator.CheckpointStats{early, stop, savepoint, failed, completed} {
		cs.Vertices = nil
		s.stats.History = append(s.stats.History, cs)
	}
	for _, m := range []*coordinator.Measure{&s.stats.DurationMillis, &s.stats.StateBytes, &s.stats.NewBytes, &s.stats.ProcessedBytes, &s.stats.PersistedBytes} {
		m.Add(8)
		m.Add(11)
	}
	return s
}

func ended() *still {
	s := &still{job: view.Job{ID: jobID, Name: "flow", State: view.JobFinished, Changed: after(950), Now: after(2000), Vertices: vertices(view.TaskFinished)}}
	s.job.Since[view.JobInitializing], s.job.Since[view.JobFinished] = began, after(950)
	return s
}

func fresh() *still {
	s := &still{job: view.Job{ID: jobID, Name: "flow", Changed: began, Now: after(1), Vertices: vertices(view.TaskCreated)}}
	for i := range s.job.Vertices {
		s.job.Vertices[i].Subtasks = make([]view.Subtask, 2)
	}
	s.job.Since[view.JobInitializing] = began
	return s
}

// examples are the questions that give an answer of each kind.
var examples = map[string][]string{
	"config":                {"/config"},
	"overview":              {"/overview"},
	"jobs":                  {"/jobs"},
	"jobs-overview":         {"/jobs/overview"},
	"job":                   {"/jobs/:job"},
	"status":                {"/jobs/:job/status"},
	"plan":                  {"/jobs/:job/plan"},
	"job-config":            {"/jobs/:job/config"},
	"exceptions":            {"/jobs/:job/exceptions", "/jobs/:job/exceptions?maxExceptions=1"},
	"checkpoints":           {"/jobs/:job/checkpoints"},
	"checkpoints-config":    {"/jobs/:job/checkpoints/config"},
	"checkpoint":            details(""),
	"subtasks":              append(details("/subtasks/" + countHex)[:4], details("/subtasks/"+sourceHex)...),
	"accumulators":          {"/jobs/:job/accumulators"},
	"metrics":               ofMetrics("/jobs/:job/metrics", "lastCheckpointFullSize,lastCheckpointExternalPath,uptime,no,uptime"),
	"metrics-of-jobs":       {"/jobs/metrics", "/jobs/metrics?get=numRestarts,lastCheckpointExternalPath", "/jobs/metrics?get=uptime&jobs=" + jobID.String(), "/jobs/metrics?get=uptime&jobs=x"},
	"vertex":                {vertexPath, "/jobs/:job/vertices/" + sourceHex},
	"vertex-accumulators":   {vertexPath + "/accumulators"},
	"vertex-metrics":        append(ofMetrics(vertexPath+"/metrics", "0.numRecordsIn,1.count__to_ten.late_ones,0.currentInputWatermark"), vertexPath+"/watermarks", "/jobs/:job/vertices/"+sourceHex+"/watermarks", vertexPath+"/jm-operator-metrics", vertexPath+"/subtasks/1/metrics", vertexPath+"/subtasks/1/metrics?get=count__to_ten.numRecordsIn"),
	"metrics-of-subtasks":   {vertexPath + "/subtasks/metrics", vertexPath + "/subtasks/metrics?get=numRecordsIn,checkpointAlignmentTime", vertexPath + "/subtasks/metrics?get=numRecordsIn&agg=min,MAX", vertexPath + "/subtasks/metrics?get=numRecordsIn&subtasks=1-7"},
	"attempt":               {vertexPath + "/subtasks/0", vertexPath + "/subtasks/1/attempts/2"},
	"attempt-accumulators":  {vertexPath + "/subtasks/0/attempts/2/accumulators"},
	"subtasks-accumulators": {vertexPath + "/subtasks/accumulators"},
	"subtasktimes":          {vertexPath + "/subtasktimes"},
	"taskmanagers":          {vertexPath + "/taskmanagers"},
	"errors":                {"/jobs/xyz", "/nothing", "/jobs/00000000000000000000000000000abc"},
}

var vertexPath = "/jobs/:job/vertices/" + countHex

// ofMetrics asks for the list and for some.
func ofMetrics(path, some string) []string { return []string{path, path + "?get=" + some} }

func details(more string) (paths []string) {
	for _, id := range []string{"1", "2", "3", "4", "5"} {
		paths = append(paths, "/jobs/:job/checkpoints/details/"+id+more)
	}
	return paths
}

type answer struct {
	jobs, path string
	body       []byte
}

// exampleAnswers asks the questions of a kind about each job that has an answer to them.
func exampleAnswers(t *testing.T, name string) (all []answer) {
	t.Helper()
	for jobs, s := range map[string]*still{"running": running(), "ended": ended(), "fresh": fresh()} {
		for _, path := range examples[name] {
			status, body := get(Handler(func() []view.Shown { return []view.Shown{s} }), "GET", path)
			if name != "errors" && status != http.StatusOK {
				if jobs == "running" {
					t.Errorf("%s: %d %s", path, status, body)
				}
				continue
			}
			all = append(all, answer{jobs, path, body})
		}
	}
	return all
}

func get(h http.Handler, method, path string) (status int, body []byte) {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, strings.ReplaceAll(path, ":job", jobID.String()), nil))
	return w.Code, w.Body.Bytes()
}

// flat is an object without others in it. It takes one line in a golden file.
var flat = regexp.MustCompile(`\{[^{}\[\]]*\}`)

// TestAnswers shows the answers themselves, about the running job.
func TestAnswers(t *testing.T) {
	h := Handler(func() []view.Shown { return []view.Shown{running()} })
	for name, paths := range examples {
		if name == "config" || name == "overview" {
			continue // they tell of the build and of the time zone
		}
		var got bytes.Buffer
		for _, path := range paths {
			status, body := get(h, "GET", path)
			got.WriteString("GET " + path + " " + http.StatusText(status) + "\n")
			var lines bytes.Buffer
			if err := json.Indent(&lines, body, "", "  "); err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			got.WriteString(flat.ReplaceAllStringFunc(lines.String(), func(s string) string { return strings.Join(strings.Fields(s), " ") }))
			got.WriteString("\n")
		}
		file := filepath.Join("testdata", "answers", name+".txt")
		if *update {
			if err := os.WriteFile(file, got.Bytes(), 0o666); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.Bytes(), want) {
			t.Errorf("%s: other answers than in %s; -update rewrites it\n%s", name, file, got.Bytes())
		}
	}
}

// TestPathsAndErrors: the prefix and a slash at the end make no difference, all that is not there is 404, a malformed id is 400.
func TestPathsAndErrors(t *testing.T) {
	const id = "00000000000000000000000000000abc"
	h := Handler(func() []view.Shown { return []view.Shown{running()} })
	for _, c := range []struct {
		method, path string
		status       int
		text         string
	}{
		{"GET", "/v1/jobs/overview/", 200, `"state":"RUNNING"`},
		{"GET", "/v1/overview?colour=red", 200, `"jobs-running":1`},
		{"GET", "/v1/no/such/path", 404, `{"errors":["Unable to load requested file /v1/no/such/path."]}`},
		{"GET", "/v2/overview", 404, `{"errors":["Unable to load requested file /v2/overview."]}`},
		{"GET", "/", 404, `{"errors":["Unable to load requested file /."]}`},
		{"GET", "/jobs/:job/nothing", 404, "Unable to load requested file /jobs/"},
		{"POST", "/v1/overview", 404, `{"errors":["Not found: /v1/overview"]}`},
		{"DELETE", "/v1/jobs/:job", 404, "Not found: /v1/jobs/"},
		{"HEAD", "/v1/overview", 404, ""},
		{"POST", "/metrics", 404, "Not found: /metrics"},
		{"GET", "/jobs/xyz", 400, `Cannot resolve path parameter (jobid) from value \"xyz\".`},
		{"GET", "/jobs/xyz/checkpoints", 400, "(jobid)"},
		{"GET", "/jobs/" + id, 404, "Job " + id + " not found"},
		{"GET", "/jobs/" + id + "/checkpoints/config", 404, "Job " + id + " not found"},
		{"GET", "/jobs/:job/checkpoints/details/abc", 400, `Cannot resolve path parameter (checkpointid) from value \"abc\".`},
		{"GET", "/jobs/:job/checkpoints/details/99999", 404, "Could not find checkpointing statistics for checkpoint 99999."},
		{"GET", "/jobs/:job/checkpoints/details/1/subtasks/xyz", 400, "(vertexid)"},
		{"GET", "/jobs/:job/checkpoints/details/1/subtasks/" + id, 404, "There is no checkpoint statistics for task " + id + "."},
		{"GET", "/jobs/:job/exceptions?maxExceptions=1", 200, `"truncated":true`},
		{"GET", "/jobs/:job/exceptions?maxExceptions=many", 400, "(maxExceptions)"},
		{"GET", "/jobs/:job/vertices/xyz", 400, "(vertexid)"},
		{"GET", "/jobs/:job/vertices/" + id, 404, "JobVertex " + id + " not found"},
		{"GET", vertexPath + "/backpressure", 404, "Unable to load requested file"},
		{"GET", vertexPath + "/subtasks/abc", 400, `Cannot resolve path parameter (subtaskindex) from value \"abc\".`},
		{"GET", vertexPath + "/subtasks/99", 404, "Invalid subtask index for vertex " + countHex},
		{"GET", vertexPath + "/subtasks/-1", 404, "Invalid subtask index"},
		{"GET", vertexPath + "/subtasks/0/attempts/7", 404, "Invalid attempt num 7"},
		{"GET", vertexPath + "/subtasks/0/attempts/x", 400, "(attempt)"},
		{"GET", vertexPath + "/subtasks/0/accumulators", 404, "Unable to load requested file"},
		{"GET", vertexPath + "/subtasks/metrics?agg=most", 400, `Cannot resolve query parameter (agg) from value \"most\".`},
		{"GET", vertexPath + "/subtasks/metrics?subtasks=2-1", 400, "(subtasks)"},
		{"GET", vertexPath + "/subtasks/metrics?subtasks=a", 400, "(subtasks)"},
		{"GET", "/jobs/:job/metrics?get=no", 200, "[]"},
		{"GET", "/metrics", 200, "# TYPE flink_jobmanager_job_numRestarts gauge"},
	} {
		status, body := get(h, c.method, c.path)
		if status != c.status || !strings.Contains(string(body), c.text) {
			t.Errorf("%s %s: %d %s, want %d %s", c.method, c.path, status, body, c.status, c.text)
		}
	}
}

// What names a checkpoint must name it for somebody who is elsewhere.
func TestExternalPath(t *testing.T) {
	t.Chdir(t.TempDir())
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for pointer, want := range map[string]string{
		"/cp/chk-1": "file:/cp/chk-1", "cp/chk-1": "file:" + filepath.ToSlash(filepath.Join(here, "cp", "chk-1")),
		"s3://bucket/chk-1": "s3://bucket/chk-1", "": "<checkpoint-not-externally-addressable>",
	} {
		if got := fileURL(pointer); got != want {
			t.Errorf("%q: %q, want %q", pointer, got, want)
		}
	}
}

// A job that cannot be asked is the server's fault, and its other numbers are told all the same.
func TestSilentJob(t *testing.T) {
	s := running()
	s.silent = errors.New("no connection")
	h := Handler(func() []view.Shown { return []view.Shown{s} })
	if status, body := get(h, "GET", "/jobs/:job/checkpoints"); status != 500 || string(body) != `{"errors":["Internal server error.","no connection"]}`+"\n" {
		t.Errorf("%d %s", status, body)
	}
	if status, body := get(h, "GET", "/jobs/:job/metrics?get=numRestarts,numberOfCompletedCheckpoints"); status != 200 || string(body) != `[{"id":"numRestarts","value":"1"}]`+"\n" {
		t.Errorf("%d %s", status, body)
	}
	if status, body := get(h, "GET", "/metrics"); status != 200 || !bytes.Contains(body, []byte("numRestarts")) || bytes.Contains(body, []byte("Checkpoint")) {
		t.Errorf("%d %s", status, body)
	}
}
