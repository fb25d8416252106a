package weir_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/connector/discard"
	"github.com/weirstream/weir/connector/file"
	"github.com/weirstream/weir/connector/memory"
	"github.com/weirstream/weir/sink"
	"github.com/weirstream/weir/source"
	"github.com/weirstream/weir/state"
	"github.com/weirstream/weir/window"
)

// newJob returns a job that logs nothing.
func newJob(t testing.TB, parallelism int) *weir.Job {
	j := weir.NewJob("test")
	j.Logger(slog.New(slog.DiscardHandler))
	j.Set("parallelism.default", fmt.Sprint(parallelism))
	return j
}

// run runs a job to its end, which must be a good one.
func run(t testing.TB, j *weir.Job) {
	t.Helper()
	if err := runFor(t, j); err != nil {
		t.Fatal(err)
	}
}

// runFor runs a job and returns why it failed.
func runFor(t testing.TB, j *weir.Job) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	r, err := weir.Run(ctx, j)
	if err == nil && r.Status != weir.Finished {
		t.Fatalf("the job ended as %s", r.Status)
	}
	return err
}

// stream runs what build makes of the records at a parallelism and returns the sorted results.
func stream[In any, Out cmp.Ordered](t testing.TB, parallelism int, in []In, build func(weir.Stream[In]) weir.Stream[Out]) []Out {
	t.Helper()
	j := newJob(t, parallelism)
	out := memory.Collect[Out]()
	weir.To(build(weir.From(j, "in", memory.Slice(in))), "out", out)
	run(t, j)
	return slices.Sorted(slices.Values(out.Records()))
}

func numbers(n int) []int {
	in := make([]int, n)
	for i := range in {
		in[i] = i
	}
	return in
}

func equal[T comparable](t testing.TB, got, want []T) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", short(got), short(want))
	}
}

func short[T any](s []T) string {
	if len(s) > 30 {
		return fmt.Sprintf("%d records %v ...", len(s), s[:30])
	}
	return fmt.Sprint(s)
}

// TestSteps shows what each step without state makes of its records, alone and on several subtasks. The numbers of records are such that
// batches are full, partly full and single.
func TestSteps(t *testing.T) {
	type in = weir.Stream[int]
	twice := func(n int) int { return 2 * n }
	tests := []struct {
		name  string
		build func(s in) weir.Stream[int]
		want  func(n int) []int // results for one record
	}{
		{"map", func(s in) weir.Stream[int] { return weir.Map(s, twice) }, func(n int) []int { return []int{2 * n} }},
		{"try map", func(s in) weir.Stream[int] {
			return weir.TryMap(s, func(n int) (int, error) { return 2 * n, nil })
		}, func(n int) []int { return []int{2 * n} }},
		{"edit", func(s in) weir.Stream[int] { return weir.Edit(s, func(n *int) { *n++ }) }, func(n int) []int { return []int{n + 1} }},
		{"map into", func(s in) weir.Stream[int] {
			return weir.MapInto(s, func(n *int, out *int) { *out += *n }) // out is zero before
		}, func(n int) []int { return []int{n} }},
		{"filter", func(s in) weir.Stream[int] { return weir.Filter(s, func(n int) bool { return n%3 == 0 }) }, func(n int) []int {
			if n%3 == 0 {
				return []int{n}
			}
			return nil
		}},
		{"filter nothing", func(s in) weir.Stream[int] { return weir.Filter(s, func(int) bool { return false }) }, func(int) []int { return nil }},
		{"flat map", func(s in) weir.Stream[int] {
			return weir.FlatMap(s, func(n int) iter.Seq[int] { return slices.Values(slices.Repeat([]int{n}, n%4)) })
		}, func(n int) []int { return slices.Repeat([]int{n}, n%4) }},
		{"rebalance", func(s in) weir.Stream[int] { return weir.Map(weir.Rebalance(s), twice) }, func(n int) []int { return []int{2 * n} }},
		{"forward", func(s in) weir.Stream[int] { return weir.Map(weir.Forward(s), twice) }, func(n int) []int { return []int{2 * n} }},
		{"partition", func(s in) weir.Stream[int] {
			return weir.Map(weir.Partition(s, func(n, p int) int { return n % p }), twice, weir.Parallelism(3))
		}, func(n int) []int { return []int{2 * n} }},
		{"broadcast", func(s in) weir.Stream[int] { return weir.Map(weir.Broadcast(s), twice, weir.Parallelism(3)) },
			func(n int) []int { return []int{2 * n, 2 * n, 2 * n} }},
		{"union of itself", func(s in) weir.Stream[int] { return weir.Map(weir.Union(s, s), twice) }, func(n int) []int { return []int{2 * n, 2 * n} }},
		{"two consumers", func(s in) weir.Stream[int] {
			return weir.Union(weir.Edit(s, func(n *int) { *n = -*n }), weir.Filter(s, func(n int) bool { return n%2 == 0 }), weir.Map(s, twice))
		}, func(n int) []int {
			if n%2 == 0 {
				return []int{-n, n, 2 * n}
			}
			return []int{-n, 2 * n}
		}},
		{"another parallelism", func(s in) weir.Stream[int] {
			return weir.Map(weir.Filter(s, func(n int) bool { return n%2 == 0 }, weir.Parallelism(3)), twice, weir.Parallelism(1))
		}, func(n int) []int {
			if n%2 == 0 {
				return []int{2 * n}
			}
			return nil
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for _, parallelism := range []int{1, 2} {
				for _, n := range []int{0, 1, 5, 3000} {
					var want []int
					for i := range n {
						want = append(want, test.want(i)...)
					}
					slices.Sort(want)
					equal(t, stream(t, parallelism, numbers(n), test.build), want)
				}
			}
		})
	}
}

// TestUnionReadTwice shows that one union can be read at two parallelisms, with a step between tasks decided for each.
func TestUnionReadTwice(t *testing.T) {
	j := newJob(t, 2)
	u := weir.Union(weir.From(j, "a", memory.Slice(numbers(100))), weir.From(j, "b", memory.Slice(numbers(50))))
	same, other := memory.Collect[int](), memory.Collect[int]()
	weir.To(u, "same", same)
	weir.To(u, "other", other, weir.Parallelism(3))
	run(t, j)
	if len(same.Records()) != 150 || len(other.Records()) != 150 {
		t.Errorf("%d and %d records, want 150 in both", len(same.Records()), len(other.Records()))
	}
}

// TestJobRunsTwice shows that running a job does not change its description.
func TestJobRunsTwice(t *testing.T) {
	j := newJob(t, 2)
	weir.To(weir.From(j, "in", memory.Slice(numbers(10)), weir.Parallelism(2)), "out", discard.Sink[int](), weir.Parallelism(3))
	run(t, j)
	j.Set("parallelism.default", "3")
	run(t, j)
}

// TestPartitionOutOfRange shows that a partitioner that picks a subtask that is not there fails the job and says what was allowed.
func TestPartitionOutOfRange(t *testing.T) {
	j := newJob(t, 1)
	in := weir.From(j, "in", memory.Slice(numbers(3)))
	weir.To(weir.Partition(in, func(n, p int) int { return n + p }), "out", memory.Collect[int](), weir.Parallelism(2))
	contains(t, runFor(t, j), "custom partitioner returned 2: it must return 0 to 1")
}

func contains(t testing.TB, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one with %q", parts)
	}
	for _, p := range parts {
		if !strings.Contains(err.Error(), p) {
			t.Errorf("error %q\nlacks %q", err, p)
		}
	}
}

// keys counts records by key and compares with a map.
func keys[K comparable](t *testing.T, name string, in []K, same func(K) K) {
	t.Run(name, func(t *testing.T) {
		want := map[K]int64{}
		for _, k := range in {
			want[same(k)]++
		}
		j := newJob(t, 2)
		out := memory.Collect[weir.KV[K, int64]]()
		weir.To(weir.Count(weir.KeyBy(weir.From(j, "in", memory.Slice(in)), weir.Self), "count"), "out", out)
		run(t, j)
		got := map[K]int64{}
		for _, kv := range out.Records() {
			got[same(kv.Key)] = max(got[same(kv.Key)], kv.Value)
		}
		if !maps.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	})
}

type place struct {
	City string
	Zone [2]int16
	Big  bool
}

type named string

// TestKeyTypes shows that every kind of key groups its records, and that zeros of both signs are one key.
func TestKeyTypes(t *testing.T) {
	id := func(n int) int { return n }
	keys(t, "int", append(numbers(20), numbers(10)...), id)
	keys(t, "string", []string{"a", "b", "", "a", "a long one that is longer than any inline form"}, weir.Self)
	keys(t, "named", []named{"a", "b", "a"}, weir.Self)
	keys(t, "bool", []bool{true, false, true}, weir.Self)
	keys(t, "uint8", []uint8{1, 2, 255, 1}, weir.Self)
	keys(t, "int32", []int32{-1, 1, -1, math.MinInt32}, weir.Self)
	keys(t, "duration", []time.Duration{1, -1, 1}, weir.Self)
	keys(t, "array", [][3]string{{"a", "b", "c"}, {"a", "b", ""}, {"a", "b", "c"}}, weir.Self)
	keys(t, "struct", []place{{"A", [2]int16{1, -1}, true}, {"A", [2]int16{1, -1}, false}, {"A", [2]int16{1, -1}, true}}, weir.Self)
	keys(t, "float64", []float64{0, math.Copysign(0, -1), 1.5, math.Inf(1), 1.5}, func(f float64) float64 { return f + 0 })
	keys(t, "struct of floats", []struct{ X, Y float32 }{{1, 2}, {1, 2}, {2, 1}}, weir.Self)
	keys(t, "empty struct", []struct{}{{}, {}}, weir.Self)
}

// TestBadKeys shows what is no key: NaN at run time, for good, and types without a stable hash at build time.
func TestBadKeys(t *testing.T) {
	j := newJob(t, 1)
	weir.To(weir.Count(weir.KeyBy(weir.From(j, "in", memory.Slice([]float64{1, math.NaN()})), weir.Self), "count"), "out",
		memory.Collect[weir.KV[float64, int64]]())
	err := runFor(t, j)
	contains(t, err, "NaN", `step "the key function of count"`)
	if !source.IsPermanent(err) {
		t.Error("a key that holds a NaN is no permanent error")
	}
	j = newJob(t, 1)
	p := weir.From(j, "in", memory.Slice([]*int{nil}))
	weir.To(weir.Count(weir.KeyBy(p, weir.Self), "count"), "out", memory.Collect[weir.KV[*int, int64]]())
	contains(t, runFor(t, j), "KeyBy: key is a *int and cannot be part of a key")
}

// everything uses each kind of state and of timer.
type everything struct {
	Sum    state.Value[int]       `state:"sum"`
	Seen   state.Map[int, string] `state:"seen"`
	Last   state.List[int]        `state:"last"`
	Text   state.Value[[]string]  `state:"text"`
	Odd    weir.Side[string]
	Done   weir.Timer `timer:"done,event"`
	opened int
}

func (p *everything) Open(*weir.Ctx[string, string]) error { p.opened++; return nil }

func (p *everything) On(c *weir.Ctx[string, string], n int) error {
	p.Sum.Set(p.Sum.Get() + n)
	p.Seen.Put(n, fmt.Sprint(n))
	p.Last.Append(n)
	p.Text.Set(append(p.Text.Get(), fmt.Sprint(n)))
	if n%2 == 1 {
		p.Odd.Emit(fmt.Sprintf("%s %d", c.Key(), n))
	}
	p.Done.AtMillis(100)
	if p.opened != 1 {
		return fmt.Errorf("opened %d times", p.opened)
	}
	return nil
}

func (p *everything) OnTimer(c *weir.Ctx[string, string], t *weir.Timer) error {
	at, _ := c.Time()
	c.Emit(fmt.Sprintf("%s: %d %d %v %v at %d by %s", c.Key(), p.Sum.Get(), p.Seen.Len(), slices.Collect(p.Last.All()), p.Text.Get(), at.UnixMilli(), t.Name()))
	p.Odd.Emit(c.Key() + " done")
	return nil
}

func (p *everything) Finish(c *weir.Ctx[string, string]) error {
	c.Emit(fmt.Sprintf("finish %d", c.Subtask()))
	return nil
}

// TestProcess shows each kind of state, an event timer, a side output and the moments of a processor's life.
func TestProcess(t *testing.T) {
	j := newJob(t, 2)
	in := weir.From(j, "in", memory.Slice([]int{1, 2, 3, 4, 5}))
	p := &everything{}
	main := weir.Process(weir.KeyBy(in, func(n int) string { return []string{"even", "odd"}[n%2] }), "p", p)
	out, odd := memory.Collect[string](), memory.Collect[string]()
	weir.To(main, "out", out)
	weir.To(weir.SideOutput(main, &p.Odd), "odd", odd)
	run(t, j)
	got := slices.Sorted(slices.Values(out.Records()))
	slices.SortFunc(got, cmp.Compare)
	if len(got) != 4 || got[0][:10] != "even: 6 2 " || got[3][:9] != "odd: 9 3 " || got[1] != "finish 0" || got[2] != "finish 1" {
		t.Errorf("got %q", got)
	}
	equal(t, slices.Sorted(slices.Values(odd.Records())), []string{"even done", "odd 1", "odd 3", "odd 5", "odd done"})
}

// alarm rings a key's timer of the wall clock.
type alarm struct {
	Count state.Value[int] `state:"count"`
	Ring  weir.Timer       `timer:"ring,processing"`
}

func (p *alarm) On(c *weir.Ctx[int, string], n int) error {
	p.Count.Set(p.Count.Get() + 1)
	p.Ring.At(c.Now().Add(5 * time.Millisecond))
	return nil
}

func (p *alarm) OnTimer(c *weir.Ctx[int, string], _ *weir.Timer) error {
	c.Emit(fmt.Sprintf("%d: %d", c.Key(), p.Count.Get()))
	return nil
}

// TestProcessingTimers shows that a timer of the wall clock wakes a subtask that has nothing else to do.
func TestProcessingTimers(t *testing.T) {
	j := newJob(t, 2)
	in := &tape[int]{splits: [][]int{{1, 2, 1, 0}}}
	in.hold(0, 3)
	rang := make(chan string, 10)
	keyed := weir.KeyBy(weir.From(j, "in", in), weir.Self)
	weir.To(weir.Map(weir.Process(keyed, "alarm", &alarm{}), func(s string) string { rang <- s; return s }), "out", memory.Collect[string]())
	e, err := weir.Start(context.Background(), j)
	if err != nil {
		t.Fatal(err)
	}
	got := []string{<-rang, <-rang}
	slices.Sort(got)
	equal(t, got, []string{"1: 2", "2: 1"})
	in.release(0)
	if _, err := e.Wait(); err != nil {
		t.Fatal(err)
	}
}

// TestAggregations shows Reduce and Aggregate.
func TestAggregations(t *testing.T) {
	byParity := func(s weir.Stream[int]) weir.Keyed[bool, int] {
		return weir.KeyBy(s, func(n int) bool { return n%2 == 0 })
	}
	equal(t, stream(t, 1, []int{-5, 2, 3, 4}, func(s weir.Stream[int]) weir.Stream[int] {
		return weir.Reduce(byParity(s), "least", func(a, b int) int { return min(a, b) })
	}), []int{-5, -5, 2, 2})
	equal(t, stream(t, 1, []int{1, 2, 3, 4}, func(s weir.Stream[int]) weir.Stream[string] {
		return weir.Aggregate(byParity(s), "sum", func(sum *int, n int) { *sum += n }, func(even bool, sum int) string { return fmt.Sprintf("%v %d", even, sum) })
	}), []string{"false 1", "false 4", "true 2", "true 6"})
}

type event struct {
	Key string
	At  int64
}

func at(e event) int64 { return e.At }

// windows counts events by key in windows of 10 ms and prints them.
func windows(s weir.Stream[event], options ...weir.TimeOption) weir.Stream[string] {
	keyed := weir.KeyBy(weir.EventTime(s, at, options...), func(e event) string { return e.Key })
	return weir.Window(keyed, "windows", window.Tumbling(10*time.Millisecond), func(n *int, _ event) { *n++ },
		func(key string, w window.Span, n int) string {
			return fmt.Sprintf("%s [%d,%d) %d", key, w.Start, w.End, n)
		})
}

// TestWindows shows windows before and after 1970, records at their borders, and disorder within the bound.
func TestWindows(t *testing.T) {
	in := []event{{"a", -11}, {"a", -10}, {"a", -1}, {"b", 0}, {"a", 9}, {"a", 10}, {"b", 5}, {"a", 19}, {"a", 12}, {"a", math.MaxInt32 * 1000}}
	for _, parallelism := range []int{1, 2} {
		got := stream(t, parallelism, in, func(s weir.Stream[event]) weir.Stream[string] {
			return windows(s, weir.BoundedDisorder(8*time.Millisecond))
		})
		equal(t, got, []string{"a [-10,0) 2", "a [-20,-10) 1", "a [0,10) 1", "a [10,20) 3", "a [2147483647000,2147483647010) 1", "b [0,10) 2"})
	}
}

// TestLateRecords shows that a record behind a watermark that has passed its window is dropped and counted.
func TestLateRecords(t *testing.T) {
	j := newJob(t, 1)
	in := &tape[event]{splits: [][]event{{{"a", 1}, {"a", 30}, {"a", 2}, {"a", 31}}}}
	in.hold(0, 2)
	out := memory.Collect[string]()
	passed := make(chan struct{}, 10)
	weir.To(weir.Map(windows(weir.From(j, "in", in)), func(s string) string { passed <- struct{}{}; return s }), "out", out)
	e, err := weir.Start(context.Background(), j)
	if err != nil {
		t.Fatal(err)
	}
	<-passed // the first window came out, so its end has passed
	in.release(0)
	if _, err := e.Wait(); err != nil {
		t.Fatal(err)
	}
	equal(t, slices.Sorted(slices.Values(out.Records())), []string{"a [0,10) 1", "a [30,40) 2"})
	for _, s := range e.Progress().Steps {
		if s.Name == "windows" && s.Counters["late_records"] != 1 {
			t.Errorf("late records: %v", s.Counters)
		}
	}
}

// TestWindowWithoutTime shows that records without event time fail a window for good.
func TestWindowWithoutTime(t *testing.T) {
	j := newJob(t, 1)
	keyed := weir.KeyBy(weir.From(j, "in", memory.Slice([]int{1})), weir.Self)
	weir.To(weir.Window(keyed, "w", window.Tumbling(time.Second), func(*int, int) {}, func(int, window.Span, int) int { return 0 }), "out", memory.Collect[int]())
	contains(t, runFor(t, j), `step "w", subtask 0, key 1`, "no event time")
}

// TestEventTimePerSplit shows that a subtask whose first split is on its way holds back event time, so that two splits far apart in time
// drop nothing.
func TestEventTimePerSplit(t *testing.T) {
	for _, parallelism := range []int{2, 3} {
		j := newJob(t, parallelism)
		var old, young []event
		for i := range int64(2000) {
			old, young = append(old, event{"a", i}), append(young, event{"a", 1_000_000 + i})
		}
		in := &tape[event]{splits: [][]event{young, old}, batch: 10}
		in.hold(0, 1000)
		in.poll = func(split, _ int) error {
			if split == 1 { // both have been handed out, to different subtasks
				in.release(0)
			}
			return nil
		}
		out := memory.Collect[string]()
		weir.To(windows(weir.From(j, "in", in)), "out", out)
		run(t, j)
		if n := len(out.Records()); n != 400 {
			t.Errorf("parallelism %d: %d windows, want 400: records were late", parallelism, n)
		}
	}
}

// TestIdleSplit shows that a quiet split holds back event time, until it has been quiet for long enough.
func TestIdleSplit(t *testing.T) {
	for _, parallelism := range []int{1, 2} {
		j := newJob(t, parallelism)
		in := &tape[event]{splits: [][]event{{{"a", 1}}, {{"a", 1}, {"a", 2}}}, together: parallelism == 1}
		for i := range int64(10000) {
			in.splits[0] = append(in.splits[0], event{"a", 50 + i})
		}
		in.hold(0, 0)
		in.hold(1, 1)
		passed := make(chan string, 2000)
		weir.To(weir.Map(windows(weir.From(j, "in", in), weir.IdleAfter(20*time.Millisecond)), func(s string) string { passed <- s; return s }), "out", memory.Collect[string]())
		e, err := weir.Start(context.Background(), j)
		if err != nil {
			t.Fatal(err)
		}
		for i, done := 1, false; !done; i++ { // split 0 has a record now and then, split 1 has none
			in.hold(0, i)
			select {
			case s := <-passed:
				if s != "a [0,10) 2" {
					t.Errorf("first window: %s", s)
				}
				done = true
			case <-time.After(2 * time.Millisecond):
				if i == 2500 {
					t.Fatalf("parallelism %d: the idle split holds back event time", parallelism)
				}
			}
		}
		in.release(0)
		in.release(1)
		e.Wait()
	}
}

// TestPlainTimesOfResults shows which event time results carry: that of their record, and a window's last millisecond.
func TestTimesOfResults(t *testing.T) {
	got := stream(t, 1, []event{{"a", 3}, {"a", 14}}, func(s weir.Stream[event]) weir.Stream[string] {
		timed := weir.EventTime(s, at)
		direct := weir.ProcessPlain(weir.Map(timed, func(e event) string { return e.Key }), "direct", &stamps{})
		windowed := weir.ProcessPlain(windows(s), "windowed", &stamps{})
		return weir.Union(direct, windowed)
	})
	equal(t, got, []string{"a @14", "a @3", "a [0,10) 1 @9", "a [10,20) 1 @19"})
}

type stamps struct{}

func (*stamps) On(c *weir.Ctx[weir.NoKey, string], s string) error {
	c.Emit(fmt.Sprintf("%s @%d", s, c.TimeMillis()))
	return nil
}

// faulty fails in one way or another at a certain record.
type faulty struct{ How string }

func (f *faulty) On(c *weir.Ctx[int, int], n int) error {
	if n != 7 {
		c.Emit(n)
		return nil
	}
	switch f.How {
	case "error":
		return errTest
	case "permanent":
		return weir.Permanent(errTest)
	case "panic":
		var none []int
		_ = none[len(f.How)]
	}
	return nil
}

func (f *faulty) Finish(*weir.Ctx[int, int]) error {
	if f.How == "panic at the end" {
		panic("no more data")
	}
	return nil
}

// TestUserErrors shows that an error of the user's code says where it happened: step, subtask, key, and for a panic the stack.
func TestUserErrors(t *testing.T) {
	build := func(how string) error {
		j := newJob(t, 2)
		keyed := weir.KeyBy(weir.From(j, "in", memory.Slice(numbers(10))), weir.Self)
		weir.To(weir.Process(keyed, "faulty", &faulty{how}), "out", memory.Collect[int]())
		return runFor(t, j)
	}
	err := build("error")
	contains(t, err, `step "faulty", subtask `, "key 7", errTest.Error())
	if !errors.Is(err, errTest) {
		t.Error("the error is not the user's")
	}
	contains(t, build("panic"), `step "faulty", subtask `, "key 7", "panic: runtime error: index out of range", "engine_test.go")
	err = build("panic at the end")
	contains(t, err, `step "faulty", subtask `, "panic: no more data", "engine_test.go")
	if strings.Contains(err.Error(), ", key ") {
		t.Errorf("%v names a key, although no record is being handled", err)
	}
	if err := build("permanent"); !source.IsPermanent(err) {
		t.Errorf("%v is not permanent", err)
	}
	steps := map[string]func(weir.Stream[int]) weir.Stream[int]{
		"map": func(s weir.Stream[int]) weir.Stream[int] { return weir.Map(s, func(n int) int { return 1 / (n - 7) }) },
		"try map": func(s weir.Stream[int]) weir.Stream[int] {
			return weir.TryMap(s, func(n int) (int, error) { return 0, errTest })
		},
		"filter": func(s weir.Stream[int]) weir.Stream[int] {
			return weir.Filter(s, func(n int) bool { return 1/(n-7) == 0 })
		},
		"event time": func(s weir.Stream[int]) weir.Stream[int] {
			return weir.EventTime(s, func(n int) int64 { return int64(1 / (n - 7)) })
		},
	}
	steps["the key function of faulty"] = func(s weir.Stream[int]) weir.Stream[int] {
		return weir.Process(weir.KeyBy(s, func(n int) int { return 1 / (n - 7) }), "faulty", &faulty{})
	}
	steps["the partitioner of filter"] = func(s weir.Stream[int]) weir.Stream[int] {
		return weir.Filter(weir.Partition(s, func(n, _ int) int { return 1 / (n - 7) }), func(int) bool { return true })
	}
	for name, step := range steps {
		j := newJob(t, 1)
		weir.To(step(weir.Filter(weir.From(j, "in", memory.Slice(numbers(10))), func(int) bool { return true })), "out", memory.Collect[int]())
		contains(t, runFor(t, j), fmt.Sprintf("step %q, subtask 0", name))
	}
}

// TestSourceAndSinkErrors shows that errors of connectors name their step too.
func TestSourceAndSinkErrors(t *testing.T) {
	j := newJob(t, 1)
	in := &tape[int]{splits: [][]int{numbers(10)}, poll: func(_, at int) error {
		if at == 5 {
			return source.Permanent(errTest)
		}
		return nil
	}}
	weir.To(weir.From(j, "numbers", in), "out", memory.Collect[int]())
	contains(t, runFor(t, j), `step "numbers`, "subtask 0", errTest.Error())
}

// panicky is a sink whose committer panics in one of its methods.
type panicky struct {
	*memory.Collector[int]
	in string
}

func (p panicky) must(in string) {
	if p.in == in {
		panic("in " + in)
	}
}

func (p panicky) Committer(ctx context.Context, env sink.CommitterEnv) (sink.Committer, error) {
	p.must("Committer")
	c, err := p.Collector.Committer(ctx, env)
	return panickyCommitter{c, p}, err
}

type panickyCommitter struct {
	sink.Committer
	panicky
}

func (c panickyCommitter) CommittedAfter(ctx context.Context, checkpoint int64) ([]string, error) {
	c.must("CommittedAfter")
	return c.Committer.CommittedAfter(ctx, checkpoint)
}

func (c panickyCommitter) Recover(ctx context.Context, r sink.Recovery) (sink.Recovered, error) {
	c.must("Recover")
	return c.Committer.Recover(ctx, r)
}

// TestCommitterPanics shows that a panic of a connector on the way to a start is an error that names its step, and not the end of the
// process.
func TestCommitterPanics(t *testing.T) {
	for _, in := range []string{"Committer", "CommittedAfter", "Recover"} {
		j := newJob(t, 1)
		weir.To(weir.From(j, "numbers", memory.Slice(numbers(3))), "out", panicky{memory.Collect[int](), in})
		contains(t, runFor(t, j), `sink "out"`, "panic: in "+in, "engine_test.go")
	}
}

// shared is a processor whose copies would share a map.
type shared struct {
	Cache map[int]int
	Table map[int]int `weir:"shared"`
	Empty map[int]int
	n     int
}

func (s *shared) On(c *weir.Ctx[int, int], n int) error {
	s.n++
	c.Emit(s.n)
	return nil
}

// TestTemplate shows that each subtask works on a copy of the processor, and that what copies would share is refused.
func TestTemplate(t *testing.T) {
	build := func(p *shared) error {
		j := newJob(t, 2)
		keyed := weir.KeyBy(weir.From(j, "in", memory.Slice(numbers(100))), weir.Self)
		weir.To(weir.Process(keyed, "p", p), "out", memory.Collect[int]())
		return runFor(t, j)
	}
	contains(t, build(&shared{Cache: map[int]int{}}), "field Cache is a map that all subtasks would share")
	p := &shared{Table: map[int]int{1: 1}}
	if err := build(p); err != nil {
		t.Error(err)
	}
	if p.n != 0 {
		t.Error("the template itself has processed records")
	}
	var none *shared
	contains(t, build(none), "the processor is nil")
}

// silent has a timer and no method for it.
type silent struct {
	T weir.Timer `timer:"t,event"`
}

func (*silent) On(*weir.Ctx[int, int], int) error { return nil }

// TestWrongGraph shows that all mistakes in a job are reported at once.
func TestWrongGraph(t *testing.T) {
	j := newJob(t, 2)
	in := weir.From(j, "in", memory.Slice(numbers(10)))
	keyed := weir.KeyBy(in, weir.Self)
	weir.Count(keyed, "count")
	weir.To(weir.Process(keyed, "silent", &silent{}), "in", memory.Collect[int]())
	weir.To(weir.Forward(in), "forward", memory.Collect[int](), weir.Parallelism(3))
	weir.To(in, "negative", memory.Collect[int](), weir.Parallelism(-1))
	shared := memory.Collect[int]()
	for i, s := range []sink.Sink[int]{shared, shared, file.JSON[int]("out"), file.JSON[int]("./out")} {
		weir.To(in, fmt.Sprint("sink ", i), s)
	}
	other := &everything{}
	weir.SideOutput(weir.Map(in, func(n int) int { return n }), &other.Odd)
	weir.EventTime(in, func(int) int64 { return 0 }, weir.BoundedDisorder(-time.Second))
	weir.Window(keyed, "w", window.Tumbling(0), func(*int, int) {}, func(int, window.Span, int) int { return 0 })
	contains(t, runFor(t, j), `job "test" cannot be built`, `nothing reads what "count" produces`, `"silent": *weir_test.silent has timers but no method OnTimer`,
		`two steps have the id "in"`, `step "forward": Forward needs the same parallelism`, `step "negative"`, "SideOutput", "must not be negative", "window size 0s",
		`sinks "sink 0" and "sink 1" have the same *memory.Collector[int]: give each one of its own`, `sinks "sink 2" and "sink 3" both write to`)
	contains(t, runFor(t, newJob(t, 1)), "the job has no steps")
}

// logger returns a logger that writes to the test's log if it is verbose.
func logger(t testing.TB) *slog.Logger {
	if !testing.Verbose() {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(t.Output(), nil))
}

// lines is a log that a test reads.
type lines struct {
	mu   sync.Mutex // guards text
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

func (l *lines) count(part string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(strings.ReplaceAll(l.text.String(), `\"`, `"`), part)
}

// await waits until a line with the part was logged.
func (l *lines) await(t testing.TB, part string) {
	t.Helper()
	for deadline := time.Now().Add(patience); l.count(part) == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("nobody says %q", part)
		}
	}
}
