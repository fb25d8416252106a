package codec

import (
	"encoding"
	"fmt"
	"reflect"
	"unsafe"
)

// Binary is implemented by types (with the pointer as receiver where that is needed) that bring a binary form of their own. They are
// encoded with MarshalBinary, and their schema names the form by CodecID instead of describing it.
//
// CodecID is called on a zero value and must return constants: a name that identifies the form for as long as snapshots of it exist,
// and a version from 0 up that changes whenever UnmarshalBinary stops understanding what MarshalBinary used to write. Equal values
// should marshal to equal bytes.
//
// A type that marshals itself but has no CodecID is refused, because only its Go name would tell what the bytes mean. Where the
// type is foreign, embed it, alone, in one of your own and add the method: what MarshalBinary does not write is lost, and one that comes
// from an embedded field knows of no other field.
type Binary interface {
	encoding.BinaryMarshaler
	encoding.BinaryUnmarshaler
	CodecID() (name string, version int)
}

// Versioned is implemented by a [Binary] type that also reads what earlier versions of its form have written.
type Versioned interface {
	Binary
	// OldestVersion is called on a zero value and returns the first version that UnmarshalVersion understands; it understands all from there
	// to the one before the present.
	OldestVersion() int
	// UnmarshalVersion is UnmarshalBinary for bytes of an earlier version.
	UnmarshalVersion(version int, data []byte) error
}

var (
	binaryType      = reflect.TypeFor[Binary]()
	versionedType   = reflect.TypeFor[Versioned]()
	marshalerType   = reflect.TypeFor[encoding.BinaryMarshaler]()
	unmarshalerType = reflect.TypeFor[encoding.BinaryUnmarshaler]()
)

// marshalsItself reports whether the methods of t turn it into bytes and back, with an id or without.
func marshalsItself(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	return t.Kind() != reflect.Interface && p.Implements(marshalerType) && p.Implements(unmarshalerType)
}

func (c *checker) binary(t reflect.Type, path string) *Schema {
	from := embeddedMarshaler(t)
	if !reflect.PointerTo(t).Implements(binaryType) {
		why := "it marshals itself, but only its Go name tells what the bytes mean; add a method CodecID() (name string, version int), or embed it in a type of your own that has one"
		if from != nil {
			why = fmt.Sprintf("the embedded field %s lends it a MarshalBinary; give that field a name, or add a method CodecID() (name string, version int) if this is its whole binary form", from.Name)
		}
		c.refuse(t, path, why)
		return &Schema{}
	}
	id, err := codecID(t)
	if err == nil && from != nil {
		err = notLent(id, from)
	}
	if err != nil {
		c.refuse(t, path, err.Error())
	}
	return id
}

// codecID returns the schema of a type that implements Binary.
func codecID(t reflect.Type) (s *Schema, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("CodecID panics on a zero value (%v); it must return constants", r)
		}
	}()
	name, version := reflect.New(t).Interface().(Binary).CodecID()
	if !validName(name) {
		return nil, fmt.Errorf("its codec name %q is no name; use letters, digits and any of _ - . /", name)
	}
	if version < 0 {
		return nil, fmt.Errorf("its codec version %d is negative", version)
	}
	s = &Schema{Kind: Opaque, Codec: name, Version: version}
	if reflect.PointerTo(t).Implements(versionedType) {
		oldest := reflect.New(t).Interface().(Versioned).OldestVersion()
		s.accepts = func(old *Schema) ([]string, error) {
			if old.Version < oldest || old.Version > version {
				return nil, fmt.Errorf("its codec reads versions %d to %d", oldest, version)
			}
			return []string{fmt.Sprintf("version %d of the codec %s is read by version %d", old.Version, name, version)}, nil
		}
	}
	return s, nil
}

// foreignReader returns what reads the bytes of an old Opaque or Foreign part into a value of type t, or nil if that is what reads the
// present ones too.
func foreignReader(old *Schema, t reflect.Type) (read func(src []byte, v unsafe.Pointer) error, err error) {
	if f := formOf(t); f != nil {
		return f.reader(old)
	}
	now, err := codecID(t)
	switch {
	case err != nil:
		return nil, err
	case now.Equal(old):
		return nil, nil
	case now.accepts == nil || now.Codec != old.Codec:
		return nil, errNotCompared
	}
	if _, err := now.accepts(old); err != nil {
		return nil, err
	}
	return func(src []byte, v unsafe.Pointer) error {
		return unmarshal(t, v, func(u any) error { return u.(Versioned).UnmarshalVersion(old.Version, src) })
	}, nil
}

// embeddedMarshaler returns the embedded field of the struct t that may be where its MarshalBinary comes from, or nil. Reflection does not
// tell a promoted method from one declared on t.
func embeddedMarshaler(t reflect.Type) *reflect.StructField {
	if t.Kind() != reflect.Struct {
		return nil
	}
	for i := range t.NumField() {
		if f := t.Field(i); f.Anonymous && marshalsItself(pointedTo(f.Type)) {
			return &f
		}
	}
	return nil
}

func pointedTo(t reflect.Type) reflect.Type {
	if t.Kind() == reflect.Pointer {
		return t.Elem()
	}
	return t
}

// notLent returns an error if the codec id of a struct is that of its embedded field: with promoted methods the other fields would be
// lost without a word.
func notLent(id *Schema, from *reflect.StructField) error {
	inner := pointedTo(from.Type)
	if !reflect.PointerTo(inner).Implements(binaryType) {
		return nil
	}
	if innerID, err := codecID(inner); err != nil || !innerID.Equal(id) {
		return nil
	}
	return fmt.Errorf("it has the codec id %s/%d of the embedded field %s, whose methods do not know its other fields; give that field a name, or the type methods and an id of its own",
		id.Codec, id.Version, from.Name)
}
