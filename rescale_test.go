package weir_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/connector/memory"
)

// rescalable is a world whose input goes on as the test says, for a job that is rescaled while it runs.
func rescalable(t *testing.T, parallelism int) (*world, *weir.Execution) {
	w := newWorld(t, 5, 60)
	for i := range w.in.splits {
		w.in.hold(i, 50)
	}
	e := w.start(context.Background(), parallelism)
	w.checkpoints(e, 1)
	return w, e
}

// TestLiveRescale shows a running job at other parallelisms, one step after the other: all kinds of state go along, and the output is that of an
// undisturbed run. 1 -> 3 -> 2 for the sources and what hangs on them, 1 -> 2 -> 4 for the keyed step.
func TestLiveRescale(t *testing.T) {
	w, e := rescalable(t, 1)
	for i, next := range []struct {
		step        string
		parallelism int
	}{{"in", 3}, {"sums", 2}, {"in", 2}, {"windows", 3}, {"sums", 4}, {"kept", 2}, {"out", 2}, {"in", 1}} {
		if err := e.Rescale(context.Background(), next.step, next.parallelism); err != nil {
			t.Fatalf("%s to %d: %v", next.step, next.parallelism, err)
		}
		for s := range w.in.splits {
			w.in.hold(s, 60+i*12)
		}
		w.checkpoints(e, 1)
	}
	for s := range w.in.splits {
		w.in.release(s)
	}
	w.end(e, weir.Finished)
	w.check()
	if p := e.Progress(); p.Restarts != 0 || p.LastError != "" {
		t.Errorf("%d restarts: %s", p.Restarts, p.LastError)
	}
}

// TestLiveRescaleRefused shows what is said of a wrong request, and that the job does not mind.
func TestLiveRescaleRefused(t *testing.T) {
	w, e := rescalable(t, 2)
	for _, test := range []struct {
		step        string
		parallelism int
		want        []string
	}{
		{"sum", 2, []string{`no step "sum"`, `is it "sums"?`}},
		{"something else", 2, []string{"no step", `"windows"`}},
		{"sums", 0, []string{`"sums"`, "at least 1"}},
		{"sums", 129, []string{"129", "max parallelism 128"}},
	} {
		contains(t, e.Rescale(context.Background(), test.step, test.parallelism), test.want...)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := e.Rescale(ctx, "sum", 2); err == nil {
		t.Error("no error of a context that is done")
	}
	if n := e.Progress().Restarts; n != 0 {
		t.Errorf("%d restarts", n)
	}
	for s := range w.in.splits {
		w.in.release(s)
	}
	w.end(e, weir.Finished)
	w.check()
	contains(t, e.Rescale(context.Background(), "sums", 3), "has ended")
}

// TestLiveRescaleWithoutCheckpoints shows that a job that could not go on from anywhere is not stopped.
func TestLiveRescaleWithoutCheckpoints(t *testing.T) {
	in := &tape[int]{splits: [][]int{numbers(100)}}
	in.hold(0, 50)
	out := memory.Collect[int]()
	j := newJob(t, 2)
	weir.To(weir.From(j, "in", in), "out", out)
	e, err := weir.Start(context.Background(), j)
	if err != nil {
		t.Fatal(err)
	}
	contains(t, e.Rescale(context.Background(), "in", 1), "takes no checkpoints", "execution.checkpointing.interval")
	in.release(0)
	if r, err := e.Wait(); r.Status != weir.Finished || len(out.Records()) != 100 {
		t.Errorf("%s, %v, %d records", r.Status, err, len(out.Records()))
	}
}

// TestLiveRescaleGoesBack shows a job whose tasks cannot be started at the new parallelism: it goes on at the old one, and says why.
func TestLiveRescaleGoesBack(t *testing.T) {
	w := newWorld(t, 4, 60)
	w.in.open = func(subtask int) error {
		if subtask == 2 {
			return errors.New("there is no place for a third")
		}
		return nil
	}
	for i := range w.in.splits {
		w.in.hold(i, 50)
	}
	e := w.start(context.Background(), 2)
	w.checkpoints(e, 1)
	for range 2 {
		contains(t, e.Rescale(context.Background(), "in", 3), `rescale "in" to 3`, "goes on at the old parallelism", "no place for a third")
	}
	if err := e.Rescale(context.Background(), "in", 1); err != nil {
		t.Error(err)
	}
	for s := range w.in.splits {
		w.in.release(s)
	}
	w.end(e, weir.Finished)
	w.check()
	failures, _ := e.Failures()
	if len(failures) == 0 || e.Progress().Restarts != 0 {
		t.Errorf("%d failures, %d restarts", len(failures), e.Progress().Restarts)
	}
}

// TestLiveRescaleWhileFailing shows that a failure before any task is stopped ends the rescaling and not the job.
func TestLiveRescaleWhileFailing(t *testing.T) {
	w := newWorld(t, 3, 60)
	w.set = map[string]string{"restart-strategy.type": "fixed-delay", "restart-strategy.fixed-delay.delay": "1 ms"}
	var failed atomic.Bool
	w.in.poll = func(_, at int) error {
		if at == 55 && failed.CompareAndSwap(false, true) {
			return errTest
		}
		return nil
	}
	mayOpen := make(chan struct{})
	w.in.open = func(int) error {
		if failed.Load() {
			<-mayOpen
		}
		return nil
	}
	for i := range w.in.splits {
		w.in.hold(i, 50)
	}
	e := w.start(context.Background(), 2)
	w.checkpoints(e, 1)
	w.in.hold(0, 60)
	until(t, e, "restart", func() bool { return e.Progress().Restarts > 0 })
	contains(t, e.Rescale(context.Background(), "in", 3), "not all tasks", "try again")
	close(mayOpen)
	w.checkpoints(e, 1)
	if err := e.Rescale(context.Background(), "in", 3); err != nil {
		t.Error(err)
	}
	for s := range w.in.splits {
		w.in.release(s)
	}
	w.end(e, weir.Finished)
	w.check()
}

// TestLiveRescaleStories shows that a job that is rescaled again and again while all kinds of things go wrong commits each result once.
func TestLiveRescaleStories(t *testing.T) {
	stories(t, 150, func(t *testing.T, seed uint64) {
		s := newStory(t, seed)
		if seed%2 == 0 {
			(&sliced{world: s.world, other: &tape[reading]{batch: 1 + s.rng.IntN(5), poll: s.in.poll}}).slice()
		}
		steps := []string{"in", "sums", "windows", "kept", "out", "other"}
		s.disturb = func(e *weir.Execution, turn int) {
			if s.rng.IntN(120) != 0 {
				return
			}
			step, n := steps[s.rng.IntN(len(steps))], 1+s.rng.IntN(4)
			s.note("rescale %s to %d at %d", step, n, turn)
			e.RescaleThen(step, n, func(err error) { s.note("rescaled: %v", err) })
		}
		s.tell(s.check)
	})
}
