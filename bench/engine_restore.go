package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/bench/internal/nexmark"
	"github.com/weirstream/weir/checkpoint"
)

// restoreEngines starts a job from a checkpoint of 10 M keys; prepare is called with each file of the checkpoint before.
func restoreEngines(prepare func(path string) error, bars ...bar) []side {
	return []side{{name: "engine", bars: bars, run: func(t *task) (outcome, error) {
		dir := filepath.Join(t.dir, "checkpoints")
		if err := countUntilStopped(t, dir); err != nil {
			return outcome{}, err
		}
		if err := eachFile(dir, prepare); err != nil {
			return outcome{}, err
		}
		debug.FreeOSMemory() // as in the limit
		return countAgain(t, dir)
	}}}
}

// restoredJob emits every key until the first stop, and once more after it.
func restoredJob(t *task, dir string, firstPass bool, out *tallying[counted]) *weir.Job {
	j := newJob(t, "restore")
	j.Checkpoint(checkpoint.Every(time.Hour), checkpoint.Dir(dir))
	src := &events[int64]{func(index, splits int, position int64) input[int64] {
		r := nexmark.NewReader(ownKeys(index, splits).inOrder, 0, 1, ownKeysOf(t.events, index, splits))
		return &pass{r: r, stays: firstPass}
	}}
	weir.To(weir.Process(weir.KeyBy(weir.From(j, "keys", src), weir.Self), "counts", &keyCounter{}), "tally", out)
	return j
}

// pass reads every key once. It begins anew after a restore.
type pass struct {
	r     *nexmark.Reader[int64]
	stays bool // it waits at the end instead of ending
}

func (p *pass) read(out []int64) (int, time.Time) {
	n := p.r.Read(out)
	if n == 0 && p.stays {
		return 0, time.Now().Add(time.Hour)
	}
	return n, time.Time{}
}

func (p *pass) position() int64 { return p.r.Position() }

// countUntilStopped counts every key once and stops with a checkpoint.
func countUntilStopped(t *task, dir string) error {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	out := &tallying[counted]{add: tallyCounts, fullAt: t.events, full: stop}
	r, err := weir.Run(ctx, restoredJob(t, dir, true, out))
	if err == nil && r.Status != weir.Suspended {
		err = fmt.Errorf("the job ended as %v instead of stopping", r.Status)
	}
	return err
}

// countAgain measures from the start of the job until every subtask has seen a record. The second count of each key then shows that all
// the state has come back.
func countAgain(t *task, dir string) (outcome, error) {
	var waiting atomic.Int64
	waiting.Store(int64(t.parallelism))
	out := &tallying[counted]{
		add: func(recs []counted, sum tally) tally {
			for i := range recs {
				sum.add(recs[i].Key, recs[i].Value-1)
			}
			return sum
		},
		seen: func(_ int, before int64, _ []counted) {
			if before == 0 && waiting.Add(-1) == 0 {
				t.meter.Stop()
			}
		},
	}
	t.meter.Start()
	err := runToEnd(restoredJob(t, dir, false, out))
	return outcome{tally: out.total()}, err
}

// eachFile calls f with every file in a directory.
func eachFile(dir string, f func(path string) error) error {
	n := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		n++
		return f(path)
	})
	if err == nil && n == 0 {
		err = errors.New("there is no checkpoint")
	}
	return err
}
