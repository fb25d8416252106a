// Package patience says what is worth another attempt, and makes it: a store that does not answer, an answer that was lost.
//
//   - What is tried again must bear being done twice.
//   - An error that proves something, such as damage or another owner, is returned at once. So is a panic of a connector, which Rescue turns into
//     an error, so that it fails a job and not the process.
package patience

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/weirstream/weir/internal/storage"
	"github.com/weirstream/weir/internal/storage/linefile"
	"github.com/weirstream/weir/sink"
	"github.com/weirstream/weir/source"
	publicstorage "github.com/weirstream/weir/storage"
)

// pauses are waited between attempts at something that may yet succeed.
var pauses = []time.Duration{100 * time.Millisecond, 300 * time.Millisecond, time.Second}

// Pause returns when d has passed or ctx is done.
type Pause func(ctx context.Context, d time.Duration)

// Retry tries again what has failed without proof that it must, a few times, with pauses in between. When ctx is done it returns what the last
// attempt has returned.
func Retry[T any](ctx context.Context, pause Pause, f func() (T, error)) (T, error) {
	for _, d := range pauses {
		v, err := f()
		if err == nil || proves(err) {
			return v, err
		}
		if pause(ctx, d); ctx.Err() != nil {
			return v, err
		}
	}
	return f()
}

// Do is Retry for what has no result.
func Do(ctx context.Context, pause Pause, f func() error) error {
	_, err := Retry(ctx, pause, func() (struct{}, error) { return struct{}{}, f() })
	return err
}

// proves reports whether an error tells that another attempt must fail too. Others may be of an answer that was lost, or of a place that is
// out of reach for a moment.
func proves(err error) bool {
	var panicked *panicError
	return storage.Classify(err) != storage.Unknown || errors.Is(err, publicstorage.ErrExist) || errors.Is(err, linefile.ErrTaken) ||
		errors.Is(err, sink.ErrCannotWithdraw) || source.IsPermanent(err) || errors.As(err, &panicked)
}

// Rescue turns a panic of a connector into an error. It is deferred, with the address of the error that the function returns.
func Rescue(err *error) {
	if r := recover(); r != nil {
		*err = &panicError{fmt.Sprintf("panic: %v\n%s", r, debug.Stack())}
	}
}

// panicError is a panic of a connector.
type panicError struct{ text string }

// Error returns what was panicked with, and where.
func (e *panicError) Error() string { return e.text }
