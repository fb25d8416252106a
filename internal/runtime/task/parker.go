package task

import "time"

// Parker lets the goroutine of a task sleep until someone wakes it. A wake that comes before the sleep is not lost.
type Parker struct{ token chan struct{} }

// NewParker returns a parker that nobody has woken.
func NewParker() *Parker { return &Parker{make(chan struct{}, 1)} }

// Wake ends the current sleep or the next one. Any goroutine may call it.
func (p *Parker) Wake() {
	select {
	case p.token <- struct{}{}:
	default: // there is a wake already that nobody has used
	}
}

// Woken reports whether somebody has called Wake since the last sleep or call of Woken. It is for those who step the task themselves.
func (p *Parker) Woken() bool {
	select {
	case <-p.token:
		return true
	default:
		return false
	}
}

// longestSleep bounds the time for which a task that waits for a time does not look at the clock. Timers go by the wall clock, which may be set, or
// have gone on while the machine was suspended: a sleep does not notice.
const longestSleep = 10 * time.Second

// sleep returns when somebody calls Wake, when the time has come or may have come, or when done is closed. A zero time never comes.
func (p *Parker) sleep(until time.Time, now time.Time, done <-chan struct{}) {
	var alarm <-chan time.Time
	if !until.IsZero() {
		wait := until.Sub(now)
		if wait <= 0 {
			return
		}
		t := time.NewTimer(min(wait, longestSleep))
		defer t.Stop()
		alarm = t.C
	}
	select {
	case <-p.token:
	case <-alarm:
	case <-done:
	}
}
