package main

import (
	"github.com/weirstream/weir"
	"github.com/weirstream/weir/bench/internal/nexmark"
	"github.com/weirstream/weir/state"
)

// keyedCountEngines are the engine's two ways to count: Process with a Value state, and the built-in Count.
func keyedCountEngines(g nexmark.Generator, w width, process, count bar) []side {
	byProcess := func(t *task) (outcome, error) { return runCount(t, narrowBids(g, t), auctionOf, &bidCounter{}) }
	byCount := func(t *task) (outcome, error) {
		return runCount[nexmark.Bid](t, narrowBids(g, t), auctionOf, nil)
	}
	if w == wide {
		byProcess = func(t *task) (outcome, error) { return runCount(t, wideBids(g, t), auctionOfWide, &wideBidCounter{}) }
		byCount = func(t *task) (outcome, error) {
			return runCount[nexmark.WideBid](t, wideBids(g, t), auctionOfWide, nil)
		}
	}
	return []side{{name: "process", run: byProcess, bars: []bar{process}}, {name: "count", run: byCount, bars: []bar{count}}}
}

// bidsOf returns a function that declares the source and the filter.
type bidsOf[T any] func(j *weir.Job) weir.Stream[T]

func narrowBids(g nexmark.Generator, t *task) bidsOf[nexmark.Bid] {
	return func(j *weir.Job) weir.Stream[nexmark.Bid] {
		all := weir.From(j, "events", allOf(g.FillBids, t.events))
		return weir.Filter(all, func(b nexmark.Bid) bool { return b.Auction != 0 })
	}
}

func wideBids(g nexmark.Generator, t *task) bidsOf[nexmark.WideBid] {
	return func(j *weir.Job) weir.Stream[nexmark.WideBid] {
		all := weir.From(j, "events", allOf(g.FillWide, t.events))
		return weir.Filter(all, func(b nexmark.WideBid) bool { return b.Auction != 0 })
	}
}

func auctionOf(b nexmark.Bid) int64         { return b.Auction }
func auctionOfWide(b nexmark.WideBid) int64 { return b.Auction }

// bidCounter counts the bids of an auction.
type bidCounter struct {
	Bids state.Value[int64]
}

func (p *bidCounter) On(c *weir.Ctx[int64, counted], _ nexmark.Bid) error {
	n := p.Bids.Get() + 1
	p.Bids.Set(n)
	c.Emit(counted{Key: c.Key(), Value: n})
	return nil
}

// wideBidCounter is the same for wide bids.
type wideBidCounter struct {
	Bids state.Value[int64]
}

func (p *wideBidCounter) On(c *weir.Ctx[int64, counted], _ nexmark.WideBid) error {
	n := p.Bids.Get() + 1
	p.Bids.Set(n)
	c.Emit(counted{Key: c.Key(), Value: n})
	return nil
}

// runCount counts by the processor, or by Count if there is none.
func runCount[T any](t *task, bids bidsOf[T], key func(T) int64, p weir.Processor[int64, T, counted]) (outcome, error) {
	j := newJob(t, "keyed-count")
	keyed := weir.KeyBy(bids(j), key)
	var counts weir.Stream[counted]
	if p == nil {
		counts = weir.Count(keyed, "counts")
	} else {
		counts = weir.Process(keyed, "counts", p)
	}
	out := &tallying[counted]{add: tallyCounts}
	weir.To(counts, "tally", out)
	err := runToEnd(j)
	return outcome{tally: out.total()}, err
}
