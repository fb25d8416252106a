package heap

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"slices"
	"time"

	"github.com/weirstream/weir/codec"
	"github.com/weirstream/weir/internal/keygroup"
	"github.com/weirstream/weir/internal/keyhash"
	"github.com/weirstream/weir/internal/protocol/snapshot"
)

// Scan reads a keyed stream for those who have no program with its types: what is in it is told by the schemas it carries.
//
// It checks all that Restore checks and that can be known without a program: the head, that rows fill each group exactly, that every value
// has the form of its schema, that no key is there twice and each, unless it is a struct, is in the group it belongs to. Errors that prove damage wrap ErrCorrupt
// or codec.ErrCorrupt. A Scan holds one group at a time in memory, and is used by one goroutine.
type Scan struct {
	Key    *codec.Schema
	States []ScannedState // in the order of the stream
	k      snapshot.Keyed
	r      io.ReaderAt
	most   int // max parallelism
	hash   func(key []byte) uint64
	marked bool // rows come with marks
	head   *head
	links  []scanLink
}

// ScannedState describes one state of a stream.
type ScannedState struct {
	Name   string
	Kind   Kind
	Domain Domain        // of timers; else the clock by which the state expires, 0 if it does not
	Key    *codec.Schema // of a map, else nil
	Elem   *codec.Schema // of a value, a map's values or a list's elements, nil for a timer
	TTL    time.Duration // how long the state lives if it expires
}

func (c *headColumn) state() ScannedState {
	return ScannedState{c.name, c.kind, c.domain, c.user, c.elem, c.ttl}
}

// Expires reports whether the state expires.
func (s *ScannedState) Expires() bool {
	return s.Domain != 0 && s.Kind != KindTimer && s.Kind != KindTimers
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
	if err := checkHandle(&k); err != nil {
		return nil, err
	}
	src, err := readAll(r, 0, k.Header)
	if err != nil {
		return nil, err
	}
	h, err := parseHead(src)
	if err != nil {
		return nil, err
	}
	if h.increment {
		return nil, fmt.Errorf("%w: an increment without what it changes", ErrCorrupt)
	}
	s := &Scan{Key: h.key, k: k, r: r, most: maxParallelism, marked: h.stamped, head: h}
	seen := map[string]bool{}
	for _, c := range h.columns {
		if seen[c.name] {
			return nil, fmt.Errorf("%w: two states are named %q", ErrCorrupt, c.name)
		}
		seen[c.name] = true
		s.States = append(s.States, c.state())
	}
	if hashName == keyhash.Name && rule == keygroup.GroupRule {
		s.hash = hashOf(h.key)
	}
	return s, nil
}

// Rows calls visit for each row, group by group. It stops at the first error, its own or that of visit.
func (s *Scan) Rows(visit func(Row) error) error {
	for i := range s.k.Offsets {
		from, to := bounds(&s.k, i)
		var err error
		switch {
		case s.isChanged(i):
			err = s.merged(i, visit)
		case from < to:
			err = s.group(s.k.Written.First+i, from, to, visit)
		}
		if err != nil {
			return fmt.Errorf("key group %d: %w", s.k.Written.First+i, err)
		}
	}
	return nil
}

func (s *Scan) group(g int, from, to int64, visit func(Row) error) error {
	src, err := readGroup(s.r, from, to, s.head.compressed)
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
			if more, src, err = cutMark(src); err != nil || !more {
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
		src, err = cutEnd(src)
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

func (c *ScannedState) cell(src []byte) (cell Cell, rest []byte, err error) {
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
func (c *ScannedState) value(src []byte) (cell Cell, rest []byte, err error) {
	if !c.Expires() {
		cell.Entries = 1
		cell.Bytes, rest, err = cut(c.Elem, src, 1)
		return cell, rest, err
	}
	stamp, src, err := useStamps.cut(src, nil)
	if err != nil {
		return cell, nil, err
	}
	value, rest, err := cut(c.Elem, src, 1)
	if stamp != none {
		cell = Cell{Entries: 1, Bytes: value, Ends: []int64{c.endOf(stamp)}}
	}
	return cell, rest, err
}

// endOf returns when what has a stamp is over, the largest int64 if that is not known.
func (c *ScannedState) endOf(stamp int64) int64 {
	if at, ok := newExpiry(&TTL{After: c.TTL}).endOf(stamp); ok {
		return at
	}
	return math.MaxInt64
}

func (c *ScannedState) list(cell Cell, src []byte) (_ Cell, rest []byte, err error) {
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
func (c *ScannedState) stamped(cell *Cell, src []byte) (rest []byte, err error) {
	stamp, src, err := useStamps.cut(src, nil)
	if err != nil {
		return nil, err
	}
	value, rest, err := cut(c.Elem, src, 1)
	cell.Bytes, cell.Ends = append(cell.Bytes, value...), append(cell.Ends, c.endOf(stamp))
	return rest, err
}

func (c *ScannedState) entries(cell Cell, src []byte) (_ Cell, rest []byte, err error) {
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

func (c *ScannedState) deadlines(cell Cell, src []byte) (_ Cell, rest []byte, err error) {
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

// hashOf returns the hash of encoded keys of a schema, the same that keyhash.Of has for their Go type. It is nil if that cannot be told from
// the schema: a struct may have had blank fields, which are part of the hash and not of the bytes.
func hashOf(schema *codec.Schema) func(key []byte) uint64 {
	kinds, ok := keyKinds(nil, schema)
	if !ok {
		return nil
	}
	words := make([]uint64, len(kinds))
	return func(key []byte) uint64 {
		for i, k := range kinds {
			words[i], key = keyWord(k, key)
		}
		switch {
		case len(kinds) == 1 && kinds[0] == codec.String:
			return words[0]
		case len(kinds) == 1:
			return keyhash.Uint64(words[0])
		case len(kinds) == 2 && kinds[0] != codec.String && kinds[1] != codec.String:
			return keyhash.Pair(words[0], words[1])
		}
		var h uint64
		for _, w := range words {
			h = keyhash.Add(h, w)
		}
		return h
	}
}

// mostParts is the number of parts of a key up to which it is compared with its group. A damaged schema may claim any.
const mostParts = 1000

// keyKinds appends the kinds of a key's words and strings. ok is false for a form that no key has.
func keyKinds(kinds []codec.Kind, s *codec.Schema) (_ []codec.Kind, ok bool) {
	switch {
	case s.Kind >= codec.Bool && s.Kind <= codec.Float64, s.Kind == codec.String, s.Kind == codec.Duration:
		return append(kinds, s.Kind), len(kinds) < mostParts
	case s.Kind == codec.Array:
		for range s.Len {
			before := len(kinds)
			if kinds, ok = keyKinds(kinds, s.Elem); !ok {
				return nil, false
			}
			if len(kinds) == before {
				break
			}
		}
		return kinds, true
	}
	return nil, false
}

// keyWord reads one part of a key that has been checked: an integer widened with its sign, a float's bits with one zero, a string's hash.
func keyWord(k codec.Kind, b []byte) (word uint64, rest []byte) {
	switch k {
	case codec.Bool, codec.Uint8:
		return uint64(b[0]), b[1:]
	case codec.Int8:
		return uint64(int8(b[0])), b[1:]
	case codec.Int16:
		return uint64(int16(binary.LittleEndian.Uint16(b))), b[2:]
	case codec.Uint16:
		return uint64(binary.LittleEndian.Uint16(b)), b[2:]
	case codec.Int32:
		return uint64(int32(binary.LittleEndian.Uint32(b))), b[4:]
	case codec.Uint32:
		return uint64(binary.LittleEndian.Uint32(b)), b[4:]
	case codec.Float32:
		return math.Float64bits(float64(math.Float32frombits(binary.LittleEndian.Uint32(b))) + 0), b[4:]
	case codec.Float64:
		return math.Float64bits(math.Float64frombits(binary.LittleEndian.Uint64(b)) + 0), b[8:]
	case codec.String:
		n, size := binary.Uvarint(b)
		end := size + int(n)
		return keyhash.String(string(b[size:end])), b[end:]
	}
	return binary.LittleEndian.Uint64(b), b[8:]
}
