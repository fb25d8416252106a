package weir_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weirstream/weir/checkpoint"
	"github.com/weirstream/weir/internal/cluster/local"
	"github.com/weirstream/weir/internal/door"
	"github.com/weirstream/weir/internal/sim"
)

// story plays the job of a world under chance, until it has finished, and returns what came of it and what it has committed.
func story(t *testing.T, d sim.Decisions, options ...checkpoint.Option) (r sim.Report, w *world, committed []string) {
	chance := sim.New(sim.Config{Decisions: d, Troubles: int(d.Seed % 8), Parallelism: []int{1, 2, 3}})
	w = newWorld(t, 1+chance.Pick(4), 20+chance.Pick(19))
	out := sim.NewOutput[string](chance)
	w.source, w.sink, w.dir = &sim.Input[reading]{World: chance, Splits: w.in.splits}, out, sim.Dir
	timeout := []time.Duration{20 * time.Millisecond, 60 * time.Millisecond, time.Second}[chance.Pick(3)]
	w.options = append([]checkpoint.Option{checkpoint.TolerateFailures(1 << 30), checkpoint.Timeout(timeout), checkpoint.Retain(1 + chance.Pick(2))}, options...)
	w.set = map[string]string{"restart-strategy.type": "fixed-delay", "restart-strategy.fixed-delay.attempts": "100", "restart-strategy.fixed-delay.delay": "1 ms"}
	if chance.Pick(2) == 0 {
		w.set["execution.checkpointing.data-inline-threshold"] = "0" // so that state is in files
	}
	r = chance.Play(func(ctx context.Context, p sim.Process) (*local.Execution, error) {
		return door.Start(ctx, w.job(p.Parallelism), door.Runtime{FS: p.FS, Now: p.Now, Scheduler: p.Scheduler})
	})
	return r, w, out.Records()
}

// TestExactlyOnce shows that a job with every kind of state commits each result once, whatever happens to its tasks, checkpoints, messages
// and processes.
func TestExactlyOnce(t *testing.T) {
	sim.Suite(t, "testdata/sim/exactly-once", 100, func(d sim.Decisions) sim.Report {
		r, w, committed := story(t, d)
		if r.Err == nil {
			r.Err = w.compare(committed)
		}
		return r
	})
}

// TestAtLeastOnce shows that no record is lost when steps go on with their other inputs during a checkpoint.
func TestAtLeastOnce(t *testing.T) {
	sim.Suite(t, "testdata/sim/at-least-once", 40, func(d sim.Decisions) sim.Report {
		r, w, committed := story(t, d, checkpoint.AtLeastOnce())
		seen := map[string]bool{}
		for _, r := range committed {
			before, _, _ := strings.Cut(r, " sum ")
			seen[before] = true
		}
		for _, want := range w.want() {
			if before, _, ok := strings.Cut(want, " sum "); ok && !seen[before] && r.Err == nil {
				r.Err = fmt.Errorf("%s is lost", before)
			}
		}
		return r
	})
}

// TestSameSeed shows that a story can be told again: the same seed takes the same steps and commits the same records in the same order.
// TestExactlyOnce sees to the steps.
func TestSameSeed(t *testing.T) {
	for seed := range uint64(10) {
		_, _, one := story(t, sim.Decisions{Seed: seed})
		_, _, other := story(t, sim.Decisions{Seed: seed})
		if !slices.Equal(one, other) {
			t.Errorf("seed %d: two runs differ", seed)
		}
	}
}
