package coordinator

import (
	"fmt"
	"slices"
	"time"

	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/protocol/reason"
)

// trigger is a checkpoint on its way from the accepted request to the tasks. There is at most one.
type trigger struct {
	request request
	plan    plan
	at      time.Time
	stopped reason.Reason // the coordinator was stopped meanwhile
	pending *pending      // nil until the id is there
}

// begin accepts a request, or refuses it.
func (c *Coordinator) begin(r request, now time.Time) {
	if why := c.precheck(r); why != reason.None {
		c.failTrigger(r, failure{why: why}, now)
		return
	}
	p, f := c.makePlan()
	if f.why != reason.None {
		c.failTrigger(r, f, now)
		return
	}
	c.triggering = &trigger{request: r, plan: p, at: now}
	c.emit(AllocateID{ID: c.lastID + 1})
}

func (c *Coordinator) precheck(r request) reason.Reason {
	switch {
	case c.end != nil:
		return reason.CheckpointCoordinatorShutdown
	case r.Kind == Periodic && !c.running:
		return reason.PeriodicSchedulerShutdown
	}
	return reason.None
}

// IDAllocated answers AllocateID. From here the checkpoint exists, and its timeout runs.
func (c *Coordinator) IDAllocated(id job.CheckpointID, now time.Time) {
	t := c.triggering
	if t == nil || t.pending != nil {
		return
	}
	used := id <= c.lastID
	c.lastID = max(c.lastID, id)
	why := c.precheck(t.request)
	if why == reason.None {
		why = t.stopped
	}
	switch {
	case why != reason.None:
		c.endTrigger(failure{why: why}, now)
	case !c.holds(t.plan) && !c.planAgain(t):
		c.endTrigger(failure{why: reason.NotAllRequiredTasksRunning, cause: "a task stopped meanwhile"}, now)
	case used:
		c.endTrigger(failure{why: reason.TriggerCheckpointFailure, cause: fmt.Sprintf("checkpoint id %d was handed out before", id)}, now)
	default:
		t.pending = c.newPending(id, t)
		c.pending = append(c.pending, t.pending)
		c.emit(ArmTimer{Timer: t.pending.expiry(), After: c.cfg.Timeout})
		r := t.request.Request
		c.emit(InitLocation{ID: id, Savepoint: r.Kind.isSavepoint(), Target: r.Target})
	}
}

// planAgain makes another plan for a savepoint whose tasks have finished in part meanwhile, see without, and reports whether it could.
func (c *Coordinator) planAgain(t *trigger) bool {
	p, f := c.makePlan()
	if !t.request.Kind.isSavepoint() || f.why != reason.None || len(p.tasks) == 0 {
		return false
	}
	t.plan = p
	return true
}

// LocationReady answers InitLocation. The location is the directory that was made for a savepoint; it is handed back by the actions that
// concern it, and is empty for a checkpoint.
func (c *Coordinator) LocationReady(id job.CheckpointID, location string, now time.Time) {
	p := c.triggered(id, locating)
	if p == nil {
		return
	}
	p.stage, p.location = asking, location
	if location != "" {
		c.locations[id] = location
	}
	if p.done {
		c.discard(p.leftovers())
		c.endTrigger(failure{}, now)
		return
	}
	if operators := c.withCoordinator(p.plan); len(operators) > 0 {
		c.emit(SnapshotCoordinators{ID: id, Operators: operators})
		return
	}
	c.sendTrigger(p)
}

// CoordinatorsSnapshotted answers SnapshotCoordinators with the state of each operator's coordinator. An operator that is missing has
// none. The map belongs to the coordinator afterwards.
func (c *Coordinator) CoordinatorsSnapshotted(id job.CheckpointID, states map[job.OperatorID][]byte, now time.Time) {
	p := c.triggered(id, asking)
	if p == nil {
		return
	}
	if p.done {
		c.endTrigger(failure{}, now)
		return
	}
	p.coordinators = states
	c.sendTrigger(p)
}

func (c *Coordinator) sendTrigger(p *pending) {
	p.stage = collecting
	c.inUse = c.inUse || !p.isSavepoint()
	if p.isSavepoint() {
		p.atEnd = slices.DeleteFunc(slices.Clone(p.plan.tasks), func(a job.Attempt) bool {
			t := c.current(a)
			return t == nil || !t.endOfData
		})
	}
	c.sendTriggerTo(p, p.plan.trigger)
}

func (c *Coordinator) sendTriggerTo(p *pending, tasks []job.Attempt) {
	c.emit(SendTrigger{ID: p.id, Timestamp: p.triggered, Snapshot: p.snapshot(), Location: p.location, Tasks: slices.Clone(tasks)})
}

// TriggersSent answers SendTrigger.
func (c *Coordinator) TriggersSent(id job.CheckpointID, now time.Time) {
	p := c.triggered(id, collecting, publishing)
	if p == nil {
		return
	}
	c.triggering = nil
	c.publishIfComplete(p, now)
	if p.done { // given up while its triggers were on their way, which kept others from being tried
		c.retryFinal(now)
	}
	c.settle(now)
	c.choose(now)
}

// TriggerFailed answers AllocateID (with id 0), InitLocation, SnapshotCoordinators or SendTrigger: it could not be done. The reason is
// reason.IOException if storage failed, the task's own if it gave one, else reason.TriggerCheckpointFailure.
func (c *Coordinator) TriggerFailed(id job.CheckpointID, why reason.Reason, cause string, now time.Time) {
	t := c.triggering
	if t == nil || (t.pending == nil) != (id == 0) || t.pending != nil && t.pending.id != id {
		return
	}
	if p := t.pending; p != nil && p.stage == locating && p.done && !p.isSavepoint() {
		c.discard(p.leftovers()) // it may exist in part
	}
	c.endTrigger(failure{why: why, cause: cause}, now)
}

// triggered returns the checkpoint whose trigger is under way if it has the id and one of the stages.
func (c *Coordinator) triggered(id job.CheckpointID, stages ...stage) *pending {
	if c.triggering == nil || c.triggering.pending == nil || c.triggering.pending.id != id {
		return nil
	}
	p := c.triggering.pending
	for _, s := range stages {
		if p.stage == s {
			return p
		}
	}
	return nil
}

// endTrigger ends the trigger under way without success, gives its checkpoint up if that was not done before, and goes on.
func (c *Coordinator) endTrigger(f failure, now time.Time) {
	t := c.triggering
	c.triggering = nil
	switch {
	case t.pending == nil:
		c.failTrigger(t.request, f, now)
	case !t.pending.done && t.pending.stage != publishing:
		t.pending.stage = max(t.pending.stage, asking) // nothing is under way any more that could create the location
		c.abort(t.pending, f, now)
	case t.pending.done:
		c.retryFinal(now)
	}
	c.settle(now)
	c.choose(now)
}

// failTrigger refuses a request that never became a checkpoint. It counts like a failed one.
func (c *Coordinator) failTrigger(r request, f failure, now time.Time) {
	c.stats.refused()
	c.refuse(r, f, now)
	c.countFailure(0, r.Kind, f)
}

// withCoordinator returns the operators whose coordinators have a part in the checkpoint.
func (c *Coordinator) withCoordinator(p plan) (operators []job.OperatorID) {
	for v, vertex := range c.job.Vertices {
		if p.fullyFinished(v) {
			continue
		}
		for _, op := range vertex.Operators {
			if op.HasCoordinator {
				operators = append(operators, op.ID)
			}
		}
	}
	return operators
}
