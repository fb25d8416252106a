// Package discard counts records and forgets them: for measuring.
package discard

import (
	"context"
	"sync/atomic"

	"github.com/weirstream/weir/sink"
)

// Counter forgets records of type T. It is a sink.Sink[T].
type Counter[T any] struct{ n atomic.Int64 }

// Sink returns a counter at 0.
func Sink[T any]() *Counter[T] { return &Counter[T]{} }

// Count returns how many records were written by all subtasks, also those that a restart has repeated. Any goroutine may call it.
func (c *Counter[T]) Count() int64 { return c.n.Load() }

// Location tells it from a sink without a place of its own, such as one that prints. A job that was started with it and now writes to a
// file is refused: what came before would be missing there.
func (c *Counter[T]) Location() string { return "nowhere" }

// Writer returns the writer of one subtask.
func (c *Counter[T]) Writer(context.Context, sink.WriterEnv, [][]byte) (sink.Writer[T], error) {
	return writer[T]{c}, nil
}

type writer[T any] struct{ *Counter[T] }

func (w writer[T]) Write(records []T, _ []int64) error {
	w.n.Add(int64(len(records)))
	return nil
}

func (w writer[T]) Flush(bool) error { return nil }
func (w writer[T]) Close() error     { return nil }
