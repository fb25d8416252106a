package main

// stateUpdateEngines is a Process that increments a Value, from sources that emit ownKeys(index, p): first inOrder, then, when all of
// these are counted and the meter is started, drawnFrom.
func stateUpdateEngines(_ int64, bars ...bar) []side {
	return []side{{name: "process", bars: bars}}
}
