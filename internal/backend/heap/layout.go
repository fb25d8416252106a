package heap

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"unsafe"

	"github.com/weirstream/weir/codec"
	"github.com/weirstream/weir/internal/backend/keyed"
)

// Layout describes the row of one keyed operator: its key and a column for each state. It belongs to one Store; a layout that is built to
// find errors early is thrown away.
type Layout struct {
	key      reflect.Type
	keyCodec *codec.Compiled
	columns  []*column
	warnings []string
	tracked  bool // rows have marks of their own
	compress bool // snapshots are compressed
	done     bool

	// The following are set by finish.
	row         reflect.Type
	pointerFree bool
	stamped     bool      // some column expires
	keyStrings  []uintptr // where in a key its strings lie
	zeroes      []span    // what is zero in a row without state
	packed      []span    // what to copy of a row to encode it; nil if it takes a codec
	begins      []*column // those that do not begin with zero
	timers      []*column // of both kinds, by number
	single      int       // those of one deadline
}

// span is a part of a row.
type span struct{ off, size uintptr }

// column is one state of the operator.
type column struct {
	name   string
	field  string   // as the user wrote it, for messages
	former []string // names it had
	kind   keyed.Kind
	domain keyed.Domain    // of a timer, or of timers
	user   *codec.Compiled // the key of a map
	codec  *codec.Compiled // a value's, map's values' or list's elements'; nil for a timer
	cell   reflect.Type    // what lies in the row
	off    uintptr         // where
	number int             // of a timer among the timers

	migrations []Migration                                   // of the values, in order
	ttl        *expiry                                       // nil: it does not expire
	sweepRow   func(r *rows, id rowID, most int) (gone bool) // removes from a row what has expired, nil if that is done by sweepEntry
	begin      func(cell unsafe.Pointer)                     // makes a cell what a key begins with, nil if that is zero
	isBegin    func(cell unsafe.Pointer) bool                // reports whether it is
	blank      unsafe.Pointer                                // a zero value, of one that expires
	many       *TimersColumn
	query      func(row unsafe.Pointer, id rowID, into any) (a answer, ok bool) // reads what a row holds, nil for none; not ok if into is of another type

	encoded  *Encoded    // a value that is kept encoded
	measured *measured   // nil for timers
	attach   func(*core) // tells the handle where it is
	// outliesBy makes long values outlying over a byte store; nil if the column has none, and so is what it returns if they are never long.
	outliesBy func(b *backing, state int) *valueOutlier
	entries   func(*core, *column) linked // makes the table of a map or list
	linked    linked
	handle    any
}

// NewLayout returns a layout without columns. The key must be a type whose values say all there is to know about them: numbers, strings,
// bools, and arrays and structs of them.
func NewLayout(key reflect.Type) (*Layout, error) {
	if why := notAKey(key); why != "" {
		return nil, fmt.Errorf("key type %v: %s", key, why)
	}
	c, err := codec.Of(key)
	if err != nil {
		return nil, fmt.Errorf("key type %v: %w", key, err)
	}
	return &Layout{key: key, keyCodec: c}, nil
}

// notAKey returns why values of a type would not be equal again after they were written and read, or nothing.
func notAKey(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Array:
		return notAKey(t.Elem())
	case reflect.Struct:
		return notAKeyStruct(t)
	case reflect.Interface, reflect.Pointer, reflect.Chan, reflect.Func, reflect.Map, reflect.Slice, reflect.UnsafePointer:
		return fmt.Sprintf("%v values cannot be part of a key; use a string or a number that identifies them", t.Kind())
	}
	return ""
}

func notAKeyStruct(t reflect.Type) string {
	if t.PkgPath() == "time" && t.Name() == "Time" {
		return "a time.Time cannot be part of a key, since equal instants may differ in their zones; use UnixMilli"
	}
	for f := range t.Fields() {
		if f.Tag.Get("codec") == "-" || !f.IsExported() && !f.Anonymous && f.Name != "_" {
			return fmt.Sprintf("field %s would be lost when it is written; export it without the tag codec:\"-\", or leave it out of the key", f.Name)
		}
		if why := notAKey(f.Type); why != "" {
			return fmt.Sprintf("field %s: %s", f.Name, why)
		}
	}
	return ""
}

// Track makes the store note when each row was last changed and which rows were removed, at the price of about a byte for each row. Without it a
// store has no increments: see [Store.CaptureSince]. It is called before NewStore.
func (l *Layout) Track() { l.tracked = true }

// Compress makes captures write compressed streams, which every store reads, at the price of processor time in [Capture.Write]. It is called
// before NewStore.
func (l *Layout) Compress() { l.compress = true }

// Warnings returns what works but may surprise, a sentence each.
func (l *Layout) Warnings() []string { return slices.Clone(l.warnings) }

// Expires reports whether any state has a TTL. A store of such a layout is told the time, see [Store.SetTime].
func (l *Layout) Expires() bool {
	return slices.ContainsFunc(l.columns, func(c *column) bool { return c.ttl != nil })
}

// Timers returns the number of timers that the bound processors have. [Layout.Timer] takes the numbers below it once a store was made of
// the layout.
func (l *Layout) Timers() int {
	n := 0
	for _, c := range l.columns {
		if c.kind == keyed.KindTimer || c.kind == keyed.KindTimers {
			n++
		}
	}
	return n
}

// Timer returns the handle of the timer that a fire function is called with, a pointer to a field of the processor.
func (l *Layout) Timer(number int) any { return l.timers[number].handle }

// finish settles where in the row each column lies.
func (l *Layout) finish() {
	l.done = true
	order := slices.Clone(l.columns)
	slices.SortStableFunc(order, func(a, b *column) int { return cmp.Compare(b.cell.Align(), a.cell.Align()) })
	fields := []reflect.StructField{{Name: "Key", Type: l.key}}
	l.pointerFree = l.keyCodec.PointerFree()
	for i, c := range order {
		fields = append(fields, reflect.StructField{Name: fmt.Sprint("Column", i), Type: c.cell})
		l.pointerFree = l.pointerFree && pointerFree(c.cell)
	}
	l.row = rounded(fields)
	for i, c := range order {
		c.off = l.row.Field(i + 1).Offset
		size := c.cell.Size()
		if c.kind == keyed.KindTimer || c.kind == keyed.KindTimers {
			c.number = len(l.timers)
			l.timers = append(l.timers, c)
		}
		l.stamped = l.stamped || c.ttl != nil
		switch {
		case c.kind == keyed.KindTimer:
			l.single++
			size = deadlineBytes
		case c.kind == keyed.KindValue && c.ttl != nil:
			size = stampBytes
		case c.begin != nil:
			l.begins = append(l.begins, c)
			continue
		}
		l.zeroes = append(l.zeroes, span{c.off, size})
	}
	l.columns = order
	l.keyStrings = stringsIn(l.key, 0, nil)
	l.packed = l.pack()
}

// rounded returns the struct of the fields, padded so that rows do not straddle cache lines more than they must.
func rounded(fields []reflect.StructField) reflect.Type {
	size := reflect.StructOf(fields).Size()
	want := (size + 63) &^ 63
	for _, small := range []uintptr{8, 16, 32} {
		if size <= small {
			want = small
			break
		}
	}
	if want == size {
		return reflect.StructOf(fields)
	}
	pad := reflect.StructField{Name: "Pad", Type: reflect.ArrayOf(int(want-size), reflect.TypeFor[byte]())}
	return reflect.StructOf(append(slices.Clip(fields), pad))
}

// pack returns the parts of a row whose bytes are its encoding, if there are such.
func (l *Layout) pack() []span {
	if !l.keyCodec.Memory() {
		return nil
	}
	parts := []span{{0, l.key.Size()}}
	for _, c := range l.columns {
		if c.kind != keyed.KindValue || c.ttl != nil || !c.codec.Memory() {
			return nil
		}
		if last := &parts[len(parts)-1]; last.off+last.size == c.off {
			last.size += c.cell.Size()
		} else {
			parts = append(parts, span{c.off, c.cell.Size()})
		}
	}
	return parts
}

// packedSize returns the number of bytes of a packed row.
func (l *Layout) packedSize() (size uintptr) {
	for _, p := range l.packed {
		size += p.size
	}
	return size
}

// pointerFree reports whether values of a type hold nothing for the collector.
func pointerFree(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Array:
		return t.Len() == 0 || pointerFree(t.Elem())
	case reflect.Struct:
		for f := range t.Fields() {
			if !pointerFree(f.Type) {
				return false
			}
		}
		return true
	case reflect.Pointer, reflect.String, reflect.Slice, reflect.Map, reflect.Interface, reflect.Chan, reflect.Func, reflect.UnsafePointer:
		return false
	}
	return true
}

// stringsIn appends the offsets of all strings in a key.
func stringsIn(t reflect.Type, base uintptr, to []uintptr) []uintptr {
	switch t.Kind() {
	case reflect.String:
		to = append(to, base)
	case reflect.Array:
		for i := range t.Len() {
			to = stringsIn(t.Elem(), base+uintptr(i)*t.Elem().Size(), to)
		}
	case reflect.Struct:
		for f := range t.Fields() {
			to = stringsIn(f.Type, base+f.Offset, to)
		}
	}
	return to
}
