package coordinator

import (
	"fmt"
	"slices"
	"time"

	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/protocol/reason"
)

// plan says who takes part in a checkpoint.
type plan struct {
	trigger  []job.Attempt // told by the coordinator: those without a running task before them
	tasks    []job.Attempt // must acknowledge, and are told how it ended: those that run
	finished [][]bool      // by vertex and subtask: ended before the checkpoint
}

// fullyFinished reports whether every subtask of a vertex had ended.
func (p plan) fullyFinished(vertex int) bool {
	for _, finished := range p.finished[vertex] {
		if !finished {
			return false
		}
	}
	return true
}

// makePlan decides who takes part in a checkpoint that begins now. It fails if a task that has not finished does not run.
func (c *Coordinator) makePlan() (plan, failure) {
	if !c.running {
		return plan{}, failure{why: reason.NotAllRequiredTasksRunning, cause: "the job is not running"}
	}
	p := plan{finished: make([][]bool, len(c.tasks))}
	for v, tasks := range c.tasks {
		p.finished[v] = make([]bool, len(tasks))
		covered := c.allHaveRunningInput(v)
		for i, t := range tasks {
			switch t.status {
			case taskFinished:
				if c.cfg.OnlyWhileAllRun {
					return plan{}, failure{why: reason.NotAllRequiredTasksRunning, cause: fmt.Sprintf("task %s has finished, and checkpoints after that are turned off", c.nameOf(t.attempt))}
				}
				p.finished[v][i] = true
				continue
			case notRunning:
				return plan{}, failure{why: reason.NotAllRequiredTasksRunning, cause: fmt.Sprintf("task %s is not running", c.nameOf(t.attempt))}
			}
			p.tasks = append(p.tasks, t.attempt)
			if !covered && !c.hasRunningInput(v, i) {
				p.trigger = append(p.trigger, t.attempt)
			}
		}
	}
	return p, failure{}
}

// holds reports whether all that a plan counts on still run.
func (c *Coordinator) holds(p plan) bool {
	for _, a := range p.tasks {
		if t := c.current(a); t == nil || t.status != taskRunning {
			return false
		}
	}
	return true
}

// allHaveRunningInput answers for a whole vertex where that is possible: one running task is enough on an all-to-all edge, on a
// pointwise one all must run.
func (c *Coordinator) allHaveRunningInput(vertex int) bool {
	for _, in := range c.job.Vertices[vertex].Inputs {
		running := 0
		for _, t := range c.tasks[in.From] {
			if t.status == taskRunning {
				running++
			}
		}
		if in.AllToAll && running > 0 || running == len(c.tasks[in.From]) {
			return true
		}
	}
	return false
}

// hasRunningInput reports whether a running task sends to the subtask on a pointwise edge. All-to-all edges have none that does, or
// allHaveRunningInput had said so.
func (c *Coordinator) hasRunningInput(vertex, subtask int) bool {
	for _, in := range c.job.Vertices[vertex].Inputs {
		if in.AllToAll {
			continue
		}
		before := c.tasks[in.From]
		from, to := producers(subtask, len(before), len(c.tasks[vertex]))
		for _, t := range before[from:to] {
			if t.status == taskRunning {
				return true
			}
		}
	}
	return false
}

// without reports whether a savepoint goes on without a task that has finished before it acknowledged, and makes it so. That is as if the
// savepoint had been asked for a moment later: all that the task had to say is complete, committed, and went to the tasks behind it before
// their part is taken. A checkpoint is given up instead, since the next one comes by itself; whoever has asked for a savepoint has one try,
// and sources may have stopped for it.
//
// It would be wrong if the task had taken its part, whose acknowledgement got lost, and had said more since. A task that has stopped for a
// savepoint says no more, and does not finish before that is complete. One that a savepoint lets go on must have been at its end before it
// could hear of the savepoint.
//
// When there is nobody else left there is nothing to save: the job has come to its end.
func (c *Coordinator) without(p *pending, a job.Attempt, now time.Time) bool {
	switch {
	case !p.isSavepoint() || c.cfg.OnlyWhileAllRun || len(p.plan.tasks) == 1:
		return false
	case p.request.Kind == Savepoint && p.stage >= collecting && !slices.Contains(p.atEnd, a):
		return false
	}
	isIt := func(o job.Attempt) bool { return o == a }
	p.plan.tasks = slices.DeleteFunc(p.plan.tasks, isIt)
	p.plan.trigger = slices.DeleteFunc(p.plan.trigger, isIt)
	delete(p.waiting, a)
	p.left--
	v := c.vertices[a.Subtask.Vertex]
	p.plan.finished[v] = slices.Clone(p.plan.finished[v]) // the statistics have given it away
	p.plan.finished[v][a.Subtask.Index] = true
	p.stats.without(v, p.plan.finished[v])
	c.triggerAlso(p)
	c.publishIfComplete(p, now)
	return true
}

// triggerAlso tells those tasks of a savepoint that no barrier will reach any more, since none of those before them runs.
func (c *Coordinator) triggerAlso(p *pending) {
	var more []job.Attempt
	for _, a := range p.plan.tasks {
		v := c.vertices[a.Subtask.Vertex]
		if p.awaits(a) && !slices.Contains(p.plan.trigger, a) && !c.allHaveRunningInput(v) && !c.hasRunningInput(v, a.Subtask.Index) {
			more = append(more, a)
		}
	}
	p.plan.trigger = append(p.plan.trigger, more...)
	if p.stage == collecting && len(more) > 0 {
		c.sendTriggerTo(p, more)
	}
}
