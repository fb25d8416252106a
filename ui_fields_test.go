package weir_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/checkpoint"
	"github.com/weirstream/weir/connector/memory"
	"github.com/weirstream/weir/internal/storage/fs"
	"github.com/weirstream/weir/sink"
)

// fields are those of all answers to what was asked, and whether one ever said something.
type fields map[string]bool

// see asks a job all there is to ask.
func (f fields) see(t *testing.T, e *weir.Execution) {
	t.Helper()
	s := show(t, e)
	for _, path := range []string{"/overview", "/jobs", "/jobs/overview"} {
		f.add(path, ask[any](s.asker, path))
	}
	for _, path := range []string{"", "/accumulators", "/checkpoints", "/checkpoints/config", "/config", "/exceptions", "/plan", "/status"} {
		f.add("/jobs/<job>"+path, ask[any](s.asker, s.path+path))
	}
	f.metrics(s, "/jobs/<job>/metrics", s.path+"/metrics")
	f.metrics(s, "/jobs/metrics", "/jobs/metrics")
	for _, c := range s.checkpoints().History {
		path := fmt.Sprint("/checkpoints/details/", c.ID)
		f.ifThere(s, "/jobs/<job>/checkpoints/details/<n>", s.path+path)
		for _, v := range s.job().Vertices {
			f.ifThere(s, "/jobs/<job>/checkpoints/details/<n>/subtasks/<vertex>", s.path+path+"/subtasks/"+v.ID)
		}
	}
	f.vertices(s)
}

// vertices asks for all vertices, and the last subtask of each.
func (f fields) vertices(s shownJob) {
	for _, v := range s.job().Vertices {
		at, name := s.path+"/vertices/"+v.ID, "/jobs/<job>/vertices/<vertex>"
		for _, path := range []string{"", "/accumulators", "/jm-operator-metrics", "/subtasks/accumulators", "/subtasktimes", "/taskmanagers", "/watermarks"} {
			f.add(name+path, ask[any](s.asker, at+path))
		}
		subtask := fmt.Sprint("/subtasks/", v.Parallelism-1)
		f.add(name+"/subtasks/<i>", ask[any](s.asker, at+subtask))
		attempt := fmt.Sprint(subtask, "/attempts/", ask[attemptAnswer](s.asker, at+subtask).Attempt)
		f.ifThere(s, name+"/subtasks/<i>/attempts/<a>", at+attempt)
		f.ifThere(s, name+"/subtasks/<i>/attempts/<a>/accumulators", at+attempt+"/accumulators")
		f.metrics(s, name+"/metrics", at+"/metrics")
		f.metrics(s, name+"/subtasks/metrics", at+"/subtasks/metrics")
		f.metrics(s, name+"/subtasks/<i>/metrics", at+subtask+"/metrics")
	}
}

// seeHeld adds answers that come although the job's master is held: those that need it get what is known without.
func (f fields) seeHeld(t *testing.T, e *weir.Execution) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	impatient := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { e.Handler().ServeHTTP(w, r.WithContext(ctx)) })
	s := shownJob{asker: asker{t, impatient}}
	overview := ask[any](s.asker, "/jobs/overview")
	f.add("/jobs/overview", overview)
	s.path = "/jobs/" + overview.(map[string]any)["jobs"].([]any)[0].(map[string]any)["jid"].(string)
	f.add("/jobs/<job>", ask[any](s.asker, s.path))
	f.metrics(s, "/jobs/<job>/metrics", s.path+"/metrics")
	f.metrics(s, "/jobs/metrics", "/jobs/metrics")
	f.vertices(s)
}

// heldAt holds whoever logs a message until it is let go.
type heldAt struct {
	slog.Handler
	message  string
	reached  chan bool
	released chan bool
}

func (h heldAt) Handle(ctx context.Context, r slog.Record) error {
	if r.Message == h.message {
		h.reached <- true
		<-h.released
	}
	return h.Handler.Handle(ctx, r)
}

func (h heldAt) Enabled(context.Context, slog.Level) bool { return true }

func (h heldAt) WithAttrs([]slog.Attr) slog.Handler { return h }

// slowSnapshots is a sink whose writers take their time for a snapshot.
type slowSnapshots struct{ *memory.Collector[string] }

func (s slowSnapshots) Writer(ctx context.Context, env sink.WriterEnv, restored [][]byte) (sink.Writer[string], error) {
	w, err := s.Collector.Writer(ctx, env, restored)
	if err != nil {
		return nil, err
	}
	return slowSnapshot{w.(sink.TwoPhaseWriter[string])}, nil
}

type slowSnapshot struct{ sink.TwoPhaseWriter[string] }

func (w slowSnapshot) Snapshot(ctx context.Context, id int64) ([]byte, error) {
	time.Sleep(2 * time.Millisecond)
	return w.TwoPhaseWriter.Snapshot(ctx, id)
}

// together is a failure of the readers of two splits at once. Nil is none.
type together struct{ meet, over chan struct{} }

// fail fails the reader of a split when the other's is there, unless it is over before.
func (f *together) fail(split int) error {
	if f == nil {
		return nil
	}
	meet, come := f.meet, (chan struct{})(nil)
	if split == 0 {
		meet, come = nil, f.meet
	}
	select {
	case <-meet:
		return errTest
	case come <- struct{}{}:
		return errTest
	case <-f.over:
		return nil
	}
}

// seeSlow sees a job that takes its time, before it runs, while checkpoints are under way, while it waits for a restart, and while it is
// cancelled.
func (f fields) seeSlow(t *testing.T) {
	held := heldAt{logger(t).Handler(), "sinks", make(chan bool), make(chan bool)}
	w := newWorld(t, 2, 100_000) // more than is ever read
	w.in.together = false
	w.log, w.sink = slog.New(held), slowSnapshots{w.out}
	faulty := fs.NewFaulty(w.fs, func(line string) {
		if strings.HasPrefix(line, "create") {
			time.Sleep(2 * time.Millisecond)
		}
	})
	w.fs = faulty
	w.options = []checkpoint.Option{checkpoint.MinPause(time.Millisecond), checkpoint.TolerateFailures(100), checkpoint.SavepointDir(savepoints)}
	w.set = map[string]string{
		"execution.checkpointing.data-inline-threshold": "0", "restart-strategy.type": "fixed-delay", "restart-strategy.fixed-delay.delay": "50 ms",
		"restart-strategy.fixed-delay.attempts": "1000000", "web.exception-history-size": "1",
	}
	w.more = func(j *weir.Job, in weir.Stream[reading]) weir.Stream[string] {
		j.LabelFailures(func(error) map[string]string { return map[string]string{"whose": "the test's"} })
		return weir.Map(in, func(r reading) string { return fmt.Sprint(r) })
	}
	opening, open := make(chan bool), make(chan bool)
	var once, stuck atomic.Bool
	var failing atomic.Pointer[together]
	w.in.open = func(int) error {
		if once.CompareAndSwap(false, true) {
			opening <- true
			<-open
		}
		time.Sleep(2 * time.Millisecond)
		return nil
	}
	polling, poll := make(chan bool), make(chan bool)
	w.in.poll = func(split, at int) error {
		switch {
		case stuck.CompareAndSwap(true, false):
			polling <- true
			<-poll
		case split == 0:
			time.Sleep(3 * time.Millisecond) // so that the other's barrier is there first
		default:
			time.Sleep(time.Millisecond)
		}
		return failing.Load().fail(split) // one of them while it is being stopped
	}
	e := w.start(context.Background(), 2)
	<-held.reached
	time.Sleep(2 * time.Millisecond)
	f.seeHeld(t, e)
	close(held.released)
	<-opening // before the master has noted, it may be
	until(t, e, "task that is initialized", func() bool {
		return ask[jobsAnswer](asker{t, e.Handler()}, "/jobs/overview").Jobs[0].Tasks["initializing"] > 0
	})
	f.see(t, e)
	close(open)

	for range 3 {
		w.checkpoints(e, 1)
		f.see(t, e)
	}
	w.take(e.Savepoint(context.Background(), "", weir.NativeFormat()))
	faulty.Inject(fs.Fault{Op: fs.OpCreate, Path: savepoints + "/*/*", Err: syscall.ENOSPC, Times: fs.Forever})
	if _, err := e.Savepoint(context.Background(), ""); err == nil {
		t.Fatal("the savepoint has been taken")
	}
	f.see(t, e)

	for range 2 {
		both := &together{make(chan struct{}), make(chan struct{})}
		failing.Store(both)
		until(t, e, "restart from the same checkpoint again", func() bool { return e.Progress().Futile > 0 })
		for show(t, e).job().State != "RESTARTING" {
			time.Sleep(time.Millisecond)
		}
		time.Sleep(2 * time.Millisecond)
		f.see(t, e)
		until(t, e, "restart from the checkpoint of the one before", func() bool { return e.Progress().Futile > 0 })
		f.see(t, e)
		failing.Store(nil)
		close(both.over)
		w.checkpoints(e, 1)
		f.see(t, e)
	}

	stuck.Store(true)
	<-polling
	e.Cancel()
	for show(t, e).job().State != "CANCELLING" {
		time.Sleep(time.Millisecond)
	}
	time.Sleep(2 * time.Millisecond)
	f.see(t, e)
	close(poll)
	w.end(e, weir.Canceled)
	f.see(t, e)
}

// seeFailing sees a job that fails for good, while a task does not stop and then.
func (f fields) seeFailing(t *testing.T) {
	w := newWorld(t, 2, 60)
	w.in.together = false
	polling, poll := make(chan bool), make(chan bool)
	var once atomic.Bool
	w.build = func(j *weir.Job) {
		weir.To(weir.Map(weir.From(j, "in", w.in), func(r reading) string { return fmt.Sprint(r) }), "out", w.sink)
	}
	w.in.poll = func(split, at int) error {
		if at < 20 {
			return nil
		}
		if once.CompareAndSwap(false, true) {
			polling <- true
			<-poll
			return errTest
		}
		<-polling // the other is stuck
		return errTest
	}
	e := w.start(context.Background(), 2)
	for show(t, e).job().State != "FAILING" {
		time.Sleep(time.Millisecond)
	}
	time.Sleep(2 * time.Millisecond)
	f.see(t, e)
	close(poll)
	w.end(e, weir.Failed)
	f.see(t, e)
}

// seeGoingOn sees a job that goes on from a savepoint, is suspended, and finishes.
func (f fields) seeGoingOn(t *testing.T) {
	w := newWorld(t, 1, 60)
	w.set["execution.checkpointing.externalized-checkpoint-retention"] = "DELETE_ON_CANCELLATION"
	w.set["state.changelog.enabled"] = "true"
	e := w.running(1, 50)
	w.take(e.StopWithSavepoint(context.Background(), savepoints))
	w.end(e, weir.Finished)
	w.upTo(1, 70, func(running *weir.Execution, cancel func()) { e = running; cancel() }, weir.Suspended)
	f.see(t, e)
	e = w.running(1, 80)
	f.see(t, e)
	w.releaseAll()
	w.end(e, weir.Finished)
	f.see(t, e)
}

// ifThere asks for what may have gone since it was there: an attempt of a subtask, a checkpoint in the history.
func (f fields) ifThere(s shownJob, name, path string) {
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
	var answer any
	if w.Code == http.StatusNotFound {
		return
	}
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || w.Code != http.StatusOK {
		s.t.Fatalf("GET %s: %d %s, %v", path, w.Code, w.Body, err)
	}
	f.add(name, answer)
}

// metrics asks for the ids that there are, and then for their values.
func (f fields) metrics(s shownJob, name, path string) {
	var ids []string
	for _, m := range ask[[]struct{ ID string }](s.asker, path) {
		ids = append(ids, m.ID)
	}
	f.add(name, ask[any](s.asker, path+"?get="+strings.Join(ids, ",")))
}

var (
	isID = regexp.MustCompile(`^[0-9a-f]{32}(_\d+_\d+)?$`)
	// ofMetric is the id of a metric: the subtask's number and the step's name may come before its own.
	ofMetric = regexp.MustCompile(`^(\d+\.)?(\w+\.)?(\w+)$`)
)

// add adds the fields of a value. An id as a key is <vertex>, a metric is a field of its list.
func (f fields) add(path string, v any) {
	switch v := v.(type) {
	case map[string]any:
		if id, ok := v["id"].(string); ok && !isID.MatchString(id) {
			parts := ofMetric.FindStringSubmatch(id)
			if parts[3] == "late_records" {
				return // no field of Flink's, but what a step counts
			}
			if v["skew"] != nil && parts[3] == "currentInputWatermark" {
				return // it differs between subtasks for moments only
			}
			path += "." + parts[3]
			v = maps.Clone(v)
			delete(v, "id")
		}
		for k, inner := range v {
			f.add(path+"."+isID.ReplaceAllString(k, "<vertex>"), inner)
		}
		if len(v) > 0 {
			return
		}
	case []any:
		for _, inner := range v {
			f.add(path, inner)
		}
		if len(v) > 0 {
			return
		}
	}
	f[path] = f[path] || saysSomething(v)
}

// saysSomething reports whether a value is another one than those that are answered while nothing is known.
func saysSomething(v any) bool {
	switch v := v.(type) {
	case nil:
		return false
	case bool:
		return v
	case float64:
		return v != 0 && v != -1
	case string:
		return !slices.Contains([]string{"", "0", "-1", "NaN", "n/a"}, v)
	}
	return false // an empty object or list
}

// alwaysTheSame returns the fields that a page says are always the same.
func alwaysTheSame(t *testing.T) (names []string) {
	t.Helper()
	page, err := os.ReadFile("docs/rest.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(page), "\n## Fields that say nothing\n")
	if !ok {
		t.Fatal("docs/rest.md has no such section")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	for line := range strings.Lines(section) {
		if strings.HasPrefix(line, "| `") {
			for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(strings.Split(line, "|")[1], -1) {
				names = append(names, m[1])
			}
		}
	}
	return names
}

// isAbout reports whether a name in the docs is that of a field, or of an object that the field is in. * stands for anything.
func isAbout(name, path string) bool {
	pattern := strings.ReplaceAll(regexp.QuoteMeta(name), `\*`, `.*`)
	return regexp.MustCompile(`(^|[./])` + pattern + `([./]|$)`).MatchString(path)
}

// isPart reports whether a field was an object or a list at some moment, so that its being empty at another says nothing about it.
func (f fields) isPart(path string) bool {
	return slices.ContainsFunc(slices.Collect(maps.Keys(f)), func(other string) bool { return strings.HasPrefix(other, path+".") })
}

// sizes are what is told of state in memory. Whether two subtasks differ in them is up to the keys, and to when each looks.
var sizes = regexp.MustCompile(`\.State_.*\.skew$`)

// TestFieldsThatSayNothing shows that docs/rest.md lists exactly those fields whose value never tells anything, over jobs to which everything
// happens that can be seen: each other field is something else than 0, -1, empty or unknown at some moment.
func TestFieldsThatSayNothing(t *testing.T) {
	f := fields{}
	f.seeSlow(t)
	f.seeFailing(t)
	f.seeGoingOn(t)
	listed := alwaysTheSame(t)
	for _, path := range slices.Sorted(maps.Keys(f)) {
		if f.isPart(path) || sizes.MatchString(path) {
			continue
		}
		says := !slices.ContainsFunc(listed, func(name string) bool { return isAbout(name, path) })
		if f[path] != says {
			t.Errorf("%s: it says something: %v; docs/rest.md says so: %v", path, f[path], says)
		}
	}
	for _, name := range listed {
		if !slices.ContainsFunc(slices.Collect(maps.Keys(f)), func(path string) bool { return isAbout(name, path) }) {
			t.Errorf("no answer has %q", name)
		}
	}
}
