package heap

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/weirstream/weir/backend"
	"github.com/weirstream/weir/internal/backend/keyed"
	"github.com/weirstream/weir/internal/keygroup"
	"github.com/weirstream/weir/internal/protocol/snapshot"
)

// storeScan is all that a byte store has at one moment, to be written in the form that every backend reads.
type storeScan struct {
	mu     sync.Mutex // held while it is written and closed
	closed bool
	head   []byte
	packs  bool // the groups are compressed
	groups keygroup.Range
	prefix prefix
	of     []keyed.State                      // the states of a row
	now    [keyed.ProcessingTime + 1]int64    // what is over then is left out
	ask    func() ([]backend.Iterator, error) // waits for them
	stop   func() error                       // returns why nothing more is to be written, if so
	most   int                                // rows of a group, 0 for all; then ask has rows alone in the first two
	taken  []backend.Iterator
}

// captureStore captures all rows up to now.
func (s *Store[K]) captureStore() *Capture {
	b := s.backed
	b.seal()
	s.arena.hold()
	c := &Capture{layout: s.layout, arena: s.arena, groups: s.groups}
	stop := func() error {
		select {
		case <-b.closing:
			return ErrReleased
		default:
			return c.stopped()
		}
	}
	c.scan = &storeScan{
		head: s.Head(), packs: s.layout.compress, groups: s.groups, prefix: b.prefix(), of: b.states, now: s.times.now,
		ask: b.writer.scan(iterators(b.states), s.groups), stop: stop,
	}
	b.scans = append(slices.DeleteFunc(b.scans, (*storeScan).isClosed), c.scan)
	return c
}

// iterators returns the number of iterations that it takes to write states: one that counts rows, one for the rows, and one for what is outlying.
func iterators(states []keyed.State) int {
	if slices.ContainsFunc(states, func(c keyed.State) bool { return mayBeOutlying(&c) || c.Kind == keyed.KindValue }) {
		return 3
	}
	return 2
}

// WriteStore writes what a byte store has in some groups, in the form of docs/formats/keyed.md: one that was opened with a snapshot of
// another program's states, whose head is given. It fills all of the result but Stream.
func WriteStore(store backend.Store, head []byte, groups keygroup.Range, w io.Writer) (snapshot.Keyed, error) {
	scan, err := scanOf(store, head, groups)
	if err != nil {
		return snapshot.Keyed{}, err
	}
	defer scan.close()
	return scan.write(w)
}

// WriteRows is like WriteStore for at most so many rows of one group, and reads little more of the store than these.
func WriteRows(store backend.Store, head []byte, group, most int, w io.Writer) (snapshot.Keyed, error) {
	scan, err := scanOf(store, head, keygroup.Range{First: group, Last: group})
	if err != nil {
		return snapshot.Keyed{}, err
	}
	scan.most = most
	scan.ask = func() ([]backend.Iterator, error) {
		return scanEach(iterators(scan.of), func(i int) (backend.Iterator, error) {
			space := byte(rowSpace)
			if i == 2 {
				space = placeSpace
			}
			return store.Scan(append(backend.GroupKey(group), space), append(backend.GroupKey(group), space+1))
		})
	}
	defer scan.close()
	return scan.write(w)
}

// scanOf returns a scan of all that is in some groups of a store.
func scanOf(store backend.Store, head []byte, groups keygroup.Range) (*storeScan, error) {
	h, err := keyed.ParseHead(head)
	if err != nil {
		return nil, refusal{err}
	}
	domains := map[keyed.Domain]bool{}
	for _, c := range h.States {
		if c.Kind == keyed.KindTimer || c.Kind == keyed.KindTimers {
			domains[c.Domain] = true
		}
	}
	return &storeScan{
		head: head, groups: groups, prefix: prefix{8 * len(domains), h.Stamped}, of: h.States, now: newTimes().now,
		ask:  func() ([]backend.Iterator, error) { return scanTimes(store, iterators(h.States), groups) },
		stop: func() error { return nil },
	}, nil
}

func (c *storeScan) write(w io.Writer) (k snapshot.Keyed, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return k, ErrReleased
	}
	if c.taken, err = c.ask(); err != nil {
		return k, err
	}
	e := &scanWriter{storeScan: c, out: bufio.NewWriterSize(w, writeBytes), counting: c.taken[0], rows: c.taken[1]}
	if len(c.taken) > 2 {
		e.places = placesOf{it: c.taken[2], more: c.taken[2].Next()}
	}
	k.Range, k.Written = c.groups, c.groups
	e.begin()
	k.Header = e.at
	e.more, e.left = e.rows.Next(), e.counting.Next()
	for g := c.groups.First; g <= c.groups.Last && err == nil; g++ {
		k.Offsets = append(k.Offsets, e.at)
		if err = e.group(uint16(g)); err == nil {
			err = e.endGroup()
		}
	}
	k.End = e.at
	for _, it := range c.taken {
		err = errors.Join(err, it.Err())
	}
	return k, errors.Join(err, e.out.Flush())
}

// close lets the byte store forget the moment, once nothing is written any more. An error of an iterator means nothing then. It is idempotent.
func (c *storeScan) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	c.closed = true
	if c.taken == nil {
		c.taken, _ = c.ask()
	}
	for _, it := range c.taken {
		it.Close()
	}
	c.taken = nil
}

func (c *storeScan) isClosed() bool {
	if !c.mu.TryLock() {
		return false
	}
	defer c.mu.Unlock()
	return c.closed
}

// scanWriter is one Write. Each group begins with the number of its rows, so one iterator is ahead of the other by a group.
type scanWriter struct {
	*storeScan
	out            *bufio.Writer
	pack           *keyed.Packer // between the groups and out, nil if they are not compressed
	at             int64
	counting, rows backend.Iterator
	left, more     bool // whether they are at a key
	places         placesOf
	scattered      bool // the group has something outlying
	scratch        []byte
	seen           int // keys
}

// begin writes the head.
func (e *scanWriter) begin() {
	head := e.head
	if e.packs {
		head = keyed.CompressedHead(head)
	}
	e.write(head)
	if e.packs {
		e.pack = keyed.NewPacker(e.out)
	}
}

// endGroup writes what is left of a group.
func (e *scanWriter) endGroup() error {
	if e.pack == nil {
		return nil
	}
	before := e.pack.Written()
	err := e.pack.End()
	e.at += e.pack.Written() - before
	return err
}

func (e *scanWriter) write(p []byte) {
	if e.pack != nil {
		before := e.pack.Written()
		e.pack.Write(p) // Flush tells the error
		e.at += e.pack.Written() - before
		return
	}
	e.at += int64(len(p))
	for len(p) > writeBytes { // a row may be large
		e.out.Write(p[:writeBytes]) // Flush tells the error
		p = p[writeBytes:]
	}
	e.out.Write(p)
}

// stopped looks now and then whether to go on.
func (e *scanWriter) stopped() error {
	if e.seen++; e.seen%1024 != 0 {
		return nil
	}
	return e.stop()
}

func (e *scanWriter) group(g uint16) error {
	n := 0
	e.scattered = e.most > 0 && e.places.more
	for ; e.left && (e.most == 0 || n < e.most) && binary.BigEndian.Uint16(e.counting.Key()) == g; e.left = e.counting.Next() {
		if err := e.stopped(); err != nil {
			return err
		}
		switch e.counting.Key()[2] {
		case rowSpace:
			n++
		case placeSpace:
			e.scattered = true
		}
	}
	if n == 0 {
		for e.more && binary.BigEndian.Uint16(e.rows.Key()) == g {
			e.more = e.rows.Next()
		}
		return nil
	}
	e.write(appendCount(e.scratch[:0], n))
	for seen := 0; e.more && (e.most == 0 || seen < n) && binary.BigEndian.Uint16(e.rows.Key()) == g; e.more = e.rows.Next() {
		seen++
		if err := e.stopped(); err != nil {
			return err
		}
		key, value := e.rows.Key(), e.rows.Value()
		if key[2] != rowSpace {
			continue
		}
		if e.prefix.over(value, e.now) {
			continue
		}
		if len(value) < e.prefix.size() {
			return fmt.Errorf("%w: a row is cut short", keyed.ErrCorrupt)
		}
		if e.prefix.lives {
			e.write([]byte{keyed.RowFollows})
		}
		e.write(key[keyPrefix:])
		if err := e.states(key, value[e.prefix.size():]); err != nil {
			return err
		}
	}
	if e.prefix.lives {
		e.write([]byte{keyed.NoRowFollows})
	}
	return nil
}

// scan opens iterators beside, after what was started before. They are told by the function that it returns, which waits.
func (w *backWriter) scan(n int, groups keygroup.Range) func() ([]backend.Iterator, error) {
	var taken []backend.Iterator
	w.run(w.number, func(context.Context) (err error) {
		taken, err = scanTimes(w.store, n, groups)
		return err
	})
	over := w.over
	return func() ([]backend.Iterator, error) {
		<-over
		if taken == nil {
			return nil, w.err
		}
		return taken, nil
	}
}

// scanTimes opens several iterators over some groups.
func scanTimes(store backend.Store, n int, groups keygroup.Range) ([]backend.Iterator, error) {
	return scanEach(n, func(int) (backend.Iterator, error) {
		return store.Scan(backend.Groups{First: groups.First, Last: groups.Last}.Keys())
	})
}

// scanEach opens several iterators, or none.
func scanEach(n int, scan func(i int) (backend.Iterator, error)) (all []backend.Iterator, err error) {
	for i := range n {
		it, err := scan(i)
		if err != nil {
			for _, it := range all {
				err = errors.Join(err, it.Close())
			}
			return nil, err
		}
		all = append(all, it)
	}
	return all, nil
}
