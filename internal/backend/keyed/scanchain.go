package keyed

import (
	"bytes"
	"fmt"
	"io"
	"slices"

	"github.com/weirstream/weir/internal/protocol/snapshot"
)

// scanLink is an increment of a chain that is scanned.
type scanLink struct {
	k          snapshot.Keyed
	r          io.ReaderAt
	compressed bool
}

// NewScanChain is NewScan for a stream and the increments on it, one reader for each. Every key is visited once, with its newest state. What is
// in the form of a backend has no rows that could be visited.
func NewScanChain(chain []snapshot.Keyed, maxParallelism int, hashName, rule string, readers []io.ReaderAt) (*Scan, error) {
	s, err := NewScan(chain[0], maxParallelism, hashName, rule, readers[0])
	if err != nil {
		return nil, err
	}
	if chain[0].Format != "" {
		return s, nil
	}
	for i, k := range chain[1:] {
		h, err := s.checkLink(&k, readers[i+1])
		if err != nil {
			return nil, fmt.Errorf("increment %d: %w", i+1, err)
		}
		s.links = append(s.links, scanLink{k, readers[i+1], h.Compressed})
	}
	return s, nil
}

// checkLink reads the head of an increment, and makes sure that it is one, and of the same states as its base.
func (s *Scan) checkLink(k *snapshot.Keyed, r io.ReaderAt) (*Head, error) {
	src, err := ReadHead(k, r)
	if err != nil {
		return nil, err
	}
	h, err := ParseHead(src)
	switch {
	case err != nil:
		return nil, err
	case !h.Increment || !k.Increment || s.k.Written != k.Written:
		return nil, fmt.Errorf("%w: it is none on a stream of groups %v", ErrCorrupt, s.k.Written)
	case !bytes.Equal(h.Plain[len(magic):], s.head.Plain[len(magic):]):
		return nil, fmt.Errorf("%w: its states are not those of its base", ErrCorrupt)
	}
	return h, nil
}

// isChanged reports whether an increment says anything of a group.
func (s *Scan) isChanged(g int) bool {
	return slices.ContainsFunc(s.links, func(l scanLink) bool {
		from, to := l.k.Bounds(g)
		return from < to
	})
}

// mergedGroup is a group while increments are applied to it.
type mergedGroup struct {
	rows  []*mergedRow
	byKey map[string]*mergedRow
}

type mergedRow struct {
	key   []byte
	cells []Cell      // of values and timers
	parts [][]scanned // of the other states
	gone  bool
}

// merged visits the rows of a group that increments change.
func (s *Scan) merged(g int, visit func(Row) error) error {
	m := &mergedGroup{byKey: map[string]*mergedRow{}}
	if from, to := s.k.Bounds(g); from < to {
		if err := s.group(g, from, to, func(r Row) error { m.add(s, r); return nil }); err != nil {
			return err
		}
	}
	for n, l := range s.links {
		from, to := l.k.Bounds(g)
		if from == to {
			continue
		}
		src, err := readGroup(l.r, from, to, l.compressed)
		if err == nil {
			err = s.apply(m, g, src)
		}
		if err != nil {
			return fmt.Errorf("increment %d: %w", n+1, err)
		}
	}
	for _, r := range m.rows {
		if row := s.joined(r, g); !r.gone && slices.ContainsFunc(row.Cells, func(c Cell) bool { return c.Entries > 0 }) {
			if err := visit(row); err != nil {
				return err
			}
		}
	}
	return nil
}

func (m *mergedGroup) add(s *Scan, r Row) {
	row := &mergedRow{key: r.Key, cells: slices.Clone(r.Cells), parts: make([][]scanned, len(r.Cells))}
	for i, c := range r.Cells {
		if s.States[i].hangs() {
			row.parts[i] = s.States[i].split(c)
		}
	}
	m.put(row)
}

func (m *mergedGroup) put(row *mergedRow) {
	m.rows = append(m.rows, row)
	m.byKey[string(row.key)] = row
}

// hangs reports whether the state is one of those that increments change by parts.
func (s *State) hangs() bool { return s.Kind != KindValue && s.Kind != KindTimer }

func (s *Scan) joined(r *mergedRow, group int) Row {
	row := Row{Group: group, Key: r.key, Cells: r.cells}
	for i := range s.States {
		if c := &s.States[i]; c.hangs() {
			row.Cells[i] = c.join(r.parts[i])
		}
	}
	return row
}

// apply makes the changes of an increment to a group.
func (s *Scan) apply(m *mergedGroup, group int, src []byte) error {
	n, src, err := CutCount(src, "removed keys")
	if err != nil {
		return err
	}
	for range n {
		var key []byte
		if key, src, err = cut(s.Key, src, 1); err != nil {
			return fmt.Errorf("removed key: %w", err)
		}
		if r := m.byKey[string(key)]; r != nil {
			r.gone = true
			delete(m.byKey, string(key))
		}
	}
	keys := map[string]bool{}
	for {
		if n, src, err = CutCount(src, "rows of a page"); err != nil || n == 0 {
			break
		}
		for range n {
			if src, err = s.applyRow(m, group, src, keys); err != nil {
				return fmt.Errorf("row %d: %w", len(keys), err)
			}
		}
	}
	if err == nil && len(src) > 0 {
		err = fmt.Errorf("%w: %d bytes follow the last row", ErrCorrupt, len(src))
	}
	return err
}

func (s *Scan) applyRow(m *mergedGroup, group int, src []byte, keys map[string]bool) (rest []byte, err error) {
	row := Row{Group: group, Cells: make([]Cell, len(s.States))}
	if row.Key, rest, err = cut(s.Key, src, 1); err != nil {
		return nil, fmt.Errorf("key: %w", err)
	}
	if err := s.checkKey(&row, keys); err != nil {
		return nil, err
	}
	to := m.byKey[string(row.Key)]
	if to == nil {
		to = &mergedRow{key: row.Key, parts: make([][]scanned, len(s.States))}
		m.put(to)
	}
	timers := false
	for i := range s.States {
		switch c := &s.States[i]; {
		case c.Kind == KindTimer:
			timers = true
		case c.hangs():
			var ch cellChange
			if ch, rest, err = c.change(rest); err == nil {
				to.parts[i], err = ch.apply(c.Kind, to.parts[i])
			}
		default:
			row.Cells[i], rest, err = c.cell(rest)
		}
		if err != nil {
			return nil, fmt.Errorf("state %q: %w", s.States[i].Name, err)
		}
	}
	to.cells = row.Cells
	if timers {
		return s.timers(rest, &row)
	}
	return rest, nil
}
