package coordinator

import (
	"slices"
	"time"

	"github.com/weirstream/weir/internal/job"
)

// schedule is the periodic timer.
type schedule struct {
	timer Timer     // the current one; zero if none is armed
	next  time.Time // when it fires
	n     int64     // counts timers
}

// schedule begins the periodic checkpoints of a job that runs.
func (c *Coordinator) schedule(now time.Time) {
	if _, on := c.interval(); on {
		pause := c.cfg.minPause()
		c.armPeriodic(pause+time.Duration(c.random*float64(c.cfg.baseInterval()-pause)), now)
	}
	c.checkpointAtEnd(now)
}

// interval returns the present distance of periodic checkpoints, and whether there are any now.
func (c *Coordinator) interval() (time.Duration, bool) {
	switch backlog := c.cfg.BacklogInterval; {
	case c.cfg.Interval == 0:
		return 0, false
	case len(c.backlog) == 0 || backlog == nil:
		return c.cfg.baseInterval(), true
	default:
		return max(*backlog, c.cfg.baseInterval()), *backlog > 0
	}
}

// periodicFired keeps to a grid of times, so that the interval does not drift, and arms the next timer before it asks for a checkpoint.
// A timer that was armed before a backlog began still asks for one, even if no other follows.
func (c *Coordinator) periodicFired(t Timer, now time.Time) {
	if t != c.periodic.timer {
		return
	}
	c.periodic.timer = Timer{}
	if c.cfg.Interval == 0 {
		c.checkpointAtEnd(now)
		return
	}
	if interval, on := c.interval(); on {
		next := c.periodic.next.Add(interval)
		if next.Sub(now) > interval { // the clock was set back: what is left of the grid may be hours away
			next = now.Add(interval)
		}
		c.armPeriodic(max(0, next.Sub(now)), now)
		c.periodic.next = next
	}
	c.submit(Request{Kind: Periodic}, now)
}

func (c *Coordinator) armPeriodic(after time.Duration, now time.Time) {
	c.disarmPeriodic()
	c.periodic.n++
	c.periodic.timer = Timer{Kind: PeriodicTimer, N: c.periodic.n}
	c.periodic.next = now.Add(after)
	c.emit(ArmTimer{Timer: c.periodic.timer, After: after})
}

func (c *Coordinator) disarmPeriodic() {
	if c.periodic.armed() {
		c.emit(DisarmTimer{Timer: c.periodic.timer})
		c.periodic.timer = Timer{}
	}
}

func (s schedule) armed() bool { return s.timer != (Timer{}) }

// Backlog reports that a source began to work off a backlog, or that it has caught up. In between Config.BacklogInterval holds. When the
// last source has caught up a checkpoint is taken at once, since the one before may be old.
//
// A backlog that begins leaves the timer that is armed as it is: it is due within an interval, and the longer one begins after that. The
// driver reports of a source that begins anew that it has none.
func (c *Coordinator) Backlog(source job.OperatorID, on bool, now time.Time) {
	if on == c.backlog[source] {
		return
	}
	if on {
		c.backlog[source] = true
	} else {
		delete(c.backlog, source)
	}
	if len(c.backlog) == 0 && c.cfg.BacklogInterval != nil && c.cfg.Interval > 0 && c.running && c.stopping == nil {
		c.armPeriodic(0, now)
	}
}

// EndOfData reports that all operators of an attempt have seen the end of the data, or that it was restored as finished. When the last
// task of the job reports it, a checkpoint is requested at once, so that the job need not wait for the next interval to end. A source all
// of whose subtasks are at their end has no backlog.
func (c *Coordinator) EndOfData(a job.Attempt, now time.Time) {
	t := c.current(a)
	if t == nil || t.endOfData || c.end != nil {
		return
	}
	to := *t
	to.endOfData = true
	c.change(t, to)
	if v := c.vertices[a.Subtask.Vertex]; c.vertexAtEnd(v) {
		for _, op := range c.job.Vertices[v].Operators {
			c.Backlog(op.ID, false, now)
		}
	}
	c.checkpointAtEnd(now)
}

func (c *Coordinator) vertexAtEnd(v int) bool { return c.atEnd[v] == len(c.tasks[v]) }

func (c *Coordinator) allAtEnd() bool {
	for v := range c.tasks {
		if !c.vertexAtEnd(v) {
			return false
		}
	}
	return true
}

// checkpointAtEnd asks for the final checkpoint, which the tasks of a job wait for at the end of their data.
func (c *Coordinator) checkpointAtEnd(now time.Time) {
	if c.running && c.stopping == nil && c.waitsForFinal() && c.allAtEnd() {
		c.submit(Request{Kind: Configured}, now)
	}
}

// waitsForFinal reports whether there are tasks that do not finish before a checkpoint has completed: with periodic checkpoints all, else
// those that know of a checkpoint which the job may go back to.
func (c *Coordinator) waitsForFinal() bool {
	return !c.cfg.OnlyWhileAllRun && (c.cfg.Interval > 0 || c.cfg.FinalCheckpoint || c.inUse)
}

// retryFinal arms a timer for another final checkpoint after one that came to nothing, if no other checkpoint will do.
func (c *Coordinator) retryFinal(now time.Time) {
	idle := !c.checkpointComes() && !c.periodic.armed()
	if c.cfg.Interval == 0 && c.running && c.stopping == nil && idle && c.waitsForFinal() && c.allAtEnd() {
		c.armPeriodic(max(finalRetry, c.cfg.minPause()), now)
	}
}

// checkpointComes reports whether a checkpoint is under way or waits for its turn. Savepoints do not count: no task may finish because of one.
func (c *Coordinator) checkpointComes() bool {
	return c.triggering != nil && !c.triggering.request.Kind.isSavepoint() ||
		slices.ContainsFunc(c.pending, func(p *pending) bool { return !p.isSavepoint() }) ||
		slices.ContainsFunc(c.queue.list, func(r request) bool { return !r.Kind.isSavepoint() })
}

// finalRetry is how long after a final checkpoint that failed another is tried.
const finalRetry = time.Second
