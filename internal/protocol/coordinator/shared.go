package coordinator

import (
	"slices"
	"time"

	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/protocol/sharing"
	"github.com/weirstream/weir/internal/protocol/snapshot"
)

// shared is what the coordinator knows of files that several checkpoints may refer to. The order in which things go makes it safe to be
// interrupted: what a complete checkpoint refers to stays until the deletion of the checkpoint itself, which begins with its metadata, has
// been answered. So no checkpoint is ever found that lacks a file.
type shared struct {
	registry sharing.Registry
	// leaving are complete checkpoints whose deletion is under way, or has failed.
	leaving []job.CheckpointID
	// held are complete checkpoints that were replaced, and in whose directories lie files that newer ones refer to.
	held []Retained
	// replaced are complete checkpoints that are about to be discarded.
	replaced []Retained
	kept     []job.CheckpointID // at the end of the job
}

// restoreShared notes what was found at the start, before anything can be replaced.
func (c *Coordinator) restoreShared(r Restoration) {
	for _, list := range [][]Retained{r.Retained, r.Obsolete} {
		for _, kept := range list {
			c.shared.registry.Restored(kept.ID, kept.Pointer, !kept.Foreign && !r.Unsure, r.Uses[kept.Pointer])
		}
	}
	for _, u := range r.Others {
		c.shared.registry.Restored(r.From, "", false, u)
	}
}

// register notes what an acknowledgement refers to. lost is the path of a file that was deleted before, empty if there is none.
func (c *Coordinator) register(id job.CheckpointID, state *snapshot.Task) (lost string) {
	if state == nil || c.locations[id] != "" { // a savepoint shares nothing
		return ""
	}
	u := sharing.Uses{Directories: state.Directories}
	for _, op := range state.Operators {
		op.State.EachStream(func(s *snapshot.Stream) { u.Streams = append(u.Streams, *s) })
	}
	lost, _ = c.shared.registry.Register(id, u)
	return lost
}

// settleShared has deleted what nobody needs any more.
func (c *Coordinator) settleShared() {
	d := c.shared.registry.Settle(sharing.Situation{Kept: c.sharing(), Newest: c.store.newest(), Highest: c.lastID, Over: c.ended})
	if !d.IsEmpty() {
		c.emit(DiscardShared{Files: d.Files, Directories: d.Directories})
	}
	held := c.shared.held
	c.shared.held = nil
	for _, r := range held {
		c.leave(r)
	}
}

// sharing returns the complete checkpoints whose shared files must be there: those that exist as far as anybody knows, and those that a
// pending one may build on since they were the newest when it began.
func (c *Coordinator) sharing() []job.CheckpointID {
	ids := slices.Concat(c.shared.leaving, c.shared.kept)
	for _, r := range slices.Concat(c.store.list, c.shared.held, c.shared.replaced) {
		ids = append(ids, r.ID)
	}
	for _, p := range c.pending {
		if p.base != 0 {
			ids = append(ids, p.base)
		}
	}
	for _, id := range c.written {
		if c.BuildsOn(id) {
			ids = append(ids, id)
		}
	}
	return ids
}

// BuildsOn reports whether a pending checkpoint may refer to what a complete one has brought, which may have been deleted since: that one was the
// newest when the pending one began, or has become complete afterwards, and a task may have heard of it before its part was due.
func (c *Coordinator) BuildsOn(id job.CheckpointID) bool {
	return slices.ContainsFunc(c.pending, func(p *pending) bool { return !p.isSavepoint() && p.base <= id && id < p.id })
}

// leave discards a complete checkpoint, or holds it back while newer ones refer to files in its directory.
func (c *Coordinator) leave(r Retained) {
	if c.shared.registry.Holds(r.Pointer) {
		c.shared.held = append(c.shared.held, r)
		return
	}
	c.stats.discarded(r.ID)
	c.shared.leaving = append(c.shared.leaving, r.ID)
	c.discard(Discard{ID: r.ID, Pointer: r.Pointer, Savepoint: r.Savepoint, Claimed: r.Claimed})
}

// CleaningDone answers Discard: nobody will find the checkpoint any more.
func (c *Coordinator) CleaningDone(id job.CheckpointID, now time.Time) {
	c.cleaned(now, func() { c.Gone(id) })
}

// CleaningFailed answers Discard: the checkpoint may still be there, so the shared files that it refers to stay.
func (c *Coordinator) CleaningFailed(_ job.CheckpointID, now time.Time) { c.cleaned(now, func() {}) }

func (c *Coordinator) cleaned(now time.Time, how func()) {
	c.cleaning--
	how()
	c.endIfClean()
	c.choose(now)
}

// Gone tells that a checkpoint is deleted of which it was not known whether it was published: see MetadataFailed.
func (c *Coordinator) Gone(id job.CheckpointID) {
	if i := slices.Index(c.shared.leaving, id); i >= 0 {
		c.shared.leaving = slices.Delete(c.shared.leaving, i, i+1)
	}
	c.settleShared()
}

// finishStore settles the checkpoints when the job has ended.
func (c *Coordinator) finishStore(status EndStatus) {
	kept, removed := c.store.end(c.cfg.Retention.Keeps(status))
	for _, r := range kept {
		c.shared.kept = append(c.shared.kept, r.ID)
	}
	c.drop(removed)
	c.last = &Ended{Status: status, Kept: kept}
	c.settleShared()
	c.endIfClean()
}

// endIfClean says the last word. If there are shared files it waits for the deletions that are under way, since they go after those.
func (c *Coordinator) endIfClean() {
	if c.last == nil || c.cleaning > 0 && !c.shared.registry.IsEmpty() {
		return
	}
	c.emit(*c.last)
	c.last = nil
}
