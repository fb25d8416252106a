package main

// checkpointCost: the keyed update with 268 MB of state, with a checkpoint every second and without. Its limit is the engine's own run
// without checkpoints: what is measured is only what checkpoints add.
//
// Drawn from all keys, two thirds of the state change within a second, so that an increment has little to leave out. Drawn from one key in
// a hundred, nearly all pages change and hardly any rows: this is what increments are for.
var checkpointCost = program{
	name:  "checkpoint-cost",
	about: "throughput and batch times with a checkpoint every second, full or incremental, against the engine's own run without",
	workloads: []workload{
		checkpointCostOf("keys-17m-every-1s", keyClass.drawnFrom),
		checkpointCostOf("1pct-of-17m-every-1s", drawnFromFew),
	},
}

func checkpointCostOf(name string, draw drawing) workload {
	longest := bar{Figure: batchLongest + " above limit", AtMost: 20, Goal: 5}
	return workload{
		name: name, size: size{largeState, 100_000_000}, quick: fewKeys, cold: true, compared: eventsPerSecond,
		limit: checkpointCostWithout(draw),
		engines: []side{
			checkpointCostWith("full", draw, false,
				bar{Figure: "ratio_wall", AtLeast: 0.85, Goal: 0.95}, bar{Figure: batchP999, AtMost: 20}, longest, bar{Figure: syncPartMax, AtMost: 0.2}),
			checkpointCostWith("incremental", draw, true, bar{Figure: "ratio_wall", AtLeast: 0.93}, longest),
		},
	}
}

// drawnFromFew draws evenly from one in a hundred of the first n keys of a class, which lie apart.
func drawnFromFew(c keyClass, n int64) func(first int64, out []int64) {
	const apart = 100
	return keyClass{c.index, c.p * apart}.drawnFrom((n + apart - 1) / apart)
}

// largeState is the number of keys: 268 MB at 16 bytes each, for a key and a count.
const largeState = 1 << 24

// Figures of a run of checkpointCost. The time of a batch is that of a keyed subtask for one batch, waiting for input excluded.
const (
	batchP999    = "batch_p99.9_ms"
	batchLongest = "batch_max_ms"
	syncPartMax  = "sync_part_max_ms" // the longest synchronous part of any checkpoint and subtask
)
