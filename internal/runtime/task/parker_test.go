package task

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestClockJumps shows when a task that has nothing to do but wait for a timer notices that it is due, by a wall clock that jumps after a minute:
// ahead, and it notices soon after; back, and it waits until the clock has come there.
func TestClockJumps(t *testing.T) {
	for _, c := range []struct {
		name        string
		jump        time.Duration
		least, most time.Duration // that pass
	}{
		{"no jump", 0, time.Hour, time.Hour},
		{"ahead of it", 3 * time.Hour, time.Minute, time.Minute + longestSleep},
		{"nearer", 30 * time.Minute, 30 * time.Minute, 30*time.Minute + longestSleep},
		{"back", -2 * time.Hour, 3 * time.Hour, 3 * time.Hour},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				clock := func() time.Time {
					now := time.Now()
					if now.Sub(began) >= time.Minute {
						now = now.Add(c.jump)
					}
					return now.Round(0)
				}
				p, due := NewParker(), clock().Add(time.Hour)
				for clock().Before(due) {
					p.sleep(due, clock(), nil)
				}
				if took := time.Since(began); took < c.least || took > c.most {
					t.Errorf("noticed after %v, want %v to %v", took, c.least, c.most)
				}
			})
		})
	}
}
