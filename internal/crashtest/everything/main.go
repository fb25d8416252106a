// Everything is a job that keeps every kind of state there is: values, maps, lists and timers of keys, windows, the lists and maps of
// subtasks, and records that go round in a loop. What it writes does not depend on the parallelism or on the order in which records of different splits arrive, so that tests
// can compare a run that was killed, stopped and rescaled with one that nobody disturbed.
package main

import (
	"path/filepath"
	"time"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/checkpoint"
	"github.com/weirstream/weir/connector/datagen"
	"github.com/weirstream/weir/connector/file"
	"github.com/weirstream/weir/state"
	"github.com/weirstream/weir/window"
)

func main() { weir.Main("everything", build) }

// event is what the job reads: event n belongs to one of some keys.
type event struct{ N, Key int64 }

// keys is the number of keys, pace the event time between two events, and second the width of all windows, in milliseconds.
const (
	keys   = 97
	pace   = 10
	second = 1000
)

func build(j *weir.Job) error {
	n := j.Args().Int("events", 20_000, "events to read")
	rate := j.Args().Float("rate", 0, "events per second; 0: as fast as it can")
	out := j.Args().String("output", "everything-out", "folder of the results")
	j.Checkpoint(checkpoint.Every(50*time.Millisecond), checkpoint.Dir(filepath.Join(out, "_checkpoints")), checkpoint.Retain(2),
		checkpoint.Loops(checkpoint.ForceLoops))

	events := weir.From(j, "events", datagen.Source(int64(n), func(i int64) event { return event{i, i * 31 % keys} },
		datagen.Rate(rate), datagen.Splits(6), datagen.Times(func(i int64) int64 { return i * pace })))
	byKey := weir.KeyBy(events, func(e event) int64 { return e.Key })

	weir.To(weir.Process(byKey, "buckets", &buckets{}), "buckets-out", file.CSV[bucket](filepath.Join(out, "buckets")))
	panes := weir.Window(byKey, "windows", window.Tumbling(time.Second), func(acc *pane, e event) {
		acc.Count++
		acc.Sum += e.N
	}, func(key int64, s window.Span, acc pane) pane { return pane{key, s.Start, acc.Count, acc.Sum} })
	weir.To(panes, "windows-out", file.CSV[pane](filepath.Join(out, "windows")))
	weir.To(weir.ProcessPlain(weir.Rebalance(events), "held", &held{}), "held-out", file.CSV[event](filepath.Join(out, "held")))
	weir.To(weir.ProcessPlain(weir.Rebalance(events), "marks", &marks{}), "marks-out", file.CSV[event](filepath.Join(out, "marks")))
	weir.To(takeWalks(weir.Filter(events, func(e event) bool { return e.N%100 == 0 })), "walks-out", file.CSV[walk](filepath.Join(out, "walks")))
	weir.To(weir.ProcessPlain(weir.Broadcast(events), "tables", &tables{}), "tables-out", file.CSV[entry](filepath.Join(out, "tables")))
	return nil
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

const walkSteps = 20000

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
