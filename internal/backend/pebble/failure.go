package pebble

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"github.com/weirstream/weir/backend"
)

// failure is the first error that a database has met in the background. Pebble goes on after such an error, by trying again for ever, so that
// whoever waits for a flush would do so too; here everybody who waits is told. Its methods may be called concurrently.
type failure struct {
	dir    string        // of the database
	failed chan struct{} // closed once there is an error
	mu     sync.Mutex    // guards what follows
	err    error
	lost   bool // the database can neither be used nor be closed
}

func newFailure(dir string) *failure { return &failure{dir: dir, failed: make(chan struct{})} }

func (f *failure) set(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil {
		f.err = err
		close(f.failed)
	}
}

// abandon is set for an error after which the database cannot be closed.
func (f *failure) abandon(err error) {
	f.set(err)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lost = true
}

// get returns the error, if there is one.
func (f *failure) get() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.explain(f.err)
}

func (f *failure) isLost() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.lost
}

// do runs what may have to wait for the background, and returns early if that fails. Then the database is lost, because somebody is still at
// work with it.
func (f *failure) do(ctx context.Context, what func() error) error {
	if err := f.get(); err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() { done <- what() }()
	select {
	case err := <-done:
		return f.explain(err)
	case <-f.failed:
		f.abandon(nil)
		return f.get()
	case <-ctx.Done():
		<-done // it ends, and the caller would not know what to do with a store that is still at work
		return ctx.Err()
	}
}

// explain makes an error of Pebble one of the contract, which names the file, or at least where it is.
func (f *failure) explain(err error) error {
	if err == nil {
		return nil
	}
	where := f.dir
	if info := pebble.ExtractDataCorruptionInfo(err); info != nil && info.Details != nil {
		where, err = info.Path, info.Details
	}
	if !strings.Contains(err.Error(), f.dir) {
		err = fmt.Errorf("%s: %w", where, err)
	}
	if pebble.IsCorruptionError(err) && !errors.Is(err, backend.ErrCorrupt) {
		err = fmt.Errorf("%w: %w", backend.ErrCorrupt, err)
	}
	return err
}
