package heap

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/weirstream/weir/backend"
	"github.com/weirstream/weir/internal/backend/keyed"
)

// mayBeOutlying reports whether a state is of a kind that can be outlying by entries.
func mayBeOutlying(c *keyed.State) bool {
	return c.Kind == keyed.KindMap || c.Kind == keyed.KindList || c.Kind == keyed.KindTimers
}

// skipStored passes over a state in a row of a byte store.
func skipStored(c *keyed.State, src []byte) (rest []byte, err error) {
	if mayBeOutlying(c) && isOutlying(src) {
		_, rest, err = cutOutlyingHead(src, c.Expires())
		return rest, err
	}
	return c.Skip(src, false)
}

// cutRow returns what follows the states of a row in a byte store: the timers, if there is a state of that kind, and what is said of outlying values.
func cutRow(of []keyed.State, src []byte) (timers []byte, values []valueHead, err error) {
	hasTimers := false
	for i := range of {
		if src, err = skipStored(&of[i], src); err != nil {
			return nil, nil, fmt.Errorf("state %q: %w", of[i].Name, err)
		}
		hasTimers = hasTimers || of[i].Kind == keyed.KindTimer
	}
	rest := src
	if hasTimers {
		if rest, err = keyed.SkipTimers(src); err != nil {
			return nil, nil, err
		}
	}
	timers = src[:len(src)-len(rest)]
	for len(rest) > 0 {
		var h valueHead
		if h, rest, err = cutValueHead(rest, len(of)); err != nil {
			return nil, nil, err
		}
		values = append(values, h)
	}
	return timers, values, nil
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
	if e.places.it == nil || !e.scattered {
		e.write(src)
		return nil
	}
	if found, err := e.places.reach(rowKey, e.stopped); err != nil || !found {
		e.write(src)
		return err
	}
	timers, values, err := cutRow(e.of, src)
	if err != nil {
		return err
	}
	for i := range e.of {
		c, from := &e.of[i], src
		if src, err = skipStored(c, src); err != nil {
			return err
		}
		switch from = from[:len(from)-len(src)]; {
		case mayBeOutlying(c) && isOutlying(from):
			var h outlyingHead
			if h, _, err = cutOutlyingHead(from, c.Expires()); err == nil {
				err = e.outlying(i, &h)
			}
		case len(values) > 0 && values[0].state == i:
			if c.Expires() {
				e.write(from[:stampBytes])
			}
			err = e.pieces(i, values[0].size)
			values = values[1:]
		default:
			e.write(from)
		}
		if err != nil {
			return fmt.Errorf("state %q: %w", c.Name, err)
		}
	}
	e.write(timers)
	return nil
}

// pieces writes a value.
func (e *scanWriter) pieces(state, size int) error {
	for p, at := &e.places, 0; at < size; p.more = p.it.Next() {
		place, ok := p.at(state)
		if !ok || place != uint64(at) || len(p.it.Value()) > size-at || len(p.it.Value()) == 0 {
			return piecesMissing(at, size)
		}
		if err := e.stopped(); err != nil {
			return err
		}
		e.write(p.it.Value())
		at += len(p.it.Value())
	}
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
