package exposition

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/weirstream/weir/internal/cluster/view"
	"github.com/weirstream/weir/internal/element"
	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/metrics"
	"github.com/weirstream/weir/internal/protocol/coordinator"
)

var update = flag.Bool("update", false, "rewrite testdata/metrics.txt")

// still is a job that stands still. Its statistics are nil if it cannot be asked for them.
type still struct {
	view.Shown
	job   view.Job
	stats *coordinator.Stats
}

func (s still) Job() view.Job { return s.job }

func (s still) Checkpoints(context.Context) (coordinator.Stats, error) {
	if s.stats == nil {
		return coordinator.Stats{}, errors.New("no connection")
	}
	return *s.stats, nil
}

func (s still) Checkpoint(context.Context, job.CheckpointID) (*coordinator.CheckpointStats, error) {
	return s.stats.LatestCompleted, nil
}

var at = time.UnixMilli(1_700_000_000_000)

// counting is a job of one vertex with two subtasks. A step has a counter and a gauge of one name, and one with a name that must be changed.
func counting() still {
	id := job.VertexID(job.OperatorIDOf("count"))
	own := map[string]int64{"late": 3, "of \"Zürich\"": 5}
	j := view.Job{ID: job.ID{1}, Name: `say "hi"`, State: view.JobRunning, Now: at.Add(time.Minute), Restarts: 2, Futile: 1}
	j.Since[view.JobRunning] = at
	j.Vertices = []view.Vertex{{ID: id, Name: "count -> out", Parallelism: 2, Subtasks: []view.Subtask{{State: view.TaskRunning, Attempt: 2}, {}},
		Written: []int64{7, 0},
		Steps: []view.Step{{ID: job.OperatorID(id), Name: "count", Subtasks: []view.Metrics{
			{In: 10, Out: 7, Watermark: 99, Counters: own, Gauges: map[string]int64{"late": 4}, Histograms: map[metrics.HistogramName]metrics.Distribution{
				{Label: "state_name", Group: "the \"sum\"", Name: "valueStateGetLatency"}: metrics.DistributionOf(100, 200, 400),
				{Label: "state_name", Group: "pages", Name: "mapStatePutLatency"}:         metrics.DistributionOf(7),
				{Group: "pages", Name: "mapStatePutKeySize"}:                              metrics.DistributionOf(16),
				{Name: "late"}: metrics.DistributionOf(1),
			}}, {Watermark: element.NoTime}}}}}}
	acked := coordinator.SubtaskStats{Acked: true, Metrics: coordinator.TaskMetrics{StartDelay: time.Millisecond, Alignment: 2 * time.Millisecond}}
	completed := &coordinator.CheckpointStats{ID: 4, Triggered: at, LatestAck: at.Add(8 * time.Millisecond), Ended: at.Add(11 * time.Millisecond),
		StateBytes: 1100, NewBytes: 100, MetadataBytes: 50, Vertices: []coordinator.VertexStats{
			{ID: id, Subtasks: []coordinator.SubtaskStats{acked, {}}, Finished: make([]bool, 2)}}}
	return still{job: j, stats: &coordinator.Stats{Counts: coordinator.Counts{Total: 3, Completed: 1, Failed: 1, InProgress: 1}, LatestCompleted: completed}}
}

func scrape(jobs ...view.Shown) string {
	w := httptest.NewRecorder()
	Serve(w, httptest.NewRequest("GET", "/metrics", nil), jobs)
	return w.Body.String()
}

// TestMetrics shows the page.
func TestMetrics(t *testing.T) {
	got := scrape(counting())
	const file = "testdata/metrics.txt"
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("another page than in %s; -update rewrites it\n%s", file, got)
	}
}

var (
	sampleLine  = regexp.MustCompile(`^([a-zA-Z_:][a-zA-Z0-9_:]*)\{([a-zA-Z_]\w*="(\\.|[^"\\\n])*",?)*\} (NaN|[+-]Inf|-?[\d.]+(e[+-]\d+)?)$`)
	commentLine = regexp.MustCompile(`^# (HELP|TYPE) ([a-zA-Z_:][a-zA-Z0-9_:]*) .+$`)
)

// TestPageIsWellFormed: each line is one of the form, all values of a metric follow its type, and no labels come twice, whatever names the
// user has chosen and however many jobs there are.
func TestPageIsWellFormed(t *testing.T) {
	other := counting()
	other.job.ID, other.stats = job.ID{2}, nil
	family, seen, done := "", map[string]bool{}, map[string]bool{}
	lines := bufio.NewScanner(strings.NewReader(scrape(counting(), other)))
	for lines.Scan() {
		line := lines.Text()
		if c := commentLine.FindStringSubmatch(line); c != nil {
			if c[2] != family && done[c[2]] {
				t.Errorf("%s comes in two places", c[2])
			}
			family, done[c[2]] = c[2], true
			continue
		}
		s := sampleLine.FindStringSubmatch(line)
		if s == nil || strings.TrimSuffix(s[1], "_count") != family {
			t.Errorf("bad line below %s: %s", family, line)
			continue
		}
		labels := line[:strings.LastIndex(line, " ")]
		if seen[labels] {
			t.Errorf("twice: %s", labels)
		}
		seen[labels] = true
	}
	if !seen[`flink_jobmanager_job_uptime{job_id="02000000000000000000000000000000",job_name="say \"hi\"",host="localhost"}`] {
		t.Error("a job that cannot be asked for its checkpoints has its other numbers")
	}
}

// TestNamesAreFlinks: a metric is either one that Flink 2.2.0 reports under this name, or a user's, or the one of ours.
func TestNamesAreFlinks(t *testing.T) {
	text, err := os.ReadFile("testdata/flink-names.txt")
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{"flink_taskmanager_job_task_operator_late": true, "flink_taskmanager_job_task_operator_of__Z_rich_": true,
		"flink_jobmanager_job_numFutileRestarts": true}
	for _, name := range []string{"state_name_valueStateGetLatency", "state_name_mapStatePutLatency", "pages_mapStatePutKeySize"} {
		known["flink_taskmanager_job_task_operator_"+name] = true // which are there if they are asked for
	}
	for _, name := range strings.Fields(string(text)) {
		known[name] = true
	}
	for line := range strings.Lines(scrape(counting())) {
		if name, ok := strings.CutPrefix(line, "# TYPE "); ok {
			if name = strings.Fields(name)[0]; !known[name] {
				t.Errorf("Flink has no %s", name)
			}
		}
	}
}
