package heap

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/weirstream/weir/internal/backend/keyed"
	"github.com/weirstream/weir/internal/keygroup"
	"github.com/weirstream/weir/internal/protocol/snapshot"
)

// ErrReleased is returned by Write of a capture that was released before or while it was written.
var ErrReleased = errors.New("the capture was released")

// Capture is the state of a store at one moment. It must be released, whether it was written or not. Its methods may be called from any
// goroutine, also after the store was closed.
//
// A store may have several, each of its moment: checkpoints may overlap, and savepoints do not wait for them. A page is then copied once
// more for each capture that it was changed after.
type Capture struct {
	layout  *Layout
	arena   *arena
	epoch   uint32
	now     [keyed.ProcessingTime + 1]int64 // by domain
	packs   bool                            // it is written compressed
	since   uint32                          // the epoch of the capture that it is an increment to, 0 if it is whole
	older   []*Capture                      // those that were being read when this one was made
	groups  keygroup.Range
	scan    *storeScan    // over a byte store, and then all there is
	main    []rowsImage   // by group
	linked  [][]rowsImage // by column, those that have a linked table, then by group
	gone    []graves      // of an increment: keys that were removed, by group
	dropped [][]graves    // of an increment: what was removed from linked tables, as linked

	cancelled atomic.Bool // it was released, and Write should stop
	over      atomic.Bool // nobody reads pages for this capture any more
	mu        struct {
		sync.Mutex
		writing, written, released bool
	}
}

// rowsImage is what a capture keeps of a rows: where its pages are and how far they were in use.
type rowsImage struct {
	sh    *shape
	slabs []slab
	next  uint32
	count int
}

func (r *rows) capture() rowsImage {
	r.bound = r.next
	return rowsImage{r.sh, r.slabs, r.next, r.count}
}

// Capture takes the state as it is now, to be written by another goroutine. It takes time in proportion to the number of key groups, not to
// the size of the state. It is called between batches.
//
// Over a byte store it takes time in proportion to the rows that have changed since they were written back last, whose number is bounded, and
// reads the others from there when it is written.
func (s *Store[K]) Capture() *Capture {
	if s.backed != nil {
		return s.captureStore()
	}
	return s.capture(0)
}

// CaptureSince is Capture for an increment: of the state it takes only what has changed since the capture that has begun the epoch base. If
// that is not known, because the store does not track changes or has forgotten some (see Knows), it takes all.
func (s *Store[K]) CaptureSince(base Epoch) *Capture {
	if !s.Knows(base) {
		return s.capture(0)
	}
	c := s.capture(uint32(base))
	for g := range s.tables {
		c.gone = append(c.gone, s.tables[g].gone.frozen(c.since))
	}
	for _, col := range s.layout.columns {
		if col.linked != nil {
			c.dropped = append(c.dropped, frozenGraves(col.linked, len(s.tables), c.since))
		}
	}
	return c
}

func frozenGraves(l linked, groups int, since uint32) []graves {
	all := make([]graves, groups)
	for g := range all {
		all[g] = l.gravesOf(uint32(g)).frozen(since)
	}
	return all
}

func (s *Store[K]) capture(since uint32) *Capture {
	s.clock.copying() // forgets those that have come to an end
	s.clock.now++
	s.cur.Shared = true // the cursor's row, too, must be made ready anew
	c := &Capture{
		layout: s.layout, arena: s.arena, epoch: s.clock.now, packs: s.layout.compress, since: since, now: s.times.now, older: slices.Clone(s.clock.reading), groups: s.groups,
		main: make([]rowsImage, len(s.tables)),
	}
	for g := range s.tables {
		c.main[g] = s.tables[g].rows.capture()
	}
	for _, col := range s.layout.columns {
		if col.linked != nil {
			c.linked = append(c.linked, captureLinked(col.linked, len(s.tables)))
		}
	}
	s.arena.hold()
	s.clock.reading = append(s.clock.reading, c)
	return c
}

func captureLinked(l linked, groups int) []rowsImage {
	all := make([]rowsImage, groups)
	for g := range all {
		all[g] = l.rowsOf(uint32(g)).capture()
	}
	return all
}

// Compress says, before Write, that the capture is to be written compressed whatever its layout says.
func (c *Capture) Compress() { c.packs = true }

// Release ends the capture: pages are no longer copied for it, and a Write that is under way fails soon. It does not wait. It is
// idempotent.
func (c *Capture) Release() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.mu.released {
		c.mu.released = true
		c.cancelled.Store(true)
		c.endLocked()
	}
}

// endLocked lets go of the pages once nobody can come back to them.
func (c *Capture) endLocked() {
	if c.mu.released && !c.mu.writing && !c.over.Load() {
		c.over.Store(true)
		c.main, c.linked, c.older, c.gone, c.dropped = nil, nil, nil, nil, nil
		if c.scan != nil {
			c.scan.close()
		}
		c.arena.drop()
	}
}

func (c *Capture) begin() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.mu.released:
		return ErrReleased
	case c.mu.writing || c.mu.written:
		return errors.New("a capture can be written once")
	}
	c.mu.writing = true
	return nil
}

func (c *Capture) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.writing, c.mu.written = false, true
	c.endLocked()
}

// Write writes the capture in the form of docs/formats/keyed.md while the subtask goes on. It fills all of the result but Stream. It can be
// called once. An increment is of use only behind its base.
func (c *Capture) Write(w io.Writer) (snapshot.Keyed, error) {
	if err := c.begin(); err != nil {
		return snapshot.Keyed{}, err
	}
	defer c.end()
	var k snapshot.Keyed
	var err error
	if c.scan != nil {
		k, err = c.scan.write(w)
	} else {
		e := &writer{c: c, out: w}
		e.lender, _ = snapshot.As[snapshot.Lender](w)
		k, err = e.write()
	}
	if err != nil {
		return snapshot.Keyed{}, fmt.Errorf("write keyed state of groups %v: %w", c.groups, err)
	}
	return k, nil
}

// Epoch returns the epoch that the capture has begun: what has changed since the capture has changed in that epoch or after it.
func (c *Capture) Epoch() Epoch { return Epoch(c.epoch) }

// IsIncrement reports whether the capture holds only what has changed since its base.
func (c *Capture) IsIncrement() bool { return c.since > 0 }

// wants reports whether a page is part of the capture, given the epoch in which it was last changed as far as is known. A page that no
// capture needs is not saved when it is changed, and is then seen as it became later; its epoch tells.
func (c *Capture) wants(wrote uint32) bool {
	return c.since == 0 || wrote >= c.since && wrote < c.epoch
}

// stopped returns why the capture must not be read any further, if so.
func (c *Capture) stopped() error {
	if c.cancelled.Load() {
		return ErrReleased
	}
	return nil
}

// isOldest reports whether no older capture is read any more. It is called by the capture's writer.
func (c *Capture) isOldest() bool {
	c.older = slices.DeleteFunc(c.older, func(o *Capture) bool { return o.over.Load() })
	return len(c.older) == 0
}
