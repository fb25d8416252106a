// Package enumerators holds the enumerators of a job's sources: who asks them for splits, who waits for one, and who was handed which since a
// checkpoint, so that they get back what tasks that restart alone have lost.
//
//   - All methods are called by the master's goroutine. What enumerators have to tell by themselves is posted to it.
//   - A panic of an enumerator is an error, as what it returns.
//   - A source that had finished before the checkpoint that is restored has no enumerator. What is asked of it changes nothing.
package enumerators

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/weirstream/weir/internal/cluster/deal"
	"github.com/weirstream/weir/internal/cluster/patience"
	"github.com/weirstream/weir/internal/graph"
	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/protocol/splits"
	"github.com/weirstream/weir/internal/runtime/program"
	"github.com/weirstream/weir/source"
)

// Set holds the enumerators of a job by the id of their operator.
type Set map[job.OperatorID]*Enumerator

// Enumerator is a source's enumerator with the readers that wait for it.
type Enumerator struct {
	enumerator source.Enumerator
	node       *graph.Node
	vertex     *graph.Vertex
	waiting    map[int]job.Attempt // by subtask
	// given are the splits that subtasks have been handed since the latest checkpoint.
	given *splits.Ledger[source.Split]
}

// News is what enumerators have to tell by themselves.
type News struct {
	// Changed: there may be splits for those who wait.
	Changed func(source job.OperatorID)
	// Backlog: the source works off a backlog, or has caught up. from tells the enumerators of several attempts of a job apart; it is nil for
	// one that tells before it is in its set.
	Backlog func(source job.OperatorID, from *Enumerator, on bool)
}

// Env is what enumerators are started with.
type Env struct {
	Logger *slog.Logger
	// Post lets the master call a function, soon. Any goroutine may call it.
	Post func(func())
	// News is called by what is posted, and must be complete by then.
	News *News
}

// Start starts the enumerators of all sources of a plan that have not finished, or none.
func Start(p *graph.Plan, r deal.Restored, env Env) (Set, error) {
	all := Set{}
	for _, v := range p.Vertices {
		n := v.Nodes[0]
		if n.Kind != graph.Source || r.Finished[v.ID()] {
			continue
		}
		id := n.ID()
		e, err := start(n, source.EnumeratorEnv{
			Parallelism:  v.Parallelism,
			RestoredFrom: int64(r.ID),
			Logger:       env.Logger.With("step", n.Name),
			Changed:      func() { env.Post(func() { env.News.Changed(id) }) },
			Backlog:      func(on bool) { env.Post(func() { env.News.Backlog(id, all[id], on) }) },
		}, r.Enumerator(id))
		if err != nil {
			all.Close(env.Logger)
			return nil, fmt.Errorf("source %q: %w", n.Name, err)
		}
		all[id] = &Enumerator{enumerator: e, node: n, vertex: v, waiting: map[int]job.Attempt{}, given: splits.New[source.Split](r.ID)}
	}
	return all, nil
}

func start(n *graph.Node, env source.EnumeratorEnv, restored []byte) (e source.Enumerator, err error) {
	defer patience.Rescue(&err)
	return program.StepOf(n).Enumerator(context.Background(), env, restored)
}

// Close closes the enumerators. What goes wrong with it is logged, and matters no more.
func (s Set) Close(logger *slog.Logger) {
	for _, e := range s {
		if err := e.close(); err != nil {
			logger.Warn("close the enumerator", "step", e.node.Name, "error", err)
		}
	}
}

func (e *Enumerator) close() (err error) {
	defer patience.Rescue(&err)
	return e.enumerator.Close()
}

// Next asks the enumerator for a split for a reader. One that has to wait is remembered, and so is what is handed out.
func (e *Enumerator) Next(reader job.Attempt) (split source.Split, what source.Assignment, err error) {
	if split, what, err = e.next(reader.Subtask.Index); err != nil {
		return split, what, e.failed(err)
	}
	switch what {
	case source.Wait:
		e.waiting[reader.Subtask.Index] = reader
	case source.NoMore:
	default:
		e.given.Given(reader.Subtask.Index, split)
	}
	return split, what, nil
}

func (e *Enumerator) next(subtask int) (split source.Split, what source.Assignment, err error) {
	defer patience.Rescue(&err)
	return e.enumerator.Next(subtask)
}

// failed says whose error it is.
func (e *Enumerator) failed(err error) error { return fmt.Errorf("source %q: %w", e.node.Name, err) }

// Waiting returns the readers that wait, in the order of their subtasks. They do not wait any more, but are to ask again.
func (e *Enumerator) Waiting() (readers []job.Attempt) {
	for i := range e.vertex.Parallelism {
		if a, ok := e.waiting[i]; ok {
			readers = append(readers, a)
		}
	}
	clear(e.waiting)
	return readers
}

// Snapshot returns the states of the enumerators of some sources for a checkpoint.
func (s Set) Snapshot(checkpoint job.CheckpointID, sources []job.OperatorID) (map[job.OperatorID][]byte, error) {
	states := map[job.OperatorID][]byte{}
	for _, id := range sources {
		e := s[id]
		if e == nil {
			continue // it had finished
		}
		state, err := e.snapshot()
		if err != nil {
			return nil, e.failed(err)
		}
		states[id] = state
		e.given.Snapshot(checkpoint)
	}
	return states, nil
}

func (e *Enumerator) snapshot() (state []byte, err error) {
	defer patience.Rescue(&err)
	return e.enumerator.Snapshot()
}

// Complete notes that a checkpoint is complete: what was handed out before it is never given back.
func (s Set) Complete(id job.CheckpointID) {
	for _, e := range s {
		e.given.Complete(id)
	}
}

// Tell calls f with the enumerator, if it wants to know of checkpoints.
func (e *Enumerator) Tell(f func(source.CheckpointListener) error) error {
	if err := e.tell(f); err != nil {
		return e.failed(err)
	}
	return nil
}

func (e *Enumerator) tell(f func(source.CheckpointListener) error) (err error) {
	defer patience.Rescue(&err)
	if l, ok := e.enumerator.(source.CheckpointListener); ok {
		return f(l)
	}
	return nil
}

// Reset gives back what a subtask has been handed since a checkpoint, and tells the enumerator. It returns false if that is not known. After
// an error the enumerator is in an unknown state, which only a new one mends.
func (e *Enumerator) Reset(subtask int, to job.CheckpointID) (known bool, err error) {
	if known, err = e.reset(subtask, to); err != nil {
		return known, e.failed(err)
	}
	return known, nil
}

func (e *Enumerator) reset(subtask int, to job.CheckpointID) (known bool, err error) {
	defer patience.Rescue(&err)
	delete(e.waiting, subtask)
	back, known := e.given.Reset(subtask, to)
	if !known {
		return false, nil
	}
	if len(back) > 0 {
		e.enumerator.AddBack(subtask, back)
	}
	if l, listens := e.enumerator.(source.ResetListener); listens {
		l.SubtaskReset(subtask, int64(to))
	}
	return true, nil
}
