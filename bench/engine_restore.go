package main

// restoreEngines starts a job from a checkpoint of 10 M keys; prepare is called with each file of the checkpoint before.
func restoreEngines(_ func(path string) error, bars ...bar) []side {
	return []side{{name: "engine", bars: bars}}
}
