package main

import (
	"fmt"

	"github.com/weirstream/weir/bench/internal/nexmark"
)

// stateUpdate: count keys in state that holds all of them already. The limit is the bare table: p loops, each over a table and keys
// of its own.
var stateUpdate = program{
	name:  "state-update",
	about: "updates of keyed state that is in place, 1 K, 1 M and 10 M keys",
	workloads: []workload{
		stateUpdateOf(1_000),
		stateUpdateOf(1_000_000),
		stateUpdateOf(10_000_000, bar{Figure: peakMB, AtMost: 600}),
	},
}

// fewKeys is the quick size of what updates keys that are all there already.
var fewKeys = size{keys: 20_011, events: 100_003}

func stateUpdateOf(keys int64, more ...bar) workload {
	bars := append([]bar{{Figure: "ratio_cpu", AtLeast: 0.4, Goal: 0.7}}, more...)
	return workload{
		name: fmt.Sprintf("keys-%d", keys), size: size{keys, 50_000_000}, quick: fewKeys, cold: true, // the fill warms up
		limit:   side{name: "limit", run: func(t *task) (outcome, error) { return updateTables(t), nil }},
		engines: stateUpdateEngines(bars...),
	}
}

// updateTables is the limit. Loop i of p has the keys i+1, i+1+p, i+1+2p, ...; it inserts all of them, and what is measured is the
// updates that follow.
func updateTables(t *task) outcome {
	p := t.parallelism
	tables, sums := countTables(p)
	inParallel(p, func(index int) {
		insert := nexmark.NewReader(ownKeys(index, p).inOrder, 0, 1, ownKeysOf(t.keys, index, p))
		sums[index] = countAll(insert, tables[index])
	})
	t.meter.Start()
	inParallel(p, func(index int) {
		updates := nexmark.NewReader(ownKeys(index, p).drawnFrom(ownKeysOf(t.keys, index, p)), index, p, t.events)
		sum := countAll(updates, tables[index])
		sums[index].merge(sum)
	})
	t.meter.Stop()
	return outcome{tally: total(sums)}
}

// countAll counts all keys of the reader.
func countAll(r *nexmark.Reader[int64], table *countTable) tally {
	recs := make([]int64, inL1)
	var sum tally
	for n := r.Read(recs); n > 0; n = r.Read(recs) {
		for _, key := range recs[:n] {
			sum.add(key, table.increment(key, hashOf(key)))
		}
	}
	return sum
}

// keyClass is every p-th key, beginning with index+1: the keys of one loop, or of one source of the engine.
type keyClass struct{ index, p int64 }

func ownKeys(index, p int) keyClass { return keyClass{int64(index), int64(p)} }

// ownKeysOf returns how many of the keys 1 .. keys are in the class of the index.
func ownKeysOf(keys int64, index, p int) int64 {
	return (keys - int64(index) + int64(p) - 1) / int64(p)
}

// inOrder gives each key once, for the events 0, 1, ...
func (c keyClass) inOrder(first int64, out []int64) {
	for i := range out {
		out[i] = (first+int64(i))*c.p + c.index + 1
	}
}

// drawnFrom returns a function that draws uniformly from the first n keys of the class.
func (c keyClass) drawnFrom(n int64) func(first int64, out []int64) {
	g := nexmark.Generator{Seed: bids.Seed, Keys: uint64(n)}
	return func(first int64, out []int64) {
		g.FillKeys(first, out)
		for i, k := range out {
			out[i] = (k-1)*c.p + c.index + 1
		}
	}
}
