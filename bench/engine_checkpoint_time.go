package main

import (
	"context"
	"errors"
	"path/filepath"
	"sync"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/bench/internal/measure"
	"github.com/weirstream/weir/checkpoint"
)

// checkpointTimeEngines is a source at a rate, two keyed counts one behind the other, and a sink.
func checkpointTimeEngines(bars ...bar) []side {
	return []side{{name: "engine", bars: bars, run: func(t *task) (outcome, error) {
		j := newJob(t, "checkpoint-time")
		j.Checkpoint(checkpoint.Dir(filepath.Join(t.dir, "checkpoints")))
		clock := sync.OnceValue(func() rateClock { return startClock(10_000, t.parallelism) })
		endless := *t
		endless.events = 1 << 40
		auctions := weir.Map(weir.From(j, "events", atRate(&endless, clock)), auctionOf)
		perAuction := weir.Count(weir.KeyBy(auctions, func(a int64) int64 { return a % 1000 }), "auctions")
		perTen := weir.Count(weir.KeyBy(perAuction, func(c counted) int64 { return c.Key / 10 }), "tens")
		weir.To(perTen, "tally", &tallying[counted]{add: tallyCounts})
		return takeCheckpoints(t, j)
	}}}
}

// takeCheckpoints takes so many checkpoints of a job that runs, one after the other, and cancels it.
func takeCheckpoints(t *task, j *weir.Job) (outcome, error) {
	ctx := context.Background()
	e, err := weir.Start(ctx, j)
	if err != nil {
		return outcome{}, err
	}
	var took measure.Histogram
	var sum tally
	for sum.Records < t.events {
		info, err := e.Checkpoint(ctx, weir.ConfiguredCheckpoint)
		switch {
		case errors.Is(err, weir.ErrNotRunning) && sum.Records == 0: // it is still starting
			continue
		case err != nil:
			return outcome{}, err
		}
		took.Record(info.Duration)
		sum.add(sum.Records, 1)
	}
	e.Cancel()
	_, err = e.Wait()
	return outcome{tally: sum, figures: figuresOfTimes(&took)}, err
}
