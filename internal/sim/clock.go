package sim

import (
	"time"
	"unsafe"
)

// epoch is when the wall clock of a world begins.
const epoch = 1_000_000 * time.Second // after 1970 UTC

// instant returns a time with two readings that have nothing to do with each other, as time.Now returns one: the wall clock, since 1970,
// and the monotonic one. A job measures durations by the second and tells people the first; to see that it does so, the wall clock of a
// world jumps. There is no function that makes such a time, so this one writes it as package time lays it out, which twoReadings has
// checked.
func instant(wall, monotonic time.Duration) time.Time {
	if !twoReadings {
		return time.Unix(0, int64(wall))
	}
	return assemble(wall, monotonic)
}

// layout is how a time.Time with a monotonic reading lies in memory.
type layout struct {
	wall uint64 // one bit that says so, 33 of seconds since 1885, 30 of nanoseconds
	ext  int64  // the monotonic reading in nanoseconds
	loc  *time.Location
}

// from1885 is the number of seconds from 1885 to 1970.
const from1885 = (85*365 + 20) * 24 * 60 * 60 // 1900 was no leap year

func assemble(wall, monotonic time.Duration) (t time.Time) {
	seconds, nanos := uint64(wall/time.Second), uint64(wall%time.Second)
	*(*layout)(unsafe.Pointer(&t)) = layout{wall: 1<<63 | (seconds+from1885)<<30 | nanos, ext: int64(monotonic), loc: time.UTC}
	return t
}

// twoReadings reports whether this version of Go lays out times as assumed. Without it the wall clock stays with the other one.
var twoReadings = func() bool {
	if unsafe.Sizeof(time.Time{}) != unsafe.Sizeof(layout{}) {
		return false
	}
	const wall, jump = 1_700_000_000_123_456_789, time.Hour
	a, b := assemble(wall, time.Second), assemble(wall+jump, 2*time.Second)
	return a.UnixNano() == wall && b.Sub(a) == time.Second && b.Round(0).Sub(a.Round(0)) == jump && a.Add(time.Second).Equal(b)
}()
