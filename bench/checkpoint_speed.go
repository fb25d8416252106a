package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// checkpointSpeed: bytes per second of a full checkpoint of 268 MB, from its trigger until it is complete, in a job that is at rest; what it
// costs a job at work is checkpointCost's. An event is a checkpoint. The limit writes as many bytes from memory to p files and syncs them.
var checkpointSpeed = program{
	name:  "checkpoint-speed",
	about: "bytes per second of a full checkpoint of 268 MB, against write and fsync",
	workloads: []workload{{
		name: "keys-17m", size: size{largeState, 5}, quick: size{20_011, 2}, cold: true, compared: mbPerSecond,
		limit:   side{name: "limit", run: writeAndSync},
		engines: checkpointSpeedEngines(bar{Figure: mbPerSecond + " of limit", AtLeast: 0.3, Goal: 0.45}),
	}},
}

// mbPerSecond is in millions of bytes.
const mbPerSecond = "mb_per_s"

// speed is the tally and the figure of so many bytes, written in each of the times.
func speed(bytes int64, took []time.Duration) outcome {
	var sum tally
	var all time.Duration
	for i, d := range took {
		sum.add(int64(i), 1)
		all += d
	}
	return outcome{tally: sum, figures: map[string]float64{mbPerSecond: float64(bytes) / 1e6 * float64(len(took)) / all.Seconds()}}
}

// writeAndSync is the limit.
func writeAndSync(t *task) (outcome, error) {
	parts := make([][]byte, t.parallelism)
	for i := range parts {
		parts[i] = slotBytes(make([]slot, ownKeysOf(t.keys, i, t.parallelism)))
		for k := range parts[i] {
			parts[i][k] = byte(k * 7) // nobody may keep these bytes in a shorter form
		}
	}
	took := make([]time.Duration, t.events)
	for n := range took {
		errs := make([]error, t.parallelism)
		path := func(i int) string { return filepath.Join(t.dir, fmt.Sprint("part-", i)) }
		began := time.Now()
		inParallel(t.parallelism, func(i int) { errs[i] = writeDurably(path(i), parts[i]) })
		took[n] = time.Since(began)
		for i := range parts {
			errs = append(errs, os.Remove(path(i)))
		}
		if err := errors.Join(errs...); err != nil {
			return outcome{}, err
		}
	}
	return speed(t.keys*16, took), nil
}
