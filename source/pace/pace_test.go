package pace_test

import (
	"testing"
	"time"

	"github.com/weirstream/weir/source/pace"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// TestTake goes through the moments of a limiter of 1000 records per second.
func TestTake(t *testing.T) {
	l := pace.New(1000)
	for _, step := range []struct {
		name  string
		at    time.Duration
		limit int
		want  int
		again time.Duration
	}{
		{"the first is due at once", 0, 10, 1, 0},
		{"the second a millisecond later", 0, 10, 0, time.Millisecond},
		{"wait at least the granularity", 999 * time.Microsecond, 10, 0, 999*time.Microsecond + pace.Granularity},
		{"all that is due", 5 * time.Millisecond, 10, 5, 0},
		{"not more than the limit", 25 * time.Millisecond, 10, 10, 0},
		{"the rest", 25 * time.Millisecond, 100, 10, 0},
		{"a long stop is not made up for", time.Hour, 1 << 20, 1001, 0},
		{"then it goes on as before", time.Hour + time.Millisecond, 10, 1, 0},
	} {
		n, again := l.Take(start.Add(step.at), step.limit)
		if n != step.want || step.again != 0 && !again.Equal(start.Add(step.again)) {
			t.Errorf("%s: %d records, again at %v", step.name, n, again.Sub(start))
		}
	}
}

// TestNoLimit shows that a nil limiter hands out everything.
func TestNoLimit(t *testing.T) {
	if n, _ := pace.New(0).Take(start, 77); n != 77 {
		t.Errorf("%d records", n)
	}
}

// TestLongRun shows that rounding does not add up: an odd rate is exact after a day.
func TestLongRun(t *testing.T) {
	l, made := pace.New(7), 0
	for at := time.Duration(0); at < 24*time.Hour; at += 500 * time.Millisecond {
		n, _ := l.Take(start.Add(at), 1000)
		made += n
	}
	if want := 7 * 24 * 3600; made < want-7 || made > want {
		t.Errorf("%d records in a day, want %d", made, want)
	}
}
