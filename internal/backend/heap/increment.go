package heap

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"math/bits"
	"slices"
	"unsafe"
)

// increment writes what has changed in a group since the capture's base: the keys that were removed, and then the rows that have changed, page
// by page. A group in which nothing has changed takes no bytes.
func (w *writer) increment(g int) error {
	gone := w.c.gone[g].count()
	if gone > 0 {
		w.buf = appendCount(w.buf, gone)
		for _, key := range w.c.gone[g].since(w.c.since) {
			w.buf = append(w.buf, key...)
			if err := w.flushIfFull(0); err != nil {
				return err
			}
		}
	}
	i := incrementWriter{writer: w, begun: gone > 0}
	var err error
	if w.c.layout.packed != nil {
		err = i.packedRows(&w.c.main[g])
	} else {
		err = i.codedRows(g)
	}
	if err == nil && i.begun {
		w.buf = append(w.buf, 0)
	}
	return err
}

// incrementWriter writes the changed rows of one group.
type incrementWriter struct {
	*writer
	begun bool // something of the group was written
}

// block begins the rows of one page.
func (w *incrementWriter) block(rows int) {
	if !w.begun {
		w.buf, w.begun = append(w.buf, 0), true // no key was removed
	}
	w.buf = appendCount(w.buf, rows)
}

// packedRows copies from pages what lies in memory as it is written.
func (w *incrementWriter) packedRows(r *rowsImage) error {
	sh := r.sh
	pageBytes := sh.perPage() * int(sh.size)
	return r.eachPage(func(s *slab, k int) error {
		if err := w.flushIfFull(pageBytes + binary.MaxVarintLen64); err != nil {
			return err
		}
		saved, claimed, wanted, err := w.claim(sh, s, k)
		switch {
		case err != nil || !wanted:
			return err
		case saved != nil:
			w.packChanged(sh, saved.base, saved.live, saved.history)
			w.give(sh, saved)
		default:
			w.packChanged(sh, sh.pageOf(s, k), sh.liveOf(s, k), sh.historyOf(s, k))
			s.pages[k].unlock(claimed)
		}
		return nil
	})
}

func (w *incrementWriter) packChanged(sh *shape, base unsafe.Pointer, live []uint64, h history) {
	if rows, n := w.changedIn(live, &h); n > 0 {
		w.block(n)
		w.pack(sh, base, rows)
	}
}

// changedIn returns which rows in a page have changed since the base, as bits, and how many they are. They hold until the next call.
func (w *writer) changedIn(live []uint64, h *history) (rows []uint64, n int) {
	w.rows = w.rows[:0]
	for i, word := range live {
		word &= h.since(w.c.since, i)
		w.rows = append(w.rows, word)
		n += bits.OnesCount64(word)
	}
	return w.rows, n
}

// codedRows encodes row by row.
func (w *incrementWriter) codedRows(g int) (err error) {
	var tables []changes
	defer func() {
		for i := range tables {
			err = cmp.Or(err, tables[i].done())
		}
	}()
	next := 0
	for _, c := range w.c.layout.columns {
		if c.linked == nil {
			continue
		}
		t, err := w.changesOf(c.linked, &w.c.linked[next][g], &w.c.dropped[next][g])
		tables = append(tables, t)
		if err != nil {
			return err
		}
		next++
	}
	r := &w.c.main[g]
	return r.eachPage(func(s *slab, k int) error {
		img, err := w.take(r.sh, s, k)
		if err != nil || img == nil {
			return err
		}
		defer w.give(r.sh, img)
		first := s.first + uint32(k)<<r.sh.shift
		return w.codedPage(r.sh, img, first, tables)
	})
}

func (w *incrementWriter) codedPage(sh *shape, img *image, first uint32, tables []changes) error {
	rows, n := w.changedIn(img.live, &img.history)
	if n > 0 {
		w.block(n)
	}
	owner := uint32(0)
	hanging := func(i int, c *column, cell unsafe.Pointer) error {
		defer tables[i].leave()
		return c.linked.encodeChanges(w.writer, cell, owner, &tables[i])
	}
	for id := range liveRows(rows) {
		owner = first + uint32(id)
		if err := w.row(unsafe.Add(img.base, uintptr(id)*sh.size), hanging); err != nil {
			return err
		}
	}
	return nil
}

// changes is what has changed in one group of a linked table since a base.
type changes struct {
	frozen
	rows []uint64 // those that have changed and say whom they belong to, by owner: see ownedRow
	gone []grave  // by owner, and then in the order of their removal
}

type grave struct {
	owner uint32
	name  []byte // nil for all
}

func ownedRow(owner, id uint32) uint64 { return uint64(owner)<<32 | uint64(id) }

// changesOf finds what has changed in a group. It goes to the pages that have changed and to no other.
func (w *writer) changesOf(l linked, r *rowsImage, gone *graves) (changes, error) {
	c := changes{frozen: w.freeze(r)}
	for owner, name := range gone.since(w.c.since) {
		c.gone = append(c.gone, grave{owner, name})
	}
	slices.SortStableFunc(c.gone, func(a, b grave) int { return cmp.Compare(a.owner, b.owner) })
	err := r.eachPage(func(s *slab, k int) error {
		first := s.first + uint32(k)<<r.sh.shift
		if c.changed(first); !c.wanted {
			return w.c.stopped()
		}
		rows, _ := w.changedIn(c.live, &c.history)
		for i := range liveRows(rows) {
			id := first + uint32(i)
			if owner, ok := l.ownerAt(c.at(id)); ok {
				c.rows = append(c.rows, ownedRow(owner, id))
			}
		}
		return w.c.stopped()
	})
	c.leave()
	slices.Sort(c.rows)
	return c, err
}

// of returns what has changed in the table of the things that belong to a row.
func (c *changes) of(owner uint32) (rows []uint64, gone []grave) {
	from, _ := slices.BinarySearch(c.rows, ownedRow(owner, 0))
	to, _ := slices.BinarySearch(c.rows, ownedRow(owner+1, 0))
	byOwner := func(g grave, owner uint32) int { return cmp.Compare(g.owner, owner) }
	begin, _ := slices.BinarySearchFunc(c.gone, owner, byOwner)
	end, _ := slices.BinarySearchFunc(c.gone, owner+1, byOwner)
	return c.rows[from:to], c.gone[begin:end]
}

// lastClear returns what was removed after everything was removed last, and whether that has happened.
func lastClear(gone []grave) (after []grave, cleared bool) {
	for i, g := range slices.Backward(gone) {
		if g.name == nil {
			return gone[i+1:], true
		}
	}
	return gone, false
}

// distinct leaves out graves with the same name.
func distinct(gone []grave) []grave {
	gone = slices.Clone(gone)
	slices.SortFunc(gone, func(a, b grave) int { return bytes.Compare(a.name, b.name) })
	return slices.CompactFunc(gone, func(a, b grave) bool { return bytes.Equal(a.name, b.name) })
}
