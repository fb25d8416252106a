package jobmaster

import (
	"github.com/weirstream/weir/internal/cluster/enumerators"
	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/source"
)

// requestSplit answers a reader that has asked for a split.
func (m *master) requestSplit(a job.Attempt, id job.OperatorID) {
	e := m.sources[id]
	if e == nil || m.current(a) == nil {
		return
	}
	split, what, err := e.Next(a)
	if err != nil {
		m.fail(err, false)
		return
	}
	m.taskManager.AnswerSplit(a, split, what)
}

// changed asks again for those who wait.
func (m *master) changed(id job.OperatorID) {
	e := m.sources[id]
	if e == nil {
		return
	}
	for _, a := range e.Waiting() {
		m.requestSplit(a, id)
	}
}

// backlog notes that a source works off a backlog, or has caught up, unless the report is of an attempt that is gone.
func (m *master) backlog(id job.OperatorID, from *enumerators.Enumerator, on bool) {
	if from != nil && m.sources[id] == from {
		m.coordinator.Backlog(id, on, m.Now())
	}
}

// resetSources gives the enumerators back what they have handed to tasks since a checkpoint. It returns false if that is not known. Of a source
// that had finished there is nothing to give back.
func (m *master) resetSources(tasks []job.Subtask, from job.CheckpointID, finished map[job.VertexID]bool) (known bool, err error) {
	reset := map[job.OperatorID]bool{}
	for _, s := range tasks {
		id := job.OperatorID(s.Vertex) // a source is the head of its vertex
		e := m.sources[id]
		if e == nil || finished[s.Vertex] {
			continue
		}
		if known, err := e.Reset(s.Index, from); err != nil || !known {
			return known, err
		}
		reset[id] = true
	}
	for _, v := range m.Plan.Vertices {
		if id := job.OperatorID(v.ID()); reset[id] {
			m.changed(id) // others may wait for what has come back
		}
	}
	return true, nil
}

// tellSources calls the enumerators that want to know, in the order of the plan. Where no task is told there is none: a savepoint is
// nobody's business but that of who asked for it.
func (m *master) tellSources(tasks []job.Attempt, f func(source.CheckpointListener) error) {
	if len(tasks) == 0 {
		return
	}
	for _, v := range m.Plan.Vertices {
		e := m.sources[v.Nodes[0].ID()]
		if e == nil {
			continue
		}
		if err := e.Tell(f); err != nil {
			m.fail(err, false)
		}
	}
}
