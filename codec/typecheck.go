package codec

import (
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"
	"unicode"
)

var (
	timeType     = reflect.TypeFor[time.Time]()
	durationType = reflect.TypeFor[time.Duration]()
)

// TypeError says why a Go type has no codec.
type TypeError struct {
	Type     reflect.Type
	Problems []Problem // at least one, in the order of the type
}

// Problem is one part of a type that cannot be encoded.
type Problem struct {
	Path string       // where in the type, as in Items[].Price; empty for the type itself
	Type reflect.Type // the type found there
	Why  string       // the reason and the remedy
}

// Error lists all problems, one per line if there are several.
func (e *TypeError) Error() string {
	if len(e.Problems) == 1 {
		return fmt.Sprintf("codec: type %v cannot be encoded: %v", e.Type, e.Problems[0])
	}
	var b strings.Builder
	fmt.Fprintf(&b, "codec: type %v cannot be encoded:", e.Type)
	for _, p := range e.Problems {
		fmt.Fprintf(&b, "\n  %v", p)
	}
	return b.String()
}

// String returns the problem as one line.
func (p Problem) String() string {
	if p.Path == "" {
		return p.Why
	}
	return fmt.Sprintf("%s (%v): %s", place(p.Path), p.Type, p.Why)
}

// place words a path for a message.
func place(path string) string {
	switch {
	case path == "":
		return "value"
	case path[0] == '[':
		return "value" + path
	}
	return "field " + path
}

// checker builds the schema of a type and collects what stands in the way.
type checker struct {
	problems []Problem
	within   []reflect.Type // the type of each schema node around the present one, outermost first
	nodes    int
	full     bool // the type is too large; said once
}

func schemaOf(t reflect.Type) (*Schema, error) {
	if t == nil {
		return nil, &TypeError{Problems: []Problem{{Why: "there is no type; a nil interface has none"}}}
	}
	var c checker
	s := c.schema(t, "")
	if len(c.problems) > 0 {
		return nil, &TypeError{t, c.problems}
	}
	return s, nil
}

func (c *checker) refuse(t reflect.Type, path, why string) {
	c.problems = append(c.problems, Problem{path, t, why})
}

// schema returns the schema of t, which is found at path. It is of no use once a problem was added.
func (c *checker) schema(t reflect.Type, path string) *Schema {
	if c.full {
		return &Schema{}
	}
	if c.nodes++; c.nodes > maxSchemaNodes || len(c.within) == maxSchemaDepth {
		c.full = true
		c.refuse(t, path, fmt.Sprintf("the whole type has more than %d parts or %d levels; split it, or give a part of it a binary form of its own (codec.Binary)",
			maxSchemaNodes, maxSchemaDepth))
		return &Schema{}
	}
	if up := c.levelsUp(t); up > 0 {
		return &Schema{Kind: Ref, Up: up}
	}
	met.Store(t, true)
	c.within = append(c.within, t)
	defer func() { c.within = c.within[:len(c.within)-1] }()

	switch {
	case t == timeType:
		return &Schema{Kind: Time}
	case t == durationType:
		return &Schema{Kind: Duration}
	case formOf(t) != nil:
		return formOf(t).schema()
	case marshalsItself(t):
		return c.binary(t, path)
	}
	return c.byKind(t, path)
}

// levelsUp returns how many levels further out the type t encloses the present place, or 0 if it does not.
func (c *checker) levelsUp(t reflect.Type) int {
	for i, outer := range c.within {
		if outer == t {
			return len(c.within) - i
		}
	}
	return 0
}

func (c *checker) byKind(t reflect.Type, path string) *Schema {
	if k, ok := scalarKinds[t.Kind()]; ok {
		return &Schema{Kind: k}
	}
	switch t.Kind() {
	case reflect.Array:
		return &Schema{Kind: Array, Len: t.Len(), Elem: c.schema(t.Elem(), path+"[]")}
	case reflect.Slice:
		return &Schema{Kind: Slice, Elem: c.schema(t.Elem(), path+"[]")}
	case reflect.Pointer:
		return &Schema{Kind: Pointer, Elem: c.schema(t.Elem(), path)}
	case reflect.Map:
		return c.mapSchema(t, path)
	case reflect.Struct:
		return c.structSchema(t, path)
	}
	c.refuse(t, path, refusal(t.Kind(), path))
	return &Schema{}
}

var scalarKinds = map[reflect.Kind]Kind{
	reflect.Bool: Bool,
	reflect.Int:  Int64, reflect.Int8: Int8, reflect.Int16: Int16, reflect.Int32: Int32, reflect.Int64: Int64,
	reflect.Uint: Uint64, reflect.Uint8: Uint8, reflect.Uint16: Uint16, reflect.Uint32: Uint32, reflect.Uint64: Uint64,
	reflect.Float32: Float32, reflect.Float64: Float64,
	reflect.Complex64: Complex64, reflect.Complex128: Complex128,
	reflect.String: String,
}

const leaveOut = "leave it out with `codec:\"-\"`"

// refusal says why no kind of encoding is there for a Go kind, and what to do where it was found.
func refusal(k reflect.Kind, path string) string {
	why := "an address means nothing after a restore; store what it leads to"
	switch k {
	case reflect.Chan:
		why = "a channel means nothing outside its process; store what it carries"
	case reflect.Func:
		why = "a function cannot be stored; store what tells which one to call"
	case reflect.Interface:
		why = "an interface does not tell which type to decode into; use a concrete type"
	}
	if path == "" {
		return why // there is nothing to leave it out of
	}
	return why + ", or " + leaveOut
}

func (c *checker) mapSchema(t reflect.Type, path string) *Schema {
	before := len(c.problems)
	key := c.schema(t.Key(), path+"[key]")
	switch {
	case len(c.problems) > before:
	case !key.canBeKey():
		c.refuse(t.Key(), path+"[key]", "a map key must be made of bools, integers, durations and strings, so that equal keys have equal bytes; "+
			"use such a type (for a time, its UnixNano)")
	case leavesOut(t.Key()):
		c.refuse(t.Key(), path+"[key]", "a map key must not have fields left out, because keys that differ only there would become one; encode them, or use another key")
	}
	return &Schema{Kind: Map, Key: key, Elem: c.schema(t.Elem(), path+"[]")}
}

func (c *checker) structSchema(t reflect.Type, path string) *Schema {
	s := &Schema{Kind: Struct}
	goPaths := map[string]string{}
	for _, f := range fieldsOf(t) {
		fieldPath := join(path, f.goPath)
		if f.refusal != "" {
			c.refuse(f.typ, fieldPath, f.refusal)
			continue
		}
		if other, ok := goPaths[f.name]; ok {
			c.refuse(f.typ, fieldPath, fmt.Sprintf("it is encoded as %s, and so is field %s; give one of them another name with `codec:\"name\"`", f.name, other))
		}
		goPaths[f.name] = f.goPath
		s.Fields = append(s.Fields, Field{Name: f.name, Schema: c.schema(f.typ, fieldPath), Former: f.former, Default: f.text})
	}
	return s
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// field is a field that is encoded, or would be but for a refusal. One of an embedded struct has the offset in, and the path from, the
// outermost struct.
type field struct {
	name    string
	goPath  string
	offset  uintptr
	typ     reflect.Type
	former  []string      // names it had
	value   reflect.Value // what it is where nothing was stored of it; none: zero
	text    string        // of value, as in the tag
	refusal string
}

// fieldsOf returns the fields of the struct t that are not left out, in order.
func fieldsOf(t reflect.Type) []field {
	var out []field
	for i := range t.NumField() {
		sf := t.Field(i)
		tag, tagged := sf.Tag.Lookup("codec")
		f := field{name: sf.Name, goPath: sf.Name, offset: sf.Offset, typ: sf.Type}
		switch {
		case tag == "-" || sf.Name == "_":
			continue
		case sf.Anonymous && !tagged && isPlainStruct(sf.Type):
			out = append(out, promoted(f)...)
			continue
		case !sf.IsExported():
			f.refusal = "the field is unexported; export it, or " + leaveOut
		case tagged:
			f.readTag(tag)
		case !validName(sf.Name):
			f.refusal = fmt.Sprintf("the name is longer than %d bytes; give it another with `codec:\"name\"`", maxNameBytes)
		}
		out = append(out, f)
	}
	return out
}

// readTag reads a tag: a name, which may be left away before options, and options. A default is the last of them and may hold commas.
func (f *field) readTag(tag string) {
	name, rest, more := strings.Cut(tag, ",")
	switch {
	case !validName(name) && (name != "" || !more):
		f.refusal = fmt.Sprintf("the tag `codec:%q` is no name; use up to %d bytes of letters, digits and any of _ - . /, or \"-\" to leave the field out", tag, maxNameBytes)
		return
	case name != "":
		f.name = name
	}
	for more && f.refusal == "" {
		if text, ok := strings.CutPrefix(rest, "default="); ok {
			f.setDefault(text)
			return
		}
		var option string
		option, rest, more = strings.Cut(rest, ",")
		former, ok := strings.CutPrefix(option, "formerly=")
		switch {
		case !ok:
			f.refusal = fmt.Sprintf("the tag has the unknown option %q; there are formerly=name, as often as there were names, and at the end default=value", option)
		case !validName(former):
			f.refusal = fmt.Sprintf("the tag says that it was named %q, which is no name", former)
		default:
			f.former = append(f.former, former)
		}
	}
}

func (f *field) setDefault(text string) {
	var err error
	if f.value, err = parseDefault(f.typ, text); err != nil {
		f.refusal = fmt.Sprintf("the default %q: %v", text, err)
	}
	f.text = text
}

// parseDefault reads a value of type t.
func parseDefault(t reflect.Type, text string) (reflect.Value, error) {
	v := reflect.New(t).Elem()
	var err error
	switch k := kindOf(t); {
	case k == Time:
		var at time.Time
		at, err = time.Parse(time.RFC3339Nano, text)
		v.Set(reflect.ValueOf(at.UTC()))
	case k == Duration:
		var d time.Duration
		d, err = time.ParseDuration(text)
		v.SetInt(int64(d))
	case k == Bool:
		var b bool
		b, err = strconv.ParseBool(text)
		v.SetBool(b)
	case k == String:
		v.SetString(text)
	case k >= Int8 && k <= Int64:
		var n int64
		n, err = strconv.ParseInt(text, 0, t.Bits())
		v.SetInt(n)
	case k >= Uint8 && k <= Uint64:
		var n uint64
		n, err = strconv.ParseUint(text, 0, t.Bits())
		v.SetUint(n)
	case k == Float32 || k == Float64:
		var x float64
		x, err = strconv.ParseFloat(text, t.Bits())
		v.SetFloat(x)
	default:
		return reflect.Value{}, errors.New("only numbers, bools, strings, times and durations have defaults; use a migration")
	}
	if err != nil {
		return reflect.Value{}, fmt.Errorf("it is no %v", t)
	}
	return v, nil
}

// leavesOut reports whether values of t, which are made of arrays, structs and scalars, can differ without their encodings doing so.
func leavesOut(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Array:
		return leavesOut(t.Elem())
	case reflect.Struct:
		for i := range t.NumField() {
			if f := t.Field(i); f.Tag.Get("codec") == "-" || f.Name != "_" && leavesOut(f.Type) {
				return true
			}
		}
	}
	return false
}

// promoted returns the fields of an embedded struct as fields of the struct around it.
func promoted(embedded field) []field {
	fields := fieldsOf(embedded.typ)
	for i := range fields {
		fields[i].goPath = join(embedded.goPath, fields[i].goPath)
		fields[i].offset += embedded.offset
	}
	return fields
}

// isPlainStruct reports whether t is encoded field by field.
func isPlainStruct(t reflect.Type) bool {
	return t.Kind() == reflect.Struct && kindOf(t) == Struct
}

// validName reports whether a field or codec may have this name. The letters are restricted so that the text of a schema is unambiguous.
func validName(name string) bool {
	for _, r := range name {
		if r == unicode.ReplacementChar || !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("_-./", r) {
			return false
		}
	}
	return name != "" && len(name) <= maxNameBytes
}
