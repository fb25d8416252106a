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
			name: "nexmark-48", events: 50_000_000,
			limit:   side{name: "limit", run: func(t *task) (outcome, error) { return countNarrow(t, bids), nil }},
			engines: keyedCountEngines(bids, narrow, bar{Figure: "ratio_cpu", AtLeast: 0.6, Goal: 0.75}, bar{Figure: "ratio_cpu", AtLeast: 0.75, Goal: 0.9}),
		},
		{
			name: "nexmark-80", events: 50_000_000,
			limit:   side{name: "limit", run: func(t *task) (outcome, error) { return countWide(t, bids), nil }},
			engines: keyedCountEngines(bids, wide, bar{Figure: "ratio_cpu", AtLeast: 0.6, Goal: 0.75}, bar{Figure: "ratio_cpu", AtLeast: 0.75, Goal: 0.9}),
		},
		{
			name: "uniform-10m-48", events: 40_000_000,
			limit:   side{name: "limit", run: func(t *task) (outcome, error) { return countNarrow(t, tenMillionKeys), nil }},
			engines: keyedCountEngines(tenMillionKeys, narrow, bar{Figure: "ratio_cpu", AtLeast: 0.55, Goal: 0.7}, bar{Figure: "ratio_cpu", AtLeast: 0.55, Goal: 0.7}),
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
func countNarrow(t *task, g nexmark.Generator) outcome {
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
			table, sum := tables[index], sums[index]
			for i := range recs {
				key := recs[i].Auction
				sum.add(key, table.increment(key, hashOf(key)))
			}
			sums[index] = sum
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
