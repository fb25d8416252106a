package task

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"time"

	"github.com/weirstream/weir/internal/element"
	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/protocol/barrier"
	"github.com/weirstream/weir/internal/protocol/reason"
	"github.com/weirstream/weir/internal/protocol/snapshot"
	"github.com/weirstream/weir/internal/runtime/exchange"
	"github.com/weirstream/weir/internal/runtime/operator"
	"github.com/weirstream/weir/source"
)

// Master is what a task reports to. Its methods return at once and may be called by any goroutine.
type Master interface {
	// Running says that the operators are open and records may flow.
	Running(a job.Attempt)
	// Acknowledge brings the task's part of a checkpoint.
	Acknowledge(a job.Attempt, id job.CheckpointID, state *snapshot.Task, m Metrics)
	// Decline says that the task will not bring its part.
	Decline(a job.Attempt, id job.CheckpointID, why reason.Reason, err error)
	// Measured says what the task has measured of a checkpoint whose snapshot it took, and whose part it will not bring: it declines, or the
	// checkpoint was given up meanwhile.
	Measured(a job.Attempt, id job.CheckpointID, m Metrics)
	// Completed says that everything that follows from a complete checkpoint has been done here, commits included.
	Completed(a job.Attempt, id job.CheckpointID)
	// Uncommitted says, before Ended, that a sink has finished with output that nobody will commit.
	Uncommitted(a job.Attempt, sink job.OperatorID)
	// EndOfData says that the operators have seen all data.
	EndOfData(a job.Attempt)
	// Ended says that the task will do nothing more: err is nil if it finished.
	Ended(a job.Attempt, err error)
	// RequestSplit asks the enumerator of a source for a split.
	RequestSplit(a job.Attempt, source job.OperatorID)
}

// Metrics says how one checkpoint went in one subtask.
type Metrics struct {
	StartDelay time.Duration // from the trigger to the first barrier
	Alignment  time.Duration // from the first barrier to the last
	Sync       time.Duration // capturing the state, in a step
	Async      time.Duration // writing it, beside the task
	Bytes      int64         // that the snapshot holds
}

// Config is what a task is made of.
type Config struct {
	Attempt job.Attempt
	Name    string // for messages
	Logger  *slog.Logger
	Mode    barrier.Mode
	Master  Master
	Now     func() time.Time
	Parker  *Parker
	// Beside runs work beside the task; nil means on a goroutine of its own.
	Beside func(work func())

	// Gate and Head are set for a task with inputs, Source for one without.
	Gate   *exchange.Gate
	Head   operator.Head
	Source operator.Source
	// Operators of the chain, each before those it pushes to. Source is the first of them.
	Operators []operator.Operator
	Outputs   []operator.Output

	// Streams opens the place where the task's part of a checkpoint goes.
	Streams func(id job.CheckpointID) operator.Streams
	// Checkpointed tells that the job keeps to checkpoints: the task waits for one of its end before it finishes. Without it, a task does so
	// that was restored, or has taken part in a checkpoint: the job may go back to that, and must not write again what it has committed since.
	Checkpointed bool
	// NoFinal tells that there is no checkpoint of the end to wait for, and what sinks have not committed by then stays uncommitted.
	NoFinal bool
	// Finished is set for a task that had finished before the checkpoint it is restored from: it only takes part in checkpoints.
	Finished bool
	// Restored is the checkpoint the task was restored from, 0 if none.
	Restored job.CheckpointID

	// Loop is set for a task that begins with the head of a loop.
	Loop *Loop
	// Loops are the numbers of the loops that the task is part of, but for one that begins with it.
	Loops []uint16
}

// Task is one subtask. Make it with New, give its operators the Env that it offers, then set the rest by Start.
type Task struct {
	Config
	mailbox mailbox
	beside  sync.WaitGroup
	ctx     context.Context // of the work beside the task
	cancel  context.CancelFunc

	loop     *loop // nil for a task that does not begin with the head of a loop
	probes   probes
	handler  *barrier.Handler
	ledger   barrier.Ledger
	valve    *exchange.Valve
	tickers  []operator.Ticker
	parkers  []beforePark
	running  map[job.CheckpointID]context.CancelFunc // snapshots that are being written
	taken    map[job.CheckpointID]time.Time          // when those were triggered that are not known to have ended
	snapping sync.WaitGroup

	open       int          // channels that have not ended
	withData   int          // channels that have not delivered their end of data
	ended      bool         // no more records will come: the operators have finished, or are suspended
	end        element.Stop // how the data has ended, as far as that is known: by itself (GoOn), or by a stop
	final      job.CheckpointID
	inUse      bool // it has taken part in a checkpoint before its end
	stopping   stopping
	deferred   []barrier.Barrier // triggers that wait for the end of the data
	complete   job.CheckpointID  // the latest that the task knows to be complete
	confirming []job.CheckpointID
	givenUp    []job.CheckpointID // the last that the operators were told of, at most maxGivenUp
	done       bool               // Step has said so
}

// maxGivenUp is more than the checkpoints of which the master tells a task again.
const maxGivenUp = 64

// beforePark is an operator that has something to do before its task parks.
type beforePark interface{ BeforePark(now time.Time) error }

// New returns a task with a mailbox and nothing else, so that its operators can be made with what it offers. Start completes it.
func New(parker *Parker) *Task {
	t := &Task{running: map[job.CheckpointID]context.CancelFunc{}, taken: map[job.CheckpointID]time.Time{}}
	t.Parker = parker
	t.mailbox.wake = parker.Wake
	t.ctx, t.cancel = context.WithCancel(context.Background())
	return t
}

// Start completes the task. Call it before anything else but Post and Go.
func (t *Task) Start(c Config) {
	c.Parker = t.Parker
	t.Config = c
	channels := 0
	if c.Gate != nil {
		channels = c.Gate.Channels()
	}
	t.handler = barrier.New(c.Mode, channels)
	t.valve = exchange.NewValve(channels)
	t.open, t.withData = channels, channels
	t.probes = newProbes(c.Loops, channels)
	if c.Loop != nil {
		t.loop = newLoop()
	}
	t.complete = c.Restored
	for _, op := range c.Operators {
		if ticker, ok := op.(operator.Ticker); ok {
			t.tickers = append(t.tickers, ticker)
		}
		if p, ok := op.(beforePark); ok {
			t.parkers = append(t.parkers, p)
		}
	}
}

// Post runs a function in one of the task's next steps. Any goroutine may call it.
func (t *Task) Post(mail func() error) { t.mailbox.post(mail) }

// Go runs work on a goroutine of its own and its result as a mail.
func (t *Task) Go(work func(context.Context) func() error) {
	t.runBeside(&t.beside, func() {
		if mail := t.guarded(work); mail != nil {
			t.Post(mail)
		}
	})
}

// guarded runs work beside the task, and makes its panic an error of the task's.
func (t *Task) guarded(work func(context.Context) func() error) (mail func() error) {
	defer func() {
		if r := recover(); r != nil {
			err := operator.PanicError(t.Name, t.Attempt.Subtask.Index, r)
			mail = func() error { return err }
		}
	}()
	return work(t.ctx)
}

// runBeside runs work that Close waits for.
func (t *Task) runBeside(group *sync.WaitGroup, work func()) {
	if t.Beside == nil {
		group.Go(work)
		return
	}
	group.Add(1)
	t.Beside(func() {
		defer group.Done()
		work()
	})
}

// Run opens the task, steps it until it ends or ctx is cancelled, and closes it.
func (t *Task) Run(ctx context.Context) {
	err := t.Open(ctx)
	for err == nil && ctx.Err() == nil {
		var wait Wait
		if wait, err = t.Step(); wait.Done {
			break
		}
		if err == nil && wait.Park {
			t.Parker.sleep(wait.Until, t.Now(), ctx.Done())
		}
	}
	t.Close(ctx, err)
}

// Open opens the operators and reports that the task runs. It may block. A caller that steps the task itself calls it first.
func (t *Task) Open(ctx context.Context) error {
	if err := t.openAll(ctx); err != nil {
		return err
	}
	t.Master.Running(t.Attempt)
	if t.Finished {
		t.sendAll(element.Event{Kind: element.Watermark, Time: element.MaxTime})
		if t.loop != nil {
			t.sendProbe(element.LastRound)
		}
		t.reachEnd()
	}
	return nil
}

// Cancel cancels the work beside the task. Close does so too; who steps the task itself may call it before, so that the work comes to an
// end by steps of its own.
func (t *Task) Cancel() { t.cancel() }

// Close ends the task: because of an error of Open or Step, because ctx was cancelled, or because Step was done. It waits for the work
// beside the task, closes the operators and reports how the task ended. The task must not be used any more.
func (t *Task) Close(ctx context.Context, err error) {
	switch {
	case ctx.Err() == nil:
		err = operator.InStep(t.Name, t.Attempt.Subtask.Index, err)
	case err == nil && !t.done:
		err = context.Cause(ctx)
	}
	t.cancel() // before waiting: work beside the task must not outlive it
	t.snapping.Wait()
	t.beside.Wait()
	t.forgetReturnsBefore(math.MaxInt64) // all: the task ends
	if err == nil {
		t.reportUncommitted()
	}
	if closeErr := t.close(); err == nil {
		err = closeErr
	}
	if err == nil {
		t.sendAll(element.Event{Kind: element.EndOfPartition})
	}
	t.Master.Ended(t.Attempt, err)
}

// OpenError says that an operator could not be opened, so that the task has not done anything.
type OpenError struct{ Err error }

// Error returns what happened.
func (e *OpenError) Error() string { return "open: " + e.Err.Error() }

// Unwrap returns the error itself.
func (e *OpenError) Unwrap() error { return e.Err }

// openAll opens the operators, the last one first, so that each finds open what it pushes to.
func (t *Task) openAll(ctx context.Context) (err error) {
	defer t.rescue(&err)
	if t.Finished {
		return nil
	}
	for i := len(t.Operators) - 1; i >= 0; i-- {
		if err := t.Operators[i].Open(ctx); err != nil {
			return &OpenError{err}
		}
	}
	return nil
}

// Wait says what a task waits for after a step.
type Wait struct {
	Done  bool      // it has ended
	Park  bool      // there is nothing to do until it is woken,
	Until time.Time // or until then, if that is not zero
}

// Step does one unit of work.
func (t *Task) Step() (w Wait, err error) {
	defer t.rescue(&err)
	if err := t.readMail(); err != nil {
		return w, err
	}
	t.confirm()
	if t.mayFinish() {
		t.done = true
		return Wait{Done: true}, nil
	}
	now := t.Now()
	if !t.ready() {
		t.flush()
		return Wait{Park: true}, nil // a consumer wakes it; ticks wait too, since they may emit
	}
	next, err := t.tick(now)
	if err != nil {
		return w, err
	}
	worked, until, err := t.input(now)
	if err != nil {
		return w, err
	}
	if worked {
		for _, o := range t.Outputs {
			o.FlushIdle(now)
		}
		return w, nil
	}
	if err := t.beforePark(now); err != nil {
		return w, err
	}
	return Wait{Park: true, Until: earlier(until, next)}, nil
}

func (t *Task) readMail() error {
	for _, mail := range t.mailbox.take() {
		if err := mail(); err != nil {
			return err
		}
	}
	return nil
}

func (t *Task) ready() bool {
	for _, o := range t.Outputs {
		if !o.Ready() {
			return false
		}
	}
	return true
}

// tick runs the timers that are due and returns when the next one is.
func (t *Task) tick(now time.Time) (next time.Time, err error) {
	if t.ended {
		return next, nil
	}
	for _, op := range t.tickers {
		at, ok := op.NextTick()
		if ok && !at.After(now) {
			if err := op.Tick(now); err != nil {
				return next, err
			}
			at, ok = op.NextTick()
		}
		if ok {
			next = earlier(next, at)
		}
	}
	return next, nil
}

// earlier returns the earlier of two times, of which a zero one means never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// input takes one batch or event, and reports whether there was one or else when there may be.
func (t *Task) input(now time.Time) (worked bool, until time.Time, err error) {
	if t.loop != nil {
		worked, err := t.loopInput(now)
		return worked, until, err
	}
	if t.Gate != nil {
		ch, m, ok := t.Gate.Poll()
		if !ok {
			return false, until, nil
		}
		return true, until, t.handle(ch, m, now)
	}
	if t.ended {
		return false, until, nil
	}
	status, err := t.Source.Poll(now)
	if err != nil {
		return true, until, err
	}
	switch status {
	case source.End:
		return true, until, t.endOfSource(element.GoOn)
	case source.Idle:
		return false, t.Source.WakeAt(), nil
	}
	return true, until, nil
}

// endOfSource makes a source task end as if its input had. If it is suspended there is more to come one day, so event time stays where it is.
func (t *Task) endOfSource(how element.Stop) error {
	t.end = how
	if how == element.Suspend {
		return t.endOfData()
	}
	if err := t.Operators[0].(interface{ Event(element.Event) error }).Event(element.Event{Kind: element.Watermark, Time: element.MaxTime}); err != nil {
		return err
	}
	return t.endOfData()
}

func (t *Task) handle(ch int, m element.Message, now time.Time) error {
	if m.Batch != nil {
		err := t.Head.Push(m.Batch)
		t.Gate.Recycle(ch, m.Batch)
		return err
	}
	e := m.Event
	switch e.Kind {
	case element.Watermark:
		return t.forward(t.valve.Watermark(ch, e.Time))
	case element.Idle:
		return t.forward(t.valve.Idle(ch))
	case element.Barrier:
		t.handler.Barrier(ch, barrier.Barrier{ID: e.ID, Timestamp: time.UnixMilli(e.Time), Snapshot: e.Snapshot}, now)
		return t.act()
	case element.CancelBarrier:
		t.handler.Cancel(ch, e.ID)
		return t.act()
	case element.Probe:
		t.probe(ch, e)
	case element.EndOfData:
		t.noMoreProbes(ch)
		t.end = later(t.end, e.Snapshot.Stop)
		if t.withData--; t.withData == 0 {
			return t.endOfInputs()
		}
	case element.EndOfPartition:
		t.open--
		t.handler.EndOfPartition(ch, now)
		return t.act()
	}
	return nil
}

// forward passes a merged watermark to the chain. After the end of the data there is none to pass on.
func (t *Task) forward(e element.Event, ok bool) error {
	if !ok || t.ended || t.Finished {
		return nil
	}
	if t.loop != nil && e.Kind == element.Watermark && e.Time == element.MaxTime {
		t.loop.timeEnds = true // once the loop is empty
		return nil
	}
	return t.Head.Event(e)
}

// endOfInputs ends the data, at once or, at the head of a loop, once nothing goes round any more. In a loop that is suspended what goes round
// stays where it is.
func (t *Task) endOfInputs() error {
	if t.loop != nil && !t.ended && t.end != element.Suspend {
		t.Loop.Drain.Ended(t.Attempt.Subtask.Index)
		return nil
	}
	return t.endOfData()
}

// endOfData lets the operators emit what they held back, unless they are suspended.
func (t *Task) endOfData() error {
	if t.ended {
		return nil
	}
	if t.end != element.Suspend {
		for _, op := range t.Operators {
			if err := op.Finish(t.ctx); err != nil {
				return fmt.Errorf("finish: %w", err)
			}
		}
	}
	t.reachEnd()
	return t.triggerDeferred()
}

func (t *Task) reachEnd() {
	t.ended = true
	t.sendAll(element.Event{Kind: element.EndOfData, Snapshot: element.Snapshot{Stop: t.end}})
	if t.end == element.GoOn {
		t.Master.EndOfData(t.Attempt)
	}
}

func (t *Task) sendAll(e element.Event) {
	for _, o := range t.Outputs {
		if err := o.Event(e); err != nil {
			panic(fmt.Sprintf("task: send %v: %v", e, err)) // an exchange never refuses an event
		}
	}
}

// mayFinish reports whether all is done: the data has ended, the final checkpoint is complete and what it commits is committed. Tasks finish
// in the order of the graph, each after those it reads from, since a checkpoint in which a task had finished and its input had not could not
// be restored. Snapshots that are being written are waited for, so that the checkpoint need not be given up.
func (t *Task) mayFinish() bool {
	if !t.ended || t.open > 0 || len(t.running) > 0 || t.awaitsReturn() {
		return false
	}
	switch {
	case t.stopping.savepoint != 0:
		if !t.stopping.complete {
			return false
		}
	case t.awaitsFinal() && (t.final == 0 || t.complete < t.final):
		return false
	}
	return !t.busy()
}

// checkpointed reports whether there is, or may be, a checkpoint that the job goes back to after a failure.
func (t *Task) checkpointed() bool { return t.Checkpointed || t.Restored != 0 || t.inUse }

// awaitsFinal reports whether the task waits for a checkpoint of its end.
func (t *Task) awaitsFinal() bool { return t.checkpointed() && !t.NoFinal }

// reportUncommitted names the sinks whose output stays uncommitted because no checkpoint of their end was waited for.
func (t *Task) reportUncommitted() {
	if !t.NoFinal || t.Finished || t.end != element.GoOn {
		return
	}
	for _, op := range t.Operators {
		if s, ok := op.(interface{ Uncommitted() bool }); ok && s.Uncommitted() {
			t.Master.Uncommitted(t.Attempt, op.ID())
		}
	}
}

func (t *Task) busy() bool {
	for _, op := range t.Operators {
		if op.Busy() {
			return true
		}
	}
	return false
}

// beforePark sends everything on that might otherwise wait for company.
func (t *Task) beforePark(now time.Time) error {
	if !t.ended {
		for _, op := range t.parkers {
			if err := op.BeforePark(now); err != nil {
				return err
			}
		}
	}
	t.flush()
	return nil
}

func (t *Task) flush() {
	for _, o := range t.Outputs {
		o.Flush()
	}
}

func (t *Task) close() (err error) {
	if t.Finished {
		return nil
	}
	for i := len(t.Operators) - 1; i >= 0; i-- {
		if closeErr := t.closeOperator(i); closeErr != nil && err == nil {
			err = fmt.Errorf("close: %w", closeErr)
		}
	}
	return err
}

// closeOperator closes one operator. If it panics the others are closed all the same.
func (t *Task) closeOperator(i int) (err error) {
	defer t.rescue(&err)
	return t.Operators[i].Close()
}

// rescue turns a panic into an error, so that one subtask's bug fails the job and not the process.
func (t *Task) rescue(err *error) {
	if r := recover(); r != nil {
		*err = operator.PanicError(t.Name, t.Attempt.Subtask.Index, r)
	}
}
