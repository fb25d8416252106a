package storage

import (
	"context"
	"errors"
	"fmt"
	iofs "io/fs"
	"math/rand/v2"
	"os"
	"syscall"
	"time"

	"github.com/weirstream/weir/storage"
)

// Retries says how often what has failed is tried again, and after which pauses: each about twice as long as the one before, with some chance in
// it, so that subtasks that have failed together do not come back together. The zero value tries nothing again.
type Retries struct {
	Most    int           // attempts after the first
	Backoff time.Duration // the first pause
	Longest time.Duration // no pause is longer
	// Memory is how many bytes of a stream that is being written are held until it is finished, so that it can be written anew in another
	// file. A stream that has grown beyond it needs a store that can go on with the file, or lets it be read.
	Memory int
	// Pause returns when d has passed or ctx is done; nil means the function Pause.
	Pause func(ctx context.Context, d time.Duration)
	// Random returns a number from 0 to below 1; nil means by chance.
	Random func() float64
	// Note is told of each failure after which there is another attempt. It may be nil, and is called by any goroutine.
	Note func(err error, attempt int, pause time.Duration)
}

// Repeatable reports whether another attempt may succeed where this error came from. It cannot if something is proved, if there is no permission,
// or if what was asked for is wrong. A full disk may have room in a moment: checkpoints are deleted while others are written.
func Repeatable(err error) bool {
	if Classify(err) != Unknown || errors.Is(err, storage.ErrExist) || errors.Is(err, storage.ErrChanged) {
		return false
	}
	for _, lasting := range []error{
		iofs.ErrPermission, iofs.ErrInvalid, os.ErrClosed, context.Canceled,
		syscall.EROFS, syscall.EFBIG, syscall.ENAMETOOLONG, syscall.ENOTDIR, syscall.EISDIR,
	} {
		if errors.Is(err, lasting) {
			return false
		}
	}
	var tooLarge *TooLargeError
	var tried *triedError
	var store interface{ Lasting() bool }
	return !errors.As(err, &tooLarge) && !errors.As(err, &tried) && !(errors.As(err, &store) && store.Lasting())
}

// triedError is a failure after all attempts. Nobody tries again what has failed so.
type triedError struct {
	err      error
	attempts int
}

func (e *triedError) Error() string { return fmt.Sprintf("%v (tried %d times)", e.err, e.attempts) }

// Unwrap returns the last failure.
func (e *triedError) Unwrap() error { return e.err }

// Do calls f until it succeeds, fails with an error that is not Repeatable, has been tried often enough, or ctx is done. f must bear being done
// twice.
func (r Retries) Do(ctx context.Context, f func() error) error {
	return r.do(ctx, func(error) bool { return true }, f)
}

// do is Do as long as may agrees, which is asked after each failure.
func (r Retries) do(ctx context.Context, may func(error) bool, f func() error) error {
	wait := r.Pause
	if wait == nil {
		wait = Pause
	}
	err := f()
	for n := 1; err != nil; n++ {
		if ctx.Err() != nil || !Repeatable(err) || !may(err) {
			return err
		}
		if n > r.Most {
			return tried(err, n)
		}
		pause := r.pause(n)
		if r.Note != nil {
			r.Note(err, n, pause)
		}
		if wait(ctx, pause); ctx.Err() != nil {
			return err
		}
		err = f()
	}
	return nil
}

func tried(err error, attempts int) error {
	if attempts == 1 {
		return err
	}
	return &triedError{err, attempts}
}

// pause returns how long to wait after a failure, counted from 1: from half of the pause to one and a half of it.
func (r Retries) pause(n int) time.Duration {
	random := r.Random
	if random == nil {
		random = rand.Float64
	}
	d := r.Backoff
	for ; n > 1 && d < r.Longest; n-- {
		d *= 2
	}
	return min(time.Duration((0.5+random())*float64(d)), r.Longest)
}

// Pause returns when d has passed on the clock of the machine, or ctx is done.
func Pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
