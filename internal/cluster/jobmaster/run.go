package jobmaster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"time"

	"github.com/weirstream/weir/internal/cluster/config"
	"github.com/weirstream/weir/internal/cluster/view"
	"github.com/weirstream/weir/internal/exitcode"
	"github.com/weirstream/weir/internal/graph"
	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/protocol/failover"
	"github.com/weirstream/weir/internal/protocol/line"
	"github.com/weirstream/weir/storage"
)

// Flags are what a user asks for at a start.
type Flags struct {
	Fresh            bool
	Rewind           bool
	Withdraw         bool
	AcceptDuplicates bool
	// DropUncommitted names sinks that the job no longer has, whose prepared output may be lost: see assign.Options.
	DropUncommitted []string
}

// Options say which job to run and how.
type Options struct {
	Name   string
	Plan   *graph.Plan
	Config *config.Config
	Flags  Flags
	Logger *slog.Logger
	// FS is where checkpoints go.
	FS storage.FS
	// Now is the wall clock.
	Now func() time.Time
	// Labels say what is to be remembered with a failure.
	Labels []func(error) map[string]string
	// Scheduler makes everything beside the tasks happen in an order of its choice; nil outside of tests.
	Scheduler Scheduler
}

// Status is how a run ended.
type Status string

// The ways a run ends.
const (
	Finished        Status = "FINISHED"
	AlreadyFinished Status = "ALREADY FINISHED"
	Canceled        Status = "CANCELED"
	Failed          Status = "FAILED"
	Suspended       Status = "SUSPENDED"
	Aborted         Status = "ABORTED"
)

// Result is how a run ended.
type Result struct {
	Status     Status
	Job        job.ID
	Checkpoint string // the path of the newest checkpoint that was kept, for -s; empty if there is none
	Savepoint  string // for -s: the path of the savepoint that the job has stopped with, or was cancelled after; empty if there is none
	Text       string // for the user, if there is something to say beyond the status
}

// StartError says why a job did not start. Nothing was changed.
type StartError struct {
	Code exitcode.Code
	Text string
}

// Error returns the text.
func (e *StartError) Error() string { return e.Text }

// TakenOverError ends a run whose job another process has started since, on a store that has no locks. What this run had not committed by then is
// not committed by it.
type TakenOverError struct{ Err error }

// Error says by whom.
func (e *TakenOverError) Error() string {
	return fmt.Sprintf("%v: this run has ended and commits nothing more. If that was not meant, stop one of the two, or give it another checkpoint directory and output", e.Err)
}

// Unwrap returns what the line's record has shown.
func (e *TakenOverError) Unwrap() error { return e.Err }

func refuse(code exitcode.Code, format string, args ...any) error {
	return &StartError{code, fmt.Sprintf(format, args...)}
}

// Execution is a job that runs.
type Execution struct {
	master   *master // nil if there was nothing left to do
	progress *progress
	id       job.ID
	options  Options
	done     chan struct{}
	result   Result
	err      error
}

// Start begins a job whose tasks are run by tasks, which it closes in the end, or says why the job does not begin. The context bounds the run:
// when it is cancelled the job takes a checkpoint and stops, resumable.
func Start(ctx context.Context, o Options, tasks TaskManager) (*Execution, error) {
	progress := newProgress(o.Plan)
	progress.became(view.JobInitializing, o.Now())
	s := &start{Options: o, checkpoints: o.Config.Checkpointing(), queue: newQueue()}
	b, err := s.begin(ctx)
	if err != nil {
		s.giveUp()
		tasks.Close()
		return nil, s.unlessStopped(ctx, err)
	}
	e := &Execution{progress: progress, id: b.job, options: o, done: make(chan struct{})}
	if b.finished {
		s.release()
		tasks.Close()
		progress.finishedBefore(o.Now())
		e.result = Result{Status: AlreadyFinished, Job: b.job, Text: b.text}
		close(e.done)
		return e, nil
	}
	e.master = newMaster(s, b, tasks, progress)
	e.run(ctx, s.release)
	return e, nil
}

// run lets the master handle what happens until the job has ended, on a goroutine or when the scheduler says so, and then gives the line free.
func (e *Execution) run(ctx context.Context, release func()) {
	end := func(result Result, err error) {
		e.result, e.err = result, err
		e.master.taskManager.Close()
		release()
		close(e.done)
	}
	if e.options.Scheduler == nil {
		go func() { end(e.master.run(ctx)) }()
		return
	}
	e.options.Scheduler.Master(func() (worked, ended bool) {
		if worked, ended = e.master.step(ctx); ended {
			end(e.master.close())
		}
		return worked, ended
	})
}

// unlessStopped returns why a start failed. If that was told to stop, nothing stands against the next one, whatever the interrupted
// operation says.
func (s *start) unlessStopped(ctx context.Context, err error) error {
	var refused *StartError
	if ctx.Err() == nil || errors.As(err, &refused) && refused.Code != exitcode.Refused {
		return err
	}
	return refuse(exitcode.Stopped, "job %q was stopped before it began; the same command starts it again (%v)", s.Name, err)
}

// Wait returns when the job has ended. The error says why it failed.
func (e *Execution) Wait() (Result, error) {
	<-e.done
	return e.result, e.err
}

// Done is closed when the job has ended.
func (e *Execution) Done() <-chan struct{} { return e.done }

// Cancel ends the job for good. Its checkpoints are kept if the retention says so.
func (e *Execution) Cancel() { e.post(func(m *master) { m.cancel() }) }

// Abort ends the job at once, without a checkpoint. It goes on from the last complete one.
func (e *Execution) Abort() { e.post(func(m *master) { m.abort() }) }

func (e *Execution) post(f func(m *master)) {
	if e.master != nil {
		e.master.post(func() { f(e.master) })
	}
}

// Snapshot returns how the job is doing.
func (e *Execution) Snapshot() Progress {
	if e.master == nil {
		return Progress{}
	}
	return e.progress.snapshot()
}

// strategyOf returns the restart strategy of a configuration.
func strategyOf(r config.Restart) failover.Config {
	unlimited := func(n int) int {
		if n == math.MaxInt32 {
			return failover.Unlimited
		}
		return n
	}
	switch r.Strategy {
	case config.FixedDelay:
		return failover.Config{Kind: failover.FixedDelay, Attempts: unlimited(r.FixedDelay.Attempts), Delay: r.FixedDelay.Delay}
	case config.FailureRate:
		f := r.FailureRate
		return failover.Config{Kind: failover.FailureRate, MaxFailures: f.MaxFailures, Interval: f.Interval, Delay: f.Delay}
	case config.ExponentialDelay:
		e := r.ExponentialDelay
		return failover.Config{
			Kind: failover.ExponentialDelay, Attempts: unlimited(e.Attempts), InitialBackoff: e.Initial, MaxBackoff: e.Max,
			Multiplier: e.Multiplier, ResetThreshold: e.ResetThreshold, JitterFactor: e.Jitter,
		}
	}
	return failover.Config{Kind: failover.None}
}

// locations returns where the sources and the sinks of a plan read and write, by name.
func locations(p *graph.Plan) (sources, sinks map[string]string) {
	sources, sinks = map[string]string{}, map[string]string{}
	for _, v := range p.Vertices {
		for _, n := range v.Nodes {
			switch {
			case n.Location == "":
			case n.Kind == graph.Source:
				sources[n.Name] = n.Location
			case n.Kind == graph.Sink:
				sinks[n.Name] = n.Location
			}
		}
	}
	return sources, sinks
}

// endOf returns what the line remembers of an end.
func endOf(s Status, now time.Time, kept bool, cause error, latest job.CheckpointID) line.End {
	e := line.End{At: now, Kept: kept, Completed: latest, State: line.State(s)}
	if cause != nil {
		e.Reason, _, _ = strings.Cut(cause.Error(), "\n") // the log has the rest
	}
	return e
}
