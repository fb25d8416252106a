package operator

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/weirstream/weir/internal/element"
	"github.com/weirstream/weir/internal/metrics"
)

// eventLog is a step that writes down the events it is sent.
type eventLog struct{ events []string }

func (l *eventLog) Push(*element.Batch[int64]) error { return nil }

func (l *eventLog) Event(e element.Event) error {
	switch e.Kind {
	case element.Watermark:
		l.events = append(l.events, fmt.Sprint(e.Time))
	case element.Idle:
		l.events = append(l.events, "idle")
	}
	return nil
}

// A subtask between two splits holds back event time as long as the next one may be on its way: it would be late if the other subtasks went
// on without it. It is idle once it is known that there is none for now.
func TestSplitOnItsWayHoldsBack(t *testing.T) {
	for _, c := range []struct {
		name    string
		awaited bool
		want    []string
	}{
		{"on its way", true, []string{"99", "299"}},
		{"none for now", false, []string{"99", "idle", "299"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			now := time.Unix(0, 0)
			splits, log := NewSplits(), &eventLog{}
			splits.awaited = true
			s := NewEventTime(&Env{Splits: splits, Metrics: metrics.NewScope(), Now: func() time.Time { return now }},
				func(recs []int64, ts []int64) { copy(ts, recs) }, 0, 0, Pusher[int64](log))
			look := func(after time.Duration) {
				now = now.Add(after)
				if err := s.BeforePark(now); err != nil {
					t.Fatal(err)
				}
			}
			push := func(split string, at int64) {
				b := &element.Batch[int64]{Recs: []int64{at}, TS: []int64{0}, Split: splits.Number(split)}
				if err := s.Push(b); err != nil {
					t.Fatal(err)
				}
			}
			look(0)
			splits.awaited = false
			splits.Open("a", nil)
			push("a", 100)
			look(0)
			splits.Close("a")
			splits.awaited = c.awaited
			look(0)
			look(time.Second)
			splits.awaited = false
			splits.Open("b", nil)
			look(0)
			push("b", 300)
			look(0)
			if !slices.Equal(log.events, c.want) {
				t.Errorf("got %v, want %v", log.events, c.want)
			}
		})
	}
}
