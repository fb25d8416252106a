package weir

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/weirstream/weir/backend"
	internal "github.com/weirstream/weir/internal/backend"
	"github.com/weirstream/weir/internal/cluster/config"
	"github.com/weirstream/weir/internal/cluster/jobmaster"
	"github.com/weirstream/weir/internal/cluster/local"
	"github.com/weirstream/weir/internal/cluster/progress"
	"github.com/weirstream/weir/internal/cluster/start"
	"github.com/weirstream/weir/internal/exitcode"
	"github.com/weirstream/weir/internal/graph"
	"github.com/weirstream/weir/internal/runtime/operator"
	"github.com/weirstream/weir/internal/storage/byscheme"
	"github.com/weirstream/weir/internal/storage/fs"
)

// Result is how a run of a job ended.
type Result = jobmaster.Result

// Status is how a run of a job ended, in a word.
type Status = jobmaster.Status

// The ways a run ends.
const (
	// Finished: all input was read and all output committed.
	Finished = jobmaster.Finished
	// AlreadyFinished: an earlier run has done it all; nothing was done.
	AlreadyFinished = jobmaster.AlreadyFinished
	// Canceled: a client has ended the job for good.
	Canceled = jobmaster.Canceled
	// Failed: the job has given up.
	Failed = jobmaster.Failed
	// Suspended: the job was asked to stop. The same command goes on from its checkpoint.
	Suspended = jobmaster.Suspended
	// Aborted: the job was stopped without waiting. The same command goes on from its last complete checkpoint.
	Aborted = jobmaster.Aborted
)

// Execution is a job that runs in this process. Its methods may be called concurrently.
type Execution struct{ e *jobmaster.Execution }

// Wait returns when the job has ended. The error says why it failed; it is nil for every other end.
func (e *Execution) Wait() (Result, error) { return e.e.Wait() }

// Done is closed when the job has ended.
func (e *Execution) Done() <-chan struct{} { return e.e.Done() }

// Cancel ends the job for good. Its checkpoints are kept if the retention says so.
func (e *Execution) Cancel() { e.e.Cancel() }

// Abort ends the job at once and without a checkpoint. It can go on from its last complete one.
func (e *Execution) Abort() { e.e.Abort() }

// Failure is one failure of a job.
type Failure = jobmaster.Failure

// Failures returns the failures of the run, the newest first, and whether there were more than are kept (option
// web.exception-history-size).
func (e *Execution) Failures() (failures []Failure, truncated bool) { return e.e.History() }

// Rescale changes the parallelism of a step, given by its id, and of all that runs in one task with it, while the job runs: it takes a
// checkpoint, stops all tasks, and goes on from there. It returns when all tasks run again, or says why they do so at the old parallelism. If
// ctx is done it returns at once, and the job goes on with what it has begun. The next run of the program has the parallelism that the program
// says.
func (e *Execution) Rescale(ctx context.Context, step string, parallelism int) error {
	return e.e.Rescale(ctx, step, parallelism)
}

// Progress is how a job is doing at one moment, StepProgress what one of its steps has done, and CheckpointProgress what became of its
// checkpoints.
type (
	Progress           = progress.Progress
	StepProgress       = progress.Step
	CheckpointProgress = progress.Checkpoints
)

// Progress returns how the job is doing.
func (e *Execution) Progress() Progress { return e.e.Snapshot() }

// Run runs a job and returns when it has ended. When ctx is cancelled the job takes a checkpoint, commits what belongs to it, and stops: the
// status is Suspended and the next run goes on from there. The error says why the job could not be built or started, or why it failed.
func Run(ctx context.Context, j *Job) (Result, error) {
	e, err := Start(ctx, j)
	if err != nil {
		return Result{}, err
	}
	return e.Wait()
}

// Start begins to run a job and returns when it is clear that it can. The context bounds the run as in Run.
func Start(ctx context.Context, j *Job) (*Execution, error) {
	p, err := prepare(j, config.Environment(os.Environ()))
	if err != nil {
		return nil, usageError{err}
	}
	return p.start(ctx, start.Flags{})
}

// prepared is a job with its settings and its plan, which nothing stands against as far as they can tell.
type prepared struct {
	job    *Job
	config *config.Config
	notes  []config.Note
	plan   *graph.Plan
}

// prepare puts settings together and plans a job, or returns everything that is wrong with either. layers are those beside the job's own.
func prepare(j *Job, layers ...*config.Layer) (*prepared, error) {
	cfg, notes, err := config.Load(append(layers, j.settings)...)
	defaults := graph.Defaults{Parallelism: 1} // any will do to find the mistakes in a graph
	if err == nil {
		p := cfg.Parallelism()
		defaults = graph.Defaults{Parallelism: p.Default, MaxParallelism: p.Max}
	}
	if err == nil {
		_, _, err = findBackend(cfg, nil)
	}
	plan, planErr := j.plan(defaults)
	if err := errors.Join(err, planErr); err != nil {
		return nil, err
	}
	return &prepared{j, cfg, notes, plan}, nil
}

// start starts the job.
func (p *prepared) start(ctx context.Context, flags start.Flags) (*Execution, error) {
	for _, n := range p.notes {
		p.job.logger.Warn(string(n))
	}
	for _, w := range p.job.warnings {
		p.job.logger.Warn(w)
	}
	options := p.options(flags)
	if err := p.openBackend(&options); err != nil {
		return nil, usageError{err}
	}
	e, err := local.Start(ctx, options)
	if err != nil {
		return nil, err
	}
	return &Execution{e}, nil
}

// findBackend returns how the state backend that a configuration names is made, nil for the heap, and logs what there is to say about its name.
func findBackend(c *config.Config, log *slog.Logger) (name string, open backend.New, err error) {
	written := c.Backend().Type
	name, note := internal.Canonical(written)
	if note != "" && log != nil {
		log.Info(note)
	}
	if open, err = internal.Find(name); err != nil {
		err = fmt.Errorf("state.backend.type = %s: %w", written, err)
	}
	return name, open, err
}

// openBackend makes the state backend that the configuration names, nothing for the heap.
func (p *prepared) openBackend(o *local.Options) error {
	c := p.config.Backend()
	name, open, err := findBackend(p.config, p.job.logger)
	if err != nil || open == nil {
		return err
	}
	factory, err := open(backend.Job{Name: p.job.name, Settings: p.config.BackendSettings(name), Logger: p.job.logger, Now: o.Now})
	if err != nil {
		return fmt.Errorf("state.backend.type = %s: %w", c.Type, err)
	}
	o.Backend = &operator.Backend{Name: name, Factory: factory, Cache: c.Cache, Threads: c.Threads}
	return nil
}

func (p *prepared) options(flags start.Flags) local.Options {
	return local.Options{
		Name: p.job.name, Plan: p.plan, Config: p.config, Flags: flags, Logger: p.job.logger, FS: byscheme.New(fs.Local{}, p.config.Storage()), Now: time.Now,
		Labels: p.job.labels,
	}
}

// usageError is what the user must mend before the job can run.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// exitCode returns the exit status for how a run ended.
func exitCode(r Result, err error) exitcode.Code {
	var refused *start.Error
	var taken *jobmaster.TakenOverError
	var usage usageError
	switch {
	case errors.As(err, &taken):
		return exitcode.Held
	case errors.As(err, &refused):
		return refused.Code
	case errors.As(err, &usage):
		return exitcode.Usage
	case err != nil || r.Status == Failed:
		return exitcode.Failed
	}
	switch r.Status {
	case Suspended:
		return exitcode.Stopped
	case Aborted:
		return exitcode.Aborted
	}
	return exitcode.Finished
}
