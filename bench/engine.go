package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/sink"
)

// What the engine's sides have in common: a job, and a sink that tallies. The source is in engine_source.go. All of it uses the public
// API, as a user's program would.

// newJob returns a job that runs with the task's parallelism and says nothing unless something is wrong.
func newJob(t *task, name string) *weir.Job {
	j := weir.NewJob(name)
	j.Logger(slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})))
	j.Set("parallelism.default", strconv.Itoa(t.parallelism))
	return j
}

// runToEnd runs a job that ends by itself.
func runToEnd(j *weir.Job) error {
	r, err := weir.Run(context.Background(), j)
	if err == nil && r.Status != weir.Finished {
		err = fmt.Errorf("the job ended as %v", r.Status)
	}
	return err
}

// counted is what a counting job emits.
type counted = weir.KV[int64, int64]

// tallyCounts adds counts to a sum.
func tallyCounts(recs []counted, sum tally) tally {
	for i := range recs {
		sum.add(recs[i].Key, recs[i].Value)
	}
	return sum
}

// tallying is a sink that keeps nothing but the tally of its records.
type tallying[T any] struct {
	add func(recs []T, sum tally) tally
	// seen, if it is set, is called before each batch with the number of the subtask and of the records it has had before. Different
	// subtasks call it concurrently.
	seen func(subtask int, before int64, recs []T)
	// full, if it is set, is called once, when as many records as fullAt have come.
	full   func()
	fullAt int64

	records atomic.Int64 // so far, of all subtasks
	mu      struct {
		sync.Mutex
		sum tally // of the writers that have been closed
	}
}

// total returns the tally of a job that has ended.
func (s *tallying[T]) total() tally {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.sum
}

func (s *tallying[T]) Location() string { return "" }

func (s *tallying[T]) Writer(_ context.Context, env sink.WriterEnv, _ [][]byte) (sink.Writer[T], error) {
	return &tallyWriter[T]{sink: s, subtask: env.Subtask}, nil
}

type tallyWriter[T any] struct {
	sink    *tallying[T]
	subtask int
	sum     tally
}

func (w *tallyWriter[T]) Write(recs []T, _ []int64) error {
	if w.sink.seen != nil {
		w.sink.seen(w.subtask, w.sum.Records, recs)
	}
	w.sum = w.sink.add(recs, w.sum)
	all := w.sink.records.Add(int64(len(recs)))
	if w.sink.full != nil && all >= w.sink.fullAt && all-int64(len(recs)) < w.sink.fullAt {
		w.sink.full()
	}
	return nil
}

func (w *tallyWriter[T]) Flush(bool) error { return nil }

func (w *tallyWriter[T]) Close() error {
	w.sink.mu.Lock()
	defer w.sink.mu.Unlock()
	w.sink.mu.sum.merge(w.sum)
	return nil
}
