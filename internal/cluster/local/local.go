package local

import (
	"context"
	"log/slog"
	"time"

	"github.com/weirstream/weir/internal/cluster/config"
	"github.com/weirstream/weir/internal/cluster/jobmaster"
	"github.com/weirstream/weir/internal/cluster/start"
	"github.com/weirstream/weir/internal/graph"
	"github.com/weirstream/weir/internal/runtime/operator"
	"github.com/weirstream/weir/storage"
)

// Options say which job to run and how.
type Options struct {
	Name   string
	Plan   *graph.Plan
	Config *config.Config
	Flags  start.Flags
	Logger *slog.Logger
	// FS is where checkpoints go.
	FS storage.FS
	// Now is the wall clock.
	Now func() time.Time
	// Backend is where keyed state lies, nil for the heap. It is closed when the job has ended, or has not begun.
	Backend *operator.Backend
	// Labels say what is to be remembered with a failure.
	Labels []func(error) map[string]string
	// Scheduler makes everything happen in an order of its choice; nil outside of tests.
	Scheduler Scheduler
}

// master returns what the master has to know.
func (o *Options) master() jobmaster.Options {
	return jobmaster.Options{
		Options: start.Options{Name: o.Name, Plan: o.Plan, Config: o.Config, Flags: o.Flags, Logger: o.Logger, FS: o.FS, Now: o.Now},
		Labels:  o.Labels, Scheduler: o.Scheduler,
	}
}

// Start begins a job, or says why it does not. The context bounds the run: when it is cancelled the job takes a checkpoint and stops,
// resumable.
func Start(ctx context.Context, o Options) (*jobmaster.Execution, error) {
	return jobmaster.Start(ctx, o.master(), newTaskManager(o))
}

// PlanStart says what Start would do, and does nothing: see start.Plan. The backend is not looked at, and stays open.
func PlanStart(ctx context.Context, o Options) (start.Preview, error) {
	return start.Plan(ctx, o.master().Options)
}
