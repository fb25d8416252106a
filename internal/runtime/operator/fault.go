package operator

import (
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/weirstream/weir/internal/element"
	"github.com/weirstream/weir/internal/metrics"
)

// StepError is an error that a step of the user's program returned, or a panic in it.
type StepError struct {
	Step    string
	Subtask int
	Key     string // of the record or timer, if the step is keyed
	Err     error
	Stack   []byte // of a panic
}

// Error says where it happened and what; the stack of a panic follows on lines of its own.
func (e *StepError) Error() string {
	key := ""
	if e.Key != "" {
		key = ", key " + e.Key
	}
	text := fmt.Sprintf("step %q, subtask %d%s: %v", e.Step, e.Subtask, key, e.Err)
	if len(e.Stack) > 0 {
		text += "\n" + string(e.Stack)
	}
	return text
}

// Unwrap returns the error itself.
func (e *StepError) Unwrap() error { return e.Err }

// PanicError returns the error for a recovered panic. Call it from the deferred function, so that the stack is that of the panic.
func PanicError(step string, subtask int, recovered any) error {
	err, ok := recovered.(error)
	if !ok {
		err = fmt.Errorf("%v", recovered)
	}
	return &StepError{Step: step, Subtask: subtask, Err: fmt.Errorf("panic: %w", err), Stack: debug.Stack()}
}

// InStep says in which step an error happened, unless that is known already.
func InStep(step string, subtask int, err error) error {
	var known *StepError
	if err == nil || errors.As(err, &known) {
		return err
	}
	return &StepError{Step: step, Subtask: subtask, Err: err}
}

// Entry is what is measured where records go into a step.
type Entry struct {
	Records   *metrics.Counter
	Watermark *metrics.Gauge // in milliseconds since 1970 UTC; element.NoTime while there is none and while the input is idle
}

// NewEntry returns the metrics of a step's entry, before its first record. Numbers of records go on where an earlier attempt of the
// subtask left off; the watermark does not.
func NewEntry(s *metrics.Scope) Entry {
	e := Entry{s.Counter(RecordsIn), s.Gauge(Watermark)}
	e.Watermark.Set(element.NoTime)
	return e
}

// guard stands before a step. It measures what goes in and gives the step's errors and panics its name.
type guard[T any] struct {
	step    string
	subtask int
	entry   Entry
	next    Pusher[T]
}

func (g *guard[T]) Push(b *element.Batch[T]) (err error) {
	defer g.rescue(&err)
	g.entry.Records.Add(int64(len(b.Recs)))
	return g.name(g.next.Push(b))
}

func (g *guard[T]) Event(e element.Event) (err error) {
	defer g.rescue(&err)
	switch e.Kind {
	case element.Watermark:
		g.entry.Watermark.Set(e.Time)
	case element.Idle:
		g.entry.Watermark.Set(element.NoTime)
	}
	return g.name(g.next.Event(e))
}

func (g *guard[T]) name(err error) error {
	if err == nil {
		return nil
	}
	return InStep(g.step, g.subtask, err)
}

func (g *guard[T]) rescue(err *error) {
	if r := recover(); r != nil {
		*err = PanicError(g.step, g.subtask, r)
	}
}

// picking stands before an output that calls a function of the user's to find a record's channel, and names that function when it fails:
// the step that is pushing has no part in it.
type picking[T any] struct {
	function string
	subtask  int // of the producer
	next     Pusher[T]
}

func (p *picking[T]) Push(b *element.Batch[T]) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = PanicError(p.function, p.subtask, r)
		}
	}()
	return InStep(p.function, p.subtask, p.next.Push(b))
}

func (p *picking[T]) Event(e element.Event) error { return p.next.Event(e) }

// counter stands behind a step and counts what it sends.
type counter[T any] struct {
	records *metrics.Counter
	next    Pusher[T]
}

func (c *counter[T]) Push(b *element.Batch[T]) error {
	c.records.Add(int64(len(b.Recs)))
	return c.next.Push(b)
}

func (c *counter[T]) Event(e element.Event) error { return c.next.Event(e) }
