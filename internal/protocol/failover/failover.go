// Package failover answers what restarts after a failure: which tasks, after which delay, or nothing any more.
//
//   - A failure of a task restarts its region: the tasks it is connected with. The others go on. A failure that no task is to blame for
//     restarts everything.
//   - A region is part of at most one restart. What fails in tasks that are about to be stopped is no news; a restart of everything takes over
//     those of regions.
//   - Each failure is put before the Strategy of the job once, a recovery that fails included. A permanent failure, one that a restart must
//     meet again, is never followed by a restart.
//   - It is pure: time and randomness are arguments, the Supervisor's driver performs its Actions.
package failover

import (
	"errors"
	"fmt"
	"math"
	"time"
)

// Kind names a restart strategy.
type Kind uint8

const (
	None             Kind = iota // never restart
	FixedDelay                   // a number of restarts, each after the same delay
	FailureRate                  // restart until there were too many failures in an interval
	ExponentialDelay             // restart after delays that grow while failures follow each other closely
)

// Unlimited as a number of attempts: there is no limit.
const Unlimited = math.MaxInt

// Config is a strategy with its values. Of the values those of the kind are used.
type Config struct {
	Kind Kind

	// FixedDelay and ExponentialDelay: how many restarts there are at most. With ExponentialDelay the count begins anew when the
	// delay does.
	Attempts int
	// FixedDelay and FailureRate: time between a failure and the restart.
	Delay time.Duration

	// FailureRate: this many failures within the interval are followed by a restart, one more is not.
	MaxFailures int
	Interval    time.Duration

	// ExponentialDelay: the first delay, the longest, and the factor from each to the next.
	InitialBackoff, MaxBackoff time.Duration
	Multiplier                 float64
	// ResetThreshold: a job that ran this long since its restart begins with the first delay again.
	ResetThreshold time.Duration
	// JitterFactor: the part of the delay, 0 to 1, by which it is made shorter or longer at random.
	JitterFactor float64
}

// Default returns a strategy with the documented default values of its kind.
func Default(kind Kind) Config {
	c := Config{
		Kind: kind, Attempts: 1, Delay: time.Second,
		MaxFailures: 1, Interval: time.Minute,
		InitialBackoff: time.Second, MaxBackoff: time.Minute, Multiplier: 1.5, ResetThreshold: time.Hour, JitterFactor: 0.1,
	}
	if kind == ExponentialDelay {
		c.Attempts = Unlimited
	}
	return c
}

// Validate reports everything that is wrong with the values of the kind.
func (c Config) Validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	switch c.Kind {
	case None:
	case FixedDelay:
		check(c.Attempts >= 0, "restart attempts %d: must not be negative", c.Attempts)
		check(c.Delay >= 0, "restart delay %v: must not be negative", c.Delay)
	case FailureRate:
		check(c.MaxFailures >= 1, "failures per interval %d: must be at least 1", c.MaxFailures)
		check(c.Interval > 0, "failure rate interval %v: must be positive", c.Interval)
		check(c.Delay >= 0, "restart delay %v: must not be negative", c.Delay)
	case ExponentialDelay:
		check(c.InitialBackoff >= time.Millisecond, "initial backoff %v: must be at least 1ms", c.InitialBackoff)
		check(c.MaxBackoff >= c.InitialBackoff, "max backoff %v: must not be less than the initial backoff %v", c.MaxBackoff, c.InitialBackoff)
		check(c.Multiplier > 1, "backoff multiplier %v: must be larger than 1", c.Multiplier)
		check(c.ResetThreshold >= time.Millisecond, "reset backoff threshold %v: must be at least 1ms", c.ResetThreshold)
		check(c.JitterFactor >= 0 && c.JitterFactor <= 1, "jitter factor %v: must be from 0 to 1", c.JitterFactor)
		check(c.Attempts >= 1, "attempts before reset backoff %d: must be at least 1", c.Attempts)
	default:
		check(false, "restart strategy %d: unknown", c.Kind)
	}
	return errors.Join(errs...)
}

// Strategy decides about the restarts of one job. Make one with New. It is used by one goroutine.
type Strategy struct {
	cfg      Config
	attempts int           // FixedDelay: failures; ExponentialDelay: restarts since the delay was reset
	failures []time.Time   // FailureRate: the last ones, at most MaxFailures+1, oldest first
	restart  time.Time     // ExponentialDelay: when the last restart was due; zero before the first
	delay    time.Duration // by which that was put off
	granted  int
}

// New returns a strategy that has seen no failure. It panics if the config is not valid.
func New(cfg Config) *Strategy {
	if err := cfg.Validate(); err != nil {
		panic(fmt.Sprintf("failover: %v", err))
	}
	return &Strategy{cfg: cfg}
}

// Restarts returns how many restarts Decide has granted. Failures during the wait for a restart add none.
func (s *Strategy) Restarts() int { return s.granted }

// Decide reports a failure of the job and returns after which delay to restart it, or that it has failed for good. Random is a random
// number, 0 <= random < 1, that chooses the jitter.
func (s *Strategy) Decide(now time.Time, permanent bool, random float64) (delay time.Duration, restart bool) {
	if permanent {
		return 0, false
	}
	if wait := s.restart.Sub(now); wait >= 0 && wait <= s.delay && !s.restart.IsZero() { // more than the delay: the clock was set back since
		return wait, s.attempts <= s.cfg.Attempts // part of the restart that is already on its way
	}
	switch s.cfg.Kind {
	case FixedDelay:
		delay, restart = s.fixed()
	case FailureRate:
		delay, restart = s.rate(now)
	case ExponentialDelay:
		delay, restart = s.exponential(now, random)
	}
	if restart {
		s.granted++
	}
	return delay, restart
}

func (s *Strategy) fixed() (time.Duration, bool) {
	s.attempts++
	return s.cfg.Delay, s.attempts <= s.cfg.Attempts
}

func (s *Strategy) rate(now time.Time) (time.Duration, bool) {
	s.failures = append(s.failures, now)
	if len(s.failures) <= s.cfg.MaxFailures {
		return s.cfg.Delay, true
	}
	oldest := s.failures[0]
	s.failures = append(s.failures[:0], s.failures[1:]...)
	return s.cfg.Delay, now.Sub(oldest) > s.cfg.Interval
}

func (s *Strategy) exponential(now time.Time, random float64) (time.Duration, bool) {
	if !s.restart.IsZero() && now.Sub(s.restart) >= s.cfg.ResetThreshold {
		s.attempts = 0
	}
	delay := s.cfg.backoff(s.attempts, random)
	s.restart, s.delay = now.Add(delay), delay
	s.attempts++
	return delay, s.attempts <= s.cfg.Attempts
}

// maxBackoffMillis keeps the arithmetic within int64, jitter included.
const maxBackoffMillis = math.MaxInt64 / 4

// backoff returns the delay after a number of restarts, in whole milliseconds.
func (c Config) backoff(attempt int, random float64) time.Duration {
	grown := float64(c.InitialBackoff.Milliseconds()) * math.Pow(c.Multiplier, float64(attempt))
	base := int64(min(grown, maxBackoffMillis))
	spread := int64(float64(base) * c.JitterFactor)
	jitter := int64(random*float64(2*spread+1)) - spread
	millis := max(c.InitialBackoff.Milliseconds(), min(base+jitter, c.MaxBackoff.Milliseconds()))
	return time.Duration(millis) * time.Millisecond
}
