// Package window says how event time is cut into windows.
package window

import (
	"fmt"
	"time"
)

// Assigner says which window a record belongs to. Make one with Tumbling.
type Assigner struct{ size time.Duration }

// Tumbling cuts event time into windows of one size without gap or overlap, beginning at 1970-01-01T00:00:00Z. The size is a whole
// number of milliseconds and at least one.
func Tumbling(size time.Duration) Assigner { return Assigner{size} }

// Validate reports whether the windows can be used.
func (a Assigner) Validate() error {
	if a.size < time.Millisecond || a.size%time.Millisecond != 0 {
		return fmt.Errorf("window size %v: must be a whole number of milliseconds, at least 1ms", a.size)
	}
	return nil
}

// Size returns the length of each window.
func (a Assigner) Size() time.Duration { return a.size }

// StartOf returns the start, in milliseconds since 1970 UTC, of the window that a time in the same unit lies in.
func (a Assigner) StartOf(t int64) int64 {
	size := a.size.Milliseconds()
	start := t - t%size
	if t%size < 0 {
		start -= size
	}
	return start
}

// Span is one window: from Start, included, to End, excluded, in milliseconds since 1970 UTC.
type Span struct{ Start, End int64 }

// StartTime returns the start as a time in UTC.
func (s Span) StartTime() time.Time { return time.UnixMilli(s.Start).UTC() }

// EndTime returns the end as a time in UTC.
func (s Span) EndTime() time.Time { return time.UnixMilli(s.End).UTC() }
