package heap

import (
	"unsafe"

	"github.com/weirstream/weir/codec"
)

// Cursor is where a store's handles are: at the row of the present record. Row and Shared are for handles whose methods must be inlined
// into user code; all else goes through methods.
type Cursor struct {
	// Row is the row's address, nil between records.
	Row unsafe.Pointer
	// Shared says that the row must be made ready before it is changed: see Own. It is true while Row is nil.
	Shared bool
	ref    Ref
	core   *core
}

// Ref is a row that Resolve has found. It is valid until the next EndBatch.
type Ref struct {
	row   unsafe.Pointer
	mark  *uint64 // says whether the row may be changed at once: see marking
	id    uint32
	group uint32 // counted from the store's first
}

// At panics, naming the remedy, if the cursor is at no row.
func (c *Cursor) At() {
	if c.Row == nil {
		panic("state was used outside On and OnTimer: there it belongs to no key")
	}
}

// Own makes the row ready to be changed.
func (c *Cursor) Own() {
	c.At()
	if c.Shared {
		c.core.change(c.ref)
		c.core.noteChange(rowID{c.ref.group, c.ref.id})
		c.Shared = false
	}
}

// Touch notes that what hangs on the row changes, while the row itself does not.
func (c *Cursor) Touch() {
	if c.Shared && c.core.watched {
		c.Own()
	}
}

// Cleared is to be called after a state of the row became zero: the row may be freed when the batch ends.
func (c *Cursor) Cleared() { c.core.doubtful = append(c.core.doubtful, rowID{c.ref.group, c.ref.id}) }

func (c *Cursor) cell(off uintptr) unsafe.Pointer { return unsafe.Add(c.Row, off) }

// rowID is a row by number, which outlives Refs.
type rowID struct{ group, id uint32 }

// Encoded is a column of values that could be changed behind the store's back, since they hold slices, maps or pointers. The row holds
// such a value's encoding, which cannot; an empty one stands for the value that a key begins with.
type Encoded struct {
	codec *codec.Compiled
	zero  string // the encoding of the value that a key begins with
	begin bool   // it is not the zero value
}

// load decodes what is kept into the zero value at p.
func (e *Encoded) load(kept string, p unsafe.Pointer) {
	if kept == "" && e.begin {
		kept = e.zero
	}
	if kept == "" {
		return
	}
	if _, err := e.codec.Decode(unsafe.Slice(unsafe.StringData(kept), len(kept)), p); err != nil {
		panic(err) // it was encoded by the same codec, or checked when it was restored
	}
}

// keep returns what is to be kept of the value at p.
func (e *Encoded) keep(core *core, p unsafe.Pointer) string {
	encoded := e.codec.Append(core.scratch[:0], p)
	core.scratch = encoded
	switch {
	case string(encoded) == e.zero:
		return ""
	case len(encoded) < longFrom:
		return string(encoded)
	}
	core.scratch = nil // it would keep as much memory as the longest value takes
	if cap(encoded)-len(encoded) > len(encoded)/8 {
		return string(encoded)
	}
	return unsafe.String(unsafe.SliceData(encoded), len(encoded))
}
