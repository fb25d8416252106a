package main

// checkpointSize: what a checkpoint writes when a hundredth of 10 M keys has changed since the one before. Its limit is a full checkpoint.
// Events are changes.
var checkpointSize = program{
	name:  "checkpoint-size",
	about: "bytes of an incremental checkpoint with 1 % of 10 M keys changed, against a full one",
	workloads: []workload{{
		name: "1-percent-of-10m", size: size{10_000_000, 100_000}, quick: size{20_000, 200}, cold: true, compared: writtenMB,
		limit:   changedAndWritten("full", false),
		engines: []side{changedAndWritten("incremental", true, bar{Figure: writtenMB + " of limit", AtMost: 0.05})},
	}},
}

// writtenMB is the size of the files that the last checkpoint has added, in millions of bytes.
const writtenMB = "written_mb"
