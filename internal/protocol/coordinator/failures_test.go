package coordinator

import (
	"testing"

	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/protocol/reason"
)

// TestFailureCount shows how failures in a row are counted: each checkpoint once, what never became one each time, nothing that is
// older than the last success.
func TestFailureCount(t *testing.T) {
	f := failures{tolerable: 2}
	fail := func(id job.CheckpointID) bool {
		return f.failure(id, Periodic, failure{why: reason.CheckpointExpired})
	}
	steps := []struct {
		name    string
		do      func() bool
		want    bool
		counted int
	}{
		{"first", func() bool { return fail(1) }, false, 1},
		{"the same again", func() bool { return fail(1) }, false, 1},
		{"without id", func() bool { return f.failure(0, Periodic, failure{why: reason.IOException}) }, false, 2},
		{"success", func() bool { f.success(5); return false }, false, 0},
		{"older than the success", func() bool { return fail(4) }, false, 0},
		{"older success", func() bool { f.success(3); return false }, false, 0},
		{"sixth", func() bool { return fail(6) }, false, 1},
		{"older success does not reset", func() bool { f.success(4); return false }, false, 1},
		{"seventh", func() bool { return fail(7) }, false, 2},
		{"one too many", func() bool { return fail(8) }, true, 0},
		{"begins anew", func() bool { return fail(9) }, false, 1},
	}
	for _, s := range steps {
		if got := s.do(); got != s.want || f.inARow != s.counted {
			t.Errorf("%s: fails the job: %v, %d in a row; want %v, %d", s.name, got, f.inARow, s.want, s.counted)
		}
	}
}
