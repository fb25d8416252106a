package coordinator

import (
	"fmt"
	"time"

	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/protocol/reason"
)

// stopping is the way of a job to its end with a savepoint:
//
//	asked -> saved -> stopped
//	  |        `----> failed for good: a task did not finish, or somebody wants to restart the job
//	  `-> nothing: no savepoint came about, and the job goes on
//
// From the request on no other checkpoint is begun, so that nothing overtakes the savepoint. Once that is complete the tasks commit what
// it holds, and the job must not go on from an earlier checkpoint: it would write the same again.
//
// A job may come to its end by itself just then. Tasks that finish before they hear of the savepoint are not in it (see without), the
// others wait for it. If all finish first the stop comes to nothing, and the job has finished.
type stopping struct {
	request request
	saved   *savedStop // nil until the savepoint is complete
	broken  string     // which task failed although it had acknowledged, before it was known whether the savepoint is complete
	over    bool       // Stopped or a permanent FailJob has been emitted
}

// savedStop is a complete savepoint that the job stops with.
type savedStop struct {
	id      job.CheckpointID
	pointer string
}

// Stopping reports whether the job is being stopped with a savepoint, or has been.
func (c *Coordinator) Stopping() bool { return c.stopping != nil }

// StoppedWith returns the pointer of the savepoint that the job stops with, once it is complete. From then on there is no way back: the job
// ends with Stopped, or fails for good.
func (c *Coordinator) StoppedWith() (pointer string, ok bool) {
	if !c.stopSaved() {
		return "", false
	}
	return c.stopping.saved.pointer, true
}

func (c *Coordinator) stopSaved() bool { return c.stopping != nil && c.stopping.saved != nil }

// beginStop accepts a request to stop: all that is under way is given up, and the savepoint is the next to be triggered. A request that
// could not be met disturbs nothing.
func (c *Coordinator) beginStop(r request, now time.Time) {
	if _, f := c.makePlan(); f.why != reason.None {
		c.refuse(r, f, now)
		return
	}
	c.stopping = &stopping{request: r}
	c.suspend(reason.CheckpointCoordinatorSuspend, now)
	c.queue.add(r)
	c.choose(now)
}

// whyNotNow says why a request is refused because the job is stopping.
func (c *Coordinator) whyNotNow() string {
	if c.stopping.saved != nil {
		return "the job has been stopped with savepoint " + c.stopping.saved.pointer
	}
	return fmt.Sprintf("the job is being stopped with a savepoint (request %d)", c.stopping.request.id)
}

// stopFailed ends a stop whose savepoint came to nothing. If no task knows of it, the job goes on as before. Otherwise some have ended
// their data and wait for what will not come: the job is failed, to be restarted.
func (c *Coordinator) stopFailed(r request, f failure, told bool, now time.Time) {
	if c.stopping == nil || c.stopping.request.id != r.id {
		return
	}
	c.stopping = nil
	switch {
	case !c.running || c.allFinished(): // JobRunning goes on, if the job does
	case told:
		c.emit(FailJob{Message: "the savepoint to stop with failed: " + f.String(), Attempt: f.attempt})
	default:
		c.schedule(now)
	}
}

// stopComplete notes that the savepoint to stop with is complete, and lets the tasks commit what it holds.
func (c *Coordinator) stopComplete(p *pending, pointer string) {
	c.emit(NotifyComplete{ID: p.id, Timestamp: p.triggered, Tasks: p.plan.tasks})
	s := c.stopping
	s.saved = &savedStop{p.id, pointer}
	switch {
	case s.broken == "":
		c.stopIfFinished()
	case !c.restore: // else that is answered with it
		c.failStopped(s.broken)
	}
}

// taskGoneWhileStopping follows the tasks to their ends.
func (c *Coordinator) taskGoneWhileStopping(a job.Attempt, status taskStatus) {
	s := c.stopping
	switch {
	case s == nil || s.over || !c.running:
	case status == taskFinished:
		c.stopIfFinished()
	case s.saved == nil:
		s.broken = fmt.Sprintf("task %s failed", c.nameOf(a))
	default:
		c.failStopped(fmt.Sprintf("task %s failed", c.nameOf(a)))
	}
}

func (c *Coordinator) stopIfFinished() {
	s := c.stopping
	if s.saved == nil || s.over || !c.allFinished() {
		return
	}
	s.over = true
	c.emit(Stopped{Request: s.request.id, ID: s.saved.id, Pointer: s.saved.pointer, Drained: s.request.Drain})
}

// failStopped fails the job for good: after its savepoint is complete it has nowhere to go back to.
func (c *Coordinator) failStopped(why string) {
	s := c.stopping
	s.over = true
	c.emit(FailJob{
		Message: fmt.Sprintf("%s after the job had been stopped with savepoint %s: what the savepoint holds may be committed, so only a start from it goes on (-s %[2]s)",
			why, s.saved.pointer),
		Permanent: true, Savepoint: s.saved.pointer,
	})
}

func (c *Coordinator) allFinished() bool {
	for _, tasks := range c.tasks {
		for i := range tasks {
			if tasks[i].status != taskFinished {
				return false
			}
		}
	}
	return true
}
