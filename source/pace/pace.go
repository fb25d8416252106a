// Package pace answers when a source that is held to a rate may hand over its next records.
//
//   - Records are due at equal distances in time. What is due is handed over at once, so that a record is at most Granularity late.
//   - A source that was held up catches up, but with no more than Backlog: after a long stop it does not flood its job.
//   - A Limiter knows no clock. Time enters as an argument, so that it is virtual where the job's is.
package pace

import (
	"sync"
	"time"
)

const (
	// Granularity is the shortest time that Take asks its caller to wait. At high rates records are due more often than a subtask
	// can usefully be woken.
	Granularity = 200 * time.Microsecond
	// Backlog is how much of the past a Limiter makes up for.
	Backlog = time.Second
)

// Limiter hands out records at a rate. A nil Limiter has no limit. It may be used by several goroutines: together they keep the rate.
type Limiter struct {
	interval float64 // nanoseconds from one record to the next

	mu struct {
		sync.Mutex
		base  time.Time // when record number 0 is due
		taken int64     // number of records handed out since base
	}
}

// New returns a limiter of that many records per second, or nil, which is no limit, if the rate is not positive.
func New(perSecond float64) *Limiter {
	if perSecond <= 0 {
		return nil
	}
	return &Limiter{interval: float64(time.Second) / perSecond}
}

// Take returns how many records, at most limit, are due at now, and counts them as handed out. If there are none it returns the time at
// which to ask again. The first record is due at the first call.
func (l *Limiter) Take(now time.Time, limit int) (n int, again time.Time) {
	if l == nil {
		return limit, time.Time{}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.base.IsZero() {
		l.mu.base = now
	}
	due := l.dueLocked()
	if now.Before(due) {
		return 0, later(due, now.Add(Granularity))
	}
	if now.Sub(due) > Backlog {
		l.mu.base, l.mu.taken = now.Add(-Backlog), 0
	}
	owed := int64(float64(now.Sub(l.mu.base))/l.interval) + 1 - l.mu.taken
	n = min(clamp(owed), limit)
	l.mu.taken += int64(n)
	return n, time.Time{}
}

// dueLocked returns when the next record is due.
func (l *Limiter) dueLocked() time.Time {
	return l.mu.base.Add(time.Duration(float64(l.mu.taken) * l.interval))
}

// clamp makes a number of owed records an int of at least 1: the next one is due, even if rounding says otherwise.
func clamp(owed int64) int { return int(min(max(owed, 1), 1<<30)) }

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
