package coordinator

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/protocol/snapshot"
)

// minTime is the shortest interval and timeout that make sense.
const minTime = 10 * time.Millisecond

// maxPause caps the pause between checkpoints.
const maxPause = 365 * 24 * time.Hour

// UnlimitedFailures as Config.TolerableFailures: checkpoints that fail never fail the job.
const UnlimitedFailures = math.MaxInt

// Config says how a job takes checkpoints.
type Config struct {
	// Interval between periodic checkpoints; 0: only on request.
	Interval time.Duration
	// BacklogInterval takes the place of Interval while a source works off a backlog: 0 for no periodic checkpoints then, else at least
	// Interval. Nil: no difference is made.
	BacklogInterval *time.Duration
	// Timeout after which a checkpoint that is not complete is given up.
	Timeout time.Duration
	// MinPause between the completion of a checkpoint and the next periodic one.
	MinPause time.Duration
	// MaxConcurrent checkpoints under way at once. More than 1 does not go with MinPause. Savepoints go ahead of it.
	MaxConcurrent int
	// TolerableFailures in a row that count; one more fails the job.
	TolerableFailures int
	// OnlyWhileAllRun refuses checkpoints once a task has finished, and there is no final one.
	OnlyWhileAllRun bool
	// FinalCheckpoint takes one at the end of the data also without an Interval: the tasks wait for it before they finish.
	FinalCheckpoint bool
	// NumRetained complete checkpoints are kept.
	NumRetained int
	// Retention says what the end of the job deletes.
	Retention Retention
	// History is how many checkpoints the statistics remember one by one.
	History int
}

// DefaultConfig returns what holds where nothing is set, without periodic checkpoints.
func DefaultConfig() Config {
	return Config{Timeout: 10 * time.Minute, MaxConcurrent: 1, NumRetained: 1, History: 10}
}

// Validate reports everything that is wrong with the values.
func (c Config) Validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(c.Interval == 0 || c.Interval >= minTime, "checkpoint interval %v: must be at least %v, or 0 for none", c.Interval, minTime)
	check(c.Timeout >= minTime, "checkpoint timeout %v: must be at least %v", c.Timeout, minTime)
	check(c.MinPause >= 0, "minimum pause between checkpoints %v: must not be negative", c.MinPause)
	check(c.MaxConcurrent >= 1, "concurrent checkpoints %d: must be at least 1", c.MaxConcurrent)
	check(c.MinPause <= 0 || c.MaxConcurrent <= 1, "concurrent checkpoints %d: with a minimum pause between checkpoints (%v) there is only one at a time",
		c.MaxConcurrent, c.MinPause)
	if b := c.BacklogInterval; b != nil {
		check(*b == 0 || *b >= c.Interval, "checkpoint interval during backlog %v: must be 0, for none, or at least the interval %v", *b, c.Interval)
	}
	check(c.TolerableFailures >= 0, "tolerable failed checkpoints %d: must not be negative", c.TolerableFailures)
	check(c.NumRetained >= 1, "retained checkpoints %d: must be at least 1", c.NumRetained)
	check(c.History >= 0, "checkpoints in the statistics %d: must not be negative", c.History)
	check(c.Retention <= RetainOnCancellation, "retention %d: unknown", c.Retention)
	return errors.Join(errs...)
}

func (c Config) minPause() time.Duration { return min(c.MinPause, maxPause) }

// baseInterval is the real distance of periodic checkpoints.
func (c Config) baseInterval() time.Duration { return max(c.Interval, c.minPause()) }

// Job describes the job whose checkpoints are taken. It does not change while the job lasts.
type Job struct {
	// Header holds what is the same in the metadata of every checkpoint: job, name, epoch, graph and the names of rules. The
	// coordinator fills in the rest.
	Header snapshot.Metadata
	// Vertices in topological order: each after those it reads from.
	Vertices []Vertex
}

// Vertex is one task of the job graph with all its subtasks.
type Vertex struct {
	ID          job.VertexID
	Name        string // for people
	Parallelism int
	Inputs      []Input    // none: a source
	Operators   []Operator // of the chain, head first
}

// Input is an edge from another vertex. On a pointwise edge (all-to-all is false) subtask i of q reads from the subtasks
// i*p/q .. (i+1)*p/q-1 of p, at least one; with equal parallelism from its own number.
type Input struct {
	From     int // index in Job.Vertices
	AllToAll bool
}

// Operator is what the metadata says of an operator, apart from its state.
type Operator struct {
	ID             job.OperatorID
	Name           string
	Named          bool
	MaxParallelism int
	Location       string // where a source reads or a sink writes
	HasCoordinator bool   // a coordinator's state belongs to it: SnapshotCoordinators asks for it
}

// producers returns the subtasks of a vertex with parallelism p that subtask i of one with parallelism q reads from, on a pointwise edge.
func producers(i, p, q int) (from, to int) {
	from, to = i*p/q, (i+1)*p/q
	return from, max(to, from+1)
}
