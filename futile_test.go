package weir_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/checkpoint"
	"github.com/weirstream/weir/internal/protocol/failover"
)

// TestNoProgressIsSaid shows jobs that fail more often than their checkpoints complete, so that they do the same thing again and again: they say so
// once, with what they go back to and what to do, and show how often. Once checkpoints complete again they show that too.
func TestNoProgressIsSaid(t *testing.T) {
	const restarts = failover.FutileRestarts + 2
	for _, test := range []struct {
		name     string
		interval time.Duration
		by       int // checkpoints before the first failure
		said     []string
	}{
		{"from a checkpoint", time.Hour, 1, []string{"3 restarts in a row went back to checkpoint 1, which is ", ` checkpoint="takes `, `"between checkpoints"=1h0m0s`, "shorten execution.checkpointing.interval"}},
		{"from nothing", time.Hour, 0, []string{"3 restarts in a row began from nothing", `checkpoint="none was begun"`}},
		{"without checkpoints", 0, 0, []string{"3 restarts in a row began from nothing", "set execution.checkpointing.interval", `"between checkpoints"="none are taken"`}},
	} {
		t.Run(test.name, func(t *testing.T) {
			w, log := newWorld(t, 1, 60), new(lines)
			w.log, w.byHand = log.logger(), true
			if test.interval > 0 {
				w.options = []checkpoint.Option{checkpoint.Every(test.interval)}
			}
			w.set = map[string]string{"restart-strategy.type": "fixed-delay", "restart-strategy.fixed-delay.attempts": "100", "restart-strategy.fixed-delay.delay": "0"}
			var failures atomic.Int32
			w.in.poll = func(_, at int) error {
				if at == 70 && failures.Load() < restarts {
					return fmt.Errorf("%w, time %d", errTest, failures.Add(1))
				}
				return nil
			}
			w.in.hold(0, 30)
			e := w.start(context.Background(), 2)
			for range test.by {
				if err := e.Running(context.Background()); err != nil {
					t.Fatal(err)
				}
				if _, err := e.Checkpoint(context.Background(), weir.ConfiguredCheckpoint); err != nil {
					t.Fatal(err)
				}
			}
			w.in.hold(0, 90)
			until(t, e, "restarts", func() bool { return e.Progress().Futile == restarts })
			if n := log.count("the job makes no progress"); n != 1 {
				t.Errorf("that the job makes no progress is said %d times", n)
			}
			for _, part := range append(test.said, errTest.Error()+", time 3") {
				if log.count(part) == 0 {
					t.Errorf("nobody says %q", part)
				}
			}
			if err := e.Running(context.Background()); err != nil {
				t.Fatal(err)
			}
			if _, err := e.Checkpoint(context.Background(), weir.ConfiguredCheckpoint); err != nil {
				t.Fatal(err)
			}
			if n := e.Progress().Futile; n != 0 {
				t.Errorf("a checkpoint is complete, and %d restarts count as futile", n)
			}
			e.Abort()
			<-e.Done()
			w.in.poll = nil
			w.finish(2)
		})
	}
}
