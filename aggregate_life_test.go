package weir_test

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/state"
)

// evens remembers of each record the number before it: nil if it was odd.
type evens struct {
	Before state.Map[int, *int] `state:"before"`
}

func (p *evens) On(c *weir.Ctx[int, string], r reading) error {
	if last, ok := p.Before.Get(r.Seq); !ok {
		c.Emit(fmt.Sprintf("key %d before %d: none", c.Key(), r.Seq))
	} else if last == nil {
		c.Emit(fmt.Sprintf("key %d before %d: nil", c.Key(), r.Seq))
	} else {
		c.Emit(fmt.Sprintf("key %d before %d: %d", c.Key(), r.Seq, *last))
	}
	var this *int
	if r.Seq%2 == 0 {
		this = &r.Seq
	}
	p.Before.Put(r.Seq+1, this)
	return nil
}

// aggregated is what an undisturbed run of the aggregations emits.
func aggregated(splits [][]reading) (all []string) {
	counts, totals := map[int]int{}, map[int]int{}
	for _, r := range slices.Concat(splits...) {
		counts[r.Key]++
		totals[r.Key] += r.Seq
		before := "none"
		switch {
		case r.Seq%2 == 1:
			before = fmt.Sprint(r.Seq - 1)
		case r.Seq > 0:
			before = "nil"
		}
		all = append(all, fmt.Sprintf("key %d count %d", r.Key, counts[r.Key]), fmt.Sprintf("key %d most %d", r.Key, r.Seq),
			fmt.Sprintf("key %d total %d", r.Key, totals[r.Key]), fmt.Sprintf("key %d before %d: %s", r.Key, r.Seq, before))
	}
	slices.Sort(all)
	return all
}

// TestAggregationsSurvive shows that what the built-in aggregations know, and a map that has nil for some of its keys, outlives failures, a stop, and
// another parallelism.
func TestAggregationsSurvive(t *testing.T) {
	w := newWorld(t, 4, 60)
	w.set = map[string]string{"restart-strategy.type": "fixed-delay", "restart-strategy.fixed-delay.attempts": "10", "restart-strategy.fixed-delay.delay": "0"}
	w.wanted = func() []string { return aggregated(w.in.splits) }
	w.build = func(j *weir.Job) {
		keyed := weir.KeyBy(weir.From(j, "in", w.in), func(r reading) int { return r.Key })
		counts := weir.Map(weir.Count(keyed, "count"), func(kv weir.KV[int, int64]) string { return fmt.Sprintf("key %d count %d", kv.Key, kv.Value) })
		most := weir.Map(weir.Reduce(keyed, "most", func(a, b reading) reading { a.Seq = max(a.Seq, b.Seq); return a }), func(r reading) string {
			return fmt.Sprintf("key %d most %d", r.Key, r.Seq)
		})
		totals := weir.Aggregate(keyed, "total", func(sum *int, r reading) { *sum += r.Seq }, func(k, sum int) string { return fmt.Sprintf("key %d total %d", k, sum) })
		weir.To(weir.Union(counts, most, totals, weir.Process(keyed, "before", &evens{})), "out", w.sink)
	}
	var failures atomic.Int32
	w.in.poll = func(split, at int) error {
		if n := failures.Load(); split == 1 && at == 70+30*int(n) && n < 3 && failures.CompareAndSwap(n, n+1) {
			return errTest
		}
		return nil
	}
	w.upTo(2, 50, suspend, weir.Suspended)
	for i := range w.in.splits {
		w.in.hold(i, 120)
	}
	e := w.start(context.Background(), 3)
	for failures.Load() < 2 {
		w.checkpoints(e, 1)
	}
	e.Abort()
	w.end(e, weir.Aborted)
	w.finish(1)
	if n := failures.Load(); n != 3 {
		t.Errorf("%d failures, want 3", n)
	}
}
