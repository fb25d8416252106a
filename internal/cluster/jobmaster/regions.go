package jobmaster

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/weirstream/weir/internal/cluster/committers"
	"github.com/weirstream/weir/internal/cluster/config"
	"github.com/weirstream/weir/internal/cluster/deal"
	"github.com/weirstream/weir/internal/cluster/patience"
	"github.com/weirstream/weir/internal/cluster/view"
	"github.com/weirstream/weir/internal/graph"
	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/protocol/coordinator"
	"github.com/weirstream/weir/internal/protocol/failover"
	"github.com/weirstream/weir/internal/protocol/line"
	"github.com/weirstream/weir/internal/protocol/snapshot"
	"github.com/weirstream/weir/internal/runtime/task"
	istorage "github.com/weirstream/weir/internal/storage"
	"github.com/weirstream/weir/source"
)

// regions returns which tasks restart together.
func (m *master) regions() *failover.Regions {
	var vertices []failover.Vertex
	for _, v := range m.Plan.Vertices {
		fv := failover.Vertex{ID: v.ID(), Parallelism: v.Parallelism, Joined: v.Nodes[0].Head} // the heads of a loop end it together
		for _, in := range v.Inputs {
			fv.Inputs = append(fv.Inputs, failover.Input{From: in.FromVertex.Index, AllToAll: in.Partitioning != graph.Forward})
		}
		for _, n := range v.Nodes {
			fv.Joined = fv.Joined || !m.sinks.RecoversSingly(n)
		}
		vertices = append(vertices, fv)
	}
	if m.Config.Restart().Failover == config.FailoverFull {
		return failover.Whole(vertices)
	}
	return failover.NewRegions(vertices)
}

// fail handles a failure that no task is to blame for.
func (m *master) fail(err error, permanent bool) { m.broken(nil, err, permanent) }

// broken handles the failure of a task that has ended because of it, or of something else if t is nil: some tasks restart, or the job ends.
func (m *master) broken(t *running, err error, permanent bool) {
	permanent = permanent || source.IsPermanent(err)
	if savepoint, ok := m.coordinator.StoppedWith(); ok {
		m.remember(0, t, err, true)
		m.failStopped(savepoint, err)
		return
	}
	switch {
	case m.state == over || m.state == cancelling:
		return // a failure of tasks that are being stopped for good says nothing new
	case t != nil && m.supervisor.RestartOf(t.attempt.Subtask) != 0: // it is about to be stopped, or something else in its region has failed
		m.remember(m.supervisor.TaskFailed(t.attempt.Subtask, permanent, m.Now(), m.random()), t, err, permanent)
		return
	}
	m.cause = err
	m.coordinator.Failover(m.Now())
	switch {
	case m.neverBegan(err):
		m.remember(0, t, err, permanent)
		m.refuse(err)
	case m.stopping.on:
		m.remember(0, t, err, permanent)
		m.logger.Error("the job failed while it was stopping", "error", err)
		m.stopAll(func() { m.finish(Suspended) })
	case m.rescaling.moving():
		m.remember(0, t, err, permanent)
		if t != nil {
			m.supervisor.TaskEnded(t.attempt.Subtask)
		}
		m.goBackToOldPlan(err)
	default:
		m.rescaleDisturbed(err)
		m.state = restarting
		m.restarts(m.decide(t, permanent), t, err, permanent)
	}
}

// decide asks the supervisor what to do about a failure.
func (m *master) decide(t *running, permanent bool) failover.RestartID {
	if t != nil {
		return m.supervisor.TaskFailed(t.attempt.Subtask, permanent, m.Now(), m.random())
	}
	return m.supervisor.Failed(permanent, m.Now(), m.random())
}

// restarts tells of a restart that the supervisor has decided on, if it has. If not, it will say so in its actions.
func (m *master) restarts(id failover.RestartID, t *running, err error, permanent bool) {
	m.remember(id, t, err, permanent)
	if id == 0 {
		return
	}
	tasks, delay := m.supervisor.Scope(id)
	m.logger.Warn("the job restarts", "tasks", fmt.Sprintf("%d of %d", tasks, len(m.tasks)), "delay", delay, "restarts", m.strategy.Restarts(), "error", err)
	m.progress.Restarted(m.strategy.Restarts(), err)
	m.progress.Became(view.JobRestarting, m.Now())
}

// neverBegan reports whether the job did not come to do anything: its state could not be restored, or something could not be opened. Then
// it has not failed but was not started, and all stays as it was.
func (m *master) neverBegan(err error) bool {
	var open *task.OpenError
	return !m.deployed || !m.ran && source.IsPermanent(err) && errors.As(err, &open)
}

// supervise does what the supervisor has decided, and reports whether there was anything.
func (m *master) supervise() bool {
	actions := m.supervisor.Actions()
	for _, a := range actions {
		switch a := a.(type) {
		case failover.Stop:
			for _, s := range a.Tasks {
				m.stopTask(m.tasks[s])
				m.progress.Task(m.tasks[s].attempt, view.TaskCanceling, m.Now())
			}
		case failover.Wait:
			m.after(a.Delay, func() { m.supervisor.Due(a.Restart) })
		case failover.Restore: // the answer is the coordinator's action Restore
			m.restoring = &a
			m.coordinator.RestoreLatest(m.Now())
		case failover.GiveUp:
			m.logger.Error("the job has failed", "error", m.cause)
			m.coordinatorStopped()
			m.progress.Became(view.JobFailing, m.Now())
			m.stopAll(func() { m.finish(Failed) })
		}
	}
	return len(actions) > 0
}

// restoreFrom restores the tasks that are to be restored now.
func (m *master) restoreFrom(a coordinator.Restore) {
	r := m.restoring
	if r == nil || !m.supervisor.Current(r.Restart) {
		return // what was asked for has been taken over by another restart, which asks again
	}
	switch {
	case a.Found:
		m.logger.Info(fmt.Sprintf("restarting from checkpoint %d", a.From.ID), "tasks", len(r.Tasks))
	case len(a.Damaged) > 0:
		m.restoreFailed(r, fmt.Errorf("there is no checkpoint left to restart from: %v are damaged", a.Damaged), true)
		return
	default:
		m.logger.Warn("there is no checkpoint: the job begins again from nothing", "tasks", len(r.Tasks))
	}
	m.changePlan()
	w := recoveryWork{
		restore: r, from: a, plan: m.Plan, doubtful: slices.Clone(m.doubtful), unsettled: slices.Clone(m.unsettled), record: m.record, sinks: m.recovery,
	}
	m.clerk.do(func() func() {
		done, err := m.recover(w)
		return func() { m.recovered(w, done, err) }
	}, m.post)
}

// recoveryWork is what has to be done before tasks can be started again, and what must be known for it.
type recoveryWork struct {
	restore  *failover.Restore
	from     coordinator.Restore
	plan     *graph.Plan
	doubtful []job.CheckpointID
	// unsettled are savepoints that record is to be put right for: see settle.
	unsettled []istorage.Location
	record    line.Record
	sinks     committers.Recovery
}

// recoveryDone is what came of it.
type recoveryDone struct {
	read     bool               // the checkpoint was read, and the doubtful ones are gone
	meta     *snapshot.Metadata // nil if there is no checkpoint
	restored deal.Restored      // for a restart that is not global
	moved    []string
}

// recover reads the checkpoint and lets the sinks recover. It runs beside the master.
func (m *master) recover(w recoveryWork) (done recoveryDone, err error) {
	defer patience.Rescue(&err)
	if err := m.checkLine(); err != nil {
		return done, err
	}
	if err := m.settle(w.unsettled, w.record); err != nil {
		return done, err
	}
	if done.meta, err = m.loadBefore(w.doubtful, w.from, w.plan); err != nil {
		if istorage.Classify(err) != istorage.Unknown {
			err = source.Permanent(err)
		}
		return done, err
	}
	done.read = true
	if w.restore.Global {
		done.moved, err = m.recoverSinks(done.meta, w.sinks, once)
		return done, err
	}
	if done.restored, err = deal.Again(m.sinks.WithoutPending(done.meta), w.plan); err != nil {
		return done, source.Permanent(err)
	}
	r := committers.Region{Plan: w.plan, Tasks: setOf(w.restore.Tasks), Meta: done.meta, Restored: &done.restored}
	return done, m.sinks.RecoverRegion(context.Background(), r, m.OpenStream)
}

// recovered starts the tasks for which everything else has recovered.
func (m *master) recovered(w recoveryWork, done recoveryDone, err error) {
	m.outputMoved(done.moved)
	if done.read {
		for _, id := range w.doubtful {
			m.checkpointIs((*istorage.Merger).Release, id)
			m.coordinator.Gone(id)
		}
		m.doubtful, m.unsettled = nil, nil
	}
	if !m.supervisor.Current(w.restore.Restart) {
		return
	}
	if err == nil {
		if w.restore.Global {
			err = m.restartAll(w.restore, done.meta)
		} else {
			err = m.restartSome(w.restore, done)
		}
	}
	if err != nil {
		m.restoreFailed(w.restore, err, false)
	}
}

func (m *master) restartAll(r *failover.Restore, meta *snapshot.Metadata) error {
	if err := m.deployAll(meta); err != nil {
		return err
	}
	m.supervisor.Restored(r.Restart)
	m.restartedFrom(meta, r.Tasks)
	return nil
}

// restartSome starts some tasks while the others go on. If their sources do not know any more what they have handed out since the checkpoint,
// all have to restart.
func (m *master) restartSome(r *failover.Restore, done recoveryDone) error {
	from := done.restored
	known, err := m.resetSources(r.Tasks, from.ID, from.Finished)
	switch {
	case err != nil:
		m.fail(err, false) // the enumerator is in an unknown state, which only a new one mends
		return nil
	case !known:
		m.supervisor.Widen(r.Restart)
		return nil
	}
	some := setOf(r.Tasks)
	if err := m.deployTasks(from, func(s job.Subtask) bool { return some[s] }); err != nil {
		return err
	}
	m.supervisor.Restored(r.Restart)
	m.restartedFrom(done.meta, r.Tasks)
	return nil
}

// restoreFailed counts a recovery that has failed as a failure.
func (m *master) restoreFailed(r *failover.Restore, err error, permanent bool) {
	permanent = permanent || source.IsPermanent(err)
	m.cause = err
	if m.rescaling.moving() {
		m.goBackToOldPlan(err)
		return
	}
	m.restarts(m.supervisor.RestoreFailed(r.Restart, permanent, m.Now(), m.random()), nil, err, permanent)
}

func setOf(tasks []job.Subtask) map[job.Subtask]bool {
	set := map[job.Subtask]bool{}
	for _, s := range tasks {
		set[s] = true
	}
	return set
}
