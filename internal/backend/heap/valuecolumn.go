package heap

import (
	"fmt"
	"reflect"
	"unsafe"

	"github.com/weirstream/weir/internal/backend/keyed"
)

// ValueColumn holds one value for each row. A handle reads and writes values that lie in the row as they are by itself, through the cursor
// and the offset that it is told; all else, and whatever must not be inlined, is done here.
type ValueColumn[T any] struct {
	cur      *Cursor
	off      uintptr // of the value
	enc      *Encoded
	begin    T
	ttl      *expiry // its stamp lies before the value
	measured *measured
	nohow    Cursor // at no row, for a handle that must always come here

	// The following are for long values over a byte store: see outlyingvalue.go.
	handle  func(cur *Cursor, off uintptr) // tells a handle that does not always come here that it must; nil if it does anyway
	outlier *valueOutlier                  // nil if values cannot be outlying
}

// DeclareValue declares a value. begin is what a key begins with, nil for the zero value; a default in the tag takes its place. ttl is the
// one given in code, nil if there is none. attach is called when the store is made, with the cursor for the handle to use, and the offset of
// the value in the row.
func DeclareValue[T any](d *Declaration, begin *T, ttl *TTL, attach func(cur *Cursor, off uintptr)) *ValueColumn[T] {
	name, o := d.state(ttl)
	v, t := &ValueColumn[T]{}, reflect.TypeFor[T]()
	if begin != nil {
		v.begin = *begin
	}
	if o.hasInitial {
		begin = &v.begin
		if err := parseInitial(reflect.ValueOf(begin), o.initial); err != nil {
			d.fail("state %q: default %q: %w", name, o.initial, err)
		}
	}
	c := d.codecOf(name, t)
	if c == nil {
		return v
	}
	col := &column{name: name, kind: keyed.KindValue, codec: c, cell: t, ttl: newExpiry(o.ttl), query: v.query, measured: &measured{names: &valueAccesses}}
	if !c.Immutable() {
		col.cell = reflect.TypeFor[string]()
		col.encoded = &Encoded{codec: c, zero: string(c.Append(nil, unsafe.Pointer(&v.begin))), begin: begin != nil}
	}
	v.enc, v.ttl, v.measured = col.encoded, col.ttl, col.measured
	switch {
	case col.ttl != nil: // without a stamp nothing is there
		col.cell, col.blank, col.sweepRow = stampedCell(col.cell), unsafe.Pointer(new(T)), v.sweepRow
	case begin != nil && col.encoded == nil && !reflect.ValueOf(&v.begin).Elem().IsZero():
		col.begin = func(cell unsafe.Pointer) { *(*T)(cell) = v.begin }
		col.isBegin = func(cell unsafe.Pointer) bool { return any(*(*T)(cell)) == any(v.begin) } // what is kept as it is can be compared
	}
	col.attach = func(s *core) { v.attach(s, col, attach) }
	col.outliesBy = func(b *backing, state int) *valueOutlier { return v.outliesBy(b, col, state) }
	if d.add(col) && col.encoded != nil {
		d.layout.warnings = append(d.layout.warnings, fmt.Sprintf(
			"field %s: state %q of type %v holds slices, maps or pointers, so it is encoded at every Set and decoded at every Get; state.List or state.Map may serve better",
			d.field, name, t))
	}
	return v
}

// stampedCell returns the type of a cell with a stamp before its value.
func stampedCell(cell reflect.Type) reflect.Type {
	return reflect.StructOf([]reflect.StructField{{Name: "Stamp", Type: reflect.TypeFor[int64]()}, {Name: "Value", Type: cell}})
}

// Reduced says that the value is the result of a reduction, and Aggregated that it is an accumulator: it is changed by adding to it. This matters
// to what accesses are called that are measured.
func (v *ValueColumn[T]) Reduced() { v.adds(&reducingAccesses) }

// Aggregated is as Reduced.
func (v *ValueColumn[T]) Aggregated() { v.adds(&aggregatingAccesses) }

func (v *ValueColumn[T]) adds(names *[accesses]string) {
	if v.measured != nil { // else it cannot be declared
		v.measured.names, v.measured.adds = names, true
	}
}

func (v *ValueColumn[T]) attach(s *core, col *column, handle func(*Cursor, uintptr)) {
	v.cur, v.off = &s.cur, col.off
	if v.ttl != nil {
		v.off += stampBytes
	}
	if v.ttl == nil && v.enc == nil {
		v.handle = handle
		handle(v.cur, v.off)
		return
	}
	v.nohow = Cursor{Shared: true, core: s}
	handle(&v.nohow, 0)
}

func (v *ValueColumn[T]) cell() unsafe.Pointer { return v.cur.cell(v.off) }

func (v *ValueColumn[T]) stamp() *int64 { return stampAt(v.cur.cell(v.off - stampBytes)) }

// Load returns the present row's value.
func (v *ValueColumn[T]) Load() T {
	if v.cur.Row == nil {
		return v.measuredLoad()
	}
	if v.ttl == nil {
		return v.present()
	}
	switch stamp := *v.stamp(); {
	case stamp == none:
		return v.begin
	case v.ttl.expired(stamp):
		x := v.begin
		if v.ttl.ReturnExpired {
			x = v.present()
		}
		v.Clear()
		return x
	case v.ttl.RefreshOnRead && stamp != v.ttl.stamp():
		v.cur.Own()
		*v.stamp() = v.ttl.stamp()
	}
	return v.present()
}

// present returns the present row's value, which is there.
func (v *ValueColumn[T]) present() T {
	if v.outlier != nil && !v.outlier.use(v.at(), v.cell()) {
		return v.begin // the store has failed
	}
	return v.read(v.cell())
}

// at returns the row of the present key.
func (v *ValueColumn[T]) at() rowID { return rowID{v.cur.ref.group, v.cur.ref.id} }

// read returns the value in a cell.
func (v *ValueColumn[T]) read(cell unsafe.Pointer) T {
	if v.enc == nil {
		return *(*T)(cell)
	}
	x := new(T)
	v.enc.load(*(*string)(cell), unsafe.Pointer(x))
	return *x
}

// Store replaces the present row's value.
func (v *ValueColumn[T]) Store(x T) {
	if v.cur.Row == nil {
		v.measuredStore(x)
		return
	}
	kept := ""
	if v.enc != nil {
		y := x // so that only here x moves to the heap
		kept = v.enc.keep(v.cur.core, unsafe.Pointer(&y))
	}
	if v.outlier != nil {
		v.replace(x, kept)
		return
	}
	v.set(x, kept)
}

// replace is set where long values are outlying.
func (v *ValueColumn[T]) replace(x T, kept string) {
	cell := v.cell()
	before, known := v.outlier.bytes(cell), v.outlier.find(v.at())
	switch {
	case known == nil:
	case !known.inMemory:
		known.differsWholly()
	case v.enc != nil:
		known.differs(*(*string)(cell), kept, 0)
	case v.outlier.text:
		v.outlier.differs(known, *(*string)(cell), *(*string)(unsafe.Pointer(&x)))
	case any(*(*T)(cell)) != any(x): // what is kept as it is can be compared
		known.differsWholly()
	}
	v.set(x, kept)
	v.outlier.replaced(cell, known, before)
}

// set puts a value into the present row. kept is its encoding, if that is kept.
func (v *ValueColumn[T]) set(x T, kept string) {
	v.cur.Own()
	if v.ttl != nil {
		*v.stamp() = v.ttl.stamp()
	}
	if v.enc != nil {
		*(*string)(v.cell()) = kept
		return
	}
	*(*T)(v.cell()) = x
}

// Clear makes the present row's value what a key begins with.
func (v *ValueColumn[T]) Clear() {
	if v.cur.Row == nil {
		v.measuredClear()
		return
	}
	v.cur.Own()
	if v.outlier != nil {
		v.outlier.drop(v.at())
	}
	v.wipe(v.cur.Row)
	v.cur.Cleared()
}

// wipe does what Clear does for a row whose page is owned.
func (v *ValueColumn[T]) wipe(row unsafe.Pointer) {
	cell := unsafe.Add(row, v.off)
	if v.ttl != nil {
		*stampAt(unsafe.Add(cell, -stampBytes)) = none
	}
	if v.enc != nil {
		*(*string)(cell) = ""
		return
	}
	var x T
	if v.ttl == nil {
		x = v.begin
	}
	*(*T)(cell) = x
}

// sweepRow wipes a value that has expired, and reports whether it has.
func (v *ValueColumn[T]) sweepRow(r *rows, id rowID, _ int) (wiped bool) {
	if !v.ttl.due(r, id.id, stampAt(unsafe.Add(r.at(id.id), v.off-stampBytes))) {
		return false
	}
	r.own(id.id)
	if v.outlier != nil {
		v.outlier.drop(id)
	}
	v.wipe(r.at(id.id))
	return true
}
