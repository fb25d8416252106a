package main

// rescale: a job with 10 M keys of state is given four keyed subtasks instead of two while records come in. Its limit is the engine's own
// run at the parallelism that it keeps: what is measured is the pause.
var rescale = program{
	name:  "rescale",
	about: "the pause of a job with 10 M keys that is rescaled from 2 to 4 subtasks while it runs",
	workloads: []workload{{
		name: "keys-10m-2-to-4", size: size{10_000_000, 30_000_000}, quick: size{10_007, 30_021}, cold: true, compared: eventsPerSecond,
		limit:   rescaleWithout(),
		engines: rescaleWith(bar{Figure: rescaleGap, AtMost: 3}),
	}},
}

// rescaleGap is the longest time in which nothing came to the sink, between the call of Rescale and the end of the job.
const rescaleGap = "rescale_gap_s"
