package heap

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"unsafe"

	"github.com/weirstream/weir/codec"
	"github.com/weirstream/weir/internal/protocol/snapshot"
)

// OperatorLists holds the list states of one subtask of an operator on a plain stream. The lists themselves are slices in the handles; here
// they are known by name. The zero value has none. It is used by the subtask's goroutine only.
type OperatorLists struct{ lists []operatorList }

type operatorList struct {
	name, field string
	codec       *codec.Compiled
	slice       func() (first unsafe.Pointer, n int) // the elements as they are
	grow        func() unsafe.Pointer                // appends a zero element
}

// ListData is the content of one operator list in bytes. Each element can be taken out alone.
type ListData struct {
	Name   string
	Mode   snapshot.Mode
	Schema []byte // canonical form of the elements' schema
	// Offsets has one entry for each element: where it begins in Bytes. The last one ends with Bytes.
	Offsets []int64
	Bytes   []byte
}

// Bind takes up each exported field of *processor that is a list, as [Layout.Bind] does for keyed state. Other kinds of state are errors.
func (o *OperatorLists) Bind(processor any) error {
	v := reflect.ValueOf(processor)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		return fmt.Errorf("processor %T: want a pointer", processor)
	}
	if v.Elem().Kind() != reflect.Struct {
		return nil
	}
	return errors.Join(declare(v.Elem(), func(d *Declaration) { d.lists = o })...)
}

// DeclareOperatorList declares a list that belongs to a subtask and lies in *elements.
func DeclareOperatorList[T any](d *Declaration, elements *[]T) {
	name := d.stateName()
	c := d.codecOf(name, reflect.TypeFor[T]())
	for _, l := range d.lists.lists {
		if l.name == name {
			d.fail("the name %q is taken by field %s", name, l.field)
		}
	}
	if len(d.errs) > 0 {
		return
	}
	d.lists.lists = append(d.lists.lists, operatorList{
		name: name, field: d.field, codec: c,
		slice: func() (unsafe.Pointer, int) { return unsafe.Pointer(unsafe.SliceData(*elements)), len(*elements) },
		grow: func() unsafe.Pointer {
			*elements = append(*elements, *new(T))
			return unsafe.Pointer(&(*elements)[len(*elements)-1])
		},
	})
}

// Capture returns all lists that have elements, encoded. It takes time in proportion to their size.
func (o *OperatorLists) Capture() []ListData {
	var all []ListData
	for i := range o.lists {
		l := &o.lists[i]
		first, n := l.slice()
		if n == 0 {
			continue
		}
		d := ListData{Name: l.name, Mode: snapshot.Split, Schema: l.codec.Schema().AppendTo(nil)}
		for k := range n {
			d.Offsets = append(d.Offsets, int64(len(d.Bytes)))
			d.Bytes = l.codec.Append(d.Bytes, unsafe.Add(first, uintptr(k)*l.codec.Type().Size()))
		}
		all = append(all, d)
	}
	return all
}

// Restore appends elements to the lists they belong to. The error joins everything that does not fit.
func (o *OperatorLists) Restore(all []ListData) error {
	var errs []error
	for i := range all {
		if err := o.restore(&all[i]); err != nil {
			errs = append(errs, fmt.Errorf("list state %q: %w", all[i].Name, err))
		}
	}
	if len(errs) > 0 {
		return refusal{errors.Join(errs...)}
	}
	return nil
}

func (o *OperatorLists) restore(d *ListData) error {
	l := o.find(d.Name)
	if l == nil {
		return fmt.Errorf("it is in the snapshot but not in the program, which has %s", o.names())
	}
	old, err := codec.ParseSchema(d.Schema)
	if err != nil {
		return err
	}
	if err := codec.Compare(old, l.codec.Schema()); err != nil {
		return fmt.Errorf("the type of its elements has changed: %w", err)
	}
	for i, from := range d.Offsets {
		to := int64(len(d.Bytes))
		if i+1 < len(d.Offsets) {
			to = d.Offsets[i+1]
		}
		if from < 0 || to < from || to > int64(len(d.Bytes)) {
			return fmt.Errorf("%w: element %d lies at %d to %d of %d bytes", codec.ErrCorrupt, i, from, to, len(d.Bytes))
		}
		if err := l.add(d.Bytes[from:to]); err != nil {
			return fmt.Errorf("element %d: %w", i, err)
		}
	}
	return nil
}

func (l *operatorList) add(src []byte) error {
	rest, err := l.codec.Decode(src, l.grow())
	if err == nil && len(rest) > 0 {
		err = fmt.Errorf("%w: %d bytes follow its end", codec.ErrCorrupt, len(rest))
	}
	return err
}

func (o *OperatorLists) find(name string) *operatorList {
	for i := range o.lists {
		if o.lists[i].name == name {
			return &o.lists[i]
		}
	}
	return nil
}

func (o *OperatorLists) names() string {
	if len(o.lists) == 0 {
		return "none"
	}
	var names []string
	for _, l := range o.lists {
		names = append(names, l.name)
	}
	return strings.Join(names, ", ")
}
