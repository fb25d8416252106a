package task

import (
	"context"
	"fmt"
	"log/slog"
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
	"github.com/weirstream/weir/internal/runtime/spill"
)

// loopRig is a task that begins a loop. The test is what is before it, behind it, and the loop's tail; it steps the task until there is
// nothing to do, and then looks at what has happened.
type loopRig struct {
	t        *testing.T
	task     *Task
	outside  *exchange.Forward[byte]
	feedback *exchange.Feedback[byte]
	body     *exchange.Gate
	events   []string
	work     []func()
}

// bytesCodec is the codec of a byte.
type bytesCodec struct{}

func (bytesCodec) Append(dst []byte, v *byte) []byte { return append(dst, *v) }
func (bytesCodec) Decode(src []byte, v *byte) ([]byte, error) {
	*v = src[0]
	return src[1:], nil
}
func (bytesCodec) Schema() []byte { return nil }
func (c bytesCodec) Reader([]byte) (func(src []byte, v *byte) ([]byte, error), error) {
	return c.Decode, nil
}

func newLoopRig(t *testing.T, mode barrier.Mode) *loopRig {
	r := &loopRig{t: t, body: exchange.NewGate(func() {})}
	r.task = New(NewParker())
	gate := exchange.NewGate(func() {})
	r.outside = exchange.NewForward[byte](gate.NewChannel(func() {}))
	out := exchange.NewForward[byte](r.body.NewChannel(func() {}))
	files := spill.Temp(t.TempDir())
	r.feedback = exchange.NewFeedback(bytesCodec{}, false, exchange.FeedbackOptions{Files: files, Wake: func() {}})
	head := operator.NewLoopHead(&operator.Env{Loop: &operator.LoopEnv{Feedback: r.feedback, Files: files}}, bytesCodec{}, out)
	r.task.Start(Config{
		Attempt: job.Attempt{Number: 1}, Name: "loop", Logger: slog.Default(), Mode: mode, Master: r, Now: func() time.Time { return time.Unix(1, 0) },
		Beside: func(work func()) { r.work = append(r.work, work) },
		Gate:   gate, Head: operator.TypeOf[byte]().Head(head), Operators: []operator.Operator{head},
		Outputs: []operator.Output{{Output: out, Pusher: out}}, Streams: func(job.CheckpointID) operator.Streams { return rigStreams{} },
		Loop: &Loop{Head: head, Drain: rigDrain{r}},
	})
	if err := r.task.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.happened()
	t.Cleanup(func() { r.task.Close(t.Context(), nil) })
	return r
}

func (r *loopRig) note(format string, args ...any) {
	r.events = append(r.events, fmt.Sprintf(format, args...))
}

// happened steps the task until it parks and returns what it has told and sent since the last call.
func (r *loopRig) happened() string {
	r.t.Helper()
	for {
		w, err := r.task.Step()
		if err != nil {
			r.t.Fatal(err)
		}
		if len(r.work) > 0 {
			work := r.work[0]
			r.work = r.work[1:]
			work()
			continue
		}
		if w.Park || w.Done {
			break
		}
	}
	for {
		ch, m, ok := r.body.Poll()
		if !ok {
			break
		}
		if m.Batch == nil {
			r.note("%s", eventText(m.Event))
			continue
		}
		b := m.Batch.(*element.Batch[byte])
		r.note("%s", b.Recs)
		b.Reset()
		r.body.Recycle(ch, b)
	}
	all := strings.Join(r.events, ", ")
	r.events = nil
	return all
}

func eventText(e element.Event) string {
	switch e.Kind {
	case element.Barrier:
		return fmt.Sprintf("barrier %d", e.ID)
	case element.CancelBarrier:
		return fmt.Sprintf("cancel %d", e.ID)
	case element.Watermark:
		return fmt.Sprintf("watermark %d", e.Time)
	case element.EndOfData:
		return "end of data"
	case element.Probe:
		if e.Round == element.LastRound {
			return "last probe"
		}
		return fmt.Sprintf("probe %d", e.Round)
	}
	return fmt.Sprintf("event %d", e.Kind)
}

func (r *loopRig) enter(records string) {
	r.outside.Push(&element.Batch[byte]{Recs: []byte(records), TS: make([]int64, len(records)), Untimed: true})
	r.outside.Flush()
}

func (r *loopRig) again(records string) {
	r.feedback.Push(&element.Batch[byte]{Recs: []byte(records), TS: make([]int64, len(records)), Untimed: true})
	r.feedback.Flush()
}

func (r *loopRig) Running(job.Attempt) {}
func (r *loopRig) Acknowledge(_ job.Attempt, id job.CheckpointID, state *snapshot.Task, _ Metrics) {
	held := ""
	if s := state.Operators[0].State; s != nil {
		for _, at := range s.Lists[0].Offsets {
			held += string(s.Lists[0].Stream.Inline[at+8])
		}
	}
	r.note("ack %d with [%s]", id, held)
}
func (r *loopRig) Decline(_ job.Attempt, id job.CheckpointID, why reason.Reason, _ error) {
	r.note("decline %d: %s", id, why)
}
func (r *loopRig) Completed(job.Attempt, job.CheckpointID) {}

func (r *loopRig) Measured(job.Attempt, job.CheckpointID, Metrics) {}

func (r *loopRig) Uncommitted(job.Attempt, job.OperatorID)  {}
func (r *loopRig) EndOfData(job.Attempt)                    {}
func (r *loopRig) Ended(job.Attempt, error)                 {}
func (r *loopRig) RequestSplit(job.Attempt, job.OperatorID) {}

// rigStreams keeps streams in memory.
type rigStreams struct{}

func (rigStreams) NewStream(context.Context, snapshot.Scope) (snapshot.StreamWriter, error) {
	return &rigStream{}, nil
}

type rigStream struct{ data []byte }

func (s *rigStream) Write(p []byte) (int, error) {
	s.data = append(s.data, p...)
	return len(p), nil
}
func (s *rigStream) Finish() (snapshot.Stream, error) {
	return snapshot.Stream{Inline: s.data, Length: int64(len(s.data))}, nil
}
func (s *rigStream) Abort() error { return nil }

// rigDrain takes the reports of the head.
type rigDrain struct{ *loopRig }

func (d rigDrain) Ended(int) { d.note("inputs ended") }
func (d rigDrain) Returned(_ int, round uint32, records int64) {
	d.note("round %d saw %d", round, records)
}

// do lets something happen and compares what follows.
func (r *loopRig) do(f func(), want string) {
	r.t.Helper()
	f()
	if got := r.happened(); got != want {
		r.t.Errorf("got  %s\nwant %s", got, want)
	}
}

func (r *loopRig) barrier(id job.CheckpointID) func() {
	return func() { r.outside.Event(element.Event{Kind: element.Barrier, ID: id}) }
}

func (r *loopRig) returns(id job.CheckpointID) func() {
	return func() { r.feedback.Event(element.Event{Kind: element.Barrier, ID: id}) }
}

// TestHeadOfLoop shows a checkpoint at the head of a loop: the barrier goes on at once, and the acknowledgement waits for its return, with what
// has come round meanwhile and nothing else. The barrier that has come round goes no further.
func TestHeadOfLoop(t *testing.T) {
	for _, mode := range []barrier.Mode{barrier.ExactlyOnce, barrier.AtLeastOnce} {
		r := newLoopRig(t, mode)
		r.do(func() { r.enter("a"); r.again("b") }, "ab")
		r.do(func() { r.again("c"); r.barrier(1)() }, "barrier 1, c") // c was on the edge when the barrier left
		r.do(func() { r.again("d"); r.enter("e") }, "ed")
		r.do(r.returns(1), "ack 1 with [cd]")
		r.do(func() { r.again("f") }, "f")
		r.do(func() { r.barrier(2)(); r.returns(2)() }, "ack 2 with [], barrier 2")
	}
}

// TestSeveralBarriersInLoop shows checkpoints that overlap: each has its own log, and ends with its own barrier.
func TestSeveralBarriersInLoop(t *testing.T) {
	r := newLoopRig(t, barrier.ExactlyOnce)
	r.do(func() { r.barrier(1)(); r.again("a") }, "barrier 1, a")
	r.do(func() { r.barrier(2)(); r.again("b") }, "barrier 2, b")
	r.do(func() { r.barrier(3)(); r.again("c") }, "barrier 3, c")
	r.do(r.returns(1), "ack 1 with [abc]")
	r.do(func() { r.again("d") }, "d")
	r.do(r.returns(3), "ack 3 with [cd]")
	r.do(r.returns(2), "ack 2 with [bcd]")
}

// TestBarrierLostInLoop shows that a checkpoint whose barrier does not come round fails, and that its log is not taken for whole: the
// marker of a task that gave it up comes instead, the tail ends, or the coordinator loses patience. A return after that means nothing.
func TestBarrierLostInLoop(t *testing.T) {
	r := newLoopRig(t, barrier.ExactlyOnce)
	r.do(func() { r.barrier(1)(); r.again("a") }, "barrier 1, a")
	r.do(func() { r.feedback.Event(element.Event{Kind: element.CancelBarrier, ID: 1}) }, "decline 1: CHECKPOINT_DECLINED_ON_CANCELLATION_BARRIER")
	r.do(r.returns(1), "")
	r.do(func() { r.barrier(2)(); r.again("b") }, "barrier 2, b")
	r.do(func() { r.task.CheckpointAborted(operator.Checkpoint{ID: 2}, 0, reason.CheckpointExpired) }, "")
	r.do(r.returns(2), "")
	r.do(func() { r.feedback.Event(element.Event{Kind: element.CancelBarrier, ID: 2}) }, "")
	r.do(func() { r.barrier(3)(); r.barrier(4)() }, "barrier 3, barrier 4")
	r.do(func() { r.feedback.Event(element.Event{Kind: element.EndOfPartition}) },
		"decline 3: CHECKPOINT_DECLINED_INPUT_END_OF_STREAM, decline 4: CHECKPOINT_DECLINED_INPUT_END_OF_STREAM")
}

// TestAbortedBeforeLoop shows that a checkpoint which was given up before its barrier reached the head has no log, and goes round as the
// marker of that.
func TestAbortedBeforeLoop(t *testing.T) {
	r := newLoopRig(t, barrier.ExactlyOnce)
	r.do(func() { r.task.CheckpointAborted(operator.Checkpoint{ID: 1}, 0, reason.CheckpointExpired) }, "")
	r.do(func() { r.barrier(1)(); r.again("a") }, "cancel 1, a")
	r.do(func() { r.feedback.Event(element.Event{Kind: element.CancelBarrier, ID: 1}) }, "")
}

// TestEndOfLoop shows what the head does as its inputs end: event time and data go on inside until the loop is empty.
func TestEndOfLoop(t *testing.T) {
	r := newLoopRig(t, barrier.ExactlyOnce)
	probe := func(round uint32) func() {
		return func() { r.feedback.Event(element.Event{Kind: element.Probe, Round: round}) }
	}
	r.do(func() { r.outside.Event(element.Event{Kind: element.Watermark, Time: 5}) }, "watermark 5")
	r.do(func() {
		r.outside.Event(element.Event{Kind: element.Watermark, Time: element.MaxTime})
		r.outside.Event(element.Event{Kind: element.EndOfData})
	}, "inputs ended")
	r.do(func() { r.again("ab") }, "ab")
	r.do(func() { r.task.SendProbe(1, false) }, "probe 1")
	r.do(func() { r.again("cd"); probe(1)() }, "round 1 saw 2, cd")
	r.do(func() { r.task.SendProbe(2, true) }, fmt.Sprintf("watermark %d, probe 2", element.MaxTime))
	r.do(probe(1), "") // of no interest any more
	r.do(probe(2), "round 2 saw 0")
	r.do(r.barrier(7), "barrier 7") // checkpoints go on
	r.do(r.task.EndLoop, "last probe, end of data")
	r.do(probe(element.LastRound), "")
	r.do(r.returns(7), "ack 7 with []")
}

// TestTurns shows that neither side of the head starves: one message from outside for each time that what waited has gone round.
func TestTurns(t *testing.T) {
	r := newLoopRig(t, barrier.ExactlyOnce)
	r.again("1")
	r.again("2")
	r.again("3")
	for _, s := range []string{"a", "b", "c"} {
		r.enter(s)
	}
	r.do(func() {}, "a123bc")
}

// TestProbes shows when a probe goes on: once it has come through every channel whose data has not ended.
func TestProbes(t *testing.T) {
	p := newProbes([]uint16{4, 7}, 3)
	arrived := func(ch int, loop uint16, round, want uint32) {
		t.Helper()
		if got, ok := p.arrived(ch, loop, round); got != want || ok != (want > 0) {
			t.Errorf("probe %d of loop %d through %d: sends %d, want %d", round, loop, ch, got, want)
		}
	}
	ended := func(ch int, want ...uint32) {
		t.Helper()
		var got []uint32
		for _, round := range p.endOfData(ch) {
			got = append(got, round)
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("end of %d: sends %v, want %v", ch, got, want)
		}
	}
	arrived(0, 4, 1, 0)
	arrived(1, 7, 1, 0) // another loop's
	arrived(1, 4, 1, 0)
	arrived(0, 9, 1, 0) // that of a loop before this task
	ended(2, 1)         // a stream from beside the loop
	arrived(0, 4, 2, 0)
	arrived(1, 4, 2, 2)
	arrived(1, 4, element.LastRound, 0)
	ended(1)
	arrived(0, 4, element.LastRound, element.LastRound)
	ended(0, element.LastRound)
}
