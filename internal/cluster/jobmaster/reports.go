package jobmaster

import (
	"context"
	"errors"

	"github.com/weirstream/weir/internal/cluster/progress"
	"github.com/weirstream/weir/internal/cluster/view"
	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/protocol/coordinator"
	"github.com/weirstream/weir/internal/protocol/reason"
	"github.com/weirstream/weir/internal/protocol/snapshot"
	"github.com/weirstream/weir/internal/runtime/task"
)

// reports brings what tasks report into the master's queue.
type reports struct{ m *master }

func (r reports) Running(a job.Attempt) {
	r.m.post(func() { r.m.taskRunning(a) })
}

func (r reports) Acknowledge(a job.Attempt, id job.CheckpointID, s *snapshot.Task, t task.Metrics) {
	r.m.post(func() {
		r.m.coordinator.Ack(a, id, s, metricsOf(t), r.m.Now())
	})
}

// Measured changes nothing but what is shown.
func (r reports) Measured(a job.Attempt, id job.CheckpointID, t task.Metrics) {
	r.m.post(func() { r.m.coordinator.Metrics(a, id, metricsOf(t)) })
}

func metricsOf(t task.Metrics) coordinator.TaskMetrics {
	return coordinator.TaskMetrics{StartDelay: t.StartDelay, Alignment: t.Alignment, Sync: t.Sync, Async: t.Async, NewBytes: t.Bytes}
}

func (r reports) Decline(a job.Attempt, id job.CheckpointID, why reason.Reason, err error) {
	r.m.post(func() { r.m.coordinator.Decline(a, id, why, err.Error(), r.m.Now()) })
}

func (r reports) Completed(a job.Attempt, id job.CheckpointID) {
	r.m.post(func() { r.m.taskCompleted(a, id) })
}

func (r reports) EndOfData(a job.Attempt) {
	r.m.post(func() {
		if t := r.m.current(a); t != nil {
			t.atEnd = true
		}
		r.m.coordinator.EndOfData(a, r.m.Now())
	})
}

func (r reports) Uncommitted(a job.Attempt, sink job.OperatorID) {
	r.m.post(func() {
		if r.m.current(a) != nil {
			r.m.uncommitted[a.Subtask] = append(r.m.uncommitted[a.Subtask], sink)
		}
	})
}

func (r reports) Ended(a job.Attempt, err error) {
	r.m.post(func() { r.m.taskEnded(a, err) })
}

func (r reports) RequestSplit(a job.Attempt, id job.OperatorID) {
	r.m.post(func() { r.m.requestSplit(a, id) })
}

// current returns the task of an attempt, nil if it is not of the present one or has ended.
func (m *master) current(a job.Attempt) *running {
	if t := m.tasks[a.Subtask]; t != nil && t.attempt == a && !t.ended {
		return t
	}
	return nil
}

func (m *master) taskRunning(a job.Attempt) {
	t := m.current(a)
	if t == nil {
		return
	}
	m.coordinator.TaskRunning(a)
	m.progress.Task(a, view.TaskRunning, m.Now())
	t.runs = true
	m.starting--
	defer m.sendQueries()
	if m.starting > 0 || m.supervisor.Restarting() || m.state != deploying && m.state != restarting {
		return
	}
	if !m.ran {
		m.removeCopiesLeft()
	}
	m.state, m.ran = inFlight, true
	m.progress.Entered(progress.Running)
	m.coordinator.JobRunning(m.Now(), m.random())
	m.rescaled(nil)
	for _, f := range m.awaitRunning {
		f()
	}
	m.awaitRunning = nil
}

// taskCompleted notes that nothing is under way any more that follows from a checkpoint in one task. When the checkpoint is the one to
// stop with, and this was the last task, the job may stop.
func (m *master) taskCompleted(a job.Attempt, id job.CheckpointID) {
	if t := m.current(a); t != nil {
		t.done = id
		m.stopIfCommitted()
	}
}

func (m *master) stopIfCommitted() {
	if m.stopping.id == 0 || m.state != inFlight {
		return
	}
	for _, t := range m.tasks {
		if !t.ended && t.done < m.stopping.id {
			return
		}
	}
	m.stopped(nil)
}

func endOfTask(err error) view.TaskState {
	switch {
	case err == nil:
		return view.TaskFinished
	case errors.Is(err, context.Canceled):
		return view.TaskCanceled
	}
	return view.TaskFailed
}

func (m *master) taskEnded(a job.Attempt, err error) {
	t := m.current(a)
	if t == nil {
		return
	}
	t.ended = true
	m.taskManager.Cancel(a)
	m.alive--
	defer m.queriesLeft(a)
	m.progress.Task(a, endOfTask(err), m.Now())
	if !t.runs {
		m.starting--
	}
	switch {
	case err == nil:
		m.coordinator.TaskFinished(a, m.Now())
		m.supervisor.TaskEnded(a.Subtask)
	case t.stopping && errors.Is(err, context.Canceled):
		m.coordinator.TaskFailed(a, m.Now())
		m.supervisor.TaskEnded(a.Subtask)
	default:
		m.coordinator.TaskFailed(a, m.Now())
		m.broken(t, err, false)
	}
	switch {
	case m.alive > 0:
		m.stopIfCommitted()
	case m.afterStop != nil:
		m.whenStopped(m.afterStop)
	case m.state == inFlight || m.state == deploying:
		m.coordinatorStopped()
		m.sources.Close(m.logger)
		m.sources = nil
		m.finish(m.endOfTasks())
	}
}
