package main

import (
	"context"
	"errors"
	"path/filepath"
	"strconv"
	"time"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/bench/internal/measure"
	"github.com/weirstream/weir/checkpoint"
	"github.com/weirstream/weir/state"
)

// checkpointCostWithout is the keyed update over 268 MB of state with no checkpoints.
func checkpointCostWithout(draw drawing) side {
	return side{name: "engine-without", run: func(t *task) (outcome, error) { return updateLargeState(t, newJob(t, "checkpoint-cost"), draw) }}
}

// checkpointCostWith is the same with a checkpoint every second.
func checkpointCostWith(name string, draw drawing, incremental bool, bars ...bar) side {
	return side{name: name, bars: bars, run: func(t *task) (outcome, error) {
		j := newJob(t, "checkpoint-cost")
		j.Checkpoint(checkpoint.Every(time.Second), checkpoint.Dir(filepath.Join(t.dir, "checkpoints")))
		j.Set("execution.checkpointing.incremental", strconv.FormatBool(incremental))
		return updateLargeState(t, j, draw)
	}}
}

// updateLargeState fills the state, and measures from there until all draws have arrived. The first checkpoints, taken while it is
// filled, do not count for batches.
func updateLargeState(t *task, j *weir.Job, draw drawing) (outcome, error) {
	clocks := make(batchClocks, t.parallelism)
	// What is measured ends with the last record; the end of the job, with its last checkpoint, is not part of it.
	out := &tallying[counted]{add: tallyCounts, fullAt: t.keys + t.events, full: t.meter.Stop}
	out.seen = func(subtask int, _ int64, _ []counted) { clocks[subtask].end() }
	u := newTurn(t.keys, out, func() {
		for i := range clocks {
			clocks[i].times = measure.Histogram{}
		}
		t.meter.Start()
	})
	weir.To(weir.Process(weir.KeyBy(weir.From(j, "keys", fillThenDrawBy(draw, t.size, u)), weir.Self), "counts", &timedCounter{clocks: clocks}), "tally", out)
	e, err := weir.Start(context.Background(), j)
	if err != nil {
		return outcome{}, err
	}
	r, err := e.Wait()
	if err == nil && r.Status != weir.Finished {
		err = errors.New("the job did not finish")
	}
	figures := clocks.figures()
	if c := e.Progress().Checkpoint; c.Completed > 0 {
		figures[syncPartMax] = milliseconds(c.MaxSync)
		figures["checkpoints"] = float64(c.Completed)
	}
	return outcome{tally: out.total(), figures: figures}, err
}

// timedCounter is keyCounter, which notes when a batch begins.
type timedCounter struct {
	N      state.Value[int64]
	clocks batchClocks `weir:"shared"`
	clock  *batchClock
}

func (p *timedCounter) Open(c *weir.Ctx[int64, counted]) error {
	p.clock = &p.clocks[c.Subtask()]
	return nil
}

func (p *timedCounter) On(c *weir.Ctx[int64, counted], key int64) error {
	if !p.clock.running {
		p.clock.start()
	}
	n := p.N.Get() + 1
	p.N.Set(n)
	c.Emit(counted{Key: key, Value: n})
	return nil
}

// batchClocks measure, for each keyed subtask, the time from its processor's first record of a batch to the batch's arrival at the sink.
// In this time all pages of state are copied that a checkpoint must keep.
type batchClocks []batchClock

type batchClock struct {
	began   time.Time
	running bool
	times   measure.Histogram
	_       [64]byte // no two subtasks share a cache line
}

func (c *batchClock) start() { c.began, c.running = time.Now(), true }

func (c *batchClock) end() {
	c.times.Record(time.Since(c.began))
	c.running = false
}

func (cs batchClocks) figures() map[string]float64 {
	var all measure.Histogram
	for i := range cs {
		all.Merge(&cs[i].times)
	}
	figures := map[string]float64{}
	addQuantiles(figures, "batch", &all)
	return figures
}
