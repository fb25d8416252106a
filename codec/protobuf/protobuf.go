// Package protobuf answers how messages of protobuf are kept where they are state: in their own binary form, with their descriptor.
//
// A later version of the program reads them by protobuf's own rules: fields are known by their numbers, one that is not known any more is
// kept as an unknown field, one that is new has its default. Before a job starts its message is compared with the one that was stored, and
// refused if a number has come to mean what the old bytes do not say.
package protobuf

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/weirstream/weir/codec"
)

// Register keeps messages of type T, a generated struct, in their own form, in this process: a state.Value[*T], a []*T or a field of type
// *T is then possible like any other. It is called before a job is built, and panics if T is no message, and as [codec.Register] does.
//
//	protobuf.Register[shop.Order]()
func Register[T any, M interface {
	*T
	proto.Message
}]() {
	own := M(new(T)).ProtoReflect().Descriptor()
	described, err := describe(own)
	if err != nil {
		panic(fmt.Sprintf("protobuf: register %v: %v", reflect.TypeFor[T](), err))
	}
	decode := func(src []byte, v *T) error { return proto.Unmarshal(src, M(v)) }
	codec.Register(codec.Form[T]{
		Name: "protobuf", Version: 1, Description: described,
		Append: func(dst []byte, v *T) ([]byte, error) {
			return proto.MarshalOptions{Deterministic: true}.MarshalAppend(dst, M(v))
		},
		Decode: decode,
		Accept: func(version int, description []byte) (func(src []byte, v *T) error, []string, error) {
			if version != 1 {
				return nil, nil, fmt.Errorf("version %d of the form is not known", version)
			}
			stored, err := parse(description)
			if err != nil {
				return nil, nil, err
			}
			changes, err := compare(stored, own)
			return decode, changes, err
		},
	})
}

// describe returns the full name of a message, a line break, and the files that it needs as a FileDescriptorSet.
func describe(m protoreflect.MessageDescriptor) ([]byte, error) {
	set := &descriptorpb.FileDescriptorSet{}
	addFile(set, m.ParentFile(), map[string]bool{})
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(set)
	return append([]byte(string(m.FullName())+"\n"), b...), err
}

// addFile adds a file behind those that it imports.
func addFile(set *descriptorpb.FileDescriptorSet, f protoreflect.FileDescriptor, done map[string]bool) {
	if done[f.Path()] {
		return
	}
	done[f.Path()] = true
	imports := f.Imports()
	for i := range imports.Len() {
		addFile(set, imports.Get(i).FileDescriptor, done)
	}
	set.File = append(set.File, protodesc.ToFileDescriptorProto(f))
}

// parse is the reverse of describe.
func parse(description []byte) (protoreflect.MessageDescriptor, error) {
	name, b, _ := bytes.Cut(description, []byte("\n"))
	var set descriptorpb.FileDescriptorSet
	if err := proto.Unmarshal(b, &set); err != nil {
		return nil, fmt.Errorf("the descriptor it was written with: %w", err)
	}
	files, err := protodesc.FileOptions{AllowUnresolvable: true}.NewFiles(&set)
	if err != nil {
		return nil, fmt.Errorf("the descriptor it was written with: %w", err)
	}
	d, err := files.FindDescriptorByName(protoreflect.FullName(name))
	if err != nil {
		return nil, fmt.Errorf("the descriptor it was written with: %w", err)
	}
	m, ok := d.(protoreflect.MessageDescriptor)
	if !ok {
		return nil, fmt.Errorf("the descriptor it was written with: %s is no message", name)
	}
	return m, nil
}

// comparison collects what has changed between two messages and those within them.
type comparison struct {
	seen    map[[2]protoreflect.FullName]bool
	changes []string
	wrong   []string
}

func compare(old, now protoreflect.MessageDescriptor) ([]string, error) {
	c := comparison{seen: map[[2]protoreflect.FullName]bool{}}
	c.message("", old, now)
	if len(c.wrong) > 0 {
		return nil, fmt.Errorf("by protobuf's rules: %s", strings.Join(c.wrong, "; "))
	}
	return c.changes, nil
}

func (c *comparison) message(path string, old, now protoreflect.MessageDescriptor) {
	pair := [2]protoreflect.FullName{old.FullName(), now.FullName()}
	if c.seen[pair] {
		return
	}
	c.seen[pair] = true
	for i := range old.Fields().Len() {
		was := old.Fields().Get(i)
		is := now.Fields().ByNumber(was.Number())
		if is == nil {
			c.changes = append(c.changes, fmt.Sprintf("field %s%s = %d is not known any more", path, was.Name(), was.Number()))
			continue
		}
		c.field(path, was, is)
	}
	for i := range now.Fields().Len() {
		is := now.Fields().Get(i)
		if old.Fields().ByNumber(is.Number()) != nil {
			continue
		}
		if is.Cardinality() == protoreflect.Required {
			c.refuse("field %s%s = %d is new and required", path, is.Name(), is.Number())
			continue
		}
		c.changes = append(c.changes, fmt.Sprintf("field %s%s = %d is new", path, is.Name(), is.Number()))
	}
}

func (c *comparison) refuse(format string, args ...any) {
	c.wrong = append(c.wrong, fmt.Sprintf(format, args...))
}

func (c *comparison) field(path string, was, is protoreflect.FieldDescriptor) {
	name := fmt.Sprintf("%s%s = %d", path, is.Name(), is.Number())
	if was.Name() != is.Name() {
		c.changes = append(c.changes, fmt.Sprintf("field %s was named %s", name, was.Name()))
	}
	switch {
	case was.Cardinality() == protoreflect.Repeated && is.Cardinality() != protoreflect.Repeated:
		c.refuse("field %s was repeated, and all but the last would be lost", name)
	case is.Cardinality() == protoreflect.Required && was.Cardinality() != protoreflect.Required:
		c.refuse("field %s is required, and was not", name)
	case inOneof(is) && !inOneof(was) && was.Cardinality() != protoreflect.Repeated && othersWere(was, is):
		c.refuse("field %s has come to exclude others that it did not exclude", name)
	case was.Message() != nil && is.Message() != nil && was.Kind() == is.Kind():
		c.message(path+string(is.Name())+".", was.Message(), is.Message())
	case !reads(was.Kind(), is.Kind()):
		c.refuse("field %s was %v, is now %v", name, was.Kind(), is.Kind())
	case was.Kind() != is.Kind():
		c.changes = append(c.changes, fmt.Sprintf("field %s: %v becomes %v", name, was.Kind(), is.Kind()))
	}
}

// inOneof reports whether a field excludes others, other than by being optional.
func inOneof(f protoreflect.FieldDescriptor) bool {
	return f.ContainingOneof() != nil && !f.ContainingOneof().IsSynthetic()
}

// othersWere reports whether another field of the oneof was there beside the field before.
func othersWere(was, is protoreflect.FieldDescriptor) bool {
	fields, before := is.ContainingOneof().Fields(), was.ContainingMessage().Fields()
	for i := range fields.Len() {
		if other := fields.Get(i); other.Number() != is.Number() && before.ByNumber(other.Number()) != nil {
			return true
		}
	}
	return false
}

// widened lists what the bytes of a kind can be read as beside the kind itself, so that each value keeps its meaning.
var widened = map[protoreflect.Kind][]protoreflect.Kind{
	protoreflect.BoolKind:   {protoreflect.Int32Kind, protoreflect.Int64Kind, protoreflect.Uint32Kind, protoreflect.Uint64Kind},
	protoreflect.EnumKind:   {protoreflect.Int32Kind, protoreflect.Int64Kind},
	protoreflect.Int32Kind:  {protoreflect.Int64Kind},
	protoreflect.Uint32Kind: {protoreflect.Uint64Kind, protoreflect.Int64Kind},
	protoreflect.Sint32Kind: {protoreflect.Sint64Kind},
	protoreflect.StringKind: {protoreflect.BytesKind},
}

func reads(was, is protoreflect.Kind) bool {
	if was == is {
		return true
	}
	for _, k := range widened[was] {
		if k == is {
			return true
		}
	}
	return false
}
