package main

import "github.com/weirstream/weir/bench/internal/nexmark"

// bids is the generator of all programs.
var bids = nexmark.Default()

// tenMillionKeys is the same bids with auctions drawn from 10 M ids: state far beyond the caches, and mostly inserts.
var tenMillionKeys = func() nexmark.Generator {
	g := bids
	g.Keys = 10_000_000
	return g
}()

// keyedCount: of all events keep the bids, count them by auction, emit each new count. Events are all events, of which 92 % are bids.
var keyedCount = program{
	name:  "keyed-count",
	about: "generator, filter, partition by key, count, discard",
	workloads: []workload{
		{
			name: "nexmark-48", size: size{events: 50_000_000}, quick: few,
			limit:   side{name: "limit", run: func(t *task) (outcome, error) { return countNarrow(t, bids), nil }},
			engines: keyedCountEngines(bids, narrow, bar{Figure: "ratio_cpu", AtLeast: 0.6, Goal: 0.75}, bar{Figure: "ratio_cpu", AtLeast: 0.75, Goal: 0.9}),
		},
		{
			name: "nexmark-80", size: size{events: 50_000_000}, quick: few,
			limit:   side{name: "limit", run: func(t *task) (outcome, error) { return countWide(t, bids), nil }},
			engines: keyedCountEngines(bids, wide, bar{Figure: "ratio_cpu", AtLeast: 0.6, Goal: 0.75}, bar{Figure: "ratio_cpu", AtLeast: 0.75, Goal: 0.9}),
		},
		{
			name: "uniform-10m-48", size: size{events: 40_000_000}, quick: few,
			limit: side{name: "limit", run: func(t *task) (outcome, error) { return countNarrow(t, tenMillionKeys), nil }},
			engines: append(
				keyedCountEngines(tenMillionKeys, narrow, bar{Figure: "ratio_cpu", AtLeast: 0.55, Goal: 0.7}, bar{Figure: "ratio_cpu", AtLeast: 0.55, Goal: 0.7}),
				side{name: "limit-touch", run: func(t *task) (outcome, error) { return countTouching(t, tenMillionKeys), nil }}),
		},
	},
}

// width says which record a workload moves.
type width int

const (
	narrow width = iota // nexmark.Bid, 48 bytes
	wide                // nexmark.WideBid, 80 bytes
)

// countNarrow is the limit over bids of 48 bytes.
func countNarrow(t *task, g nexmark.Generator) outcome { return narrowPipeline(t, g, countBids) }

// countTouching is the same with a look at the slots of some records before they are updated, which lets their cache misses overlap. It
// stands beside the limit, not in its place: the bars are fractions of the plain program.
func countTouching(t *task, g nexmark.Generator) outcome {
	return narrowPipeline(t, g, touchAndCountBids)
}

// countBids counts a batch in the table and adds the results to the sum.
func countBids(recs []nexmark.Bid, table *countTable, sum tally) tally {
	for i := range recs {
		key := recs[i].Auction
		sum.add(key, table.increment(key, hashOf(key)))
	}
	return sum
}

func touchAndCountBids(recs []nexmark.Bid, table *countTable, sum tally) tally {
	const ahead = 64 // as many as stay in the first-level cache until their turn
	for len(recs) > 0 {
		n := min(ahead, len(recs))
		for i := range recs[:n] {
			table.touch(hashOf(recs[i].Auction))
		}
		sum = countBids(recs[:n], table, sum)
		recs = recs[n:]
	}
	return sum
}

// narrowPipeline generates, filters and partitions; count is called once per batch.
func narrowPipeline(t *task, g nexmark.Generator, count func([]nexmark.Bid, *countTable, tally) tally) outcome {
	tables, sums := countTables(t.parallelism)
	twoStages(t.parallelism,
		func(index int, out *outbox[nexmark.Bid]) {
			r := nexmark.NewReader(g.FillBids, index, t.parallelism, t.events)
			recs := make([]nexmark.Bid, inL1)
			for n := r.Read(recs); n > 0; n = r.Read(recs) {
				partitionNarrow(recs[:n], out)
			}
		},
		func(index int, recs []nexmark.Bid) {
			sums[index] = count(recs, tables[index], sums[index])
		})
	return outcome{tally: total(sums)}
}

// partitionNarrow filters and partitions in one pass.
func partitionNarrow(recs []nexmark.Bid, out *outbox[nexmark.Bid]) {
	workers := uint64(len(out.open))
	for i := range recs {
		if !recs[i].IsBid() {
			continue
		}
		w := workerOf(hashOf(recs[i].Auction), workers)
		b := out.open[w]
		b.recs[b.n] = recs[i]
		if b.n++; b.n == batchSize {
			out.send(w)
		}
	}
}

// countWide is the limit over bids of 80 bytes, line by line the same as countNarrow: a type parameter would cost an indirect call
// per record for the key, which hand-fused code does not have.
func countWide(t *task, g nexmark.Generator) outcome {
	tables, sums := countTables(t.parallelism)
	twoStages(t.parallelism,
		func(index int, out *outbox[nexmark.WideBid]) {
			r := nexmark.NewReader(g.FillWide, index, t.parallelism, t.events)
			recs := make([]nexmark.WideBid, inL1)
			for n := r.Read(recs); n > 0; n = r.Read(recs) {
				partitionWide(recs[:n], out)
			}
		},
		func(index int, recs []nexmark.WideBid) {
			table, sum := tables[index], sums[index]
			for i := range recs {
				key := recs[i].Auction
				sum.add(key, table.increment(key, hashOf(key)))
			}
			sums[index] = sum
		})
	return outcome{tally: total(sums)}
}

func partitionWide(recs []nexmark.WideBid, out *outbox[nexmark.WideBid]) {
	workers := uint64(len(out.open))
	for i := range recs {
		if !recs[i].IsBid() {
			continue
		}
		w := workerOf(hashOf(recs[i].Auction), workers)
		b := out.open[w]
		b.recs[b.n] = recs[i]
		if b.n++; b.n == batchSize {
			out.send(w)
		}
	}
}

// countTables returns an empty table and tally per worker.
func countTables(p int) ([]*countTable, []tally) {
	tables := make([]*countTable, p)
	for i := range tables {
		tables[i] = newCountTable()
	}
	return tables, make([]tally, p)
}

func total(sums []tally) tally {
	var all tally
	for _, s := range sums {
		all.merge(s)
	}
	return all
}
