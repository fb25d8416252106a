package main

import (
	"path/filepath"
	"sync"
	"time"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/bench/internal/nexmark"
	"github.com/weirstream/weir/checkpoint"
	"github.com/weirstream/weir/state"
)

// latencyEngines is From at a rate, Filter, KeyBy, Process, To; the sink records ages.
func latencyEngines(perSecond int64, checkpoints bool, bars ...bar) []side {
	return []side{{name: "engine", bars: bars, run: func(t *task) (outcome, error) {
		j := newJob(t, "latency")
		if checkpoints {
			j.Checkpoint(checkpoint.Every(time.Second), checkpoint.Dir(filepath.Join(t.dir, "checkpoints")))
		}
		clock := sync.OnceValue(func() rateClock { return startClock(perSecond, t.parallelism) })
		ages := make([]ages, t.parallelism)
		out := &tallying[aged]{add: tallyAged, seen: func(subtask int, _ int64, recs []aged) {
			now := clock().now()
			for i := range recs {
				ages[subtask].record(clock(), now, recs[i].Made, recs[i].Event)
			}
		}}
		all := weir.From(j, "events", atRate(t, clock))
		bids := weir.Filter(all, func(b nexmark.Bid) bool { return b.Auction != 0 })
		weir.To(weir.Process(weir.KeyBy(bids, auctionOf), "counts", &agedCounter{}), "tally", out)
		err := runToEnd(j)
		return outcome{tally: out.total(), figures: figuresOfAges(ages)}, err
	}}}
}

// aged is a count with what tells its age.
type aged struct{ Auction, Count, Made, Event int64 }

func tallyAged(recs []aged, sum tally) tally {
	for i := range recs {
		sum.add(recs[i].Auction, recs[i].Count)
	}
	return sum
}

// agedCounter is bidCounter, whose results know when their bid was made.
type agedCounter struct {
	Bids state.Value[int64]
}

func (p *agedCounter) On(c *weir.Ctx[int64, aged], b nexmark.Bid) error {
	n := p.Bids.Get() + 1
	p.Bids.Set(n)
	c.Emit(aged{c.Key(), n, b.Made, b.Event})
	return nil
}

// atRate is a source that keeps to the clock, which begins with the first reader.
func atRate(t *task, clock func() rateClock) *events[nexmark.Bid] {
	return &events[nexmark.Bid]{func(index, splits int, _ int64) input[nexmark.Bid] {
		return &paced{r: nexmark.NewReader(bids.FillBids, index, splits, t.events), clock: clock(), end: t.events}
	}}
}

// paced reads what is due.
type paced struct {
	r     *nexmark.Reader[nexmark.Bid]
	clock rateClock
	made  int64
	end   int64
}

func (p *paced) read(out []nexmark.Bid) (int, time.Time) {
	if p.r.Position() >= p.end {
		return 0, time.Time{}
	}
	now := p.clock.now()
	due := min(p.clock.due(now)-p.made, int64(len(out)))
	if due <= 0 {
		return 0, p.clock.begin.Add(time.Duration(p.clock.dueAt(p.made)))
	}
	n := p.r.Read(out[:due])
	for i := range out[:n] {
		out[i].Made = now
	}
	p.made += int64(n)
	return n, time.Time{}
}

func (p *paced) position() int64 { return p.r.Position() }
