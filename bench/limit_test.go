package main

import (
	"encoding/json"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weirstream/weir/bench/internal/measure"
	"github.com/weirstream/weir/bench/internal/nexmark"
)

func taskOf(t *testing.T, events int64, p int) *task {
	return &task{size: size{events: events}, parallelism: p, dir: t.TempDir(), meter: new(measure.Meter)}
}

// referenceCount does what keyed-count does with one loop and a Go map.
func referenceCount(g nexmark.Generator, events int64) tally {
	recs := make([]nexmark.Bid, events)
	g.FillBids(0, recs)
	counts := map[int64]int64{}
	var sum tally
	for _, b := range recs {
		if b.IsBid() {
			counts[b.Auction]++
			sum.add(b.Auction, counts[b.Auction])
		}
	}
	return sum
}

// TestKeyedCountLimits shows that the limits lose and double nothing: every parallelism and both widths give the results of a single
// loop over a map. The number of events is no multiple of anything, so the last batches are short.
func TestKeyedCountLimits(t *testing.T) {
	const events = 100_003
	for name, g := range map[string]nexmark.Generator{"nexmark": bids, "uniform": tenMillionKeys} {
		want := referenceCount(g, events)
		for _, p := range []int{1, 2, 3} {
			if got := countNarrow(taskOf(t, events, p), g).tally; got != want {
				t.Errorf("%s, narrow, p=%d: %+v, want %+v", name, p, got, want)
			}
			if got := countTouching(taskOf(t, events, p), g).tally; got != want {
				t.Errorf("%s, touching, p=%d: %+v, want %+v", name, p, got, want)
			}
			if got := countWide(taskOf(t, events, p), g).tally; got != want {
				t.Errorf("%s, wide, p=%d: %+v, want %+v", name, p, got, want)
			}
		}
	}
}

func TestStatelessLimits(t *testing.T) {
	const events = 100_003
	for name, run := range map[string]func(*task) (outcome, error){"narrow": filterNarrow, "wide": filterWide, "first": firstRecord} {
		var want tally
		for _, p := range []int{1, 2, 3} {
			out, err := run(taskOf(t, events, p))
			if err != nil {
				t.Fatal(err)
			}
			if p == 1 {
				want = out.tally
			}
			if out.tally != want || out.tally.Records != 92_000 {
				t.Errorf("%s, p=%d: %+v, with p=1 %+v", name, p, out.tally, want)
			}
		}
	}
}

// TestStateUpdateInsertsFirst shows that every key is there before the updates begin, and that a parallelism that does not divide
// the number of keys loses none.
func TestStateUpdateInsertsFirst(t *testing.T) {
	for _, p := range []int{1, 2, 3} {
		task := taskOf(t, 5000, p)
		task.keys = 1000
		out := updateTables(task)
		if out.tally.Records != 6000 {
			t.Errorf("p=%d: %d results, want 1000 inserts and 5000 updates", p, out.tally.Records)
		}
		seen := map[int64]bool{}
		for index := range p {
			keys := make([]int64, ownKeysOf(1000, index, p))
			ownKeys(index, p).inOrder(0, keys)
			for _, k := range keys {
				seen[k] = true
			}
			drawn := make([]int64, 5000)
			ownKeys(index, p).drawnFrom(int64(len(keys)))(0, drawn)
			for _, k := range drawn {
				if !slices.Contains(keys, k) {
					t.Fatalf("p=%d: source %d draws key %d, which it has not inserted", p, index, k)
				}
			}
		}
		if len(seen) != 1000 || slices.Max(slices.Collect(maps.Keys(seen))) != 1000 {
			t.Errorf("p=%d: %d different keys", p, len(seen))
		}
	}
}

func TestRestoreLimit(t *testing.T) {
	var want tally
	for key := range int64(10_000) {
		want.add(key+1, 1)
	}
	for name, prepare := range map[string]func(string) error{"warm": func(string) error { return nil }, "cold": dropFromCache} {
		out, err := restoreTables(taskOf(t, 10_000, 2), prepare)
		if err != nil || out.tally != want {
			t.Errorf("%s: %+v, %v; want %+v", name, out.tally, err, want)
		}
	}
}

// TestLatencyLimitCounts shows that a source that keeps to a rate loses nothing. Its 50,000 events take 25 ms.
func TestLatencyLimitCounts(t *testing.T) {
	const events = 50_001
	want := referenceCount(bids, events)
	if got := countAtRate(taskOf(t, events, 2), 2_000_000).tally; got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// TestTableGrows inserts far beyond the first size, in an order in which a table that grew by re-inserting out of hash order would
// need quadratic time.
func TestTableGrows(t *testing.T) {
	table := newCountTable()
	const keys = 200_000
	for round := int64(1); round <= 2; round++ {
		for key := range int64(keys) {
			if n := table.increment(key-keys/2, hashOf(key-keys/2)); n != round {
				t.Fatalf("key %d counted %d times, want %d", key-keys/2, n, round)
			}
		}
	}
	if table.used != keys || table.tally().Records != keys {
		t.Errorf("%d used, %d found, want %d", table.used, table.tally().Records, keys)
	}
}

func TestHashSpreadsOverWorkers(t *testing.T) {
	for _, workers := range []uint64{2, 3, 7} {
		counts := make([]int, workers)
		for key := range int64(70_000) {
			counts[workerOf(hashOf(key), workers)]++
		}
		for w, n := range counts {
			if even := 70_000 / int(workers); n < even*9/10 || n > even*11/10 {
				t.Errorf("worker %d of %d gets %d keys, want about %d", w, workers, n, even)
			}
		}
	}
}

// TestRateClock shows that a record is due exactly from the moment that dueAt names.
func TestRateClock(t *testing.T) {
	for _, perSecond := range []int64{1, 3, 50_000, 500_000, 7_000_001} {
		c := rateClock{perSecond: perSecond, sources: 1}
		for _, n := range []int64{0, 1, 2, 999, perSecond - 1, perSecond, 10*perSecond + 1} {
			at := c.dueAt(n)
			if got := c.due(at); got < n+1 {
				t.Errorf("rate %d: at %d ns, when record %d is due, only %d are", perSecond, at, n, got)
			}
			if at > 0 && c.due(at-1) > n {
				t.Errorf("rate %d: record %d is due 1 ns before %d", perSecond, n, at)
			}
		}
	}
}

func TestAgesLeaveOutTheStart(t *testing.T) {
	var a ages
	c := rateClock{perSecond: 1000, sources: 1}
	a.record(c, int64(time.Second), int64(settling)-1, 0)
	a.record(c, 2*int64(time.Second), 2*int64(time.Second)-500, 1999)
	f := figuresOfAges([]ages{a, {}})
	if a.sinceMade.Count() != 1 || f[ageP50] != 500e-6 || f["due_max_ms"] != 1 {
		t.Errorf("count %d, figures %v; want one result of age 500 ns, due 1 ms ago", a.sinceMade.Count(), f)
	}
}

func TestTallyDoesNotDependOnOrder(t *testing.T) {
	var ab, ba, merged, other tally
	ab.add(1, 2)
	ab.add(3, 4)
	ba.add(3, 4)
	ba.add(1, 2)
	merged.merge(ab)
	other.add(1, 4)
	other.add(3, 2)
	if ab != ba || merged != ab || other == ab {
		t.Errorf("%+v, %+v, merged %+v, other pairs %+v", ab, ba, merged, other)
	}
}

func TestBars(t *testing.T) {
	figures := map[string]measure.Spread{"ratio": {Median: 0.6, Min: 0.5, Max: 0.7}, "ms": {Median: 5, Min: 4, Max: 6}, "gain": {Median: -1, Min: -2}}
	for _, c := range []struct {
		bar  bar
		want bool
	}{
		{bar{Figure: "ratio", AtLeast: 0.6}, true},
		{bar{Figure: "ratio", AtLeast: 0.61}, false},
		{bar{Figure: "ms", AtMost: 5}, true},
		{bar{Figure: "ms", AtMost: 4.9}, false},
		{bar{Figure: "gain", AtMost: 5}, true},
		{bar{Figure: "missing", AtMost: 5}, false},
	} {
		figure, ok := figures[c.bar.Figure]
		if got := c.bar.judge(figure, ok); got.Reached != c.want {
			t.Errorf("%+v: reached %v, want %v", c.bar, got.Reached, c.want)
		}
	}
}

// TestSummary shows how runs become ratios, bars and the verdict that a limit was too unsteady.
func TestSummary(t *testing.T) {
	line := func(perCPU, ms float64) runLine {
		return runLine{Figures: map[string]float64{eventsPerCPUSecond: perCPU, eventsPerSecond: 2 * perCPU, "ms": ms}}
	}
	engine := side{name: "engine", run: filterNarrow, bars: []bar{{Figure: "ratio_cpu", AtLeast: 0.5}, {Figure: "ms above limit", AtMost: 2}, {Figure: "ms of limit", AtMost: 3}}}
	c := comparison{
		work:     workload{limit: side{name: "limit", run: filterNarrow}, engines: []side{engine, {name: "later"}}},
		settings: settings{runs: 3},
		out:      json.NewEncoder(io.Discard),
		lines: map[string][]runLine{
			"limit":  {line(100, 1), line(90, 1), line(112, 2)},
			"engine": {line(60, 4), line(45, 3.5), line(50, 3)},
		},
	}
	s := c.summary()
	e := s.Engines[0]
	if s.LimitMoved != 0.22 || !s.Suspect || e.RatioCPU != 0.5 || e.RatioWall != 0.5 {
		t.Errorf("moved %v, suspect %v, ratios %v and %v", s.LimitMoved, s.Suspect, e.RatioCPU, e.RatioWall)
	}
	if p := e.PairsCPU; p.Median != 0.5 || p.Max != 0.6 {
		t.Errorf("run by run %+v, want 0.6, 0.5 and 0.45", p)
	}
	if !e.Bars[0].Reached || e.Bars[1].Value != 2.5 || e.Bars[1].Reached || e.Bars[1].Min != 1 || e.Bars[1].Max != 3 || e.Bars[2].Value != 3.5 {
		t.Errorf("bars %+v", e.Bars)
	}
	var all report
	all.add(s)
	if text := all.String(); !strings.Contains(text, "MISSED, unsteady") {
		t.Errorf("the report does not mark what was missed beside a limit that moved:\n%s", text)
	}
	if later := s.Engines[1]; later.Note == "" || later.Bars != nil {
		t.Errorf("a side that cannot run: %+v", later)
	}
}
