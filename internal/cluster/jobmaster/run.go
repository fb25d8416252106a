package jobmaster

import (
	"context"
	"math"

	"github.com/weirstream/weir/internal/cluster/config"
	"github.com/weirstream/weir/internal/cluster/enumerators"
	"github.com/weirstream/weir/internal/cluster/progress"
	"github.com/weirstream/weir/internal/cluster/start"
	"github.com/weirstream/weir/internal/cluster/view"
	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/protocol/failover"
)

// Options say which job to run and how.
type Options struct {
	start.Options
	// Labels say what is to be remembered with a failure.
	Labels []func(error) map[string]string
	// Scheduler makes everything beside the tasks happen in an order of its choice; nil outside of tests. It is the World of the start, too.
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

// Execution is a job that runs.
type Execution struct {
	master   *master // nil if there was nothing left to do
	progress *progress.Tracker
	id       job.ID
	options  Options
	done     chan struct{}
	result   Result
	err      error
}

// Start begins a job whose tasks are run by tasks, which it closes in the end, or says why the job does not begin: see start.Begin. The context
// bounds the run: when it is cancelled the job takes a checkpoint and stops, resumable.
func Start(ctx context.Context, o Options, tasks TaskManager) (*Execution, error) {
	if o.Scheduler != nil {
		o.World = o.Scheduler
	}
	tracker := progress.New(o.Plan)
	tracker.Became(view.JobInitializing, o.Now())
	queue := newQueue()
	news := enumerators.Env{Logger: o.Logger, Post: queue.add, News: new(enumerators.News)}
	b, err := start.Begin(ctx, o.Options, news)
	if err != nil {
		tasks.Close()
		return nil, err
	}
	e := &Execution{progress: tracker, id: b.Job, options: o, done: make(chan struct{})}
	if b.Finished {
		b.Release()
		tasks.Close()
		tracker.FinishedBefore(o.Now())
		e.result = Result{Status: AlreadyFinished, Job: b.Job, Text: b.Text}
		close(e.done)
		return e, nil
	}
	e.master = newMaster(o, b, tasks, queue, tracker)
	*news.News = enumerators.News{Changed: e.master.changed, Backlog: e.master.backlog}
	e.run(ctx, b.Release)
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
func (e *Execution) Snapshot() progress.Progress {
	if e.master == nil {
		return progress.Progress{}
	}
	return e.progress.Progress()
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
