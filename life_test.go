package weir_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/checkpoint"
	"github.com/weirstream/weir/connector/memory"
	"github.com/weirstream/weir/internal/cluster/start"
	"github.com/weirstream/weir/internal/exitcode"
	"github.com/weirstream/weir/internal/graph"
	"github.com/weirstream/weir/internal/protocol/snapshot"
	istorage "github.com/weirstream/weir/internal/storage"
	"github.com/weirstream/weir/internal/storage/fs"
	"github.com/weirstream/weir/sink"
	"github.com/weirstream/weir/source"
	"github.com/weirstream/weir/state"
	"github.com/weirstream/weir/storage"
	"github.com/weirstream/weir/window"
)

// reading is a record of the tests of jobs that stop and go on. Each key is in one split, in order of Seq and of time.
type reading struct {
	Key, Seq int
}

func (r reading) millis() int64 { return int64(r.Seq) * 3 }

// world is what outlives the runs of one job: its input, its output, its checkpoints.
type world struct {
	t     *testing.T
	in    *tape[reading]
	fs    storage.FS
	dir   string
	out   *memory.Collector[string]
	sink  sink.Sink[string] // out unless a test has put something before it
	flags start.Flags
	// options are added to those of every run.
	options []checkpoint.Option
	set     map[string]string
	byHand  bool                   // without periodic checkpoints
	source  source.Source[reading] // in unless a test has put something before it
	textual bool                   // run the job with another type of state
	renamed bool                   // run the job with other ids, and say what they were
	// more adds results to those of the job: wantMore for each record that passes the filter, and wantAlso.
	more     func(j *weir.Job, in weir.Stream[reading]) weir.Stream[string]
	wantMore func(r reading) []string
	wantAlso []string
	log      *slog.Logger // nil for that of the test
	// build and wanted stand for another job, and what an undisturbed run of it commits.
	build  func(j *weir.Job)
	wanted func() []string
}

func newWorld(t *testing.T, splits, records int) *world {
	w := &world{t: t, in: &tape[reading]{batch: 7, together: true}, fs: fs.NewMemory(), dir: t.TempDir(), out: memory.Collect[string](), set: map[string]string{}}
	for s := range splits {
		var split []reading
		for i := range records {
			for k := range 3 {
				split = append(split, reading{Key: s*3 + k, Seq: i})
			}
		}
		w.in.splits = append(w.in.splits, split)
	}
	w.sink = w.out
	w.set["restart-strategy.type"] = "none"
	return w
}

// want returns what a run without failures commits.
func (w *world) want() []string {
	if w.wanted != nil {
		return w.wanted()
	}
	all := slices.Clone(w.wantAlso)
	for _, split := range w.in.splits {
		sums, windows := map[int]int{}, map[string]int{}
		for _, r := range split {
			if r.Seq%2 == 1 {
				continue
			}
			sums[r.Key] += r.Seq
			all = append(all, fmt.Sprintf("key %d seq %d sum %d", r.Key, r.Seq, sums[r.Key]), fmt.Sprintf("seen %d %d", r.Key, r.Seq))
			if w.wantMore != nil {
				all = append(all, w.wantMore(r)...)
			}
			windows[fmt.Sprintf("key %d window %d", r.Key, r.millis()/10*10)]++
		}
		for name, n := range windows {
			all = append(all, fmt.Sprintf("%s: %d", name, n))
		}
		for k, sum := range sums {
			all = append(all, fmt.Sprintf("key %d in all %d", k, sum))
		}
	}
	slices.Sort(all)
	return all
}

// sums emits running sums, and the last one at the end of the data by a timer that moves on with each record.
type sums struct {
	Sum state.Value[int]      `state:"sum"`
	Old state.List[int]       `state:"old"`
	Set state.Map[int, int]   `state:"set"`
	Str state.Value[[]string] `state:"str"`
	End weir.Timer            `timer:"end,event"`
}

func (p *sums) On(c *weir.Ctx[int, string], r reading) error {
	p.Sum.Set(p.Sum.Get() + r.Seq)
	p.Old.Append(r.Seq)
	p.Set.Put(r.Seq, p.Sum.Get())
	p.Str.Set(append(p.Str.Get(), fmt.Sprint(r.Seq)))
	p.End.AtMillis(1 << 50)
	c.Emit(fmt.Sprintf("key %d seq %d sum %d", c.Key(), r.Seq, p.Sum.Get()))
	return nil
}

func (p *sums) OnTimer(c *weir.Ctx[int, string], _ *weir.Timer) error {
	all := 0
	for n := range p.Old.All() {
		all += n
	}
	if all != p.Sum.Get() || p.Old.Len() < p.Set.Len() || p.Old.Len() != len(p.Str.Get()) {
		return fmt.Errorf("states differ: %d, %d, %d, %d, %d", all, p.Sum.Get(), p.Old.Len(), p.Set.Len(), len(p.Str.Get()))
	}
	c.Emit(fmt.Sprintf("key %d in all %d", c.Key(), all))
	return nil
}

// keeper keeps what it has seen in a list and emits it at the end.
type keeper struct {
	Seen state.List[reading] `state:"seen"`
}

func (p *keeper) On(_ *weir.Ctx[weir.NoKey, string], r reading) error {
	p.Seen.Append(r)
	return nil
}

func (p *keeper) Finish(c *weir.Ctx[weir.NoKey, string]) error {
	for r := range p.Seen.All() {
		c.Emit(fmt.Sprintf("seen %d %d", r.Key, r.Seq))
	}
	return nil
}

// job builds the job: sums and windows by key behind a shuffle, lists without keys, two-phase sinks.
func (w *world) job(parallelism int) *weir.Job {
	j := newJob(w.t, parallelism)
	j.Logger(cmp.Or(w.log, logger(w.t)))
	j.Checkpoint(checkpoint.KeepOnCancel())
	if !w.byHand {
		j.Checkpoint(checkpoint.Every(10 * time.Millisecond))
	}
	if w.dir != "" {
		j.Checkpoint(checkpoint.Dir(w.dir))
	}
	j.Checkpoint(w.options...)
	for _, k := range slices.Sorted(maps.Keys(w.set)) {
		j.Set(k, w.set[k])
	}
	if w.build != nil {
		w.build(j)
		return j
	}
	id := func(name string) (string, weir.Option) {
		if w.renamed {
			return "new " + name, weir.FormerlyID(name)
		}
		return name, func(*graph.Node) {}
	}
	name, formerly := id("in")
	in := weir.Filter(weir.From(j, name, w.from(), formerly), func(r reading) bool { return r.Seq%2 == 0 })
	timed := weir.EventTime(in, reading.millis)
	keyed := weir.KeyBy(timed, func(r reading) int { return r.Key })
	var summed weir.Stream[string]
	step, formerly := id("sums")
	if w.textual {
		summed = weir.Process(keyed, step, &textual{}, formerly)
	} else {
		summed = weir.Process(keyed, step, &sums{}, formerly)
	}
	step, formerly = id("windows")
	windowed := weir.Window(keyed, step, window.Tumbling(10*time.Millisecond), func(n *int, _ reading) { *n++ },
		func(k int, s window.Span, n int) string { return fmt.Sprintf("key %d window %d: %d", k, s.Start, n) }, formerly)
	step, formerly = id("kept")
	kept := weir.ProcessPlain(weir.Rebalance(in), step, &keeper{}, formerly)
	results := []weir.Stream[string]{summed, windowed, kept}
	if w.more != nil {
		results = append(results, w.more(j, in))
	}
	step, formerly = id("out")
	weir.To(weir.Union(results[0], results[1:]...), step, w.sink, formerly)
	return j
}

func (w *world) from() source.Source[reading] {
	if w.source != nil {
		return w.source
	}
	return w.in
}

func (w *world) start(ctx context.Context, parallelism int) *weir.Execution {
	w.t.Helper()
	e, err := weir.StartOn(ctx, w.job(parallelism), w.fs, w.flags)
	if err != nil {
		w.t.Fatal(err)
	}
	return e
}

// patience is how long a test waits for what must happen, on a machine that does much else, with the race detector. Only a test that fails waits so long.
const patience = 2 * time.Minute

// end waits for a run and checks how it ended.
func (w *world) end(e *weir.Execution, want weir.Status) (weir.Result, error) {
	w.t.Helper()
	select {
	case <-e.Done():
	case <-time.After(patience):
		e.Abort()
		w.t.Fatalf("the job does not end: %+v", e.Progress())
	}
	r, err := e.Wait()
	if r.Status != want {
		w.t.Fatalf("the job ended as %s, %v: want %s", r.Status, err, want)
	}
	return r, err
}

// finish runs the job to its end and compares what is committed with an undisturbed run.
func (w *world) finish(parallelism int) {
	w.t.Helper()
	for i := range w.in.splits {
		w.in.release(i)
	}
	w.end(w.start(context.Background(), parallelism), weir.Finished)
	w.check()
}

func (w *world) check() {
	w.t.Helper()
	if err := w.compare(w.out.Records()); err != nil {
		w.t.Fatal(err)
	}
}

// compare returns how records differ from what a run without failures commits.
func (w *world) compare(records []string) error {
	got, want := slices.Sorted(slices.Values(records)), w.want()
	if slices.Equal(got, want) {
		return nil
	}
	count := map[string]int{}
	for _, s := range want {
		count[s]++
	}
	for _, s := range got {
		count[s]--
	}
	var differ []string
	for _, s := range slices.Sorted(maps.Keys(count)) {
		if n := count[s]; n != 0 {
			differ = append(differ, fmt.Sprintf("%q: %+d", s, -n))
		}
	}
	return fmt.Errorf("%d records, want %d:\n%s", len(got), len(want), strings.Join(differ[:min(20, len(differ))], "\n"))
}

// upTo runs the job until a checkpoint has completed after all splits were read up to a position, and stops it in a way.
func (w *world) upTo(parallelism, position int, stop func(e *weir.Execution, cancel func()), want weir.Status) weir.Result {
	w.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	e := w.readUpTo(ctx, parallelism, position)
	stop(e, cancel)
	r, _ := w.end(e, want)
	return r
}

// readUpTo starts the job and waits until a checkpoint has completed after all splits were read up to a position.
func (w *world) readUpTo(ctx context.Context, parallelism, position int) *weir.Execution {
	w.t.Helper()
	for i := range w.in.splits {
		w.in.hold(i, position)
	}
	e := w.start(ctx, parallelism)
	until(w.t, e, "records", w.in.isRead)
	w.checkpoints(e, 2) // the first may have begun before that
	return e
}

// checkpoints waits until n more checkpoints have completed.
func (w *world) checkpoints(e *weir.Execution, n int) {
	w.t.Helper()
	n += e.Progress().Checkpoint.Completed
	until(w.t, e, "checkpoint", func() bool { return e.Progress().Checkpoint.Completed >= n })
}

// until waits for something that a running job will do, and that only looking tells.
func until(t testing.TB, e *weir.Execution, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !done(); time.Sleep(time.Millisecond) {
		select {
		case <-e.Done():
			if done() {
				return
			}
			r, err := e.Wait()
			t.Fatalf("the job ended as %s before %s: %v", r.Status, what, err)
		default:
		}
		if time.Now().After(deadline) {
			e.Abort()
			t.Fatalf("no %s: %+v", what, e.Progress())
		}
	}
}

func suspend(_ *weir.Execution, cancel func()) { cancel() }
func abort(e *weir.Execution, _ func())        { e.Abort() }
func cancelJob(e *weir.Execution, _ func())    { e.Cancel() }

// TestRescale shows that every kind of state goes on at another parallelism: keyed state, timers, windows, lists, splits, the sink's
// transactions; after a stop with a checkpoint and after an abort.
func TestRescale(t *testing.T) {
	for name, stop := range map[string]func(*weir.Execution, func()){"suspended": suspend, "aborted": abort} {
		t.Run(name, func(t *testing.T) {
			status := map[string]weir.Status{"suspended": weir.Suspended, "aborted": weir.Aborted}[name]
			w := newWorld(t, 5, 60)
			w.upTo(1, 50, stop, status)
			w.upTo(3, 100, stop, status)
			w.upTo(2, 150, stop, status)
			w.finish(3)
		})
	}
}

// TestSuspendCommits shows that a stop with a checkpoint commits all that was read before it.
func TestSuspendCommits(t *testing.T) {
	w := newWorld(t, 2, 20)
	r := w.upTo(2, 30, suspend, weir.Suspended)
	n := 0
	for _, s := range w.out.Records() {
		if strings.Contains(s, "sum") {
			n++
		}
	}
	if n != 2*15 { // half of the records pass the filter
		t.Errorf("%d sums are committed, want 30", n)
	}
	if !strings.Contains(r.Checkpoint, w.dir) {
		t.Errorf("the result names checkpoint %q", r.Checkpoint)
	}
	w.finish(1)
}

// TestAtOnce shows jobs of the smallest kinds, with checkpoints: nothing to read, one record, one split for two subtasks.
func TestAtOnce(t *testing.T) {
	for _, splits := range []int{0, 1, 2} {
		for _, records := range []int{0, 1, 40} {
			w := newWorld(t, splits, records)
			w.finish(2)
		}
	}
}

// TestRestart shows that a failing task restarts the job from its latest checkpoint, as often as the strategy allows.
func TestRestart(t *testing.T) {
	tests := []struct {
		name     string
		set      map[string]string
		failures int32
		status   weir.Status
	}{
		{"fixed delay", map[string]string{"restart-strategy.type": "fixed-delay", "restart-strategy.fixed-delay.attempts": "2", "restart-strategy.fixed-delay.delay": "0"}, 2, weir.Finished},
		{"fixed delay, one too many", map[string]string{"restart-strategy.type": "fixed-delay", "restart-strategy.fixed-delay.attempts": "2", "restart-strategy.fixed-delay.delay": "1 ms"}, 3, weir.Failed},
		{"none", map[string]string{"restart-strategy.type": "none"}, 1, weir.Failed},
		{"failure rate", map[string]string{"restart-strategy.type": "failure-rate", "restart-strategy.failure-rate.max-failures-per-interval": "2", "restart-strategy.failure-rate.delay": "1 ms"}, 2, weir.Finished},
		{"failure rate, one too many", map[string]string{"restart-strategy.type": "failure-rate", "restart-strategy.failure-rate.max-failures-per-interval": "2", "restart-strategy.failure-rate.delay": "1 ms"}, 3, weir.Failed},
		{"exponential delay", map[string]string{"restart-strategy.type": "exponential-delay", "restart-strategy.exponential-delay.initial-backoff": "1 ms"}, 3, weir.Finished},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, 3, 60)
			maps.Copy(w.set, test.set)
			var failures atomic.Int32
			var e atomic.Pointer[weir.Execution]
			w.in.poll = func(split, at int) error {
				x := e.Load()
				if split == 1 && at >= 50 && x != nil && failures.Load() < test.failures && x.Progress().Checkpoint.Completed > int(failures.Load()) {
					failures.Add(1)
					return errTest
				}
				return nil
			}
			w.in.hold(1, 50)
			w.in.hold(2, 30) // so that the job does not finish before it has failed
			e.Store(w.start(context.Background(), 2))
			for n := range test.failures { // each after a checkpoint, and at a record that was not read before it
				until(t, e.Load(), "checkpoint", func() bool { return e.Load().Progress().Checkpoint.Completed > int(n) })
				w.in.hold(1, 51+int(n))
				until(t, e.Load(), "failure", func() bool { return failures.Load() > n })
			}
			w.in.release(1)
			w.in.release(2)
			_, err := w.end(e.Load(), test.status)
			if failures.Load() != test.failures {
				t.Fatalf("%d failures, want %d", failures.Load(), test.failures)
			}
			if test.status == weir.Failed {
				contains(t, err, `step "in", subtask`, errTest.Error())
				w.finish(2) // RETAIN keeps the checkpoints of a failed job
				return
			}
			if n := e.Load().Progress().Restarts; n != int(test.failures) {
				t.Errorf("%d restarts, want %d", n, test.failures)
			}
			w.check()
		})
	}
}

// TestPermanentError shows that an error that a replay must repeat fails the job without a restart.
func TestPermanentError(t *testing.T) {
	w := newWorld(t, 2, 30)
	w.set = map[string]string{"restart-strategy.type": "fixed-delay", "restart-strategy.fixed-delay.attempts": "100", "restart-strategy.fixed-delay.delay": "0"}
	w.in.poll = func(_, at int) error {
		if at == 40 {
			return source.Permanent(errTest)
		}
		return nil
	}
	w.in.hold(0, 20)
	w.in.hold(1, 20)
	e := w.start(context.Background(), 2)
	w.checkpoints(e, 1)
	w.in.release(0)
	w.in.release(1)
	_, err := w.end(e, weir.Failed)
	contains(t, err, errTest.Error())
	if n := e.Progress().Restarts; n != 0 {
		t.Errorf("%d restarts", n)
	}
	w.in.poll = nil
	w.finish(1)
}

// TestRestartWithoutCheckpoint shows that a job that fails before its first checkpoint begins again, and doubles nothing.
func TestRestartWithoutCheckpoint(t *testing.T) {
	w := newWorld(t, 2, 30)
	w.options = []checkpoint.Option{checkpoint.Every(time.Hour)}
	w.set = map[string]string{"restart-strategy.type": "fixed-delay", "restart-strategy.fixed-delay.delay": "0"}
	var failed atomic.Bool
	w.in.poll = func(_, at int) error {
		if at == 40 && failed.CompareAndSwap(false, true) {
			return errTest
		}
		return nil
	}
	w.finish(2)
}

// TestStorageFaults shows what a file system that fails does to a job: the message says what happened, the job restarts or fails, and
// nothing is lost or doubled.
func TestStorageFaults(t *testing.T) {
	full := fmt.Errorf("write: %w", syscall.ENOSPC)
	readOnly := syscall.EACCES
	tests := []struct {
		name  string
		fault fs.Fault
		want  []string
	}{
		{"full disk", fs.Fault{Op: fs.OpWrite, Path: "*", Times: fs.Forever, Err: full}, []string{"no space left on device"}},
		{"no state file can be made", fs.Fault{Op: fs.OpCreate, Path: "*", Times: fs.Forever, Err: full}, []string{"no space left on device"}},
		{"read-only folder", fs.Fault{Op: fs.OpMakeDir, Path: "*", Times: fs.Forever, Err: readOnly}, []string{"permission denied"}},
		{"_metadata cannot be written", fs.Fault{Path: "_metadata", Op: fs.OpPut, Times: fs.Forever, Err: full}, []string{"no space left on device"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, 3, 60)
			w.set["execution.checkpointing.data-inline-threshold"] = "0" // so that there are files
			faulty := fs.NewFaulty(w.fs, nil)
			w.fs = faulty
			for i := range w.in.splits {
				w.in.hold(i, 50)
			}
			e := w.start(context.Background(), 2)
			w.checkpoints(e, 2)
			faulty.Inject(test.fault)
			for i := range w.in.splits {
				w.in.hold(i, 100)
			}
			_, err := w.end(e, weir.Failed)
			contains(t, err, append(test.want, "checkpoint")...)
			faulty.Clear()
			w.finish(3)
		})
	}
}

// TestTolerated shows that failed checkpoints within the tolerance do no harm, and that what they had prepared is committed later.
func TestTolerated(t *testing.T) {
	w := newWorld(t, 3, 60)
	faulty := fs.NewFaulty(w.fs, nil)
	w.fs = faulty
	w.options = []checkpoint.Option{checkpoint.TolerateFailures(1000)}
	for i := range w.in.splits {
		w.in.hold(i, 50)
	}
	e := w.start(context.Background(), 2)
	w.checkpoints(e, 1)
	faulty.Inject(fs.Fault{Op: fs.OpPut, Path: "_metadata", Times: 1000, Err: syscall.ENOSPC})
	until(t, e, "failed checkpoints", func() bool { return e.Progress().Checkpoint.Failed >= 3 })
	faulty.Clear()
	for i := range w.in.splits {
		w.in.release(i)
	}
	w.end(e, weir.Finished)
	w.check()
	if n := e.Progress().Restarts; n != 0 {
		t.Errorf("%d restarts", n)
	}
}

// TestDeletedLater shows that checkpoints which cannot be deleted for a while are deleted when that is possible again, with the files that they share:
// after a later checkpoint, or at the end.
func TestDeletedLater(t *testing.T) {
	for _, atEnd := range []bool{false, true} {
		t.Run(fmt.Sprintf("at the end=%v", atEnd), func(t *testing.T) {
			w := newWorld(t, 3, 100)
			memory := fs.NewMemory()
			faulty := fs.NewFaulty(memory, nil)
			w.fs, w.dir = faulty, "shelf://c"
			w.set["execution.checkpointing.data-inline-threshold"] = "0"
			w.set["execution.checkpointing.incremental"] = "true"
			w.set["execution.checkpointing.externalized-checkpoint-retention"] = "NO_EXTERNALIZED_CHECKPOINTS"
			w.set["weir.storage.retries"] = "0"
			for i := range w.in.splits {
				w.in.hold(i, 50)
			}
			e := w.start(context.Background(), 2)
			w.checkpoints(e, 1)
			fault := fs.Fault{Op: fs.OpRemove, Path: "_metadata", Times: 3, Err: errTest}
			if atEnd {
				fault.Times = fs.Forever
			}
			faulty.Inject(fault)
			w.checkpoints(e, 4)
			if atEnd {
				faulty.Clear()
				e.Cancel()
				w.end(e, weir.Canceled)
			} else {
				for i := range w.in.splits {
					w.in.release(i)
				}
				w.end(e, weir.Finished)
			}
			for _, name := range memory.Files() {
				if !strings.HasSuffix(name, ".line") && !strings.HasSuffix(name, ".lock") {
					t.Errorf("%s is left", name)
				}
			}
		})
	}
}

// TestStartOnReadOnly shows that a job whose checkpoint folder cannot be written to does not start, and says why.
func TestStartOnReadOnly(t *testing.T) {
	w := newWorld(t, 1, 10)
	faulty := fs.NewFaulty(w.fs, nil)
	faulty.Inject(fs.Fault{Times: fs.Forever, Op: fs.OpMakeDir, Err: syscall.EACCES})
	_, err := weir.StartOn(context.Background(), w.job(1), faulty, w.flags)
	contains(t, err, "permission denied", "checkpoint directory")
	w.finish(1)
}

// TestStoppedAtStart shows that a job that is told to stop while it starts does not call that a refusal: a supervisor may run it again.
func TestStoppedAtStart(t *testing.T) {
	w := newWorld(t, 2, 40)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := weir.StartOn(ctx, w.job(1), w.fs, w.flags)
	var refused *start.Error
	if !errors.As(err, &refused) || refused.Code != exitcode.Stopped {
		t.Fatalf("error %v, want one with exit code %d", err, exitcode.Stopped)
	}
	contains(t, err, "was stopped before it began", "the same command starts it again")
	w.finish(1)
}

// TestSnapshotWithoutDirectory shows that a job without a checkpoint directory goes on from a snapshot once: a second run, of which it cannot
// know that it is one, does not add to the output of the first.
func TestSnapshotWithoutDirectory(t *testing.T) {
	w := newWorld(t, 2, 40)
	w.set["execution.state-recovery.path"] = w.upTo(2, 30, suspend, weir.Suspended).Checkpoint
	for i := range w.in.splits {
		w.in.release(i)
	}
	w.dir, w.out = "", memory.Collect[string]()
	w.sink = w.out
	w.end(w.start(context.Background(), 2), weir.Finished)
	before := len(w.out.Records())

	_, err := weir.StartOn(context.Background(), w.job(2), w.fs, w.flags)
	contains(t, err, `sink "out" holds the output of an earlier run`, "another output, or a checkpoint directory")
	if strings.Contains(err.Error(), "--fresh") || len(w.out.Records()) != before {
		t.Errorf("%d records, had %d; %v", len(w.out.Records()), before, err)
	}
}

// TestRetention shows which ends keep which checkpoints.
func TestRetention(t *testing.T) {
	tests := []struct {
		retention string
		stop      func(*weir.Execution, func())
		status    weir.Status
		kept      bool
	}{
		{"RETAIN_ON_CANCELLATION", cancelJob, weir.Canceled, true},
		{"DELETE_ON_CANCELLATION", cancelJob, weir.Canceled, false},
		{"NO_EXTERNALIZED_CHECKPOINTS", cancelJob, weir.Canceled, false},
		{"NO_EXTERNALIZED_CHECKPOINTS", suspend, weir.Suspended, true},
		{"NO_EXTERNALIZED_CHECKPOINTS", abort, weir.Aborted, true},
		{"DELETE_ON_CANCELLATION", suspend, weir.Suspended, true},
	}
	for _, test := range tests {
		t.Run(test.retention+" "+string(test.status), func(t *testing.T) {
			w := newWorld(t, 2, 30)
			w.set["execution.checkpointing.externalized-checkpoint-retention"] = test.retention
			r := w.upTo(2, 30, test.stop, test.status)
			if kept := w.metadata(); (len(kept) > 0) != test.kept || (r.Checkpoint != "") != test.kept {
				t.Errorf("kept %q, result %q: want %v", kept, r.Checkpoint, test.kept)
			}
			if test.status == weir.Canceled {
				_, err := weir.StartOn(context.Background(), w.job(2), w.fs, w.flags)
				contains(t, err, "fresh")
				return
			}
			w.finish(1)
			if kept := w.metadata(); len(kept) != 0 {
				t.Errorf("the finished job has left %q", kept)
			}
		})
	}
}

// metadata returns the published checkpoints.
func (w *world) metadata() (names []string) {
	w.t.Helper()
	var walk func(dir string)
	walk = func(dir string) {
		entries, err := w.fs.List(context.Background(), dir)
		if err != nil && !errors.Is(err, storage.ErrNotExist) {
			w.t.Fatal(err)
		}
		for _, e := range entries {
			name := filepath.Join(dir, e.Name)
			if e.Name == "_metadata" {
				names = append(names, name)
			} else if e.Dir {
				walk(name)
			}
		}
	}
	walk(w.dir)
	return names
}

// TestLateStaysLate shows that a record that was late before a restore is late after it: event time goes on where it was, before the first
// record is read.
func TestLateStaysLate(t *testing.T) {
	in := &tape[event]{splits: [][]event{{{"a", 1}, {"a", 30}, {"a", 2}, {"a", 31}}}}
	out, files, dir := memory.Collect[string](), fs.NewMemory(), t.TempDir()
	passed := make(chan struct{}, 10)
	start := func(ctx context.Context) *weir.Execution {
		j := newJob(t, 1)
		j.Checkpoint(checkpoint.Every(10*time.Millisecond), checkpoint.Dir(dir))
		weir.To(weir.Map(windows(weir.From(j, "in", in)), func(s string) string { passed <- struct{}{}; return s }), "out", out)
		e, err := weir.StartOn(ctx, j, files, start.Flags{})
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	in.hold(0, 2)
	ctx, cancel := context.WithCancel(context.Background())
	e := start(ctx)
	<-passed
	if err := e.Running(ctx); err != nil { // records may flow before all tasks have said that they run, and a stop then takes no checkpoint
		t.Fatal(err)
	}
	cancel()
	if r, err := e.Wait(); r.Status != weir.Suspended {
		t.Fatalf("%v, %v", r, err)
	}
	in.release(0)
	if r, err := start(context.Background()).Wait(); r.Status != weir.Finished {
		t.Fatalf("%v, %v", r, err)
	}
	equal(t, slices.Sorted(slices.Values(out.Records())), []string{"a [0,10) 1", "a [30,40) 2"})
}

// TestFinishedSubtasks shows a job one of whose source subtasks has finished long before the other: checkpoints go on, the job can be
// stopped and killed in that state, also before the finished subtask's last checkpoint, and goes on at another parallelism.
func TestFinishedSubtasks(t *testing.T) {
	for name, stop := range map[string]func(*weir.Execution, func()){"suspended": suspend, "aborted": abort, "aborted at once": abort} {
		for _, parallelism := range []int{1, 2, 3} {
			t.Run(fmt.Sprintf("%s, then %d", name, parallelism), func(t *testing.T) {
				w := newWorld(t, 2, 40)
				w.in.together = false
				w.in.hold(0, 0)
				w.in.hold(1, 30)
				w.in.poll = func(split, _ int) error {
					if split == 1 { // the subtasks have one split each: split 0 is read to its end
						w.in.release(0)
					}
					return nil
				}
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				e := w.start(ctx, 2)
				if name == "aborted at once" {
					until(t, e, "records", func() bool { return e.Progress().Steps[0].Out >= 60+15 })
				} else {
					w.checkpoints(e, 4) // the first subtask has ended after the second
				}
				stop(e, cancel)
				w.end(e, map[bool]weir.Status{true: weir.Suspended, false: weir.Aborted}[name == "suspended"])
				w.in.poll, w.in.together = nil, true
				w.upTo(parallelism, 60, func(e *weir.Execution, cancel func()) {
					w.in.release(0) // it has been read already, if it is known to be
					w.checkpoints(e, 2)
					stop(e, cancel)
				}, map[bool]weir.Status{true: weir.Suspended, false: weir.Aborted}[name == "suspended"])
				w.finish(2)
			})
		}
	}
}

// TestKillAtTheEnd shows that a job that is ended between the end of its data and the final checkpoint goes on and finishes, and that one
// whose final checkpoint is complete but not committed commits.
func TestKillAtTheEnd(t *testing.T) {
	w := newWorld(t, 2, 20)
	hold := newSlowSink(w.out)
	w.sink = hold
	e := w.start(context.Background(), 2)
	<-hold.entered // a commit is under way
	e.Abort()
	w.end(e, weir.Aborted)
	w.sink = w.out
	w.finish(3)
}

// load returns what a checkpoint or savepoint says of itself.
func load(t testing.TB, files storage.FS, path string) *snapshot.Metadata {
	t.Helper()
	meta, err := istorage.Load(context.Background(), files, path)
	if err != nil {
		t.Fatal(err)
	}
	return meta
}

// verify reads a checkpoint or savepoint through.
func verify(files storage.FS, path string) error {
	meta, err := istorage.Load(context.Background(), files, path)
	if err != nil {
		return err
	}
	return istorage.Verify(context.Background(), files, meta)
}

// hindered is a sink whose committer does something before it commits or recovers, unless that is nil. If it fails, nothing else is done. It
// recovers all subtasks or none.
type hindered struct {
	sink.TwoPhase[string]
	beforeCommit, beforeRecover func(context.Context) error
}

// Withdraws says what the sink does.
func (s hindered) Withdraws() bool {
	w, ok := s.TwoPhase.(sink.Withdrawer)
	return ok && w.Withdraws()
}

func (s hindered) Committer(ctx context.Context, env sink.CommitterEnv) (sink.Committer, error) {
	c, err := s.TwoPhase.Committer(ctx, env)
	return hinderedCommitter{c, s}, err
}

type hinderedCommitter struct {
	sink.Committer
	by hindered
}

func (c hinderedCommitter) Commit(ctx context.Context, id int64, pending [][]byte) error {
	if c.by.beforeCommit != nil {
		if err := c.by.beforeCommit(ctx); err != nil {
			return err
		}
	}
	return c.Committer.Commit(ctx, id, pending)
}

func (c hinderedCommitter) Recover(ctx context.Context, r sink.Recovery) (sink.Recovered, error) {
	if c.by.beforeRecover != nil {
		if err := c.by.beforeRecover(ctx); err != nil {
			return sink.Recovered{}, err
		}
	}
	return c.Committer.Recover(ctx, r)
}

// slowSink commits only when it is let.
type slowSink struct {
	hindered
	entered chan struct{} // closed when the first commit begins
	release chan struct{}
}

func newSlowSink(c *memory.Collector[string]) *slowSink {
	s := &slowSink{entered: make(chan struct{}), release: make(chan struct{})}
	entered := sync.OnceFunc(func() { close(s.entered) })
	s.hindered = hindered{TwoPhase: c, beforeCommit: func(ctx context.Context) error {
		entered()
		select {
		case <-s.release:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}}
	return s
}

// TestSlowCommit shows that a commit that takes long does not stop checkpoints, and that a stop waits for it.
func TestSlowCommit(t *testing.T) {
	w := newWorld(t, 2, 40)
	slow := newSlowSink(w.out)
	w.sink = slow
	w.in.hold(0, 30)
	w.in.hold(1, 30)
	ctx, cancel := context.WithCancel(context.Background())
	e := w.start(ctx, 2)
	<-slow.entered
	w.checkpoints(e, 3)
	cancel()
	select {
	case <-e.Done():
		t.Error("the job has stopped before its commits were done")
	case <-time.After(30 * time.Millisecond):
	}
	close(slow.release)
	w.end(e, weir.Suspended)
	if n := len(w.out.Records()); n < 30 {
		t.Errorf("%d records are committed", n)
	}
	w.finish(2)
}

// TestCheckpointTimeout shows that a checkpoint whose barrier is stuck behind a busy step times out, fails the job when none may fail, and
// that nothing is lost. Time passes only when there is nothing to do, so that no other checkpoint times out.
func TestCheckpointTimeout(t *testing.T) {
	for _, tolerable := range []int{0, 1000} {
		synctest.Test(t, func(t *testing.T) { timeOut(t, tolerable) })
	}
}

func timeOut(t *testing.T, tolerable int) {
	w := newWorld(t, 2, 40)
	w.options = []checkpoint.Option{checkpoint.Timeout(time.Second), checkpoint.TolerateFailures(tolerable)}
	w.in.hold(0, 30)
	w.in.hold(1, 30)
	e := w.start(context.Background(), 2)
	w.checkpoints(e, 1)
	failed := e.Progress().Checkpoint.Failed // a reader that has found no split may have ended in one
	proceed := w.in.stick()
	w.in.hold(0, 60)
	if tolerable == 0 {
		go func() {
			for e.Progress().Checkpoint.Failed == failed {
				time.Sleep(time.Millisecond)
			}
			close(proceed)
		}()
		_, err := w.end(e, weir.Failed)
		contains(t, err, "did not complete within its timeout")
		w.finish(2)
		return
	}
	until(t, e, "failed checkpoints", func() bool { return e.Progress().Checkpoint.Failed >= failed+2 })
	close(proceed)
	w.checkpoints(e, 1)
	w.in.release(0)
	w.in.release(1)
	w.end(e, weir.Finished)
	w.check()
}

// TestJobManagerStorage shows checkpoints without files of state: a state above the limit fails clearly; with a directory they can be resumed,
// without one a restart in the process works and nothing else.
func TestJobManagerStorage(t *testing.T) {
	t.Run("too large", func(t *testing.T) {
		w := newWorld(t, 1, 4000)
		w.options = []checkpoint.Option{checkpoint.Storage(checkpoint.JobManager), checkpoint.MaxStateSize(100)}
		_, err := w.end(w.start(context.Background(), 1), weir.Failed)
		contains(t, err, "checkpoint", "100 bytes")
	})
	t.Run("resumed", func(t *testing.T) {
		w := newWorld(t, 2, 40)
		w.options = []checkpoint.Option{checkpoint.Storage(checkpoint.JobManager)}
		w.upTo(2, 50, suspend, weir.Suspended)
		w.upTo(1, 90, abort, weir.Aborted)
		w.finish(3)
	})
	t.Run("in memory", func(t *testing.T) {
		w := newWorld(t, 2, 40)
		w.options = []checkpoint.Option{checkpoint.Storage(checkpoint.JobManager)}
		w.dir = ""
		w.set = map[string]string{"restart-strategy.type": "fixed-delay", "restart-strategy.fixed-delay.delay": "0"}
		var e atomic.Pointer[weir.Execution]
		var failed atomic.Bool
		w.in.poll = func(_, at int) error {
			if x := e.Load(); at > 50 && x != nil && x.Progress().Checkpoint.Completed > 1 && failed.CompareAndSwap(false, true) {
				return errTest
			}
			return nil
		}
		w.in.hold(0, 50)
		w.in.hold(1, 50)
		e.Store(w.start(context.Background(), 2))
		w.checkpoints(e.Load(), 2)
		w.in.release(0)
		w.in.release(1)
		w.end(e.Load(), weir.Finished)
		w.check()
		if !failed.Load() {
			t.Error("nothing has failed")
		}
	})
}

// textual has the state of sums with another type.
type textual struct {
	Sum state.Value[string]   `state:"sum"`
	Old state.List[int]       `state:"old"`
	Set state.Map[int, int]   `state:"set"`
	Str state.Value[[]string] `state:"str"`
}

func (p *textual) On(*weir.Ctx[int, string], reading) error { return nil }

// TestChangedStateType shows that a checkpoint with another type of a state is refused, naming state, field and both types. The job neither
// restarts nor fails for good, which would cost it its checkpoints.
func TestChangedStateType(t *testing.T) {
	w := newWorld(t, 2, 40)
	w.set["restart-strategy.type"] = "exponential-delay"
	w.set["execution.checkpointing.externalized-checkpoint-retention"] = "NO_EXTERNALIZED_CHECKPOINTS"
	w.upTo(2, 30, suspend, weir.Suspended)
	w.textual = true
	e, err := weir.StartOn(context.Background(), w.job(2), w.fs, w.flags)
	if err == nil {
		_, err = e.Wait()
	}
	contains(t, err, `step "sums"`, `"sum"`, "int", "string", "The job was not started.")
	w.textual = false
	w.finish(2) // the refusal has damaged nothing
}

// TestRenamedSteps shows that steps find their state again under new ids if they name the old ones, at another parallelism too, and that the
// start is refused with both sides named if they do not.
func TestRenamedSteps(t *testing.T) {
	w := newWorld(t, 3, 40)
	w.upTo(2, 30, suspend, weir.Suspended)
	w.renamed = true
	w.upTo(1, 60, suspend, weir.Suspended)
	w.renamed = false
	_, err := weir.StartOn(context.Background(), w.job(2), w.fs, w.flags)
	contains(t, err, "new sums", `"sums"`)
	w.renamed = true
	w.finish(2)
}

// TestLostAnswer shows that a checkpoint whose publication took place although an error was reported is complete.
func TestLostAnswer(t *testing.T) {
	w := newWorld(t, 2, 40)
	faulty := fs.NewFaulty(w.fs, nil)
	w.fs = faulty
	w.in.hold(0, 30)
	faulty.Inject(fs.Fault{Op: fs.OpPut, Path: "_metadata", Times: 3, Late: true, Err: errTest})
	e := w.start(context.Background(), 2)
	w.checkpoints(e, 5)
	w.in.release(0)
	w.end(e, weir.Finished) // no checkpoint may fail
	w.check()
}

// TestDoubtfulCheckpoint shows what becomes of a checkpoint whose publication failed although it took place: when the job then restarts from
// further back, it is deleted, since the sinks forget what only it knew; a later start must not find it.
func TestDoubtfulCheckpoint(t *testing.T) {
	w := newWorld(t, 2, 40)
	faulty := fs.NewFaulty(w.fs, nil)
	w.fs = faulty
	w.options = []checkpoint.Option{checkpoint.TolerateFailures(1000)}
	w.set = map[string]string{"restart-strategy.type": "fixed-delay", "restart-strategy.fixed-delay.delay": "0"}
	var fail atomic.Bool
	w.in.poll = func(int, int) error {
		if fail.CompareAndSwap(true, false) {
			return errTest
		}
		return nil
	}
	w.in.hold(0, 30)
	w.in.hold(1, 30)
	faulty.Inject(fs.Fault{Op: fs.OpPut, Path: "_metadata", Times: fs.Forever, Late: true, Err: errTest})
	faulty.Inject(fs.Fault{Op: fs.OpOpen, Path: "_metadata", Times: fs.Forever, Err: errTest}) // nobody can see that it is there
	e := w.start(context.Background(), 2)
	until(t, e, "failed checkpoint", func() bool { return e.Progress().Checkpoint.Failed > 0 })
	faulty.Clear()
	faulty.Inject(fs.Fault{Op: fs.OpPut, Path: "_metadata", Times: fs.Forever, Err: errTest})
	fail.Store(true)
	w.in.hold(0, 31)
	read := int64(0)
	until(t, e, "record after the restart", func() bool {
		p := e.Progress()
		if p.Restarts == 0 {
			read = p.Steps[0].Out
		}
		return p.Restarts > 0 && p.Steps[0].Out != read
	})
	e.Abort()
	w.end(e, weir.Aborted)
	if found := w.metadata(); len(found) > 0 {
		t.Errorf("found %q", found)
	}
	faulty.Clear()
	w.finish(2)
}

// TestReasonOfAbortedCheckpointIsLogged shows that the log says in words why a checkpoint was given up of which no more is known than that it was, as
// the answer to whoever has asked for it does.
func TestReasonOfAbortedCheckpointIsLogged(t *testing.T) {
	w := newWorld(t, 1, 40)
	log := &lines{}
	w.log, w.byHand = log.logger(), true
	stuck, reading := make(chan bool), make(chan bool, 1)
	w.in.poll = func(_, at int) error {
		if at == 3 {
			reading <- true
			<-stuck
		}
		return nil
	}
	e := w.start(t.Context(), 1)
	<-reading
	if err := e.Running(context.Background()); err != nil { // records may flow before all tasks have said that they run
		t.Fatal(err)
	}
	asked := make(chan error, 1)
	go func() {
		_, err := e.Checkpoint(context.Background(), weir.ConfiguredCheckpoint)
		asked <- err
	}()
	until(t, e, "checkpoint", func() bool { return show(t, e).checkpoints().Counts["in_progress"] > 0 })
	e.Abort()
	err := <-asked
	close(stuck)
	w.end(e, weir.Aborted)
	contains(t, err, "CHECKPOINT_COORDINATOR_SUSPEND: the checkpoint coordinator was suspended")
	if log.count(`failed: CHECKPOINT_COORDINATOR_SUSPEND" cause="the checkpoint coordinator was suspended"`) != 1 || log.count(`cause=""`) > 0 {
		t.Errorf("the log does not say why:\n%s", log.text.String())
	}
}
