package weir_test

import (
	"fmt"
	"iter"
	"slices"
	"testing"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/connector/memory"
)

// walk is a number on its way to 1 by the rule of Collatz.
type walk struct {
	Start, N, Steps int
}

func (w *walk) step() {
	if w.N%2 == 0 {
		w.N /= 2
	} else {
		w.N = 3*w.N + 1
	}
	w.Steps++
}

func arrived(w walk) bool  { return w.N == 1 }
func underway(w walk) bool { return w.N != 1 }

func walks(n int) []walk {
	in := make([]walk, n)
	for i := range in {
		in[i] = walk{Start: i + 1, N: i + 1}
	}
	return in
}

// collatz is what plain Go makes of the walks.
func collatz(n int) (all []string) {
	for _, w := range walks(n) {
		for w.step(); w.N != 1; {
			w.step()
		}
		all = append(all, w.String())
	}
	slices.Sort(all)
	return all
}

func (w walk) String() string { return fmt.Sprintf("%d: %d steps", w.Start, w.Steps) }

// TestIterate shows that an unbounded loop gives what plain Go does, however its body is cut into tasks.
func TestIterate(t *testing.T) {
	type s = weir.Stream[walk]
	step := func(in s) s { return weir.Edit(in, (*walk).step) }
	ends := func(in s) (s, weir.Stream[string]) {
		return weir.Filter(in, underway), weir.Map(weir.Filter(in, arrived), walk.String)
	}
	for name, body := range map[string]func(loop s) (s, weir.Stream[string]){
		"in one task": func(loop s) (s, weir.Stream[string]) { return ends(step(loop)) },
		"dealt out":   func(loop s) (s, weir.Stream[string]) { return ends(step(weir.Rebalance(loop))) },
		"of another parallelism": func(loop s) (s, weir.Stream[string]) {
			return ends(weir.Edit(loop, (*walk).step, weir.Parallelism(3)))
		},
		"with the end in another task": func(loop s) (s, weir.Stream[string]) {
			again, out := ends(step(loop))
			return weir.Rebalance(again), out
		},
		"keyed": func(loop s) (s, weir.Stream[string]) {
			by := weir.KeyBy(loop, func(w walk) int { return w.N })
			return ends(step(weir.Process(by, "seen", &pass{})))
		},
		"of two tasks": func(loop s) (s, weir.Stream[string]) {
			by := weir.KeyBy(step(weir.Rebalance(loop)), func(w walk) int { return w.Start })
			return ends(weir.Process(by, "seen", &pass{}))
		},
		"of two ways": func(loop s) (s, weir.Stream[string]) {
			even := weir.Filter(loop, func(w walk) bool { return w.N%2 == 0 })
			odd := weir.Rebalance(weir.Filter(loop, func(w walk) bool { return w.N%2 != 0 }))
			return ends(weir.Union(weir.Edit(even, (*walk).step), weir.Edit(odd, (*walk).step)))
		},
	} {
		t.Run(name, func(t *testing.T) {
			for _, parallelism := range []int{1, 2, 3} {
				for _, n := range []int{0, 1, 7, 3000} {
					equal(t, stream(t, parallelism, walks(n), func(in s) weir.Stream[string] { return weir.Iterate(in, "collatz", body) }), collatz(n))
				}
			}
		})
	}
}

// pass lets everything through and counts it.
type pass struct{}

func (pass) On(c *weir.Ctx[int, walk], w walk) error {
	c.Emit(w)
	return nil
}

// TestIterateUpTo shows that no record goes round more often than it may, and that those which would have leave in the second stream.
func TestIterateUpTo(t *testing.T) {
	for _, laps := range []int{1, 5, 200} {
		j := newJob(t, 2)
		done, rest := memory.Collect[string](), memory.Collect[walk]()
		out, over := weir.IterateUpTo(weir.From(j, "in", memory.Slice(walks(500))), "collatz", laps, func(loop weir.Stream[weir.Lap[walk]]) (weir.Stream[weir.Lap[walk]], weir.Stream[string]) {
			stepped := weir.Edit(weir.Rebalance(loop), func(l *weir.Lap[walk]) { l.Value.step() })
			again := weir.Filter(stepped, func(l weir.Lap[walk]) bool { return underway(l.Value) })
			return again, weir.Map(weir.Filter(stepped, func(l weir.Lap[walk]) bool { return arrived(l.Value) }), func(l weir.Lap[walk]) string {
				if l.N != l.Value.Steps {
					return fmt.Sprintf("%v in lap %d", l.Value, l.N)
				}
				return l.Value.String()
			})
		})
		weir.To(out, "out", done)
		weir.To(over, "rest", rest)
		run(t, j)
		var wantDone []string
		var wantRest []walk
		for _, w := range walks(500) {
			for w.step(); w.N != 1 && w.Steps < laps; {
				w.step()
			}
			if w.N == 1 {
				wantDone = append(wantDone, w.String())
			} else {
				wantRest = append(wantRest, w)
			}
		}
		slices.Sort(wantDone)
		equal(t, slices.Sorted(slices.Values(done.Records())), wantDone)
		equal(t, slices.SortedFunc(slices.Values(rest.Records()), func(a, b walk) int { return a.Start - b.Start }), wantRest)
	}
}

// TestLapsAreKept shows that a body which makes up the number of a lap fails the job, for good.
func TestLapsAreKept(t *testing.T) {
	j := newJob(t, 1)
	out, _ := weir.IterateUpTo(weir.From(j, "in", memory.Slice(numbers(3))), "loop", 4, func(loop weir.Stream[weir.Lap[int]]) (weir.Stream[weir.Lap[int]], weir.Stream[int]) {
		return weir.Map(loop, func(l weir.Lap[int]) weir.Lap[int] { return weir.Lap[int]{Value: l.Value} }), weir.Map(loop, func(l weir.Lap[int]) int { return l.Value })
	})
	weir.To(out, "out", memory.Collect[int]())
	contains(t, runFor(t, j), "a record in lap 0 is sent round, in a loop of 4 laps")
}

// TestIterateGrows shows a loop in which each record becomes many, so that more waits to go round than may stay in memory.
func TestIterateGrows(t *testing.T) {
	const depth = 12
	build := func(in weir.Stream[int]) weir.Stream[int] {
		return weir.Iterate(in, "grow", func(loop weir.Stream[int]) (weir.Stream[int], weir.Stream[int]) {
			more := weir.FlatMap(weir.Filter(loop, func(n int) bool { return n < depth }), func(n int) iter.Seq[int] { return slices.Values([]int{n + 1, n + 1}) })
			return more, weir.Filter(loop, func(n int) bool { return n == depth })
		})
	}
	for _, limit := range []string{"32 mb", "1 kb", "0 b"} {
		for _, parallelism := range []int{1, 2} {
			j := newJob(t, parallelism)
			j.Set("weir.loops.memory", limit)
			out := memory.Collect[int]()
			weir.To(build(weir.From(j, "in", memory.Slice([]int{0, 0, 0}))), "out", out)
			run(t, j)
			if got, want := len(out.Records()), 3<<depth; got != want {
				t.Errorf("limit %s: %d records, want %d", limit, got, want)
			}
		}
	}
}
