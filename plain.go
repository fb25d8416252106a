package weir

import (
	"context"
	"errors"

	"github.com/weirstream/weir/internal/backend/heap"
	"github.com/weirstream/weir/internal/element"
	"github.com/weirstream/weir/internal/graph"
	"github.com/weirstream/weir/internal/protocol/snapshot"
	"github.com/weirstream/weir/internal/runtime/operator"
	"github.com/weirstream/weir/internal/runtime/program"
	"github.com/weirstream/weir/internal/stateform"
)

// PlainProcessor handles the records of a stream without keys one by one. It is a struct, of which each subtask gets a copy. Its fields
// of the types state.List, state.UnionList and state.Broadcast hold state of the subtask; they differ in what a subtask gets of it after a
// restore. It may have all the optional methods of a Processor but OnTimer.
type PlainProcessor[In, Out any] interface {
	On(c *Ctx[NoKey, Out], e In) error
}

// ProcessPlain runs a processor over a stream without keys. The id is what the processor's state is found by.
func ProcessPlain[In, Out any](in Stream[In], id string, p PlainProcessor[In, Out], options ...Option) Stream[Out] {
	form, lists, err := checkPlain[Out](p)
	if err != nil {
		in.job.fail("step %q: %w", id, err)
	}
	step := program.Step{
		Form: form,
		In:   operator.TypeOf[In](),
		Outs: []operator.Type{operator.TypeOf[Out]()},
		Make: func(env *operator.Env, outs []any) (any, operator.Operator, error) {
			o, err := newPlainOp[In, Out](env, copyOf(p), outs)
			return o, o, err
		},
		Union: lists.Names(snapshot.Union),
	}
	addSides(&step, p)
	n := addNode(in.job, graph.Node{Name: id, Named: true, Inputs: in.edges}, step, options)
	return stream[Out](in.job, n, 0)
}

// checkPlain finds out while the job is built what would go wrong when it runs, and what the step's state looks like.
func checkPlain[Out any](p any) (form stateform.Form, lists heap.OperatorLists, err error) {
	if err := checkTemplate(p); err != nil {
		return form, lists, err
	}
	copied := copyOf(p)
	err = errors.Join(lists.Bind(copied), checkMethods[NoKey, Out](copied))
	return lists.Form(), lists, err
}

// plainOp runs a processor that has no keys.
type plainOp[In, Out any] struct {
	hooked[NoKey, Out]
	p PlainProcessor[In, Out]
}

func newPlainOp[In, Out any](env *operator.Env, p PlainProcessor[In, Out], outs []any) (*plainOp[In, Out], error) {
	o := &plainOp[In, Out]{hooked: newHooked[NoKey, Out](env, p, outs), p: p}
	return o, o.lists.Bind(p)
}

// Open restores the lists.
func (o *plainOp[In, Out]) Open(ctx context.Context) error {
	if err := o.restoreLists(ctx, ""); err != nil {
		return err
	}
	return o.open()
}

// Push handles a batch.
func (o *plainOp[In, Out]) Push(b *element.Batch[In]) error {
	if err := o.all(b); err != nil {
		return err
	}
	return o.flush(b.Split)
}

func (o *plainOp[In, Out]) all(b *element.Batch[In]) (err error) {
	defer o.rescueWithoutKey(&err)
	c, ts := &o.Ctx, b.TS[:len(b.Recs)]
	for i := range b.Recs {
		c.at = ts[i]
		if err := o.p.On(c, b.Recs[i]); err != nil {
			o.cut()
			return o.fault(err, false)
		}
		o.stamp(c.at)
		if len(c.recs) >= emitBatch {
			if err := o.flush(b.Split); err != nil {
				return err
			}
		}
	}
	return nil
}

// Event passes an event on.
func (o *plainOp[In, Out]) Event(e element.Event) error {
	if e.Kind == element.Watermark {
		o.seen = max(o.seen, e.Time)
	}
	return o.event(e)
}

// Snapshot captures the lists.
func (o *plainOp[In, Out]) Snapshot(context.Context, operator.Checkpoint) (operator.Capture, error) {
	return o.captureLists()
}

// Finish lets the processor emit what it holds back.
func (o *plainOp[In, Out]) Finish(context.Context) (err error) {
	o.finished = true
	if p, ok := o.p.(finisher[NoKey, Out]); ok {
		defer o.rescueWithoutKey(&err)
		if err := p.Finish(&o.Ctx); err != nil {
			return o.fault(err, false)
		}
		o.stamp(o.at)
	}
	return o.flush(0)
}
