package codec

import (
	"encoding"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"time"
	"unsafe"
)

// ErrCorrupt is wrapped by every error of Decode: the bytes are not an encoding of the type. After a comparison of schemas and
// checksums this means a damaged writer.
var ErrCorrupt = errors.New("corrupt value")

// decodeError collects the path to the bad part on its way out.
type decodeError struct {
	path  []string // innermost first
	depth int      // how many parts the path has, which are not all kept
	why   string
	err   error // of an UnmarshalBinary, or nil
}

// maxPath is the number of path parts kept: a value may be nested MaxDepth deep.
const maxPath = 12

func (e *decodeError) Error() string {
	var b strings.Builder
	if e.depth > len(e.path) {
		b.WriteString("...")
	}
	for i := len(e.path) - 1; i >= 0; i-- {
		if part := e.path[i]; part != "" {
			if b.Len() > 0 && part[0] != '[' {
				b.WriteString(".")
			}
			b.WriteString(part)
		}
	}
	return fmt.Sprintf("decode %s: %s: %v", place(b.String()), e.why, ErrCorrupt)
}

func (e *decodeError) Is(target error) bool { return target == ErrCorrupt }

func (e *decodeError) Unwrap() error { return e.err }

func corrupt(format string, args ...any) error {
	return &decodeError{why: fmt.Sprintf(format, args...)}
}

// within adds an outer part to the path of an error of this file.
func within(part string, err error) error {
	e := err.(*decodeError)
	if e.depth++; len(e.path) < maxPath {
		e.path = append(e.path, part)
	}
	return e
}

// decode reads the value at base, which lies within depth slices, maps and pointers, and returns what is left.
func (p *plan) decode(src []byte, base unsafe.Pointer, depth int) ([]byte, error) {
	if len(src) < p.least {
		return nil, corrupt("%d bytes are left, and it takes %d or more", len(src), p.least)
	}
	for i := range p.ops {
		o := &p.ops[i]
		v := unsafe.Add(base, o.offset)
		var err error
		switch {
		case o.code <= opCopy:
			if src = o.decodeCopy(src, v); src == nil {
				err = corrupt("it is cut short")
			}
		case o.code == opString:
			src, err = decodeString(src, (*string)(v))
		default:
			src, err = o.decode(src, v, depth)
		}
		if err != nil {
			return nil, within(o.path, err)
		}
	}
	return src, nil
}

// decodeCopy returns what is left, or nil if src is too short.
func (o *op) decodeCopy(src []byte, v unsafe.Pointer) []byte {
	if uintptr(len(src)) < o.size {
		return nil
	}
	switch o.code {
	case opCopy1:
		*(*byte)(v) = src[0]
	case opCopy2:
		*(*uint16)(v) = binary.LittleEndian.Uint16(src)
	case opCopy4:
		*(*uint32)(v) = binary.LittleEndian.Uint32(src)
	case opCopy8:
		*(*uint64)(v) = binary.LittleEndian.Uint64(src)
	default:
		copy(unsafe.Slice((*byte)(v), o.size), src)
	}
	return src[o.size:]
}

func (o *op) decode(src []byte, v unsafe.Pointer, depth int) ([]byte, error) {
	switch o.code {
	case opBool:
		return decodeBool(src, (*bool)(v))
	case opInt, opUint:
		return o.decodeInt(src, v)
	case opTime:
		return decodeTime(src, (*time.Time)(v))
	case opArray:
		return o.part.decodeN(src, v, o.n, depth)
	}
	if o.code > opOpaque {
		return o.decodeEvolved(src, v, depth)
	}
	if depth++; depth > MaxDepth {
		return nil, corrupt("it has more than %d values within each other", MaxDepth)
	}
	switch o.code {
	case opSlice, opStrings:
		return o.decodeSlice(src, v, depth)
	case opPointer:
		return o.decodePointer(src, v, depth)
	case opMap:
		return o.m.decode(src, v, depth)
	default:
		return o.decodeOpaque(src, v)
	}
}

// decodeN reads n consecutive values. Each may look at all of src but the least that those after it need: otherwise damaged lengths,
// each within an element of the one before, could all claim the same bytes, and the memory for them would grow with their product.
func (p *plan) decodeN(src []byte, base unsafe.Pointer, n, depth int) ([]byte, error) {
	if p.fixed == 0 {
		return src, nil
	}
	if n > len(src)/p.least {
		return nil, corrupt("%d bytes are left, and %d elements take %d or more each", len(src), n, p.least)
	}
	if p.memory {
		size := uintptr(n) * p.size
		copy(unsafe.Slice((*byte)(base), size), src)
		return src[size:], nil
	}
	for i := range n {
		own := src[:len(src)-p.least*(n-1-i)]
		left, err := p.decode(own, p.at(base, i), depth)
		if err != nil {
			return nil, within(fmt.Sprintf("[%d]", i), err)
		}
		src = src[len(own)-len(left):]
	}
	return src, nil
}

func (o *op) decodeSlice(src []byte, v unsafe.Pointer, depth int) ([]byte, error) {
	n, isNil, src, err := decodeLen(src, o.part.least)
	if err != nil {
		return nil, err
	}
	s := (*sliceHeader)(v)
	if isNil {
		*s = sliceHeader{}
		return src, nil
	}
	data := o.makeElems(n)
	src, err = o.part.decodeN(src, data, n, depth)
	if err != nil {
		return nil, err
	}
	*s = sliceHeader{data, n, n}
	return src, nil
}

// makeElems returns zeroed memory for n elements of a slice, by reflection only where the element type decides about pointers.
func (o *op) makeElems(n int) unsafe.Pointer {
	switch {
	case o.code == opStrings:
		return unsafe.Pointer(unsafe.SliceData(make([]string, n)))
	case o.part.memory && n > 0:
		// Memory types have no pointers, and none is aligned to more than 8 bytes.
		return unsafe.Pointer(unsafe.SliceData(make([]uint64, (uintptr(n)*o.part.size+7)/8)))
	}
	return reflect.MakeSlice(o.typ, n, n).UnsafePointer()
}

func (o *op) decodePointer(src []byte, v unsafe.Pointer, depth int) ([]byte, error) {
	var present bool
	src, err := decodeBool(src, &present)
	if err != nil {
		return nil, err
	}
	if !present {
		*(*unsafe.Pointer)(v) = nil
		return src, nil
	}
	to := reflect.New(o.typ).UnsafePointer()
	if src, err = o.part.decode(src, to, depth); err != nil {
		return nil, err
	}
	*(*unsafe.Pointer)(v) = to
	return src, nil
}

func (o *op) decodeOpaque(src []byte, v unsafe.Pointer) (rest []byte, err error) {
	return readCounted(src, func(b []byte) error {
		if o.form != nil {
			return o.form.decode(b, v)
		}
		return unmarshal(o.typ, v, func(u any) error { return u.(encoding.BinaryUnmarshaler).UnmarshalBinary(b) })
	})
}

// readForeign reads what another version of a codec has written.
func (o *op) readForeign(src []byte, v unsafe.Pointer) (rest []byte, err error) {
	return readCounted(src, func(b []byte) error { return o.evolved.read(b, v) })
}

// readCounted gives read the bytes that follow their number, and makes its errors and panics those of a decoder.
func readCounted(src []byte, read func(b []byte) error) (rest []byte, err error) {
	n, rest, ok := readUvarint(src)
	if !ok || n > uint64(len(rest)) {
		return nil, corrupt("its length is damaged, or more than the %d bytes left", len(src))
	}
	defer func() {
		if r := recover(); r != nil {
			rest, err = nil, corrupt("its codec panics on these bytes: %v", r)
		}
	}()
	if err := read(rest[:n:n]); err != nil {
		return nil, &decodeError{why: "its codec: " + err.Error(), err: err}
	}
	return rest[n:], nil
}

// unmarshal calls f for the value of type t at v, which it makes zero before: methods may expect a new one.
func unmarshal(t reflect.Type, v unsafe.Pointer, f func(u any) error) error {
	into := reflect.NewAt(t, v)
	into.Elem().SetZero()
	return f(into.Interface())
}

func (o *op) decodeInt(src []byte, v unsafe.Pointer) ([]byte, error) {
	if len(src) < 8 {
		return nil, corrupt("it is cut short")
	}
	n := binary.LittleEndian.Uint64(src)
	switch {
	case o.code == opUint && n <= math.MaxUint:
		*(*uint)(v) = uint(n)
	case o.code == opInt && math.MinInt <= int64(n) && int64(n) <= math.MaxInt:
		*(*int)(v) = int(n)
	default:
		return nil, corrupt("the number does not fit into the %d bits of this machine", 8*unsafe.Sizeof(0))
	}
	return src[8:], nil
}

func decodeBool(src []byte, v *bool) ([]byte, error) {
	if len(src) == 0 {
		return nil, corrupt("it is cut short")
	}
	if src[0] > 1 {
		return nil, corrupt("the byte %#x is neither 0 nor 1", src[0])
	}
	*v = src[0] == 1
	return src[1:], nil
}

func decodeTime(src []byte, v *time.Time) ([]byte, error) {
	if len(src) < timeBytes {
		return nil, corrupt("it is cut short")
	}
	seconds, nanos := int64(binary.LittleEndian.Uint64(src)), binary.LittleEndian.Uint32(src[8:])
	if nanos >= 1e9 {
		return nil, corrupt("%d nanoseconds are more than a second", nanos)
	}
	*v = time.Unix(seconds, int64(nanos)).UTC()
	return src[timeBytes:], nil
}

func decodeString(src []byte, v *string) ([]byte, error) {
	n, rest, ok := readUvarint(src)
	if !ok || n > uint64(len(rest)) {
		return nil, corrupt("its length is damaged, or more than the %d bytes left", len(src))
	}
	*v = string(rest[:n])
	return rest[n:], nil
}

// decodeLen reads the length of a slice or map whose elements take at least so many bytes each.
func decodeLen(src []byte, least int) (n int, isNil bool, rest []byte, err error) {
	u, rest, ok := readUvarint(src)
	switch {
	case !ok:
		return 0, false, nil, corrupt("its length is damaged")
	case u == 0:
		return 0, true, rest, nil
	case u-1 > math.MaxInt:
		return 0, false, nil, corrupt("its length %d is too large", u-1)
	}
	n = int(u - 1)
	if least > 0 && n > len(rest)/least {
		return 0, false, nil, corrupt("%d bytes are left, and %d elements take %d or more each", len(rest), n, least)
	}
	return n, false, rest, nil
}

// readUvarint reads a number in its shortest form.
func readUvarint(src []byte) (n uint64, rest []byte, ok bool) {
	if len(src) > 0 && src[0] < 0x80 {
		return uint64(src[0]), src[1:], true
	}
	n, k := binary.Uvarint(src)
	if k <= 0 || src[k-1] == 0 {
		return 0, nil, false
	}
	return n, src[k:], true
}
