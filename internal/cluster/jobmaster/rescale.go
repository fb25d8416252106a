package jobmaster

import (
	"context"
	"errors"
	"fmt"

	"github.com/weirstream/weir/internal/cluster/deal"
	"github.com/weirstream/weir/internal/cluster/progress"
	"github.com/weirstream/weir/internal/cluster/view"
	"github.com/weirstream/weir/internal/graph"
	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/protocol/coordinator"
	"github.com/weirstream/weir/internal/protocol/snapshot"
)

// rescaling is a change of parallelism while the job runs: a checkpoint, a look whether its state fits the new plan, then all tasks are stopped
// and go on from the latest checkpoint by the new plan. Until they are stopped a failure ends the rescaling and is like any other; after that
// the job goes back to the old plan.
type rescaling struct {
	stage    rescaleStage
	plan     *graph.Plan           // that tasks are to be deployed by next
	old      *graph.Plan           // set once tasks are being stopped
	request  coordinator.RequestID // of the checkpoint
	ended    int                   // tasks that had finished when it was asked for
	failed   error                 // why the job goes back to the old plan
	finished func(error)           // called once
}

type rescaleStage int

const (
	taking   rescaleStage = iota // a checkpoint is being taken
	checking                     // its state is compared with the new plan
	moving                       // tasks are being stopped and started by the new plan
	goingBack
)

// moving reports whether a failure now must lead back to the old plan.
func (r *rescaling) moving() bool { return r != nil && r.stage == moving }

// Rescale changes the parallelism of a step and of all that runs in one task with it, see RescaleThen. It returns when all tasks run again, with
// an error if they do so at the old parallelism. When ctx is done it returns at once; the job goes on with what it has begun.
func (e *Execution) Rescale(ctx context.Context, step string, parallelism int) error {
	done := make(chan error, 1)
	e.RescaleThen(step, parallelism, func(err error) { done <- err })
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-e.done:
		select {
		case err := <-done:
			return err
		default:
			return fmt.Errorf("rescale %q to %d: the job has ended", step, parallelism)
		}
	}
}

// RescaleThen is like Rescale but returns at once; then is called, on the master's goroutine, with how it ended. It is not called if the job
// ends before.
func (e *Execution) RescaleThen(step string, parallelism int, then func(error)) {
	e.post(func(m *master) {
		m.rescale(step, parallelism, func(err error) {
			if err != nil {
				err = fmt.Errorf("rescale %q to %d: %w", step, parallelism, err)
			}
			then(err)
		})
	})
}

// rescale begins to change the parallelism of a step.
func (m *master) rescale(step string, parallelism int, finished func(error)) {
	plan, err := m.Plan.Rescaled(step, parallelism)
	switch {
	case err != nil:
	case !m.checkpoints.On():
		err = errors.New("the job takes no checkpoints, and would begin again from nothing: set execution.checkpointing.interval")
	case m.rescaling != nil:
		err = errors.New("another change of parallelism is under way: try again when it has ended")
	case m.state != inFlight || m.stopping.on:
		err = errors.New("not all tasks of the job run: try again when they do")
	}
	if err != nil {
		finished(err)
		return
	}
	m.rescaling = &rescaling{plan: plan, finished: finished}
	m.checkpointToRescale()
}

// checkpointToRescale asks for the checkpoint from which the tasks are to go on.
func (m *master) checkpointToRescale() {
	r := m.rescaling
	r.stage, r.ended = taking, m.tasksEnded()
	var err error
	if r.request, err = m.coordinator.Request(coordinator.Request{Kind: coordinator.Configured}, m.Now()); err != nil {
		m.rescaled(err)
	}
}

func (m *master) tasksEnded() (n int) {
	for _, t := range m.tasks {
		if t.ended {
			n++
		}
	}
	return n
}

// rescaled ends a rescaling, if there is one.
func (m *master) rescaled(err error) {
	r := m.rescaling
	if r == nil || r.stage < moving && err == nil {
		return
	}
	m.rescaling = nil
	switch {
	case r.failed != nil:
		r.finished(fmt.Errorf("the job goes on at the old parallelism: %w", r.failed))
	case err == nil:
		m.logger.Info("rescaled")
		r.finished(nil)
	default:
		r.finished(err)
	}
}

// rescaleDisturbed ends a rescaling because of a failure, before any task was stopped for it.
func (m *master) rescaleDisturbed(err error) {
	if m.rescaling != nil && m.rescaling.stage < moving {
		m.rescaled(fmt.Errorf("the job failed meanwhile: %w", err))
	}
}

// rescaleAnswered goes on when the checkpoint has come to an end: if it is complete, with a look whether its state fits the new plan. If tasks
// came to the end of their data meanwhile, which spoils a checkpoint and is nothing that the user could have avoided, the next one will
// do. No task ends twice, so this does not go on for ever.
func (m *master) rescaleAnswered(id coordinator.RequestID, err error) {
	r := m.rescaling
	if r == nil || r.stage != taking || r.request != id {
		return
	}
	if err != nil && m.state == inFlight && m.tasksEnded() > r.ended {
		m.checkpointToRescale()
		return
	}
	latest := m.coordinator.Retained()
	if err == nil && len(latest) == 0 {
		err = errors.New("its checkpoint is gone")
	}
	if err != nil {
		m.rescaled(err)
		return
	}
	r.stage = checking
	m.clerk.do(func() func() {
		meta, err := m.loadRetained(context.Background(), latest[len(latest)-1])
		return func() { m.moveTo(r, meta, err) }
	}, m.post)
}

// moveTo stops all tasks, so that they go on by the new plan, if the state fits it.
func (m *master) moveTo(r *rescaling, meta *snapshot.Metadata, err error) {
	if m.rescaling != r {
		return
	}
	if err == nil {
		err = deal.Fits(meta, r.plan)
	}
	switch {
	case err != nil:
		m.rescaled(err)
		return
	case m.state != inFlight || m.stopping.on:
		m.rescaled(errors.New("the job stops or restarts"))
		return
	}
	r.stage, r.old = moving, m.Plan
	m.restartByPlan()
}

// restartByPlan restarts all tasks by the plan of the rescaling.
func (m *master) restartByPlan() {
	m.state = restarting
	m.coordinator.Failover(m.Now())
	m.progress.Entered(progress.Restarting)
	m.progress.Became(view.JobRestarting, m.Now())
	m.supervisor.Restart()
}

// goBackToOldPlan restarts all tasks once more, by the plan they had.
func (m *master) goBackToOldPlan(err error) {
	r := m.rescaling
	m.logger.Error("the parallelism could not be changed: the job goes back to the old one", "error", err)
	r.stage, r.failed, r.plan = goingBack, err, r.old
	m.restartByPlan()
}

// changePlan takes over the plan of a rescaling. No task runs.
func (m *master) changePlan() {
	r := m.rescaling
	if r == nil || r.stage < moving || m.Plan == r.plan {
		return
	}
	m.Plan = r.plan
	m.tasks = map[job.Subtask]*running{}
	m.coordinator.Rescaled(m.coordinatorJob())
	if m.merger != nil {
		m.merger.Rescaled(m.Plan.Subtasks(), m.NewProcess())
	}
	m.supervisor.Rescaled(m.regions())
	m.progress.Replan(m.Plan)
}
