// Package print writes records for people to read, one to a line.
//
//	weir.To(counts, "out", print.Stdout[weir.KV[string, int64]]())
//
// It keeps nothing that could be taken back: after a restart, records since the last checkpoint appear again.
package print

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/weirstream/weir/sink"
)

// Printer prints records of type T. It is a sink.Sink[T].
type Printer[T any] struct {
	mu     sync.Mutex // held while a batch is written, so that lines of subtasks do not mix
	out    io.Writer
	format func(b []byte, r T) []byte
}

// Stdout prints to the standard output.
func Stdout[T any]() *Printer[T] { return To[T](os.Stdout) }

// To prints to a writer, which no other goroutine should use meanwhile. Strings are printed as they are and structs with their field
// names.
func To[T any](out io.Writer) *Printer[T] {
	return Formatted(out, func(b []byte, r T) []byte { return fmt.Appendf(b, "%+v", r) })
}

// Formatted prints what format appends for a record. It is called by several goroutines.
func Formatted[T any](out io.Writer, format func(b []byte, r T) []byte) *Printer[T] {
	return &Printer[T]{out: out, format: format}
}

// Location is empty: there is nothing to compare.
func (p *Printer[T]) Location() string { return "" }

// Writer returns the writer of one subtask.
func (p *Printer[T]) Writer(context.Context, sink.WriterEnv, [][]byte) (sink.Writer[T], error) {
	return &writer[T]{printer: p}, nil
}

// writer prints a batch with one call of the output.
type writer[T any] struct {
	printer *Printer[T]
	buf     []byte
}

func (w *writer[T]) Write(records []T, _ []int64) error {
	w.buf = w.buf[:0]
	for _, r := range records {
		w.buf = append(w.printer.format(w.buf, r), '\n')
	}
	w.printer.mu.Lock()
	defer w.printer.mu.Unlock()
	if _, err := w.printer.out.Write(w.buf); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}

func (w *writer[T]) Flush(bool) error { return nil }
func (w *writer[T]) Close() error     { return nil }
