package main

import "github.com/weirstream/weir/bench/internal/nexmark"

// keyedCountEngines are the engine's two ways to count: Process with a Value state, and the built-in Count.
func keyedCountEngines(_ nexmark.Generator, _ width, process, count bar) []side {
	return []side{{name: "process", bars: []bar{process}}, {name: "count", bars: []bar{count}}}
}
