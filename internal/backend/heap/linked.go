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
	// encode appends what hangs on a cell, as a number of elements and the elements, all as it was when frozen.
	encode(dst []byte, cell unsafe.Pointer, f *frozen) []byte
	// decode hangs what encode wrote on an empty cell, whose page must be owned, and returns what follows in src.
	decode(src []byte, cell unsafe.Pointer, owner rowID) (rest []byte, err error)
	// reads says how decode reads keys and elements from now on.
	reads(key, elem *reading)
}

// frozen is the rows of a linked table as they were, all pages of a group at once, since chains lead from any page to any other.
type frozen struct {
	sh     *shape
	images []*image
}

func (f *frozen) at(id uint32) unsafe.Pointer {
	return unsafe.Add(f.images[id>>f.sh.shift].base, uintptr(id&(1<<f.sh.shift-1))*f.sh.size)
}

// part is a value of a user's type within a row: as it is, or as a string of its encoding if it could be changed behind the store's back.
type part struct {
	codec   *codec.Compiled
	cell    reflect.Type
	encoded bool
	from    *reading // how stored values are read; nil: as they would be written
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
	if p.encoded {
		return append(dst, *(*string)(cell)...)
	}
	return p.codec.Append(dst, cell)
}

// decode reads a value into a zero cell.
func (p *part) decode(src []byte, cell unsafe.Pointer) (rest []byte, err error) {
	if p.from != nil {
		return p.from.into(p, src, cell)
	}
	if !p.encoded {
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
