package jobmaster

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"sync/atomic"

	"github.com/weirstream/weir/internal/graph"
	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/keygroup"
	"github.com/weirstream/weir/internal/runtime/operator"
)

// query is a visit to a step's operator that somebody waits for.
type query struct {
	step     string
	hash     uint64
	visit    func(operator.Operator) error
	claimed  atomic.Bool // by whoever ends it: the task that makes the visit, the master that knows better, or the client that has gone
	answered chan error
	at       job.Attempt // whose task has it, zero if it waits for one
}

// end answers the query, if nobody else does.
func (q *query) end(err error) {
	if q.claimed.CompareAndSwap(false, true) {
		q.answered <- err
	}
}

// Visit calls visit with the operator of a step in the subtask that a key with the given hash belongs to, on the goroutine of that subtask and
// between two of its batches. It waits while the subtask does not run, until ctx is done. visit is called at most once, and not any more when
// Visit has returned. The error is that of visit, an *EndedError if the job has ended, or says that there is no such step or no such subtask
// any more.
func (e *Execution) Visit(ctx context.Context, step string, hash uint64, visit func(operator.Operator) error) error {
	q := &query{step: step, hash: hash, visit: visit, answered: make(chan error, 1)}
	e.post(func(m *master) { m.queries = append(m.queries, q); m.sendQueries() })
	select {
	case err := <-q.answered:
		return err
	case <-ctx.Done():
		q.end(fmt.Errorf("wait for the subtask: %w", context.Cause(ctx)))
	case <-e.done:
		q.end(e.ended())
	}
	return <-q.answered // a visit that has begun comes to its end
}

// sendQueries sends queries to the tasks that they wait for.
func (m *master) sendQueries() {
	for _, q := range m.queries {
		if q.at != (job.Attempt{}) || q.claimed.Load() {
			continue
		}
		if err := m.sendQuery(q); err != nil {
			q.end(err)
		}
	}
	m.queries = slices.DeleteFunc(m.queries, func(q *query) bool { return q.claimed.Load() })
}

// sendQuery sends a query to its task, if that runs.
func (m *master) sendQuery(q *query) error {
	n, v, err := m.Plan.Step(q.step)
	if err != nil {
		return err
	}
	if !n.Keyed {
		return errors.New("the step has no state of keys")
	}
	s := job.Subtask{Vertex: v.ID(), Index: keygroup.SubtaskOf(keygroup.Of(q.hash, v.MaxParallelism), v.Parallelism, v.MaxParallelism)}
	t := m.tasks[s]
	switch {
	case t == nil || t.parallelism != v.Parallelism || t.stopping || !t.runs:
		return nil
	case t.ended && m.state == inFlight:
		return fmt.Errorf("subtask %d has finished; what it knew is in the last checkpoint", s.Index)
	case t.ended:
		return nil
	}
	q.at = t.attempt
	m.taskManager.Visit(t.attempt, func(operators []operator.Operator) {
		if q.claimed.CompareAndSwap(false, true) {
			q.answered <- q.make(operators, n)
		}
	})
	return nil
}

// make visits the operator of a node. Whatever happens is the client's problem, and not the task's.
func (q *query) make(operators []operator.Operator, n *graph.Node) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v\n%s", r, debug.Stack())
		}
	}()
	for _, op := range operators {
		if op.ID() == n.ID() {
			return q.visit(op)
		}
	}
	return errors.New("the step has no operator")
}

// queriesLeft has the queries sent again that a task has ended without.
func (m *master) queriesLeft(a job.Attempt) {
	for _, q := range m.queries {
		if q.at == a {
			q.at = job.Attempt{}
		}
	}
	m.sendQueries()
}
