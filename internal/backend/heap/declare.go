package heap

import (
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/weirstream/weir/codec"
)

// Handle is implemented by pointers to the state fields of a processor.
type Handle interface {
	// DeclareState adds the handle's column through one of the functions of Declaration.
	DeclareState(d *Declaration)
}

// Bind adds a column for each exported field of *processor that is a state handle, those of embedded structs included. A column is named
// by the first part of the field's tag (`state:"clicks"`, `timer:"idle,event"`), or by the lower-cased name of the field. The handles
// work once a store was made of the layout. The error joins everything that is wrong.
func (l *Layout) Bind(processor any) error {
	return l.BindWith(nil, processor)
}

// BindWith is Bind for a processor that may also have state of its subtask, which goes to lists.
func (l *Layout) BindWith(lists *OperatorLists, processor any) error {
	v := reflect.ValueOf(processor)
	if v.Kind() != reflect.Pointer || v.IsNil() || v.Elem().Kind() != reflect.Struct {
		return fmt.Errorf("processor %T: want a pointer to a struct", processor)
	}
	errs := declare(v.Elem(), func(d *Declaration) { d.layout, d.lists = l, lists })
	return errors.Join(append(errs, migrations(processor, l, lists))...)
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
	layout *Layout        // nil on a plain stream
	lists  *OperatorLists // nil where there is no state of subtasks
	field  string
	tag    reflect.StructTag
	former []string // names that the state had
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
		options = d.takeFormer(strings.Split(rest, ","))
	}
	if name == "" {
		name = strings.ToLower(d.field)
	}
	return name, options
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
	c.field, c.former, c.handle = d.field, d.former, d.handle
	if field, taken := d.fieldOf(c.name); taken {
		d.fail("the name %q is taken by field %s", c.name, field)
	}
	if len(d.errs) > 0 {
		return false
	}
	d.layout.columns = append(d.layout.columns, c)
	return true
}

// fieldOf returns the field that has taken a name.
func (d *Declaration) fieldOf(name string) (field string, taken bool) {
	if d.layout != nil {
		for _, c := range d.layout.columns {
			if c.name == name {
				return c.field, true
			}
		}
	}
	if d.lists != nil {
		if l := d.lists.find(name); l != nil {
			return l.field, true
		}
	}
	return "", false
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
