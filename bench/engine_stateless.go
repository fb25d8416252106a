package main

import (
	"path/filepath"
	"sync"
	"time"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/bench/internal/nexmark"
	"github.com/weirstream/weir/checkpoint"
)

// statelessEngines is From, Filter, To.
func statelessEngines(w width, bars ...bar) []side {
	run := func(t *task) (outcome, error) { return runFilter(t, narrowBids(bids, t), tallyPrices) }
	if w == wide {
		run = func(t *task) (outcome, error) { return runFilter(t, wideBids(bids, t), tallyWidePrices) }
	}
	return []side{{name: "engine", run: run, bars: bars}}
}

func runFilter[T any](t *task, bids bidsOf[T], add func([]T, tally) tally) (outcome, error) {
	j := newJob(t, "stateless")
	out := &tallying[T]{add: add}
	weir.To(bids(j), "tally", out)
	err := runToEnd(j)
	return outcome{tally: out.total()}, err
}

func tallyPrices(recs []nexmark.Bid, sum tally) tally {
	for i := range recs {
		sum.add(recs[i].Auction, recs[i].Price)
	}
	return sum
}

func tallyWidePrices(recs []nexmark.WideBid, sum tally) tally {
	for i := range recs {
		b := &recs[i]
		sum.add(b.Auction, b.Price+int64(len(b.URL)+len(b.Extra)))
	}
	return sum
}

// firstRecordEngines is the same over few records, with checkpoints on disk as a real job has them. It reports firstRecordMs.
func firstRecordEngines(bars ...bar) []side {
	return []side{{name: "engine", run: runToFirstRecord, bars: bars}}
}

func runToFirstRecord(t *task) (outcome, error) {
	j := newJob(t, "first-record")
	j.Checkpoint(checkpoint.Every(time.Second), checkpoint.Dir(filepath.Join(t.dir, "checkpoints")))
	var once sync.Once
	var first time.Duration
	out := &tallying[nexmark.Bid]{add: tallyPrices, seen: func(int, int64, []nexmark.Bid) {
		once.Do(func() { first = time.Since(processStart) })
	}}
	weir.To(narrowBids(bids, t)(j), "tally", out)
	err := runToEnd(j)
	return outcome{tally: out.total(), figures: map[string]float64{firstRecordMs: milliseconds(first)}}, err
}
