package main

import (
	"sync"
	"time"

	"github.com/weirstream/weir/bench/internal/nexmark"
)

// stateless: of all events keep the bids, and that is all. The limit of From, Filter, To; nothing crosses a queue.
var stateless = program{
	name:  "stateless",
	about: "generator, filter, discard; and how long a trivial job takes to its first record",
	workloads: []workload{
		{
			name: "filter-48", size: size{events: 100_000_000}, quick: few,
			limit:   side{name: "limit", run: filterNarrow},
			engines: statelessEngines(narrow, bar{Figure: "ratio_cpu", AtLeast: 0.6, Goal: 0.8}),
		},
		{
			name: "filter-80", size: size{events: 100_000_000}, quick: few,
			limit:   side{name: "limit", run: filterWide},
			engines: statelessEngines(wide, bar{Figure: "ratio_cpu", AtLeast: 0.6, Goal: 0.8}),
		},
		{
			name: "first-record", size: size{events: 1000}, quick: size{events: 1000}, cold: true, compared: firstRecordMs,
			limit:   side{name: "limit", run: firstRecord},
			engines: firstRecordEngines(bar{Figure: firstRecordMs, AtMost: 150, Goal: 50}),
		},
	},
}

// firstRecordMs is the time from the start of the process to the first record at the sink.
const firstRecordMs = "first_record_ms"

// processStart is when this program began to run, as near as Go code can tell: the runtime's own start (about 1 ms) lies before it.
var processStart = time.Now()

// filterNarrow is the limit over bids of 48 bytes: p loops that never meet.
func filterNarrow(t *task) (outcome, error) {
	sums := make([]tally, t.parallelism)
	inParallel(t.parallelism, func(index int) {
		r := nexmark.NewReader(bids.FillBids, index, t.parallelism, t.events)
		recs := make([]nexmark.Bid, inL1)
		var sum tally
		for n := r.Read(recs); n > 0; n = r.Read(recs) {
			for i := range recs[:n] {
				if b := &recs[i]; b.IsBid() {
					sum.add(b.Auction, b.Price)
				}
			}
		}
		sums[index] = sum
	})
	return outcome{tally: total(sums)}, nil
}

// filterWide is the limit over bids of 80 bytes.
func filterWide(t *task) (outcome, error) {
	sums := make([]tally, t.parallelism)
	inParallel(t.parallelism, func(index int) {
		r := nexmark.NewReader(bids.FillWide, index, t.parallelism, t.events)
		recs := make([]nexmark.WideBid, inL1)
		var sum tally
		for n := r.Read(recs); n > 0; n = r.Read(recs) {
			for i := range recs[:n] {
				if b := &recs[i]; b.IsBid() {
					sum.add(b.Auction, b.Price+int64(len(b.URL)+len(b.Extra)))
				}
			}
		}
		sums[index] = sum
	})
	return outcome{tally: total(sums)}, nil
}

// firstRecord is filterNarrow, after which it says when the first bid was seen. (Its few records take no time.)
func firstRecord(t *task) (outcome, error) {
	out, err := filterNarrow(t)
	out.figures = map[string]float64{firstRecordMs: milliseconds(time.Since(processStart))}
	return out, err
}

// inParallel runs p loops and waits for them.
func inParallel(p int, loop func(index int)) {
	var all sync.WaitGroup
	for index := range p {
		all.Go(func() { loop(index) })
	}
	all.Wait()
}

func milliseconds(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e6 }
