package main

import (
	"time"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/window"
)

// Hour is what happened at one airport in one hour.
type Hour struct {
	WindowStart time.Time
	Origin      string
	Flights     int64
	DelaySum    int64
	DelayMax    int64
	Late        int64
}

// hourCounts gathers an Hour.
type hourCounts struct{ Flights, DelaySum, DelayMax, Late int64 }

func hourly(flights weir.Stream[Flight]) weir.Stream[Hour] {
	return weir.Window(weir.KeyBy(flights, origin), "hourly-counts", window.Tumbling(time.Hour), (*hourCounts).add, hourOf)
}

func origin(f Flight) string { return f.Origin }

func (h *hourCounts) add(f Flight) {
	if h.Flights == 0 || f.Delay > h.DelayMax {
		h.DelayMax = f.Delay
	}
	h.Flights++
	h.DelaySum += f.Delay
	if f.Delay >= late {
		h.Late++
	}
}

func hourOf(origin string, w window.Span, h hourCounts) Hour {
	return Hour{w.StartTime(), origin, h.Flights, h.DelaySum, h.DelayMax, h.Late}
}
