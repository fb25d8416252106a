package memory

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/weirstream/weir/sink"
)

// Collector collects records. It is a sink.TwoPhase[T], and may be used by any number of goroutines.
type Collector[T any] struct {
	mu struct {
		sync.Mutex
		line     sink.Line // that has taken it over; the ID is empty until one has
		prepared map[string]part[T]
		visible  map[string]part[T]
		aside    map[string]part[T] // withdrawn, or of before a fresh start
		commits  int
	}
}

// part is what one subtask prepared for one checkpoint.
type part[T any] struct {
	records    []T
	subtask    int
	checkpoint int64
	order      int // in which it was committed
}

// Collect returns an empty collector.
func Collect[T any]() *Collector[T] {
	c := &Collector[T]{}
	c.mu.prepared, c.mu.visible, c.mu.aside = map[string]part[T]{}, map[string]part[T]{}, map[string]part[T]{}
	return c
}

// Records returns a copy of what is committed, in the order of the commits.
func (c *Collector[T]) Records() []T {
	c.mu.Lock()
	defer c.mu.Unlock()
	parts := make([]part[T], 0, len(c.mu.visible))
	for _, p := range c.mu.visible {
		parts = append(parts, p)
	}
	slices.SortFunc(parts, func(a, b part[T]) int { return cmp.Compare(a.order, b.order) })
	var records []T
	for _, p := range parts {
		records = append(records, p.records...)
	}
	return records
}

// Location is empty: there is nothing to compare.
func (c *Collector[T]) Location() string { return "" }

// Withdraws is true: nobody but the test reads a collector.
func (c *Collector[T]) Withdraws() bool { return true }

// Writer returns the writer of one subtask.
func (c *Collector[T]) Writer(ctx context.Context, env sink.WriterEnv, restored [][]byte) (sink.Writer[T], error) {
	return &writer[T]{collector: c, env: env}, nil
}

// writer keeps records until the next checkpoint. It has no state of its own then.
type writer[T any] struct {
	collector *Collector[T]
	env       sink.WriterEnv
	records   []T
}

func (w *writer[T]) Write(records []T, _ []int64) error {
	w.records = append(w.records, records...)
	return nil
}

func (w *writer[T]) Prepare(_ context.Context, checkpoint int64, _ bool) ([][]byte, error) {
	if len(w.records) == 0 {
		return nil, nil
	}
	name := fmt.Sprintf("%sepoch %d attempt %d checkpoint %d subtask %d", linePrefix(w.env.Line), w.env.Line.Epoch, w.env.Attempt, checkpoint, w.env.Subtask)
	c := w.collector
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.prepared[name] = part[T]{records: w.records, subtask: w.env.Subtask, checkpoint: checkpoint}
	w.records = nil
	return [][]byte{[]byte(name)}, nil
}

// linePrefix is how the names begin of all that a line prepares.
func linePrefix(line sink.Line) string { return "line " + line.ID + " " }

func (w *writer[T]) Snapshot(context.Context, int64) ([]byte, error) { return nil, nil }
func (w *writer[T]) Flush(bool) error                                { return nil }
func (w *writer[T]) Close() error                                    { return nil }

// Committer returns the one that makes records visible.
func (c *Collector[T]) Committer(ctx context.Context, env sink.CommitterEnv) (sink.Committer, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return &committer[T]{c, env.Line}, c.checkLocked(env.Line)
}

// checkLocked refuses another line and an older run.
func (c *Collector[T]) checkLocked(line sink.Line) error {
	if owner := c.mu.line; owner.ID != "" && owner.ID != line.ID {
		return fmt.Errorf("the collector belongs to job %q, line %s; this is job %q, line %s", owner.Name, owner.ID, line.Name, line.ID)
	}
	if c.mu.line.Epoch > line.Epoch {
		return fmt.Errorf("run %d of job %q has used the collector, and this is the older run %d", c.mu.line.Epoch, line.Name, line.Epoch)
	}
	return nil
}

type committer[T any] struct {
	collector *Collector[T]
	line      sink.Line
}

func (m *committer[T]) Commit(_ context.Context, checkpoint int64, pending [][]byte) error {
	c := m.collector
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.checkLocked(m.line); err != nil {
		return err
	}
	return c.commitLocked(m.line, checkpoint, pending)
}

// commitLocked makes visible what a line has prepared. What another line has, from whose snapshot this one was started, is left to that line.
func (c *Collector[T]) commitLocked(line sink.Line, checkpoint int64, pending [][]byte) error {
	for _, item := range pending {
		name := string(item)
		if _, ok := c.mu.visible[name]; ok || !strings.HasPrefix(name, linePrefix(line)) {
			continue
		}
		from := c.mu.prepared
		if _, ok := from[name]; !ok {
			from = c.mu.aside
		}
		p, ok := from[name]
		if !ok {
			return fmt.Errorf("commit checkpoint %d: the collector has nothing of %s; it does not outlive its process", checkpoint, name)
		}
		delete(from, name)
		c.mu.commits++
		p.order = c.mu.commits
		c.mu.visible[name] = p
	}
	return nil
}

func (m *committer[T]) CommittedAfter(_ context.Context, checkpoint int64) ([]string, error) {
	c := m.collector
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.afterLocked(checkpoint), nil
}

// afterLocked names what was prepared for later checkpoints and is visible.
func (c *Collector[T]) afterLocked(checkpoint int64) []string {
	var names []string
	for name, p := range c.mu.visible {
		if p.checkpoint > checkpoint {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func (m *committer[T]) Recover(_ context.Context, r sink.Recovery) (sink.Recovered, error) {
	c := m.collector
	c.mu.Lock()
	defer c.mu.Unlock()
	done := sink.Recovered{Writers: make([][]byte, len(r.Writers))}
	if err := c.checkLocked(m.line); err != nil {
		return done, err
	}
	c.mu.line = m.line
	needed, err := c.commitAllLocked(m.line, r.Pending)
	if err != nil {
		return done, err
	}
	clear(c.mu.prepared)
	switch {
	case r.Fresh:
		done.Moved = c.asideLocked(0, nil)
	case r.Withdraw:
		done.Moved = c.asideLocked(r.Checkpoint, needed)
	}
	return done, nil
}

// commitAllLocked commits what a checkpoint knows as pending, and returns the names of it.
func (c *Collector[T]) commitAllLocked(line sink.Line, pending []sink.Pending) (names map[string]bool, err error) {
	names = map[string]bool{}
	for _, p := range pending {
		if err := c.commitLocked(line, p.Checkpoint, p.Items); err != nil {
			return nil, err
		}
		for _, item := range p.Items {
			names[string(item)] = true
		}
	}
	return names, nil
}

// RecoverSubtask forgets what one subtask has prepared after the checkpoint.
func (m *committer[T]) RecoverSubtask(_ context.Context, subtask int, r sink.Recovery) (sink.Recovered, error) {
	c := m.collector
	c.mu.Lock()
	defer c.mu.Unlock()
	done := sink.Recovered{Writers: make([][]byte, len(r.Writers))}
	if err := c.checkLocked(m.line); err != nil {
		return done, err
	}
	if _, err := c.commitAllLocked(m.line, r.Pending); err != nil {
		return done, err
	}
	maps.DeleteFunc(c.mu.prepared, func(_ string, p part[T]) bool { return p.subtask == subtask })
	return done, nil
}

// asideLocked makes invisible what was prepared for later checkpoints.
func (c *Collector[T]) asideLocked(checkpoint int64, keep map[string]bool) []string {
	var moved []string
	for _, name := range c.afterLocked(checkpoint) {
		if keep[name] {
			continue
		}
		c.mu.aside[name] = c.mu.visible[name]
		delete(c.mu.visible, name)
		moved = append(moved, name)
	}
	return moved
}

func (m *committer[T]) Close() error { return nil }
