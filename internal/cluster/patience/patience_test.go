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

// Who is told to stop does not try again.
func TestRetryStops(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	x := tries{failures: 9, err: errors.New("the answer was lost")}
	if _, err := x.run(ctx); x.made != 1 || err != x.err {
		t.Errorf("%d attempts, %v", x.made, err)
	}
}
