package task

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/weirstream/weir/internal/element"
	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/protocol/barrier"
	"github.com/weirstream/weir/internal/protocol/reason"
	"github.com/weirstream/weir/internal/protocol/snapshot"
	"github.com/weirstream/weir/internal/runtime/exchange"
	"github.com/weirstream/weir/internal/runtime/operator"
	"github.com/weirstream/weir/internal/script"
	"github.com/weirstream/weir/source"
)

// TestScripts plays testdata: what reaches one task, and what it does with it in what order. Nothing happens on another goroutine: work
// beside the task waits for the command "beside".
//
//	task NAME... inputs=N [at-least-once] [checkpointed] [finished] [restored=ID]   a chain of operators; without inputs a source
//	send CHANNEL NUMBER...                        records; so watermark, idle, barrier, cancel, end-of-data, end-of-partition
//	trigger | complete | abort ID [latest=ID]     a message of the master
//	trigger ID, barrier CHANNEL ID, end-of-data CHANNEL may be of a stop: suspend | drain
//	poll NUMBER... | end                          what the source has next
//	fail NAME METHOD                              the next call of the method fails
//	busy NAME | free NAME                         an operator has work beside the task, or no more
//	open | run                                    opens the task, or steps the task until it parks or ends
func TestScripts(t *testing.T) {
	script.Run(t, "testdata/*.txt", func() script.Player { return (&player{}).play })
}

type player struct {
	t       *testing.T
	task    *Task
	ops     map[string]*recorder
	inputs  []*exchange.Forward[int]
	source  *recorder
	out     *exchange.Gate
	now     time.Time
	beside  []func()
	lines   []string
	stopped bool
}

func (p *player) say(format string, args ...any) {
	p.lines = append(p.lines, fmt.Sprintf(format, args...))
}

func (p *player) play(t *testing.T, words []string) []string {
	p.t, p.lines = t, nil
	command, args := words[0], words[1:]
	switch command {
	case "task":
		p.newTask(args)
	case "open":
		if err := p.task.Open(context.Background()); err != nil {
			p.close(err)
		}
	case "run":
		p.run()
	case "beside":
		work := p.beside
		p.beside = nil
		for _, w := range work {
			w()
		}
	case "fail":
		p.op(args[0]).failing = args[1]
	case "busy", "free":
		p.op(args[0]).busy = command == "busy"
	case "cancel-task":
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		p.task.Close(ctx, nil)
	case "poll":
		p.source.next, p.source.end = append(p.source.next, p.numbers(args)), false
	case "end":
		p.source.end = true
	default:
		if !p.playMaster(command, args) {
			p.playInput(command, args)
		}
	}
	return p.lines
}

func (p *player) playMaster(command string, args []string) bool {
	switch command {
	case "trigger":
		p.task.Trigger(barrier.Barrier{ID: p.id(args[0]), Timestamp: p.now, Snapshot: stopOf(args[1:])})
	case "complete":
		p.task.CheckpointComplete(operator.Checkpoint{ID: p.id(args[0])})
	case "abort":
		latest := job.CheckpointID(0)
		if len(args) > 1 {
			latest = p.id(strings.TrimPrefix(args[1], "latest="))
		}
		p.task.CheckpointAborted(operator.Checkpoint{ID: p.id(args[0])}, latest, reason.CheckpointExpired)
	default:
		return false
	}
	return true
}

func (p *player) playInput(command string, args []string) {
	in := p.inputs[p.numbers(args[:1])[0]]
	var e element.Event
	switch command {
	case "send":
		b := element.Batch[int]{Recs: p.numbers(args[1:])}
		b.TS = make([]int64, len(b.Recs))
		if err := in.Push(&b); err != nil {
			p.t.Fatal(err)
		}
		in.Flush()
		return
	case "watermark":
		e = element.Event{Kind: element.Watermark, Time: int64(p.numbers(args[1:])[0])}
	case "idle":
		e = element.Event{Kind: element.Idle}
	case "barrier":
		e = element.Event{Kind: element.Barrier, ID: p.id(args[1]), Time: p.now.UnixMilli(), Snapshot: stopOf(args[2:])}
	case "cancel":
		e = element.Event{Kind: element.CancelBarrier, ID: p.id(args[1])}
	case "end-of-data":
		e = element.Event{Kind: element.EndOfData, Snapshot: stopOf(args[1:])}
	case "end-of-partition":
		e = element.Event{Kind: element.EndOfPartition}
	default:
		p.t.Fatalf("unknown command %q", command)
	}
	if err := in.Event(e); err != nil {
		p.t.Fatal(err)
	}
}

// newTask makes a task with a chain of recorders, each pushing to the next and the last one to another gate, whose messages are told.
func (p *player) newTask(args []string) {
	*p = player{t: p.t, ops: map[string]*recorder{}, now: time.UnixMilli(1000).UTC()}
	c := Config{Name: "task", Logger: slog.New(slog.DiscardHandler), Master: p, Now: func() time.Time { return p.now },
		Beside: func(work func()) { p.beside = append(p.beside, work) }, Streams: func(job.CheckpointID) operator.Streams { return nil }}
	inputs := 0
	for _, w := range args {
		key, value, _ := strings.Cut(w, "=")
		switch key {
		case "inputs":
			inputs = p.numbers([]string{value})[0]
		case "at-least-once":
			c.Mode = barrier.AtLeastOnce
		case "checkpointed":
			c.Checkpointed = true
		case "no-final":
			c.NoFinal = true
		case "finished":
			c.Finished = true
		case "restored":
			c.Restored = p.id(value)
		default:
			r := &recorder{Base: operator.Base{OperatorID: job.OperatorIDOf(w)}, p: p, name: w}
			p.ops[w] = r
			c.Operators = append(c.Operators, r)
		}
	}
	p.task = New(NewParker())
	p.out = exchange.NewGate(func() {})
	out := exchange.NewForward[int](p.out.NewChannel(p.task.Parker.Wake))
	c.Outputs = []operator.Output{{Output: out, Pusher: out}}
	for i, op := range c.Operators {
		next := operator.Pusher[int](out)
		if i+1 < len(c.Operators) {
			next = c.Operators[i+1].(*recorder)
		}
		op.(*recorder).out = next
	}
	head := c.Operators[0].(*recorder)
	if inputs == 0 {
		p.source, c.Source = head, head
	} else {
		c.Gate = exchange.NewGate(p.task.Parker.Wake)
		for range inputs {
			p.inputs = append(p.inputs, exchange.NewForward[int](c.Gate.NewChannel(func() {})))
		}
		c.Head = operator.TypeOf[int]().Head(operator.Pusher[int](head))
	}
	p.task.Start(c)
}

// run steps the task until it has nothing to do, and tells what has come out of it.
func (p *player) run() {
	for !p.stopped {
		w, err := p.task.Step()
		p.drain()
		switch {
		case err != nil || w.Done:
			p.close(err)
		case w.Park && !p.task.Parker.Woken():
			return
		}
	}
}

func (p *player) close(err error) {
	p.stopped = true
	for len(p.beside) > 0 {
		work := p.beside[0]
		p.beside = p.beside[1:]
		work()
	}
	p.task.Close(context.Background(), err)
	p.drain()
}

func (p *player) drain() {
	for {
		ch, m, ok := p.out.Poll()
		switch {
		case !ok:
			return
		case m.Batch != nil:
			b := m.Batch.(*element.Batch[int])
			p.say("out: %v", b.Recs)
			b.Reset()
			p.out.Recycle(ch, b)
		default:
			p.say("out: %s", describe(m.Event))
		}
	}
}

func stopOf(words []string) (s element.Snapshot) {
	if len(words) > 0 {
		s.Stop = map[string]element.Stop{"suspend": element.Suspend, "drain": element.Drain}[words[0]]
	}
	return s
}

func describe(e element.Event) string {
	if e.Snapshot.Stop != element.GoOn {
		stop := map[element.Stop]string{element.Suspend: ", suspend", element.Drain: ", drain"}[e.Snapshot.Stop]
		e.Snapshot.Stop = element.GoOn
		return describe(e) + stop
	}
	switch e.Kind {
	case element.Watermark:
		if e.Time == element.MaxTime {
			return "watermark max"
		}
		return fmt.Sprintf("watermark %d", e.Time)
	case element.Idle:
		return "idle"
	case element.Barrier:
		return fmt.Sprintf("barrier %d", e.ID)
	case element.CancelBarrier:
		return fmt.Sprintf("cancel %d", e.ID)
	case element.EndOfData:
		return "end of data"
	}
	return "end of partition"
}

func (p *player) op(name string) *recorder {
	r := p.ops[name]
	if r == nil {
		p.t.Fatalf("no operator %q", name)
	}
	return r
}

func (p *player) id(word string) job.CheckpointID {
	return job.CheckpointID(p.numbers([]string{word})[0])
}

func (p *player) numbers(words []string) (out []int) {
	for _, w := range words {
		n, err := strconv.Atoi(w)
		if err != nil {
			p.t.Fatalf("%q is no number", w)
		}
		out = append(out, n)
	}
	return out
}

// What the task tells its master.

func (p *player) Running(job.Attempt) { p.say("master: running") }

func (p *player) Acknowledge(_ job.Attempt, id job.CheckpointID, s *snapshot.Task, _ Metrics) {
	text := ""
	if s.OperatorsFinished {
		text += ", operators finished"
	}
	if s.FinishedOnRestore {
		text += ", finished on restore"
	}
	p.say("master: acknowledged %d%s", id, text)
}

func (p *player) Decline(_ job.Attempt, id job.CheckpointID, why reason.Reason, err error) {
	p.say("master: declined %d: %s: %v", id, why, err)
}

func (p *player) Measured(_ job.Attempt, id job.CheckpointID, m Metrics) {
	p.say("master: measured %d, start delay %v", id, m.StartDelay)
}

func (p *player) Completed(_ job.Attempt, id job.CheckpointID) { p.say("master: all done for %d", id) }
func (p *player) EndOfData(job.Attempt)                        { p.say("master: end of data") }
func (p *player) Uncommitted(job.Attempt, job.OperatorID)      { p.say("master: output is not committed") }

func (p *player) Ended(_ job.Attempt, err error) {
	if err != nil {
		text, _, _ := strings.Cut(err.Error(), "\n")
		p.say("master: ended: %s", text)
		return
	}
	p.say("master: ended well")
}

func (p *player) RequestSplit(job.Attempt, job.OperatorID) {}

// recorder is an operator that tells what is done to it, and passes everything on.
type recorder struct {
	operator.Base
	p       *player
	name    string
	out     operator.Pusher[int]
	failing string // the method whose next call fails
	busy    bool
	next    [][]int // of a source
	end     bool
}

var errScript = errors.New("as the script wants")

func (r *recorder) call(method string, args ...any) error {
	r.p.say("%s", strings.TrimSpace(r.name+": "+method+" "+strings.TrimSpace(fmt.Sprintln(args...))))
	if r.failing == method {
		r.failing = ""
		return errScript
	}
	return nil
}

func (r *recorder) Push(b *element.Batch[int]) error {
	if err := r.call("push", b.Recs); err != nil {
		return err
	}
	return r.out.Push(b)
}

func (r *recorder) Event(e element.Event) error {
	if err := r.call("event", describe(e)); err != nil {
		return err
	}
	return r.out.Event(e)
}

func (r *recorder) Open(context.Context) error { return r.call("open") }

func (r *recorder) PrepareBarrier(_ context.Context, c operator.Checkpoint) error {
	return r.call("prepare", c.ID)
}

func (r *recorder) Snapshot(_ context.Context, c operator.Checkpoint) (operator.Capture, error) {
	return &capture{r, c.ID}, r.call("snapshot", c.ID)
}

func (r *recorder) CheckpointComplete(c operator.Checkpoint) error { return r.call("complete", c.ID) }
func (r *recorder) CheckpointAborted(c operator.Checkpoint) error  { return r.call("aborted", c.ID) }
func (r *recorder) Finish(context.Context) error                   { return r.call("finish") }
func (r *recorder) Busy() bool                                     { return r.busy }
func (r *recorder) Close() error                                   { return r.call("close") }

// As a source.

func (r *recorder) Poll(time.Time) (source.Status, error) {
	switch {
	case len(r.next) > 0:
		b := element.Batch[int]{Recs: r.next[0], TS: make([]int64, len(r.next[0]))}
		r.next = r.next[1:]
		if err := r.call("poll", b.Recs); err != nil {
			return source.More, err
		}
		return source.More, r.out.Push(&b)
	case r.end:
		return source.End, nil
	}
	return source.Idle, nil
}

func (*recorder) WakeAt() time.Time              { return time.Time{} }
func (*recorder) AddSplits([]source.Split) error { return nil }
func (*recorder) NoMoreSplits()                  {}
func (*recorder) NoSplitYet()                    {}

// capture is what a recorder has captured.
type capture struct {
	r  *recorder
	id job.CheckpointID
}

func (c *capture) Write(ctx context.Context, _ operator.Streams) (*snapshot.OperatorSubtask, error) {
	return nil, c.r.call("write", c.id)
}

func (c *capture) Release() { c.r.p.say("%s: release %d", c.r.name, c.id) }
