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
	mark  *uint32 // holds the present epoch if the row may be changed at once: see marking
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
		c.core.rowsOf(c.ref.group).change(c.ref.id)
		c.Shared = false
	}
}

// Touch notes that what hangs on the row changes, while the row itself does not.
func (c *Cursor) Touch() {
	if c.Shared && c.core.clock.tracks {
		c.Own()
	}
}

// Cleared is to be called after a state of the row became zero: the row may be freed when the batch ends.
func (c *Cursor) Cleared() { c.core.doubtful = append(c.core.doubtful, rowID{c.ref.group, c.ref.id}) }

func (c *Cursor) cell(off uintptr) unsafe.Pointer { return unsafe.Add(c.Row, off) }

// rowID is a row by number, which outlives Refs.
type rowID struct{ group, id uint32 }

// Encoded is a column of values that could be changed behind the store's back, since they hold slices, maps or pointers. The row holds
// such a value's encoding, which cannot; an empty one stands for the zero value.
type Encoded struct {
	codec *codec.Compiled
	zero  string // the encoding of the zero value
	real  *Cursor
	off   uintptr
	cur   Cursor // at no row, so that the handle always comes here
}

// Load decodes the present row's value into the zero value at p.
func (e *Encoded) Load(p unsafe.Pointer) {
	e.real.At()
	src := *e.bytes()
	if src == "" {
		return
	}
	if _, err := e.codec.Decode(unsafe.Slice(unsafe.StringData(src), len(src)), p); err != nil {
		panic(err) // it was encoded by the same codec, or checked when it was restored
	}
}

// Store keeps the encoding of the value at p.
func (e *Encoded) Store(p unsafe.Pointer) {
	e.real.At()
	core := e.real.core
	core.scratch = e.codec.Append(core.scratch[:0], p)
	kept := ""
	if string(core.scratch) != e.zero {
		kept = string(core.scratch)
	}
	e.real.Own()
	*e.bytes() = kept
}

// Clear makes the value zero.
func (e *Encoded) Clear() {
	e.real.Own()
	*e.bytes() = ""
	e.real.Cleared()
}

func (e *Encoded) bytes() *string { return (*string)(e.real.cell(e.off)) }
