package operator

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/weirstream/weir/internal/element"
	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/protocol/snapshot"
	"github.com/weirstream/weir/internal/runtime/exchange"
	"github.com/weirstream/weir/internal/runtime/spill"
)

// Loop is the head of a loop as its task sees it: the operator behind the gate at which records enter the loop, and come round on the
// feedback edge.
//
// Of a checkpoint it has two parts. The one is captured with the other operators, when the barrier comes from outside, and the head does not
// wait for the barrier to come round. The other is the log: what comes round from then on until that barrier does. These are the records
// that were in the loop at that moment, or what has become of them, wherever they were: in the body, between tasks, on the feedback edge.
type Loop interface {
	Operator
	// Poll takes the next message of the feedback edge, and Backlog returns the number of those that wait.
	Poll() (m element.Message, ok bool, err error)
	Backlog() int
	// Again pushes a batch that Poll has returned. Keep writes it to the logs that are open and does not send it round any more.
	Again(b element.Any) error
	Keep(b element.Any)
	// Logging reports whether the log of a checkpoint is open. Its capture must not be written before CloseLog.
	Logging(id job.CheckpointID) bool
	// CloseLog ends the log of a checkpoint, and of no other: its barrier has come round, or the checkpoint is given up.
	CloseLog(id job.CheckpointID)
}

// LoopEnv is what the head and the tail of a loop know of it.
type LoopEnv struct {
	// Feedback is the *exchange.Feedback of the record type between this subtask of the tail and that of the head.
	Feedback any
	// Lossy says that no log is kept, so that what is in the loop at a checkpoint is lost in a restore.
	Lossy bool
	// Memory is the number of bytes that a log takes before it goes to a file.
	Memory int64
	Files  spill.Files
}

// LoopCodec turns the records of a loop into bytes and back.
type LoopCodec[T any] interface {
	exchange.Codec[T]
	// Schema returns the canonical form of the schema of what is logged, which is a struct of the event time, an int64, and the record. Reader
	// returns what reads the record alone where a checkpoint has another schema, or says why that cannot be.
	Schema() []byte
	Reader(schema []byte) (read func(src []byte, v *T) (rest []byte, err error), err error)
}

// LoopState is the name of the list state that holds the log of a loop.
const LoopState = "loop-records"

// LoopHead is the first step of a loop.
type LoopHead[T any] struct {
	Base
	env      *Env
	codec    LoopCodec[T]
	feedback *exchange.Feedback[T]
	out      Pusher[T]
	again    Head
	logs     []*loopLog // of checkpoints whose barrier has not come round, in ascending order
	buf      []byte
	starts   []int // of the elements in buf
}

// loopLog collects what comes round between a checkpoint's barrier's departure and its return. It belongs to the task until the barrier has
// returned, and then to the capture.
type loopLog struct {
	id      job.CheckpointID
	data    *spill.Log
	offsets []int64
	schema  []byte
	err     error // why it is not whole
}

// NewLoopHead returns the head of a loop.
func NewLoopHead[T any](env *Env, codec LoopCodec[T], out Pusher[T]) *LoopHead[T] {
	return &LoopHead[T]{
		Base: Base{env.Operator}, env: env, codec: codec, feedback: env.Loop.Feedback.(*exchange.Feedback[T]), out: out, again: TypeOf[T]().Head(out),
	}
}

// Open puts the records that a checkpoint has found in the loop where they were.
func (h *LoopHead[T]) Open(ctx context.Context) error {
	if h.env.Restored == nil {
		return nil
	}
	for _, l := range h.env.Restored.Lists {
		if l.Name == LoopState {
			if err := h.restore(ctx, l); err != nil {
				return fmt.Errorf("restore the records in the loop: %w", err)
			}
		}
	}
	return nil
}

func (h *LoopHead[T]) restore(ctx context.Context, l snapshot.List) error {
	read, err := h.codec.Reader(l.Schema)
	if err != nil {
		return err
	}
	elements, err := ReadElements(ctx, h.env.OpenStream, l)
	if err != nil {
		return err
	}
	recs, ts, untimed := make([]T, len(elements)), make([]int64, len(elements)), true
	for i, e := range elements {
		if len(e) < 8 {
			return errShortLoopRecord
		}
		ts[i] = int64(binary.LittleEndian.Uint64(e))
		untimed = untimed && ts[i] == element.NoTime
		rest, err := read(e[8:], &recs[i])
		if err == nil && len(rest) > 0 {
			err = fmt.Errorf("%d bytes follow its end", len(rest))
		}
		if err != nil {
			return fmt.Errorf("record %d: %w", i, err)
		}
	}
	return h.feedback.Restore(recs, ts, untimed)
}

var errShortLoopRecord = errors.New("a record ends within its time")

// Push takes records into the loop.
func (h *LoopHead[T]) Push(b *element.Batch[T]) error { return h.out.Push(b) }

// Event passes events on that come from outside.
func (h *LoopHead[T]) Event(e element.Event) error { return h.out.Event(e) }

// Poll takes the next message of the feedback edge.
func (h *LoopHead[T]) Poll() (element.Message, bool, error) { return h.feedback.Poll() }

// Backlog returns the number of messages that wait there.
func (h *LoopHead[T]) Backlog() int { return h.feedback.Backlog() }

// Again writes a batch to the logs that are open, and sends it round once more.
func (h *LoopHead[T]) Again(b element.Any) error {
	if len(h.logs) > 0 {
		h.log(b.(*element.Batch[T]))
	}
	if err := h.again.Push(b); err != nil {
		return err
	}
	h.feedback.Recycle(b)
	return nil
}

// Keep writes a batch to the logs that are open, and lets it go.
func (h *LoopHead[T]) Keep(b element.Any) {
	if len(h.logs) > 0 {
		h.log(b.(*element.Batch[T]))
	}
}

// log encodes a batch once and appends it to every log.
func (h *LoopHead[T]) log(b *element.Batch[T]) {
	h.buf, h.starts = h.buf[:0], h.starts[:0]
	for i := range b.Recs {
		at := element.NoTime
		if !b.Untimed {
			at = b.TS[i]
		}
		h.starts = append(h.starts, len(h.buf))
		h.buf = binary.LittleEndian.AppendUint64(h.buf, uint64(at))
		h.buf = h.codec.Append(h.buf, &b.Recs[i])
	}
	for _, l := range h.logs {
		l.append(h.buf, h.starts)
	}
}

// append adds elements. An error is kept for the capture: it fails the checkpoint, and not the job.
func (l *loopLog) append(elements []byte, starts []int) {
	if l.err != nil {
		return
	}
	from := l.data.Size()
	if _, l.err = l.data.Write(elements); l.err != nil {
		return
	}
	for _, s := range starts {
		l.offsets = append(l.offsets, from+int64(s))
	}
}

// Snapshot opens the log of a checkpoint.
func (h *LoopHead[T]) Snapshot(_ context.Context, c Checkpoint) (Capture, error) {
	if h.env.Loop.Lossy {
		return nil, nil
	}
	l := &loopLog{id: c.ID, data: spill.NewLog(h.env.Loop.Files, int(h.env.Loop.Memory)), schema: h.codec.Schema()}
	h.logs = append(h.logs, l)
	return l, nil
}

// Logging reports whether the log of a checkpoint is open.
func (h *LoopHead[T]) Logging(id job.CheckpointID) bool {
	return slices.ContainsFunc(h.logs, func(l *loopLog) bool { return l.id == id })
}

// CloseLog writes no more to the log of a checkpoint. Those of earlier ones stay open: their barriers may be late.
func (h *LoopHead[T]) CloseLog(id job.CheckpointID) {
	h.logs = slices.DeleteFunc(h.logs, func(l *loopLog) bool { return l.id == id })
}

// Close gives up what goes round.
func (h *LoopHead[T]) Close() error { return h.feedback.Close() }

// Write writes the log, in the form that docs/formats/operator.md describes.
func (l *loopLog) Write(ctx context.Context, streams Streams) (*snapshot.OperatorSubtask, error) {
	if l.err != nil {
		return nil, fmt.Errorf("log the records in the loop: %w", l.err)
	}
	if len(l.offsets) == 0 {
		return nil, nil
	}
	out, err := streams.NewStream(ctx, snapshot.Exclusive)
	if err != nil {
		return nil, err
	}
	if _, err := l.data.WriteTo(out); err != nil {
		return nil, errors.Join(fmt.Errorf("write the records in the loop: %w", err), out.Abort())
	}
	list := snapshot.List{Name: LoopState, Mode: snapshot.Split, Schema: l.schema, Offsets: l.offsets}
	if list.Stream, err = out.Finish(); err != nil {
		return nil, err
	}
	return &snapshot.OperatorSubtask{Lists: []snapshot.List{list}}, nil
}

// Release gives the log up.
func (l *loopLog) Release() { l.data.Close() }
