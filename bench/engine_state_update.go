package main

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/bench/internal/nexmark"
	"github.com/weirstream/weir/state"
)

// stateUpdateEngines is a Process that increments a Value, from sources that emit ownKeys(index, p): first inOrder, then, when all of
// these are counted and the meter is started, drawnFrom.
func stateUpdateEngines(bars ...bar) []side {
	return []side{{name: "process", bars: bars, run: func(t *task) (outcome, error) {
		j := newJob(t, "state-update")
		out := &tallying[counted]{add: tallyCounts}
		src := fillThenDraw(t.size, newTurn(t.keys, out, t.meter.Start))
		weir.To(weir.Process(weir.KeyBy(weir.From(j, "keys", src), weir.Self), "counts", &keyCounter{}), "tally", out)
		err := runToEnd(j)
		return outcome{tally: out.total()}, err
	}}}
}

// keyCounter counts the records of a key.
type keyCounter struct {
	N state.Value[int64]
}

func (p *keyCounter) On(c *weir.Ctx[int64, counted], key int64) error {
	n := p.N.Get() + 1
	p.N.Set(n)
	c.Emit(counted{Key: key, Value: n})
	return nil
}

// turn is the moment between the filling of the state and the work that is measured: all keys have arrived at the sink, and nothing
// else has been read yet.
type turn struct {
	arrived func() bool
	begin   func() // called once
	once    sync.Once
	come    atomic.Bool
}

func newTurn(keys int64, out *tallying[counted], begin func()) *turn {
	return &turn{arrived: func() bool { return out.records.Load() == keys }, begin: begin}
}

// check reports whether the turn has come. The first reader that sees it calls begin; others wait for that.
func (u *turn) check() bool {
	if u.come.Load() {
		return true
	}
	if !u.arrived() {
		return false
	}
	u.once.Do(func() { u.begin(); u.come.Store(true) })
	return true
}

// fillThenDraw is a source that emits every key once and, after the turn, draws one for each event.
func fillThenDraw(s size, u *turn) *events[int64] {
	return fillThenDrawBy(keyClass.drawnFrom, s, u)
}

func fillThenDrawBy(draw drawing, s size, u *turn) *events[int64] {
	return &events[int64]{func(index, splits int, _ int64) input[int64] {
		own, n := ownKeys(index, splits), ownKeysOf(s.keys, index, splits)
		return &twoParts{
			fill: nexmark.NewReader(own.inOrder, 0, 1, n),
			draw: nexmark.NewReader(draw(own, n), index, splits, s.events),
			turn: u,
		}
	}}
}

// twoParts reads one input to its end, waits for the turn, and reads the other. It cannot go on from a checkpoint.
type twoParts struct {
	fill, draw *nexmark.Reader[int64]
	turn       *turn
	turned     bool
}

func (p *twoParts) read(out []int64) (int, time.Time) {
	if !p.turned {
		if n := p.fill.Read(out); n > 0 {
			return n, time.Time{}
		}
		if !p.turn.check() {
			return 0, time.Now().Add(time.Millisecond)
		}
		p.turned = true
	}
	return p.draw.Read(out), time.Time{}
}

func (p *twoParts) position() int64 { return 0 }
