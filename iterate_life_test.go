package weir_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/checkpoint"
	"github.com/weirstream/weir/connector/memory"
	"github.com/weirstream/weir/internal/cluster/start"
	"github.com/weirstream/weir/internal/exitcode"
	"github.com/weirstream/weir/internal/runtime/operator"
	"github.com/weirstream/weir/internal/storage/fs"
	"github.com/weirstream/weir/source"
	"github.com/weirstream/weir/state"
)

// carousel is a job whose records go round until they are let off, so that all of them are in the loop whenever a checkpoint comes.
type carousel struct {
	t      *testing.T
	in     *tape[int]
	fs     *fs.Memory
	dir    string
	out    *memory.Collector[string]
	rounds atomic.Int64 // of all records
	off    atomic.Bool
}

// riders counts the rounds of each record in the state of its key and in the record.
type riders struct {
	Rounds   state.Value[int] `state:"rounds"`
	carousel *carousel        `weir:"shared"`
}

// rider is a record on the carousel.
type rider struct {
	N, Rounds, InState int
	Off                bool
}

func (p *riders) On(c *weir.Ctx[int, rider], r rider) error {
	p.carousel.rounds.Add(1)
	p.Rounds.Set(p.Rounds.Get() + 1)
	r.Rounds++
	r.InState, r.Off = p.Rounds.Get(), p.carousel.off.Load()
	c.Emit(r)
	return nil
}

func (k *carousel) job(parallelism int, options ...checkpoint.Option) *weir.Job {
	j := newJob(k.t, parallelism)
	j.Checkpoint(checkpoint.Every(10*time.Millisecond), checkpoint.Dir(k.dir), checkpoint.Loops(checkpoint.ForceLoops), checkpoint.KeepOnCancel())
	j.Checkpoint(options...)
	in := weir.Map(weir.From(j, "in", k.in), func(n int) rider { return rider{N: n} })
	weir.To(weir.Iterate(in, "carousel", func(loop weir.Stream[rider]) (weir.Stream[rider], weir.Stream[string]) {
		rode := weir.Process(weir.KeyBy(loop, func(r rider) int { return r.N }), "riders", &riders{carousel: k})
		done := weir.Map(weir.Filter(rode, func(r rider) bool { return r.Off }), func(r rider) string {
			if r.Rounds != r.InState {
				return fmt.Sprintf("%d: %d rounds, %d in state", r.N, r.Rounds, r.InState)
			}
			return fmt.Sprint(r.N)
		})
		return weir.Filter(rode, func(r rider) bool { return !r.Off }), done
	}), "out", k.out)
	return j
}

// run runs the job until its records have gone round a few times and there is a checkpoint, and then suspends it; or lets it finish if all are
// let off.
func (k *carousel) run(parallelism int, options ...checkpoint.Option) weir.Result {
	k.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	k.rounds.Store(0)
	e, err := weir.StartOn(ctx, k.job(parallelism, options...), k.fs, start.Flags{})
	if err != nil {
		k.t.Fatal(err)
	}
	rounds := int64(20 * len(k.in.splits[0]))
	for !k.off.Load() && (k.rounds.Load() < rounds || e.Progress().Checkpoint.Completed == 0) && ctx.Err() == nil {
		time.Sleep(time.Millisecond)
	}
	if !k.off.Load() {
		cancel()
	}
	r, err := e.Wait()
	if err != nil || k.off.Load() != (r.Status == weir.Finished) {
		k.t.Fatalf("the job ended as %s, %v", r.Status, err)
	}
	return r
}

// inLoop returns the number of records that a checkpoint holds of the loop, and in how many subtasks.
func (k *carousel) inLoop(path string) (records, subtasks int) {
	k.t.Helper()
	for _, op := range load(k.t, k.fs, path).Operators {
		for _, s := range op.Subtasks {
			if s == nil {
				continue
			}
			for _, l := range s.Lists {
				if l.Name == operator.LoopState {
					records += len(l.Offsets)
					subtasks++
				}
			}
		}
	}
	return records, subtasks
}

func newCarousel(t *testing.T, n int) *carousel {
	return &carousel{t: t, in: &tape[int]{splits: [][]int{numbers(n)}}, fs: fs.NewMemory(), dir: t.TempDir(), out: memory.Collect[string]()}
}

// TestLoopRescales shows that records which are in a loop at a checkpoint come through it when the parallelism changes, more and fewer: they
// reach the state of their keys, all of them, once.
func TestLoopRescales(t *testing.T) {
	const n = 100
	k := newCarousel(t, n)
	for _, parallelism := range []int{1, 3, 2} {
		r := k.run(parallelism)
		if records, subtasks := k.inLoop(r.Checkpoint); records != n || subtasks > parallelism {
			t.Errorf("at parallelism %d the checkpoint has %d records of %d subtasks, want %d", parallelism, records, subtasks, n)
		}
	}
	k.off.Store(true)
	k.run(3)
	var want []string
	for i := range n {
		want = append(want, fmt.Sprint(i))
	}
	slices.Sort(want)
	equal(t, slices.Sorted(slices.Values(k.out.Records())), want)
}

// TestLoopLoses shows the loss that the user may choose: what is in a loop at a checkpoint is gone after a restore.
func TestLoopLoses(t *testing.T) {
	k := newCarousel(t, 100)
	lose := checkpoint.Loops(checkpoint.LoseInLoops)
	r := k.run(2, lose)
	if records, _ := k.inLoop(r.Checkpoint); records != 0 {
		t.Errorf("the checkpoint has %d records of the loop", records)
	}
	k.off.Store(true)
	k.run(2, lose)
	if got := k.out.Records(); len(got) != 0 {
		t.Errorf("%d records have come through", len(got))
	}
}

// TestLoopRefused shows that a loop and checkpoints are refused together unless the user has decided, and what is said then. One of them
// alone is not.
func TestLoopRefused(t *testing.T) {
	k := newCarousel(t, 1)
	_, err := weir.StartOn(t.Context(), k.job(1, checkpoint.Loops(checkpoint.RefuseLoops)), k.fs, start.Flags{})
	var refused *start.Error
	if !errors.As(err, &refused) || refused.Code != exitcode.Usage {
		t.Fatalf("got %v", err)
	}
	contains(t, err, `"carousel" is a loop`, "weir.checkpointing.loops=FORCE ", "weir.checkpointing.loops=FORCE_WITH_LOSS ")
}

// last emits what it has counted when the data ends.
type last struct {
	N state.List[int] `state:"n"`
}

func (p *last) On(c *weir.Ctx[weir.NoKey, int], n int) error {
	p.N.Append(n)
	return nil
}

func (p *last) Finish(c *weir.Ctx[weir.NoKey, int]) error {
	c.Emit(p.N.Len())
	return nil
}

// TestFinishInLoop shows that a step in a loop may emit results in Finish, but not send them round: that fails the job and says why.
func TestFinishInLoop(t *testing.T) {
	for _, way := range []string{"chained", "rebalanced"} {
		build := func(round bool) (*weir.Job, *memory.Collector[int]) {
			j := newJob(t, 2)
			out := memory.Collect[int]()
			weir.To(weir.Iterate(weir.From(j, "in", memory.Slice(numbers(10))), "loop", func(loop weir.Stream[int]) (weir.Stream[int], weir.Stream[int]) {
				if way == "rebalanced" {
					loop = weir.Rebalance(loop)
				}
				counted := weir.ProcessPlain(loop, "last", &last{}, weir.Parallelism(2))
				if way == "rebalanced" {
					counted = weir.Rebalance(counted)
				}
				if round {
					return counted, weir.Filter(loop, func(int) bool { return false })
				}
				return weir.Filter(loop, func(int) bool { return false }), counted
			}), "out", out)
			return j, out
		}
		j, out := build(false)
		run(t, j)
		sum := 0
		for _, n := range out.Records() {
			sum += n
		}
		if sum != 10 {
			t.Errorf("%s: %d records counted, want 10", way, sum)
		}
		j, _ = build(true)
		contains(t, runFor(t, j), `step "loop again"`, "the loop has ended", "Finish")
	}
}

// TestLoopGraphs shows what is no loop, and how that is said.
func TestLoopGraphs(t *testing.T) {
	type s = weir.Stream[int]
	none := func(in s) s { return weir.Filter(in, func(int) bool { return false }) }
	for want, build := range map[string]func(j *weir.Job, in s) s{
		`loop "loop": what goes round does not come from the loop`: func(_ *weir.Job, in s) s {
			return weir.Iterate(in, "loop", func(loop s) (s, s) { return none(in), loop })
		},
		`loop "inner" is within loop "outer"`: func(_ *weir.Job, in s) s {
			return weir.Iterate(in, "outer", func(loop s) (s, s) {
				return none(loop), weir.Iterate(loop, "inner", func(loop s) (s, s) { return none(loop), loop })
			})
		},
		`loop "loop": the body returns a stream of another job, or none`: func(_ *weir.Job, in s) s {
			return weir.Iterate(in, "loop", func(loop s) (s, s) { return s{}, loop })
		},
		`loop "loop": at most 0 laps`: func(_ *weir.Job, in s) s {
			out, _ := weir.IterateUpTo(in, "loop", 0, func(loop weir.Stream[weir.Lap[int]]) (weir.Stream[weir.Lap[int]], s) {
				return loop, weir.Map(loop, func(l weir.Lap[int]) int { return l.Value })
			})
			return out
		},
		`loop "laps": the body returns a stream of another job, or none`: func(_ *weir.Job, in s) s {
			out, rest := weir.IterateUpTo(in, "laps", 1, func(weir.Stream[weir.Lap[int]]) (weir.Stream[weir.Lap[int]], s) {
				return weir.Stream[weir.Lap[int]]{}, s{}
			})
			return weir.Union(out, rest)
		},
		`loop "loop": what goes round may have to be written to a file`: func(_ *weir.Job, in s) s {
			funcs := weir.Map(in, func(n int) func() int { return func() int { return n } })
			return weir.Iterate(funcs, "loop", func(loop weir.Stream[func() int]) (weir.Stream[func() int], s) {
				return loop, weir.Map(loop, func(f func() int) int { return f() })
			})
		},
	} {
		j := newJob(t, 1)
		weir.To(build(j, weir.From(j, "in", memory.Slice(numbers(3)))), "out", memory.Collect[int]())
		err := runFor(t, j)
		contains(t, err, want)
		if strings.Contains(fmt.Sprint(err), "panic") {
			t.Error(err)
		}
	}
}

// TestLoopsBesideAndBehind shows two loops one behind the other, and a stream from outside that enters in the middle of the second: it has
// to end too before that loop does.
func TestLoopsBesideAndBehind(t *testing.T) {
	type s = weir.Stream[int]
	down := func(beside ...s) func(loop s) (s, s) {
		return func(loop s) (s, s) {
			less := weir.Map(weir.Union(weir.Rebalance(loop), beside...), func(n int) int { return n - 1 })
			return weir.Filter(less, func(n int) bool { return n > 0 }), weir.Filter(less, func(n int) bool { return n <= 0 })
		}
	}
	for _, parallelism := range []int{1, 3} {
		j := newJob(t, parallelism)
		out := memory.Collect[int]()
		first := weir.Iterate(weir.From(j, "in", memory.Slice(numbers(300))), "first", down())
		more := weir.Map(first, func(n int) int { return n + 20 })
		beside := weir.From(j, "beside", memory.Slice(numbers(2000)), weir.Parallelism(1))
		weir.To(weir.Iterate(more, "second", down(weir.Rebalance(beside))), "out", out)
		run(t, j)
		if got := len(out.Records()); got != 2300 {
			t.Errorf("parallelism %d: %d records, want 2300", parallelism, got)
		}
	}
}

// TestLoopFails shows that an error in a loop, for good, ends the job although records go round.
func TestLoopFails(t *testing.T) {
	j := newJob(t, 2)
	weir.To(weir.Iterate(weir.From(j, "in", memory.Slice(numbers(100))), "loop", func(loop weir.Stream[int]) (weir.Stream[int], weir.Stream[int]) {
		more := weir.TryMap(weir.Rebalance(loop), func(n int) (int, error) {
			if n == 10_000 {
				return 0, source.Permanent(errTest)
			}
			return n + 1, nil
		})
		return more, weir.Filter(more, func(int) bool { return false })
	}), "out", memory.Collect[int]())
	if err := runFor(t, j); !errors.Is(err, errTest) {
		t.Errorf("got %v", err)
	}
}

// TestLoopRescalesLive shows the same while the job runs: the head is given another parallelism, and the tail gets it too, although it runs
// in the task of another step.
func TestLoopRescalesLive(t *testing.T) {
	const n = 60
	k := newCarousel(t, n)
	e, err := weir.StartOn(t.Context(), k.job(1), k.fs, start.Flags{})
	if err != nil {
		t.Fatal(err)
	}
	for i, step := range []string{"carousel", "riders"} {
		until(t, e, "rounds", func() bool { return e.Progress().Checkpoint.Completed > 0 && k.rounds.Load() >= int64(10*n) })
		if err := e.Rescale(t.Context(), step, 3-i); err != nil {
			t.Fatalf("%s: %v", step, err)
		}
		k.rounds.Store(0)
	}
	k.off.Store(true)
	if r, err := e.Wait(); r.Status != weir.Finished {
		t.Fatalf("the job ended as %s, %v", r.Status, err)
	}
	if got := slices.Compact(slices.Sorted(slices.Values(k.out.Records()))); len(got) != n || len(k.out.Records()) != n || strings.Contains(strings.Join(got, ""), "state") {
		t.Errorf("%d records, want %d: %s", len(k.out.Records()), n, short(got))
	}
}

// TestLoopStopsWithSavepoint shows that a job which is suspended with a savepoint has what goes round in it, and that one which is drained
// empties its loop first: then the savepoint holds none, and all results are committed.
func TestLoopStopsWithSavepoint(t *testing.T) {
	const n = 50
	for _, parallelism := range []int{1, 3} {
		k := newCarousel(t, n)
		k.in.hold(0, n-1) // so that there is something to stop,
		k.in.waits = true // in every subtask
		riding := func() *weir.Execution {
			k.rounds.Store(0)
			e, err := weir.StartOn(t.Context(), k.job(parallelism), k.fs, start.Flags{})
			if err != nil {
				t.Fatal(err)
			}
			until(t, e, "rounds", func() bool { return e.Progress().Checkpoint.Completed > 0 && k.rounds.Load() >= 10*n })
			return e
		}
		e := riding()
		path, err := e.StopWithSavepoint(t.Context(), savepoints)
		if err != nil {
			t.Fatal(err)
		}
		if records, _ := k.inLoop(path); records != n-1 {
			t.Errorf("the savepoint has %d records of the loop, want %d", records, n-1)
		}
		if _, err := e.Wait(); err != nil {
			t.Fatal(err)
		}
		e = riding() // goes on from the savepoint
		k.off.Store(true)
		path, err = e.StopWithSavepoint(t.Context(), savepoints, weir.Drain())
		if err != nil {
			t.Fatal(err)
		}
		if records, _ := k.inLoop(path); records != 0 {
			t.Errorf("the savepoint of a drained job has %d records of the loop", records)
		}
		if _, err := e.Wait(); err != nil {
			t.Fatal(err)
		}
		if got := k.out.Records(); len(got) != n-1 || strings.Contains(strings.Join(got, ""), "state") {
			t.Errorf("%d records were committed, want %d: %v", len(got), n-1, short(got))
		}
	}
}
