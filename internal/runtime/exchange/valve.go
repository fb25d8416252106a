package exchange

import "github.com/weirstream/weir/internal/element"

// Valve merges the watermarks of a gate's channels: its own watermark is the smallest of those channels that are not idle.
//
//   - Its watermark never goes back.
//   - When all channels are idle it is idle; a channel that wakes up behind the merged watermark holds back nothing until it has
//     caught up.
type Valve struct {
	channels []valveChannel
	last     int64
	idle     bool
}

type valveChannel struct {
	watermark int64
	idle      bool
	behind    bool // it woke up behind the merged watermark and has not caught up
}

// NewValve returns a valve with channels that have promised nothing yet.
func NewValve(channels int) *Valve {
	v := &Valve{channels: make([]valveChannel, channels), last: element.NoTime}
	for i := range v.channels {
		v.channels[i].watermark = element.NoTime
	}
	return v
}

// Watermark takes the watermark of one channel, which thereby is not idle any more, and returns the event to pass on, if any.
func (v *Valve) Watermark(channel int, t int64) (element.Event, bool) {
	c := &v.channels[channel]
	c.watermark = max(c.watermark, t)
	c.behind = (c.behind || c.idle) && c.watermark < v.last
	c.idle = false
	return v.merge()
}

// Idle marks one channel as idle and returns the event to pass on, if any.
func (v *Valve) Idle(channel int) (element.Event, bool) {
	v.channels[channel].idle = true
	return v.merge()
}

func (v *Valve) merge() (element.Event, bool) {
	lowest, active, known := element.MaxTime, false, false
	for i := range v.channels {
		switch c := &v.channels[i]; {
		case c.idle:
		case c.behind:
			active = true
		default:
			lowest, active, known = min(lowest, c.watermark), true, true
		}
	}
	if !active {
		was := v.idle
		v.idle = true
		return element.Event{Kind: element.Idle}, !was
	}
	woke := v.idle
	v.idle = false
	if known && lowest > v.last {
		v.last = lowest
		return element.Event{Kind: element.Watermark, Time: lowest}, true
	}
	// A watermark that says nothing new still tells the next task that this one is active again.
	return element.Event{Kind: element.Watermark, Time: v.last}, woke
}
