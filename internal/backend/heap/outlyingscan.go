package heap

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/weirstream/weir/backend"
	"github.com/weirstream/weir/internal/backend/keyed"
)

// mayBeOutlying reports whether a state is of a kind that can be outlying.
func mayBeOutlying(c *keyed.State) bool {
	return c.Kind == keyed.KindMap || c.Kind == keyed.KindList || c.Kind == keyed.KindTimers
}

// placesOf is an iteration that goes from row to row through what is outlying.
type placesOf struct {
	it   backend.Iterator
	more bool // it is at a key
	row  []byte
}

// reach goes to what is outlying of a row, and reports whether there is anything.
func (p *placesOf) reach(rowKey []byte, stopped func() error) (found bool, err error) {
	p.row = append(p.row[:0], rowKey...)
	p.row[keyPrefix-1] = placeSpace
	for ; p.more && bytes.Compare(p.it.Key(), p.row) < 0; p.more = p.it.Next() {
		if err := stopped(); err != nil {
			return false, err
		}
	}
	return p.more && bytes.HasPrefix(p.it.Key(), p.row), nil
}

// at returns the place it is at, if that belongs to a state of the row.
func (p *placesOf) at(state int) (place uint64, ok bool) {
	if !p.more || len(p.it.Key()) != len(p.row)+2+8 || !bytes.HasPrefix(p.it.Key(), p.row) {
		return 0, false
	}
	rest := p.it.Key()[len(p.row):]
	return binary.BigEndian.Uint64(rest[2:]), int(binary.BigEndian.Uint16(rest)) == state
}

// states writes the states of a row in the canonical form, in which what is outlying takes its place.
func (e *scanWriter) states(rowKey, src []byte) error {
	if e.places.it == nil {
		e.write(src)
		return nil
	}
	if found, err := e.places.reach(rowKey, e.stopped); err != nil || !found {
		e.write(src)
		return err
	}
	for i := range e.of {
		c, from := &e.of[i], src
		var err error
		if mayBeOutlying(c) && isOutlying(src) {
			var h outlyingHead
			if h, src, err = cutOutlyingHead(src, c.Expires()); err == nil {
				err = e.outlying(i, &h)
			}
		} else if src, err = c.Skip(src, false); err == nil {
			e.write(from[:len(from)-len(src)])
		}
		if err != nil {
			return fmt.Errorf("state %q: %w", c.Name, err)
		}
	}
	e.write(src)
	return nil
}

// outlying writes the entries or elements of a state.
func (e *scanWriter) outlying(state int, h *outlyingHead) error {
	e.write(binary.AppendUvarint(nil, h.count))
	p, left, start := &e.places, h.count, h.next-h.count
	for left > 0 {
		place, ok := p.at(state)
		if !ok {
			return fmt.Errorf("%w: of %d entries %d are missing", keyed.ErrCorrupt, h.count, left)
		}
		if err := e.stopped(); err != nil {
			return err
		}
		n, value := uint64(1), p.it.Value()
		if c := &e.of[state]; c.Kind == keyed.KindList {
			var err error
			if n, value, err = elementsFrom(start, c, place, value); err != nil {
				return err
			}
		}
		if n > left {
			return fmt.Errorf("%w: more than %d entries", keyed.ErrCorrupt, h.count)
		}
		e.write(value)
		left -= n
		p.more = p.it.Next()
	}
	return nil
}

// elementsFrom returns the number and bytes of the elements of a list's segment that do not lie before a place.
func elementsFrom(start uint64, c *keyed.State, at uint64, value []byte) (n uint64, elements []byte, err error) {
	n, elements, err = cutSegment(value)
	for ; err == nil && n > 0 && at < start; at++ {
		if elements, err = c.SkipEntry(elements); err == nil {
			n--
		}
	}
	return n, elements, err
}
