package sim

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/sink"
)

// Output is a sink in a world, which commits exactly once and outlives processes as a service outside would. What a writer has prepared is
// lost with its process unless it was made durable, which happens beside the task.
type Output[T any] struct {
	world    *World
	line     sink.Line
	volatile map[string]part[T] // prepared, and not yet durable
	prepared map[string]part[T]
	visible  map[string]part[T]
	order    []string // of what is visible
	last     map[string]job.CheckpointID
	before   map[string]map[string]part[T] // by snapshot: what is committed with it, or was before
	earlier  map[string]part[T]            // what another output has, from which this one's job goes on
}

type part[T any] struct {
	records    []T
	checkpoint int64
	writer     string
	subtask    int
}

// NewOutput returns an empty output in a world.
func NewOutput[T any](w *World) *Output[T] {
	o := &Output[T]{world: w, volatile: map[string]part[T]{}, prepared: map[string]part[T]{}, visible: map[string]part[T]{}, last: map[string]job.CheckpointID{}, before: map[string]map[string]part[T]{}}
	w.outputs = append(w.outputs, o)
	w.atDeath = append(w.atDeath, func() { clear(o.volatile) })
	return o
}

// After lets an output go on where another was at a snapshot: what that has committed, or was to commit with it, is not committed again but
// among the Records.
func (o *Output[T]) After(other *Output[T], dir string) { o.earlier = other.before[dir] }

func (o *Output[T]) remember(dir string, id int64) {
	o.before[dir] = maps.Clone(o.visible)
	for _, parts := range []map[string]part[T]{o.prepared, o.volatile} {
		for name, p := range parts {
			if p.checkpoint <= id {
				o.before[dir][name] = p
			}
		}
	}
}

// Records returns what is committed, in the order of the commits.
func (o *Output[T]) Records() (all []T) {
	for _, name := range slices.Sorted(maps.Keys(o.earlier)) {
		all = append(all, o.earlier[name].records...)
	}
	for _, name := range o.order {
		all = append(all, o.visible[name].records...)
	}
	return all
}

// Location is empty: there is nothing to compare.
func (o *Output[T]) Location() string { return "" }

// Writer returns the writer of one subtask.
func (o *Output[T]) Writer(_ context.Context, env sink.WriterEnv, restored [][]byte) (sink.Writer[T], error) {
	w := &outputWriter[T]{output: o, process: o.world.now, subtask: env.Subtask, name: fmt.Sprintf("epoch %d attempt %d subtask %d", env.Line.Epoch, env.Attempt, env.Subtask)}
	return w, nil
}

type outputWriter[T any] struct {
	output  *Output[T]
	process *process
	name    string
	subtask int
	records []T
	unsafe  []string // parts that are not durable yet
}

func (w *outputWriter[T]) Write(records []T, _ []int64) error {
	w.records = append(w.records, records...)
	return nil
}

func (w *outputWriter[T]) Flush(bool) error { return nil }
func (w *outputWriter[T]) Close() error     { return nil }

func (w *outputWriter[T]) Prepare(_ context.Context, checkpoint int64, _ bool) ([][]byte, error) {
	if w.process.dead {
		return nil, ErrDead
	}
	if len(w.records) == 0 {
		return nil, nil
	}
	name := fmt.Sprintf("%s checkpoint %d", w.name, checkpoint)
	w.output.volatile[name] = part[T]{w.records, checkpoint, w.name, w.subtask}
	w.records, w.unsafe = nil, append(w.unsafe, name)
	return [][]byte{[]byte(name)}, nil
}

func (w *outputWriter[T]) Snapshot(context.Context, int64) ([]byte, error) { return nil, nil }

// Sync makes durable what was prepared.
func (w *outputWriter[T]) Sync() func(context.Context) error {
	if len(w.unsafe) == 0 {
		return nil
	}
	names := slices.Clone(w.unsafe)
	return func(context.Context) error {
		for _, name := range names {
			if err := w.process.around(effect{op: "prepare", on: name, lasting: true}, func() error { w.output.secure(name); return nil }); err != nil {
				return err
			}
			w.unsafe = slices.DeleteFunc(w.unsafe, func(n string) bool { return n == name })
		}
		return nil
	}
}

func (o *Output[T]) secure(name string) {
	if p, ok := o.volatile[name]; ok {
		o.prepared[name] = p
		delete(o.volatile, name)
	}
}

// Committer returns what makes records visible.
func (o *Output[T]) Committer(_ context.Context, env sink.CommitterEnv) (sink.Committer, error) {
	if o.line.ID != "" && (o.line.ID != env.Line.ID || o.line.Epoch > env.Line.Epoch) {
		return nil, fmt.Errorf("the output belongs to %+v, not to %+v", o.line, env.Line)
	}
	return &outputCommitter[T]{o, o.world.now, env.Line}, nil
}

type outputCommitter[T any] struct {
	output  *Output[T]
	process *process
	line    sink.Line
}

func (c *outputCommitter[T]) Commit(_ context.Context, checkpoint int64, pending [][]byte) error {
	return c.process.around(effect{op: "commit", on: fmt.Sprintf("output of checkpoint %d", checkpoint), lasting: true, atomic: true}, func() error {
		return c.output.commit(checkpoint, pending)
	})
}

func (o *Output[T]) commit(checkpoint int64, pending [][]byte) error {
	for _, item := range pending {
		name := string(item)
		if _, ok := o.visible[name]; ok {
			continue
		}
		if _, ok := o.earlier[name]; ok {
			continue
		}
		p, ok := o.prepared[name]
		if !ok {
			return fmt.Errorf("commit checkpoint %d: there is nothing of %s", checkpoint, name)
		}
		o.world.watch.commits(job.CheckpointID(p.checkpoint), p.writer, o.last[p.writer])
		o.last[p.writer] = job.CheckpointID(p.checkpoint)
		delete(o.prepared, name)
		o.visible[name] = p
		o.order = append(o.order, name)
	}
	return nil
}

// CommittedAfter names what was committed with later checkpoints.
func (c *outputCommitter[T]) CommittedAfter(_ context.Context, checkpoint int64) (names []string, err error) {
	err = c.process.around(effect{op: "ask", on: "output", atomic: true}, func() error {
		names = nil
		for _, name := range c.output.order {
			if c.output.visible[name].checkpoint > checkpoint {
				names = append(names, name)
			}
		}
		return nil
	})
	return names, err
}

// Recover commits what the restored checkpoint knows, and forgets what is prepared beside that.
func (c *outputCommitter[T]) Recover(_ context.Context, r sink.Recovery) (sink.Recovered, error) {
	done := sink.Recovered{Writers: make([][]byte, len(r.Writers))}
	err := c.process.around(effect{op: "recover", on: "output", lasting: true, atomic: true}, func() error {
		c.output.line = c.line
		if r.Fresh {
			c.output.moveAside()
		}
		for _, p := range r.Pending {
			if err := c.output.commit(p.Checkpoint, p.Items); err != nil {
				return err
			}
		}
		clear(c.output.prepared)
		clear(c.output.volatile)
		return nil
	})
	return done, err
}

// moveAside makes invisible what there is.
func (o *Output[T]) moveAside() {
	clear(o.visible)
	o.order = nil
}

// RecoverSubtask does the same for one subtask.
func (c *outputCommitter[T]) RecoverSubtask(_ context.Context, subtask int, r sink.Recovery) (sink.Recovered, error) {
	done := sink.Recovered{Writers: make([][]byte, len(r.Writers))}
	err := c.process.around(effect{op: "recover", on: fmt.Sprintf("subtask %d of the output", subtask), lasting: true, atomic: true}, func() error {
		for _, p := range r.Pending {
			if err := c.output.commit(p.Checkpoint, p.Items); err != nil {
				return err
			}
		}
		its := func(_ string, p part[T]) bool { return p.subtask == subtask }
		maps.DeleteFunc(c.output.prepared, its)
		maps.DeleteFunc(c.output.volatile, its)
		return nil
	})
	return done, err
}

func (c *outputCommitter[T]) Close() error { return nil }
