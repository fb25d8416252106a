package main

// statelessEngines is From, Filter, To.
func statelessEngines(_ width, bars ...bar) []side {
	return []side{{name: "engine", bars: bars}}
}

// firstRecordEngines is the same over few records, which reports firstRecordMs.
func firstRecordEngines(bars ...bar) []side {
	return []side{{name: "engine", bars: bars}}
}
