package config

import (
	"errors"
	"math"
	"strings"
	"time"
)

// Strategy says whether and when a failed job starts again.
type Strategy uint8

const (
	NoRestart        Strategy = iota // the first failure is the last
	FixedDelay                       // a number of times, each after the same delay
	FailureRate                      // as long as failures are rare
	ExponentialDelay                 // after a delay that grows from failure to failure
)

var strategies = &enum[Strategy]{names: [][]string{
	{"none", "off", "disable"},
	{"fixed-delay", "fixeddelay"},
	{"failure-rate", "failurerate"},
	{"exponential-delay", "exponentialdelay"},
}, classes: map[string]string{"norestart": "none"}}

// String returns the name that configurations use.
func (s Strategy) String() string { return strategies.name(s) }

// FailoverStrategy says what restarts when a task fails.
type FailoverStrategy uint8

const (
	FailoverRegion FailoverStrategy = iota // the tasks connected with the failed one
	FailoverFull                           // all tasks
)

var failoverStrategies = &enum[FailoverStrategy]{
	names:   [][]string{{"region"}, {"full"}},
	classes: map[string]string{"restartall": "full"},
}

// String returns the name that configurations use.
func (s FailoverStrategy) String() string { return failoverStrategies.name(s) }

const restartPrefix = "restart-strategy."

// The options of the restart after a failure.
var (
	RestartStrategy = enumOption(strategies, spec[Strategy]{
		Key: restartPrefix + "type", Aliases: []string{"restart-strategy"}, Built: true,
		Doc: "Whether and when a job that failed starts again from its latest checkpoint. `off` and `disable` mean `none`. " +
			"Unset: `exponential-delay` with periodic checkpoints, else `none`. A failure that a replay must repeat, such as input that cannot be decoded, is never retried.",
	})

	FixedDelayAttempts = intOption(spec[int]{
		Key: restartPrefix + "fixed-delay.attempts", Default: new(1), Built: true, Check: atLeast(0),
		Doc: "How many failures are followed by a restart. 2147483647: all.",
	})

	FixedDelayDelay = durationOption(spec[time.Duration]{
		Key: restartPrefix + "fixed-delay.delay", Default: new(time.Second), Built: true,
		Doc: "The time from a failure to the restart.",
	})

	FailureRateMax = intOption(spec[int]{
		Key: restartPrefix + "failure-rate.max-failures-per-interval", Default: new(1), Built: true, Check: atLeast(1),
		Doc: "How many failures within the interval are followed by a restart; one more fails the job.",
	})

	FailureRateInterval = durationOption(spec[time.Duration]{
		Key: restartPrefix + "failure-rate.failure-rate-interval", Default: new(time.Minute), Built: true,
		Check: atLeastDuration(time.Millisecond),
		Doc:   "The time over which failures are counted; at least 1 ms.",
	})

	FailureRateDelay = durationOption(spec[time.Duration]{
		Key: restartPrefix + "failure-rate.delay", Default: new(time.Second), Built: true,
		Doc: "The time from a failure to the restart.",
	})

	InitialBackoff = durationOption(spec[time.Duration]{
		Key: restartPrefix + "exponential-delay.initial-backoff", Default: new(time.Second), Built: true,
		Check: atLeastDuration(time.Millisecond),
		Doc:   "The time from the first failure to the restart.",
	})

	MaxBackoff = durationOption(spec[time.Duration]{
		Key: restartPrefix + "exponential-delay.max-backoff", Default: new(time.Minute), Built: true,
		Doc: "The longest time from a failure to the restart; not less than the initial one.",
	})

	BackoffMultiplier = floatOption(spec[float64]{
		Key: restartPrefix + "exponential-delay.backoff-multiplier", Default: new(1.5), Built: true,
		Check: func(v float64) error {
			if v <= 1 {
				return errors.New("too small; it must be more than 1")
			}
			return nil
		},
		Doc: "The factor by which that time grows from failure to failure.",
	})

	ResetBackoffThreshold = durationOption(spec[time.Duration]{
		Key: restartPrefix + "exponential-delay.reset-backoff-threshold", Default: new(time.Hour), Built: true,
		Check: atLeastDuration(time.Millisecond),
		Doc:   "After so long without a failure the time is the initial one again.",
	})

	JitterFactor = floatOption(spec[float64]{
		Key: restartPrefix + "exponential-delay.jitter-factor", Default: new(0.1), Built: true,
		Check: func(v float64) error {
			if v < 0 || v > 1 {
				return errors.New("not between 0 and 1")
			}
			return nil
		},
		Doc: "The part of that time by which it is randomly made longer or shorter; 0 to 1.",
	})

	AttemptsBeforeReset = intOption(spec[int]{
		Key: restartPrefix + "exponential-delay.attempts-before-reset-backoff", Default: new(math.MaxInt32), Built: true,
		Check: atLeast(1),
		Doc:   "How many failures without a reset are followed by a restart; one more fails the job. 2147483647: any number.",
	})

	FailoverStrategyOption = enumOption(failoverStrategies, spec[FailoverStrategy]{
		Key: "jobmanager.execution.failover-strategy", Default: new(FailoverRegion), Built: true,
		Doc: "What restarts when a task fails: `region`, the tasks that it is connected with by streams, while the others go on; or `full`, all tasks. " +
			"A step behind `KeyBy` or `Rebalance` is connected with all subtasks before it, so a region is less than the job only where all streams between tasks keep their subtask.",
	})

	ExceptionHistorySize = intOption(spec[int]{
		Key: "web.exception-history-size", Default: new(16), Built: true, Check: atLeast(0),
		Doc: "How many failures of a job are kept to be shown, and how many others that came along with each.",
	})
)

// Restart is the restart strategy with its parameters. Only those of Strategy have a meaning; the others are at what they
// would be.
type Restart struct {
	Strategy Strategy
	Failover FailoverStrategy
	// HistorySize is how many failures are kept.
	HistorySize int

	FixedDelay struct {
		Attempts int // failures that are followed by a restart; math.MaxInt32: all
		Delay    time.Duration
	}
	FailureRate struct {
		MaxFailures int           // at least 1
		Interval    time.Duration // over which MaxFailures are allowed; at least 1 ms
		Delay       time.Duration
	}
	ExponentialDelay struct {
		Initial        time.Duration // at least 1 ms
		Max            time.Duration // at least Initial
		Multiplier     float64       // more than 1
		ResetThreshold time.Duration // at least 1 ms
		Jitter         float64       // 0 to 1
		Attempts       int           // before a reset; at least 1; math.MaxInt32: any number
	}
}

// Restart returns the restart strategy.
func (c *Config) Restart() Restart {
	var r Restart
	r.Strategy = c.strategy()
	r.Failover = Get(c, FailoverStrategyOption)
	r.HistorySize = Get(c, ExceptionHistorySize)
	r.FixedDelay.Attempts = Get(c, FixedDelayAttempts)
	r.FixedDelay.Delay = Get(c, FixedDelayDelay)
	r.FailureRate.MaxFailures = Get(c, FailureRateMax)
	r.FailureRate.Interval = Get(c, FailureRateInterval)
	r.FailureRate.Delay = Get(c, FailureRateDelay)
	r.ExponentialDelay.Initial = Get(c, InitialBackoff)
	r.ExponentialDelay.Max = Get(c, MaxBackoff)
	r.ExponentialDelay.Multiplier = Get(c, BackoffMultiplier)
	r.ExponentialDelay.ResetThreshold = Get(c, ResetBackoffThreshold)
	r.ExponentialDelay.Jitter = Get(c, JitterFactor)
	r.ExponentialDelay.Attempts = Get(c, AttemptsBeforeReset)
	return r
}

func (c *Config) strategy() Strategy {
	if !IsSet(c, RestartStrategy) && IsSet(c, CheckpointInterval) {
		return ExponentialDelay
	}
	return Get(c, RestartStrategy)
}

// idleRestartSettings notes parameters of a strategy that nobody chose: whoever wrote them believes that they act. When a
// strategy is set, parameters of others are no surprise; a site may keep several.
func (c *Config) idleRestartSettings() []Note {
	if IsSet(c, RestartStrategy) {
		return nil
	}
	inUse := restartPrefix + c.strategy().String() + "."
	var notes []Note
	for _, d := range options() {
		v, ok := c.values[d]
		if !ok || !strings.HasPrefix(d.key, restartPrefix) || strings.HasPrefix(d.key, inUse) {
			continue
		}
		wanted := strings.Split(d.key, ".")[1]
		notes = append(notes, notef("%s (%s) has no effect: the restart strategy is %s because %s is not set; set it to %s",
			v.key, v.origin, c.strategy(), RestartStrategy.key, wanted))
	}
	return notes
}
