package jobmaster

import (
	"fmt"
	"slices"
	"time"

	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/protocol/coordinator"
	"github.com/weirstream/weir/internal/runtime/operator"
	"github.com/weirstream/weir/internal/runtime/program"
	"github.com/weirstream/weir/internal/storage"
	"github.com/weirstream/weir/internal/storage/copies"
	"github.com/weirstream/weir/source"
)

// notifyComplete tells the tasks that have a part in a checkpoint, and then the enumerators, that it exists.
func (m *master) notifyComplete(a coordinator.NotifyComplete) {
	c := operator.Checkpoint{ID: a.ID, Triggered: a.Timestamp, Subsumed: a.Subsumed}
	m.checkpointIs((*storage.Merger).Complete, a.ID)
	m.copiesAre((*copies.Copies).Confirm, a.ID)
	m.sources.Complete(a.ID)
	for _, at := range a.Tasks {
		if m.current(at) != nil {
			m.taskManager.NotifyCheckpointComplete(at, c)
		}
	}
	m.announced, m.announcedTo = c, a.Tasks
	m.remind()
	m.tellSources(a.Tasks, func(l source.CheckpointListener) error { return l.CheckpointComplete(int64(a.ID)) })
}

// remindAfter is how long a task may take with what follows from a complete checkpoint before it is told of it once more.
const remindAfter = 10 * time.Second

// remind tells tasks of the newest complete checkpoint again that may not know of it. Mostly they would hear of the next one, but none comes
// after the savepoint that a job stops with, nor after the last checkpoint of a job without an interval, and its tasks wait for that.
func (m *master) remind() {
	if m.reminding || len(m.announcedTo) == 0 {
		return
	}
	m.reminding = true
	told := m.announced.ID
	m.after(remindAfter, func() {
		m.reminding = false
		if m.announced.ID == told && m.state == inFlight && !m.remindAll() {
			return
		}
		m.remind()
	})
}

// remindAll reports whether there was any task to remind.
func (m *master) remindAll() (any bool) {
	for _, at := range m.announcedTo {
		if t := m.current(at); t != nil && t.done < m.announced.ID {
			m.taskManager.NotifyCheckpointComplete(t.attempt, m.announced)
			any = true
		}
	}
	return any
}

// notifyAborted tells the same that a checkpoint was given up.
func (m *master) notifyAborted(a coordinator.NotifyAborted) {
	m.mergedAborted(a.ID)
	m.copiesAre((*copies.Copies).Abort, a.ID)
	m.tellAborted(a)
	m.givenUp = append(m.givenUp, a)
	m.givenUp = m.givenUp[max(0, len(m.givenUp)-maxGivenUp):]
	m.remindAborted()
	m.tellSources(a.Tasks, func(l source.CheckpointListener) error { return l.CheckpointAborted(int64(a.ID)) })
}

func (m *master) tellAborted(a coordinator.NotifyAborted) {
	c := operator.Checkpoint{ID: a.ID, Triggered: a.Timestamp}
	for _, at := range a.Tasks {
		if m.current(at) != nil {
			m.taskManager.NotifyCheckpointAborted(at, c, a.Latest)
		}
	}
}

// maxGivenUp bounds the checkpoints that tasks are told of again.
const maxGivenUp = 8

// remindAborted tells tasks again of the checkpoints that were given up, as long as no other comes after them. A task that was not told holds
// back inputs for a barrier that nobody sends. Mostly the next barrier frees it, but where checkpoints are taken by hand there may be none.
func (m *master) remindAborted() {
	if m.remindingAborted || len(m.givenUp) == 0 {
		return
	}
	m.remindingAborted = true
	m.after(remindAfter, func() {
		m.remindingAborted = false
		m.givenUp = slices.DeleteFunc(m.givenUp, func(a coordinator.NotifyAborted) bool {
			return !slices.ContainsFunc(a.Tasks, func(at job.Attempt) bool { return m.current(at) != nil })
		})
		if last := m.givenUp; m.state == inFlight && len(last) > 0 && last[len(last)-1].ID >= m.triggered {
			for _, a := range m.givenUp {
				m.tellAborted(a)
			}
		}
		m.remindAborted()
	})
}

// passed notes that the barriers of a checkpoint have gone through all tasks: none holds back anything for an older one.
func (m *master) passed(id job.CheckpointID) {
	m.givenUp = slices.DeleteFunc(m.givenUp, func(a coordinator.NotifyAborted) bool { return a.ID < id })
}

// warnOfUnions says, once for each step, that a state of which every subtask is restored with all elements keeps checkpoints from completing
// while some subtasks of the step have seen the end of their data and others have not.
func (m *master) warnOfUnions() {
	for _, v := range m.Plan.Vertices {
		atEnd := 0
		for i := range v.Parallelism {
			if t := m.tasks[job.Subtask{Vertex: v.ID(), Index: i}]; t != nil && t.atEnd {
				atEnd++
			}
		}
		if atEnd == 0 || atEnd == v.Parallelism {
			continue
		}
		for _, n := range v.Nodes {
			if names := program.StepOf(n).Union; len(names) > 0 && !m.warned[n.ID()] {
				m.warned[n.ID()] = true
				m.logger.Warn(fmt.Sprintf("No checkpoint completes until all subtasks of step %q have ended: its state.UnionList must hold what all of them have. "+
					"If it runs behind a source that has fewer splits than subtasks, give it the parallelism of the splits", n.Name),
					"states", names, "ended", atEnd, "subtasks", v.Parallelism)
			}
		}
	}
}
