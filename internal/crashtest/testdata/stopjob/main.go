// Stopjob is a job that stops itself with a savepoint, to be killed while it does: running sums and windows of numbers, written to files
// exactly once. It is built and run by the tests of package crashtest.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/checkpoint"
	"github.com/weirstream/weir/connector/file"
	"github.com/weirstream/weir/state"
	"github.com/weirstream/weir/window"
)

// Number is a row of the input. Time is in milliseconds.
type Number struct{ Key, Value, Time int64 }

// Sum is a row of the output.
type Sum struct{ Key, Time, Sum int64 }

func main() {
	slog.SetDefault(slog.New(slog.NewTextHandler(os.Stderr, nil)))
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	input := flag.String("input", "", "CSV file")
	output := flag.String("output", "", "folder for results, checkpoints and savepoints")
	rate := flag.Float64("rate", 0, "rows per second, 0 for as fast as it can")
	parallelism := flag.Int("p", 1, "parallelism")
	stop := flag.Duration("stop", -1, "stop with a savepoint after this time; negative: never")
	drain := flag.Bool("drain", false, "drain before the savepoint")
	flag.Parse()

	e, err := weir.Start(context.Background(), build(*input, *output, *rate, *parallelism))
	if err != nil {
		return err
	}
	if *stop >= 0 {
		select {
		case <-time.After(*stop):
			if err := stopWith(e, *drain); err != nil {
				return err
			}
		case <-e.Done():
		}
	}
	r, err := e.Wait()
	slog.Info("ended", "status", r.Status, "savepoint", r.Savepoint, "text", r.Text)
	return err
}

// stopWith stops the job, as soon as it runs. It may finish first.
func stopWith(e *weir.Execution, drain bool) error {
	var options []weir.StopOption
	if drain {
		options = append(options, weir.Drain())
	}
	ctx := context.Background()
	err := e.Running(ctx)
	if err == nil {
		var path string
		path, err = e.StopWithSavepoint(ctx, "", options...)
		slog.Info("stopped", "savepoint", path, "error", err)
	}
	if ended := (*weir.EndedError)(nil); errors.As(err, &ended) {
		return ended.Err
	}
	return err
}

func build(input, output string, rate float64, parallelism int) *weir.Job {
	j := weir.NewJob("stopjob")
	j.Logger(slog.Default())
	j.Set("parallelism.default", fmt.Sprint(parallelism))
	j.Checkpoint(checkpoint.Every(30*time.Millisecond), checkpoint.Dir(filepath.Join(output, "_checkpoints")),
		checkpoint.SavepointDir(filepath.Join(output, "_savepoints")))
	numbers := weir.EventTime(weir.From(j, "numbers", file.CSV[Number](input, file.Rate(rate))),
		func(n Number) time.Time { return time.UnixMilli(n.Time) }, weir.BoundedDisorder(time.Second))
	keyed := weir.KeyBy(numbers, func(n Number) int64 { return n.Key })
	weir.To(weir.Process(keyed, "sums", &sums{}), "out sums", file.CSV[Sum](filepath.Join(output, "sums")))
	windows := weir.Window(keyed, "windows", window.Tumbling(10*time.Second), func(sum *int64, n Number) { *sum += n.Value },
		func(key int64, s window.Span, sum int64) Sum { return Sum{key, s.Start, sum} })
	weir.To(windows, "out windows", file.CSV[Sum](filepath.Join(output, "windows")))
	return j
}

// sums emits the sum of a key's values so far.
type sums struct {
	Sum state.Value[int64] `state:"sum"`
}

func (p *sums) On(c *weir.Ctx[int64, Sum], n Number) error {
	p.Sum.Set(p.Sum.Get() + n.Value)
	c.Emit(Sum{n.Key, n.Time, p.Sum.Get()})
	return nil
}
