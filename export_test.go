package weir

import (
	"context"
	"time"

	"github.com/weirstream/weir/internal/cluster/config"
	"github.com/weirstream/weir/internal/cluster/jobmaster"
	"github.com/weirstream/weir/internal/cluster/local"
	"github.com/weirstream/weir/internal/cluster/start"
	"github.com/weirstream/weir/internal/door"
	"github.com/weirstream/weir/internal/graph"
	_ "github.com/weirstream/weir/state/pebble" // for the tests that run on it
	"github.com/weirstream/weir/storage"
)

// StartOn starts a job on a file system of the test's.
func StartOn(ctx context.Context, j *Job, fs storage.FS, flags start.Flags) (*Execution, error) {
	e, err := startOn(ctx, j, door.Runtime{FS: fs, Now: time.Now, Flags: flags})
	if err != nil {
		return nil, err
	}
	return &Execution{e}, nil
}

// StartSimulated starts a job that a scheduler runs.
func StartSimulated(ctx context.Context, j *Job, fs storage.FS, s local.Scheduler, now func() time.Time) (*Execution, error) {
	e, err := startOn(ctx, j, door.Runtime{FS: fs, Now: now, Scheduler: s})
	if err != nil {
		return nil, err
	}
	return &Execution{e}, nil
}

// RescaleThen is like Execution.Rescale for a job that a scheduler runs.
func (e *Execution) RescaleThen(step string, parallelism int, then func(error)) {
	e.e.RescaleThen(step, parallelism, then)
}

// PlanOn says what StartOn would do.
func PlanOn(ctx context.Context, j *Job, fs storage.FS, flags start.Flags) (start.Preview, error) {
	cfg, _, err := config.Load(j.settings)
	if err != nil {
		return start.Preview{}, err
	}
	p := cfg.Parallelism()
	plan, err := j.plan(graph.Defaults{Parallelism: p.Default, MaxParallelism: p.Max})
	if err != nil {
		return start.Preview{}, err
	}
	return local.PlanStart(ctx, local.Options{Name: j.name, Plan: plan, Config: cfg, Flags: flags, Logger: j.logger, FS: fs, Now: time.Now})
}

// Ask asks a job for a snapshot and returns at once.
func Ask(e *Execution, r jobmaster.Request, answer func(jobmaster.SnapshotInfo, error)) {
	e.e.Ask(r, answer)
}
