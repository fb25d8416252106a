package main

import (
	"time"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/state"
)

// RouteDay is what happened on one route on one day.
type RouteDay struct {
	Day         time.Time `csv:"day,layout=2006-01-02"`
	Origin      string
	Destination string
	Flights     int64
	DistanceSum int64
}

// routeKey has the day in it, since around midnight two days of a route are open at a time.
type routeKey struct {
	Day                 int64 // its start in milliseconds since 1970 UTC
	Origin, Destination string
}

const dayMillis = int64(24 * time.Hour / time.Millisecond)

func routes(flights weir.Stream[Flight]) weir.Stream[RouteDay] {
	return weir.Process(weir.KeyBy(flights, routeOf), "route-days", &routeDays{})
}

func routeOf(f Flight) routeKey {
	return routeKey{f.Date.UTC().Truncate(24 * time.Hour).UnixMilli(), f.Origin, f.Destination}
}

// routeDays counts the departures on a route until the day is over.
type routeDays struct {
	Flights  state.Value[int64] `state:"flights"`
	Distance state.Value[int64] `state:"distance"`
	DayEnd   weir.Timer         `timer:"day-end,event"`

	tooLate *weir.Counter
}

func (r *routeDays) Open(c *weir.Ctx[routeKey, RouteDay]) error {
	r.tooLate = c.Counter("late_records")
	return nil
}

func (r *routeDays) On(c *weir.Ctx[routeKey, RouteDay], f Flight) error {
	last := c.Key().Day + dayMillis - 1
	if last <= c.WatermarkMillis() { // the day's row is out
		r.tooLate.Inc()
		return nil
	}
	r.Flights.Set(r.Flights.Get() + 1)
	r.Distance.Set(r.Distance.Get() + f.Distance)
	r.DayEnd.AtMillis(last)
	return nil
}

func (r *routeDays) OnTimer(c *weir.Ctx[routeKey, RouteDay], _ *weir.Timer) error {
	k := c.Key()
	c.Emit(RouteDay{time.UnixMilli(k.Day).UTC(), k.Origin, k.Destination, r.Flights.Get(), r.Distance.Get()})
	r.Flights.Clear()
	r.Distance.Clear()
	return nil
}
