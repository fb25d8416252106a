package main

// changelog: what a log of changes does to checkpoints, and what it costs. The limits are the engine itself without it, with incremental
// checkpoints: what is judged is how even the times of checkpoints are over Pebble, which writes and compacts all the while, and what becomes
// of the throughput on the heap.
var changelog = program{
	name:  "changelog",
	about: "times of checkpoints over Pebble with a changelog, and its cost on the heap, against the engine's own run without",
	workloads: []workload{
		{
			name: "times-1m", size: size{pebbleKeys, 4_000_000}, quick: fewKeys, cold: true,
			limit:   side{name: "off", run: checkpointsInPebble("false")},
			engines: []side{{name: "on", run: checkpointsInPebble("true"), bars: []bar{{Figure: checkpointUneven, AtMost: 5, Goal: 3}}}},
		},
		{
			name: "cost-4m-every-1s", size: size{1 << 22, 60_000_000}, quick: fewKeys, cold: true,
			limit:   side{name: "off", run: loggedOnHeap("false")},
			engines: []side{{name: "on", run: loggedOnHeap("true"), bars: []bar{{Figure: "ratio_cpu", AtLeast: 0.92, Goal: 0.96}}}},
		},
	},
}

// checkpointUneven is the 99.9th percentile of the durations of checkpoints over their median.
const checkpointUneven = "checkpoint_p99.9_over_p50"
