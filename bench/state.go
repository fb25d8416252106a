package main

import "slices"

// stateOverview runs in one command what says how fast keyed state is and what its snapshots cost. Its workloads are those of other
// programs, which can also be run by themselves.
var stateOverview = program{
	name:  "state",
	about: "all there is about state: updates, checkpoints, restore, rescale",
	workloads: slices.Concat(
		stateUpdate.workloads[1:], // 1 K keys fit into a cache, and say nothing of state
		checkpointCost.workloads,
		restore.workloads,
		rescale.workloads,
		pebbleUpdate.workloads,
	),
}
