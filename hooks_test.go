package weir_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/checkpoint"
	"github.com/weirstream/weir/connector/memory"
	"github.com/weirstream/weir/sink"
	"github.com/weirstream/weir/source"
	"github.com/weirstream/weir/state"
)

// diary is where user code writes down what it is told of checkpoints, over all runs of a job.
type diary struct {
	mu      sync.Mutex // guards entries
	run     atomic.Int64
	entries []entry
}

// entry is one thing that one subtask of a step was told.
type entry struct {
	who      // the life of one subtask: it ends with its attempt
	what     string
	id       int64 // of the checkpoint; for an opening that it was restored from
	subsumed int64
	of       int // parallelism, for an opening
}

type who struct {
	step                  string
	subtask, run, attempt int
}

func (w who) String() string {
	return fmt.Sprintf("%s/%d in run %d, attempt %d", w.step, w.subtask, w.run, w.attempt)
}

func (d *diary) note(w who, what string, id, subsumed int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	w.run = int(d.run.Load())
	d.entries = append(d.entries, entry{who: w, what: what, id: id, subsumed: subsumed})
}

// opened notes the beginning of a life.
func (d *diary) opened(w who, restored int64, parallelism int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	w.run = int(d.run.Load())
	d.entries = append(d.entries, entry{who: w, what: "open", id: restored, of: parallelism})
}

func (d *diary) all() []entry {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.entries)
}

// count returns how often something was noted.
func (d *diary) count(what string) (n int) {
	for _, e := range d.all() {
		if e.what == what {
			n++
		}
	}
	return n
}

// check holds a diary against what docs/checkpoints.md promises under "What your code is told".
func (d *diary) check(t *testing.T) {
	t.Helper()
	byLife := map[who][]entry{}
	for _, e := range d.all() {
		byLife[e.who] = append(byLife[e.who], e)
	}
	for life, entries := range byLife {
		if err := checkLife(entries); err != nil {
			t.Errorf("%s: %v\n%v", life, err, entries)
		}
	}
	checkRestored(t, d.all())
}

// checkLife checks what one attempt of a subtask was told.
func checkLife(entries []entry) error {
	if entries[0].what != "open" {
		return errors.New("the first call is not Open")
	}
	restored := entries[0].id
	before, ended := map[int64]bool{}, map[int64]string{}
	lastBefore, lastComplete, finished := restored, restored, false
	for _, e := range entries[1:] {
		switch e.what {
		case "finish":
			finished = true
		case "before":
			if e.id <= lastBefore || finished {
				return fmt.Errorf("BeforeCheckpoint %d after %d, finished %v", e.id, lastBefore, finished)
			}
			before[e.id], lastBefore = true, e.id
		case "complete":
			if e.id <= lastComplete || e.subsumed >= e.id || ended[e.id] != "" {
				return fmt.Errorf("checkpoint %d, which subsumes %d, is complete after %d, and %s before", e.id, e.subsumed, lastComplete, ended[e.id])
			}
			if !before[e.id] && !finished {
				return fmt.Errorf("checkpoint %d is complete without a part of this subtask", e.id)
			}
			lastComplete, ended[e.id] = e.id, e.what
		case "aborted":
			if ended[e.id] != "" || e.id <= restored {
				return fmt.Errorf("checkpoint %d is aborted, and was %s", e.id, ended[e.id])
			}
			ended[e.id] = e.what
		}
	}
	return nil
}

// checkRestored checks what subtasks are told when they open: attempts count from 1 in each run, and no start goes back behind a checkpoint
// that anybody was told is complete.
func checkRestored(t *testing.T, entries []entry) {
	t.Helper()
	type place struct {
		step         string
		subtask, run int
	}
	attempts := map[place]int{}
	complete := int64(0)
	for _, e := range entries {
		switch e.what {
		case "complete":
			complete = max(complete, e.id)
		case "open":
			p := place{e.step, e.subtask, e.run}
			if e.attempt <= attempts[p] {
				t.Errorf("%s opens after attempt %d", e.who, attempts[p])
			}
			attempts[p] = e.attempt
			if e.id < complete {
				t.Errorf("%s is restored from checkpoint %d, though %d is complete", e.who, e.id, complete)
			}
		}
	}
}

// told notes what a processor is told. It is embedded.
type told[K comparable] struct {
	Diary *diary `weir:"shared"`
	Step  string
	at    who
}

func (p *told[K]) opened(c *weir.Ctx[K, string]) {
	p.at = who{step: p.Step, subtask: c.Subtask(), attempt: c.Attempt()}
	id, ok := c.RestoredCheckpoint()
	if ok != c.IsRestored() || ok != (id > 0) {
		panic(fmt.Sprintf("restored from %d, %v, %v", id, ok, c.IsRestored()))
	}
	p.Diary.opened(p.at, id, c.Parallelism())
}

func (p *told[K]) Close() error {
	p.Diary.note(p.at, "close", 0, 0)
	return nil
}

func (p *told[K]) CheckpointComplete(_ *weir.Ctx[K, string], of weir.CheckpointInfo) error {
	if of.Triggered.IsZero() {
		return errors.New("nobody knows when it was triggered")
	}
	p.Diary.note(p.at, "complete", of.ID, of.Subsumed)
	return nil
}

func (p *told[K]) CheckpointAborted(_ *weir.Ctx[K, string], of weir.CheckpointInfo) error {
	p.Diary.note(p.at, "aborted", of.ID, of.Subsumed)
	return nil
}

// bundler holds records back in a field that is no state, and emits them before each checkpoint.
type bundler[K comparable] struct {
	told[K]
	held []reading
}

func (p *bundler[K]) Open(c *weir.Ctx[K, string]) error { p.opened(c); return nil }

func (p *bundler[K]) On(_ *weir.Ctx[K, string], r reading) error {
	p.held = append(p.held, r)
	return nil
}

func (p *bundler[K]) BeforeCheckpoint(c *weir.Ctx[K, string], of weir.CheckpointInfo) error {
	p.Diary.note(p.at, "before", of.ID, of.Subsumed)
	p.emit(c)
	return nil
}

func (p *bundler[K]) Finish(c *weir.Ctx[K, string]) error {
	p.Diary.note(p.at, "finish", 0, 0)
	p.emit(c)
	return nil
}

func (p *bundler[K]) emit(c *weir.Ctx[K, string]) {
	for _, r := range p.held {
		c.Emit(fmt.Sprintf("%s %d %d", p.Step, r.Key, r.Seq))
	}
	p.held = p.held[:0]
}

// saver keeps its records in a field that is no state, saves them before each checkpoint and takes them up again in Open.
type saver struct {
	told[weir.NoKey]
	Saved state.List[reading]
	seen  []reading
}

func (p *saver) Open(c *weir.Ctx[weir.NoKey, string]) error {
	p.opened(c)
	p.seen = slices.Collect(p.Saved.All())
	return nil
}

func (p *saver) On(_ *weir.Ctx[weir.NoKey, string], r reading) error {
	p.seen = append(p.seen, r)
	return nil
}

func (p *saver) BeforeCheckpoint(_ *weir.Ctx[weir.NoKey, string], of weir.CheckpointInfo) error {
	p.Diary.note(p.at, "before", of.ID, of.Subsumed)
	p.Saved.Set(p.seen)
	return nil
}

func (p *saver) Finish(c *weir.Ctx[weir.NoKey, string]) error {
	p.Diary.note(p.at, "finish", 0, 0)
	for _, r := range p.seen {
		c.Emit(fmt.Sprintf("saved %d %d", r.Key, r.Seq))
	}
	return nil
}

// tellAll adds steps with hooks to a world, chained to the source, behind a shuffle and keyed.
func tellAll(w *world, d *diary) {
	w.more = func(_ *weir.Job, in weir.Stream[reading]) weir.Stream[string] {
		d.run.Add(1)
		return weir.Union(
			weir.ProcessPlain(in, "bundled", &bundler[weir.NoKey]{told: told[weir.NoKey]{Diary: d, Step: "bundled"}}),
			weir.ProcessPlain(in, "saved", &saver{told: told[weir.NoKey]{Diary: d, Step: "saved"}}),
			weir.ProcessPlain(weir.Rebalance(in), "saved elsewhere", &saver{told: told[weir.NoKey]{Diary: d, Step: "saved elsewhere"}}),
			weir.Process(weir.KeyBy(in, func(r reading) int { return r.Key }), "keyed", &bundler[int]{told: told[int]{Diary: d, Step: "keyed"}}),
		)
	}
	w.wantMore = func(r reading) (all []string) {
		for _, how := range []string{"bundled", "saved", "saved", "keyed"} {
			all = append(all, fmt.Sprintf("%s %d %d", how, r.Key, r.Seq))
		}
		return all
	}
}

// TestHooksExactlyOnce shows, over failures of tasks and storage, restarts and new processes at other parallelisms, that what a processor
// does before a checkpoint belongs to it - what it emits and what it saves, none of it twice - and that processors are told of checkpoints
// in the order and with the guarantees that are documented.
func TestHooksExactlyOnce(t *testing.T) {
	var sum struct{ complete, aborted, subsumed, restored, later int }
	stories(t, 50, func(t *testing.T, seed uint64) {
		s, d := newStory(t, seed), &diary{}
		tellAll(s.world, d)
		s.tell(func() {
			s.check()
			d.check(t)
		})
		for _, e := range d.all() {
			sum.complete += count(e.what == "complete")
			sum.aborted += count(e.what == "aborted")
			sum.subsumed += count(e.subsumed > 0)
			sum.restored += count(e.what == "open" && e.id > 0)
			sum.later += count(e.what == "open" && e.attempt > 1)
		}
	})
	if toldAll() && !t.Failed() && (sum.complete == 0 || sum.aborted == 0 || sum.subsumed == 0 || sum.restored == 0 || sum.later == 0) {
		t.Errorf("the stories have not told all there is: %+v", sum)
	}
}

func count(is bool) int {
	if is {
		return 1
	}
	return 0
}

// TestToldAfterFailure shows what is told in a job that fails, goes on, is stopped and is started again: the attempt grows, the restored
// checkpoint is known and is not told of again.
func TestToldAfterFailure(t *testing.T) {
	w, d := newWorld(t, 2, 60), &diary{}
	tellAll(w, d)
	w.set = map[string]string{"restart-strategy.type": "fixed-delay", "restart-strategy.fixed-delay.delay": "0"}
	var fail atomic.Bool
	w.in.poll = func(int, int) error {
		if fail.CompareAndSwap(true, false) {
			return errTest
		}
		return nil
	}
	w.upTo(2, 50, func(e *weir.Execution, cancel func()) {
		fail.Store(true)
		w.in.hold(0, 80)
		w.in.hold(1, 80)
		until(t, e, "restart", func() bool { return e.Progress().Restarts > 0 })
		w.checkpoints(e, 2)
		cancel()
	}, weir.Suspended)
	w.finish(1)
	d.check(t)
	var opened []string
	for _, e := range d.all() {
		if e.what == "open" && e.step == "keyed" && e.subtask == 0 {
			opened = append(opened, fmt.Sprintf("run %d attempt %d restored %v", e.run, e.attempt, e.id > 0))
		}
	}
	equal(t, opened, []string{"run 1 attempt 1 restored false", "run 1 attempt 2 restored true", "run 2 attempt 1 restored true"})
}

// TestToldOfAbort shows that processors, readers, enumerators and writers are told of a checkpoint that was given up, go on, and are told of
// the next that completes.
func TestToldOfAbort(t *testing.T) { synctest.Test(t, toldOfAbort) }

func toldOfAbort(t *testing.T) {
	w, d := newWorld(t, 2, 40), &diary{}
	tellAll(w, d)
	w.options = []checkpoint.Option{checkpoint.Timeout(time.Second), checkpoint.TolerateFailures(1000)}
	w.in.told, w.sink = d, &toldSink{w.out, d}
	w.in.hold(0, 30)
	w.in.hold(1, 30)
	e := w.start(context.Background(), 2)
	w.checkpoints(e, 1)
	proceed := w.in.stick()
	w.in.hold(0, 60)
	until(t, e, "failed checkpoint", func() bool { return e.Progress().Checkpoint.Failed > 0 })
	close(proceed)
	w.checkpoints(e, 2)
	w.finishRunning(e)
	d.check(t)
	for _, step := range []string{"bundled", "saved elsewhere", "keyed", "reader", "enumerator", "writer"} {
		told := map[string]int{}
		for _, e := range d.all() {
			if e.step == step {
				told[e.what]++
			}
		}
		if told["complete"] == 0 || told["aborted"] == 0 || told["open"] == 0 {
			t.Errorf("%s was told %v", step, told)
		}
	}
}

// finishRunning lets a job come to its end and compares what is committed.
func (w *world) finishRunning(e *weir.Execution) {
	w.t.Helper()
	for i := range w.in.splits {
		w.in.release(i)
	}
	w.end(e, weir.Finished)
	w.check()
}

// toldSink is a sink whose writers note what they are told.
type toldSink struct {
	*memory.Collector[string]
	diary *diary
}

func (s *toldSink) Writer(ctx context.Context, env sink.WriterEnv, restored [][]byte) (sink.Writer[string], error) {
	inner, err := s.Collector.Writer(ctx, env, restored)
	if err != nil {
		return nil, err
	}
	w := &toldWriter{inner.(sink.TwoPhaseWriter[string]), s.diary, who{step: "writer", subtask: env.Subtask, attempt: env.Attempt}}
	s.diary.note(w.at, "open", env.RestoredFrom, 0)
	return w, nil
}

type toldWriter struct {
	sink.TwoPhaseWriter[string]
	diary *diary
	at    who
}

func (w *toldWriter) Prepare(ctx context.Context, id int64, end bool) ([][]byte, error) {
	if end {
		w.diary.note(w.at, "finish", 0, 0)
	} else {
		w.diary.note(w.at, "before", id, 0)
	}
	return w.TwoPhaseWriter.Prepare(ctx, id, end)
}

func (w *toldWriter) CheckpointComplete(id int64) error {
	w.diary.note(w.at, "complete", id, 0)
	return nil
}

func (w *toldWriter) CheckpointAborted(id int64) error {
	w.diary.note(w.at, "aborted", id, 0)
	return nil
}

// outspoken fails, panics or emits in one of its hooks.
type outspoken struct {
	Hook, How string
}

func (p *outspoken) On(c *weir.Ctx[int, int], n int) error { c.Emit(n); return nil }

func (p *outspoken) hook(c *weir.Ctx[int, int], name string) error {
	if name != p.Hook {
		return nil
	}
	switch p.How {
	case "error":
		return errTest
	case "panic":
		panic("no")
	}
	c.Emit(1)
	return nil
}

func (p *outspoken) Open(c *weir.Ctx[int, int]) error { return p.hook(c, "Open") }

func (p *outspoken) BeforeCheckpoint(c *weir.Ctx[int, int], _ weir.CheckpointInfo) error {
	return p.hook(c, "BeforeCheckpoint")
}

func (p *outspoken) CheckpointComplete(c *weir.Ctx[int, int], _ weir.CheckpointInfo) error {
	return p.hook(c, "CheckpointComplete")
}

func (p *outspoken) CheckpointAborted(c *weir.Ctx[int, int], _ weir.CheckpointInfo) error {
	return p.hook(c, "CheckpointAborted")
}

// TestHookErrors shows that an error in a hook fails the job and says whose it is, and that who is told
// how a checkpoint ended cannot emit.
func TestHookErrors(t *testing.T) {
	for _, c := range []struct{ hook, how, want string }{
		{"Open", "error", errTest.Error()},
		{"Open", "emit", "Open has emitted a record: emit in On, OnTimer, BeforeCheckpoint or Finish"},
		{"BeforeCheckpoint", "error", errTest.Error()},
		{"BeforeCheckpoint", "panic", "panic: no"},
		{"CheckpointComplete", "error", errTest.Error()},
		{"CheckpointComplete", "panic", "panic: no"},
		{"CheckpointComplete", "emit", "CheckpointComplete has emitted a record: emit in On, OnTimer, BeforeCheckpoint or Finish"},
	} {
		t.Run(c.hook+" "+c.how, func(t *testing.T) {
			in := &tape[int]{splits: [][]int{numbers(10)}}
			in.hold(0, 5)
			j := newJob(t, 1)
			j.Set("restart-strategy.type", "none")
			j.Checkpoint(checkpoint.Every(10 * time.Millisecond))
			keyed := weir.KeyBy(weir.From(j, "in", in), weir.Self)
			weir.To(weir.Process(keyed, "step", &outspoken{c.hook, c.how}), "out", memory.Collect[int]())
			err := runFor(t, j)
			contains(t, err, `step "step`, "subtask 0", c.want)
			if strings.Contains(err.Error(), ", key ") {
				t.Errorf("%v names a key, although no record is being handled", err)
			}
		})
	}
}

// misshapen has hooks that would never be called.
type misshapen struct{}

func (misshapen) On(*weir.Ctx[int, int], int) error { return nil }
func (misshapen) CheckpointComplete(int64) error    { return nil }
func (misshapen) Finish()                           {}

// TestMisshapenHooks shows that a method with the name of a hook and another form is found when the job is built.
func TestMisshapenHooks(t *testing.T) {
	j := newJob(t, 1)
	weir.To(weir.Process(weir.KeyBy(weir.From(j, "in", memory.Slice([]int{1})), weir.Self), "step", misshapen{}), "out", memory.Collect[int]())
	contains(t, runFor(t, j), `step "step"`, "has a method Finish func(), which would never be called: make it func(*weir.Ctx[int,int]) error",
		"CheckpointComplete func(int64) error", "weir.CheckpointInfo) error")
}

// enumeratorError is an enumerator that does not like what it is told.
type enumeratorError struct{ source.Enumerator }

func (enumeratorError) CheckpointComplete(int64) error { panic("no") }
func (enumeratorError) CheckpointAborted(int64) error  { return nil }

type sourceOfErrors struct{ *tape[int] }

func (s sourceOfErrors) Enumerator(ctx context.Context, env source.EnumeratorEnv, restored []byte) (source.Enumerator, error) {
	e, err := s.tape.Enumerator(ctx, env, restored)
	return enumeratorError{e}, err
}

// TestEnumeratorHookFails shows that an enumerator that fails when it is told fails the job.
func TestEnumeratorHookFails(t *testing.T) {
	in := &tape[int]{splits: [][]int{numbers(10)}}
	in.hold(0, 5)
	j := newJob(t, 1)
	j.Set("restart-strategy.type", "none")
	j.Checkpoint(checkpoint.Every(10 * time.Millisecond))
	weir.To(weir.From(j, "in", sourceOfErrors{in}), "out", memory.Collect[int]())
	contains(t, runFor(t, j), `source "in"`, "panic: no")
}
