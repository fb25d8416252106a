package codec

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"strconv"
	"time"
	"unicode/utf8"
)

// AppendText reads one value from the front of src by the schema alone, without its Go type, and appends it to dst in the manner of a Go
// literal on one line: {Name: "ann", Hits: 3}. Bytes are written as 0x and hexadecimal digits, and so is what an opaque codec wrote,
// behind the codec's name. It returns dst and what follows the value.
//
// It accepts exactly the bytes that Decode of a type with this schema accepts, but for opaque values, into which it does not look;
// an error wraps [ErrCorrupt]. The schema must be valid. Arbitrary bytes make it neither panic nor write more than a factor, fixed by
// the schema, of their number.
func (s *Schema) AppendText(dst, src []byte) (text, rest []byte, err error) {
	return s.render(dst, src, textForm)
}

// AppendJSON is AppendText in JSON. A map with strings or integers as keys becomes an object, any other an array of pairs; bytes become
// base64, as encoding/json has it; times RFC 3339, durations Go's text, complex numbers pairs, infinities and NaN strings, opaque values
// objects with codec, version and data; nil becomes null. What is not UTF-8 in a string is replaced, as encoding/json does.
func (s *Schema) AppendJSON(dst, src []byte) (json, rest []byte, err error) {
	return s.render(dst, src, jsonForm)
}

// Skip returns what follows the value at the front of src. It checks as AppendText does and writes nothing.
func (s *Schema) Skip(src []byte) (rest []byte, err error) {
	_, rest, err = s.render(nil, src, noForm)
	return rest, err
}

// form is how a renderer writes values.
type form struct {
	write                    bool
	openStruct, closeStruct  string
	openSlice, closeSlice    string
	openMap, closeMap        string
	openPair, pair, closPair string
	null                     string
	json                     bool
}

var (
	noForm   = &form{}
	textForm = &form{write: true, openStruct: "{", closeStruct: "}", openSlice: "[", closeSlice: "]", openMap: "{", closeMap: "}", pair: ": ", null: "nil"}
	jsonForm = &form{write: true, openStruct: "{", closeStruct: "}", openSlice: "[", closeSlice: "]", openMap: "[", closeMap: "]",
		openPair: "[", pair: ",", closPair: "]", null: "null", json: true}
)

// renderer reads values from src and appends them to dst.
type renderer struct {
	*form
	dst []byte
	src []byte
}

func (s *Schema) render(dst, src []byte, f *form) (written, rest []byte, err error) {
	r := renderer{form: f, dst: dst, src: src}
	if err := r.value(&around{schema: s}, 0); err != nil {
		return dst, nil, err
	}
	return r.dst, r.src, nil
}

// around is a schema with those around it, which a reference may lead to.
type around struct {
	schema *Schema
	outer  *around
}

func (a *around) part(s *Schema) *around { return &around{s, a} }

// target follows a reference.
func (a *around) target() *around {
	for range a.schema.Up {
		a = a.outer
	}
	return a
}

// resolved follows references to what they stand for.
func (a *around) resolved() *around {
	for a.schema.Kind == Ref {
		a = a.target()
	}
	return a
}

func (r *renderer) put(text string) {
	if r.write {
		r.dst = append(r.dst, text...)
	}
}

// comma separates the parts of a value.
func (r *renderer) comma(i int) {
	switch {
	case i == 0:
	case r.json:
		r.put(",")
	default:
		r.put(", ")
	}
}

// value reads one value that lies within depth slices, maps and pointers.
func (r *renderer) value(a *around, depth int) error {
	s := a.schema
	switch s.Kind {
	case Ref:
		return r.value(a.target(), depth)
	case Struct:
		return r.fields(a, depth)
	case Array:
		r.put(r.openSlice)
		defer func() { r.put(r.closeSlice) }()
		return r.elements(a, s.Len, depth)
	case Slice, Map, Pointer, Opaque, Foreign:
		if depth++; depth > MaxDepth {
			return corrupt("it has more than %d values within each other", MaxDepth)
		}
	}
	switch s.Kind {
	case Slice:
		return r.slice(a, depth)
	case Map:
		return r.mapped(a, depth)
	case Pointer:
		return r.pointer(a, depth)
	case Opaque, Foreign:
		return r.opaque(s)
	case String:
		return r.text()
	default:
		return r.scalar(s.Kind)
	}
}

func (r *renderer) fields(a *around, depth int) error {
	r.put(r.openStruct)
	for i, f := range a.schema.Fields {
		r.comma(i)
		r.name(f.Name)
		if err := r.value(a.part(f.Schema), depth); err != nil {
			return within(f.Name, err)
		}
	}
	r.put(r.closeStruct)
	return nil
}

func (r *renderer) name(name string) {
	if r.json {
		r.put(`"` + name + `":`) // made of letters, digits and _ - . /
	} else {
		r.put(name + ": ")
	}
}

// elements reads n values. Values that take no bytes are not written n times, since nothing but a damaged number may stand behind them.
func (r *renderer) elements(a *around, n, depth int) error {
	elem := a.part(a.schema.Elem)
	if elem.schema.isEmpty() {
		if n > 0 && !r.json {
			r.put(fmt.Sprintf("%d of nothing", n))
		}
		return nil
	}
	if n > len(r.src) {
		return corrupt("%d bytes are left, and %d elements take 1 or more each", len(r.src), n)
	}
	for i := range n {
		r.comma(i)
		if err := r.value(elem, depth); err != nil {
			return within(fmt.Sprintf("[%d]", i), err)
		}
	}
	return nil
}

// isEmpty reports whether values take no bytes. References lead through kinds that do take some.
func (s *Schema) isEmpty() bool {
	switch s.Kind {
	case Array:
		return s.Len == 0 || s.Elem.isEmpty()
	case Struct:
		for _, f := range s.Fields {
			if !f.Schema.isEmpty() {
				return false
			}
		}
		return true
	}
	return false
}

func (r *renderer) slice(a *around, depth int) error {
	n, isNil, rest, err := decodeLen(r.src, 0)
	if err != nil {
		return err
	}
	r.src = rest
	if isNil {
		r.put(r.null)
		return nil
	}
	if a.schema.Elem.Kind == Uint8 {
		return r.bytes(uint64(n))
	}
	r.put(r.openSlice)
	defer func() { r.put(r.closeSlice) }()
	return r.elements(a, n, depth)
}

// mapped reads a map, whose keys ascend by their bytes.
func (r *renderer) mapped(a *around, depth int) error {
	n, isNil, rest, err := decodeLen(r.src, 0)
	if err != nil {
		return err
	}
	r.src = rest
	if isNil {
		r.put(r.null)
		return nil
	}
	key, elem, f := a.part(a.schema.Key), a.part(a.schema.Elem), r.mapForm(a.schema.Key)
	r.put(f.openMap)
	var last []byte
	for i := range n {
		before := r.src
		r.comma(i)
		r.put(f.openPair)
		if err := r.key(key, f, depth); err != nil {
			return within("[key]", err)
		}
		now := before[:len(before)-len(r.src)]
		if i > 0 && bytes.Compare(last, now) >= 0 {
			return corrupt("the keys of a map are not in order")
		}
		last = now
		r.put(f.pair)
		if err := r.value(elem, depth); err != nil {
			return within("[]", err)
		}
		r.put(f.closPair)
	}
	r.put(f.closeMap)
	return nil
}

// mapForm returns how a map with such keys is written: JSON has objects for some.
func (r *renderer) mapForm(key *Schema) form {
	f := *r.form
	if f.json && (key.Kind == String || key.Kind >= Int8 && key.Kind <= Uint64) {
		f.openMap, f.closeMap, f.openPair, f.pair, f.closPair = "{", "}", "", ":", ""
	}
	return f
}

// key reads a map's key; one of an object in JSON that is a number gets quotes.
func (r *renderer) key(a *around, f form, depth int) error {
	quoted := f.json && f.openMap == "{" && a.schema.Kind != String
	if quoted {
		r.put(`"`)
		defer r.put(`"`)
	}
	return r.value(a, depth)
}

func (r *renderer) pointer(a *around, depth int) error {
	var present bool
	rest, err := decodeBool(r.src, &present)
	if err != nil {
		return err
	}
	r.src = rest
	if !present {
		r.put(r.null)
		return nil
	}
	if !r.json {
		r.put("&")
	}
	return r.value(a.part(a.schema.Elem), depth)
}

// take returns the next n bytes.
func (r *renderer) take(n uint64) ([]byte, error) {
	if n > uint64(len(r.src)) {
		return nil, corrupt("it takes %d bytes, and %d are left", n, len(r.src))
	}
	taken := r.src[:n]
	r.src = r.src[n:]
	return taken, nil
}

// counted returns as many bytes as the length before them says.
func (r *renderer) counted() ([]byte, error) {
	n, rest, ok := readUvarint(r.src)
	if !ok {
		return nil, corrupt("its length is damaged")
	}
	r.src = rest
	return r.take(n)
}

func (r *renderer) bytes(n uint64) error {
	b, err := r.take(n)
	if err == nil {
		r.putBytes(b)
	}
	return err
}

func (r *renderer) putBytes(b []byte) {
	switch {
	case !r.write:
	case r.json:
		r.dst = append(base64.StdEncoding.AppendEncode(append(r.dst, '"'), b), '"')
	default:
		r.dst = hex.AppendEncode(append(r.dst, "0x"...), b)
	}
}

func (r *renderer) opaque(s *Schema) error {
	b, err := r.counted()
	if err != nil {
		return err
	}
	if r.json {
		r.put(`{"codec":"` + s.Codec + `","version":` + strconv.Itoa(s.Version) + `,"data":`)
		r.putBytes(b)
		r.put("}")
		return nil
	}
	r.put(s.Codec + "/" + strconv.Itoa(s.Version) + ":")
	r.putBytes(b)
	return nil
}

func (r *renderer) text() error {
	b, err := r.counted()
	if err == nil {
		r.putString(b)
	}
	return err
}

func (r *renderer) putString(b []byte) {
	switch {
	case !r.write:
	case r.json:
		r.dst = appendJSONString(r.dst, b)
	default:
		r.dst = strconv.AppendQuote(r.dst, string(b))
	}
}

// appendJSONString appends a string as JSON has it. Only what must be is escaped.
func appendJSONString(dst, b []byte) []byte {
	dst = append(dst, '"')
	for len(b) > 0 {
		c, size := utf8.DecodeRune(b)
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', byte(c))
		case c < ' ':
			dst = fmt.Appendf(dst, `\u%04x`, c)
		default:
			dst = utf8.AppendRune(dst, c) // U+FFFD for what is not UTF-8
		}
		b = b[size:]
	}
	return append(dst, '"')
}

// scalarBytes are the sizes of the kinds below String, and of Time and Duration.
var scalarBytes = [...]uint64{Bool: 1, Int8: 1, Int16: 2, Int32: 4, Int64: 8, Uint8: 1, Uint16: 2, Uint32: 4, Uint64: 8,
	Float32: 4, Float64: 8, Complex64: 8, Complex128: 16, Time: timeBytes, Duration: 8}

func (r *renderer) scalar(k Kind) error {
	b, err := r.take(scalarBytes[k])
	if err != nil {
		return err
	}
	switch k {
	case Bool:
		var v bool
		if _, err := decodeBool(b, &v); err != nil {
			return err
		}
		r.put(strconv.FormatBool(v))
	case Float32, Float64:
		r.float(b)
	case Complex64, Complex128:
		r.put(r.openSlice)
		r.float(b[:len(b)/2])
		r.comma(1)
		r.float(b[len(b)/2:])
		r.put(r.closeSlice)
	case Time:
		var v time.Time
		if _, err := decodeTime(b, &v); err != nil {
			return err
		}
		r.quoted(v.Format(time.RFC3339Nano))
	case Duration:
		r.quoted(time.Duration(binary.LittleEndian.Uint64(b)).String())
	default:
		r.integer(k, b)
	}
	return nil
}

// quoted writes text that JSON wants in quotes.
func (r *renderer) quoted(text string) {
	if r.json {
		text = `"` + text + `"`
	}
	r.put(text)
}

func (r *renderer) integer(k Kind, b []byte) {
	if !r.write {
		return
	}
	var wide [8]byte
	if signed := k <= Int64; signed && b[len(b)-1] >= 0x80 {
		wide = [8]byte{255, 255, 255, 255, 255, 255, 255, 255}
	}
	copy(wide[:], b)
	n := binary.LittleEndian.Uint64(wide[:])
	if k <= Int64 {
		r.dst = strconv.AppendInt(r.dst, int64(n), 10)
	} else {
		r.dst = strconv.AppendUint(r.dst, n, 10)
	}
}

func (r *renderer) float(b []byte) {
	v, bits := 0.0, 64
	if len(b) == 4 {
		v, bits = float64(math.Float32frombits(binary.LittleEndian.Uint32(b))), 32
	} else {
		v = math.Float64frombits(binary.LittleEndian.Uint64(b))
	}
	text := strconv.FormatFloat(v, 'g', -1, bits)
	if math.IsInf(v, 0) || math.IsNaN(v) {
		r.quoted(text)
	} else {
		r.put(text)
	}
}
