package main

import (
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/weirstream/weir/bench/internal/measure"
)

// checkpointTime: how long a checkpoint of small state takes from its trigger until it exists, in a job of three stages at 10 k/s. An event is
// a checkpoint. The limit makes a directory with one small file in it durable, in one atomic step, and does nothing else.
var checkpointTime = program{
	name:  "checkpoint-time",
	about: "time from the trigger of a checkpoint of small state until it is complete",
	workloads: []workload{{
		name: "three-stages", size: size{events: 500}, quick: size{events: 7}, cold: true, compared: eventsPerSecond,
		limit:   side{name: "limit", run: publishFiles},
		engines: checkpointTimeEngines(bar{Figure: takenP50, AtMost: 30, Goal: 10}, bar{Figure: takenP99, AtMost: 150}),
	}},
}

const (
	takenP50 = "taken_p50_ms"
	takenP99 = "taken_p99_ms"
)

// metadataSize is about that of the engine's `_metadata` here, in bytes.
const metadataSize = 4 << 10

// publishFiles is the limit.
func publishFiles(t *task) (outcome, error) {
	var took measure.Histogram
	var sum tally
	for i := range t.events {
		began := time.Now()
		if err := publishFile(filepath.Join(t.dir, strconv.FormatInt(i, 10))); err != nil {
			return outcome{}, err
		}
		took.Record(time.Since(began))
		sum.add(i, 1)
	}
	return outcome{tally: sum, figures: figuresOfTimes(&took)}, nil
}

func figuresOfTimes(took *measure.Histogram) map[string]float64 {
	figures := map[string]float64{}
	addQuantiles(figures, "taken", took)
	return figures
}

// publishFile makes a directory with a file that is whole as soon as it is there.
func publishFile(dir string) error {
	if err := os.Mkdir(dir, 0o777); err != nil {
		return err
	}
	hidden := filepath.Join(dir, ".metadata")
	if err := writeDurably(hidden, make([]byte, metadataSize)); err != nil {
		return err
	}
	if err := os.Rename(hidden, filepath.Join(dir, "metadata")); err != nil {
		return err
	}
	for _, d := range []string{dir, filepath.Dir(dir)} {
		if err := syncDir(d); err != nil {
			return err
		}
	}
	return nil
}

func writeDurably(path string, data []byte) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Write(data); err != nil {
		return err
	}
	return f.Sync()
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
