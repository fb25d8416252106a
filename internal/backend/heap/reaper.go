package heap

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"reflect"
)

// Reaper tells of rows, as a byte store has them, which have expired altogether, so that a byte store can drop them when it compacts or scans,
// with nobody reading them. It holds nothing of the store that it was made by, and may be used by any goroutine, one at a time.
type Reaper struct {
	states []ScannedState
	idle   [][]byte // what a value is written as that a key begins with; nil for other states, and for one that expires
	room   int      // bytes before the states
	timers bool     // deadlines follow them
}

// Reaper returns one for the rows of the store, nil if none of its states expires.
func (s *Store[K]) Reaper() *Reaper {
	l := s.layout
	if !l.stamped {
		return nil
	}
	r := &Reaper{timers: l.single > 0}
	if s.backed != nil {
		r.room = s.backed.prefix().size()
	}
	for _, c := range l.columns {
		st := ScannedState{Name: c.name, Kind: c.kind, Domain: c.domain, Key: schemaOf(c.user), Elem: schemaOf(c.codec)}
		if c.ttl != nil {
			st.Domain, st.TTL = c.ttl.clock, c.ttl.After
		}
		r.states, r.idle = append(r.states, st), append(r.idle, c.idle())
	}
	return r
}

// idle returns what a value is written as that a key begins with.
func (c *column) idle() []byte {
	switch {
	case c.kind != KindValue || c.ttl != nil:
		return nil
	case c.encoded != nil:
		return []byte(c.encoded.zero)
	}
	cell := reflect.New(c.cell).UnsafePointer()
	if c.begin != nil {
		c.begin(cell)
	}
	return c.codec.Append([]byte{}, cell)
}

// Dead reports whether nothing of a row is left at a time by the job's clock and a watermark, in milliseconds. Time must not go back, and must not
// be ahead of what the store was told: what is dead here must be dead for it.
func (r *Reaper) Dead(value []byte, now, watermark int64) (bool, error) {
	if len(value) < r.room {
		return false, fmt.Errorf("%w: a row is cut short", ErrCorrupt)
	}
	at := [...]int64{EventTime: watermark, ProcessingTime: now}
	src := value[r.room:]
	for i := range r.states {
		c := &r.states[i]
		if c.Kind == KindTimer {
			continue
		}
		cell, rest, err := c.cell(src)
		if err != nil {
			return false, fmt.Errorf("state %q: %w", c.Name, err)
		}
		if src = rest; r.alive(i, &cell, at[c.Domain]) {
			return false, nil
		}
	}
	if !r.timers {
		return true, nil
	}
	n, size := binary.Uvarint(src)
	if size <= 0 {
		return false, fmt.Errorf("%w: the number of its timers", ErrCorrupt)
	}
	return n == 0, nil
}

func (r *Reaper) alive(i int, cell *Cell, now int64) bool {
	c := &r.states[i]
	if !c.Expires() {
		return cell.Entries > 0 && (r.idle[i] == nil || !bytes.Equal(cell.Bytes, r.idle[i]))
	}
	for _, end := range cell.Ends {
		if end > now {
			return true
		}
	}
	return false
}
