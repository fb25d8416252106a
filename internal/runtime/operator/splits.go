package operator

import (
	"maps"
	"slices"
	"time"

	"github.com/weirstream/weir/internal/element"
	"github.com/weirstream/weir/internal/job"
)

// Splits numbers the source splits that a subtask reads, and keeps the largest event time that was seen in each, so that a checkpoint
// holds both and what was late stays late after a restore. The source numbers, the steps that assign event times keep the times; all
// of them run on the subtask's goroutine.
type Splits struct {
	numbers map[string]int
	open    map[int]*openSplit // by number, from 1
	last    int                // the number given out last
	version int                // changes when splits come and go
	awaited bool               // the reader has asked for a split, and it is not known whether there is one
}

// openSplit is a split that is not finished.
type openSplit struct {
	id   string
	seen map[job.OperatorID]int64 // largest event time, by the step that assigned it
}

// NewSplits returns an empty table.
func NewSplits() *Splits {
	return &Splits{numbers: map[string]int{}, open: map[int]*openSplit{}}
}

// Open numbers a split and gives it the event times seen before the restore, if any.
func (s *Splits) Open(id string, seen map[job.OperatorID]int64) int {
	s.last++
	s.version++
	s.numbers[id] = s.last
	if seen == nil {
		seen = map[job.OperatorID]int64{}
	}
	s.open[s.last] = &openSplit{id: id, seen: seen}
	return s.last
}

// Number returns the number of an open split, 0 if there is none of that id.
func (s *Splits) Number(id string) int { return s.numbers[id] }

// Close forgets a split.
func (s *Splits) Close(id string) {
	s.version++
	delete(s.open, s.numbers[id])
	delete(s.numbers, id)
}

// Seen returns the event times seen in an open split, to be kept with it.
func (s *Splits) Seen(id string) map[job.OperatorID]int64 {
	if o := s.open[s.numbers[id]]; o != nil {
		return maps.Clone(o.seen)
	}
	return nil
}

// tracker is what one step that assigns event times knows of the splits it reads: how far each has come and when it last had a record.
type tracker struct {
	step    job.OperatorID
	former  []job.OperatorID
	splits  *Splits
	version int
	active  []*trackedSplit // in order of number
	current *trackedSplit   // that of the last batch
}

type trackedSplit struct {
	number int
	seen   int64
	last   time.Time // when it last had a record; the zero time until the first look at the clock
	idle   bool
}

// refresh follows the splits that came and went since the last look.
func (t *tracker) refresh() {
	if t.version == t.splits.version {
		return
	}
	t.version = t.splits.version
	t.current = nil
	t.save()
	t.active = slices.DeleteFunc(t.active, func(a *trackedSplit) bool { return t.splits.open[a.number] == nil })
	for _, n := range slices.Sorted(maps.Keys(t.splits.open)) {
		if !slices.ContainsFunc(t.active, func(a *trackedSplit) bool { return a.number == n }) {
			t.active = append(t.active, &trackedSplit{number: n, seen: t.restored(t.splits.open[n])})
		}
	}
}

// restored returns how far a split had come, under whatever id this step had then.
func (t *tracker) restored(s *openSplit) int64 {
	for _, id := range append([]job.OperatorID{t.step}, t.former...) {
		if seen, ok := s.seen[id]; ok {
			return seen
		}
	}
	return element.NoTime
}

// save writes the event times to where the source finds them for a checkpoint.
func (t *tracker) save() {
	for _, a := range t.active {
		if o := t.splits.open[a.number]; o != nil && a.seen != element.NoTime {
			o.seen[t.step] = a.seen
		}
	}
}

// of returns the split that a batch belongs to.
func (t *tracker) of(number int) *trackedSplit {
	if t.current != nil && t.current.number == number {
		return t.current
	}
	for _, a := range t.active {
		if a.number == number {
			t.current = a
			return a
		}
	}
	a := &trackedSplit{number: number, seen: element.NoTime} // records that belong to no split
	t.active = append(t.active, a)
	t.current = a
	return a
}

// lowest returns the smallest event time that all active splits have seen, and whether any is active.
func (t *tracker) lowest() (seen int64, active bool) {
	seen = element.MaxTime
	for _, a := range t.active {
		if !a.idle {
			seen, active = min(seen, a.seen), true
		}
	}
	return seen, active
}
