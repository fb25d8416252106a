package jobmaster

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

// enumerator is a source's enumerator with the readers that wait for it.
type enumerator struct {
	source.Enumerator
	node    *graph.Node
	vertex  *graph.Vertex
	waiting map[int]job.Attempt // by subtask
	// given are the splits that subtasks have been handed since the latest checkpoint.
	given *splits.Ledger[source.Split]
}

// sources holds the enumerators of a job by the id of their operator.
type sources map[job.OperatorID]*enumerator

// news is what enumerators have to tell, in the master's queue.
type news struct {
	changed func(job.OperatorID)
	backlog func(id job.OperatorID, from *enumerator, on bool)
}

// newSources starts the enumerators of all sources that have not finished. What they have to tell is posted.
func newSources(p *graph.Plan, r deal.Restored, logger *slog.Logger, post func(func()), tell *news) (sources, error) {
	all := sources{}
	for _, v := range p.Vertices {
		n := v.Nodes[0]
		if n.Kind != graph.Source || r.Finished[v.ID()] {
			continue
		}
		id := n.ID()
		e, err := newEnumerator(n, source.EnumeratorEnv{
			Parallelism:  v.Parallelism,
			RestoredFrom: int64(r.ID),
			Logger:       logger.With("step", n.Name),
			Changed:      func() { post(func() { tell.changed(id) }) },
			Backlog:      func(on bool) { post(func() { tell.backlog(id, all[id], on) }) },
		}, r.Enumerator(id))
		if err != nil {
			all.close(logger)
			return nil, fmt.Errorf("source %q: %w", n.Name, err)
		}
		all[id] = &enumerator{Enumerator: e, node: n, vertex: v, waiting: map[int]job.Attempt{}, given: splits.New[source.Split](r.ID)}
	}
	return all, nil
}

func newEnumerator(n *graph.Node, env source.EnumeratorEnv, restored []byte) (e source.Enumerator, err error) {
	defer patience.Rescue(&err)
	return program.StepOf(n).Enumerator(context.Background(), env, restored)
}

func (s sources) close(logger *slog.Logger) {
	for _, e := range s {
		if err := e.Close(); err != nil {
			logger.Warn("close the enumerator", "step", e.node.Name, "error", err)
		}
	}
}

// next asks an enumerator for a split.
func (e *enumerator) next(subtask int) (split source.Split, what source.Assignment, err error) {
	defer patience.Rescue(&err)
	return e.Next(subtask)
}

func (e *enumerator) snapshot() (state []byte, err error) {
	defer patience.Rescue(&err)
	return e.Snapshot()
}

// requestSplit answers a reader that has asked for a split.
func (m *master) requestSplit(a job.Attempt, id job.OperatorID) {
	e := m.sources[id]
	if e == nil || m.current(a) == nil {
		return
	}
	split, what, err := e.next(a.Subtask.Index)
	if err != nil {
		m.fail(fmt.Errorf("source %q: %w", e.node.Name, err), false)
		return
	}
	switch what {
	case source.Wait:
		e.waiting[a.Subtask.Index] = a
	case source.NoMore:
	default:
		e.given.Given(a.Subtask.Index, split)
	}
	m.taskManager.AnswerSplit(a, split, what)
}

// complete notes that a checkpoint is complete.
func (s sources) complete(id job.CheckpointID) {
	for _, e := range s {
		e.given.Complete(id)
	}
}

// reset gives back what a subtask has been handed since a checkpoint, and tells the enumerator. It returns false if that is not known.
func (e *enumerator) reset(subtask int, to job.CheckpointID) (ok bool, err error) {
	defer patience.Rescue(&err)
	delete(e.waiting, subtask)
	back, ok := e.given.Reset(subtask, to)
	if !ok {
		return false, nil
	}
	if len(back) > 0 {
		e.AddBack(subtask, back)
	}
	if l, listens := e.Enumerator.(source.ResetListener); listens {
		l.SubtaskReset(subtask, int64(to))
	}
	return true, nil
}

// changed asks again for those who wait.
func (m *master) changed(id job.OperatorID) {
	e := m.sources[id]
	if e == nil {
		return
	}
	waiting := e.waiting
	e.waiting = map[int]job.Attempt{}
	for i := range e.vertex.Parallelism {
		if a, ok := waiting[i]; ok {
			m.requestSplit(a, id)
		}
	}
}

// backlog notes that a source works off a backlog, or has caught up, unless the report is of an attempt that is gone.
func (m *master) backlog(id job.OperatorID, from *enumerator, on bool) {
	if from != nil && m.sources[id] == from {
		m.coordinator.Backlog(id, on, m.Now())
	}
}

// snapshotSources returns the state of the enumerators of the given operators for a checkpoint.
func (m *master) snapshotSources(checkpoint job.CheckpointID, ids []job.OperatorID) (map[job.OperatorID][]byte, error) {
	states := map[job.OperatorID][]byte{}
	for _, id := range ids {
		e := m.sources[id]
		if e == nil {
			continue // it had finished
		}
		state, err := e.snapshot()
		if err != nil {
			return nil, fmt.Errorf("source %q: %w", e.node.Name, err)
		}
		states[id] = state
		e.given.Snapshot(checkpoint)
	}
	return states, nil
}
