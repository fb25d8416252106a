package config

import (
	"maps"
	"math"
	"testing"
	"time"
)

func load(t *testing.T, args ...string) *Config {
	t.Helper()
	l := Operator()
	for _, arg := range args {
		l.Define(arg)
	}
	cfg, notes, err := Load(l)
	if err != nil || len(notes) > 0 {
		t.Fatalf("Load: %v, notes %q", err, notes)
	}
	return cfg
}

// The views of an empty configuration are the documented defaults.
func TestDefaultViews(t *testing.T) {
	cfg := load(t)
	want := Checkpointing{
		Timeout: 10 * time.Minute, Mode: ExactlyOnce, MaxConcurrent: 1, AfterTasksFinish: true, NumRetained: 1, Retention: NoExternalized,
		ParallelCleaning: true, History: 10, Storage: JobManagerStorage, InlineThreshold: 20 << 10, WriteBuffer: 20 << 10, MaxStateSize: 5 << 20,
		Retries: Retries{Most: 3, Backoff: 100 * time.Millisecond, Longest: 5 * time.Second, Memory: 8 << 20},
		Merging: Merging{MaxFileSize: 32 << 20, MaxSubtasks: 4, MaxSpaceAmplification: 2},
	}
	if got := cfg.Checkpointing(); got != want {
		t.Errorf("Checkpointing = %+v", got)
	}
	if got := cfg.Recovery(); got != (Recovery{}) {
		t.Errorf("Recovery = %+v", got)
	}
	if got := cfg.Parallelism(); got != (Parallelism{Default: 1}) {
		t.Errorf("Parallelism = %+v", got)
	}
	restart := Restart{HistorySize: 16}
	restart.FixedDelay.Attempts, restart.FixedDelay.Delay = 1, time.Second
	restart.FailureRate.MaxFailures, restart.FailureRate.Interval, restart.FailureRate.Delay = 1, time.Minute, time.Second
	e := &restart.ExponentialDelay
	e.Initial, e.Max, e.Multiplier, e.ResetThreshold, e.Jitter, e.Attempts = time.Second, time.Minute, 1.5, time.Hour, 0.1, math.MaxInt32
	if got := cfg.Restart(); got != restart {
		t.Errorf("Restart = %+v", got)
	}
}

// What a view derives from several options.
func TestDerivedViews(t *testing.T) {
	c := load(t,
		"execution.checkpointing.dir=file:///var/checkpoints",
		"execution.checkpointing.min-pause=400 d",
		"execution.checkpointing.write-buffer-size=100",
		"execution.checkpointing.data-inline-threshold=200",
	).Checkpointing()
	if c.Storage != FilesystemStorage || c.Dir != "/var/checkpoints" {
		t.Errorf("storage %v in %q", c.Storage, c.Dir)
	}
	if c.MinPause != 365*24*time.Hour || c.WriteBuffer != 200 || c.InlineThreshold != 200 {
		t.Errorf("pause %v, buffer %d, threshold %d", c.MinPause, c.WriteBuffer, c.InlineThreshold)
	}
	if got := load(t, "execution.state-recovery.path=file:/a/chk-7").Recovery().Path; got != "/a/chk-7" {
		t.Errorf("recovery path %q", got)
	}
	if got := load(t, "pipeline.max-parallelism=128", "parallelism.default=4").Parallelism(); got != (Parallelism{4, 128}) {
		t.Errorf("Parallelism = %+v", got)
	}
}

// What a state backend is told: its own settings in plain numbers, those of one that the program registers as they were written.
func TestBackendSettings(t *testing.T) {
	c := load(t, "state.backend.type=pebble", "state.backend.pebble.localdir=/data", "state.backend.pebble.memory.fixed-per-tm=64 mb", "state.backend.cache-size=1 mb")
	want := map[string]string{"localdir": "/data", "memory.fixed-per-tm": "67108864"}
	if got := c.BackendSettings("pebble"); !maps.Equal(got, want) || c.Backend() != (Backend{"pebble", 1 << 20, 4}) {
		t.Errorf("%v, %+v", got, c.Backend())
	}
	c = load(t, "state.backend.type=mine", "state.backend.mine.where=there", "state.backend.mine.a.b=1 kb")
	want = map[string]string{"where": "there", "a.b": "1 kb"}
	if got := c.BackendSettings("mine"); !maps.Equal(got, want) {
		t.Errorf("%v", got)
	}
	l := Operator()
	l.Define("state.backend.other.where=there")
	if _, _, err := Load(l); err == nil {
		t.Error("a setting of a backend that the job does not use was accepted")
	}
}
