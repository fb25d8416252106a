package codec

import (
	"encoding/binary"
	"fmt"
	"math"
	"reflect"
	"time"
	"unsafe"
)

// Decoder reads values that were written under another schema straight into the present type, as [Compare] says. It is immutable and safe
// for concurrent use.
type Decoder struct {
	plan    *plan
	verdict Verdict
}

// From returns what reads values of the old schema. The error is a *[MismatchError].
func (c *Compiled) From(old *Schema) (*Decoder, error) {
	v := Compare(old, c.schema)
	switch {
	case v.Err() != nil:
		return nil, v.Err()
	case v.Same():
		return &Decoder{c.plan, v}, nil
	}
	p, err := newEvolvedPlan(old, c.typ)
	if err != nil {
		return nil, err
	}
	return &Decoder{p, v}, nil
}

// Verdict says what becomes of the values.
func (d *Decoder) Verdict() Verdict { return d.verdict }

// Decode reads one value as [Codec] says.
func (d *Decoder) Decode(src []byte, p unsafe.Pointer) (rest []byte, err error) {
	return d.plan.decode(src, p, 0)
}

// FixedSize returns the size in bytes of every stored value, or -1 if sizes differ.
func (d *Decoder) FixedSize() int { return d.plan.fixed }

// Reader reads values of one type that were written under one schema. It is safe for concurrent use.
type Reader[T any] struct{ d *Decoder }

// From returns what reads values of the old schema as values of T. The error is that of [Of], or a *[MismatchError].
func From[T any](old *Schema) (Reader[T], error) {
	c, err := Of(reflect.TypeFor[T]())
	if err != nil {
		return Reader[T]{}, err
	}
	d, err := c.From(old)
	return Reader[T]{d}, err
}

// Decode reads one value from the front of src into *v, as [Codec] says, and returns what follows it.
func (r Reader[T]) Decode(src []byte, v *T) (rest []byte, err error) {
	return r.d.Decode(src, unsafe.Pointer(v))
}

// An evolved plan goes through the old encoding in its order, and says of each part where in the present type it belongs. It is made of
// the ops of other plans wherever old and new are the same, and of the following. It only decodes.
type evolvedOp struct {
	from  Kind                                           // opWiden
	bytes []byte                                         // opFill: what to write
	value reflect.Value                                  // opSet: what to write
	skip  *around                                        // opSkip
	read  func(src []byte, v unsafe.Pointer) (err error) // opRead
}

// evolver compiles pairs of an old schema and a type. One that contains itself refers to its own plan.
type evolver struct {
	plans map[evolved]*plan
	sizes map[*Schema]sizes
}

type evolved struct {
	old *Schema // not a reference
	typ reflect.Type
}

// newEvolvedPlan compiles what Compare has found to fit. An error means that the two disagree, which tests rule out.
func newEvolvedPlan(old *Schema, t reflect.Type) (p *plan, err error) {
	defer func() {
		if r := recover(); r != nil {
			if r != errNotCompared {
				panic(r)
			}
			err = fmt.Errorf("%w: %v cannot be read as %v", errNotCompared, brief(old), t)
		}
	}()
	ev := evolver{map[evolved]*plan{}, map[*Schema]sizes{}}
	return ev.plan(&around{schema: old}, t), nil
}

func (ev evolver) plan(old *around, t reflect.Type) *plan {
	old = old.resolved()
	key := evolved{old.schema, t}
	if p, ok := ev.plans[key]; ok {
		return p
	}
	size := ev.sizesOf(old)
	p := &plan{size: t.Size(), fixed: size.fixed, least: size.least}
	ev.plans[key] = p
	ev.add(p, old, t, 0, "")
	p.memory = littleEndian && p.fixed == int(p.size) && p.isOneCopy()
	return p
}

// push appends an op. The sizes of the encoding are those of the old schema, whatever becomes of it.
func (ev evolver) push(p *plan, o op) { p.ops = append(p.ops, o) }

// copied appends a scalar that is encoded as it lies in memory.
func (ev evolver) copied(p *plan, size, offset uintptr, path string) {
	fixed, least := p.fixed, p.least
	p.addCopy(size, offset, path)
	p.fixed, p.least = fixed, least
}

// add appends what reads an old value into a t at the given offset.
func (ev evolver) add(p *plan, old *around, t reflect.Type, offset uintptr, path string) {
	old = old.resolved()
	s := old.schema
	own := kindOf(t)
	o := op{offset: offset, path: path}
	switch {
	case own == Opaque || own == Foreign:
		ev.addForeign(p, old, t, o)
	case s.Kind == own:
		ev.addSame(p, old, t, o)
	case widens(s.Kind, own):
		o.code, o.typ, o.size, o.evolved = opWiden, t, t.Size(), &evolvedOp{from: s.Kind}
		ev.push(p, o)
	case own == Pointer:
		o.code, o.typ, o.part = opWrapPointer, t.Elem(), ev.plan(old, t.Elem())
		ev.push(p, o)
	case own == Slice:
		o.code, o.typ, o.part = opWrapSlice, t, ev.plan(old, t.Elem())
		ev.push(p, o)
	default:
		panic(errNotCompared)
	}
}

// kindOf returns the kind of schema that a type has.
func kindOf(t reflect.Type) Kind {
	switch {
	case t == timeType:
		return Time
	case t == durationType:
		return Duration
	case formOf(t) != nil:
		return Foreign
	case marshalsItself(t):
		return Opaque
	}
	switch t.Kind() {
	case reflect.Array:
		return Array
	case reflect.Slice:
		return Slice
	case reflect.Map:
		return Map
	case reflect.Pointer:
		return Pointer
	case reflect.Struct:
		return Struct
	}
	return scalarKinds[t.Kind()]
}

// addSame adds what has the same kind as before. Its parts may have others.
func (ev evolver) addSame(p *plan, old *around, t reflect.Type, o op) {
	s := old.schema
	switch s.Kind {
	case Array:
		ev.addArray(p, old, t, o)
	case Slice:
		o.code, o.typ, o.part = opSlice, t, ev.plan(old.part(s.Elem), t.Elem())
		if s.Elem.Kind == String && kindOf(t.Elem()) == String {
			o.code = opStrings
		}
		ev.push(p, o)
	case Pointer:
		o.code, o.typ, o.part = opPointer, t.Elem(), ev.plan(old.part(s.Elem), t.Elem())
		ev.push(p, o)
	case Map:
		o.code, o.m = opMap, newMapPlan(t, ev.plan(old.part(s.Key), t.Key()), ev.plan(old.part(s.Elem), t.Elem()))
		ev.push(p, o)
	case Struct:
		ev.addStruct(p, old, t, o)
	case Bool, Time, String:
		o.code = map[Kind]opcode{Bool: opBool, Time: opTime, String: opString}[s.Kind]
		ev.push(p, o)
	case Int64, Uint64:
		if t.Size() == 8 {
			ev.copied(p, 8, o.offset, o.path)
			return
		}
		o.code = opInt
		if s.Kind == Uint64 {
			o.code = opUint
		}
		ev.push(p, o)
	case Complex64, Complex128:
		half := t.Size() / 2
		ev.copied(p, half, o.offset, o.path)
		ev.copied(p, half, o.offset+half, o.path)
	default:
		ev.copied(p, t.Size(), o.offset, o.path)
	}
}

func (ev evolver) addArray(p *plan, old *around, t reflect.Type, o op) {
	s := old.schema
	if s.Len != t.Len() {
		panic(errNotCompared)
	}
	if s.Len == 0 {
		return
	}
	elem := ev.plan(old.part(s.Elem), t.Elem())
	switch {
	case elem.memory:
		ev.copied(p, t.Size(), o.offset, o.path)
	case elem.fixed == 0 && len(elem.ops) > 0: // nothing was stored, and all is new
		o.code, o.n, o.part = opFillArray, s.Len, elem
		ev.push(p, o)
	default:
		o.code, o.n, o.part = opArray, s.Len, elem
		ev.push(p, o)
	}
}

// addStruct reads the old fields in their order into those that they are now, and then fills those that are new.
func (ev evolver) addStruct(p *plan, old *around, t reflect.Type, o op) {
	fields := fieldsOf(t)
	from := matchFields(old.schema.Fields, presentFields(fields))
	to := make([]int, len(old.schema.Fields))
	for i, k := range from {
		if k >= 0 {
			to[k] = i + 1
		}
	}
	for k, f := range old.schema.Fields {
		part := old.part(f.Schema)
		if to[k] == 0 {
			ev.addSkip(p, part, join(o.path, f.Name))
			continue
		}
		now := &fields[to[k]-1]
		ev.add(p, part, now.typ, o.offset+now.offset, join(o.path, now.goPath))
	}
	for i, k := range from {
		if k < 0 {
			ev.addNew(p, &fields[i], o.offset)
		}
	}
}

// presentFields returns what matchFields has to know.
func presentFields(fields []field) []Field {
	now := make([]Field, len(fields))
	for i := range fields {
		now[i] = Field{Name: fields[i].name, Former: fields[i].former}
	}
	return now
}

func (ev evolver) addSkip(p *plan, old *around, path string) {
	ev.push(p, op{code: opSkip, n: ev.sizesOf(old).fixed, path: path, evolved: &evolvedOp{skip: old}})
}

// addNew sets a field of which nothing was stored to its default; a struct without one has those of its fields.
func (ev evolver) addNew(p *plan, f *field, base uintptr) {
	if !f.value.IsValid() && isPlainStruct(f.typ) {
		for _, inner := range fieldsOf(f.typ) {
			ev.addNew(p, &inner, base+f.offset)
		}
		return
	}
	value := f.value
	if !value.IsValid() {
		value = reflect.Zero(f.typ)
	}
	o := op{offset: base + f.offset, path: f.goPath, evolved: &evolvedOp{value: value}, typ: f.typ, code: opSet}
	if isPointerFree(f.typ) {
		o.code, o.evolved.bytes = opFill, imageOf(value)
	}
	ev.push(p, o)
}

// imageOf returns the bytes of a value without pointers as they lie in memory.
func imageOf(v reflect.Value) []byte {
	at := reflect.New(v.Type())
	at.Elem().Set(v)
	return append([]byte(nil), unsafe.Slice((*byte)(at.UnsafePointer()), v.Type().Size())...)
}

// addForeign reads what a codec of its own has written, be it in another version.
func (ev evolver) addForeign(p *plan, old *around, t reflect.Type, o op) {
	s := old.schema
	if s.Kind != kindOf(t) {
		panic(errNotCompared)
	}
	o.typ = t
	read, err := foreignReader(s, t)
	switch {
	case err != nil:
		panic(errNotCompared)
	case read == nil:
		o.code, o.form = opOpaque, formOf(t)
	default:
		o.code, o.evolved = opRead, &evolvedOp{read: read}
	}
	ev.push(p, o)
}

// decodeEvolved does the ops of evolved plans.
func (o *op) decodeEvolved(src []byte, v unsafe.Pointer, depth int) ([]byte, error) {
	switch o.code {
	case opWiden:
		return o.widen(src, v)
	case opFill:
		copy(unsafe.Slice((*byte)(v), len(o.evolved.bytes)), o.evolved.bytes)
		return src, nil
	case opSet:
		reflect.NewAt(o.typ, v).Elem().Set(o.evolved.value)
		return src, nil
	case opFillArray:
		for i := range o.n {
			if _, err := o.part.decode(nil, o.part.at(v, i), depth); err != nil {
				return nil, err
			}
		}
		return src, nil
	case opSkip:
		return o.skip(src, depth)
	case opRead:
		return o.readForeign(src, v)
	}
	if depth++; depth > MaxDepth {
		return nil, corrupt("it has more than %d values within each other", MaxDepth)
	}
	if o.code == opWrapPointer {
		to := reflect.New(o.typ).UnsafePointer()
		rest, err := o.part.decode(src, to, depth)
		if err == nil {
			*(*unsafe.Pointer)(v) = to
		}
		return rest, err
	}
	data := o.makeElems(1)
	rest, err := o.part.decode(src, data, depth)
	if err == nil {
		*(*sliceHeader)(v) = sliceHeader{data, 1, 1}
	}
	return rest, err
}

// widen reads a number of fewer bits than it has now.
func (o *op) widen(src []byte, v unsafe.Pointer) ([]byte, error) {
	size := scalarBytes[o.evolved.from]
	if uint64(len(src)) < size {
		return nil, corrupt("it is cut short")
	}
	var x uint64
	switch o.evolved.from {
	case Int8:
		x = uint64(int8(src[0]))
	case Uint8:
		x = uint64(src[0])
	case Int16:
		x = uint64(int16(binary.LittleEndian.Uint16(src)))
	case Uint16:
		x = uint64(binary.LittleEndian.Uint16(src))
	case Int32:
		x = uint64(int32(binary.LittleEndian.Uint32(src)))
	case Uint32:
		x = uint64(binary.LittleEndian.Uint32(src))
	case Float32:
		*(*float64)(v) = widenFloat(src)
		return src[size:], nil
	case Complex64:
		*(*complex128)(v) = complex(widenFloat(src), widenFloat(src[4:]))
		return src[size:], nil
	}
	switch o.size {
	case 2:
		*(*uint16)(v) = uint16(x)
	case 4:
		if o.evolved.from == Uint32 && o.typ.Kind() == reflect.Int && x > math.MaxInt32 { // an int64 where int has 32 bits
			return nil, corrupt("the number does not fit into the %d bits of this machine", 8*o.size)
		}
		*(*uint32)(v) = uint32(x)
	default:
		*(*uint64)(v) = x
	}
	return src[size:], nil
}

func widenFloat(src []byte) float64 {
	return float64(math.Float32frombits(binary.LittleEndian.Uint32(src)))
}

// skip passes over what has no place any more.
func (o *op) skip(src []byte, depth int) ([]byte, error) {
	if o.n >= 0 {
		if len(src) < o.n {
			return nil, corrupt("it is cut short")
		}
		return src[o.n:], nil
	}
	r := renderer{form: noForm, src: src}
	if err := r.value(o.evolved.skip, depth); err != nil {
		return nil, err
	}
	return r.src, nil
}

// mostBytes is where the sizes of schemas end: nothing so large is ever in memory, and sums and products of it do not overflow.
const mostBytes = 1 << 40

// sizes are those of the encodings of a schema: of each, or -1 if they differ, and of the smallest.
type sizes struct{ fixed, least int }

func (ev evolver) sizesOf(a *around) sizes {
	a = a.resolved()
	if known, ok := ev.sizes[a.schema]; ok {
		return known
	}
	s := a.schema
	var sum sizes
	switch s.Kind {
	case Array:
		elem := ev.sizesOf(a.part(s.Elem))
		sum = sizes{times(s.Len, elem.fixed), times(s.Len, elem.least)}
	case Struct: // a reference within leads to a slice, map or pointer on its way back here
		for _, f := range s.Fields {
			part := ev.sizesOf(a.part(f.Schema))
			sum.least = min(sum.least+part.least, mostBytes)
			if sum.fixed = min(sum.fixed+part.fixed, mostBytes); part.fixed < 0 {
				sum.fixed = math.MinInt + mostBytes // stays below 0
			}
		}
		sum.fixed = max(sum.fixed, -1)
	case Slice, Map, Pointer, String, Opaque, Foreign:
		sum = sizes{-1, 1}
	default:
		n := int(scalarBytes[s.Kind])
		sum = sizes{n, n}
	}
	ev.sizes[s] = sum
	return sum
}

// times returns the size of so many elements, which is -1 if theirs is.
func times(n, size int) int {
	switch {
	case n == 0:
		return 0
	case size < 0:
		return -1
	case size > 0 && n > mostBytes/size:
		return mostBytes
	}
	return n * size
}

// mostZero is the size in bytes up to which a zero value is made: an array in a damaged schema may claim any number of elements.
const mostZero = 64 << 10

// Zero returns the encoding of the zero value of a type with this schema. ok is false if only the type itself could tell, because a part
// has a form of its own, and if it would be very large.
func (s *Schema) Zero() (value []byte, ok bool) {
	return s.appendZero(nil)
}

func (s *Schema) appendZero(dst []byte) (_ []byte, ok bool) {
	if len(dst) > mostZero {
		return nil, false
	}
	switch s.Kind {
	case Opaque, Foreign:
		return nil, false
	case Slice, Map, Pointer, String:
		return append(dst, 0), true
	case Time:
		return appendTime(dst, time.Time{}), true
	case Array:
		before := len(dst)
		for range s.Len {
			if dst, ok = s.Elem.appendZero(dst); !ok || len(dst) == before {
				return dst, ok
			}
		}
		return dst, true
	case Struct:
		for _, f := range s.Fields {
			if dst, ok = f.Schema.appendZero(dst); !ok {
				return nil, false
			}
		}
		return dst, true
	case Ref: // leads to what is around a slice, map or pointer, and is not met before one
		return nil, false
	}
	return append(dst, make([]byte, scalarBytes[s.Kind])...), true
}
