package main

// stateOverview runs in one command what says how fast keyed state is and what its snapshots cost. Its workloads are those of other
// programs, which can also be run by themselves.
var stateOverview = program{
	name:  "state",
	about: "all there is about state: updates on heap and Pebble, checkpoints, changelog, restore, rescale",
	workloads: gathered(
		program{name: stateUpdate.name, workloads: stateUpdate.workloads[1:]}, // 1 K keys fit into a cache, and say nothing of state
		pebbleUpdate,
		checkpointCost,
		checkpointSize,
		checkpointSpeed,
		changelog,
		restore,
		rescale,
	),
}

// gathered returns the workloads of several programs, named program/workload.
func gathered(programs ...program) (all []workload) {
	for _, p := range programs {
		for _, w := range p.workloads {
			w.name = p.name + "/" + w.name
			all = append(all, w)
		}
	}
	return all
}
