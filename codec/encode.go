package codec

import (
	"encoding"
	"encoding/binary"
	"fmt"
	"reflect"
	"time"
	"unsafe"
)

// MaxDepth is how many slices, maps and pointers may lie within each other in one value. It stops cycles of pointers, and keeps damaged
// bytes from exhausting the stack.
const MaxDepth = 10_000

// EncodeError is what Append panics with. It is an error of the program, not of the data, except that a MarshalBinary may see it
// otherwise; then Err is what that returned.
type EncodeError struct {
	Path string // the part of the innermost struct or element, as far as it is known
	Why  string
	Err  error // may be nil
}

// Error names the part and the reason.
func (e *EncodeError) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("codec: encode %s: %s: %v", place(e.Path), e.Why, e.Err)
	}
	return fmt.Sprintf("codec: encode %s: %s", place(e.Path), e.Why)
}

// Unwrap returns Err.
func (e *EncodeError) Unwrap() error { return e.Err }

// sliceHeader is a slice as the compiler lays it out. The pointer is typed, so that writing it has its write barrier.
type sliceHeader struct {
	data     unsafe.Pointer
	len, cap int
}

// append appends the encoding of the value at base, which lies within depth slices, maps and pointers.
func (p *plan) append(dst []byte, base unsafe.Pointer, depth int) []byte {
	for i := range p.ops {
		o := &p.ops[i]
		v := unsafe.Add(base, o.offset)
		switch o.code {
		case opCopy1:
			dst = append(dst, *(*byte)(v))
		case opCopy2:
			dst = binary.LittleEndian.AppendUint16(dst, *(*uint16)(v))
		case opCopy4:
			dst = binary.LittleEndian.AppendUint32(dst, *(*uint32)(v))
		case opCopy8:
			dst = binary.LittleEndian.AppendUint64(dst, *(*uint64)(v))
		case opCopy:
			dst = append(dst, unsafe.Slice((*byte)(v), o.size)...)
		case opBool:
			dst = appendBool(dst, *(*bool)(v))
		case opInt:
			dst = binary.LittleEndian.AppendUint64(dst, uint64(*(*int)(v)))
		case opUint:
			dst = binary.LittleEndian.AppendUint64(dst, uint64(*(*uint)(v)))
		case opTime:
			dst = appendTime(dst, *(*time.Time)(v))
		case opString:
			dst = appendString(dst, *(*string)(v))
		case opArray:
			dst = o.part.appendN(dst, v, o.n, depth)
		default:
			dst = o.append(dst, v, depth)
		}
	}
	return dst
}

// appendN appends the encodings of n consecutive values.
func (p *plan) appendN(dst []byte, base unsafe.Pointer, n, depth int) []byte {
	if p.memory {
		return append(dst, unsafe.Slice((*byte)(base), uintptr(n)*p.size)...)
	}
	if p.fixed == 0 {
		return dst
	}
	for i := range n {
		dst = p.append(dst, p.at(base, i), depth)
	}
	return dst
}

// append does the ops that lead out of the value. v is the address of the part.
func (o *op) append(dst []byte, v unsafe.Pointer, depth int) []byte {
	if depth++; depth > MaxDepth {
		panic(&EncodeError{Path: o.path, Why: fmt.Sprintf("it holds more than %d values within each other, or a pointer to itself", MaxDepth)})
	}
	switch o.code {
	case opSlice, opStrings:
		s := (*sliceHeader)(v)
		dst = appendLen(dst, s.len, s.data == nil)
		return o.part.appendN(dst, s.data, s.len, depth)
	case opPointer:
		to := *(*unsafe.Pointer)(v)
		dst = appendBool(dst, to != nil)
		if to != nil {
			dst = o.part.append(dst, to, depth)
		}
		return dst
	case opMap:
		return o.m.append(dst, v, depth)
	default:
		return o.appendOpaque(dst, v)
	}
}

func (o *op) appendOpaque(dst []byte, v unsafe.Pointer) []byte {
	if o.form != nil {
		return o.appendForm(dst, v)
	}
	b, err := reflect.NewAt(o.typ, v).Interface().(encoding.BinaryMarshaler).MarshalBinary()
	if err != nil {
		panic(&EncodeError{o.path, "MarshalBinary", err})
	}
	return append(binary.AppendUvarint(dst, uint64(len(b))), b...)
}

// appendForm appends what a registered form writes, and then moves it to make room for its length: most are longer than the one byte that is
// kept free.
func (o *op) appendForm(dst []byte, v unsafe.Pointer) []byte {
	at := len(dst)
	dst, err := o.form.append(append(dst, 0), v)
	if err != nil {
		panic(&EncodeError{o.path, o.form.name, err})
	}
	n := uint64(len(dst) - at - 1)
	if n < 0x80 {
		dst[at] = byte(n)
		return dst
	}
	var length [binary.MaxVarintLen64]byte
	size := binary.PutUvarint(length[:], n)
	dst = append(dst, length[1:size]...)
	copy(dst[at+size:], dst[at+1:at+1+int(n)])
	copy(dst[at:], length[:size])
	return dst
}

func appendBool(dst []byte, v bool) []byte {
	if v {
		return append(dst, 1)
	}
	return append(dst, 0)
}

func appendTime(dst []byte, t time.Time) []byte {
	dst = binary.LittleEndian.AppendUint64(dst, uint64(t.Unix()))
	return binary.LittleEndian.AppendUint32(dst, uint32(t.Nanosecond()))
}

func appendString(dst []byte, s string) []byte {
	if len(s) < 0x80 {
		dst = append(dst, byte(len(s)))
	} else {
		dst = binary.AppendUvarint(dst, uint64(len(s)))
	}
	return append(dst, s...)
}

// appendLen appends the length of a slice or map: 0 is nil, and n+1 is n elements.
func appendLen(dst []byte, n int, isNil bool) []byte {
	if isNil {
		return append(dst, 0)
	}
	return binary.AppendUvarint(dst, uint64(n)+1)
}
