package weir

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/weirstream/weir/internal/backend/heap"
	"github.com/weirstream/weir/internal/runtime/operator"
	"github.com/weirstream/weir/state"
)

// CheckpointInfo is what a processor is told of a checkpoint.
type CheckpointInfo struct {
	ID        int64
	Triggered time.Time // by the job's wall clock; the zero time if it is not known
	// Subsumed is the newest checkpoint that is deleted now that this one is complete, and all before it are gone too. It is 0 if there is
	// none, if that is not known, and before a checkpoint is complete.
	Subsumed int64
}

// The optional methods of a processor that follow its checkpoints.
type (
	beforeCheckpoint[K comparable, Out any] interface {
		BeforeCheckpoint(c *Ctx[K, Out], of CheckpointInfo) error
	}
	checkpointComplete[K comparable, Out any] interface {
		CheckpointComplete(c *Ctx[K, Out], of CheckpointInfo) error
	}
	checkpointAborted[K comparable, Out any] interface {
		CheckpointAborted(c *Ctx[K, Out], of CheckpointInfo) error
	}
)

// hooked is what the steps with processors have in common: results that are sent on, and a processor that is told of checkpoints.
type hooked[K comparable, Out any] struct {
	operator.Base
	results[K, Out]
	processor any
	lists     heap.OperatorLists // state of the subtask
	opened    bool               // the processor's methods have been called, or would have been if it had them
	finished  bool               // the processor has had its last word
}

func newHooked[K comparable, Out any](env *operator.Env, processor any, outs []any) hooked[K, Out] {
	h := hooked[K, Out]{Base: operator.Base{OperatorID: env.Operator}, processor: processor}
	h.init(env, processor, outs)
	return h
}

// open opens the processor.
func (h *hooked[K, Out]) open() error {
	h.opened = true
	if p, ok := h.processor.(opener[K, Out]); ok {
		if err := p.Open(&h.Ctx); err != nil {
			return err
		}
	}
	return h.mustNotEmit("Open")
}

// Close closes the processor, unless its subtask ended before it came to be opened.
func (h *hooked[K, Out]) Close() error {
	if p, ok := h.processor.(closer); ok && h.opened {
		return p.Close()
	}
	return nil
}

// PrepareBarrier calls BeforeCheckpoint and sends on what it emits, which belongs before the barrier.
func (h *hooked[K, Out]) PrepareBarrier(_ context.Context, c operator.Checkpoint) error {
	p, ok := h.processor.(beforeCheckpoint[K, Out])
	if !ok || h.finished {
		return nil
	}
	if err := h.call(func() error { return p.BeforeCheckpoint(&h.Ctx, infoOf(c)) }); err != nil {
		return err
	}
	h.stamp(h.at)
	return h.flush(0)
}

// CheckpointComplete calls the processor's method of that name.
func (h *hooked[K, Out]) CheckpointComplete(c operator.Checkpoint) error {
	p, ok := h.processor.(checkpointComplete[K, Out])
	if !ok {
		return nil
	}
	return h.notify("CheckpointComplete", func() error { return p.CheckpointComplete(&h.Ctx, infoOf(c)) })
}

// CheckpointAborted calls the processor's method of that name.
func (h *hooked[K, Out]) CheckpointAborted(c operator.Checkpoint) error {
	p, ok := h.processor.(checkpointAborted[K, Out])
	if !ok {
		return nil
	}
	return h.notify("CheckpointAborted", func() error { return p.CheckpointAborted(&h.Ctx, infoOf(c)) })
}

// notify calls a method that must not emit: what it sent would not be sent again after a failure, and the outputs may have ended.
func (h *hooked[K, Out]) notify(name string, call func() error) error {
	if err := h.call(call); err != nil {
		return err
	}
	return h.mustNotEmit(name)
}

// mustNotEmit refuses what a method has emitted that must not.
func (h *hooked[K, Out]) mustNotEmit(method string) error {
	if !h.unstamped() {
		return nil
	}
	h.cut()
	return h.fault(fmt.Errorf("%s has emitted a record: emit in On, OnTimer, BeforeCheckpoint or Finish", method), false)
}

// restoreLists gives the processor the state of its subtask that the step goes on with. What the runtime keeps under the given name is none
// of it.
func (h *hooked[K, Out]) restoreLists(ctx context.Context, except string) error {
	if h.env.Restored == nil {
		return nil
	}
	var all []heap.ListData
	for _, l := range h.env.Restored.Lists {
		if l.Name == except || h.env.LeaveUndeclared && !h.lists.Has(l.Name) {
			continue
		}
		elements, err := operator.ReadElements(ctx, h.env.OpenStream, l)
		if err != nil {
			return fmt.Errorf("read state %q: %w", l.Name, err)
		}
		d := heap.ListData{Name: l.Name, Mode: l.Mode, Schema: l.Schema}
		for _, e := range elements {
			d.Offsets = append(d.Offsets, int64(len(d.Bytes)))
			d.Bytes = append(d.Bytes, e...)
		}
		all = append(all, d)
	}
	return h.lists.Restore(all)
}

// captureLists captures the state of the subtask.
func (h *hooked[K, Out]) captureLists() (*operator.ListCapture, error) {
	c := &operator.ListCapture{}
	for _, l := range h.lists.Capture() {
		elements, err := operator.CutElements(l.Bytes, l.Offsets)
		if err != nil {
			return nil, fmt.Errorf("state %q: %w", l.Name, err)
		}
		c.Lists = append(c.Lists, operator.ListData{Name: l.Name, Mode: l.Mode, Schema: l.Schema, Elements: elements})
	}
	return c, nil
}

// call calls a method of the processor outside of records and timers.
func (h *hooked[K, Out]) call(method func() error) (err error) {
	defer h.rescueWithoutKey(&err)
	if err := method(); err != nil {
		h.cut()
		return h.fault(err, false)
	}
	return nil
}

// rescueWithoutKey turns a panic of the user's code into an error where no record or timer of a key is being handled.
func (h *hooked[K, Out]) rescueWithoutKey(err *error) {
	if r := recover(); r != nil {
		h.cut()
		*err = operator.PanicError(h.env.Name, h.env.Subtask, r)
	}
}

func infoOf(c operator.Checkpoint) CheckpointInfo {
	return CheckpointInfo{ID: int64(c.ID), Triggered: c.Triggered, Subsumed: int64(c.Subsumed)}
}

// checkMethods reports methods of a processor that have the name of an optional one but not its form, and so would never be called.
func checkMethods[K comparable, Out any](processor any) error {
	v := reflect.ValueOf(processor)
	withCtx, ofCheckpoint := reflect.TypeFor[func(*Ctx[K, Out]) error](), reflect.TypeFor[func(*Ctx[K, Out], CheckpointInfo) error]()
	var errs []error
	for _, m := range []struct {
		name string
		is   reflect.Value
		form reflect.Type
	}{ // by constant names: the linker keeps every method of every type in a program that looks one up by any other
		{"Open", v.MethodByName("Open"), withCtx},
		{"OnTimer", v.MethodByName("OnTimer"), reflect.TypeFor[func(*Ctx[K, Out], *Timer) error]()},
		{"Finish", v.MethodByName("Finish"), withCtx},
		{"Close", v.MethodByName("Close"), reflect.TypeFor[func() error]()},
		{"BeforeCheckpoint", v.MethodByName("BeforeCheckpoint"), ofCheckpoint},
		{"CheckpointComplete", v.MethodByName("CheckpointComplete"), ofCheckpoint},
		{"CheckpointAborted", v.MethodByName("CheckpointAborted"), ofCheckpoint},
		{"Migrations", v.MethodByName("Migrations"), reflect.TypeFor[func() []state.Migration]()},
	} {
		if m.is.IsValid() && m.is.Type() != m.form {
			errs = append(errs, fmt.Errorf("%T has a method %s %v, which would never be called: make it %v", processor, m.name, m.is.Type(), m.form))
		}
	}
	return errors.Join(errs...)
}
