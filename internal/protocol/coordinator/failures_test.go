package coordinator

import (
	"testing"

	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/protocol/reason"
)

// TestFailureReasons shows, for every reason, that it fails a job that tolerates no failure if and only if it counts, whether a task is
// to blame, nobody is, or there never was a checkpoint. Savepoints are an exception, for which nobody's failure counts.
func TestFailureReasons(t *testing.T) {
	blamed := job.Attempt{Number: 1}
	for why := reason.None; why.String() != "UNKNOWN"; why++ {
		cases := []struct {
			name    string
			id      job.CheckpointID
			kind    RequestKind
			attempt job.Attempt
			want    bool
		}{
			{"by a task", 1, Periodic, blamed, why.Counted()},
			{"by nobody", 1, Configured, job.Attempt{}, why.Counted()},
			{"without a checkpoint", 0, Periodic, job.Attempt{}, why.Counted()},
			{"savepoint by a task", 1, Savepoint, blamed, why.Counted() && !why.PreFlight()},
			{"savepoint by nobody", 1, Savepoint, job.Attempt{}, false},
			{"stop with savepoint by a task", 1, StopWithSavepoint, blamed, false}, // by stopFailed
		}
		for _, c := range cases {
			var f failures
			if got := f.failure(c.id, c.kind, failure{why: why, attempt: c.attempt}); got != c.want {
				t.Errorf("%v %s: fails the job: %v, want %v", why, c.name, got, c.want)
			}
		}
	}
}

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
