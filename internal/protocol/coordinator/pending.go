package coordinator

import (
	"fmt"
	"slices"
	"time"

	"github.com/weirstream/weir/internal/element"
	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/protocol/reason"
	"github.com/weirstream/weir/internal/protocol/snapshot"
)

// stage is how far a pending checkpoint has come.
type stage uint8

const (
	locating   stage = iota // its location is being prepared
	asking                  // the operators' coordinators are being asked
	collecting              // the tasks are told, and their acknowledgements come in
	publishing              // its metadata is being written; nothing can stop it
)

// pending is a checkpoint that is under way.
type pending struct {
	id        job.CheckpointID
	request   request
	plan      plan
	triggered time.Time
	full      bool
	base      job.CheckpointID // the newest complete one when it began, 0 if there was none: what its tasks may build on
	stage     stage
	done      bool          // decided, and no longer in Coordinator.pending
	location  string        // of a savepoint, once it is there
	atEnd     []job.Attempt // of a savepoint: the plan's tasks that were at the end of their data before any was told

	waiting      map[job.Attempt]bool // of the plan's tasks: true until it has acknowledged
	left         int                  // how many are true
	states       [][]*snapshot.Task   // by vertex and subtask; nil: no state, or not yet
	coordinators map[job.OperatorID][]byte
	stats        *CheckpointStats
}

func (c *Coordinator) newPending(id job.CheckpointID, t *trigger) *pending {
	p := &pending{
		id: id, request: t.request, plan: t.plan, triggered: t.at, full: c.forceFull, base: c.store.newest(),
		waiting: map[job.Attempt]bool{}, left: len(t.plan.tasks), states: make([][]*snapshot.Task, len(c.tasks)),
	}
	for _, a := range t.plan.tasks {
		p.waiting[a] = true
	}
	for v := range c.tasks {
		p.states[v] = make([]*snapshot.Task, len(c.tasks[v]))
	}
	p.stats = c.stats.begin(id, t, c.job.Vertices)
	return p
}

func (p *pending) expiry() Timer { return Timer{Kind: ExpiryTimer, N: int64(p.id)} }

// snapshot returns what the tasks are told of the checkpoint.
func (p *pending) snapshot() element.Snapshot {
	r := p.request.Request
	var s element.Snapshot
	switch {
	case r.Kind.isSavepoint() && r.Native:
		s.Kind = element.NativeSavepoint
	case r.Kind.isSavepoint():
		s.Kind = element.CanonicalSavepoint
	case p.full || r.Kind == Full:
		s.Kind = element.FullCheckpoint
	}
	if r.Kind == StopWithSavepoint {
		s.Stop = element.Suspend
		if r.Drain {
			s.Stop = element.Drain
		}
	}
	return s
}

func (p *pending) isSavepoint() bool { return p.request.Kind.isSavepoint() }

// leftovers returns what to discard of a checkpoint that did not complete.
func (p *pending) leftovers() Discard {
	return Discard{ID: p.id, Savepoint: p.isSavepoint(), Location: p.location}
}

func (p *pending) awaits(a job.Attempt) bool { return p.waiting[a] }

func (c *Coordinator) find(id job.CheckpointID) *pending {
	for _, p := range c.pending {
		if p.id == id {
			return p
		}
	}
	return nil
}

// pendingNow returns the pending checkpoints in a slice that stays as it is while some of them are given up.
func (c *Coordinator) pendingNow() []*pending { return slices.Clone(c.pending) }

func (c *Coordinator) remove(p *pending) {
	p.done = true
	c.pending = slices.DeleteFunc(c.pending, func(o *pending) bool { return o == p })
	if p.stage != publishing {
		c.emit(DisarmTimer{Timer: p.expiry()})
	}
}

// Ack reports that an attempt has taken its snapshot; state is nil if it has none. The state belongs to the coordinator afterwards.
// When the last one is there, the checkpoint is published.
//
// An ack of a checkpoint that is not pending, or of an attempt that has no part in it, leaves files behind that nobody refers to: they
// are discarded. A doubled ack is not: its files are those of the first. They may be in use even if the coordinator does not keep the
// checkpoint: it may be a savepoint, one of which nobody knows whether it was published, or one that is being deleted, metadata first.
func (c *Coordinator) Ack(a job.Attempt, id job.CheckpointID, state *snapshot.Task, m TaskMetrics, now time.Time) {
	p := c.find(id)
	switch {
	case p == nil && (c.store.has(id) || slices.Contains(c.written, id)): // doubled
		return
	case p == nil:
		c.stats.metrics(id, a, c.vertices, m)
		c.register(id, state)
		c.discardState(a, id, state)
		c.settleShared()
		return
	}
	lost := c.register(id, state)
	waits, known := p.waiting[a]
	switch {
	case !known || p.stage < collecting:
		c.discardState(a, id, state)
	case waits && lost != "":
		cause := fmt.Sprintf("task %s refers again to %s, which was deleted since no complete checkpoint needed it any more", c.nameOf(a), lost)
		c.abort(p, failure{why: reason.CheckpointDeclined, cause: cause, attempt: a}, now)
		c.choose(now)
	case waits:
		c.accept(p, a, state, m, now)
	}
}

func (c *Coordinator) accept(p *pending, a job.Attempt, state *snapshot.Task, m TaskMetrics, now time.Time) {
	v := c.vertices[a.Subtask.Vertex]
	if stranger, ok := c.strangeOperator(v, state); ok {
		cause := fmt.Sprintf("task %s acknowledged with state of operator %s, which it does not have", c.nameOf(a), stranger)
		c.abort(p, failure{why: reason.CheckpointDeclined, cause: cause, attempt: a}, now)
		c.choose(now)
		return
	}
	p.waiting[a] = false
	p.left--
	p.states[v][a.Subtask.Index] = state
	p.stats.acked(v, a.Subtask.Index, state, m, now)
	c.publishIfComplete(p, now)
}

func (c *Coordinator) strangeOperator(vertex int, state *snapshot.Task) (job.OperatorID, bool) {
	if state == nil {
		return job.OperatorID{}, false
	}
	for _, s := range state.Operators {
		if !slices.ContainsFunc(c.job.Vertices[vertex].Operators, func(o Operator) bool { return o.ID == s.ID }) {
			return s.ID, true
		}
	}
	return job.OperatorID{}, false
}

// Metrics reports what an attempt measured of a checkpoint that it could not complete.
func (c *Coordinator) Metrics(a job.Attempt, id job.CheckpointID, m TaskMetrics) {
	c.stats.metrics(id, a, c.vertices, m)
}

// Decline reports that an attempt cannot take part in a checkpoint. It is given up for the reason and the attempt is blamed.
func (c *Coordinator) Decline(a job.Attempt, id job.CheckpointID, why reason.Reason, cause string, now time.Time) {
	p := c.find(id)
	if p == nil || p.stage == publishing {
		return
	}
	if _, known := p.waiting[a]; !known {
		return
	}
	if cause == "" {
		cause = why.Message()
	}
	c.abort(p, failure{why: why, cause: fmt.Sprintf("task %s: %s", c.nameOf(a), cause), attempt: a}, now)
	c.choose(now)
}

func (c *Coordinator) discardState(a job.Attempt, id job.CheckpointID, state *snapshot.Task) {
	if hasFiles(state) {
		c.emit(DiscardState{ID: id, Attempt: a, State: state, Location: c.locations[id], Expired: slices.Contains(c.expired, id)})
	}
}

func hasFiles(state *snapshot.Task) bool {
	files := false
	if state != nil {
		for _, op := range state.Operators {
			op.State.EachStream(func(s *snapshot.Stream) { files = files || s.Path != "" })
		}
	}
	return files
}

// metadata puts the checkpoint together. Of a vertex that is finished for good no state is kept; in one that is finished in part the
// finished subtasks are marked. A vertex whose operators have all seen the end of the data is finished too, even if its tasks wait for
// this very checkpoint: it has nothing more to do, and would emit what it held back a second time if it were run again. Only what is
// pending outside is kept of it. That holds if all it reads from is finished too: at least once, a step may have seen the end of the data
// although the part of the step before it is older than that, and then it must run again.
func (c *Coordinator) metadata(p *pending, now time.Time) *snapshot.Metadata {
	m := c.job.Header
	m.Checkpoint, m.Kind, m.Triggered, m.Completed = p.id, snapshot.Checkpoint, p.triggered, now
	if s := p.snapshot(); s.Kind.IsSavepoint() {
		m.Kind, m.Native, m.Stop = snapshot.Savepoint, s.Kind == element.NativeSavepoint, s.Stop
	}
	m.Operators, m.Directories = nil, c.shared.registry.Directories(p.id)
	ended := make([]bool, len(c.job.Vertices))
	for v, vertex := range c.job.Vertices {
		finished := p.plan.fullyFinished(v) || p.finishedOnRestore(v)
		ended[v] = finished || p.operatorsFinished(v) &&
			!slices.ContainsFunc(vertex.Inputs, func(in Input) bool { return !ended[in.From] })
		for _, op := range vertex.Operators {
			state := snapshot.OperatorState{
				ID: op.ID, Name: op.Name, Named: op.Named, Parallelism: vertex.Parallelism, MaxParallelism: op.MaxParallelism,
				FullyFinished: finished, Location: op.Location,
			}
			switch {
			case finished:
			case ended[v]:
				state.FullyFinished = true
				state.Subtasks = listsOnly(p.subtasks(v, op.ID))
			default:
				state.Coordinator = p.coordinators[op.ID]
				state.Subtasks = p.subtasks(v, op.ID)
			}
			m.Operators = append(m.Operators, state)
		}
	}
	return &m
}

// finishedInPart says which step cannot be cut off because some of its subtasks have finished and their share of a list that every
// subtask restores as a whole is missing; empty if there is none.
func (c *Coordinator) finishedInPart(p *pending) string {
	for v, vertex := range c.job.Vertices {
		ended := 0
		for i, state := range p.states[v] {
			ended += count(p.plan.finished[v][i] || state != nil && state.OperatorsFinished)
		}
		if ended == 0 || ended == len(p.states[v]) {
			continue
		}
		for _, state := range p.states[v] {
			if op, list, ok := unionOf(vertex, state); ok {
				return fmt.Sprintf("step %q has finished in %d of %d subtasks, and its union list state %q must not lose their part", op, ended, vertex.Parallelism, list)
			}
		}
	}
	return ""
}

// unionOf returns an operator and a list of its that is restored by union, if a subtask has such.
func unionOf(vertex Vertex, state *snapshot.Task) (operator, list string, ok bool) {
	if state == nil {
		return "", "", false
	}
	for _, s := range state.Operators {
		if s.State == nil {
			continue
		}
		for _, l := range s.State.Lists {
			if l.Mode == snapshot.Union {
				i := slices.IndexFunc(vertex.Operators, func(o Operator) bool { return o.ID == s.ID })
				return vertex.Operators[i].Name, l.Name, true
			}
		}
	}
	return "", "", false
}

// operatorsFinished reports whether every subtask of a vertex has ended or has seen the end of the data.
func (p *pending) operatorsFinished(vertex int) bool {
	for i, state := range p.states[vertex] {
		if !p.plan.finished[vertex][i] && (state == nil || !state.OperatorsFinished) {
			return false
		}
	}
	return true
}

// listsOnly leaves the keyed state away.
func listsOnly(subtasks []*snapshot.OperatorSubtask) []*snapshot.OperatorSubtask {
	for i, s := range subtasks {
		if s != nil {
			subtasks[i] = &snapshot.OperatorSubtask{Lists: s.Lists, Finished: s.Finished}
		}
	}
	return subtasks
}

// finishedOnRestore reports whether all subtasks of a vertex that run had finished before they were restored. If some have been restored and
// others not, because only a region was, those may still have something that is pending outside.
func (p *pending) finishedOnRestore(vertex int) bool {
	for i, state := range p.states[vertex] {
		if !p.plan.finished[vertex][i] && (state == nil || !state.FinishedOnRestore) {
			return false
		}
	}
	return true
}

// subtasks returns what each subtask of a vertex has of an operator.
func (p *pending) subtasks(vertex int, op job.OperatorID) []*snapshot.OperatorSubtask {
	out := make([]*snapshot.OperatorSubtask, len(p.states[vertex]))
	for i, state := range p.states[vertex] {
		switch {
		case p.plan.finished[vertex][i]:
			out[i] = &snapshot.OperatorSubtask{Finished: true}
		case state != nil:
			out[i] = stateOf(state, op)
		}
	}
	return out
}

func stateOf(t *snapshot.Task, op job.OperatorID) *snapshot.OperatorSubtask {
	for _, s := range t.Operators {
		if s.ID == op {
			return s.State
		}
	}
	return nil
}
