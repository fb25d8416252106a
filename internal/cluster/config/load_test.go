package config

import (
	"testing"
	"time"
)

// A layer of a higher rank wins whatever the order of the arguments, and an option remembers who set it.
func TestPrecedence(t *testing.T) {
	site := ParseFile("config.yaml", []byte("execution:\n  checkpointing.interval: 1 s\n  checkpointing: {timeout: 1 min, min-pause: 5}\n"))
	code := Code()
	Put(code, CheckpointInterval, 2*time.Second, "code (checkpoint.Every)")
	Put(code, CheckpointTimeout, 2*time.Minute, "code (checkpoint.Timeout)")
	env := Environment([]string{"HOME=/root", "WEIR_EXECUTION_CHECKPOINTING_INTERVAL=3 s"})
	operator := Operator()
	operator.Define("execution.checkpointing.interval=4s")

	cfg, notes, err := Load(operator, env, code, site)
	if err != nil || len(notes) > 0 {
		t.Fatalf("Load: %v, notes %q", err, notes)
	}
	check := func(o *Option[time.Duration], want time.Duration, origin string) {
		t.Helper()
		if got := Get(cfg, o); got != want || Origin(cfg, o) != origin {
			t.Errorf("%s = %v from %s, want %v from %s", o.Key(), got, Origin(cfg, o), want, origin)
		}
	}
	check(CheckpointInterval, 4*time.Second, "-D")
	check(CheckpointTimeout, 2*time.Minute, "code (checkpoint.Timeout)")
	check(CheckpointMinPause, 5*time.Millisecond, "config.yaml line 3")
	check(InitialBackoff, time.Second, "default")
	if IsSet(cfg, InitialBackoff) || !IsSet(cfg, CheckpointMinPause) {
		t.Error("IsSet does not tell a default from what was set")
	}
}
