package sim_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/internal/sim"
)

// TestStops shows that a job that is stopped with savepoints, cancelled with one or without, and started again as it tells the user commits
// each result once, whatever happens to it besides.
func TestStops(t *testing.T) { suite(t, "stops", 60, variation{asks: 5}) }

// TestStopsAtTheEnd shows the same of a job that has nothing more to read when it is to stop, in all of its tasks or in some: the stop never
// makes it fail.
func TestStopsAtTheEnd(t *testing.T) {
	suite(t, "at-the-end", 150, variation{asks: 4, drain: true, short: true, set: func(w *sim.World) map[string]string {
		set := map[string]string{"execution.checkpointing.timeout": "1 h", "restart-strategy.type": "none"}
		if w.Pick(2) == 0 {
			set["execution.checkpointing.interval"] = "" // which leaves it out
		}
		return set
	}})
}

// TestDrains shows that a job that is drained at some moment commits what follows from all that it has read, once, and has finished.
func TestDrains(t *testing.T) { suite(t, "drains", 60, variation{asks: 3, drain: true}) }

// TestAnother shows that a job that goes on from a snapshot of another one commits what that had not at the snapshot, once, and leaves the
// snapshot alone unless it has claimed it.
func TestAnother(t *testing.T) { suite(t, "another", 50, variation{asks: 4, another: true}) }

// TestFlat shows the same of a job that keeps its checkpoints directly in their directory.
func TestFlat(t *testing.T) {
	suite(t, "flat", 30, variation{asks: 2, doubts: 2, set: func(*sim.World) map[string]string {
		return map[string]string{"execution.checkpointing.create-subdir": "false"}
	}})
}

// TestOverlapping shows the same with several checkpoints under way at a time.
func TestOverlapping(t *testing.T) {
	suite(t, "overlapping", 40, variation{asks: 3, doubts: 2, set: func(w *sim.World) map[string]string {
		return map[string]string{"execution.checkpointing.max-concurrent-checkpoints": fmt.Sprint(2 + w.Pick(2))}
	}})
}

// TestByHand shows the same of a job that takes only the checkpoints that somebody asks for.
func TestByHand(t *testing.T) {
	suite(t, "by-hand", 30, variation{asks: 6, doubts: 1, set: func(*sim.World) map[string]string {
		return map[string]string{"execution.checkpointing.interval": ""} // which leaves it out
	}})
}

// TestWithoutLast shows the same of a job that at first does without a checkpoint at the end of its data, and then is run without that setting.
func TestWithoutLast(t *testing.T) {
	suite(t, "without-last", 30, variation{asks: 2, first: map[string]string{"execution.checkpointing.checkpoints-after-tasks-finish": "false"}})
}

// slicesOfJob is a job whose subtasks have nothing to do with each other: each is a region of its own.
func slicesOfJob(j *weir.Job, in *sim.Input[click], out *sim.Output[string]) {
	weir.To(weir.Map(weir.Filter(weir.From(j, "clicks", in), func(c click) bool { return c.At%3 > 0 }), clicked), "out", out)
}

func clicked(c click) string { return fmt.Sprintf("%s %s %d", c.User, c.Page, c.At) }

func wantOfSlices(in [][]click) (out []string) {
	for _, c := range slices.Concat(in...) {
		if c.At%3 > 0 {
			out = append(out, clicked(c))
		}
	}
	return out
}

// TestSlices shows the same of a job of which a part restarts while the others go on.
func TestSlices(t *testing.T) {
	suite(t, "slices", 50, variation{asks: 3, drain: true, doubts: 2, build: slicesOfJob, want: wantOfSlices})
}

// round is a click that goes round in a loop as often as its time says.
type round struct {
	Click click
	Left  int
}

// rounds is a job with a loop, in which each click goes round a few times.
func rounds(j *weir.Job, in *sim.Input[click], out *sim.Output[string]) {
	begun := weir.Map(weir.From(j, "clicks", in), func(c click) round { return round{c, int(c.At % 7)} })
	done := weir.Iterate(begun, "rounds", func(loop weir.Stream[round]) (again weir.Stream[round], out weir.Stream[string]) {
		stepped := weir.Process(weir.KeyBy(loop, func(r round) string { return r.Click.Page }), "step", &stepping{})
		return weir.Filter(stepped, func(r round) bool { return r.Left >= 0 }),
			weir.Map(weir.Filter(stepped, func(r round) bool { return r.Left < 0 }), func(r round) string { return clicked(r.Click) })
	})
	weir.To(done, "out", out)
}

type stepping struct {
	Seen weir.Timer `timer:"unused,event"`
}

func (*stepping) On(c *weir.Ctx[string, round], r round) error {
	r.Left--
	c.Emit(r)
	return nil
}

func (*stepping) OnTimer(*weir.Ctx[string, round], *weir.Timer) error { return nil }

func wantOfRounds(in [][]click) (out []string) {
	for _, c := range slices.Concat(in...) {
		out = append(out, clicked(c))
	}
	return out
}

// TestRounds shows the same of a job with a loop.
func TestRounds(t *testing.T) {
	suite(t, "rounds", 40, variation{asks: 3, drain: true, doubts: 1, build: rounds, want: wantOfRounds, set: func(*sim.World) map[string]string {
		return map[string]string{"weir.checkpointing.loops": "FORCE"}
	}})
}

// TestAtLeastOnce shows that nothing is missing in the mode in which steps do not wait for barriers.
func TestAtLeastOnce(t *testing.T) {
	suite(t, "at-least-once", 40, variation{asks: 2, build: slicesOfKeys, want: wantOfSlices, judge: nothingMissing, set: func(*sim.World) map[string]string {
		return map[string]string{"execution.checkpointing.mode": "AT_LEAST_ONCE"}
	}})
}

// slicesOfKeys is slicesOfJob with a keyed step in it, so that there is somebody with several inputs.
func slicesOfKeys(j *weir.Job, in *sim.Input[click], out *sim.Output[string]) {
	kept := weir.Filter(weir.From(j, "clicks", in), func(c click) bool { return c.At%3 > 0 })
	weir.To(weir.Process(weir.KeyBy(kept, func(c click) string { return c.Page }), "tell", &telling{}), "out", out)
}

type telling struct {
	Unused weir.Timer `timer:"unused,event"`
}

func (*telling) On(c *weir.Ctx[string, string], e click) error {
	c.Emit(clicked(e))
	return nil
}

func (*telling) OnTimer(*weir.Ctx[string, string], *weir.Timer) error { return nil }

func nothingMissing(got, want []string) error {
	count := map[string]int{}
	for _, s := range got {
		count[s]++
	}
	for _, s := range want {
		if count[s] == 0 {
			return fmt.Errorf("%q is lost", s)
		}
	}
	for s := range count {
		if !slices.Contains(want, s) {
			return fmt.Errorf("%q was never read", s)
		}
	}
	return nil
}
