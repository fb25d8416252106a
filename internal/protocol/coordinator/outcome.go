package coordinator

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/protocol/reason"
)

// maxWritten bounds the checkpoints that are remembered because somebody may refer to their files. A message that is later than so many
// checkpoints does not come.
const maxWritten = 1000

// maxExpired bounds the expired checkpoints that are remembered, to say of a late ack why it came too late.
const maxExpired = 16

// publishIfComplete asks for the metadata once nothing is missing. The timeout ends here: a checkpoint that may already be visible
// cannot be given up. One is published at a time, the oldest first, so that checkpoints complete in the order of their ids.
func (c *Coordinator) publishIfComplete(p *pending, now time.Time) {
	if p.done || p.stage != collecting || p.left > 0 || c.publishing() {
		return
	}
	if why := c.finishedInPart(p); why != "" {
		c.abort(p, failure{why: reason.CheckpointDeclinedTaskClosing, cause: why}, now)
		c.choose(now)
		return
	}
	p.stage = publishing
	c.written = append(c.written, p.id)
	c.written = c.written[max(0, len(c.written)-maxWritten):]
	c.emit(DisarmTimer{Timer: p.expiry()})
	c.emit(WriteMetadata{
		ID: p.id, Metadata: c.metadata(p, now), Savepoint: p.isSavepoint(), Location: p.location, Stop: p.snapshot().Stop,
	})
}

func (c *Coordinator) publishing() bool {
	return slices.ContainsFunc(c.pending, func(p *pending) bool { return p.stage == publishing })
}

// goOn does what waited for a checkpoint that was being published.
func (c *Coordinator) goOn(now time.Time) {
	for _, p := range c.pendingNow() {
		c.publishIfComplete(p, now)
	}
	c.settle(now)
	c.choose(now)
}

// MetadataWritten answers WriteMetadata: the checkpoint exists. The pointer is what a restore is given to find it, and metadataBytes
// the size of the `_metadata` file.
func (c *Coordinator) MetadataWritten(id job.CheckpointID, pointer string, metadataBytes int64, now time.Time) {
	p := c.find(id)
	if p == nil || p.stage != publishing {
		return
	}
	c.remove(p)
	c.failures.success(id)
	c.lastCompletion = now
	c.stats.completed(p.stats, pointer, metadataBytes, now)
	c.emit(Completed{Request: p.request.id, Stats: p.stats.overview()})
	switch p.request.Kind {
	case Savepoint: // it is the user's, and the job does not know of it any more
		c.cancelled = c.cancelled || p.request.Cancel
	case StopWithSavepoint:
		c.stopComplete(p, pointer)
	default:
		c.keep(p, pointer, now)
	}
	c.goOn(now)
}

// keep adds a complete checkpoint to those that the job may go back to, gives up the pending ones that it is newer than, and lets the
// tasks commit what it holds.
func (c *Coordinator) keep(p *pending, pointer string, now time.Time) {
	removed := c.store.add(Retained{ID: p.id, Pointer: pointer})
	c.shared.replaced = removed
	c.forceFull = false
	for _, older := range c.pendingNow() {
		if older.id < p.id && !older.isSavepoint() {
			c.abort(older, failure{why: reason.CheckpointSubsumed}, now)
		}
	}
	c.emit(NotifyComplete{ID: p.id, Timestamp: p.triggered, Subsumed: newestOwn(removed), Tasks: p.plan.tasks})
	c.shared.replaced = nil
	c.drop(removed)
	c.settleShared()
}

// MetadataFailed answers WriteMetadata: it could not be done. If it is unknown whether the metadata can be seen after all, the
// checkpoint is given up like any other but nothing of it is deleted, nor of what it shares with others, until Gone is reported.
func (c *Coordinator) MetadataFailed(id job.CheckpointID, cause string, unknown bool, now time.Time) {
	p := c.find(id)
	if p == nil || p.stage != publishing {
		return
	}
	if unknown && !p.isSavepoint() {
		c.shared.leaving = append(c.shared.leaving, id)
	}
	c.giveUp(p, failure{why: reason.FinalizeCheckpointFailure, cause: cause}, unknown, now)
	c.goOn(now)
}

func (c *Coordinator) expire(id job.CheckpointID, now time.Time) {
	p := c.find(id)
	if p == nil || p.stage == publishing {
		return
	}
	c.abort(p, failure{why: reason.CheckpointExpired, cause: c.missing(p)}, now)
	if len(c.expired) == maxExpired {
		c.expired = c.expired[1:]
	}
	c.expired = append(c.expired, id)
	c.choose(now)
}

// missing names the tasks that a checkpoint waits for, but not more than a reader takes in.
func (c *Coordinator) missing(p *pending) string {
	const most = 3
	var names []string
	for _, a := range p.plan.tasks {
		if p.awaits(a) {
			names = append(names, c.nameOf(a))
		}
	}
	switch n := len(names); {
	case n == 0:
		return ""
	case n > most:
		names = append(names[:most], fmt.Sprintf("%d more", n-most))
	}
	return "not acknowledged by " + strings.Join(names, ", ")
}

// abort gives a pending checkpoint up and discards what there is of it.
func (c *Coordinator) abort(p *pending, f failure, now time.Time) { c.giveUp(p, f, false, now) }

func (c *Coordinator) giveUp(p *pending, f failure, keepFiles bool, now time.Time) {
	c.remove(p)
	c.stats.failed(p.stats, f, now)
	c.emit(Failed{Request: p.request.id, Stats: p.stats.overview()})
	c.emit(NotifyAborted{ID: p.id, Timestamp: p.triggered, Latest: c.store.latestOwn(), Tasks: p.plan.tasks})
	// While the location is being prepared there is nothing to delete yet: LocationReady does it.
	if !keepFiles && p.stage != locating && (!p.isSavepoint() || p.location != "") {
		c.discard(p.leftovers())
	}
	c.countFailure(p.id, p.request.Kind, f)
	c.settleShared()
	c.stopFailed(p.request, f, p.stage >= collecting, now)
	if !p.isSavepoint() {
		c.retryFinal(now)
	}
}

func (c *Coordinator) countFailure(id job.CheckpointID, kind RequestKind, f failure) {
	if c.failures.failure(id, kind, f) && c.running { // else it is failing or has ended already
		c.emit(FailJob{Message: tooManyFailures(f), Attempt: f.attempt})
	}
}

func (c *Coordinator) discard(d Discard) {
	c.cleaning++
	c.emit(d)
}

// drop discards complete checkpoints, except those that belong to someone else.
func (c *Coordinator) drop(removed []Retained) {
	for _, r := range removed {
		if !r.Foreign {
			c.leave(r)
		}
	}
}
