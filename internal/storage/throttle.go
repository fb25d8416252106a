package storage

import (
	"context"
	"sync"
	"time"
)

// throttle holds back those who write faster than a rate, all together. A nil one holds nobody back. It may be used concurrently.
type throttle struct {
	perSecond int64 // bytes
	mu        sync.Mutex
	free      time.Time // when all that was written so far is within the rate
}

// newThrottle returns nil for no limit.
func newThrottle(perSecond int64) *throttle {
	if perSecond <= 0 {
		return nil
	}
	return &throttle{perSecond: perSecond}
}

// wait returns when n bytes more have been within the rate, or the context has ended: the writer pays after the fact, so that a single
// write is never too large.
func (t *throttle) wait(ctx context.Context, n int) error {
	if t == nil || n == 0 {
		return nil
	}
	t.mu.Lock()
	now := time.Now()
	if t.free.Before(now) {
		t.free = now
	}
	t.free = t.free.Add(time.Duration(float64(n) / float64(t.perSecond) * float64(time.Second)))
	pause := t.free.Sub(now)
	t.mu.Unlock()
	Pause(ctx, pause)
	return context.Cause(ctx)
}
