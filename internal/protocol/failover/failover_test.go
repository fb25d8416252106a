package failover

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/weirstream/weir/internal/script"
)

// TestScripts plays testdata: failures of a job at points in time, and what the strategy decides. "fail 5s" is a failure 5 s after the
// beginning; a second word is the random number for the jitter (0.5: none), or "permanent".
func TestScripts(t *testing.T) {
	script.Run(t, "testdata/*.txt", func() script.Player { return (&player{}).play })
}

type player struct{ s *Strategy }

var epoch = time.UnixMilli(0)

func (p *player) play(t *testing.T, words []string) []string {
	kinds := map[string]Kind{"none": None, "fixed-delay": FixedDelay, "failure-rate": FailureRate, "exponential-delay": ExponentialDelay}
	if kind, ok := kinds[words[0]]; ok {
		cfg := Default(kind)
		for _, w := range words[1:] {
			set(t, &cfg, w)
		}
		if err := cfg.Validate(); err != nil {
			return strings.Split(err.Error(), "\n")
		}
		p.s = New(cfg)
		return nil
	}
	if words[0] != "fail" {
		t.Fatalf("unknown command %q", words)
	}
	random, permanent := 0.5, false
	if len(words) > 2 {
		if permanent = words[2] == "permanent"; !permanent {
			random = number(t, words[2])
		}
	}
	delay, restart := p.s.Decide(epoch.Add(duration(t, words[1])), permanent, random)
	if !restart {
		return []string{fmt.Sprintf("failed for good after %d restarts", p.s.Restarts())}
	}
	return []string{fmt.Sprintf("restart %d after %v", p.s.Restarts(), delay)}
}

func set(t *testing.T, c *Config, word string) {
	key, value, _ := strings.Cut(word, "=")
	switch key {
	case "attempts":
		c.Attempts = int(number(t, value))
	case "delay":
		c.Delay = duration(t, value)
	case "max":
		c.MaxFailures = int(number(t, value))
	case "interval":
		c.Interval = duration(t, value)
	case "initial-backoff":
		c.InitialBackoff = duration(t, value)
	case "max-backoff":
		c.MaxBackoff = duration(t, value)
	case "multiplier":
		c.Multiplier = number(t, value)
	case "reset":
		c.ResetThreshold = duration(t, value)
	case "jitter":
		c.JitterFactor = number(t, value)
	default:
		t.Fatalf("unknown value %q", word)
	}
}

func number(t *testing.T, s string) float64 {
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func duration(t *testing.T, s string) time.Duration {
	d, err := time.ParseDuration(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestBackoffBounds shows that every delay lies between the initial and the longest, for any attempt and any random number, and that
// jitter stays within its part of the delay.
func TestBackoffBounds(t *testing.T) {
	c := Default(ExponentialDelay)
	for attempt := range 5000 {
		for _, random := range []float64{0, 0.25, 0.5, 0.999999999} {
			got := c.backoff(attempt, random)
			if got < c.InitialBackoff || got > c.MaxBackoff {
				t.Fatalf("attempt %d, random %v: %v", attempt, random, got)
			}
			plain := min(float64(c.InitialBackoff)*math.Pow(c.Multiplier, float64(attempt)), 2*float64(c.MaxBackoff))
			if low := min(plain*0.9-float64(time.Millisecond), float64(c.MaxBackoff)); float64(got) < low {
				t.Fatalf("attempt %d, random %v: %v is less than %v", attempt, random, got, time.Duration(low))
			}
		}
	}
}
