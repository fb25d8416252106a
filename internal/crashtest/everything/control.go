package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"time"

	"github.com/weirstream/weir"
)

// control is what the process asks of its own job while it runs.
type control struct {
	checkpointEvery, savepointEvery, rescaleEvery time.Duration // 0: never
	end                                           string        // one of ends, or empty
	endAfter                                      time.Duration
}

// controls declares the flags.
func controls() *control {
	c := &control{}
	flag.DurationVar(&c.checkpointEvery, "checkpoint-every", 0, "take a checkpoint by hand now and then")
	flag.DurationVar(&c.savepointEvery, "savepoint-every", 0, "take a savepoint now and then")
	flag.DurationVar(&c.rescaleEvery, "rescale-every", 0, "change the parallelism of a step now and then")
	flag.StringVar(&c.end, "end", "", "stop, drain, cancel or cancel-with-savepoint")
	flag.DurationVar(&c.endAfter, "end-after", 0, "when")
	return c
}

// disturb does what the flags say until the job has ended. The error says what should have been possible and was not.
func (c *control) disturb(e *weir.Execution) error {
	go repeat(e, "checkpoint", c.checkpointEvery, func(ctx context.Context, turn int) error {
		kinds := []weir.CheckpointKind{weir.ConfiguredCheckpoint, weir.FullCheckpoint, weir.IncrementalCheckpoint}
		_, err := e.Checkpoint(ctx, kinds[turn%len(kinds)])
		return err
	})
	go repeat(e, "savepoint", c.savepointEvery, func(ctx context.Context, turn int) error {
		var options []weir.SavepointOption
		if turn%2 == 1 {
			options = append(options, weir.NativeFormat())
		}
		_, err := e.Savepoint(ctx, "", options...)
		return err
	})
	go repeat(e, "rescale", c.rescaleEvery, func(ctx context.Context, turn int) error {
		steps := []string{"buckets", "windows", "held", "marks", "events", "steps", "tables", "sliced", "few"}
		return e.Rescale(ctx, steps[turn%len(steps)], []int{1, 3, 2}[turn/len(steps)%3])
	})
	if c.end == "" {
		return nil
	}
	select {
	case <-time.After(c.endAfter):
		return c.bringToEnd(e)
	case <-e.Done():
		return nil
	}
}

// repeat does something now and then until the job has ended, and logs what became of it.
func repeat(e *weir.Execution, what string, every time.Duration, do func(ctx context.Context, turn int) error) {
	for turn := 0; every > 0; turn++ {
		select {
		case <-time.After(every):
		case <-e.Done():
			return
		}
		if err := do(context.Background(), turn); err != nil {
			slog.Info(what+" failed", "error", err)
		} else {
			slog.Info(what + " done")
		}
	}
}

// bringToEnd ends the job as the flags say, as soon as it runs. A subtask that finishes just then before others of its step, whose union lists
// need all, makes the savepoint fail: that is no reason not to try again.
func (c *control) bringToEnd(e *weir.Execution) error {
	for {
		path, err := c.tryEnd(e)
		select {
		case <-e.Done(): // perhaps it has finished first
			slog.Info(c.end, "savepoint", path, "error", err)
			return nil
		default:
		}
		if failed := (*weir.SnapshotError)(nil); err != nil && !errors.As(err, &failed) && !errors.Is(err, weir.ErrNotRunning) {
			return fmt.Errorf("%s: %w", c.end, err)
		}
		time.Sleep(time.Millisecond)
	}
}

func (c *control) tryEnd(e *weir.Execution) (path string, err error) {
	ctx := context.Background()
	switch c.end {
	case "stop":
		return e.StopWithSavepoint(ctx, "")
	case "drain":
		return e.StopWithSavepoint(ctx, "", weir.Drain())
	case "cancel-with-savepoint":
		return e.CancelWithSavepoint(ctx, "")
	case "cancel":
		e.Cancel()
		<-e.Done()
		return "", nil
	}
	return "", fmt.Errorf("no such end")
}
