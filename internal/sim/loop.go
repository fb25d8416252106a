package sim

import (
	"time"

	"github.com/weirstream/weir/internal/cluster/local"
)

// Loop schedules one process of a job, for a test that brings its own files, connectors and troubles. Nothing goes wrong here but what the
// test lets go wrong; files answer at once.
type Loop struct {
	local.Scheduler
	process *process
}

// NewLoop returns a loop that draws the order from a seed.
func NewLoop(seed uint64) *Loop {
	w := New(Config{Decisions: Decisions{Seed: seed, Recorded: true}})
	w.pace = 2 * time.Microsecond
	p := &process{World: w}
	w.now = p
	w.watch.process()
	w.watch.blind = true
	return &Loop{p, p}
}

// Elapsed returns how much time has passed.
func (l *Loop) Elapsed() time.Duration { return l.process.elapsed }

// Turns returns how many turns have been taken, and Trace what tells them from others.
func (l *Loop) Turns() int { return l.process.turns }

// Trace is the same for two loops that have done the same in the same order.
func (l *Loop) Trace() uint64 { return l.process.trace.Sum64() }

// Run takes turns until the job has ended, and calls between before each. The error says that it does not end.
func (l *Loop) Run(between func(turn int)) error {
	err := l.process.turnsUntilEnd(func() bool {
		between(l.process.turns)
		return true
	})
	l.process.dead = true
	l.process.bury()
	return err
}
