package heap

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"unsafe"

	"github.com/weirstream/weir/codec"
	"github.com/weirstream/weir/internal/protocol/snapshot"
	"github.com/weirstream/weir/internal/stateform"
)

// OperatorLists holds the states of one operator that belong to a subtask and not to keys. The elements themselves are in the handles; here
// they are known by name. The zero value has none. It is used by the subtask's goroutine only.
type OperatorLists struct{ lists []operatorList }

type operatorList struct {
	name, field string
	mode        snapshot.Mode
	former      []string // names it had
	migrations  []Migration
	codec       *codec.Compiled
	values      *codec.Compiled                      // of a map that is kept as a list, nil for others
	slice       func() (first unsafe.Pointer, n int) // the elements as they are
	decode      func(src []byte, from *reading) (rest []byte, err error)
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
	errs := declare(v.Elem(), func(d *Declaration) { d.lists = o })
	return errors.Join(append(errs, migrations(processor, nil, o))...)
}

// DeclareOperatorList declares a list of a subtask, whose elements are dealt out one by one on restore. all returns them, to be encoded at
// once; put takes what is restored, in order, before the processor's first method is called.
func DeclareOperatorList[T any](d *Declaration, all func() []T, put func(restored ...T)) {
	declareElements(d, snapshot.Split, all, put)
}

// DeclareUnionList declares a list of a subtask of which all get all elements on restore.
func DeclareUnionList[T any](d *Declaration, all func() []T, put func(restored ...T)) {
	declareElements(d, snapshot.Union, all, put)
}

func declareElements[T any](d *Declaration, mode snapshot.Mode, all func() []T, put func(restored ...T)) {
	name := d.subtaskState()
	c := d.codecOf(name, reflect.TypeFor[T]())
	if field, taken := d.fieldOf(name); taken {
		d.fail("the name %q is taken by field %s", name, field)
	}
	if d.lists == nil {
		d.fail("state %q: the state of a subtask has no place here", name)
	}
	if len(d.errs) > 0 {
		return
	}
	d.lists.lists = append(d.lists.lists, operatorList{
		name: name, field: d.field, former: d.former, mode: mode, codec: c,
		slice: func() (unsafe.Pointer, int) {
			elements := all()
			return unsafe.Pointer(unsafe.SliceData(elements)), len(elements)
		},
		decode: func(src []byte, from *reading) ([]byte, error) {
			var x T
			rest, err := from.decode(src, unsafe.Pointer(&x))
			if err == nil {
				put(x)
			}
			return rest, err
		},
	})
}

// DeclareBroadcast declares a map of which every subtask has a copy, as a list of its entries.
func DeclareBroadcast[K comparable, V any](d *Declaration, all func() []Entry[K, V], put func(restored ...Entry[K, V])) {
	if why := notAKey(reflect.TypeFor[K]()); why != "" {
		d.fail("key type %v: %s", reflect.TypeFor[K](), why)
		return
	}
	declareElements(d, snapshot.Broadcast, all, put)
	if len(d.errs) == 0 {
		d.lists.lists[len(d.lists.lists)-1].values = d.codecOf(d.field, reflect.TypeFor[V]())
	}
}

// Entry is an entry of a map that is kept as a list.
type Entry[K comparable, V any] struct {
	Key   K
	Value V
	Gone  bool `codec:"-"` // it was deleted, and waits to be dropped
}

// Names returns the names of the states of a mode, in the order of fields.
func (o *OperatorLists) Names(mode snapshot.Mode) (names []string) {
	for _, l := range o.lists {
		if l.mode == mode {
			names = append(names, l.name)
		}
	}
	return names
}

// Has reports whether there is a state that has the name, or had it.
func (o *OperatorLists) Has(name string) bool {
	return slices.ContainsFunc(o.lists, func(l operatorList) bool { return l.name == name || slices.Contains(l.former, name) })
}

// Reserve refuses a name that is the runtime's own.
func (o *OperatorLists) Reserve(name string) error {
	if l := o.find(name); l != nil {
		return fmt.Errorf("field %s: the name %q is that of a state of the runtime: choose another", l.field, name)
	}
	return nil
}

// Capture returns all states, encoded, but lists that are dealt out only if they have elements. It takes time in proportion to their size.
func (o *OperatorLists) Capture() []ListData {
	var all []ListData
	for i := range o.lists {
		l := &o.lists[i]
		first, n := l.slice()
		if n == 0 && l.mode == snapshot.Split {
			continue
		}
		d := ListData{Name: l.name, Mode: l.mode, Schema: l.codec.Schema().AppendTo(nil)}
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
	stored := make([]stateform.State, len(all))
	for i := range all {
		stored[i].Name = all[i].Name
	}
	takers := stateform.Source(stored, o.Form().Lists)
	for i := range all {
		if err := o.restore(&all[i], o.find(takers[all[i].Name])); err != nil {
			errs = append(errs, fmt.Errorf("list state %q: %w", all[i].Name, err))
		}
	}
	if len(errs) > 0 {
		return refusal{errors.Join(errs...)}
	}
	return nil
}

// restore appends elements to the list that takes them, if any.
func (o *OperatorLists) restore(d *ListData, l *operatorList) error {
	switch {
	case l == nil && len(d.Offsets) == 0: // nothing is lost
		return nil
	case l == nil:
		return fmt.Errorf("it is in the snapshot but not in the program, which has %s", o.names())
	case l.mode != d.Mode:
		return fmt.Errorf("it was a %s in the snapshot and is a %s now, which would be dealt out differently: give the new one another name", handleOf(d.Mode), handleOf(l.mode))
	}
	old, err := codec.ParseSchema(d.Schema)
	if err != nil {
		return err
	}
	now := l.state()
	from, err := newReading(&now, old, l.codec, l.chain())
	if err != nil {
		return fmt.Errorf("the type of its elements has changed: %w", err)
	}
	return l.addAll(d, from)
}

// addAll decodes the elements one by one.
func (l *operatorList) addAll(d *ListData, read *reading) error {
	for i, from := range d.Offsets {
		to := int64(len(d.Bytes))
		if i+1 < len(d.Offsets) {
			to = d.Offsets[i+1]
		}
		if from < 0 || to < from || to > int64(len(d.Bytes)) {
			return fmt.Errorf("%w: element %d lies at %d to %d of %d bytes", codec.ErrCorrupt, i, from, to, len(d.Bytes))
		}
		if err := l.add(d.Bytes[from:to], read); err != nil {
			return fmt.Errorf("element %d: %w", i, err)
		}
	}
	return nil
}

func (l *operatorList) add(src []byte, from *reading) error {
	rest, err := l.decode(src, from)
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

// handleOf returns what a user writes for a state of a mode.
func handleOf(m snapshot.Mode) string {
	switch m {
	case snapshot.Union:
		return "state.UnionList"
	case snapshot.Broadcast:
		return "state.Broadcast"
	}
	return "state.List"
}
