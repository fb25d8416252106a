package heap

import (
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/weirstream/weir/codec"
)

// Kind says what a column holds. The numbers are part of the format.
type Kind uint8

// The kinds of column.
const (
	KindValue Kind = 1
	KindMap   Kind = 2
	KindList  Kind = 3
	KindTimer Kind = 4
)

var kindNames = [...]string{KindValue: "value", KindMap: "map", KindList: "list", KindTimer: "timer"}

// String returns the word for the kind.
func (k Kind) String() string {
	if k >= KindValue && k <= KindTimer {
		return kindNames[k]
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// Domain says which clock a timer follows. The numbers are part of the format.
type Domain uint8

// The time domains.
const (
	EventTime      Domain = 1
	ProcessingTime Domain = 2
)

// String returns the domain as it is written in a tag.
func (d Domain) String() string {
	if d == ProcessingTime {
		return "processing"
	}
	return "event"
}

// Layout describes the row of one keyed operator: its key and a column for each state. It belongs to one Store; a layout that is built to
// find errors early is thrown away.
type Layout struct {
	key      reflect.Type
	keyCodec *codec.Compiled
	columns  []*column
	warnings []string
	done     bool

	// The following are set by finish.
	row         reflect.Type
	pointerFree bool
	keyStrings  []uintptr // where in a key its strings lie
	zeroes      []span    // what is zero in a row without state
	packed      []span    // what to copy of a row to encode it; nil if it takes a codec
	timers      []*column
}

// span is a part of a row.
type span struct{ off, size uintptr }

// column is one state of the operator.
type column struct {
	name   string
	field  string // as the user wrote it, for messages
	kind   Kind
	domain Domain          // of a timer
	user   *codec.Compiled // the key of a map
	codec  *codec.Compiled // a value's, map's values' or list's elements'; nil for a timer
	cell   reflect.Type    // what lies in the row
	off    uintptr         // where
	number int             // of a timer among the timers

	encoded *Encoded                    // a value that is kept encoded
	attach  func(*core)                 // tells the handle where it is
	entries func(*core, *column) linked // makes the table of a map or list
	linked  linked
	handle  any
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
		return fmt.Sprintf("a %v cannot be part of a key; use a string or a number that identifies it", t.Kind())
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

// Handle is implemented by pointers to the state fields of a processor.
type Handle interface {
	// DeclareState adds the handle's column through one of the functions of Declaration.
	DeclareState(d *Declaration)
}

// Bind adds a column for each exported field of *processor that is a state handle, those of embedded structs included. A column is named
// by the first part of the field's tag (`state:"clicks"`, `timer:"idle,event"`), or by the lower-cased name of the field. The handles
// work once a store was made of the layout. The error joins everything that is wrong.
func (l *Layout) Bind(processor any) error {
	v := reflect.ValueOf(processor)
	if v.Kind() != reflect.Pointer || v.IsNil() || v.Elem().Kind() != reflect.Struct {
		return fmt.Errorf("processor %T: want a pointer to a struct", processor)
	}
	return errors.Join(declare(v.Elem(), func(d *Declaration) { d.layout = l })...)
}

var handleType = reflect.TypeFor[Handle]()

// declare calls DeclareState on every handle in a struct with what aim makes of the declaration.
func declare(v reflect.Value, aim func(*Declaration)) (errs []error) {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		isHandle := reflect.PointerTo(f.Type).Implements(handleType)
		switch {
		case isHandle && f.IsExported():
			d := &Declaration{field: f.Name, tag: f.Tag, handle: v.Field(i).Addr().Interface()}
			aim(d)
			d.handle.(Handle).DeclareState(d)
			errs = append(errs, d.errs...)
		case isHandle:
			errs = append(errs, fmt.Errorf("field %s: a state field must be exported, or nothing can bind it", f.Name))
		case f.Type.Kind() == reflect.Pointer && f.Type.Implements(handleType):
			errs = append(errs, fmt.Errorf("field %s: a state field must be a %v, not a pointer to one", f.Name, f.Type.Elem()))
		case f.Anonymous && f.Type.Kind() == reflect.Struct:
			errs = append(errs, declare(v.Field(i), aim)...)
		}
	}
	return errs
}

// Declaration is one handle's chance to say what it needs. It makes either a keyed column or an operator list.
type Declaration struct {
	layout *Layout
	lists  *OperatorLists
	field  string
	tag    reflect.StructTag
	handle any
	errs   []error
}

// Keyed reports whether the processor stands on a keyed stream.
func (d *Declaration) Keyed() bool { return d.layout != nil }

func (d *Declaration) fail(format string, args ...any) {
	d.errs = append(d.errs, fmt.Errorf("field %s: "+format, append([]any{d.field}, args...)...))
}

// name reads the tag under the given key and refuses the other one.
func (d *Declaration) name(key, other string) (name string, options []string) {
	if _, ok := d.tag.Lookup(other); ok {
		d.fail("it takes a tag %s, not %s", key, other)
	}
	name, rest, more := strings.Cut(d.tag.Get(key), ",")
	if more {
		options = strings.Split(rest, ",")
	}
	if name == "" {
		name = strings.ToLower(d.field)
	}
	return name, options
}

// stateName reads a state tag, none of whose options exist yet.
func (d *Declaration) stateName() string {
	name, options := d.name("state", "timer")
	for _, o := range options {
		key, _, _ := strings.Cut(strings.TrimSpace(o), "=")
		switch key {
		case "ttl":
			d.fail("state %q: the option ttl is not available yet", name)
		default:
			d.fail("state %q: unknown option %q", name, o)
		}
	}
	return name
}

// add enters a column and reports whether it is fit for use.
func (d *Declaration) add(c *column) bool {
	if d.layout == nil {
		d.fail("%s state needs a keyed stream; use state.List on a plain one", c.kind)
		return false
	}
	if d.layout.done {
		d.fail("the layout has a store already")
		return false
	}
	c.field, c.handle = d.field, d.handle
	for _, o := range d.layout.columns {
		if o.name == c.name {
			d.fail("the name %q is taken by field %s", c.name, o.field)
		}
	}
	if len(d.errs) > 0 {
		return false
	}
	d.layout.columns = append(d.layout.columns, c)
	return true
}

// codecOf returns the codec of a type, or nil after noting the error.
func (d *Declaration) codecOf(state string, t reflect.Type) *codec.Compiled {
	c, err := codec.Of(t)
	if err != nil {
		d.fail("state %q: %w", state, err)
		return nil
	}
	return c
}

// Value declares a column that holds one value of type t. attach is called when the store is made, with what the handle needs: the cursor
// and the offset of its value in a row, or, for a value that is kept encoded, a cursor that is never at a row, and the Encoded.
func (d *Declaration) Value(t reflect.Type, attach func(cur *Cursor, off uintptr, enc *Encoded)) {
	name := d.stateName()
	c := d.codecOf(name, t)
	if c == nil {
		return
	}
	col := &column{name: name, kind: KindValue, codec: c, cell: t}
	if !c.Immutable() {
		col.cell = reflect.TypeFor[string]()
		col.encoded = &Encoded{codec: c, zero: string(c.Append(nil, reflect.New(t).UnsafePointer()))}
	}
	col.attach = func(s *core) {
		if col.encoded == nil {
			attach(&s.cur, col.off, nil)
			return
		}
		col.encoded.real, col.encoded.off = &s.cur, col.off
		col.encoded.cur = Cursor{Shared: true, core: s}
		attach(&col.encoded.cur, 0, col.encoded)
	}
	if d.add(col) && col.encoded != nil {
		d.layout.warnings = append(d.layout.warnings, fmt.Sprintf(
			"field %s: state %q of type %v holds slices, maps or pointers, so it is encoded at every Set and decoded at every Get; state.List or state.Map may serve better",
			d.field, name, t))
	}
}

// Warnings returns what works but may surprise, a sentence each.
func (l *Layout) Warnings() []string { return slices.Clone(l.warnings) }

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
		if c.kind == KindTimer {
			c.number = len(l.timers)
			l.timers = append(l.timers, c)
			size = deadlineBytes
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
		if c.kind != KindValue || !c.codec.Memory() {
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
