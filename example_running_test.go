package weir_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"sync/atomic"
	"syscall"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/checkpoint"
	"github.com/weirstream/weir/connector/datagen"
	"github.com/weirstream/weir/connector/discard"
	"github.com/weirstream/weir/connector/memory"
	"github.com/weirstream/weir/sink"
)

// exampleDir returns a directory for one example, and what deletes it.
func exampleDir() (dir string, remove func()) {
	dir, err := os.MkdirTemp("", "weir-example-")
	if err != nil {
		panic(err)
	}
	return dir, func() { os.RemoveAll(dir) }
}

// sumsOf returns a job that adds up ten thousand numbers, at a rate of so many a second, and keeps its checkpoints in a directory.
func sumsOf(dir string, perSecond float64, out sink.Sink[int64]) *weir.Job {
	j := exampleJob()
	j.Checkpoint(checkpoint.Dir(dir))
	in := weir.From(j, "numbers", datagen.Source(10_000, func(i int64) int64 { return i }, datagen.Rate(perSecond)))
	byParity := weir.KeyBy(in, func(n int64) int64 { return n % 2 })
	total := weir.Reduce(byParity, "sums", func(a, b int64) int64 { return a + b })
	weir.To(total, "out", out)
	return j
}

// started starts a job and returns when all its tasks run.
func started(j *weir.Job) *weir.Execution {
	e, err := weir.Start(context.Background(), j)
	if err != nil {
		panic(err)
	}
	if err := e.Running(context.Background()); err != nil {
		panic(err)
	}
	return e
}

func ExampleStart() {
	j := exampleJob()
	out := memory.Collect[int]()
	weir.To(weir.From(j, "numbers", memory.Slice([]int{1, 2, 3})), "out", out)
	e, err := weir.Start(context.Background(), j)
	if err != nil {
		fmt.Println(err) // nothing has begun
		return
	}
	result, err := e.Wait()
	fmt.Println(result.Status, err, out.Records())
	// Output: FINISHED <nil> [1 2 3]
}

func ExampleExecution_Checkpoint() {
	dir, remove := exampleDir()
	defer remove()
	j := sumsOf(dir, 100, memory.Collect[int64]())
	e := started(j)
	info, err := e.Checkpoint(context.Background(), weir.FullCheckpoint)
	fmt.Println("checkpoint", info.ID, err)
	e.Cancel()
	result, _ := e.Wait()
	fmt.Println(result.Status)
	// Output:
	// checkpoint 1 <nil>
	// CANCELED
}

// A savepoint can start another job, here one whose step has got another id.
func ExampleExecution_Savepoint() {
	dir, remove := exampleDir()
	defer remove()
	j := sumsOf(dir+"/job", 100, discard.Sink[int64]())
	e := started(j)
	path, err := e.Savepoint(context.Background(), dir+"/savepoints")
	fmt.Println("savepoint:", err)
	e.Cancel()
	e.Wait()

	next := exampleJob()
	next.Checkpoint(checkpoint.Dir(dir+"/next"), checkpoint.RestoreFrom(path))
	in := weir.From(next, "numbers", datagen.Source(10_000, func(i int64) int64 { return i }, datagen.Rate(100)))
	byParity := weir.KeyBy(in, func(n int64) int64 { return n % 2 })
	total := weir.Reduce(byParity, "totals", func(a, b int64) int64 { return a + b }, weir.FormerlyID("sums"))
	weir.To(total, "out", discard.Sink[int64]())
	e = started(next)
	fmt.Println("goes on, restarts:", e.Progress().Restarts)
	e.Cancel()
	e.Wait()
	// Output:
	// savepoint: <nil>
	// goes on, restarts: 0
}

// A job that was stopped with a savepoint goes on from it when it is run again, and the results of both runs are those of one.
func ExampleExecution_StopWithSavepoint() {
	dir, remove := exampleDir()
	defer remove()
	out := memory.Collect[int64]()
	e := started(sumsOf(dir, 100, out)) // which takes 100 seconds
	if _, err := e.StopWithSavepoint(context.Background(), dir+"/savepoints"); err != nil {
		fmt.Println(err)
	}
	result, _ := e.Wait()
	fmt.Println(result.Status)

	result, err := weir.Run(context.Background(), sumsOf(dir, 0, out)) // as fast as it can
	fmt.Println(result.Status, err, len(out.Records()), "results")
	// Output:
	// FINISHED
	// FINISHED <nil> 10000 results
}

func ExampleDrain() {
	dir, remove := exampleDir()
	defer remove()
	out := memory.Collect[int64]()
	e := started(sumsOf(dir, 100, out))
	if _, err := e.StopWithSavepoint(context.Background(), dir+"/savepoints", weir.Drain()); err != nil {
		fmt.Println(err)
	}

	result, err := weir.Run(context.Background(), sumsOf(dir, 100, out))
	fmt.Println(result.Status, err)
	// Output: ALREADY FINISHED <nil>
}

func ExampleExecution_Rescale() {
	dir, remove := exampleDir()
	defer remove()
	e := started(sumsOf(dir, 100, memory.Collect[int64]()))
	fmt.Println(e.Rescale(context.Background(), "sums", 2))
	fmt.Println(e.Rescale(context.Background(), "sums", 1000))
	e.Cancel()
	e.Wait()
	// Output:
	// <nil>
	// rescale "sums" to 1000: step "sums": parallelism 1000 is larger than its max parallelism 128, which is fixed once there is a checkpoint
}

// A failure is shown with the labels that the job's own functions give it.
func ExampleExecution_Failures() {
	j := exampleJob()
	j.Set("restart-strategy.type", "fixed-delay")
	j.Set("restart-strategy.fixed-delay.delay", "0 s")
	j.LabelFailures(func(err error) map[string]string {
		if errors.Is(err, syscall.ECONNREFUSED) {
			return map[string]string{"type": "NETWORK"}
		}
		return nil
	})
	var calls atomic.Int32
	texts := weir.From(j, "texts", memory.Slice([]string{"a", "b"}))
	asked := weir.TryMap(texts, func(text string) (string, error) {
		if calls.Add(1) == 1 {
			return "", fmt.Errorf("ask the server: %w", syscall.ECONNREFUSED)
		}
		return text, nil
	})
	weir.To(asked, "out", memory.Collect[string]())
	e, err := weir.Start(context.Background(), j)
	if err != nil {
		fmt.Println(err)
		return
	}
	result, _ := e.Wait()
	failures, _ := e.Failures()
	fmt.Println(result.Status)
	for _, f := range failures {
		fmt.Println(f.Text, f.Labels, "restarted:", f.Restarted)
	}
	// Output:
	// FINISHED
	// step "try map", subtask 0: ask the server: connection refused map[type:NETWORK] restarted: true
}

func ExampleExecution_Handler() {
	j := exampleJob()
	weir.To(weir.From(j, "numbers", memory.Slice([]int{1, 2, 3})), "out", memory.Collect[int]())
	e, err := weir.Start(context.Background(), j)
	if err != nil {
		fmt.Println(err)
		return
	}
	e.Wait()
	server := httptest.NewServer(e.Handler())
	defer server.Close()
	answer, err := server.Client().Get(server.URL + "/jobs/overview")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer answer.Body.Close()
	var overview struct {
		Jobs []struct{ Name, State string }
	}
	err = json.NewDecoder(answer.Body).Decode(&overview)
	fmt.Println(answer.Status, overview.Jobs, err)
	// Output: 200 OK [{example FINISHED}] <nil>
}

func ExampleQuery() {
	dir, remove := exampleDir()
	defer remove()
	e := started(sumsOf(dir, 100, discard.Sink[int64]()))
	defer e.Abort()

	for {
		sum, found, err := weir.Query[int64, int64](context.Background(), e, "sums", "value", 1)
		if err != nil {
			fmt.Println(err)
			return
		}
		if found && sum >= 1+3+5 {
			fmt.Println("the first odd numbers are in it")
			return
		}
	}
	// Output: the first odd numbers are in it
}
