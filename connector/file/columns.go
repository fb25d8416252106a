package file

import (
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"
	"unicode"
)

// kind is how a column's text becomes a value.
type kind uint8

const (
	kindString kind = iota
	kindInt
	kindUint
	kindFloat
	kindBool
	kindTime
	kindText // MarshalText and UnmarshalText
)

// column is one field of a record type.
type column struct {
	name     string // in the header
	kind     kind
	bits     int     // of a number
	offset   uintptr // in the struct, also of fields of embedded structs
	layout   string  // of a time; "" is RFC 3339
	optional bool
	typ      reflect.Type
}

// columnsOf returns the columns of a struct type in the order of its fields. Its errors name each field that cannot be one.
func columnsOf(t reflect.Type, renames map[string]string) ([]column, error) {
	if t.Kind() != reflect.Struct {
		return nil, fmt.Errorf("CSV of %v: the record type is a struct whose fields are the columns", t)
	}
	var l columnList
	l.addFields(t, 0)
	l.rename(renames)
	if len(l.columns) == 0 && len(l.errs) == 0 {
		l.errs = append(l.errs, fmt.Errorf("CSV of %v: it has no exported field", t))
	}
	return l.columns, errors.Join(l.errs...)
}

type columnList struct {
	columns []column
	errs    []error
}

func (l *columnList) addFields(t reflect.Type, base uintptr) {
	for i := range t.NumField() {
		f := t.Field(i)
		tag, tagged := f.Tag.Lookup("csv")
		switch {
		case tag == "-", !f.IsExported() && !tagged && !f.Anonymous:
		case f.Anonymous && !tagged && f.Type.Kind() == reflect.Struct && !isScalar(f.Type):
			l.addFields(f.Type, base+f.Offset)
		case !f.IsExported():
			l.errs = append(l.errs, fmt.Errorf("CSV of %v: field %s has a tag but is not exported", t, f.Name))
		default:
			l.add(t, f, tag, base+f.Offset)
		}
	}
}

func (l *columnList) add(t reflect.Type, f reflect.StructField, tag string, offset uintptr) {
	c := column{name: snakeCase(f.Name), offset: offset, typ: f.Type}
	if err := c.parseTag(tag); err != nil {
		l.errs = append(l.errs, fmt.Errorf("CSV of %v: field %s: %w", t, f.Name, err))
		return
	}
	if err := c.parseType(); err != nil {
		l.errs = append(l.errs, fmt.Errorf("CSV of %v: field %s: %w", t, f.Name, err))
		return
	}
	for _, other := range l.columns {
		if other.name == c.name {
			l.errs = append(l.errs, fmt.Errorf("CSV of %v: field %s: there is another column %q", t, f.Name, c.name))
		}
	}
	l.columns = append(l.columns, c)
}

// parseTag reads name[,optional][,layout=...]. A layout may contain commas, so it comes last.
func (c *column) parseTag(tag string) error {
	name, rest, _ := strings.Cut(tag, ",")
	if name != "" {
		c.name = name
	}
	for rest != "" {
		if layout, ok := strings.CutPrefix(rest, "layout="); ok {
			c.layout = layout
			return nil
		}
		var word string
		if word, rest, _ = strings.Cut(rest, ","); word != "optional" {
			return fmt.Errorf("tag %q: %q is neither optional nor layout=", tag, word)
		}
		c.optional = true
	}
	return nil
}

var (
	timeType        = reflect.TypeFor[time.Time]()
	durationType    = reflect.TypeFor[time.Duration]()
	marshalerType   = reflect.TypeFor[encoding.TextMarshaler]()
	unmarshalerType = reflect.TypeFor[encoding.TextUnmarshaler]()
)

func isScalar(t reflect.Type) bool { return t == timeType || isText(t) }

func isText(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	return p.Implements(marshalerType) && p.Implements(unmarshalerType)
}

func (c *column) parseType() error {
	switch k := c.typ.Kind(); {
	case c.typ == timeType:
		c.kind = kindTime
	case c.typ == durationType:
		return errors.New("a time.Duration has no one form in CSV: use a number with its unit in the name")
	case isText(c.typ):
		c.kind = kindText
	case k == reflect.String:
		c.kind = kindString
	case k == reflect.Bool:
		c.kind = kindBool
	case k >= reflect.Int && k <= reflect.Int64:
		c.kind, c.bits = kindInt, c.typ.Bits()
	case k >= reflect.Uint && k <= reflect.Uint64:
		c.kind, c.bits = kindUint, c.typ.Bits()
	case k == reflect.Float32 || k == reflect.Float64:
		c.kind, c.bits = kindFloat, c.typ.Bits()
	default:
		return fmt.Errorf("type %v cannot be a column: give it MarshalText and UnmarshalText, or leave the field out with the tag `csv:\"-\"`", c.typ)
	}
	if c.layout != "" && c.kind != kindTime {
		return fmt.Errorf("a layout is for time.Time, not for %v", c.typ)
	}
	return nil
}

// rename gives columns their names in the files.
func (l *columnList) rename(renames map[string]string) {
	known := map[string]bool{}
	for i := range l.columns {
		c := &l.columns[i]
		known[c.name] = true
		if to, ok := renames[c.name]; ok {
			c.name = to
		}
	}
	for field, column := range renames {
		if !known[field] {
			l.errs = append(l.errs, fmt.Errorf("option Rename(%q, %q): the record type has no column %q", column, field, field))
		}
	}
}

// find returns the index of the column in a header, or -1 if it is not there.
func (c *column) find(header []string) (int, error) {
	found := -1
	for i, name := range header {
		if name == c.name {
			return i, nil
		}
		if plain(name) == plain(c.name) {
			if found >= 0 {
				return -1, fmt.Errorf("columns %q and %q could both be %q", header[found], name, c.name)
			}
			found = i
		}
	}
	return found, nil
}

// plain is a column's name without what people write differently.
func plain(name string) string {
	return strings.Map(func(r rune) rune {
		if r == '_' || r == ' ' || r == '-' {
			return -1
		}
		return unicode.ToLower(r)
	}, name)
}

// snakeCase turns WindowStart into window_start and UserID into user_id.
func snakeCase(name string) string {
	var b strings.Builder
	rs := []rune(name)
	for i, r := range rs {
		if i > 0 && unicode.IsUpper(r) && (unicode.IsLower(rs[i-1]) || i+1 < len(rs) && unicode.IsLower(rs[i+1])) {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}
