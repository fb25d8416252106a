package weir_test

import (
	"context"
	"errors"
	"testing"

	"github.com/weirstream/weir"
)

// opensLater opens when it is let, and fails at a record when it is told to.
type opensLater struct {
	Let  chan struct{} `weir:"shared"`
	Fail chan struct{} `weir:"shared"`
}

func (o *opensLater) Open(*weir.Ctx[weir.NoKey, string]) error { <-o.Let; return nil }

func (o *opensLater) On(*weir.Ctx[weir.NoKey, string], reading) error {
	select {
	case <-o.Fail:
		return errTest
	default:
		return nil
	}
}

// TestRunning shows what Running waits for: the tasks of the job, those of a restart too, the end of the job, the end of the caller's patience.
func TestRunning(t *testing.T) {
	w := newWorld(t, 1, 20)
	w.in.hold(0, 10)
	w.set["restart-strategy.type"], w.set["restart-strategy.fixed-delay.delay"] = "fixed-delay", "1 ms"
	step := &opensLater{make(chan struct{}), make(chan struct{}, 1)}
	w.build = func(j *weir.Job) {
		weir.To(weir.ProcessPlain(weir.From(j, "in", w.in), "step", step), "out", w.sink)
	}
	e := w.start(context.Background(), 1)
	impatient, giveUp := context.WithCancel(context.Background())
	giveUp()
	if err := e.Running(impatient); !errors.Is(err, context.Canceled) {
		t.Errorf("before the step is open: %v", err)
	}
	if _, err := e.Checkpoint(context.Background(), weir.ConfiguredCheckpoint); !errors.Is(err, weir.ErrNotRunning) {
		t.Errorf("a checkpoint before the step is open: %v", err)
	}
	step.Let <- struct{}{}
	for range 2 { // the second time it is so already
		if err := e.Running(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := e.Checkpoint(context.Background(), weir.ConfiguredCheckpoint); err != nil {
		t.Errorf("a checkpoint when all tasks run: %v", err)
	}

	step.Fail <- struct{}{}
	w.in.hold(0, 20)
	step.Let <- struct{}{} // it is opened again
	if err := e.Running(context.Background()); err != nil || e.Progress().Restarts != 1 {
		t.Errorf("after %d restarts: %v", e.Progress().Restarts, err)
	}

	e.Cancel()
	for _, ask := range []func() error{
		func() error { return e.Running(context.Background()) },
		func() error {
			_, err := e.Checkpoint(context.Background(), weir.ConfiguredCheckpoint)
			return err
		},
	} {
		<-e.Done()
		var ended *weir.EndedError
		if err := ask(); !errors.As(err, &ended) || ended.Result.Status != weir.Canceled {
			t.Errorf("after the end: %v", err)
		} else {
			contains(t, err, "the job has ended as CANCELED")
		}
	}
}
