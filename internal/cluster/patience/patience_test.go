package patience

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weirstream/weir/internal/storage/linefile"
	"github.com/weirstream/weir/sink"
	"github.com/weirstream/weir/source"
	publicstorage "github.com/weirstream/weir/storage"
)

// tries counts attempts at something that fails a number of times, and the pauses between them.
type tries struct {
	failures int
	err      error
	made     int
	pauses   []time.Duration
}

func (t *tries) run(ctx context.Context) (int, error) {
	pause := func(_ context.Context, d time.Duration) { t.pauses = append(t.pauses, d) }
	return Retry(ctx, pause, func() (int, error) {
		if t.made++; t.made <= t.failures {
			return 0, t.err
		}
		return t.made, nil
	})
}

// What may pass is tried four times, with longer and longer pauses; the last error counts.
func TestRetry(t *testing.T) {
	lost := errors.New("the answer was lost")
	for failures, want := range []struct {
		made   int
		err    error
		pauses int
	}{{1, nil, 0}, {2, nil, 1}, {3, nil, 2}, {4, nil, 3}, {4, lost, 3}} {
		x := tries{failures: failures, err: lost}
		n, err := x.run(t.Context())
		if x.made != want.made || !errors.Is(err, want.err) || err == nil && n != want.made || len(x.pauses) != want.pauses || !slices.IsSorted(x.pauses) {
			t.Errorf("%d failures: %d attempts, %v, pauses %v; want %+v", failures, x.made, err, x.pauses, want)
		}
	}
}

// What proves that another attempt fails too is not tried again.
func TestProofs(t *testing.T) {
	panics := func() (err error) {
		defer Rescue(&err)
		panic("of a connector")
	}
	for _, err := range []error{
		publicstorage.ErrExist, publicstorage.ErrNotExist, &linefile.TakenError{}, sink.ErrCannotWithdraw, source.Permanent(errors.New("a bad row")), panics(),
	} {
		x := tries{failures: 9, err: fmt.Errorf("commit: %w", err)}
		if _, got := x.run(t.Context()); x.made != 1 || got != x.err {
			t.Errorf("%v: %d attempts, %v", err, x.made, got)
		}
	}
	if err := panics(); !strings.Contains(err.Error(), "panic: of a connector") || !strings.Contains(err.Error(), "patience_test.go") {
		t.Errorf("a panic became %v", err)
	}
}

// Who is told to stop does not try again, before the first attempt or in any pause: the last error counts. What has succeeded has.
func TestRetryStops(t *testing.T) {
	for stopped := range len(pauses) + 1 { // in which pause, counted from 1; 0 is before all
		ctx, cancel := context.WithCancel(t.Context())
		if stopped == 0 {
			cancel()
		}
		made, paused := 0, 0
		err := Do(ctx, func(context.Context, time.Duration) {
			if paused++; paused == stopped {
				cancel()
			}
		}, func() error { made++; return fmt.Errorf("failure %d", made) })
		if want := max(stopped, 1); made != want || err == nil || err.Error() != fmt.Sprint("failure ", want) {
			t.Errorf("stopped in pause %d: %d attempts, %v", stopped, made, err)
		}
		if err := Do(ctx, nil, func() error { return nil }); err != nil {
			t.Errorf("what had succeeded when it was told to stop has failed: %v", err)
		}
		cancel()
	}
}

// Rescue leaves alone what has not panicked.
func TestRescue(t *testing.T) {
	lost := errors.New("the answer was lost")
	for _, want := range []error{nil, lost} {
		if got := func() (err error) { defer Rescue(&err); return want }(); got != want {
			t.Errorf("%v became %v", want, got)
		}
	}
	err := func() (err error) {
		defer Rescue(&err)
		defer func() { err = lost }()
		panic(errors.New("of a connector"))
	}()
	if errors.Is(err, lost) || err == nil || !strings.Contains(err.Error(), "panic: of a connector") {
		t.Errorf("a panic became %v", err)
	}
}
