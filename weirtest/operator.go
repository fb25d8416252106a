package weirtest

import (
	"context"
	"io"
	"log/slog"
	"time"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/connector/memory"
	"github.com/weirstream/weir/internal/door"
	"github.com/weirstream/weir/internal/element"
	"github.com/weirstream/weir/internal/graph"
	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/keygroup"
	"github.com/weirstream/weir/internal/keyhash"
	"github.com/weirstream/weir/internal/metrics"
	"github.com/weirstream/weir/internal/protocol/assign"
	"github.com/weirstream/weir/internal/protocol/snapshot"
	"github.com/weirstream/weir/internal/runtime/operator"
	"github.com/weirstream/weir/internal/runtime/program"
	"github.com/weirstream/weir/internal/storage"
)

// Harness runs one processor in virtual time, record by record. It is used by one goroutine.
type Harness[In, Out any] struct {
	t      T
	job    *weir.Job
	node   *graph.Node
	step   *program.Step
	hasher func(recs []In, hashes []uint64) error // nil without keys
	sides  map[int]any                            // a pusher by slot
	out    *collector[Out]

	subtasks  []*subtask[In]
	now       time.Time
	watermark int64
	next      int // the subtask of the next record without a key
	snapshots job.CheckpointID
	restored  job.CheckpointID // the snapshot that the instances were restored from, 0 for none
	finished  bool
}

// subtask is one instance of the processor.
type subtask[In any] struct {
	in operator.Pusher[In]
	op operator.Operator
}

// Epoch is what the clock of a Harness shows at the beginning.
var Epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// maxParallelism is how far SnapshotAndRestore can go.
const maxParallelism = 128

// Operator returns a harness for a processor whose records have a key. It has one subtask.
func Operator[K comparable, In, Out any](t T, p weir.Processor[K, In, Out], key func(In) K) *Harness[In, Out] {
	t.Helper()
	j := weir.NewJob(t.Name())
	in := weir.From(j, "in", memory.Slice[In](nil))
	return newHarness[In](t, j, weir.Process(weir.KeyBy(in, key), "operator", p))
}

// PlainOperator returns a harness for a processor without keys. It has one subtask.
func PlainOperator[In, Out any](t T, p weir.PlainProcessor[In, Out]) *Harness[In, Out] {
	t.Helper()
	j := weir.NewJob(t.Name())
	in := weir.From(j, "in", memory.Slice[In](nil))
	return newHarness[In](t, j, weir.ProcessPlain(in, "operator", p))
}

// newHarness takes the step out of a job that is never run.
func newHarness[In, Out any](t T, j *weir.Job, out weir.Stream[Out]) *Harness[In, Out] {
	t.Helper()
	weir.To(out, "out", memory.Collect[Out]())
	h := &Harness[In, Out]{t: t, job: j, node: door.Steps(j)[1], sides: map[int]any{}, out: &collector[Out]{}, now: Epoch, watermark: element.NoTime}
	h.step = h.node.Payload.(*program.Step)
	if e, ok := h.node.Inputs[0].Payload.(program.EdgePayload); ok {
		h.hasher, _ = e.Hasher.(func([]In, []uint64) error)
	}
	if err := door.Check(j); err != nil {
		t.Fatalf("weirtest: %v", err)
	}
	t.Cleanup(h.close)
	return h
}

// collector keeps what a processor emits.
type collector[R any] struct{ recs []R }

func (c *collector[R]) Push(b *element.Batch[R]) error {
	c.recs = append(c.recs, b.Recs...)
	return nil
}

func (c *collector[R]) Event(element.Event) error { return nil }

func (c *collector[R]) take() []R {
	recs := c.recs
	c.recs = nil
	return recs
}

// start makes the subtasks, with what a snapshot holds for each.
func (h *Harness[In, Out]) start(parallelism int, state []*snapshot.OperatorSubtask) {
	h.t.Helper()
	outs := []any{h.out}
	for slot, typ := range h.step.Outs[1:] {
		if side := h.sides[1+slot]; side != nil {
			outs = append(outs, side)
		} else {
			outs = append(outs, typ.Join(nil))
		}
	}
	for i := range parallelism {
		env := h.env(i, parallelism)
		if state != nil {
			env.Restored = state[i]
		}
		first, op, err := h.step.Make(env, outs)
		if err != nil {
			h.t.Fatalf("weirtest: make subtask %d: %v", i, err)
		}
		h.subtasks = append(h.subtasks, &subtask[In]{first.(operator.Pusher[In]), op})
		if err := op.Open(context.Background()); err != nil {
			h.t.Fatalf("weirtest: open subtask %d: %v", i, err)
		}
	}
}

func (h *Harness[In, Out]) env(index, parallelism int) *operator.Env {
	return &operator.Env{
		Operator: job.OperatorIDOf("operator"), Name: "operator", Subtask: index, Parallelism: parallelism, MaxParallelism: maxParallelism,
		Attempt: 1, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)), Metrics: metrics.NewScope(),
		Now: func() time.Time { return h.now }, RestoredFrom: h.restored, Checkpointed: func() bool { return true },
		Go: func(work func(context.Context) func() error) {
			if mail := work(context.Background()); mail != nil {
				h.must(mail(), "work beside the subtask")
			}
		},
		Wake: func() {}, Splits: operator.NewSplits(),
		OpenStream: func(ctx context.Context, s snapshot.Stream) (operator.StreamReader, error) {
			return storage.OpenStream(ctx, nil, s)
		},
	}
}

// ready starts the processor if nothing was done with it yet.
func (h *Harness[In, Out]) ready() {
	h.t.Helper()
	if h.finished {
		h.t.Fatalf("weirtest: the processor has seen the end of the data, nothing can follow")
	}
	if h.subtasks == nil {
		h.start(1, nil)
	}
}

func (h *Harness[In, Out]) must(err error, doing string) {
	h.t.Helper()
	if err != nil {
		h.t.Fatalf("weirtest: %s: %v", doing, err)
	}
}

// Send gives records without event time to the processor, one by one.
func (h *Harness[In, Out]) Send(records ...In) {
	h.t.Helper()
	h.must(h.send(element.NoTime, records), "send")
}

// SendAt gives records with this event time to the processor, one by one.
func (h *Harness[In, Out]) SendAt(at time.Time, records ...In) {
	h.t.Helper()
	h.must(h.send(at.UnixMilli(), records), "send")
}

// TrySend is Send for records at which the processor may fail, and returns its error. After one only Close is of use, as in a job, which
// would restart.
func (h *Harness[In, Out]) TrySend(records ...In) error {
	h.t.Helper()
	return h.send(element.NoTime, records)
}

func (h *Harness[In, Out]) send(at int64, records []In) error {
	h.t.Helper()
	h.ready()
	for _, r := range records {
		b := &element.Batch[In]{Recs: []In{r}, TS: []int64{at}, Untimed: at == element.NoTime}
		to := h.next % len(h.subtasks)
		if h.hasher != nil {
			b.Hash = make([]uint64, 1)
			if err := h.hasher(b.Recs, b.Hash); err != nil {
				return err
			}
			to = keygroup.SubtaskOf(keygroup.Of(b.Hash[0], maxParallelism), len(h.subtasks), maxParallelism)
		}
		h.next++
		if err := h.subtasks[to].in.Push(b); err != nil {
			return err
		}
	}
	return nil
}

// Watermark says that event time has passed at: timers up to it are due, and records up to it are late from now on.
func (h *Harness[In, Out]) Watermark(at time.Time) {
	h.t.Helper()
	h.ready()
	if at.UnixMilli() < h.watermark {
		h.t.Fatalf("weirtest: event time cannot go back from %v to %v", time.UnixMilli(h.watermark).UTC(), at.UTC())
	}
	h.event(at.UnixMilli())
}

func (h *Harness[In, Out]) event(millis int64) {
	h.t.Helper()
	h.watermark = millis
	for _, s := range h.subtasks {
		h.must(s.in.Event(element.Event{Kind: element.Watermark, Time: millis}), "watermark")
	}
}

// Now returns the wall clock of the processor.
func (h *Harness[In, Out]) Now() time.Time { return h.now }

// AdvanceTime lets the wall clock advance. Timers of processing time fire on the way, each at its time.
func (h *Harness[In, Out]) AdvanceTime(d time.Duration) {
	h.t.Helper()
	h.ready()
	end := h.now.Add(d)
	for {
		ticker, at := h.nextTick()
		if ticker == nil || at.After(end) {
			break
		}
		if at.After(h.now) {
			h.now = at
		}
		h.must(ticker.Tick(h.now), "timer")
	}
	h.now = end
}

// nextTick returns who has the next timer of processing time, and when.
func (h *Harness[In, Out]) nextTick() (next operator.Ticker, at time.Time) {
	for _, s := range h.subtasks {
		ticker, ok := s.op.(operator.Ticker)
		if !ok {
			continue
		}
		if due, ok := ticker.NextTick(); ok && (next == nil || due.Before(at)) {
			next, at = ticker, due
		}
	}
	return next, at
}

// SnapshotAndRestore takes a snapshot, writes it in the form it has on disk, and goes on with new instances that are restored from it: as
// many as there were, or as many as are given. It must not change what comes out.
func (h *Harness[In, Out]) SnapshotAndRestore(parallelism ...int) {
	h.t.Helper()
	h.ready()
	n := len(h.subtasks)
	if len(parallelism) > 0 {
		n = parallelism[0]
	}
	if n < 1 || n > maxParallelism {
		h.t.Fatalf("weirtest: restore at parallelism %d: it must be from 1 to %d", n, maxParallelism)
	}
	state, err := h.restore(h.snapshot(), n)
	h.must(err, "restore")
	h.close()
	h.restored = h.snapshots
	h.start(n, state)
	if h.watermark != element.NoTime {
		h.event(h.watermark) // what comes before a step has its watermark in the snapshot too
	}
}

// snapshot returns a snapshot as it is on disk.
func (h *Harness[In, Out]) snapshot() []byte {
	h.t.Helper()
	ctx := context.Background()
	h.snapshots++
	meta := &snapshot.Metadata{
		Job: job.ID{1}, JobName: h.job.Name(), Line: "weirtest", Checkpoint: h.snapshots, Epoch: 1, Triggered: h.now, Completed: h.now,
		KeyHash: keyhash.Name, GroupRule: keygroup.GroupRule,
	}
	op := snapshot.OperatorState{ID: job.OperatorIDOf("operator"), Name: "operator", Named: true, Parallelism: len(h.subtasks), MaxParallelism: maxParallelism}
	memory, err := storage.NewMemory(storage.MemoryOptions{Job: meta.Job})
	h.must(err, "snapshot")
	for _, s := range h.subtasks {
		of := operator.Checkpoint{ID: h.snapshots, Kind: element.CanonicalSavepoint, Triggered: h.now}
		h.must(s.op.PrepareBarrier(ctx, of), "snapshot")
		capture, err := s.op.Snapshot(ctx, of)
		h.must(err, "snapshot")
		var state *snapshot.OperatorSubtask
		if capture != nil {
			state, err = capture.Write(ctx, streams{memory, h.snapshots})
			capture.Release()
			h.must(err, "write the snapshot")
		}
		op.Subtasks = append(op.Subtasks, state)
	}
	meta.Operators = []snapshot.OperatorState{op}
	data, err := snapshot.Encode(meta)
	h.must(err, "encode the snapshot")
	return data
}

// streams keeps the streams of a snapshot inside it.
type streams struct {
	storage storage.Storage
	id      job.CheckpointID
}

func (s streams) NewStream(ctx context.Context, scope snapshot.Scope) (snapshot.StreamWriter, error) {
	return s.storage.NewWriter(ctx, storage.Location{ID: s.id}, scope), nil
}

// restore deals out what a snapshot holds.
func (h *Harness[In, Out]) restore(data []byte, parallelism int) ([]*snapshot.OperatorSubtask, error) {
	meta, err := snapshot.Decode(data)
	if err != nil {
		return nil, err
	}
	id := job.OperatorIDOf("operator")
	a, err := assign.Assign(meta, assign.Job{Vertices: []assign.Vertex{{
		ID: job.VertexID(id), Name: "operator", Parallelism: parallelism, MaxParallelism: maxParallelism,
		Operators: []assign.Operator{{ID: id, Name: "operator", Named: true}},
	}}}, assign.Options{})
	if err != nil {
		return nil, err
	}
	return a.Vertices[0].Operators[0].Subtasks, nil
}

// Want expects that the processor has emitted these records since the last call of Want or Outputs, in this order. Records are compared as
// %+v prints them.
func (h *Harness[In, Out]) Want(records ...Out) {
	h.t.Helper()
	if d := differInOrder(texts(h.Outputs()), texts(records)); d != "" {
		h.t.Errorf("the processor has emitted other records:\n%s", d)
	}
}

// Outputs returns what the processor has emitted since the last call of Want or Outputs.
func (h *Harness[In, Out]) Outputs() []Out { return h.out.take() }

// Finish says that the data have ended: event time comes to its end, and the processor's method Finish is called.
func (h *Harness[In, Out]) Finish() {
	h.t.Helper()
	h.ready()
	h.event(element.MaxTime)
	for _, s := range h.subtasks {
		h.must(s.op.Finish(context.Background()), "finish")
	}
	h.finished = true
}

// Close closes the processor. The end of the test does it too.
func (h *Harness[In, Out]) Close() { h.t.Helper(); h.close() }

func (h *Harness[In, Out]) close() {
	h.t.Helper()
	for _, s := range h.subtasks {
		if err := s.op.Close(); err != nil {
			h.t.Errorf("weirtest: close: %v", err)
		}
	}
	h.subtasks = nil
}

// SideHarness holds what a processor has emitted to one of its side outputs.
type SideHarness[R any] struct {
	t   T
	out *collector[R]
}

// Side returns what comes out of a side output: the field of the very processor that the harness was made with. It has to be called before
// the processor gets its first record.
func Side[R, In, Out any](h *Harness[In, Out], side *weir.Side[R]) *SideHarness[R] {
	h.t.Helper()
	if h.subtasks != nil {
		h.t.Fatalf("weirtest: Side has to be called before the processor gets its first record")
	}
	for i, s := range h.step.Sides {
		if s == any(side) {
			c := &collector[R]{}
			h.sides[1+i] = c
			return &SideHarness[R]{h.t, c}
		}
	}
	h.t.Fatalf("weirtest: the side output does not belong to this processor: pass the address of a field of the struct that the harness was made with")
	return nil
}

// Want is like Harness.Want.
func (s *SideHarness[R]) Want(records ...R) {
	s.t.Helper()
	if d := differInOrder(texts(s.out.take()), texts(records)); d != "" {
		s.t.Errorf("the side output has got other records:\n%s", d)
	}
}
