package keyed

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/weirstream/weir/codec"
)

// part of a cell: an entry of a map, an element of a list or a deadline.
type scanned struct {
	key, val []byte // the key of an entry, or the deadline; the value of an entry, or the element
	end      int64  // see Cell.Ends
}

// cellChange is what an increment says of a state that hangs on a row.
type cellChange struct {
	kept    int       // of a list: elements that stay
	cleared bool      // of others: all that was there before is gone
	gone    [][]byte  // of others: keys that are gone
	puts    []scanned // what is new, or of a map has changed
}

// change reads what an increment says of a map, a list or a set of deadlines.
func (c *State) change(src []byte) (ch cellChange, rest []byte, err error) {
	if c.Kind == KindList {
		return c.listChange(src)
	}
	n, rest, err := CutCount(src, "what was removed from a map")
	if err != nil {
		return ch, nil, err
	}
	ch.cleared = n&1 != 0
	for range n >> 1 {
		var key []byte
		if key, rest, err = c.entryKey(rest); err != nil {
			return ch, nil, err
		}
		ch.gone = append(ch.gone, key)
	}
	if n, rest, err = CutCount(rest, "the changed entries of a map"); err != nil {
		return ch, nil, err
	}
	for range n {
		var p scanned
		if p, rest, err = c.entry(rest); err != nil {
			return ch, nil, err
		}
		ch.puts = append(ch.puts, p)
	}
	return ch, rest, nil
}

// entryKey cuts off the key of an entry, or a deadline.
func (c *State) entryKey(src []byte) (key, rest []byte, err error) {
	if c.Kind != KindTimers {
		return cut(c.Key, src, 1)
	}
	if len(src) < 8 {
		return nil, nil, fmt.Errorf("%w: a deadline is cut short", ErrCorrupt)
	}
	return src[:8:8], src[8:], nil
}

func (c *State) entry(src []byte) (p scanned, rest []byte, err error) {
	p.key, rest, err = c.entryKey(src)
	if err != nil || c.Kind == KindTimers {
		return p, rest, err
	}
	if c.Expires() {
		var written int64
		if written, rest, err = cutWritten(rest); err != nil {
			return p, nil, err
		}
		p.end = c.endOf(written)
	}
	p.val, rest, err = cut(c.Elem, rest, 1)
	return p, rest, err
}

func (c *State) listChange(src []byte) (ch cellChange, rest []byte, err error) {
	kept, size := binary.Uvarint(src)
	if size <= 0 || kept > math.MaxInt32 {
		return ch, nil, fmt.Errorf("%w: the number of elements that stay", codec.ErrCorrupt)
	}
	cell, rest, err := c.cell(src[size:])
	if err == nil {
		ch.kept, ch.puts = int(kept), c.split(cell)
	}
	return ch, rest, err
}

// split returns the parts of a cell that was checked.
func (c *State) split(cell Cell) []scanned {
	parts := make([]scanned, 0, min(cell.Entries, len(cell.Bytes)+len(cell.Deadlines)))
	for _, at := range cell.Deadlines {
		parts = append(parts, scanned{key: binary.LittleEndian.AppendUint64(nil, uint64(at))})
	}
	if c.Kind == KindTimers {
		return parts
	}
	src := cell.Bytes
	for i := range cell.Entries {
		var p scanned
		if c.Kind == KindMap {
			p.key, src, _ = cut(c.Key, src, 1)
		}
		p.val, src, _ = cut(c.Elem, src, 1)
		if len(cell.Ends) > 0 {
			p.end = cell.Ends[i]
		}
		parts = append(parts, p)
	}
	return parts
}

// join is the reverse of split.
func (c *State) join(parts []scanned) (cell Cell) {
	cell.Entries = len(parts)
	for _, p := range parts {
		if c.Kind == KindTimers {
			cell.Deadlines = append(cell.Deadlines, int64(binary.LittleEndian.Uint64(p.key)))
			continue
		}
		cell.Bytes = append(append(cell.Bytes, p.key...), p.val...)
		if c.Expires() {
			cell.Ends = append(cell.Ends, p.end)
		}
	}
	slices.Sort(cell.Deadlines)
	return cell
}

// apply returns the parts of a cell after a change.
func (ch *cellChange) apply(kind Kind, parts []scanned) ([]scanned, error) {
	if kind == KindList {
		if ch.kept > len(parts) {
			return nil, fmt.Errorf("%w: %d elements of a list of %d are kept", codec.ErrCorrupt, ch.kept, len(parts))
		}
		return append(parts[:ch.kept:ch.kept], ch.puts...), nil
	}
	if ch.cleared {
		parts = nil
	}
	at := make(map[string]int, len(parts))
	for i, p := range parts {
		at[string(p.key)] = i
	}
	gone := make([]bool, len(parts))
	for _, key := range ch.gone {
		if i, ok := at[string(key)]; ok {
			gone[i] = true
			delete(at, string(key))
		}
	}
	for _, p := range ch.puts {
		if i, ok := at[string(p.key)]; ok {
			parts[i] = p
			continue
		}
		at[string(p.key)] = len(parts)
		parts, gone = append(parts, p), append(gone, false)
	}
	left := parts[:0]
	for i, p := range parts {
		if !gone[i] {
			left = append(left, p)
		}
	}
	return left, nil
}
