package operator

import (
	"slices"
	"sync/atomic"

	"github.com/weirstream/weir/internal/element"
	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/keygroup"
	"github.com/weirstream/weir/internal/protocol/snapshot"
)

// A chain begins anew when a restore would have to read much more than the state, or when its links come to cost more than they save: each is
// named in every checkpoint, with an offset for each key group.
const (
	mostIncrements = 50
	mostGrowth     = 1.0 // bytes of all increments, as a part of those of the base
)

// Chain knows on which earlier streams the increments of a step's keyed state may stand in one subtask: those of the newest checkpoint that
// the subtask knows to be complete. Whatever belongs to one that is not complete may be deleted at any time, and is not referred to.
//
// It is used by the subtask's goroutine, except for Links.
type Chain struct {
	base  *Link
	taken []*Link // in order, newer than base
}

// Link is a checkpoint of the state.
type Link struct {
	id    job.CheckpointID
	epoch uint32
	base  []snapshot.Keyed
	done  atomic.Pointer[[]snapshot.Keyed] // when it is written
}

// Epoch returns what the backend has given to Take or Restored: what has changed since the link was taken has changed since then.
func (l *Link) Epoch() uint32 { return l.epoch }

// Written takes the stream of the link and returns the whole chain to acknowledge the checkpoint with. It is called by the goroutine that
// has written it.
func (l *Link) Written(own snapshot.Keyed) []snapshot.Keyed {
	all := append(l.base[:len(l.base):len(l.base)], own)
	l.done.Store(&all)
	return all
}

// Restored begins with a chain that was restored, if it can be gone on with: see Continues. The backend's state was that of the chain at an epoch.
func (c *Chain) Restored(from job.CheckpointID, epoch uint32, streams []snapshot.Keyed, groups keygroup.Range) {
	if Continues(streams, "", groups, nil) {
		c.base = &Link{id: from, epoch: epoch}
		c.base.done.Store(&streams)
	}
}

// Continues reports whether later checkpoints may refer to the keyed state of a complete one: it is one chain, in the form of a state backend, or
// of none, of a subtask with just these key groups, and its files may be shared. mayUse is as in Env.
func Continues(chain []snapshot.Keyed, format string, groups keygroup.Range, mayUse func(snapshot.Stream) bool) bool {
	for i, k := range chain {
		ok := k.Format == format && k.Increment == (i > 0) && k.Range == groups && k.Written == groups
		one := snapshot.OperatorSubtask{Keyed: []snapshot.Keyed{k}}
		one.EachStream(func(s *snapshot.Stream) {
			ok = ok && (s.Path == "" || s.Scope == snapshot.Shared && (mayUse == nil || mayUse(*s)))
		})
		if !ok {
			return false
		}
	}
	return len(chain) > 0
}

// Base returns what an increment of the kind would stand on, nil if the next checkpoint is to hold all: also where a stream of the chain is not to
// be referred to again. mayUse is as in Env.
func (c *Chain) Base(kind element.SnapshotKind, mayUse func(snapshot.Stream) bool) *Link {
	if c.base == nil || kind != element.Checkpoint {
		return nil
	}
	streams := *c.base.done.Load()
	if mayUse != nil && slices.ContainsFunc(streams, func(k snapshot.Keyed) bool { return k.Stream.Path != "" && !mayUse(k.Stream) }) {
		return nil
	}
	increments := int64(0)
	for _, k := range streams[1:] {
		increments += k.Stream.Length
	}
	if len(streams) > mostIncrements || float64(increments) > mostGrowth*float64(streams[0].Stream.Length) {
		return nil
	}
	return c.base
}

// Take notes that a checkpoint is taken, on a base or, if that is nil, of all.
func (c *Chain) Take(id job.CheckpointID, epoch uint32, base *Link) *Link {
	l := &Link{id: id, epoch: epoch}
	if base != nil {
		l.base = *base.done.Load()
	}
	c.taken = append(c.taken, l)
	return l
}

// Complete tells that a checkpoint is complete. ok says that increments can stand on it from now on, and on none before it.
func (c *Chain) Complete(id job.CheckpointID) (base *Link, ok bool) {
	for len(c.taken) > 0 && c.taken[0].id <= id {
		l := c.taken[0]
		c.taken = c.taken[1:]
		if l.id == id && l.done.Load() != nil {
			c.base, ok = l, true
		}
	}
	return c.base, ok
}

// Aborted tells that there will be no such checkpoint.
func (c *Chain) Aborted(id job.CheckpointID) {
	for i, l := range c.taken {
		if l.id == id {
			c.taken = append(c.taken[:i:i], c.taken[i+1:]...)
			return
		}
	}
}
