package weir

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"time"

	"github.com/weirstream/weir/internal/backend/heap"
	"github.com/weirstream/weir/internal/backend/transfer"
	"github.com/weirstream/weir/internal/element"
	"github.com/weirstream/weir/internal/graph"
	"github.com/weirstream/weir/internal/keygroup"
	"github.com/weirstream/weir/internal/keyhash"
	"github.com/weirstream/weir/internal/metrics"
	"github.com/weirstream/weir/internal/protocol/snapshot"
	"github.com/weirstream/weir/internal/runtime/operator"
	"github.com/weirstream/weir/internal/runtime/program"
	"github.com/weirstream/weir/internal/stateform"
	"github.com/weirstream/weir/state"
)

// Timer is a deadline per key, a field of a processor: see state.Timer. Timers is any number of them.
type (
	Timer  = state.Timer
	Timers = state.Timers
)

// Counter and Gauge are the metrics of a step.
type (
	Counter = metrics.Counter
	Gauge   = metrics.Gauge
)

// Processor handles the records of a keyed stream one by one. It is a struct, of which each subtask gets a copy; its fields of the types
// in package state hold the state of the record's key; a state.UnionList or a state.Broadcast is the subtask's.
//
// A processor may also have these methods:
//
//	Open(c *Ctx[K, Out]) error                      before the first record
//	OnTimer(c *Ctx[K, Out], t *Timer) error         when a timer is due; needed if there are Timer fields
//	Finish(c *Ctx[K, Out]) error                    at the end of the data, before the last checkpoint
//	Close() error                                   when the subtask ends, also after an error, if Open was called
//
//	BeforeCheckpoint(c *Ctx[K, Out], of CheckpointInfo) error      before the state is captured; may set state and emit
//	CheckpointComplete(c *Ctx[K, Out], of CheckpointInfo) error    when the checkpoint exists; must not emit
//	CheckpointAborted(c *Ctx[K, Out], of CheckpointInfo) error     when there will be no such checkpoint; must not emit
//
//	Migrations() []state.Migration                  how values of earlier types become those of its state: see state.Migrate
//
// All but the last run on the subtask's goroutine, one at a time. But for OnTimer there is no key. An error or a panic fails the subtask, and
// with it the job, which its restart strategy may restart. When each is called, and when it is not:
// docs/checkpoints.md, "What your code is told".
type Processor[K comparable, In, Out any] interface {
	On(c *Ctx[K, Out], e In) error
}

// The optional methods of a processor.
type (
	opener[K comparable, Out any] interface{ Open(c *Ctx[K, Out]) error }
	timed[K comparable, Out any]  interface {
		OnTimer(c *Ctx[K, Out], t *Timer) error
	}
	finisher[K comparable, Out any] interface{ Finish(c *Ctx[K, Out]) error }
	closer                          interface{ Close() error }
)

// Process runs a processor over a keyed stream. The id is what the processor's state is found by.
func Process[K comparable, In, Out any](in Keyed[K, In], id string, p Processor[K, In, Out], options ...Option) Stream[Out] {
	return keyedStep(in, id, p, options, func(o *keyedOp[K, In, Out], copied any) {
		p := copied.(Processor[K, In, Out])
		o.each = func(b *element.Batch[In]) error { return o.processEach(p, b) }
	})
}

// keyedStep adds a step whose state belongs to keys. ready is called for each subtask with the copy of the processor.
func keyedStep[K comparable, In, Out any](in Keyed[K, In], id string, p any, options []Option, ready func(o *keyedOp[K, In, Out], copied any)) Stream[Out] {
	j := in.in.job
	form, lists, err := checkKeyed[K, Out](j, id, p)
	if err != nil {
		j.fail("step %q: %w", id, err)
	}
	step := program.Step{
		Form: form,
		In:   operator.TypeOf[In](),
		Outs: []operator.Type{operator.TypeOf[Out]()},
		Make: func(env *operator.Env, outs []any) (any, operator.Operator, error) {
			copied := copyOf(p)
			o, err := newKeyedOp[K, In, Out](env, in.key, copied, outs)
			if err != nil {
				return nil, nil, err
			}
			ready(o, copied)
			return o, o, nil
		},
		Union: lists.Names(snapshot.Union),
	}
	addSides(&step, p)
	n := addNode(j, graph.Node{Name: id, Named: true, Keyed: true, Inputs: in.in.edges}, step, options)
	return stream[Out](j, n, 0)
}

// checkKeyed finds out while the job is built what would go wrong when it runs, and what the step's state looks like.
func checkKeyed[K comparable, Out any](j *Job, id string, p any) (form stateform.Form, lists heap.OperatorLists, err error) {
	if err := checkTemplate(p); err != nil {
		return form, lists, err
	}
	layout, err := heap.NewLayout(reflect.TypeFor[K]())
	if err != nil {
		return form, lists, err
	}
	copied := copyOf(p)
	if err := errors.Join(layout.BindWith(&lists, copied), lists.Reserve(operator.WatermarkState), checkMethods[K, Out](copied)); err != nil {
		return form, lists, err
	}
	form = layout.Form()
	form.Lists = append(lists.Form().Lists, operator.WatermarkList)
	for _, w := range layout.Warnings() {
		j.warn("step %q: %s", id, w)
	}
	if _, ok := copied.(timed[K, Out]); !ok && layout.Timers() > 0 {
		return form, lists, fmt.Errorf("%T has timers but no method OnTimer(*weir.Ctx[%v, %v], *weir.Timer) error", p, reflect.TypeFor[K](), reflect.TypeFor[Out]())
	}
	return form, lists, nil
}

// keyedOp runs a step whose state belongs to keys: it finds the rows of a batch's keys, and lets each handle the records one by one.
type keyedOp[K comparable, In, Out any] struct {
	hooked[K, Out]
	keyOf   func(In) K
	layout  *heap.Layout
	store   *heap.Store[K]
	chain   operator.Chain  // of increments, if there are any
	files   *transfer.Files // of a byte store under the table, nil without one
	log     *changelog      // of changes, nil if checkpoints hold the state itself
	sizes   stateSizes
	each    func(b *element.Batch[In]) error
	part    element.Batch[In] // the part of a batch that is being handled
	keys    []K               // of its records, as refs
	refs    []heap.Ref
	hashes  []uint64
	rehash  func(keys []K, hashes []uint64)
	onTimer func(c *Ctx[K, Out], t *Timer) error
	timers  []*Timer
	expires bool // some state has a TTL
	// continues says that the byte store was opened with the files of one checkpoint, all of them and no others.
	continues bool
}

func newKeyedOp[K comparable, In, Out any](env *operator.Env, key func(In) K, processor any, outs []any) (*keyedOp[K, In, Out], error) {
	o := &keyedOp[K, In, Out]{hooked: newHooked[K, Out](env, processor, outs), keyOf: key, keys: make([]K, keyedBatch), refs: make([]heap.Ref, keyedBatch),
		hashes: make([]uint64, keyedBatch), rehash: rehasher[K]()}
	var err error
	if o.layout, err = heap.NewLayout(reflect.TypeFor[K]()); err != nil {
		return nil, err
	}
	if err := o.layout.BindWith(&o.lists, processor); err != nil {
		return nil, err
	}
	if (env.Incremental || env.Changelog != nil) && env.Backend == nil {
		o.layout.Track()
	}
	if env.Compress {
		o.layout.Compress()
	}
	if t, ok := processor.(timed[K, Out]); ok {
		o.onTimer = t.OnTimer
	}
	return o, nil
}

// Open makes the table and restores into it.
func (o *keyedOp[K, In, Out]) Open(ctx context.Context) error {
	hash, _, err := keyhash.Of[K]()
	if err != nil {
		return err
	}
	groups := keygroup.RangeOf(o.env.Subtask, o.env.Parallelism, o.env.MaxParallelism)
	o.store, err = heap.NewStore(o.layout, groups, o.env.MaxParallelism, hash)
	if err != nil {
		return err
	}
	for i := range o.layout.Timers() {
		o.timers = append(o.timers, timerOf(o.layout.Timer(i)))
	}
	o.expires = o.layout.Expires()
	o.tellTime(&o.at)
	if o.env.Backend != nil {
		err = o.openStore(ctx, groups)
	} else {
		err = o.restoreAll(ctx)
	}
	if err != nil {
		return fmt.Errorf("step %q: %w", o.env.Name, err)
	}
	o.sizes.begin(o.env.Metrics, groups.Len(), o.store.Sizes)
	measure(o.env, o.store)
	if o.env.Changelog != nil {
		o.log = openChangelog(o.env, o.store, o.files)
	}
	if o.env.Restored != nil {
		if epoch, ok := o.store.Restored(); ok && o.files == nil && o.log != nil {
			o.log.restoredTables(o.env, epoch, groups)
		} else if ok && o.files == nil {
			o.chain.Restored(o.env.RestoredFrom, uint32(epoch), o.env.Restored.Keyed, groups)
		} else if o.log != nil && o.continues {
			o.log.restoredStore(o.env, groups)
		}
		if o.seen, err = operator.ReadWatermark(ctx, o.env); err != nil {
			return fmt.Errorf("step %q: %w", o.env.Name, err)
		}
		if err := o.restoreLists(ctx, operator.WatermarkState); err != nil {
			return fmt.Errorf("step %q: %w", o.env.Name, err)
		}
	}
	return o.open()
}

// timerOf returns what OnTimer is called with for a field of a processor.
func timerOf(field any) *Timer {
	if many, ok := field.(*Timers); ok {
		return many.Timer()
	}
	return field.(*Timer)
}

// tellTime tells the table what time it is, if that matters to any state. record is where the event time of the present record is found.
func (o *keyedOp[K, In, Out]) tellTime(record *int64) {
	if o.expires {
		o.store.SetTime(o.env.Now().UnixMilli())
		o.store.SetEventTime(o.seen, record)
	}
}

// sweep looks for state that has expired, a few rows for each record.
func (o *keyedOp[K, In, Out]) sweep(records int) {
	const perRecord = 2
	if o.expires {
		o.store.Sweep(perRecord * records)
	}
}

// restoreAll reads what the step goes on with into the table.
func (o *keyedOp[K, In, Out]) restoreAll(ctx context.Context) error {
	if o.env.Restored == nil {
		return nil
	}
	for _, k := range o.env.Restored.Keyed {
		if k.Format != "" {
			return otherBackend(k.Format, "hashmap")
		}
		if err := o.restore(ctx, k); err != nil {
			return err
		}
	}
	return nil
}

func (o *keyedOp[K, In, Out]) restore(ctx context.Context, k snapshot.Keyed) error {
	r, err := o.env.OpenStream(ctx, k.Stream)
	if err != nil {
		return err
	}
	defer r.Close()
	return o.restoreFrom(k, r)
}

func (o *keyedOp[K, In, Out]) restoreFrom(k snapshot.Keyed, r io.ReaderAt) error {
	if o.env.LeaveUndeclared {
		return o.store.RestoreDeclared(k, r)
	}
	return o.store.Restore(k, r)
}

// keyedBatch is the number of records that are handled at a time: what is known of them, and their results, then stays in the first-level
// cache until it is used.
const keyedBatch = 256

// Push handles a batch, which may be larger than keyedBatch.
func (o *keyedOp[K, In, Out]) Push(b *element.Batch[In]) error {
	o.untimed = b.Untimed
	for from := 0; from < len(b.Recs); from += keyedBatch {
		to := min(from+keyedBatch, len(b.Recs))
		o.part = element.Batch[In]{Recs: b.Recs[from:to], TS: b.TS[from:to], Untimed: b.Untimed, Split: b.Split}
		if len(b.Hash) > 0 {
			o.part.Hash = b.Hash[from:to]
		}
		if err := o.handle(&o.part); err != nil {
			return err
		}
	}
	o.part = element.Batch[In]{}
	return nil
}

func (o *keyedOp[K, In, Out]) handle(b *element.Batch[In]) error {
	n, keyOf := len(b.Recs), o.keyOf
	keys, refs := o.keys[:n], o.refs[:n]
	for i := range b.Recs {
		keys[i] = keyOf(b.Recs[i])
	}
	if len(b.Hash) == 0 {
		b.Hash = o.hashes[:n]
		o.rehash(keys, b.Hash)
	}
	o.tellTime(&o.at)
	o.store.Resolve(keys, b.Hash, refs)
	err := o.store.Err()
	if err == nil {
		err = o.each(b)
	}
	o.store.EndBatch()
	o.sweep(n)
	o.log.batchEnded()
	o.sizes.batchEnded()
	if err = cmp.Or(err, o.store.Err()); err != nil {
		return err
	}
	return o.flush(b.Split)
}

// processEach calls a processor for each record. It is a method and no closure, because the compiler does not inline calls in a closure
// whose maker is itself inlined.
func (o *keyedOp[K, In, Out]) processEach(p Processor[K, In, Out], b *element.Batch[In]) (err error) {
	defer o.rescue(&err)
	c, store, sides := &o.Ctx, o.store, len(o.sides) > 0
	keys, refs, ts := o.keys[:len(b.Recs)], o.refs[:len(b.Recs)], b.TS[:len(b.Recs)]
	for i := range b.Recs {
		c.key, c.at = keys[i], ts[i]
		store.Seek(refs[i])
		if err := p.On(c, b.Recs[i]); err != nil {
			o.cut()
			return o.fault(err, true)
		}
		if len(c.recs) == len(c.ts)+1 && !sides { // what most processors do, without a call
			c.ts = append(c.ts, c.at)
		} else {
			o.stamp(c.at)
		}
		if len(c.recs) >= emitBatch {
			if err := store.Err(); err != nil { // what a large map could not read was not in it for the processor
				return err
			}
			if err := o.flush(b.Split); err != nil {
				return err
			}
		}
	}
	return nil
}

// rescue turns a panic of the user's code into an error that names the key.
func (o *keyedOp[K, In, Out]) rescue(err *error) {
	if r := recover(); r != nil {
		o.cut()
		*err = o.fault(operator.PanicError(o.env.Name, o.env.Subtask, r), true)
	}
}

// Event fires the timers that a watermark makes due, before it passes the watermark on.
func (o *keyedOp[K, In, Out]) Event(e element.Event) error {
	if e.Kind == element.Watermark && e.Time > o.seen {
		o.seen = e.Time
		o.tellTime(&o.at)
		if err := o.fire(o.store.FireEvent, e.Time); err != nil {
			return err
		}
		o.sweep(keyedBatch)
	}
	return o.event(e)
}

// fire calls OnTimer for the timers of one domain that are due.
func (o *keyedOp[K, In, Out]) fire(due func(int64, func(heap.Ref, K, int, int64) error) error, upTo int64) (err error) {
	if len(o.timers) == 0 {
		return nil
	}
	defer o.rescue(&err)
	o.untimed = false
	err = due(upTo, func(r heap.Ref, key K, timer int, at int64) error {
		o.key, o.at = key, at
		o.store.Seek(r)
		if err := o.onTimer(&o.Ctx, o.timers[timer]); err != nil {
			o.cut()
			return o.fault(err, true)
		}
		o.stamp(at)
		if len(o.recs) >= emitBatch {
			if err := o.store.Err(); err != nil {
				return err
			}
			return o.flush(0)
		}
		return nil
	})
	o.store.EndBatch()
	o.log.batchEnded()
	if err = cmp.Or(err, o.store.Err()); err != nil {
		return err
	}
	return o.flush(0)
}

// NextTick returns when the next processing-time timer is due, or the state is to be written as a whole.
func (o *keyedOp[K, In, Out]) NextTick() (time.Time, bool) {
	at, ok := o.store.NextProcessing()
	return o.log.nextTick(time.UnixMilli(at), ok)
}

// Tick fires the processing-time timers that are due.
func (o *keyedOp[K, In, Out]) Tick(now time.Time) error {
	o.log.tick(now)
	noTime := element.NoTime // the time of these timers is no event time
	o.tellTime(&noTime)
	return o.fire(o.store.FireProcessing, now.UnixMilli())
}

// Snapshot captures the table and the lists.
func (o *keyedOp[K, In, Out]) Snapshot(_ context.Context, c operator.Checkpoint) (operator.Capture, error) {
	beside, err := o.captureLists()
	if err != nil {
		return nil, err
	}
	beside.Lists = append(beside.Lists, operator.WatermarkCapture(o.seen).Lists...)
	if o.log != nil && !c.Kind.IsSavepoint() {
		return &loggedCapture{o.log.Checkpoint(c.ID, c.Kind), beside}, nil
	}
	if o.files != nil {
		return o.captureStore(c, beside), nil
	}
	if !o.env.Incremental || c.Kind.IsSavepoint() {
		return keyedCapture{o.store.Capture(), nil, beside}, nil
	}
	captured, base := (*heap.Capture)(nil), o.chain.Base(c.Kind, o.env.MayUse)
	if base == nil {
		captured = o.store.Capture()
	} else if captured = o.store.CaptureSince(heap.Epoch(base.Epoch())); !captured.IsIncrement() {
		base = nil
	}
	return keyedCapture{captured, o.chain.Take(c.ID, uint32(captured.Epoch()), base), beside}, nil
}

// CheckpointComplete notes what increments can stand on, and tells the processor.
func (o *keyedOp[K, In, Out]) CheckpointComplete(c operator.Checkpoint) error {
	o.sizes.completed()
	if o.log != nil {
		return o.hooked.CheckpointComplete(c)
	}
	if o.files != nil {
		o.files.Completed(c.ID)
	} else if base, ok := o.chain.Complete(c.ID); ok {
		o.store.Confirmed(heap.Epoch(base.Epoch()))
	}
	return o.hooked.CheckpointComplete(c)
}

// CheckpointAborted notes that nothing will stand on the checkpoint, and tells the processor.
func (o *keyedOp[K, In, Out]) CheckpointAborted(c operator.Checkpoint) error {
	if o.files != nil && o.log == nil {
		o.files.Aborted(c.ID)
	}
	o.chain.Aborted(c.ID)
	return o.hooked.CheckpointAborted(c)
}

// Finish lets the processor emit what it holds back.
func (o *keyedOp[K, In, Out]) Finish(context.Context) (err error) {
	o.untimed, o.finished = false, true
	if p, ok := o.processor.(finisher[K, Out]); ok {
		defer o.rescueWithoutKey(&err)
		if err := p.Finish(&o.Ctx); err != nil {
			return o.fault(err, false)
		}
		o.stamp(o.at)
	}
	return o.flush(0)
}

// Close closes the processor and frees the table.
func (o *keyedOp[K, In, Out]) Close() error {
	if o.store != nil {
		o.sizes.end()
		defer o.store.Close() // also if the processor panics: what it leaves open is shared with other subtasks
	}
	defer o.log.close()
	return o.hooked.Close()
}

// keyedCapture writes a captured table to one stream, and beside it the state of the subtask and the watermark up to which its timers have
// fired.
type keyedCapture struct {
	c      *heap.Capture
	link   *operator.Link // nil if no increment will stand on it
	beside *operator.ListCapture
}

// Write writes all.
func (k keyedCapture) Write(ctx context.Context, streams operator.Streams) (*snapshot.OperatorSubtask, error) {
	scope := snapshot.Exclusive
	if k.link != nil {
		scope = snapshot.Shared
	}
	out, err := streams.NewStream(ctx, scope)
	if err != nil {
		return nil, err
	}
	keyed, err := k.c.Write(out)
	if err != nil {
		return nil, errors.Join(err, out.Abort())
	}
	if keyed.Stream, err = out.Finish(); err != nil {
		return nil, err
	}
	chain := []snapshot.Keyed{keyed}
	if k.link != nil {
		chain = k.link.Written(keyed)
	}
	return besides(ctx, streams, k.beside, chain...)
}

// Release gives the captured pages up.
func (k keyedCapture) Release() { k.c.Release() }
