package codec

import (
	"encoding/binary"
	"reflect"
	"unsafe"
)

// A plan is the compiled form of a type: what to do at which offset of a value, in the order of the encoding. The fields of nested
// structs are part of the outer plan, and neighbours that are encoded as they lie in memory are one copy.
type plan struct {
	ops    []op
	size   uintptr // of a value in memory
	fixed  int     // size of every encoding, or -1
	least  int     // size of the smallest encoding
	memory bool    // see Compiled.Memory
}

// op encodes and decodes one part of a value.
type op struct {
	code    opcode
	offset  uintptr
	size    uintptr      // opCopy: bytes to copy
	n       int          // opArray: elements
	part    *plan        // of the element or, for opMap, the value
	typ     reflect.Type // opSlice: slice; opPointer: element; opOpaque: the type itself
	m       *mapPlan
	form    *libraryForm // opOpaque, if the type has no methods of its own for it
	evolved *evolvedOp   // of the ops that only read what was written under another schema
	path    string       // of the part within the value, for errors
}

type opcode uint8

const (
	opCopy1 opcode = iota
	opCopy2
	opCopy4
	opCopy8
	opCopy // any number of bytes
	opBool
	opInt  // an int that is narrower than its encoding
	opUint // a uint likewise
	opTime
	opString
	opArray
	opSlice
	opStrings // a slice of strings
	opPointer
	opMap
	opOpaque

	// The following only decode: see evolvedOp.
	opWiden
	opWrapPointer
	opWrapSlice
	opFill      // bytes, with nothing read
	opSet       // a Go value, with nothing read
	opFillArray // elements of which nothing is read
	opSkip
	opRead // by a codec of the type's own, from another version
)

// littleEndian reports whether scalars lie in memory as they are encoded.
var littleEndian = binary.NativeEndian.Uint16([]byte{1, 0}) == 1

const timeBytes = 12 // int64 seconds since 1970, uint32 nanoseconds

// planner compiles one type and what it consists of. A type that contains itself refers to its own plan.
type planner map[reflect.Type]*plan

// newPlan compiles t, which must have a schema.
func newPlan(t reflect.Type) *plan { return planner{}.plan(t) }

func (pr planner) plan(t reflect.Type) *plan {
	if p, ok := pr[t]; ok {
		return p
	}
	p := &plan{size: t.Size()}
	pr[t] = p
	pr.add(p, t, 0, "")
	p.memory = littleEndian && p.fixed == int(p.size) && p.isOneCopy()
	return p
}

// isOneCopy reports whether values are copied from front to end. Neighbours are merged, so that more than one copy goes elsewhere.
func (p *plan) isOneCopy() bool {
	return len(p.ops) == 0 || len(p.ops) == 1 && p.ops[0].code <= opCopy && p.ops[0].offset == 0
}

// add appends what encodes a t at the given offset.
func (pr planner) add(p *plan, t reflect.Type, offset uintptr, path string) {
	switch {
	case t == timeType:
		p.push(op{code: opTime, offset: offset, path: path}, timeBytes, timeBytes)
		return
	case marshalsItself(t) || formOf(t) != nil:
		p.push(op{code: opOpaque, offset: offset, path: path, typ: t, form: formOf(t)}, -1, 1)
		return
	}
	switch t.Kind() {
	case reflect.Bool:
		p.push(op{code: opBool, offset: offset, path: path}, 1, 1)
	case reflect.Int, reflect.Uint:
		p.addInt(t, offset, path)
	case reflect.Complex64, reflect.Complex128:
		p.addCopy(t.Size()/2, offset, path)
		p.addCopy(t.Size()/2, offset+t.Size()/2, path)
	case reflect.String:
		p.push(op{code: opString, offset: offset, path: path}, -1, 1)
	case reflect.Array:
		pr.addArray(p, t, offset, path)
	case reflect.Slice:
		code := opSlice
		if kindOf(t.Elem()) == String {
			code = opStrings
		}
		p.push(op{code: code, offset: offset, path: path, typ: t, part: pr.plan(t.Elem())}, -1, 1)
	case reflect.Pointer:
		p.push(op{code: opPointer, offset: offset, path: path, typ: t.Elem(), part: pr.plan(t.Elem())}, -1, 1)
	case reflect.Map:
		p.push(op{code: opMap, offset: offset, path: path, m: newMapPlan(t, pr.plan(t.Key()), pr.plan(t.Elem()))}, -1, 1)
	case reflect.Struct:
		for _, f := range fieldsOf(t) {
			pr.add(p, f.typ, offset+f.offset, join(path, f.goPath))
		}
	default:
		p.addCopy(t.Size(), offset, path)
	}
}

func (p *plan) addInt(t reflect.Type, offset uintptr, path string) {
	switch {
	case t.Size() == 8:
		p.addCopy(8, offset, path)
	case t.Kind() == reflect.Int:
		p.push(op{code: opInt, offset: offset, path: path}, 8, 8)
	default:
		p.push(op{code: opUint, offset: offset, path: path}, 8, 8)
	}
}

func (pr planner) addArray(p *plan, t reflect.Type, offset uintptr, path string) {
	if t.Len() == 0 {
		return
	}
	elem := pr.plan(t.Elem())
	fixed := -1
	if elem.fixed >= 0 {
		fixed = elem.fixed * t.Len()
	}
	switch {
	case fixed == 0:
	case elem.memory:
		p.addCopy(t.Size(), offset, path)
	default:
		p.push(op{code: opArray, offset: offset, path: path, n: t.Len(), part: elem}, fixed, elem.least*t.Len())
	}
}

// push appends an op whose encodings all have the size fixed, unless that is -1, and none is smaller than least.
func (p *plan) push(o op, fixed, least int) {
	p.ops = append(p.ops, o)
	p.least += least
	if fixed < 0 || p.fixed < 0 {
		p.fixed = -1
	} else {
		p.fixed += fixed
	}
}

// addCopy appends a scalar, or an array of what is encoded as it lies in memory.
func (p *plan) addCopy(size, offset uintptr, path string) {
	if last := len(p.ops) - 1; littleEndian && last >= 0 {
		if o := &p.ops[last]; o.code <= opCopy && o.offset+o.size == offset {
			merged := op{code: opCopy, offset: o.offset, size: o.size + size, path: o.path}
			p.ops = p.ops[:last]
			p.push(merged, int(size), int(size))
			return
		}
	}
	code := opCopy
	switch size {
	case 1:
		code = opCopy1
	case 2:
		code = opCopy2
	case 4:
		code = opCopy4
	case 8:
		code = opCopy8
	}
	p.push(op{code: code, offset: offset, size: size, path: path}, int(size), int(size))
}

// at returns the element i of an array of such values.
func (p *plan) at(base unsafe.Pointer, i int) unsafe.Pointer {
	return unsafe.Add(base, uintptr(i)*p.size)
}
