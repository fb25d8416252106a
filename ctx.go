package weir

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/weirstream/weir/internal/element"
	"github.com/weirstream/weir/internal/runtime/operator"
)

// Ctx is what a processor sees of the job while it handles a record or a timer. It belongs to the runtime and must not be kept.
//
// K is the type of the key and Out that of the results; on a stream without keys K is NoKey.
type Ctx[K comparable, Out any] struct {
	recs []Out // results not yet sent on,
	ts   []int64
	key  K
	at   int64 // event time of the record or timer
	seen int64 // the watermark
	env  *operator.Env
}

// NoKey is the key of records in a stream without keys.
type NoKey struct{}

// Emit sends a result on. It carries the event time of the record or timer that is being handled.
func (c *Ctx[K, Out]) Emit(o Out) { c.recs = append(c.recs, o) }

// Key returns the key of the record or timer.
func (c *Ctx[K, Out]) Key() K { return c.key }

// Time returns the event time of the record, or the deadline of the timer, in UTC. ok is false if the record has none.
func (c *Ctx[K, Out]) Time() (at time.Time, ok bool) {
	if c.at == element.NoTime {
		return time.Time{}, false
	}
	return time.UnixMilli(c.at).UTC(), true
}

// TimeMillis returns what Time does in milliseconds since 1970 UTC, and the smallest int64 if the record has no time.
func (c *Ctx[K, Out]) TimeMillis() int64 { return c.at }

// WatermarkMillis returns the time that event time has passed, in milliseconds since 1970 UTC: no record with an event time up to it is
// on time any more. It is the smallest int64 while nothing is known.
func (c *Ctx[K, Out]) WatermarkMillis() int64 { return c.seen }

// Now returns the wall clock of the job, which is virtual in tests. It costs some 50 ns.
func (c *Ctx[K, Out]) Now() time.Time { return c.env.Now() }

// Subtask returns the number of the subtask that handles the record, from 0.
func (c *Ctx[K, Out]) Subtask() int { return c.env.Subtask }

// Parallelism returns the number of subtasks of the step.
func (c *Ctx[K, Out]) Parallelism() int { return c.env.Parallelism }

// Attempt returns 1 for the first start of the subtask in this process and one more after each restart.
func (c *Ctx[K, Out]) Attempt() int { return c.env.Attempt }

// IsRestored reports whether the job goes on from a checkpoint.
func (c *Ctx[K, Out]) IsRestored() bool { return c.env.RestoredFrom != 0 }

// RestoredCheckpoint returns the id of the checkpoint that the job goes on from. ok is false in a job that begins.
func (c *Ctx[K, Out]) RestoredCheckpoint() (id int64, ok bool) {
	return int64(c.env.RestoredFrom), c.env.RestoredFrom != 0
}

// Logger returns a logger that names the step and the subtask.
func (c *Ctx[K, Out]) Logger() *slog.Logger { return c.env.Logger }

// Counter returns the step's counter of that name in this subtask. Call it in Open and keep the result.
func (c *Ctx[K, Out]) Counter(name string) *Counter { return c.env.Metrics.Counter(name) }

// Gauge returns the step's gauge of that name in this subtask. Call it in Open and keep the result.
func (c *Ctx[K, Out]) Gauge(name string) *Gauge { return c.env.Metrics.Gauge(name) }

// emitBatch is the number of results after which they are sent on.
const emitBatch = 1024

// results sends on what a processor has emitted.
type results[K comparable, Out any] struct {
	Ctx[K, Out]
	out      operator.Pusher[Out]
	batch    element.Batch[Out]
	untimed  bool // the results were made from records without event time
	pointers bool
	sides    []sideField
}

// init connects the results with a step's outputs: the main one, and those of the processor's side outputs.
func (r *results[K, Out]) init(env *operator.Env, processor any, outs []any) {
	r.env, r.seen, r.at = env, element.NoTime, element.NoTime
	r.out, r.pointers = outs[0].(operator.Pusher[Out]), operator.HoldsPointers[Out]()
	r.sides = sidesOf(processor)
	for i, s := range r.sides {
		s.attach(outs[1+i])
	}
}

// stamp gives the results that were emitted since the last call the event time of the record or timer they were made from.
func (r *results[K, Out]) stamp(at int64) {
	for len(r.ts) < len(r.recs) {
		r.ts = append(r.ts, at)
	}
	for _, s := range r.sides {
		s.stamp(at)
	}
}

// cut takes back what was emitted since the last stamp: a record that failed has emitted nothing.
func (r *results[K, Out]) cut() {
	r.recs = r.recs[:len(r.ts)]
	for _, s := range r.sides {
		s.cut()
	}
}

// unstamped reports whether anything was emitted since the last stamp.
func (r *results[K, Out]) unstamped() bool {
	some := len(r.recs) > len(r.ts)
	for _, s := range r.sides {
		some = some || s.unstamped()
	}
	return some
}

// flush sends on what has been stamped.
func (r *results[K, Out]) flush(split int) error {
	for _, s := range r.sides {
		if err := s.flush(split); err != nil {
			return err
		}
	}
	if len(r.recs) == 0 {
		return nil
	}
	recs, ts := r.recs, r.ts
	r.batch = element.Batch[Out]{Recs: recs, TS: ts, Untimed: r.untimed, Split: split}
	err := r.out.Push(&r.batch)
	if r.pointers {
		clear(recs)
	}
	r.recs, r.ts = recs[:0], ts[:0]
	return err
}

// event passes an event to the outputs.
func (r *results[K, Out]) event(e element.Event) error {
	for _, s := range r.sides {
		if err := s.event(e); err != nil {
			return err
		}
	}
	return r.out.Event(e)
}

// fault says at which key an error or panic happened.
func (r *results[K, Out]) fault(err error, keyed bool) error {
	err = operator.InStep(r.env.Name, r.env.Subtask, err)
	if e, ok := err.(*operator.StepError); ok && keyed && e.Key == "" {
		e.Key = fmt.Sprintf("%v", r.key)
	}
	return err
}
