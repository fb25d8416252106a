package file

import (
	"bytes"
	"encoding"
	"errors"
	"fmt"
	"hash/maphash"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"
	"unsafe"
)

// csvFormat is CSV as in RFC 4180. Line ends may be LF or CRLF; what stands between quotes is taken as it is.
type csvFormat[T any] struct {
	columns []column
	header  []string // of files that have none, else nil
	comma   byte
}

func newCSV[T any](o *options) (format[T], error) {
	columns, err := columnsOf(reflect.TypeFor[T](), o.renames)
	return &csvFormat[T]{columns, o.columns, o.comma}, err
}

func (f *csvFormat[T]) extension() string   { return ".csv" }
func (f *csvFormat[T]) quoted() bool        { return true }
func (f *csvFormat[T]) encoder() encoder[T] { return &csvEncoder[T]{f} }

func (f *csvFormat[T]) decoder() decoder[T] { return &csvDecoder[T]{format: f} }

// csvDecoder reads the rows of one file.
type csvDecoder[T any] struct {
	format  *csvFormat[T]
	row     csvRow
	width   int
	columns []*columnReader // by position in the file; nil: not wanted
}

func (d *csvDecoder[T]) header(record []byte) (bool, error) {
	if d.format.header != nil {
		return false, d.bind(d.format.header)
	}
	record = bytes.TrimPrefix(record, []byte("\ufeff")) // byte order mark
	if err := d.row.split(record, d.format.comma); err != nil {
		return true, err
	}
	names := make([]string, len(d.row.fields))
	for i, field := range d.row.fields {
		names[i] = strings.TrimSpace(string(field))
	}
	return true, d.bind(names)
}

// bind finds the columns of the record type in a header.
func (d *csvDecoder[T]) bind(header []string) error {
	d.width = len(header)
	d.columns = make([]*columnReader, len(header))
	var missing []string
	for i := range d.format.columns {
		c := &d.format.columns[i]
		at, err := c.find(header)
		switch {
		case err != nil:
			return err
		case at >= 0 && d.columns[at] != nil:
			return fmt.Errorf("column %q would be both %q and %q", header[at], d.columns[at].name, c.name)
		case at >= 0:
			d.columns[at] = newColumnReader(c)
		case !c.optional:
			missing = append(missing, c.name)
		}
	}
	if missing != nil {
		return fmt.Errorf("missing column %s; the file has %s", strings.Join(missing, ", "), strings.Join(header, ", "))
	}
	return nil
}

func (d *csvDecoder[T]) decode(record []byte, into *T) (bool, error) {
	if len(record) == 0 {
		return false, nil
	}
	if err := d.row.split(record, d.format.comma); err != nil {
		return false, err
	}
	if len(d.row.fields) != d.width {
		return false, fmt.Errorf("%d fields in the row, %d in the header", len(d.row.fields), d.width)
	}
	p := unsafe.Pointer(into)
	for i, c := range d.columns {
		if c == nil {
			continue
		}
		if err := c.set(unsafe.Add(p, c.offset), d.row.fields[i]); err != nil {
			return false, fmt.Errorf("column %s: %w", c.name, err)
		}
	}
	return true, nil
}

// csvRow is a row cut into fields. They are valid until the next split and as long as the row's bytes.
type csvRow struct {
	fields  [][]byte
	scratch []byte // holds fields that had quotes in them
}

func (r *csvRow) split(record []byte, comma byte) error {
	r.fields, r.scratch = r.fields[:0], r.scratch[:0]
	for {
		var err error
		var more bool
		if len(record) > 0 && record[0] == '"' {
			record, more, err = r.quotedField(record[1:], comma)
		} else {
			record, more, err = r.plainField(record, comma)
		}
		if err != nil || !more {
			return err
		}
	}
}

// plainField takes a field up to the next comma. It returns the rest, and whether another field follows.
func (r *csvRow) plainField(record []byte, comma byte) (rest []byte, more bool, err error) {
	for i, c := range record {
		if c == comma {
			r.fields = append(r.fields, record[:i])
			return record[i+1:], true, nil
		}
		if c == '"' {
			return nil, false, fmt.Errorf("field %d: a quote inside of a field that does not begin with one", len(r.fields)+1)
		}
	}
	r.fields = append(r.fields, record)
	return nil, false, nil
}

// quotedField takes a field up to its closing quote; the opening one is gone.
func (r *csvRow) quotedField(record []byte, comma byte) (rest []byte, more bool, err error) {
	start, whole := len(r.scratch), record
	for copied := false; ; {
		i := bytes.IndexByte(record, '"')
		if i < 0 {
			return nil, false, errOpen
		}
		after := record[i+1:]
		if len(after) > 0 && after[0] == '"' { // two quotes are one
			r.scratch = append(r.scratch, record[:i+1]...)
			record, copied = after[1:], true
			continue
		}
		field := whole[:i]
		if copied {
			r.scratch = append(r.scratch, record[:i]...)
			field = r.scratch[start:]
		}
		r.fields = append(r.fields, field)
		switch {
		case len(after) == 0:
			return nil, false, nil
		case after[0] == comma:
			return after[1:], true, nil
		}
		return nil, false, fmt.Errorf("field %d: text after the closing quote", len(r.fields))
	}
}

// columnReader sets one field of the records of one file.
type columnReader struct {
	*column
	strings  *interner
	lastText []byte // the last time read; neighbours often are the same
	lastTime time.Time
}

func newColumnReader(c *column) *columnReader {
	r := &columnReader{column: c}
	if c.kind == kindString {
		r.strings = newInterner()
	}
	if r.layout == "" {
		copied := *c
		copied.layout = time.RFC3339
		r.column = &copied
	}
	return r
}

// set stores the value of text at p, the address of the field. Every kind names the types that p may point to, so that the
// conversions are safe: the field has that kind, see parseType.
func (c *columnReader) set(p unsafe.Pointer, text []byte) error {
	if len(text) == 0 && c.optional {
		reflect.NewAt(c.typ, p).Elem().SetZero()
		return nil
	}
	s := unsafe.String(unsafe.SliceData(text), len(text)) // only for the parsers, which do not keep it
	switch c.kind {
	case kindString:
		*(*string)(p) = c.strings.get(text)
	case kindInt:
		v, err := strconv.ParseInt(s, 10, c.bits)
		putInt(p, c.bits, uint64(v))
		return plainError(err, s)
	case kindUint:
		v, err := strconv.ParseUint(s, 10, c.bits)
		putInt(p, c.bits, v)
		return plainError(err, s)
	case kindFloat:
		v, err := strconv.ParseFloat(s, c.bits)
		putFloat(p, c.bits, v)
		return plainError(err, s)
	case kindBool:
		v, err := strconv.ParseBool(s)
		*(*bool)(p) = v
		return plainError(err, s)
	case kindTime:
		return c.setTime((*time.Time)(p), text)
	case kindText:
		return reflect.NewAt(c.typ, p).Interface().(encoding.TextUnmarshaler).UnmarshalText(text)
	}
	return nil
}

func (c *columnReader) setTime(into *time.Time, text []byte) error {
	if c.lastText == nil || !bytes.Equal(text, c.lastText) {
		t, err := time.Parse(c.layout, string(text))
		if err != nil {
			return fmt.Errorf("%q is not a time of the form %s", text, c.layout)
		}
		c.lastText, c.lastTime = append(c.lastText[:0], text...), t
	}
	*into = c.lastTime
	return nil
}

// plainError says what is wrong with a value in the user's words.
func plainError(err error, text string) error {
	if err == nil {
		return nil
	}
	reason := "is not valid here"
	if errors.Is(err, strconv.ErrRange) {
		reason = "is out of range"
	} else if errors.Is(err, strconv.ErrSyntax) {
		var n *strconv.NumError
		errors.As(err, &n)
		reason = map[string]string{"ParseInt": "is not a whole number", "ParseUint": "is not a whole number that is not negative",
			"ParseFloat": "is not a number", "ParseBool": "is neither true nor false"}[n.Func]
	}
	return fmt.Errorf("%q %s", strings.Clone(text), reason)
}

func putInt(p unsafe.Pointer, bits int, v uint64) {
	switch bits {
	case 8:
		*(*uint8)(p) = uint8(v)
	case 16:
		*(*uint16)(p) = uint16(v)
	case 32:
		*(*uint32)(p) = uint32(v)
	default:
		*(*uint64)(p) = v
	}
}

func getInt(p unsafe.Pointer, bits int) int64 {
	switch bits {
	case 8:
		return int64(*(*int8)(p))
	case 16:
		return int64(*(*int16)(p))
	case 32:
		return int64(*(*int32)(p))
	}
	return *(*int64)(p)
}

func getUint(p unsafe.Pointer, bits int) uint64 {
	if bits == 64 {
		return *(*uint64)(p)
	}
	return uint64(getInt(p, bits)) & (1<<bits - 1)
}

func putFloat(p unsafe.Pointer, bits int, v float64) {
	if bits == 32 {
		*(*float32)(p) = float32(v)
		return
	}
	*(*float64)(p) = v
}

func getFloat(p unsafe.Pointer, bits int) float64 {
	if bits == 32 {
		return float64(*(*float32)(p))
	}
	return *(*float64)(p)
}

// interner makes strings of bytes, and gives the same string for the same short text if it has seen that lately. Columns tend to have
// few values, and a string that shared a larger buffer would keep all of it in memory as long as it is in somebody's state.
type interner struct {
	seed maphash.Seed
	seen [1024]string
}

func newInterner() *interner { return &interner{seed: maphash.MakeSeed()} }

func (n *interner) get(text []byte) string {
	if len(text) > 32 {
		return string(text)
	}
	slot := &n.seen[maphash.Bytes(n.seed, text)%uint64(len(n.seen))]
	if *slot != string(text) {
		*slot = string(text)
	}
	return *slot
}

// csvEncoder writes rows.
type csvEncoder[T any] struct{ format *csvFormat[T] }

func (e *csvEncoder[T]) appendHeader(b []byte) []byte {
	for i := range e.format.columns {
		b = append(e.comma(b, i), e.format.columns[i].name...)
		b = e.quote(b, len(b)-len(e.format.columns[i].name))
	}
	return append(b, '\n')
}

func (e *csvEncoder[T]) append(b []byte, r *T) ([]byte, error) {
	row := len(b)
	for i := range e.format.columns {
		c := &e.format.columns[i]
		b = e.comma(b, i)
		start := len(b)
		var err error
		if b, err = c.appendTo(b, unsafe.Add(unsafe.Pointer(r), c.offset)); err != nil {
			return b[:row], fmt.Errorf("column %s: %w", c.name, err)
		}
		if c.kind == kindString || c.kind == kindText || c.kind == kindTime {
			b = e.quote(b, start)
		}
	}
	if len(b) == row { // a reader would take it for a blank line
		b = append(b, `""`...)
	}
	return append(b, '\n'), nil
}

func (e *csvEncoder[T]) comma(b []byte, i int) []byte {
	if i == 0 {
		return b
	}
	return append(b, e.format.comma)
}

// quote puts quotes around b[start:] if it could not be read without.
func (e *csvEncoder[T]) quote(b []byte, start int) []byte {
	needed, quotes := false, 0
	for _, c := range b[start:] {
		if c == '"' {
			quotes++
		}
		needed = needed || c == '"' || c == e.format.comma || c == '\n' || c == '\r'
	}
	if !needed {
		return b
	}
	text := string(b[start:])
	b = append(b[:start], '"')
	b = append(b, strings.ReplaceAll(text, `"`, `""`)...)
	return append(b, '"')
}

// appendTo appends the text of the field at p.
func (c *column) appendTo(b []byte, p unsafe.Pointer) ([]byte, error) {
	switch c.kind {
	case kindString:
		return append(b, *(*string)(p)...), nil
	case kindInt:
		return strconv.AppendInt(b, getInt(p, c.bits), 10), nil
	case kindUint:
		return strconv.AppendUint(b, getUint(p, c.bits), 10), nil
	case kindFloat:
		v := getFloat(p, c.bits)
		return strconv.AppendFloat(b, v, floatForm(v), -1, c.bits), nil
	case kindBool:
		return strconv.AppendBool(b, *(*bool)(p)), nil
	case kindTime:
		layout := c.layout
		if layout == "" {
			layout = time.RFC3339
		}
		return (*time.Time)(p).UTC().AppendFormat(b, layout), nil
	default:
		text, err := reflect.NewAt(c.typ, p).Interface().(encoding.TextMarshaler).MarshalText()
		return append(b, text...), err
	}
}

// floatForm writes numbers of a usual size without an exponent.
func floatForm(v float64) byte {
	if a := math.Abs(v); a != 0 && (a < 1e-6 || a >= 1e21) {
		return 'g'
	}
	return 'f'
}
