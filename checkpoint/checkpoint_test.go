package checkpoint_test

import (
	"strings"
	"testing"
	"time"

	"github.com/weirstream/weir/checkpoint"
	"github.com/weirstream/weir/internal/cluster/config"
)

func load(options ...checkpoint.Option) (*config.Config, error) {
	code := config.Code()
	for _, o := range options {
		o(code)
	}
	cfg, _, err := config.Load(code)
	return cfg, err
}

// Every function of the package arrives where the runtime reads it.
func TestOptions(t *testing.T) {
	cfg, err := load(
		checkpoint.Every(10*time.Second), checkpoint.Dir("/var/pricing"), checkpoint.SavepointDir("file:///var/sp"), checkpoint.Retain(3),
		checkpoint.Timeout(90*time.Second), checkpoint.MinPause(1500*time.Microsecond), checkpoint.AtLeastOnce(),
		checkpoint.TolerateFailures(2), checkpoint.KeepOnFailure(), checkpoint.KeepOnCancel(),
		checkpoint.Storage(checkpoint.JobManager), checkpoint.MaxStateSize(64<<20),
		checkpoint.Set("execution.checkpointing.data-inline-threshold", "40 kb"),
	)
	if err != nil {
		t.Fatal(err)
	}
	want := config.Checkpointing{
		Interval: 10 * time.Second, MinPause: 1500 * time.Microsecond, Timeout: 90 * time.Second, Mode: config.AtLeastOnce,
		MaxConcurrent: 1, AfterTasksFinish: true, Tolerable: 2, NumRetained: 3, Retention: config.RetainOnCancellation, ParallelCleaning: true, History: 10,
		Storage: config.JobManagerStorage, Dir: "/var/pricing", SavepointDir: "/var/sp", InlineThreshold: 40 << 10, WriteBuffer: 40 << 10, MaxStateSize: 64 << 20,
		Retries: config.Retries{Most: 3, Backoff: 100 * time.Millisecond, Longest: 5 * time.Second, Memory: 8 << 20},
		Merging: config.Merging{MaxFileSize: 32 << 20, MaxSubtasks: 4, MaxSpaceAmplification: 2},
	}
	if got := cfg.Checkpointing(); got != want {
		t.Errorf("Checkpointing = %+v\nwant %+v", got, want)
	}
	if got := config.Origin(cfg, config.CheckpointInterval); got != "code (checkpoint.Every)" {
		t.Errorf("origin %q", got)
	}
}

// What does not go with the test above: several at once, and no pause; the interval during a backlog.
func TestMoreOptions(t *testing.T) {
	cfg, err := load(checkpoint.Every(time.Second), checkpoint.MaxConcurrent(3), checkpoint.AfterTasksFinish(false), checkpoint.IntervalDuringBacklog(0))
	if err != nil {
		t.Fatal(err)
	}
	c := cfg.Checkpointing()
	if c.MaxConcurrent != 3 || c.AfterTasksFinish || c.DuringBacklog == nil || *c.DuringBacklog != 0 {
		t.Errorf("Checkpointing = %+v", c)
	}
	_, err = load(checkpoint.Every(time.Second), checkpoint.MaxConcurrent(3), checkpoint.MinPause(time.Second), checkpoint.IntervalDuringBacklog(time.Millisecond))
	if err == nil {
		t.Fatal("no error")
	}
	for _, key := range []string{"max-concurrent-checkpoints", "min-pause", "interval-during-backlog", "interval ="} {
		if !strings.Contains(err.Error(), "execution.checkpointing."+key) {
			t.Errorf("the error does not name %s:\n%v", key, err)
		}
	}
}

// The later option wins.
func TestLaterWins(t *testing.T) {
	cfg, err := load(checkpoint.AtLeastOnce(), checkpoint.Storage(checkpoint.Filesystem), checkpoint.Dir("a"),
		checkpoint.ExactlyOnce(), checkpoint.KeepOnCancel(), checkpoint.KeepOnFailure(), checkpoint.Dir("b"))
	if err != nil {
		t.Fatal(err)
	}
	c := cfg.Checkpointing()
	if c.Mode != config.ExactlyOnce || c.Retention != config.DeleteOnCancellation || c.Storage != config.FilesystemStorage || c.Dir != "b" {
		t.Errorf("Checkpointing = %+v", c)
	}
}

// What cannot be is an error that names the function, all of them at once.
func TestMistakes(t *testing.T) {
	_, err := load(checkpoint.Every(time.Millisecond), checkpoint.Timeout(-time.Second), checkpoint.Retain(0),
		checkpoint.Storage(7), checkpoint.MaxStateSize(0), checkpoint.Dir(""), checkpoint.Set("no.such.key", "1"))
	if err == nil {
		t.Fatal("no error")
	}
	for _, by := range []string{"Every", "Timeout", "Retain", "Storage", "MaxStateSize", "Dir", "Set"} {
		if !strings.Contains(err.Error(), "code (checkpoint."+by+")") {
			t.Errorf("the error does not name checkpoint.%s:\n%v", by, err)
		}
	}
}
