package heap

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/weirstream/weir/backend"
	"github.com/weirstream/weir/internal/keygroup"
	"github.com/weirstream/weir/internal/protocol/snapshot"
)

// StoreScan is all that a byte store has at one moment, to be written in the form that every backend reads. It is used by one goroutine, and
// must be closed.
type StoreScan struct {
	head    []byte
	groups  keygroup.Range
	room    int // bytes before the states of a row
	stamped bool
	ask     func(context.Context) ([]backend.Iterator, error)
	taken   []backend.Iterator
	over    <-chan struct{} // closed when the store wants to close
	ended   func()
}

// ScanStore captures all rows up to now, like SnapshotStore, for one Write.
func (s *Store[K]) ScanStore() *StoreScan {
	b := s.backed
	b.seal()
	groups := backend.Groups{First: s.groups.First, Last: s.groups.Last}
	b.scans.Add(1)
	return &StoreScan{
		head: s.Head(), groups: s.groups, room: b.alarms.room(), stamped: s.layout.stamped,
		ask: b.writer.scan(2, groups), over: b.closing, ended: sync.OnceFunc(b.scans.Done),
	}
}

// ScanOf is all that a byte store of another program has in some groups: one that was opened with a snapshot, whose head is given.
func ScanOf(store backend.Store, head []byte, groups keygroup.Range) (*StoreScan, error) {
	h, err := parseHead(head)
	if err != nil {
		return nil, refusal{err}
	}
	domains := map[Domain]bool{}
	for _, c := range h.columns {
		if c.kind == KindTimer || c.kind == KindTimers {
			domains[c.domain] = true
		}
	}
	ask := func(context.Context) (all []backend.Iterator, err error) {
		for range 2 {
			it, err := store.Scan(backend.Groups{First: groups.First, Last: groups.Last}.Keys())
			if err != nil {
				return all, err
			}
			all = append(all, it)
		}
		return all, nil
	}
	return &StoreScan{head: head, groups: groups, room: 8 * len(domains), stamped: h.stamped, ask: ask, ended: func() {}}, nil
}

// Write writes in the form of docs/formats/keyed.md. It fills all of the result but Stream.
func (c *StoreScan) Write(ctx context.Context, w io.Writer) (k snapshot.Keyed, err error) {
	if c.taken, err = c.ask(ctx); err != nil {
		return k, err
	}
	e := &scanWriter{StoreScan: c, out: bufio.NewWriterSize(w, writeBytes), counting: c.taken[0], rows: c.taken[1]}
	k.Range, k.Written = c.groups, c.groups
	k.Header = int64(len(c.head))
	e.write(c.head)
	e.more, e.left = e.rows.Next(), e.counting.Next()
	for g := c.groups.First; g <= c.groups.Last && err == nil; g++ {
		k.Offsets = append(k.Offsets, e.at)
		err = e.group(ctx, uint16(g))
	}
	k.End = e.at
	if err := errors.Join(err, e.rows.Err(), e.counting.Err(), e.out.Flush()); err != nil {
		return k, fmt.Errorf("write keyed state of groups %v: %w", c.groups, err)
	}
	return k, nil
}

// Close lets the byte store forget the moment.
func (c *StoreScan) Close() error {
	var errs []error
	for _, it := range c.taken {
		errs = append(errs, it.Close())
	}
	c.taken = nil
	c.ended()
	return errors.Join(errs...)
}

// scanWriter is one Write. Each group begins with the number of its rows, so one iterator is ahead of the other by a group.
type scanWriter struct {
	*StoreScan
	out            *bufio.Writer
	at             int64
	counting, rows backend.Iterator
	left, more     bool // whether they are at a key
	scratch        []byte
	seen           int // keys
}

func (e *scanWriter) write(p []byte) {
	n, _ := e.out.Write(p) // Flush tells the error
	e.at += int64(n)
}

// stopped returns why nothing more is to be written, if so. It looks now and then.
func (e *scanWriter) stopped(ctx context.Context) error {
	if e.seen++; e.seen%1024 != 0 {
		return nil
	}
	select {
	case <-e.over:
		return ErrReleased
	default:
		return ctx.Err()
	}
}

func (e *scanWriter) group(ctx context.Context, g uint16) error {
	n := 0
	for ; e.left && binary.BigEndian.Uint16(e.counting.Key()) == g; e.left = e.counting.Next() {
		if err := e.stopped(ctx); err != nil {
			return err
		}
		if e.counting.Key()[2] == rowSpace {
			n++
		}
	}
	if n == 0 {
		for e.more && binary.BigEndian.Uint16(e.rows.Key()) == g {
			e.more = e.rows.Next()
		}
		return nil
	}
	e.write(appendCount(e.scratch[:0], n))
	for ; e.more && binary.BigEndian.Uint16(e.rows.Key()) == g; e.more = e.rows.Next() {
		if err := e.stopped(ctx); err != nil {
			return err
		}
		key, value := e.rows.Key(), e.rows.Value()
		if key[2] != rowSpace {
			continue
		}
		if len(value) < e.room {
			return fmt.Errorf("%w: a row is cut short", ErrCorrupt)
		}
		if e.stamped {
			e.write([]byte{rowFollows})
		}
		e.write(key[keyPrefix:])
		e.write(value[e.room:])
	}
	if e.stamped {
		e.write([]byte{noRowFollows})
	}
	return nil
}

// scan opens iterators beside, after what was started before. They are told by the function that it returns, which waits.
func (w *backWriter) scan(n int, groups backend.Groups) func(context.Context) ([]backend.Iterator, error) {
	var taken []backend.Iterator
	w.run(w.number, func(context.Context) error {
		for range n {
			it, err := w.store.Scan(groups.Keys())
			if err != nil {
				return err
			}
			taken = append(taken, it)
		}
		return nil
	})
	over := w.over
	return func(ctx context.Context) ([]backend.Iterator, error) {
		<-over // it is not far, and nobody else would close the iterators
		if len(taken) < n {
			return nil, w.err
		}
		return taken, ctx.Err()
	}
}
