package codec

import (
	"fmt"
	"reflect"
	"sync"
	"unsafe"
)

// Form is a binary form that values of T have by a library, such as protobuf or Avro. Registered, it takes the place of the codec that
// this package would make for T. The packages below this one have forms of some libraries.
//
// Its functions may be called by several goroutines at once.
type Form[T any] struct {
	// Name and Version identify the form, as [Binary] has it. The version changes when Decode stops understanding what Append used to write.
	Name    string
	Version int
	// Description is the form's own account of what the values look like, which is kept with them. Nil: there is none to be had.
	Description []byte
	// Append appends the form of *v to dst. It must be possible for the zero value, too.
	Append func(dst []byte, v *T) ([]byte, error)
	// Decode reads all of src into *v, whatever that held, and keeps nothing of src.
	Decode func(src []byte, v *T) error
	// Accept says how values are read that were written under another version or description: what changes, in words, and what decodes
	// them. The error says why that cannot be. Nil: none can.
	Accept func(version int, description []byte) (decode func(src []byte, v *T) error, changes []string, err error)
}

// libraryForm is a Form without its type.
type libraryForm struct {
	name        string
	version     int
	description []byte
	append      func(dst []byte, v unsafe.Pointer) ([]byte, error)
	decode      func(src []byte, v unsafe.Pointer) error
	accept      func(version int, description []byte) (decode func(src []byte, v unsafe.Pointer) error, changes []string, err error)
}

var (
	forms sync.Map // reflect.Type -> *libraryForm
	met   sync.Map // reflect.Type -> true: those that are part of a schema already
)

// Register gives the values of T a form of their own, in this process. It is called before the job is built, best from a main or init
// function, and panics if T has a form or a codec already, or if the form is not complete.
//
// Pointers to T, and slices, maps and structs with a T in them, are encoded as ever, with the values of T in their form.
func Register[T any](f Form[T]) {
	t := reflect.TypeFor[T]()
	switch {
	case !validName(f.Name) || f.Version < 0:
		panic(fmt.Sprintf("codec: register %v: %q version %d names no form", t, f.Name, f.Version))
	case f.Append == nil || f.Decode == nil:
		panic(fmt.Sprintf("codec: register %v: a form needs Append and Decode", t))
	}
	if _, used := met.Load(t); used {
		panic(fmt.Sprintf("codec: register %v: it has been encoded without its form already; register it first", t))
	}
	if _, twice := forms.LoadOrStore(t, erase(f)); twice {
		panic(fmt.Sprintf("codec: register %v: it has a form already", t))
	}
}

func erase[T any](f Form[T]) *libraryForm {
	erased := &libraryForm{
		name: f.Name, version: f.Version, description: f.Description,
		append: func(dst []byte, v unsafe.Pointer) ([]byte, error) { return f.Append(dst, (*T)(v)) },
		decode: func(src []byte, v unsafe.Pointer) error { return f.Decode(src, (*T)(v)) },
	}
	if f.Accept != nil {
		erased.accept = func(version int, description []byte) (func([]byte, unsafe.Pointer) error, []string, error) {
			decode, changes, err := f.Accept(version, description)
			return func(src []byte, v unsafe.Pointer) error { return decode(src, (*T)(v)) }, changes, err
		}
	}
	return erased
}

// formOf returns the registered form of a type, or nil.
func formOf(t reflect.Type) *libraryForm {
	if f, ok := forms.Load(t); ok {
		return f.(*libraryForm)
	}
	return nil
}

// schema returns that of values in the form.
func (f *libraryForm) schema() *Schema {
	s := &Schema{Kind: Foreign, Codec: f.name, Version: f.version, Description: f.description}
	if f.accept != nil {
		s.accepts = func(old *Schema) ([]string, error) {
			_, changes, err := f.accept(old.Version, old.Description)
			return changes, err
		}
	}
	return s
}

// reader returns what reads values of an old schema, nil if decode does.
func (f *libraryForm) reader(old *Schema) (func(src []byte, v unsafe.Pointer) error, error) {
	switch {
	case f.schema().Equal(old):
		return nil, nil
	case f.accept == nil || f.name != old.Codec:
		return nil, errNotCompared
	}
	read, _, err := f.accept(old.Version, old.Description)
	return read, err
}
