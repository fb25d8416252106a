package main

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/state"
)

// Streak is a run of late departures in a row at one airport: as long as possible, and at least minStreak.
type Streak struct {
	Origin   string
	Start    time.Time
	End      time.Time
	Length   int64
	DelaySum int64
}

const minStreak = 5

func streaks(flights weir.Stream[Flight]) weir.Stream[Streak] {
	return weir.Process(weir.KeyBy(flights, origin), "late-streaks", &lateStreaks{})
}

// lateStreaks puts the departures of an airport in order, which takes holding them back until event time has passed them, and then looks
// for streaks.
type lateStreaks struct {
	Held state.List[Flight]  `state:"held"` // event time has not passed them
	Run  state.Value[streak] `state:"run"`  // the latest departures, as long as they are late
	Next weir.Timer          `timer:"next,event"`

	tooLate *weir.Counter
	due     []Flight
	keep    []Flight
}

// streak is a Streak that may go on. Times are in milliseconds since 1970 UTC.
type streak struct{ Start, End, Length, DelaySum int64 }

// holdBack is the distance of the times at which departures are released. Each release reads all that are held, so it should not be one for
// each departure.
const holdBack = int64(10 * time.Minute / time.Millisecond)

// endOfData is the watermark after the last record.
const endOfData = int64(math.MaxInt64)

func (s *lateStreaks) Open(c *weir.Ctx[string, Streak]) error {
	s.tooLate = c.Counter("late_records")
	return nil
}

func (s *lateStreaks) On(c *weir.Ctx[string, Streak], f Flight) error {
	if c.TimeMillis() <= c.WatermarkMillis() { // those after it may have been released
		s.tooLate.Inc()
		return nil
	}
	s.Held.Append(f)
	s.wakeAt(releaseOf(f))
	return nil
}

// releaseOf returns when a departure is to be released.
func releaseOf(f Flight) int64 { return f.Date.UnixMilli()/holdBack*holdBack + holdBack }

// wakeAt sets the timer, unless it is set to an earlier time.
func (s *lateStreaks) wakeAt(at int64) {
	if next, ok := s.Next.Deadline(); !ok || at < next.UnixMilli() {
		s.Next.AtMillis(at)
	}
}

func (s *lateStreaks) OnTimer(c *weir.Ctx[string, Streak], _ *weir.Timer) error {
	s.release(c.WatermarkMillis())
	run := s.Run.Get()
	for _, f := range s.due {
		if f.Delay >= late {
			run.add(f)
			continue
		}
		run.end(c)
	}
	if c.WatermarkMillis() == endOfData {
		run.end(c)
	}
	s.Run.Set(run)
	for _, f := range s.keep {
		s.wakeAt(releaseOf(f))
	}
	if run.Length > 0 {
		s.wakeAt(endOfData)
	}
	return nil
}

// release moves the departures that event time has passed from Held to due, in order.
func (s *lateStreaks) release(watermark int64) {
	s.due, s.keep = s.due[:0], s.keep[:0]
	for f := range s.Held.All() {
		if f.Date.UnixMilli() <= watermark {
			s.due = append(s.due, f)
		} else {
			s.keep = append(s.keep, f)
		}
	}
	s.Held.Set(s.keep)
	slices.SortFunc(s.due, inOrder)
}

// inOrder is the order in which departures of one airport follow each other.
func inOrder(a, b Flight) int {
	return cmp.Or(a.Date.Compare(b.Date), cmp.Compare(a.Destination, b.Destination),
		cmp.Compare(a.Delay, b.Delay), cmp.Compare(a.Distance, b.Distance))
}

func (r *streak) add(f Flight) {
	r.End = f.Date.UnixMilli()
	if r.Length == 0 {
		r.Start = r.End
	}
	r.Length++
	r.DelaySum += f.Delay
}

// end emits the streak if it is long enough, and begins a new one.
func (r *streak) end(c *weir.Ctx[string, Streak]) {
	if r.Length >= minStreak {
		c.Emit(Streak{c.Key(), time.UnixMilli(r.Start).UTC(), time.UnixMilli(r.End).UTC(), r.Length, r.DelaySum})
	}
	*r = streak{}
}
