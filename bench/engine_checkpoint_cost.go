package main

// checkpointCostWithout is the keyed update over 268 MB of state with no checkpoints.
func checkpointCostWithout() side { return side{name: "engine-without"} }

// checkpointCostWith is the same with a checkpoint every second.
func checkpointCostWith(bars ...bar) []side {
	return []side{{name: "engine", bars: bars}}
}
