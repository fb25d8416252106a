package weir

import (
	"errors"

	"github.com/weirstream/weir/internal/element"
	"github.com/weirstream/weir/state"
	"github.com/weirstream/weir/window"
)

// counting is the state of Count.
type counting struct {
	N state.Value[int64] `state:"count"`
}

// Count counts the records of each key and emits the new count for each record.
func Count[K comparable, T any](in Keyed[K, T], id string, options ...Option) Stream[KV[K, int64]] {
	return keyedStep(in, id, &counting{}, options, func(o *keyedOp[K, T, KV[K, int64]], copied any) {
		n := &copied.(*counting).N
		o.each = func(b *element.Batch[T]) error { return countEach(o, n, b) }
	})
}

func countEach[K comparable, T any](o *keyedOp[K, T, KV[K, int64]], n *state.Value[int64], b *element.Batch[T]) error {
	c, store := &o.Ctx, o.store
	keys, refs := o.keys[:len(b.Recs)], o.refs[:len(b.Recs)]
	for i := range keys {
		store.Seek(refs[i])
		count := n.Get() + 1
		n.Set(count)
		c.recs = append(c.recs, KV[K, int64]{keys[i], count})
	}
	c.ts = append(c.ts, b.TS...)
	return nil
}

// Reduce combines the records of each key and emits the new result for each record. The first record is the first result. It is state "value"; T
// may have [Migrating].
func Reduce[K comparable, T any](in Keyed[K, T], id string, combine func(T, T) T, options ...Option) Stream[T] {
	return Process(in, id, &reducer[K, T]{combine: combine}, options...)
}

type reducer[K comparable, T any] struct {
	Sum     state.Value[T]    `state:"value"`
	Some    state.Value[bool] `state:"present"`
	combine func(T, T) T
}

// On combines a record with what came before.
func (r *reducer[K, T]) On(c *Ctx[K, T], e T) error {
	if r.Some.Get() {
		e = r.combine(r.Sum.Get(), e)
	}
	r.Sum.Set(e)
	r.Some.Set(true)
	c.Emit(e)
	return nil
}

// Migrating is what the type of an accumulator or a record can have, of [Aggregate], [Window] or [Reduce]: functions that make values of it from those
// of its former types, as a processor's method of that name. It is called on a zero value. A type that several of these steps keep may have
// migrations of the states of all.
type Migrating interface{ Migrations() []state.Migration }

// The states of the steps that ask the type of what they keep for its migrations.
const (
	accumulatorState = "accumulator"
	panesState       = "panes"
	valueState       = "value"
)

// migrationsOf returns the migrations that a type has, but for those of the states of other steps.
func migrationsOf[T any](kept string) []state.Migration {
	m, ok := any(new(T)).(Migrating)
	if !ok {
		return nil
	}
	var all []state.Migration
	for _, x := range m.Migrations() {
		switch name := x.State(); name {
		case accumulatorState, panesState, valueState:
			if name != kept {
				continue
			}
		}
		all = append(all, x)
	}
	return all
}

// Migrations implements Migrating.
func (*reducer[K, T]) Migrations() []state.Migration { return migrationsOf[T](valueState) }

// Aggregate adds the records of each key to an accumulator, which is zero at first, and emits a result for each record. The accumulator is state
// "accumulator"; Acc may have [Migrating].
func Aggregate[K comparable, In, Acc, Out any](in Keyed[K, In], id string, add func(*Acc, In), result func(K, Acc) Out, options ...Option) Stream[Out] {
	return Process(in, id, &aggregator[K, In, Acc, Out]{add: add, result: result}, options...)
}

type aggregator[K comparable, In, Acc, Out any] struct {
	Acc    state.Value[Acc] `state:"accumulator"`
	add    func(*Acc, In)
	result func(K, Acc) Out
}

// Migrations implements Migrating.
func (*aggregator[K, In, Acc, Out]) Migrations() []state.Migration {
	return migrationsOf[Acc](accumulatorState)
}

// On adds a record.
func (a *aggregator[K, In, Acc, Out]) On(c *Ctx[K, Out], e In) error {
	acc := a.Acc.Get()
	a.add(&acc, e)
	a.Acc.Set(acc)
	c.Emit(a.result(c.key, acc))
	return nil
}

// Window adds the records of each key and event-time window to an accumulator, which is zero at first, and emits one result when event
// time has passed the window's end. The result carries the last millisecond of the window as its event time. Records that come later are
// dropped and counted as late_records; records without event time are an error. The accumulators are state "panes"; Acc may have [Migrating].
func Window[K comparable, In, Acc, Out any](in Keyed[K, In], id string, w window.Assigner, add func(*Acc, In), result func(K, window.Span, Acc) Out, options ...Option) Stream[Out] {
	if err := w.Validate(); err != nil {
		in.in.job.fail("step %q: %w", id, err)
	}
	return Process(in, id, &windowed[K, In, Acc, Out]{windows: w, add: add, result: result}, options...)
}

var errNoTime = errors.New("the record has no event time: give it one by weir.EventTime before the window")

// windowed keeps the open windows of a key in a map by their start, and a timer at the end of the earliest.
type windowed[K comparable, In, Acc, Out any] struct {
	Panes state.Map[int64, Acc] `state:"panes"`
	End   Timer                 `timer:"end,event"`

	windows window.Assigner
	add     func(*Acc, In)
	result  func(K, window.Span, Acc) Out
	late    *Counter
}

// Migrations implements Migrating.
func (*windowed[K, In, Acc, Out]) Migrations() []state.Migration {
	return migrationsOf[Acc](panesState)
}

// Open finds the counter of late records.
func (w *windowed[K, In, Acc, Out]) Open(c *Ctx[K, Out]) error {
	w.late = c.Counter("late_records")
	return nil
}

// On adds a record to its window.
func (w *windowed[K, In, Acc, Out]) On(c *Ctx[K, Out], e In) error {
	at := c.TimeMillis()
	if at == element.NoTime {
		return Permanent(errNoTime)
	}
	start := w.windows.StartOf(at)
	last := start + w.windows.Size().Milliseconds() - 1
	if last <= c.WatermarkMillis() {
		w.late.Inc()
		return nil
	}
	acc, _ := w.Panes.Get(start)
	w.add(&acc, e)
	w.Panes.Put(start, acc)
	if next, ok := w.End.Deadline(); !ok || last < next.UnixMilli() {
		w.End.AtMillis(last)
	}
	return nil
}

// OnTimer emits the windows that have ended, and waits for the next one.
func (w *windowed[K, In, Acc, Out]) OnTimer(c *Ctx[K, Out], _ *Timer) error {
	size := w.windows.Size().Milliseconds()
	start := c.TimeMillis() + 1 - size // a timer stands at the last millisecond of the earliest window
	if acc, ok := w.Panes.Get(start); ok {
		w.Panes.Delete(start)
		c.Emit(w.result(c.key, window.Span{Start: start, End: start + size}, acc))
	}
	next := element.MaxTime
	for other := range w.Panes.All() {
		next = min(next, other)
	}
	if next != element.MaxTime {
		w.End.AtMillis(next + size - 1)
	}
	return nil
}
