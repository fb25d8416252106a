package main

import (
	"testing"
	"time"

	"github.com/weirstream/weir/weirtest"
)

// departures returns the first rows of the sample as the job reads them.
func departures(t *testing.T, n int) (flights []Flight) {
	for _, r := range readSample(t)[:n] {
		flights = append(flights, Flight{Date: r.at, Origin: r.origin, Destination: r.destination, Distance: int64(r.distance), Delay: int64(r.delay)})
	}
	return flights
}

// TestSurvives shows that the three outputs are what they are without any trouble, whatever happens.
func TestSurvives(t *testing.T) {
	weirtest.Run(t, build, weirtest.In("flights", departures(t, 150)...),
		weirtest.Same[Hour]("hourly"), weirtest.Same[RouteDay]("routes"), weirtest.Same[Streak]("streaks"),
		weirtest.Seeds(15), weirtest.Rescale(1, 2, 3))
}

// TestStreaks shows that departures are put in order before they are looked at, and that a snapshot in between changes nothing.
func TestStreaks(t *testing.T) {
	t0 := time.Date(2001, 1, 1, 8, 0, 0, 0, time.UTC)
	at := func(minutes int) time.Time { return t0.Add(time.Duration(minutes) * time.Minute) }
	h := weirtest.Operator(t, &lateStreaks{}, origin)
	for _, minute := range []int{30, 10, 20, 50, 40} {
		h.SendAt(at(minute), Flight{Date: at(minute), Origin: "ATL", Delay: late})
		h.SnapshotAndRestore()
	}
	h.SendAt(at(60), Flight{Date: at(60), Origin: "ATL"})
	h.Watermark(at(45))
	h.Want()
	h.SnapshotAndRestore(2)
	h.Finish()
	h.Want(Streak{Origin: "ATL", Start: at(10), End: at(50), Length: 5, DelaySum: 5 * late})
}
