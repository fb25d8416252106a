// Package nexmark makes the events that the benchmarks work on: which bid is event number e?
//
// The bids are those of the Nexmark benchmark, and every one is a pure function of (seed, event id):
//
//   - a reader can start at any event, and the events do not depend on the number of readers;
//   - of every 50 events one is a person, three are auctions and 46 are bids. The benchmarks use bids only, so the other four
//     come out as a record with Auction 0 for the filter to drop;
//   - making an event allocates nothing and reads no clock; strings are pieces of tables shared by the process.
//
// Limit programs and engine sources call the same Fill, so that both sides of a comparison pay the same for their input.
package nexmark

// Shape of the event stream, fixed by the benchmark.
const (
	perEpoch      = 50 // events: 1 person, 3 auctions, 46 bids
	firstBid      = 4  // offset in the epoch of the first bid
	firstID       = 1000
	inFlight      = 100 // auctions that a cold bid may fall on
	activePeople  = 1000
	hotEvery      = 100
	leadingUnborn = 10 // ids ahead of the last one that may be drawn too
)

// Bid is a narrow bid: 48 bytes, no pointers.
type Bid struct {
	Auction int64 // 0: the event is no bid
	Bidder  int64
	Price   int64
	Time    int64 // event time, ms since 1970 UTC
	Event   int64 // event id
	Made    int64 // for a latency source to stamp, ns on its own clock; Fill leaves 0
}

// IsBid reports whether the event is a bid and not a person or an auction.
func (b *Bid) IsBid() bool { return b.Auction != 0 }

// WideBid is a bid with all its columns: 80 bytes, of which 48 are the headers of three strings.
type WideBid struct {
	Auction int64 // 0: the event is no bid
	Bidder  int64
	Price   int64
	Time    int64 // event time, ms since 1970 UTC
	Channel string
	URL     string
	Extra   string
}

// IsBid reports whether the event is a bid and not a person or an auction.
func (b *WideBid) IsBid() bool { return b.Auction != 0 }

// Generator makes events. It is a value without mutable state: copy it and call it from any number of goroutines.
type Generator struct {
	// Seed chooses the stream of random numbers.
	Seed uint64
	// Rate is the number of events per second of event time, at least 1. It has nothing to do with speed.
	Rate int64
	// BaseTime is the event time of event 0, in ms since 1970 UTC.
	BaseTime int64
	// Keys, if not 0, replaces the auctions of the benchmark by ids drawn uniformly from 1 .. Keys (below 2^31).
	Keys uint64
}

// Default returns the generator that the benchmarks use unless they say otherwise: seed 1, 1,000,000 events per second of event
// time, beginning on 2025-01-01T23:59:10Z.
func Default() Generator { return Generator{Seed: 1, Rate: 1_000_000, BaseTime: 1735775950000} }

// epoch is what all 50 events of an epoch have in common.
type epoch struct {
	hotAuction, coldAuction, coldAuctions uint64
	hotBidder, coldBidder, coldBidders    uint64
}

func epochOf(n uint64) epoch {
	last := 3*n + 2
	lowest := last - min(last, inFlight)
	active := min(n+1, activePeople)
	return epoch{
		hotAuction:   firstID + last/hotEvery*hotEvery,
		coldAuction:  firstID + lowest,
		coldAuctions: last - lowest + leadingUnborn + 1,
		hotBidder:    firstID + n/hotEvery*hotEvery + 1,
		coldBidder:   firstID + n + 1 - active,
		coldBidders:  active + leadingUnborn,
	}
}

// auction and bidder select without a branch: whether a bid is hot is a coin toss, which no branch predictor can learn.
func (p *epoch) auction(hot, which uint64) uint64 {
	id := p.coldAuction + below(which, p.coldAuctions)
	if hot>>31 != 0 { // one in two
		id = p.hotAuction
	}
	return id
}

func (p *epoch) bidder(hot, which uint64) uint64 {
	id := p.coldBidder + below(which, p.coldBidders)
	if hot>>30 != 0 { // three in four
		id = p.hotBidder
	}
	return id
}

// clock walks through event time without dividing: time(e) = base + e*1000/rate.
type clock struct{ ms, rest, step, stepRest, rate int64 }

func (g *Generator) clockAt(event int64) clock {
	// Split so that e*1000 cannot overflow.
	whole, part := event/g.Rate, event%g.Rate*1000
	return clock{
		ms: g.BaseTime + whole*1000 + part/g.Rate, rest: part % g.Rate,
		step: 1000 / g.Rate, stepRest: 1000 % g.Rate, rate: g.Rate,
	}
}

func (c *clock) advance() {
	c.ms += c.step
	c.rest += c.stepRest
	if c.rest >= c.rate {
		c.rest -= c.rate
		c.ms++
	}
}

func (g *Generator) start(event int64) uint64 { return mix64(g.Seed+golden) + uint64(event)*perID }

// FillBids writes the events first, first+1, ... into out.
func (g *Generator) FillBids(first int64, out []Bid) {
	now, at := g.clockAt(first), g.start(first)
	n, off := uint64(first)/perEpoch, uint64(first)%perEpoch
	shared := epochOf(n)
	for i := range out {
		b := &out[i]
		b.Time, b.Event, b.Made = now.ms, first+int64(i), 0
		if off < firstBid {
			b.Auction, b.Bidder, b.Price = 0, 0, 0
		} else {
			s := mix64(at)
			u0, u1 := pair(s, 0)
			u2, u3 := pair(s, 1)
			u4, _ := pair(s, 2)
			b.Auction = int64(g.auction(&shared, u0, u1))
			b.Bidder = int64(shared.bidder(u2, u3))
			b.Price = price(u4)
		}
		now.advance()
		at += perID
		if off++; off == perEpoch {
			n, off = n+1, 0
			shared = epochOf(n)
		}
	}
}

// FillWide writes the events first, first+1, ... into out.
func (g *Generator) FillWide(first int64, out []WideBid) {
	now, at, words := g.clockAt(first), g.start(first), sharedText()
	n, off := uint64(first)/perEpoch, uint64(first)%perEpoch
	shared := epochOf(n)
	for i := range out {
		b := &out[i]
		if off < firstBid {
			*b = WideBid{Time: now.ms}
		} else {
			s := mix64(at)
			u0, u1 := pair(s, 0)
			u2, u3 := pair(s, 1)
			u4, u5 := pair(s, 2)
			u6, u7 := pair(s, 3)
			u8, _ := pair(s, 4)
			b.Auction = int64(g.auction(&shared, u0, u1))
			b.Bidder = int64(shared.bidder(u2, u3))
			b.Price = price(u4)
			b.Time = now.ms
			c := &words.channels[channelOf(u5, u6)]
			b.Channel, b.URL = c.name, c.url
			b.Extra = words.bidExtra(u7, u8)
		}
		now.advance()
		at += perID
		if off++; off == perEpoch {
			n, off = n+1, 0
			shared = epochOf(n)
		}
	}
}

func (g *Generator) auction(p *epoch, hot, which uint64) uint64 {
	if g.Keys != 0 {
		return 1 + below(which, g.Keys)
	}
	return p.auction(hot, which)
}

func channelOf(hot, which uint64) uint64 {
	c := below(which, coldChannels)
	if hot>>31 != 0 { // one in two
		c = coldChannels + below(which, 4)
	}
	return c
}

// bidExtra is filler that brings a bid to 100 bytes on average, 20 % up or down; 32 of them are its numbers.
func (t *text) bidExtra(size, where uint64) string {
	const want = 100 - 32
	const delta = (want + 2) / 5
	n := want - delta + below(size, 2*delta)
	at := below(where, extraPadLen-n)
	return t.extra[at : at+n]
}

// FillKeys writes one key, drawn uniformly from 1 .. g.Keys, for each of the events first, first+1, ... into out. It is the
// cheapest input there is, for measuring state alone.
func (g *Generator) FillKeys(first int64, out []int64) {
	at := g.start(first)
	for i := range out {
		which, _ := pair(mix64(at), 0)
		out[i] = int64(1 + below(which, g.Keys))
		at += perID
	}
}
