package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/bench/internal/measure"
	"github.com/weirstream/weir/checkpoint"
)

// withChangelog switches the log on or off.
func withChangelog(j *weir.Job, enabled, materialized string) {
	j.Set("execution.checkpointing.incremental", "true")
	j.Set("state.changelog.enabled", enabled)
	j.Set("state.changelog.storage", "filesystem")
	j.Set("state.changelog.periodic-materialize.interval", materialized)
}

// checkpointsInPebble draws keys whose counts lie in Pebble, and takes one checkpoint after the other until all are counted.
func checkpointsInPebble(enabled string) func(*task) (outcome, error) {
	return func(t *task) (outcome, error) {
		j := newJob(t, "changelog-times")
		withChangelog(j, enabled, "5 s") // so that a short run meets it a few times
		j.Set("state.backend.type", "pebble")
		j.Set("state.backend.cache-size", fmt.Sprint(max(t.keys/8*80, 64<<10)))
		j.Set("state.backend.pebble.localdir", filepath.Join(t.dir, "state"))
		j.Set("state.backend.pebble.memory.fixed-per-tm", fmt.Sprint(pebbleMemory))
		h, err := startHeld(t, j)
		if err != nil {
			return outcome{}, err
		}
		var took measure.Histogram
		n := 0
		t.meter.Start()
		h.release.Store(true)
		for h.out.records.Load() < t.keys+t.events {
			info, err := h.Checkpoint(context.Background(), weir.ConfiguredCheckpoint)
			if err != nil {
				return outcome{}, err
			}
			if n++; n > 1 { // the first one holds all keys
				took.Record(info.Duration)
			}
			time.Sleep(5 * time.Millisecond)
		}
		t.meter.Stop()
		figures := map[string]float64{"checkpoints": float64(n)}
		addQuantiles(figures, "checkpoint", &took)
		figures[checkpointUneven] = figures["checkpoint_p99.9_ms"] / max(figures["checkpoint_p50_ms"], 0.001)
		err = h.end()
		return outcome{tally: h.out.total(), figures: figures}, err
	}
}

// loggedOnHeap is the keyed update with a checkpoint every second.
func loggedOnHeap(enabled string) func(*task) (outcome, error) {
	return func(t *task) (outcome, error) {
		j := newJob(t, "changelog-cost")
		j.Checkpoint(checkpoint.Every(time.Second), checkpoint.Dir(checkpointsOf(t)))
		withChangelog(j, enabled, "20 s") // still thirty times as often as by default
		return updateLargeState(t, j, keyClass.drawnFrom)
	}
}
