package heap

import (
	"unsafe"

	"github.com/weirstream/weir/internal/backend/keyed"
)

// Sizes is what a store takes in memory.
//
// Bytes are those of pages and indexes, which the tables know: what rows and entries take as they lie in a page, and what the pages hold free.
// What values refer to on the Go heap, texts, slices and what is kept encoded, is not in it: nobody counts it, as that would take time for each
// record. Over a byte store the tables hold what was used lately, and Cached is what they take with all that.
type Sizes struct {
	Keys   int   // rows in use
	Bytes  int64 // of all tables together
	States []StateSize
	Cached int64 // over a byte store, roughly, with what values refer to
}

// StateSize is what one state takes of it.
type StateSize struct {
	Name string
	// Entries is the number of entries of a map and of deadlines in sets, of all keys; -1 for other kinds, where nobody counts.
	Entries int
	Bytes   int64
}

// Sizes fills in what the store takes now, and returns it; into is reused. It takes time in proportion to the number of key groups and of states, and
// none for rows. It is called between batches.
func (s *core) Sizes(into *Sizes) *Sizes {
	*into = Sizes{States: into.States[:0]}
	slots := 0
	for g := range s.tables {
		t := &s.tables[g]
		into.Keys += t.rows.count
		slots += t.rows.slots()
		into.Bytes += t.rows.bytes() + t.index.bytes()
	}
	for _, c := range s.layout.columns {
		size := StateSize{c.name, -1, int64(slots) * int64(c.cell.Size())}
		if c.linked != nil {
			linked := s.linkedSize(c)
			into.Bytes += linked.Bytes
			size.Entries, size.Bytes = linked.Entries, size.Bytes+linked.Bytes
		}
		into.States = append(into.States, size)
	}
	if s.backed != nil {
		into.Cached = s.backed.taken()
	}
	return into
}

// linkedSize is what the table of a column takes.
func (s *core) linkedSize(c *column) (size StateSize) {
	indexed, _ := c.linked.(interface{ indexBytes(group uint32) int64 })
	for g := range s.tables {
		r := c.linked.rowsOf(uint32(g))
		size.Entries += r.count
		size.Bytes += r.bytes()
		if indexed != nil {
			size.Bytes += indexed.indexBytes(uint32(g))
		}
	}
	if c.kind == keyed.KindList {
		size.Entries = -1 // its rows are chunks
	}
	return size
}

// slots returns the number of rows that there is room for.
func (r *rows) slots() int {
	if len(r.slabs) == 0 {
		return 0
	}
	last := &r.slabs[len(r.slabs)-1]
	return int(last.first) + len(last.pages)<<r.sh.shift
}

func (r *rows) bytes() int64 {
	slots := r.slots()
	pages := slots >> r.sh.shift
	perPage := int(unsafe.Sizeof(Page{})+r.sh.marks.past) + r.sh.marks.bytes() + 8*r.sh.words
	return int64(slots)*int64(r.sh.size) + int64(pages)*int64(perPage) + 4*int64(cap(r.free))
}

func (x *index) bytes() int64 {
	if x.places() == 0 {
		return 0 // all empty ones share theirs
	}
	return 8 * int64(len(x.slots))
}

func (m *MapColumn[K, V]) indexBytes(group uint32) int64 { return m.groups[group].index.bytes() }

func (t *TimersColumn) indexBytes(group uint32) int64 { return t.deadlines.indexBytes(group) }
