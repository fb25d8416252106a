package jobmaster

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/weirstream/weir/internal/cluster/patience"
	"github.com/weirstream/weir/internal/cluster/progress"
	"github.com/weirstream/weir/internal/cluster/start"
	"github.com/weirstream/weir/internal/cluster/view"
	"github.com/weirstream/weir/internal/exitcode"
	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/protocol/coordinator"
	"github.com/weirstream/weir/internal/protocol/line"
)

func (m *master) coordinatorStopped() { m.coordinator.JobNotRunning(m.Now()) }

// stopAll cancels the tasks and does what follows once all have ended.
func (m *master) stopAll(then func()) {
	m.state = cancelling
	m.hurry()
	m.progress.Cancelling(m.Now())
	m.supervisor.Halt()
	for _, t := range m.tasks {
		m.stopTask(t)
	}
	m.whenStopped(then)
}

// whenStopped calls then when no task is left.
func (m *master) whenStopped(then func()) {
	if m.alive > 0 {
		m.afterStop = then
		return
	}
	m.afterStop = nil
	m.sources.Close(m.logger)
	m.sources = nil
	then()
}

// suspend stops the job with a checkpoint, so that the same command goes on from there.
func (m *master) suspend(cause error) {
	if m.state == over || m.stopping.on || m.result.Status != "" {
		return
	}
	m.stopping.on = true
	m.progress.Entered(progress.Stopping)
	m.logger.Info("stopping", "cause", cause)
	switch {
	case m.coordinator.Stopping():
		m.logger.Info("it is being stopped with a savepoint already")
	case m.state == inFlight && m.checkpoints.On():
		request, err := m.coordinator.Request(coordinator.Request{Kind: coordinator.Configured}, m.Now())
		if err != nil {
			m.logger.Error("stop without a checkpoint", "error", err)
			m.stopAll(func() { m.finish(Suspended) })
			return
		}
		m.stopping.request = request
	case m.state == cancelling: // what follows looks at stopping
	default:
		m.coordinatorStopped()
		m.stopAll(func() { m.finish(Suspended) })
	}
}

// stopped ends a stop whose checkpoint has come to an end. If that is because the job was ended meanwhile, there is nothing left to do.
func (m *master) stopped(err error) {
	if m.result.Status != "" {
		return
	}
	if err != nil {
		m.logger.Error("the checkpoint to stop with failed: the job goes on from the one before", "error", err)
	}
	m.coordinatorStopped()
	m.stopAll(func() { m.finish(Suspended) })
}

// cancel ends the job for good.
func (m *master) cancel() {
	if m.state != over && m.result.Status == "" {
		m.progress.Became(view.JobCancelling, m.Now())
	}
	m.end(Canceled)
}

// abort ends the job at once.
func (m *master) abort() { m.end(Aborted) }

// refuse ends a run that never began. The line remembers it as little as a crash, and the same command tries again.
func (m *master) refuse(err error) {
	m.refusal = &start.Error{
		Code: exitcode.Refused,
		Text: fmt.Sprintf("%v\nThe job was not started. Put right what is named above and run the same command again.", err),
	}
	m.end(Aborted)
}

// takenOver ends a run whose line another process has: it writes, commits and deletes nothing more.
func (m *master) takenOver(err error) {
	if m.refusal != nil || m.state == over {
		return
	}
	m.refusal = &TakenOverError{err}
	m.logger.Error("this run stops at once: it has lost the job", "error", err)
	m.end(Aborted)
}

func (m *master) end(s Status) {
	if m.state == over || m.result.Status != "" {
		return
	}
	m.result.Status = s
	m.coordinatorStopped()
	m.stopAll(func() { m.finish(s) })
}

// finish settles what remains once no task runs.
func (m *master) finish(s Status) {
	m.state = over
	m.result.Status = s
	m.disposeCopies(s)
	status := map[Status]coordinator.EndStatus{
		Finished: coordinator.JobFinished, Canceled: coordinator.JobCanceled, Failed: coordinator.JobFailed,
		Suspended: coordinator.JobSuspended, Aborted: coordinator.JobSuspended,
	}[s]
	kept := status == coordinator.JobSuspended || coordinator.Retention(m.checkpoints.Retention).Keeps(status)
	end := func() {
		m.writeEnd(s, kept, func() {
			m.discardLast(s, func() { m.coordinator.End(status, m.Now()) })
		})
	}
	if m.merger == nil {
		end()
		return
	}
	m.clerk.do(func() func() {
		m.closeMerger()
		return end
	}, m.post)
}

// endOfTasks returns how a job ends whose tasks have all finished. If there was no last checkpoint to commit with, it is not at its end: all
// checkpoints stay, and another run goes on from the newest.
func (m *master) endOfTasks() Status {
	if len(m.uncommitted) == 0 {
		return Finished
	}
	names := m.sinks.Names(slices.Concat(slices.Collect(maps.Values(m.uncommitted))...))
	for i, name := range names {
		names[i] = strconv.Quote(name)
	}
	m.result.Text = fmt.Sprintf("all data was read, but the last output of %s is NOT committed: execution.checkpointing.checkpoints-after-tasks-finish=false "+
		"takes no checkpoint at the end of the data. Run the same command without that setting to go on from the last checkpoint and commit it",
		strings.Join(names, ", "))
	m.logger.Error(m.result.Text)
	return Suspended
}

// writeEnd remembers how the job ended, before any checkpoint is deleted. An aborted run is remembered like a crash: not at all.
func (m *master) writeEnd(s Status, kept bool, then func()) {
	if m.file == nil || s == Aborted {
		then()
		return
	}
	end := endOf(s, m.Now(), kept, m.cause, m.latest())
	end.Savepoint = m.cancelledWith
	_, end.Stopped = m.coordinator.StoppedWith()
	known := m.record
	m.clerk.do(func() func() {
		record := m.written(known).Ended(end)
		err := patience.Do(context.Background(), m.Pause, func() error { return m.put(record) })
		return func() {
			if err != nil {
				m.logger.Error("the end of the job could not be recorded: all checkpoints are kept", "error", err)
				m.cause = errors.Join(m.cause, err)
				m.result.Status, m.ended = Failed, true
				return
			}
			m.record = record
			m.removeUnsettled()
			then()
		}
	}, m.post)
}

// endOf returns what the line remembers of an end.
func endOf(s Status, now time.Time, kept bool, cause error, latest job.CheckpointID) line.End {
	e := line.End{At: now, Kept: kept, Completed: latest, State: line.State(s)}
	if cause != nil {
		e.Reason, _, _ = strings.Cut(cause.Error(), "\n") // the log has the rest
	}
	return e
}

// latest returns the newest complete checkpoint of this job, 0 if there is none.
func (m *master) latest() (id job.CheckpointID) {
	for _, r := range m.coordinator.Retained() {
		if !r.Foreign && !r.Damaged && r.Pointer != m.claimed {
			id = max(id, r.ID)
		}
	}
	return id
}

// endedFor handles the coordinator's last word.
func (m *master) endedFor(e coordinator.Ended) {
	m.ended = true
	if savepoint, stopped := m.coordinator.StoppedWith(); stopped { // then the job goes on from no checkpoint
		m.result.Text = m.stopText(savepoint)
		return
	}
	if m.storage.Survives() {
		for _, r := range e.Kept {
			if !r.Damaged {
				m.result.Checkpoint = r.Pointer
			}
		}
	}
	if m.result.Status == Suspended && m.result.Checkpoint == "" && m.result.Text == "" {
		m.result.Text = "there is no checkpoint that outlives this process: the next run begins again"
	}
}
