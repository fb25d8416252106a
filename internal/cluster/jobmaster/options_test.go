package jobmaster

import (
	"testing"
	"time"

	"github.com/weirstream/weir/internal/cluster/config"
	"github.com/weirstream/weir/internal/protocol/failover"
)

// TestRestartOptions shows that each option of a restart strategy reaches it. What the strategies do with them is shown by their scripts.
func TestRestartOptions(t *testing.T) {
	const prefix = "restart-strategy."
	type set = map[string]string
	for _, c := range []struct {
		set  set
		want failover.Config
	}{
		{set{"type": "none", "fixed-delay.attempts": "5"}, failover.Config{Kind: failover.None}},
		{set{"type": "fixed-delay", "fixed-delay.attempts": "5", "fixed-delay.delay": "7 s"},
			failover.Config{Kind: failover.FixedDelay, Attempts: 5, Delay: 7 * time.Second}},
		{set{"type": "fixed-delay", "fixed-delay.attempts": "2147483647"}, failover.Config{Kind: failover.FixedDelay, Attempts: failover.Unlimited, Delay: time.Second}},
		{set{"type": "failure-rate", "failure-rate.max-failures-per-interval": "4", "failure-rate.failure-rate-interval": "9 s", "failure-rate.delay": "3 s"},
			failover.Config{Kind: failover.FailureRate, MaxFailures: 4, Interval: 9 * time.Second, Delay: 3 * time.Second}},
		{set{
			"type": "exponential-delay", "exponential-delay.initial-backoff": "2 s", "exponential-delay.max-backoff": "8 s",
			"exponential-delay.backoff-multiplier": "3", "exponential-delay.reset-backoff-threshold": "11 s", "exponential-delay.jitter-factor": "0.5",
			"exponential-delay.attempts-before-reset-backoff": "6",
		}, failover.Config{
			Kind: failover.ExponentialDelay, Attempts: 6, InitialBackoff: 2 * time.Second, MaxBackoff: 8 * time.Second, Multiplier: 3,
			ResetThreshold: 11 * time.Second, JitterFactor: 0.5,
		}},
	} {
		l := config.Code()
		for k, v := range c.set {
			l.Set(prefix+k, v, "test")
		}
		cfg, _, err := config.Load(l)
		if err != nil {
			t.Fatal(err)
		}
		if got := strategyOf(cfg.Restart()); got != c.want {
			t.Errorf("%v: %+v, want %+v", c.set, got, c.want)
		}
	}
}
