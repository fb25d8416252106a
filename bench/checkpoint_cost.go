package main

// checkpointCost: the keyed update with 268 MB of state, with a checkpoint every second and without. Its limit is the engine's own run
// without checkpoints: what is measured is only what checkpoints add.
var checkpointCost = program{
	name:  "checkpoint-cost",
	about: "throughput and batch times with a checkpoint every second, full or incremental, against the engine's own run without",
	workloads: []workload{{
		name: "keys-17m-every-1s", size: size{largeState, 100_000_000}, quick: fewKeys, cold: true, compared: eventsPerSecond,
		limit: checkpointCostWithout(),
		engines: []side{
			checkpointCostWith("full", false,
				bar{Figure: "ratio_wall", AtLeast: 0.85, Goal: 0.95},
				bar{Figure: batchP999, AtMost: 20},
				bar{Figure: batchLongest + " above limit", AtMost: 20, Goal: 5},
				bar{Figure: syncPartMax, AtMost: 0.2}),
			checkpointCostWith("incremental", true,
				bar{Figure: "ratio_wall", AtLeast: 0.93},
				bar{Figure: batchLongest + " above limit", AtMost: 20, Goal: 5}),
		},
	}},
}

// largeState is the number of keys: 268 MB at 16 bytes each, for a key and a count.
const largeState = 1 << 24

// Figures of a run of checkpointCost. The time of a batch is that of a keyed subtask for one batch, waiting for input excluded.
const (
	batchP999    = "batch_p99.9_ms"
	batchLongest = "batch_max_ms"
	syncPartMax  = "sync_part_max_ms" // the longest synchronous part of any checkpoint and subtask
)
