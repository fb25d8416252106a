package main

import (
	"context"
	"time"

	"github.com/weirstream/weir"
)

// checkpointSpeedEngines fills the state and takes full checkpoints, one after the other.
func checkpointSpeedEngines(bars ...bar) []side {
	return []side{{name: "engine", bars: bars, run: func(t *task) (outcome, error) {
		h, err := startHeld(t, newJob(t, "checkpoint-speed"))
		if err != nil {
			return outcome{}, err
		}
		took := make([]time.Duration, t.events)
		var bytes int64
		for n := range took {
			info, err := h.Checkpoint(context.Background(), weir.FullCheckpoint)
			if err != nil {
				return outcome{}, err
			}
			took[n], bytes = info.Duration, info.Bytes
		}
		return speed(bytes, took), h.end()
	}}}
}
