package weir_test

import (
	"context"
	"fmt"
	"hash"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/checkpoint"
	"github.com/weirstream/weir/connector/memory"
	"github.com/weirstream/weir/internal/storage/fs"
	"github.com/weirstream/weir/state"
)

// rounds is a job with a loop, run under a seed until it has finished: tasks fail, storage fails, checkpoints expire, the process stops and
// goes on at another parallelism.
type rounds struct {
	t       *testing.T
	rng     *rand.Rand
	now     time.Time
	trace   hash.Hash64
	in      *tape[walk]
	fs      *fs.Faulty
	dir     string
	out     *memory.Collector[string]
	options []checkpoint.Option
	memory  string
	plain   bool // let the body be steps without keys, so that the subtasks of the job are connected by nothing but the end of the loop
	trouble int  // what may still go wrong
	log     []string
}

func newRounds(t *testing.T, seed uint64, options ...checkpoint.Option) *rounds {
	r := &rounds{
		t: t, rng: rand.New(rand.NewPCG(seed, 7)), now: time.Unix(1_000_000, 0), trace: fnv.New64a(), in: &tape[walk]{together: true},
		fs: fs.NewFaulty(fs.NewMemory(), nil), dir: t.TempDir(), out: memory.Collect[string](), memory: []string{"32 mb", "100 b", "0 b"}[seed%3], trouble: int(seed % 8),
	}
	all := walks(10 + r.rng.IntN(40))
	for split := range slices.Chunk(all, 1+len(all)/(1+r.rng.IntN(4))) {
		r.in.splits = append(r.in.splits, split)
	}
	r.in.batch = 1 + r.rng.IntN(3)
	timeout := []time.Duration{20 * time.Millisecond, time.Hour}[r.rng.IntN(2)]
	r.options = append([]checkpoint.Option{
		checkpoint.Every(10 * time.Millisecond), checkpoint.Dir(r.dir), checkpoint.Timeout(timeout), checkpoint.TolerateFailures(1 << 30), checkpoint.Loops(checkpoint.ForceLoops),
	}, options...)
	r.in.poll = func(int, int) error { return r.mayFail("a source") }
	return r
}

// mayFail fails a task now and then.
func (r *rounds) mayFail(who string) error {
	if r.trouble > 0 && r.rng.IntN(200) == 0 {
		r.trouble--
		r.note("%s fails", who)
		return errTest
	}
	return nil
}

func (r *rounds) note(format string, args ...any) {
	r.log = append(r.log, fmt.Sprintf(format, args...))
	fmt.Fprintf(r.trace, format, args...)
}

// visits counts how often each number has been walked over, and tells it at the end of event time by a timer: to the outside, and by a
// record that goes round once more.
type visits struct {
	N    state.Value[int]  `state:"n"`
	Told state.Value[bool] `state:"told"`
	End  weir.Timer        `timer:"end,event"`
	Sums weir.Side[string]
	fail func() error
}

func (v *visits) On(c *weir.Ctx[int, walk], w walk) error {
	if w.Start == 0 { // its own farewell has come round
		v.Sums.Emit(fmt.Sprintf("%d: visited %d times, told %v", w.N, v.N.Get(), v.Told.Get()))
		return nil
	}
	if err := v.fail(); err != nil {
		return err
	}
	v.N.Set(v.N.Get() + 1)
	v.End.AtMillis(1 << 50)
	w.step()
	c.Emit(w)
	return nil
}

func (v *visits) OnTimer(c *weir.Ctx[int, walk], _ *weir.Timer) error {
	v.Told.Set(true)
	c.Emit(walk{N: c.Key()})
	return nil
}

// want returns what a run without failures commits.
func (r *rounds) want() (all []string) {
	visited := map[int]int{}
	for _, split := range r.in.splits {
		for _, w := range split {
			for more := true; more; more = w.N != 1 {
				visited[w.N]++
				w.step()
			}
			all = append(all, w.String())
		}
	}
	if r.plain {
		clear(visited)
	}
	for n, times := range visited {
		all = append(all, fmt.Sprintf("%d: visited %d times, told true", n, times))
	}
	slices.Sort(all)
	return all
}

func (r *rounds) job(parallelism int) *weir.Job {
	j := newJob(r.t, parallelism)
	j.Checkpoint(r.options...)
	j.Set("weir.loops.memory", r.memory)
	j.Set("restart-strategy.type", "fixed-delay")
	j.Set("restart-strategy.fixed-delay.attempts", "1000")
	j.Set("restart-strategy.fixed-delay.delay", "1 ms")
	in := weir.From(j, "in", r.in)
	if r.plain {
		weir.To(weir.Iterate(in, "collatz", func(loop weir.Stream[walk]) (weir.Stream[walk], weir.Stream[string]) {
			stepped := weir.TryMap(loop, func(w walk) (walk, error) {
				w.step()
				return w, r.mayFail("the loop")
			})
			return weir.Filter(stepped, underway), weir.Map(weir.Filter(stepped, arrived), walk.String)
		}), "out", r.out)
		return j
	}
	v := &visits{fail: func() error { return r.mayFail("the loop") }}
	weir.To(weir.Iterate(in, "collatz", func(loop weir.Stream[walk]) (weir.Stream[walk], weir.Stream[string]) {
		stepped := weir.Process(weir.KeyBy(loop, func(w walk) int { return w.N }), "visits", v)
		done := func(w walk) bool { return w.N == 1 && w.Start > 0 }
		again := weir.Filter(stepped, func(w walk) bool { return !done(w) })
		return again, weir.Union(weir.Map(weir.Filter(stepped, done), walk.String), weir.SideOutput(stepped, &v.Sums))
	}), "out", r.out)
	return j
}

// play runs the job, as many processes as it takes, until it has finished.
func (r *rounds) play() {
	for {
		parallelism := 1 + r.rng.IntN(3)
		r.note("process at parallelism %d", parallelism)
		ctx, cancel := context.WithCancel(context.Background())
		sim := newSimulation(r.t, r.rng, r.now, r.trace)
		r.fs.Clear()
		e, err := weir.StartSimulated(ctx, r.job(parallelism), r.fs, sim, sim.clock)
		if err != nil {
			r.t.Fatal(err)
		}
		sim.run(func(turn int) {
			switch {
			case r.trouble == 0:
			case r.rng.IntN(300) == 0:
				r.trouble--
				r.fs.Inject(fs.Fault{Op: []fs.Op{fs.OpPut, fs.OpCreate, fs.OpWrite, fs.OpCommit}[r.rng.IntN(4)], Late: r.rng.IntN(2) == 0, Err: errTest})
				r.note("storage fails at %d", turn)
			case r.rng.IntN(600) == 0:
				r.trouble--
				r.note("abort at %d", turn)
				e.Abort()
			case r.rng.IntN(600) == 0:
				r.trouble--
				r.note("suspend at %d", turn)
				cancel()
			}
		})
		cancel()
		r.now = sim.now
		result, err := e.Wait()
		c := e.Progress().Checkpoint
		r.note("%s after %d turns, %d checkpoints, %d failed, %d restarts", result.Status, sim.turns, c.Completed, c.Failed, e.Progress().Restarts)
		if err != nil {
			r.t.Fatalf("the job failed: %v", err)
		}
		if result.Status == weir.Finished {
			return
		}
	}
}

func (r *rounds) check() {
	got, want := slices.Sorted(slices.Values(r.out.Records())), r.want()
	if slices.Equal(got, want) {
		return
	}
	count := map[string]int{}
	for _, s := range got {
		count[s]++
	}
	for _, s := range want {
		count[s]--
	}
	for _, s := range slices.Sorted(maps.Keys(count)) {
		if count[s] != 0 {
			r.t.Errorf("%q: %+d", s, count[s])
		}
	}
	r.t.Log(strings.Join(r.log, "\n"))
}

// TestLoopExactlyOnce shows that each record of a loop has its effect once, in state, in timers and in what is committed, whatever happens
// to tasks, checkpoints and processes while it goes round.
func TestLoopExactlyOnce(t *testing.T) {
	stories(t, 150, func(t *testing.T, seed uint64) {
		r := newRounds(t, seed)
		r.play()
		r.check()
	})
}

// TestPlainLoopExactlyOnce shows the same of a loop whose subtasks have nothing to do with each other but that they end together: when one
// fails all restart, since the others cannot come to an end without it.
func TestPlainLoopExactlyOnce(t *testing.T) {
	stories(t, 80, func(t *testing.T, seed uint64) {
		r := newRounds(t, seed)
		r.plain = true
		r.play()
		r.check()
	})
}

// TestLoopSeveralCheckpoints shows the same with several checkpoints under way: each has its own log.
func TestLoopSeveralCheckpoints(t *testing.T) {
	stories(t, 80, func(t *testing.T, seed uint64) {
		r := newRounds(t, seed, checkpoint.Set("execution.checkpointing.max-concurrent-checkpoints", "3"))
		r.play()
		r.check()
	})
}

// TestLoopAtLeastOnce shows that no record is lost in the mode that does not wait for barriers.
func TestLoopAtLeastOnce(t *testing.T) {
	stories(t, 60, func(t *testing.T, seed uint64) {
		r := newRounds(t, seed, checkpoint.AtLeastOnce())
		r.play()
		seen := map[string]bool{}
		for _, s := range r.out.Records() {
			seen[s] = true
		}
		for _, want := range r.want() {
			if strings.HasSuffix(want, "steps") && !seen[want] {
				t.Errorf("%s is lost\n%s", want, strings.Join(r.log, "\n"))
			}
		}
	})
}

// TestLoopSameSeed shows that a loop does the same things in the same order under the same seed.
func TestLoopSameSeed(t *testing.T) {
	for seed := range uint64(6) {
		var traces [2]uint64
		for i := range traces {
			r := newRounds(t, seed)
			r.play()
			traces[i] = r.trace.Sum64()
		}
		if traces[0] != traces[1] {
			t.Errorf("seed %d: two runs differ", seed)
		}
	}
}
