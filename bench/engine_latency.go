package main

// latencyEngines is From at a rate, Filter, KeyBy, Process, To; the sink records ages.
func latencyEngines(_ int64, _ bool, bars ...bar) []side {
	return []side{{name: "engine", bars: bars}}
}
