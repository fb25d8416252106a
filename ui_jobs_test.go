package weir_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/checkpoint"
	"github.com/weirstream/weir/connector/memory"
	"github.com/weirstream/weir/internal/storage/fs"
)

// shownJob is a job whose answers are compared by value.
type shownJob struct {
	asker
	path string // of the job
}

func show(t *testing.T, e *weir.Execution) shownJob {
	a := asker{t, e.Handler()}
	return shownJob{a, "/jobs/" + ask[jobsAnswer](a, "/jobs/overview").Jobs[0].JID}
}

func (s shownJob) job() jobAnswer { return ask[jobAnswer](s.asker, s.path) }

// vertex returns the number of the vertex that a step is the first of.
func (s shownJob) vertex(step string) int {
	s.t.Helper()
	for i, v := range s.job().Vertices {
		if v.Name == step || strings.HasPrefix(v.Name, step+" -> ") {
			return i
		}
	}
	s.t.Fatalf("no vertex begins with %q", step)
	return 0
}

// subtasks are what the vertex of a step tells of its subtasks.
func (s shownJob) subtasks(step string) []attemptAnswer {
	v := s.job().Vertices[s.vertex(step)]
	return ask[struct{ Subtasks []attemptAnswer }](s.asker, s.path+"/vertices/"+v.ID).Subtasks
}

type attemptAnswer struct {
	Subtask, Attempt int
	Status           string
	Start            int64 `json:"start-time"`
	End              int64 `json:"end-time"`
	Duration         int64
	Metrics          struct {
		Read    int64 `json:"read-records"`
		Written int64 `json:"write-records"`
	}
	StatusDuration map[string]int64 `json:"status-duration"`
}

// metric returns one of the job's metrics.
func (s shownJob) metric(id string) int64 { return s.number(s.path+"/metrics", id) }

// stepMetric returns a metric of the vertex of a step.
func (s shownJob) stepMetric(step, id string) int64 {
	return s.number(s.path+"/vertices/"+s.job().Vertices[s.vertex(step)].ID+"/metrics", id)
}

func (s shownJob) number(path, id string) int64 {
	s.t.Helper()
	all := ask[[]struct{ ID, Value string }](s.asker, path+"?get="+id)
	if len(all) != 1 || all[0].ID != id {
		s.t.Fatalf("%s: %s is %+v", path, id, all)
	}
	n, err := strconv.ParseInt(all[0].Value, 10, 64)
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

// entry is a checkpoint in the history.
type entryAnswer struct {
	ID, Bytes      int64
	Status         string
	IsSavepoint    bool    `json:"is_savepoint"`
	Format         *string `json:"savepointFormat"`
	Type           string  `json:"checkpoint_type"`
	ExternalPath   string  `json:"external_path"`
	Discarded      bool
	Size           int64  `json:"checkpointed_size"`
	Subtasks       int    `json:"num_subtasks"`
	Acked          int    `json:"num_acknowledged_subtasks"`
	Triggered      int64  `json:"trigger_timestamp"`
	LatestAck      int64  `json:"latest_ack_timestamp"`
	Duration       int64  `json:"end_to_end_duration"`
	RestoredAt     int64  `json:"restore_timestamp"`
	FailureMessage string `json:"failure_message"`
}

type entriesAnswer struct {
	Counts  map[string]int
	Latest  struct{ Completed, Savepoint, Failed, Restored *entryAnswer }
	History []entryAnswer
}

func (s shownJob) checkpoints() entriesAnswer {
	return ask[entriesAnswer](s.asker, s.path+"/checkpoints")
}

// kinds returns of each entry, the newest first, what it is.
func (a entriesAnswer) kinds() (all []string) {
	for _, e := range a.History {
		format := "-"
		if e.Format != nil {
			format = *e.Format
		}
		all = append(all, strings.Join([]string{e.Type, format, strconv.FormatBool(e.IsSavepoint), e.Status}, " "))
	}
	return all
}

// TestSavepointsAreShown shows a checkpoint, a savepoint in each format and a stop with one: what they are, where they lie, how many there were;
// and the job that goes on from the last.
func TestSavepointsAreShown(t *testing.T) {
	w := newWorld(t, 2, 60)
	w.byHand = true
	for i := range w.in.splits {
		w.in.hold(i, 50)
	}
	ctx := context.Background()
	e := w.start(ctx, 1) // one reader: a second might find no split and end just then
	w.read(e, 50)
	s := show(t, e)
	if c := s.checkpoints(); len(c.History) != 0 || !maps.Equal(c.Counts, map[string]int{"restored": 0, "total": 0, "in_progress": 0, "completed": 0, "failed": 0}) {
		t.Errorf("before any: %+v", c)
	}
	if n := s.metric("lastCompletedCheckpointId"); n != -1 {
		t.Errorf("the last before any is %d", n)
	}
	plain, err := e.Checkpoint(ctx, weir.ConfiguredCheckpoint)
	if err != nil {
		t.Fatal(err)
	}
	paths := []string{plain.Path, w.take(e.Savepoint(ctx, savepoints)), w.take(e.Savepoint(ctx, savepoints, weir.NativeFormat()))}
	tasks := ask[jobsAnswer](s.asker, "/jobs/overview").Jobs[0].Tasks["total"]
	paths = append(paths, w.take(e.StopWithSavepoint(ctx, savepoints)))
	w.end(e, weir.Finished)

	c := s.checkpoints()
	equal(t, c.kinds(), []string{
		"SYNC_SAVEPOINT CANONICAL true COMPLETED", "SAVEPOINT NATIVE true COMPLETED", "SAVEPOINT CANONICAL true COMPLETED", "CHECKPOINT - false COMPLETED",
	})
	if !maps.Equal(c.Counts, map[string]int{"restored": 0, "total": 4, "in_progress": 0, "completed": 4, "failed": 0}) {
		t.Errorf("counts %v", c.Counts)
	}
	slices.Reverse(paths)
	for i, entry := range c.History {
		if entry.ID != int64(4-i) || entry.ExternalPath != "file:"+paths[i] || entry.Size <= 0 || entry.Subtasks != tasks || entry.Acked != tasks {
			t.Errorf("%+v, want number %d of %d tasks at %s", entry, 4-i, tasks, paths[i])
		}
		if entry.LatestAck < entry.Triggered || entry.Duration < entry.LatestAck-entry.Triggered-1 || entry.Duration > entry.LatestAck-entry.Triggered {
			t.Errorf("%d took %d ms from %d to %d", entry.ID, entry.Duration, entry.Triggered, entry.LatestAck)
		}
		if entry.Discarded != (entry.ID == 1) { // the checkpoint goes when the job ends
			t.Errorf("%d is discarded: %v", entry.ID, entry.Discarded)
		}
	}
	if c.Latest.Completed.ID != 1 || c.Latest.Savepoint.ID != 4 || c.Latest.Failed != nil || c.Latest.Restored != nil {
		t.Errorf("latest %+v", c.Latest)
	}
	if n := s.metric("lastCompletedCheckpointId"); n != 4 {
		t.Errorf("the last of all is %d", n)
	}
	if j := s.job(); j.State != "FINISHED" {
		t.Errorf("the job is %s", j.State)
	}

	e = w.start(ctx, 2)
	s = show(t, e)
	w.read(e, 0)
	c = s.checkpoints()
	if r := c.Latest.Restored; c.Counts["restored"] != 1 || c.Counts["total"] != 0 || r == nil || r.ID != 4 || !r.IsSavepoint || r.ExternalPath != "file:"+paths[0] || r.RestoredAt == 0 {
		t.Errorf("the next run: %v, restored %+v", c.Counts, r)
	}
	if n := s.metric("lastCheckpointRestoreTimestamp"); n != c.Latest.Restored.RestoredAt {
		t.Errorf("restored at %d and at %d", n, c.Latest.Restored.RestoredAt)
	}
	for i := range w.in.splits {
		w.in.release(i)
	}
	w.end(e, weir.Finished)
	w.check()
	if c = s.checkpoints(); c.History[0].ID <= 4 || c.History[0].IsSavepoint || c.Latest.Savepoint != nil {
		t.Errorf("its last is %+v", c.History[0])
	}
}

// TestFailedSavepointIsShown shows a savepoint whose files cannot be written: it counts as failed, says why, and lies nowhere.
func TestFailedSavepointIsShown(t *testing.T) {
	w := newWorld(t, 2, 60)
	w.byHand = true
	w.options = []checkpoint.Option{checkpoint.TolerateFailures(1)}
	faulty := fs.NewFaulty(w.fs, nil)
	w.fs = faulty
	w.set["execution.checkpointing.data-inline-threshold"] = "0"
	for i := range w.in.splits {
		w.in.hold(i, 50)
	}
	e := w.start(context.Background(), 1)
	w.read(e, 50)
	faulty.Inject(fs.Fault{Op: fs.OpCreate, Path: savepoints + "/*/*", Err: syscall.ENOSPC, Times: fs.Forever})
	if path, err := e.Savepoint(context.Background(), savepoints); err == nil {
		t.Fatalf("it is at %s", path)
	}
	s := show(t, e)
	c := s.checkpoints()
	if !maps.Equal(c.Counts, map[string]int{"restored": 0, "total": 1, "in_progress": 0, "completed": 0, "failed": 1}) || c.Latest.Savepoint != nil || c.Latest.Failed == nil {
		t.Fatalf("%+v", c)
	}
	equal(t, c.kinds(), []string{"SAVEPOINT CANONICAL true FAILED"})
	for _, f := range []entryAnswer{c.History[0], *c.Latest.Failed} {
		contains(t, errors.New(f.FailureMessage), "the asynchronous part", "/savepoints/savepoint-", "no space left")
		if f.ID != 1 || f.ExternalPath != "" || f.Acked >= f.Subtasks {
			t.Errorf("%+v", f)
		}
	}
	if j := s.job(); j.State != "RUNNING" || s.metric("numberOfFailedCheckpoints") != 1 {
		t.Errorf("the job is %s", j.State)
	}
	e.Abort()
	w.end(e, weir.Aborted)
}

// TestRescaleIsShown shows a step at another parallelism: its subtasks are there at once, those that there were are at their next attempt, and
// the job has been restored from the checkpoint that was taken for it. It has not failed.
func TestRescaleIsShown(t *testing.T) {
	w, e := rescalable(t, 1)
	s := show(t, e)
	if all := s.subtasks("sums"); len(all) != 1 || all[0].Attempt != 0 {
		t.Fatalf("before: %+v", all)
	}
	before := s.job().Timestamps["RUNNING"]
	if err := e.Rescale(context.Background(), "sums", 3); err != nil {
		t.Fatal(err)
	}
	var attempts []string
	for _, a := range append(s.subtasks("sums"), s.subtasks("in")...) {
		attempts = append(attempts, fmt.Sprint(a.Subtask, ": ", a.Attempt))
	}
	equal(t, attempts, []string{"0: 1", "1: 0", "2: 0", "0: 1"})
	j, v := s.job(), s.vertex("sums")
	if j.State != "RUNNING" || j.Vertices[v].Parallelism != 3 || j.Vertices[s.vertex("windows")].Parallelism != 1 || j.Plan.Nodes[v].Parallelism != 3 {
		t.Errorf("%+v", j)
	}
	if from, to := j.Timestamps["RESTARTING"], j.Timestamps["RUNNING"]; from < before || to < from {
		t.Errorf("it ran from %d to %d, and again from %d", before, from, to)
	}
	if strategy := j.Plan.Nodes[s.vertex("out")].Inputs[0].Strategy; strategy != "REBALANCE" { // from three subtasks to one
		t.Errorf("the edge behind it is %s", strategy)
	}
	if total := ask[jobsAnswer](s.asker, "/jobs/overview").Jobs[0].Tasks["total"]; total != 7 {
		t.Errorf("%d tasks", total)
	}
	c := s.checkpoints()
	if r := c.Latest.Restored; c.Counts["restored"] != 1 || r == nil || r.ID < 2 || r.IsSavepoint || r.ExternalPath == "" {
		t.Errorf("%v, restored %+v", c.Counts, r)
	}
	if n := s.metric("numRestarts"); n != 0 || strings.Contains(s.get(s.path+"/exceptions"), "exceptionName") {
		t.Errorf("%d restarts: %s", n, s.get(s.path+"/exceptions"))
	}
	for i := range w.in.splits {
		w.in.release(i)
	}
	w.end(e, weir.Finished)
	w.check()
	read := int64(0)
	for _, a := range s.subtasks("sums") {
		if a.Status != "FINISHED" || a.End < a.Start {
			t.Errorf("at the end: %+v", a)
		}
		read += a.Metrics.Read
	}
	if want := int64(5 * 60 * 3 / 2); read != want { // half of the records pass the filter, and nothing was read twice
		t.Errorf("%d records were summed, want %d", read, want)
	}
}

// TestRegionIsShown shows a slice that fails and restarts while the others go on: only its attempts rise, its failures are in the history with
// their labels, and the job goes on as if nothing had been.
func TestRegionIsShown(t *testing.T) {
	w := newSliced(t, 4, 60)
	w.restarts()
	var on atomic.Bool
	on.Store(true)
	w.in.poll = failing(1, 61, &on)
	e := w.upTo(60)
	w.release()
	until(t, e, "failures", func() bool { return e.Progress().Restarts > 20 })
	on.Store(false)
	w.end(e, weir.Finished)
	s := show(t, e)
	restarts := e.Progress().Restarts
	x := ask[exceptionsAnswer](s.asker, s.path+"/exceptions?maxExceptions=3").History
	if len(x.Entries) != 3 || !x.Truncated || s.metric("numRestarts") != int64(restarts) {
		t.Fatalf("%d failures of %d, truncated %v", len(x.Entries), restarts, x.Truncated)
	}
	failures, _ := e.Failures()
	failed := failures[0].Subtask
	for i, f := range x.Entries {
		if f.Name != "*errors.errorString" || f.Task != fmt.Sprintf("in (%d/4)", failed+1) || !strings.Contains(f.Text, "split 1") || f.Manager != "localhost" ||
			!maps.Equal(f.Labels, map[string]string{"whose": "the test's", "first": "yes"}) || i > 0 && f.At > x.Entries[i-1].At {
			t.Errorf("failure %d: %+v", i, f)
		}
	}
	for _, step := range []string{"in", "kept"} {
		for i, a := range s.subtasks(step) {
			want := 0
			if i == failed {
				want = restarts
			}
			if a.Attempt != want || a.Status != "FINISHED" || a.Metrics.Read+a.Metrics.Written < 180 {
				t.Errorf("%s, subtask %d: %+v, want attempt %d", step, i, a, want)
			}
			if i == failed && a.Start < x.Entries[0].At || i != failed && a.Start > x.Entries[len(x.Entries)-1].At {
				t.Errorf("%s, subtask %d began at %d", step, i, a.Start)
			}
		}
	}
	if j := s.job(); j.State != "FINISHED" || j.Timestamps["FAILING"] != 0 || j.Timestamps["RESTARTING"] < x.Entries[0].At {
		t.Errorf("%+v, last failure at %d", j.Timestamps, x.Entries[0].At)
	}
}

type exceptionsAnswer struct {
	History struct {
		Truncated bool
		Entries   []struct {
			Name    string            `json:"exceptionName"`
			Text    string            `json:"stacktrace"`
			Task    string            `json:"taskName"`
			Manager string            `json:"taskManagerId"`
			Labels  map[string]string `json:"failureLabels"`
			At      int64             `json:"timestamp"`
		}
	} `json:"exceptionHistory"`
}

// TestLoopIsShown shows the edge that closes a loop, from the task at its end to the one at its head, and counts what goes round: what enters and
// what leaves is what the job reads and writes, and each step of each walk is a record in the body.
func TestLoopIsShown(t *testing.T) {
	const n = 30
	steps, all := int64(0), walks(n)
	for _, w := range all {
		for w.step(); ; w.step() {
			if steps++; arrived(w) {
				break
			}
		}
	}
	j := newJob(t, 2)
	weir.To(weir.Iterate(weir.From(j, "in", memory.Slice(all)), "collatz", func(loop weir.Stream[walk]) (weir.Stream[walk], weir.Stream[string]) {
		by := weir.KeyBy(weir.Edit(loop, (*walk).step), func(w walk) int { return w.N })
		walked := weir.Process(by, "seen", &pass{})
		return weir.Filter(walked, underway), weir.Map(weir.Filter(walked, arrived), walk.String)
	}), "out", memory.Collect[string]())
	e, err := weir.Start(context.Background(), j)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Wait(); err != nil {
		t.Fatal(err)
	}
	s := show(t, e)
	answer := s.job()
	head, body := s.vertex("collatz"), s.vertex("seen")
	var inputs []string
	for _, in := range answer.Plan.Nodes[head].Inputs {
		for _, v := range answer.Vertices {
			if v.ID == in.ID {
				inputs = append(inputs, strings.Split(v.Name, " -> ")[0]+" "+in.Strategy)
			}
		}
	}
	equal(t, inputs, []string{"in FORWARD", "seen FEEDBACK"})
	if read, written := answer.Vertices[head].Metrics.Read, answer.Vertices[head].Metrics.Written; read != n || written != steps {
		t.Errorf("the head has read %d and written %d records, want %d and %d", read, written, n, steps)
	}
	if read := answer.Vertices[body].Metrics.Read; read != steps {
		t.Errorf("the body has read %d records, want %d", read, steps)
	}
	counted := int64(0)
	for i := range 2 {
		counted += s.stepMetric("seen", strconv.Itoa(i)+".seen.numRecordsOut")
	}
	if counted != steps {
		t.Errorf("the metrics of the body have %d records, want %d", counted, steps)
	}
}

// TestEndsAreShown shows jobs that have ended in each way: their state and that of their subtasks, when they came into it, and how many jobs
// there are of the kind.
func TestEndsAreShown(t *testing.T) {
	for _, c := range []struct {
		name        string
		stop        func(w *world, e *weir.Execution, cancel func())
		status      weir.Status
		job, task   string
		kind        string // of the counts in /overview; empty if it is in none
		passed      []string
		checkpoints int // that are still there
	}{
		{"finished", func(w *world, _ *weir.Execution, _ func()) { w.releaseAll() }, weir.Finished, "FINISHED", "FINISHED", "jobs-finished", nil, 0},
		{"cancelled", func(_ *world, e *weir.Execution, _ func()) { e.Cancel() }, weir.Canceled, "CANCELED", "CANCELED", "jobs-cancelled", []string{"CANCELLING"}, 1},
		{"suspended", func(_ *world, _ *weir.Execution, cancel func()) { cancel() }, weir.Suspended, "SUSPENDED", "CANCELED", "", nil, 1},
		{"failed", func(w *world, _ *weir.Execution, _ func()) { w.releaseAll() }, weir.Failed, "FAILED", "FAILED", "jobs-failed", []string{"FAILING"}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, 1, 60)
			w.in.hold(0, 50)
			if c.name == "failed" {
				w.in.poll = func(_, at int) error {
					if at > 60 {
						return errTest
					}
					return nil
				}
			}
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			e := w.start(ctx, 1)
			w.checkpoints(e, 1)
			c.stop(w, e, cancel)
			w.end(e, c.status)
			s := show(t, e)
			j := s.job()
			if j.State != c.job || j.End != j.Timestamps[c.job] || j.End < j.Timestamps["RUNNING"] {
				t.Errorf("%s at %d: %v", j.State, j.End, j.Timestamps)
			}
			for _, state := range []string{"CANCELLING", "FAILING"} {
				if (j.Timestamps[state] != 0) != slices.Contains(c.passed, state) {
					t.Errorf("%s at %d", state, j.Timestamps[state])
				}
			}
			in := s.subtasks("in")[0]
			if in.Status != c.task || in.End < in.Start || in.StatusDuration["RUNNING"] < 0 || in.End > j.End {
				t.Errorf("its source: %+v", in)
			}
			times := ask[struct {
				Subtasks []struct{ Timestamps map[string]int64 }
			}](s.asker, s.path+"/vertices/"+j.Vertices[0].ID+"/subtasktimes").Subtasks[0].Timestamps
			if times[c.task] != in.End || times["INITIALIZING"] != in.Start || times["SCHEDULED"] != 0 {
				t.Errorf("its source's times are %v, not from %d to %d", times, in.Start, in.End)
			}
			counts := ask[map[string]any](s.asker, "/overview")
			for _, kind := range []string{"jobs-running", "jobs-finished", "jobs-cancelled", "jobs-failed"} {
				want := 0.0
				if kind == c.kind {
					want = 1
				}
				if counts[kind] != want {
					t.Errorf("%s is %v", kind, counts[kind])
				}
			}
			kept := 0
			for _, entry := range s.checkpoints().History {
				if entry.Status == "COMPLETED" && !entry.Discarded {
					kept++
				}
			}
			if kept != c.checkpoints {
				t.Errorf("%d checkpoints are shown as kept, want %d", kept, c.checkpoints)
			}
		})
	}
}

func (w *world) releaseAll() {
	for i := range w.in.splits {
		w.in.release(i)
	}
}
