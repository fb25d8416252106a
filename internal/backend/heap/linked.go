package heap

import (
	"reflect"
	"strings"
	"unsafe"

	"github.com/weirstream/weir/codec"
	"github.com/weirstream/weir/internal/keyhash"
)

// linked is the table of a map or list column: rows that belong to a key's row and are chained from there by number, so that they are copied
// on write by page like all else. It has its own rows for each key group.
type linked interface {
	// rowsOf returns the rows of a group, counted from the store's first.
	rowsOf(group uint32) *rows
	// gravesOf returns what was removed from a group.
	gravesOf(group uint32) *graves
	// encode writes what hangs on a cell, as a number of elements and the elements, all as it was when frozen.
	encode(w *writer, cell unsafe.Pointer, f *frozen) error
	// encodeChanges writes what has changed since the capture's base of what hangs on the cell of a row.
	encodeChanges(w *writer, cell unsafe.Pointer, owner uint32, c *changes) error
	// decodeChanges makes the changes that encodeChanges wrote, and returns what follows in src.
	decodeChanges(src []byte, cell unsafe.Pointer, owner rowID, stamps stampsIn) (rest []byte, err error)
	// dropAll removes what hangs on a cell, whose page must be owned, without a trace.
	dropAll(cell unsafe.Pointer, owner rowID)
	// ownerAt returns the row that a row belongs to. ok is false if it does not say so.
	ownerAt(row unsafe.Pointer) (id uint32, ok bool)
	// decode hangs what encode wrote on an empty cell, whose page must be owned, and returns what follows in src.
	decode(src []byte, cell unsafe.Pointer, owner rowID, stamps stampsIn) (rest []byte, err error)
	// living returns the number of elements that a cell had when the capture was made, without those that had expired, up to most.
	living(w *writer, cell unsafe.Pointer, f *frozen, most int) int
	// reads says how decode reads keys and elements from now on.
	reads(key, elem *reading)
}

// frozen reads the rows of one group of a linked table as they were when a capture was made. Chains lead from any page to any other, so it
// goes to the pages as often as it must and copies none: it reads a page that has not changed in place, which the subtask can change when
// frozen has left it, and else the copy that the subtask has made.
type frozen struct {
	w       *writer
	r       *rowsImage
	base    unsafe.Pointer // of the page it is at
	number  uint32         // of that page, none at noPage
	history                // of that page
	live    []uint64       // which of its rows are in use
	wanted  bool           // whether the page is part of the capture: see Capture.wants
	held    *Page          // which is locked, nil if base is a copy
	claimed uint32         // of held before it was locked
}

const noPage = ^uint32(0)

func (w *writer) freeze(r *rowsImage) frozen { return frozen{w: w, r: r, number: noPage} }

// at returns the address of a row, which holds until the next call of at, leave or done.
func (f *frozen) at(id uint32) unsafe.Pointer {
	sh := f.r.sh
	if page := id >> sh.shift; page != f.number {
		f.leave()
		f.enter(page)
	}
	return unsafe.Add(f.base, uintptr(id&(1<<sh.shift-1))*sh.size)
}

func (f *frozen) enter(page uint32) {
	sh := f.r.sh
	s, k := placeIn(f.r.slabs, sh, page<<sh.shift)
	p := &s.pages[k]
	f.number, f.claimed = page, p.lock()
	if img := p.at(f.w.c.epoch); img != nil { // nobody takes or changes it as long as this capture is read
		p.unlock(f.claimed)
		f.base, f.live, f.history, f.wanted = img.base, img.live, img.history, f.w.c.wants(img.wrote)
		return
	}
	f.held = p
	f.base, f.live, f.history = sh.pageOf(s, k), sh.liveOf(s, k), sh.historyOf(s, k)
	f.wanted = f.w.c.wants(f.wrote)
}

// changed returns the address of a row as at does, or nil if the row has not changed since the base of an increment.
func (f *frozen) changed(id uint32) unsafe.Pointer {
	row := f.at(id)
	if !f.wanted || !f.has(f.r.sh.inPage(id), f.w.c.since) {
		return nil
	}
	return row
}

// leave lets the subtask change the page again that f is at. It must be called before anything is waited for.
func (f *frozen) leave() {
	if f.held != nil {
		f.held.unlock(f.claimed)
	}
	f.held, f.number = nil, noPage
}

// done says that nothing of the group is needed any more: the subtask need not copy its pages, and the copies that it has made are taken.
func (f *frozen) done() error {
	f.leave()
	oldest := f.w.c.isOldest()
	return f.r.eachPage(func(s *slab, k int) error {
		if err := f.w.c.stopped(); err != nil {
			return err
		}
		p := &s.pages[k]
		before := p.lock()
		if oldest {
			f.w.give(f.r.sh, p.cut(f.w.c.epoch+1).list()...)
		}
		p.unlock(max(before, f.w.c.epoch))
		return nil
	})
}

// part is a value of a user's type within a row: as it is, or as a string of its encoding if it could be changed behind the store's back.
type part struct {
	codec   *codec.Compiled
	cell    reflect.Type
	encoded bool
	from    *reading // how stored values are read; nil: as they would be written
	form    partForm // in place of codec, if it is not nil
}

// partForm is an encoding of our own.
type partForm interface {
	append(dst []byte, cell unsafe.Pointer) []byte
	decode(src []byte, cell unsafe.Pointer) (rest []byte, err error)
}

func newPart(c *codec.Compiled, t reflect.Type) part {
	if c.Immutable() {
		return part{codec: c, cell: t}
	}
	return part{codec: c, cell: reflect.TypeFor[string](), encoded: true}
}

// load returns the value in a cell.
func load[T any](p *part, cell unsafe.Pointer) T {
	if !p.encoded {
		return *(*T)(cell)
	}
	x := new(T)
	src := *(*string)(cell)
	if _, err := p.codec.Decode(unsafe.Slice(unsafe.StringData(src), len(src)), unsafe.Pointer(x)); err != nil {
		panic(err) // it was encoded by the same codec, or checked when it was restored
	}
	return *x
}

// prepare returns what store needs beside the value. It may panic as codecs do, so it is called before anything is changed.
func prepare[T any](p *part, x T) (encoded string) {
	if !p.encoded {
		return ""
	}
	kept := x // so that only here x moves to the heap
	return string(p.codec.Append(nil, unsafe.Pointer(&kept)))
}

// store puts a value into a cell, whose page must be owned.
func store[T any](p *part, cell unsafe.Pointer, x T, encoded string) {
	if p.encoded {
		*(*string)(cell) = encoded
		return
	}
	*(*T)(cell) = x
}

// append appends the encoding of what is in a cell.
func (p *part) append(dst []byte, cell unsafe.Pointer) []byte {
	if p.form != nil {
		return p.form.append(dst, cell)
	}
	if p.encoded {
		return append(dst, *(*string)(cell)...)
	}
	return p.codec.Append(dst, cell)
}

// decode reads a value into a zero cell.
func (p *part) decode(src []byte, cell unsafe.Pointer) (rest []byte, err error) {
	switch {
	case p.form != nil:
		return p.form.decode(src, cell)
	case p.from != nil:
		return p.from.into(p, src, cell)
	case !p.encoded:
		return p.codec.Decode(src, cell)
	}
	rest, err = p.codec.Decode(src, reflect.New(p.codec.Type()).UnsafePointer())
	if err == nil {
		*(*string)(cell) = string(src[:len(src)-len(rest)])
	}
	return rest, err
}

// hasherOf returns a hash for the keys of a map within this process.
func hasherOf[K comparable](seed func(K) uint64) func(*K) uint64 {
	t := reflect.TypeFor[K]()
	switch t.Kind() {
	case reflect.Int64, reflect.Uint64, reflect.Int, reflect.Uint, reflect.Uintptr:
		if t.Size() == 8 {
			return func(k *K) uint64 { return keyhash.Uint64(*(*uint64)(unsafe.Pointer(k))) }
		}
	case reflect.Int32, reflect.Uint32:
		return func(k *K) uint64 { return keyhash.Uint64(uint64(*(*uint32)(unsafe.Pointer(k)))) }
	case reflect.String:
		return func(k *K) uint64 { return keyhash.String(*(*string)(unsafe.Pointer(k))) }
	}
	return func(k *K) uint64 { return seed(*k) }
}

// cloneStrings gives the key at p strings of its own: those of a record may be small parts of large buffers.
func cloneStrings(p unsafe.Pointer, at []uintptr) {
	for _, off := range at {
		s := (*string)(unsafe.Add(p, off))
		*s = strings.Clone(*s)
	}
}
