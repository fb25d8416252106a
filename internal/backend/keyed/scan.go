package keyed

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/weirstream/weir/codec"
	"github.com/weirstream/weir/internal/keygroup"
	"github.com/weirstream/weir/internal/keyhash"
	"github.com/weirstream/weir/internal/protocol/snapshot"
)

// Scan reads a keyed stream for those who have no program with its types: what is in it is told by the schemas it carries.
//
// It checks all that a program checks which restores the stream, and that can be known without one: the head, that rows fill each group
// exactly, that every value has the form of its schema, that no key is there twice and each, unless it is a struct, is in the group it
// belongs to. Errors that prove damage wrap ErrCorrupt or codec.ErrCorrupt. A Scan holds one group at a time in memory, and is used by one
// goroutine.
type Scan struct {
	Key    *codec.Schema
	States []State // in the order of the stream
	k      snapshot.Keyed
	r      io.ReaderAt
	most   int // max parallelism
	hash   func(key []byte) uint64
	marked bool // rows come with marks
	head   *Head
	links  []scanLink
}

// Row is what a stream holds of one key. Its bytes are valid until the visit ends.
type Row struct {
	Group int
	Key   []byte // encoded by Scan.Key
	Cells []Cell // one for each of Scan.States
}

// Cell is one state of one key.
type Cell struct {
	// Entries is the number of a map's entries or a list's elements, 1 for a value and for a timer that is set, else 0.
	Entries int
	// Bytes holds the value, or the entries one after the other without their number; nothing for a timer.
	Bytes []byte
	// Deadline is when a timer is due, in milliseconds since 1970 UTC.
	Deadline int64
	// Deadlines are those of timers, in ascending order.
	Deadlines []int64
	// Ends says for each entry of a state that expires when it does, in milliseconds since 1970 UTC; the largest int64 where nobody knows.
	Ends []int64
}

// NewScan reads the head of the stream behind a whole handle, one that was not cut for another parallelism. maxParallelism is the
// operator's, hashName and rule what `_metadata` names; keys are compared with their groups if both are those of this version.
func NewScan(k snapshot.Keyed, maxParallelism int, hashName, rule string, r io.ReaderAt) (*Scan, error) {
	src, err := ReadHead(&k, r)
	if err != nil {
		return nil, err
	}
	h, err := ParseHead(src)
	if err != nil {
		return nil, err
	}
	if h.Increment {
		return nil, fmt.Errorf("%w: an increment without what it changes", ErrCorrupt)
	}
	s := &Scan{Key: h.Key, k: k, r: r, most: maxParallelism, marked: h.Stamped, head: h}
	seen := map[string]bool{}
	for _, c := range h.States {
		if seen[c.Name] {
			return nil, fmt.Errorf("%w: two states are named %q", ErrCorrupt, c.Name)
		}
		seen[c.Name] = true
		s.States = append(s.States, c)
	}
	if hashName == keyhash.Name && rule == keygroup.GroupRule {
		s.hash = hashOf(h.Key)
	}
	return s, nil
}

// Rows calls visit for each row, group by group. It stops at the first error, its own or that of visit.
func (s *Scan) Rows(visit func(Row) error) error {
	for i := range s.k.Offsets {
		g := s.k.Written.First + i
		from, to := s.k.Bounds(g)
		var err error
		switch {
		case s.isChanged(g):
			err = s.merged(g, visit)
		case from < to:
			err = s.group(g, from, to, visit)
		}
		if err != nil {
			return fmt.Errorf("key group %d: %w", g, err)
		}
	}
	return nil
}

func (s *Scan) group(g int, from, to int64, visit func(Row) error) error {
	src, err := readGroup(s.r, from, to, s.head.Compressed)
	if err != nil {
		return err
	}
	n, size := binary.Uvarint(src)
	if s.marked { // then it says how many rows there may be, each of which takes a byte at least
		n = min(n, uint64(max(len(src)-size, 1)))
	}
	if size <= 0 || n == 0 || n > uint64(max(len(src)-size, 1)) {
		return fmt.Errorf("%w: %d rows in %d bytes", ErrCorrupt, n, len(src))
	}
	src = src[size:]
	keys := make(map[string]bool)
	row := Row{Group: g, Cells: make([]Cell, len(s.States))}
	for i := range n {
		if s.marked {
			var more bool
			if more, src, err = CutMark(src); err != nil || !more {
				n = 0 // there is no mark after as many rows as there may be but this one
				break
			}
		}
		if src, err = s.row(src, &row, keys); err != nil {
			return fmt.Errorf("row %d: %w", i, err)
		}
		if err := visit(row); err != nil {
			return err
		}
	}
	if s.marked && err == nil && n > 0 {
		src, err = CutEnd(src)
	}
	if err == nil && len(src) > 0 {
		err = fmt.Errorf("%w: %d bytes follow the last row", ErrCorrupt, len(src))
	}
	return err
}

func (s *Scan) row(src []byte, row *Row, keys map[string]bool) (rest []byte, err error) {
	if row.Key, rest, err = cut(s.Key, src, 1); err != nil {
		return nil, fmt.Errorf("key: %w", err)
	}
	if err := s.checkKey(row, keys); err != nil {
		return nil, err
	}
	timers := false
	for i := range s.States {
		c := &s.States[i]
		if c.Kind == KindTimer {
			timers = true
			row.Cells[i] = Cell{}
			continue
		}
		if row.Cells[i], rest, err = c.cell(rest); err != nil {
			return nil, fmt.Errorf("state %q: %w", c.Name, err)
		}
	}
	if timers {
		return s.timers(rest, row)
	}
	return rest, nil
}

func (s *Scan) checkKey(row *Row, keys map[string]bool) error {
	if keys[string(row.Key)] {
		return fmt.Errorf("%w: its key is there twice", ErrCorrupt)
	}
	keys[string(row.Key)] = true
	if s.hash == nil {
		return nil
	}
	if g := keygroup.Of(s.hash(row.Key), s.most); g != row.Group {
		return fmt.Errorf("%w: its key belongs to group %d", ErrCorrupt, g)
	}
	return nil
}

// cut splits n values of a schema from the front of src.
func cut(schema *codec.Schema, src []byte, n int) (values, rest []byte, err error) {
	rest = src
	for range n {
		before := len(rest)
		if rest, err = schema.Skip(rest); err != nil {
			return nil, nil, err
		}
		if len(rest) == before {
			break // values that take no bytes: the others take none either
		}
	}
	return src[:len(src)-len(rest)], rest, nil
}

func (c *State) cell(src []byte) (cell Cell, rest []byte, err error) {
	if c.Kind == KindValue {
		return c.value(src)
	}
	n, size := binary.Uvarint(src)
	if size <= 0 || n > math.MaxInt32 {
		return cell, nil, fmt.Errorf("%w: the number of its entries", ErrCorrupt)
	}
	cell.Entries, src = int(n), src[size:]
	switch c.Kind {
	case KindTimers:
		return c.deadlines(cell, src)
	case KindList:
		return c.list(cell, src)
	}
	return c.entries(cell, src)
}

func (c *State) value(src []byte) (cell Cell, rest []byte, err error) {
	if !c.Expires() {
		cell.Entries = 1
		cell.Bytes, rest, err = cut(c.Elem, src, 1)
		return cell, rest, err
	}
	written, src, err := cutWritten(src)
	if err != nil {
		return cell, nil, err
	}
	value, rest, err := cut(c.Elem, src, 1)
	if written != notThere {
		cell = Cell{Entries: 1, Bytes: value, Ends: []int64{c.endOf(written)}}
	}
	return cell, rest, err
}

func (c *State) list(cell Cell, src []byte) (_ Cell, rest []byte, err error) {
	if !c.Expires() {
		cell.Bytes, rest, err = cut(c.Elem, src, cell.Entries)
		return cell, rest, err
	}
	for range cell.Entries {
		if src, err = c.stamped(&cell, src); err != nil {
			return cell, nil, err
		}
	}
	return cell, src, nil
}

// stamped reads a stamp and what follows it, which it appends to the cell.
func (c *State) stamped(cell *Cell, src []byte) (rest []byte, err error) {
	written, src, err := cutWritten(src)
	if err != nil {
		return nil, err
	}
	value, rest, err := cut(c.Elem, src, 1)
	cell.Bytes, cell.Ends = append(cell.Bytes, value...), append(cell.Ends, c.endOf(written))
	return rest, err
}

func (c *State) entries(cell Cell, src []byte) (_ Cell, rest []byte, err error) {
	rest, seen := src, map[string]bool{}
	for range cell.Entries {
		var key []byte
		if key, rest, err = cut(c.Key, rest, 1); err != nil {
			return cell, nil, err
		}
		if seen[string(key)] {
			return cell, nil, fmt.Errorf("%w: a key of the map is there twice", ErrCorrupt)
		}
		seen[string(key)] = true
		if c.Expires() {
			cell.Bytes = append(cell.Bytes, key...)
			rest, err = c.stamped(&cell, rest)
		} else {
			rest, err = c.Elem.Skip(rest)
		}
		if err != nil {
			return cell, nil, err
		}
	}
	if !c.Expires() {
		cell.Bytes = src[:len(src)-len(rest)]
	}
	return cell, rest, nil
}

func (c *State) deadlines(cell Cell, src []byte) (_ Cell, rest []byte, err error) {
	if len(src)/8 < cell.Entries {
		return cell, nil, fmt.Errorf("%w: %d deadlines in %d bytes", ErrCorrupt, cell.Entries, len(src))
	}
	for range cell.Entries {
		cell.Deadlines = append(cell.Deadlines, int64(binary.LittleEndian.Uint64(src)))
		src = src[8:]
	}
	slices.Sort(cell.Deadlines)
	if len(slices.Compact(slices.Clone(cell.Deadlines))) < cell.Entries {
		return cell, nil, fmt.Errorf("%w: a deadline is there twice", ErrCorrupt)
	}
	return cell, src, nil
}

// timers reads the deadlines at the end of a row.
func (s *Scan) timers(src []byte, row *Row) ([]byte, error) {
	n, size := binary.Uvarint(src)
	if size <= 0 {
		return nil, fmt.Errorf("%w: the number of its timers", ErrCorrupt)
	}
	src = src[size:]
	for ; n > 0; n-- {
		i, size := binary.Uvarint(src)
		if size <= 0 || len(src) < size+9 || i >= uint64(len(s.States)) {
			return nil, fmt.Errorf("%w: a timer", ErrCorrupt)
		}
		c, cell := &s.States[i], &row.Cells[i]
		switch {
		case c.Kind != KindTimer || c.Domain != Domain(src[size]):
			return nil, fmt.Errorf("%w: a timer named %q", ErrCorrupt, c.Name)
		case cell.Entries > 0:
			return nil, fmt.Errorf("%w: timer %q has two deadlines", ErrCorrupt, c.Name)
		}
		*cell = Cell{Entries: 1, Deadline: int64(binary.LittleEndian.Uint64(src[size+1:]))}
		src = src[size+9:]
	}
	return src, nil
}
