// Everything is a job that keeps every kind of state there is: values, maps, lists and timers of keys, windows, the lists and maps of
// subtasks, and records that go round in a loop. Beside a source that goes on it has one that ends early, and slices that no stream connects. What it
// writes does not depend on the parallelism or on the order in which records of different splits arrive, so that tests can compare a run that was
// killed, stopped and rescaled with one that nobody disturbed. Its flags say what it is to do to itself while it runs.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/checkpoint"
	"github.com/weirstream/weir/connector/datagen"
	"github.com/weirstream/weir/connector/file"
	"github.com/weirstream/weir/state"
	_ "github.com/weirstream/weir/state/pebble"
	"github.com/weirstream/weir/window"
)

func main() {
	slog.SetDefault(slog.New(slog.NewTextHandler(os.Stderr, nil)))
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// given is what the command line says about the job itself.
type given struct {
	events    int
	rate      float64
	interval  time.Duration // of checkpoints; 0: none but those that are asked for
	output    string
	failEvery int64 // so many records of the slices, counted over all of them, one fails its slice; 0: none
	failAt    int64 // at this record of the slices the job fails for good; negative: never
	options   map[string]string
}

func run() error {
	g := given{options: map[string]string{}}
	flag.IntVar(&g.events, "events", 20_000, "events to read")
	flag.Float64Var(&g.rate, "rate", 0, "events per second; 0: as fast as it can")
	flag.DurationVar(&g.interval, "interval", 50*time.Millisecond, "time between checkpoints; 0: none but by hand")
	flag.StringVar(&g.output, "output", "everything-out", "folder of results, checkpoints and savepoints")
	flag.Int64Var(&g.failEvery, "fail-every", 0, "records of the slices after which one of them fails; 0: never")
	flag.Int64Var(&g.failAt, "fail-at", -1, "record of the slices at which the job fails for good; negative: never")
	set := func(key string) func(string) error {
		return func(v string) error { g.options[key] = v; return nil }
	}
	flag.Func("p", "parallelism", set("parallelism.default"))
	flag.Func("s", "snapshot to start from", set("execution.state-recovery.path"))
	flag.Func("claim-mode", "who owns that", set("execution.state-recovery.claim-mode"))
	flag.Func("D", "an option, key=value", func(v string) error {
		key, value, _ := strings.Cut(v, "=")
		return set(key)(value)
	})
	c := controls()
	flag.Parse()

	j, err := build(g)
	if err != nil {
		return err
	}
	e, err := weir.Start(context.Background(), j)
	if err != nil {
		return err
	}
	controlErr := c.disturb(e)
	r, err := e.Wait()
	slog.Info("ended", "status", r.Status, "savepoint", r.Savepoint, "text", r.Text)
	return errors.Join(err, controlErr)
}

// event is what the job reads: event n belongs to one of some keys.
type event struct{ N, Key int64 }

// keys is the number of keys, pace the event time between two events, and second the width of all windows, in milliseconds.
const (
	keys   = 97
	pace   = 10
	second = 1000
)

func build(g given) (*weir.Job, error) {
	j := weir.NewJob("everything")
	if g.interval > 0 {
		j.Checkpoint(checkpoint.Every(g.interval))
	}
	j.Checkpoint(checkpoint.Dir(filepath.Join(g.output, "_checkpoints")), checkpoint.Retain(2),
		checkpoint.SavepointDir(filepath.Join(g.output, "_savepoints")), checkpoint.Loops(checkpoint.ForceLoops))
	j.Set("restart-strategy.type", "fixed-delay")
	j.Set("restart-strategy.fixed-delay.attempts", "100000")
	j.Set("restart-strategy.fixed-delay.delay", "10ms")
	for key, value := range g.options {
		j.Set(key, value)
	}
	out := func(name string) string { return filepath.Join(g.output, name) }

	events := weir.From(j, "events", g.numbers(0, g.events))
	byKey := weir.KeyBy(events, func(e event) int64 { return e.Key })
	weir.To(weir.Process(byKey, "buckets", &buckets{}), "buckets-out", file.CSV[bucket](out("buckets")))
	panes := weir.Window(byKey, "windows", window.Tumbling(time.Second), func(acc *pane, e event) {
		acc.Count++
		acc.Sum += e.N
	}, func(key int64, s window.Span, acc pane) pane { return pane{key, s.Start, acc.Count, acc.Sum} })
	weir.To(panes, "windows-out", file.CSV[pane](out("windows")))
	weir.To(weir.ProcessPlain(weir.Rebalance(events), "marks", &marks{}), "marks-out", file.CSV[event](out("marks")))
	weir.To(takeWalks(weir.Filter(events, func(e event) bool { return e.N%100 == 0 })), "walks-out", file.CSV[walk](out("walks")))
	weir.To(weir.ProcessPlain(weir.Broadcast(events), "tables", &tables{}), "tables-out", file.CSV[entry](out("tables")))

	early := weir.From(j, "early", g.numbers(g.events, g.events/50))
	picked := weir.Partition(early, func(e event, subtasks int) int { return int(e.N) % subtasks })
	weir.To(weir.ProcessPlain(picked, "few", &held{}), "few-out", file.CSV[event](out("few")))
	both := weir.Union(weir.Rebalance(events), weir.Rebalance(early))
	weir.To(weir.ProcessPlain(both, "held", &held{}), "held-out", file.CSV[event](out("held")))

	slices := weir.TryMap(weir.From(j, "slices", g.numbers(2*g.events, g.events)), g.failing())
	weir.To(weir.ProcessPlain(slices, "sliced", &held{}), "sliced-out", file.CSV[event](out("sliced")))
	return j, nil
}

// numbers is a source of so many events, of which first is the number of the first one.
func (g given) numbers(first, n int) *datagen.Generator[event] {
	return datagen.Source(int64(n), func(i int64) event { return event{int64(first) + i, i * 31 % keys} },
		datagen.Rate(g.rate), datagen.Splits(6), datagen.Times(func(i int64) int64 { return i * pace }))
}

// failing lets records through, or fails as the command line says. The count is of the process, not state: it goes on when a slice restarts.
func (g given) failing() func(event) (event, error) {
	var seen atomic.Int64
	return func(e event) (event, error) {
		switch {
		case e.N-2*int64(g.events) == g.failAt:
			return e, weir.Permanent(errors.New("the job fails for good, as it was told"))
		case g.failEvery > 0 && seen.Add(1)%g.failEvery == 0:
			return e, errors.New("a slice fails, as it was told")
		}
		return e, nil
	}
}

// bucket is what happened to one key within one second of event time.
type bucket struct{ Key, Second, Count, Last, Largest int64 }

// buckets counts the events of each second by a map and a timer, as a window does, and keeps the numbers of the events in a list and their
// number over all in a value.
type buckets struct {
	Counts state.Map[int64, int64] `state:"counts"`
	Seen   state.List[int64]       `state:"seen"`
	Total  state.Value[int64]      `state:"total"`
	Due    weir.Timer              `timer:"due,event"`
}

func (p *buckets) On(c *weir.Ctx[int64, bucket], e event) error {
	at := c.TimeMillis() / second
	n, _ := p.Counts.Get(at)
	p.Counts.Put(at, n+1)
	p.Seen.Append(e.N)
	p.Total.Set(p.Total.Get() + 1)
	p.wakeFor(at)
	return nil
}

// wakeFor sets the timer for the end of a second, unless it is set for an earlier one.
func (p *buckets) wakeFor(at int64) {
	end := (at+1)*second - 1
	if due, ok := p.Due.Deadline(); !ok || end < due.UnixMilli() {
		p.Due.AtMillis(end)
	}
}

func (p *buckets) OnTimer(c *weir.Ctx[int64, bucket], _ *weir.Timer) error {
	at := c.TimeMillis() / second
	n, _ := p.Counts.Get(at)
	p.Counts.Delete(at)
	var last int64
	var later []int64
	for seen := range p.Seen.All() {
		if seen*pace/second <= at {
			last = max(last, seen)
		} else {
			later = append(later, seen)
		}
	}
	p.Seen.Set(later)
	p.Total.Set(p.Total.Get() - n)
	if p.Total.Get() != int64(len(later)) {
		n = -n // the parts of the state do not agree: nobody expects a negative count
	}
	c.Emit(bucket{c.Key(), at, n, last, last % 7})
	for next := range p.Counts.All() {
		p.wakeFor(next)
	}
	return nil
}

// pane is the sum of one key and window.
type pane struct{ Key, Start, Count, Sum int64 }

// held keeps a few events back in a list of the subtask, which is dealt out again after a restore.
type held struct {
	Back state.List[event] `state:"back"`
}

func (p *held) On(c *weir.Ctx[weir.NoKey, event], e event) error {
	p.Back.Append(e)
	if p.Back.Len() >= 13 {
		p.release(c)
	}
	return nil
}

// Finish lets the rest go.
func (p *held) Finish(c *weir.Ctx[weir.NoKey, event]) error {
	p.release(c)
	return nil
}

func (p *held) release(c *weir.Ctx[weir.NoKey, event]) {
	for e := range p.Back.All() {
		c.Emit(e)
	}
	p.Back.Clear()
}

// marks does the same with a list that every subtask gets whole after a restore: each keeps its share.
type marks struct {
	Back state.UnionList[event] `state:"back"`
}

func (p *marks) Open(c *weir.Ctx[weir.NoKey, event]) error {
	var mine []event
	for e := range p.Back.All() {
		if e.N%int64(c.Parallelism()) == int64(c.Subtask()) {
			mine = append(mine, e)
		}
	}
	p.Back.Set(mine)
	return nil
}

func (p *marks) On(c *weir.Ctx[weir.NoKey, event], e event) error {
	p.Back.Append(e)
	if p.Back.Len() >= 17 {
		p.release(c)
	}
	return nil
}

// Finish lets the rest go.
func (p *marks) Finish(c *weir.Ctx[weir.NoKey, event]) error {
	p.release(c)
	return nil
}

func (p *marks) release(c *weir.Ctx[weir.NoKey, event]) {
	for e := range p.Back.All() {
		c.Emit(e)
	}
	p.Back.Clear()
}

// entry is a row of the table that all subtasks have.
type entry struct{ Key, Count, Sum int64 }

// tables keeps a table that all events change in every subtask.
type tables struct {
	Table state.Broadcast[int64, entry] `state:"table"`
}

func (p *tables) On(_ *weir.Ctx[weir.NoKey, entry], e event) error {
	row, _ := p.Table.Get(e.Key)
	p.Table.Put(e.Key, entry{e.Key, row.Count + 1, row.Sum + e.N})
	return nil
}

// Finish shows the first subtask's copy.
func (p *tables) Finish(c *weir.Ctx[weir.NoKey, entry]) error {
	if c.Subtask() > 0 {
		return nil
	}
	for _, row := range p.Table.All() {
		c.Emit(row)
	}
	return nil
}

// walk is a number that is changed in each step, for so long that some are under way whenever a checkpoint is taken.
type walk struct{ Start, At, Steps, Mark int64 }

const walkSteps = 5000

// takeWalks sends each event's number round.
func takeWalks(events weir.Stream[event]) weir.Stream[walk] {
	starts := weir.Map(events, func(e event) walk { return walk{Start: e.N, At: e.N} })
	return weir.Iterate(starts, "walks", func(loop weir.Stream[walk]) (again, out weir.Stream[walk]) {
		stepped := weir.Process(weir.KeyBy(loop, func(w walk) int64 { return w.Start }), "steps", &steps{})
		return weir.Filter(stepped, func(w walk) bool { return w.Steps < walkSteps }), weir.Filter(stepped, func(w walk) bool { return w.Steps == walkSteps })
	})
}

// steps lets each walk take a step, and counts in the state of its key what the walk counts itself.
type steps struct {
	Taken state.Value[int64] `state:"taken"`
}

func (p *steps) On(c *weir.Ctx[int64, walk], w walk) error {
	p.Taken.Set(p.Taken.Get() + 1)
	w.Steps++
	w.At = (w.At*31 + w.Steps) % 10_007
	w.Mark = max(w.Mark, p.Taken.Get()-w.Steps, w.Steps-p.Taken.Get()) // not 0 if a step was taken twice, or is not remembered
	c.Emit(w)
	return nil
}
