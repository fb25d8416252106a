package main

import (
	"time"

	"github.com/weirstream/weir/bench/internal/measure"
	"github.com/weirstream/weir/bench/internal/nexmark"
)

// latency: the keyed count at a fixed rate; how old is a result at the sink? Age counts from when the source made the record, as
// each batch of a source is stamped with one reading of the clock; "due" counts from when the rate said it should have been made,
// which also shows a source that was held up.
var latency = program{
	name:  "latency",
	about: "age of results at the sink at 1 M/s and 100 k/s",
	workloads: []workload{
		latencyAt(1_000_000, false, bar{Figure: ageP99, AtMost: 5, Goal: 2}),
		latencyAt(100_000, true, bar{Figure: ageP50, AtMost: 0.3}, bar{Figure: ageP99, AtMost: 1.5}),
	},
}

const (
	ageP50 = "age_p50_ms"
	ageP99 = "age_p99_ms"

	latencySeconds = 10
	settling       = time.Second // what is made in the first second does not count
	// oneTurn is the most records a source makes before it looks at the clock again.
	oneTurn = batchSize
)

// latencyAt is the workload of one rate. The engine takes a checkpoint every second if the flag says so; the limit never does.
func latencyAt(perSecond int64, checkpoints bool, bars ...bar) workload {
	name := "rate-1m"
	if perSecond == 100_000 {
		name = "rate-100k"
	}
	return workload{
		name: name, size: size{events: perSecond * latencySeconds}, quick: few, cold: true, compared: ageP99,
		limit:   side{name: "limit", run: func(t *task) (outcome, error) { return countAtRate(t, perSecond), nil }},
		engines: latencyEngines(perSecond, checkpoints, bars...),
	}
}

// countAtRate is the limit: countNarrow with sources that keep to a rate.
func countAtRate(t *task, perSecond int64) outcome {
	tables, sums := countTables(t.parallelism)
	ages := make([]ages, t.parallelism)
	clock := startClock(perSecond, t.parallelism)
	twoStages(t.parallelism,
		func(index int, out *outbox[nexmark.Bid]) { sourceAtRate(t, index, clock, out) },
		func(index int, recs []nexmark.Bid) {
			now := clock.now()
			for i := range recs {
				b := &recs[i]
				sums[index].add(b.Auction, tables[index].increment(b.Auction, hashOf(b.Auction)))
				ages[index].record(clock, now, b.Made, b.Event)
			}
		})
	return outcome{tally: total(sums), figures: figuresOfAges(ages)}
}

// sourceAtRate makes the events that are due, hands over what is left of a batch when nothing more is due, and sleeps.
func sourceAtRate(t *task, index int, clock rateClock, out *outbox[nexmark.Bid]) {
	r := nexmark.NewReader(bids.FillBids, index, t.parallelism, t.events)
	recs := make([]nexmark.Bid, oneTurn)
	for made := int64(0); r.Position() < t.events; {
		now := clock.now()
		due := min(clock.due(now)-made, oneTurn)
		if due <= 0 {
			out.flush()
			time.Sleep(clock.until(made))
			continue
		}
		n := r.Read(recs[:due])
		for i := range recs[:n] {
			recs[i].Made = now
		}
		made += int64(n)
		partitionNarrow(recs[:n], out)
	}
}

// rateClock says what is due. Each of the sources makes its share of the rate, its first record at the start. The clock counts
// nanoseconds since then. A value; any goroutine may use it.
type rateClock struct {
	begin     time.Time
	perSecond int64 // of one source
	sources   int
}

func startClock(perSecond int64, sources int) rateClock {
	return rateClock{time.Now(), perSecond / int64(sources), sources}
}

// now returns the nanoseconds since the clock began.
func (c rateClock) now() int64 { return int64(time.Since(c.begin)) }

// due returns how many records a source should have made by now.
func (c rateClock) due(now int64) int64 {
	whole, part := now/int64(time.Second), now%int64(time.Second)
	return whole*c.perSecond + part*c.perSecond/int64(time.Second) + 1
}

// dueAt returns when a source should make its n-th record, counted from 0.
func (c rateClock) dueAt(n int64) int64 {
	whole, part := n/c.perSecond, n%c.perSecond
	// Rounded up, so that the record is due when this time has come.
	return whole*int64(time.Second) + (part*int64(time.Second)+c.perSecond-1)/c.perSecond
}

// until returns how long it is until a source should make its n-th record.
func (c rateClock) until(n int64) time.Duration { return time.Duration(c.dueAt(n) - c.now()) }

// ages collects, at one sink, how old results are. Not for concurrent use.
type ages struct {
	sinceMade, sinceDue measure.Histogram
}

// record notes a result that was seen at now and comes from an event made at made, both by the clock.
func (a *ages) record(clock rateClock, now, made, event int64) {
	if made < int64(settling) {
		return
	}
	a.sinceMade.Record(time.Duration(now - made))
	a.sinceDue.Record(time.Duration(now - clock.dueAt(nexmark.Ordinal(event, clock.sources))))
}

// figuresOfAges merges the sinks.
func figuresOfAges(sinks []ages) map[string]float64 {
	var all ages
	for i := range sinks {
		all.sinceMade.Merge(&sinks[i].sinceMade)
		all.sinceDue.Merge(&sinks[i].sinceDue)
	}
	figures := map[string]float64{}
	addQuantiles(figures, "age", &all.sinceMade)
	addQuantiles(figures, "due", &all.sinceDue)
	return figures
}

// addQuantiles adds the quantiles that are reported, in milliseconds: <name>_p50_ms and so on.
func addQuantiles(figures map[string]float64, name string, h *measure.Histogram) {
	for _, q := range []struct {
		label string
		q     float64
	}{{"p50", 0.5}, {"p99", 0.99}, {"p99.9", 0.999}, {"p99.99", 0.9999}} {
		figures[name+"_"+q.label+"_ms"] = milliseconds(h.Quantile(q.q))
	}
	figures[name+"_max_ms"] = milliseconds(h.Max())
}
