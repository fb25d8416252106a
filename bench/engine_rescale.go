package main

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/bench/internal/nexmark"
	"github.com/weirstream/weir/checkpoint"
)

// rescaleWithout counts all keys in turn, again and again, at one parallelism.
func rescaleWithout() side {
	return side{name: "engine-without", run: func(t *task) (outcome, error) { return countInTurn(t, false) }}
}

// rescaleWith does the same, and doubles the parallelism of the counting step once every key has been there.
func rescaleWith(bars ...bar) []side {
	return []side{{name: "engine", bars: bars, run: func(t *task) (outcome, error) { return countInTurn(t, true) }}}
}

// countInTurn counts every key three times. What is compared is the third count of each key, so the source waits before the third turn until
// the parallelism is as it should be: records between the last checkpoint and the restart come twice to a sink without transactions.
func countInTurn(t *task, rescaled bool) (outcome, error) {
	keys := min(t.keys, t.events/3)
	j := newJob(t, "rescale")
	j.Checkpoint(checkpoint.Every(time.Hour), checkpoint.Dir(filepath.Join(t.dir, "checkpoints")))
	filled, ready := make(chan struct{}), new(atomic.Bool)
	ready.Store(!rescaled)
	var pauses pauseClock
	out := &tallying[counted]{
		add: tallyThird, fullAt: keys, full: func() { close(filled) },
		seen: func(int, int64, []counted) { pauses.arrived() },
	}
	weir.To(weir.Process(weir.KeyBy(weir.From(j, "keys", threeTurns(keys, ready)), weir.Self), "counts", &keyCounter{}), "tally", out)
	e, err := weir.Start(context.Background(), j)
	if err != nil {
		return outcome{}, err
	}
	if rescaled {
		<-filled
		pauses.begin()
		if err := e.Rescale(context.Background(), "counts", 2*t.parallelism); err != nil {
			e.Abort()
			return outcome{}, fmt.Errorf("rescale: %w", err)
		}
		ready.Store(true)
	}
	r, err := e.Wait()
	if err == nil && r.Status != weir.Finished {
		err = fmt.Errorf("the job ended as %v", r.Status)
	}
	return outcome{tally: out.total(), figures: map[string]float64{rescaleGap: pauses.longest().Seconds()}}, err
}

func tallyThird(recs []counted, sum tally) tally {
	for i := range recs {
		if recs[i].Value == 3 {
			sum.add(recs[i].Key, recs[i].Value)
		}
	}
	return sum
}

// threeTurns emits the keys of a share in order, three times, the third time when it is ready.
func threeTurns(keys int64, ready *atomic.Bool) *events[int64] {
	return &events[int64]{func(index, splits int, position int64) input[int64] {
		own, n := ownKeys(index, splits), ownKeysOf(keys, index, splits)
		r := nexmark.NewReader(func(first int64, out []int64) {
			own.inOrder(first%n, out[:min(int64(len(out)), n-first%n)])
			for i := n - first%n; i < int64(len(out)); i++ {
				own.inOrder((first+i)%n, out[i:i+1])
			}
		}, 0, 1, 3*n)
		if position >= 0 {
			r.ContinueAt(position)
		}
		return &gated{r: r, open: 2 * n, ready: ready}
	}}
}

// gated is an input that goes past a position only when it is ready.
type gated struct {
	r     *nexmark.Reader[int64]
	open  int64
	ready *atomic.Bool
}

func (g *gated) read(out []int64) (int, time.Time) {
	if left := g.open - g.r.Position(); left > 0 {
		out = out[:min(int64(len(out)), left)]
	} else if !g.ready.Load() {
		return 0, time.Now().Add(time.Millisecond)
	}
	return g.r.Read(out), time.Time{}
}

func (g *gated) position() int64 { return g.r.Position() }

// pauseClock measures the longest time between two arrivals of batches, of whatever subtask.
type pauseClock struct {
	mu   sync.Mutex
	last time.Time // zero before begin
	most time.Duration
}

func (p *pauseClock) begin() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last = time.Now()
}

func (p *pauseClock) arrived() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.last.IsZero() {
		now := time.Now()
		p.most, p.last = max(p.most, now.Sub(p.last)), now
	}
}

func (p *pauseClock) longest() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.most
}
