// Package avro answers how values of a type are kept in Avro's binary form where they are state.
//
// The schema in which they were written is kept with them, and a later version of the program reads them by Avro's own rules for a writer's
// and a reader's schema: fields by name and alias, defaults, promoted numbers. What these rules refuse is refused before a job starts. The
// work is done by github.com/hamba/avro.
package avro

import (
	"cmp"
	"fmt"
	"math/bits"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/hamba/avro/v2"

	"github.com/weirstream/weir/codec"
)

// Register keeps the values of T in the form of an Avro schema, in this process. T is a type that github.com/hamba/avro writes and reads under
// that schema, such as a struct with avro tags. It is called before a job is built, and panics if the schema is none, if the zero value of T
// cannot be written under it, and as [codec.Register] does.
func Register[T any](schema string) {
	own, err := parse(schema)
	if err != nil {
		panic(fmt.Sprintf("avro: register %v: %v", reflect.TypeFor[T](), err))
	}
	var zero T
	if _, err := avro.Marshal(own, zero); err != nil {
		panic(fmt.Sprintf("avro: register %v: its zero value cannot be written, as a state that was never set is: %v", reflect.TypeFor[T](), err))
	}
	codec.Register(codec.Form[T]{
		Name: "avro", Version: 1, Description: []byte(own.String()),
		Append: func(dst []byte, v *T) ([]byte, error) {
			b, err := avro.Marshal(own, *v)
			return append(dst, b...), err
		},
		Decode: func(src []byte, v *T) error { return read(own, src, v) },
		Accept: func(version int, description []byte) (func(src []byte, v *T) error, []string, error) {
			resolved, err := resolve(own, version, description)
			if err != nil {
				return nil, nil, err
			}
			return func(src []byte, v *T) error { return read(resolved, src, v) }, []string{"resolved by Avro's rules"}, nil
		},
	})
}

// parse reads a schema by itself: the library's cache would take names from one that was read before.
func parse(schema string) (avro.Schema, error) {
	return avro.ParseWithCache(schema, "", &avro.SchemaCache{})
}

// resolve returns the schema by which values of another one are read as those of own.
func resolve(own avro.Schema, version int, description []byte) (avro.Schema, error) {
	if version != 1 {
		return nil, fmt.Errorf("version %d of the form is not known", version)
	}
	writer, err := parse(string(description))
	if err != nil {
		return nil, fmt.Errorf("the schema it was written in: %w", err)
	}
	resolved, err := avro.NewSchemaCompatibility().Resolve(own, writer)
	if err != nil {
		return nil, fmt.Errorf("by Avro's rules: %w", cmp.Or(difference("", own, writer, err, map[[2]avro.Schema]bool{}), err))
	}
	return resolved, nil
}

// difference finds the field because of which a schema cannot be read as another, and says so instead of an error that does not name it. Of
// two schemas that it has seen it says nothing more.
func difference(path string, reader, writer avro.Schema, err error, seen map[[2]avro.Schema]bool) error {
	reader, writer = named(reader), named(writer)
	pair := [2]avro.Schema{reader, writer}
	if seen[pair] {
		return nil
	}
	seen[pair] = true
	within := func(path string, reader, writer avro.Schema) error {
		if err := avro.NewSchemaCompatibility().Compatible(reader, writer); err != nil {
			return difference(path, reader, writer, err, seen)
		}
		return nil
	}
	switch r := reader.(type) {
	case *avro.RecordSchema:
		if w, ok := writer.(*avro.RecordSchema); ok {
			for _, f := range r.Fields() {
				name := strings.TrimPrefix(path+"."+f.Name(), ".")
				if old := formerly(f, w); old != nil {
					if err := within(name, f.Type(), old.Type()); err != nil {
						return err
					}
				} else if !f.HasDefault() {
					return fmt.Errorf("field %s is new and has no default", name)
				}
			}
		}
	case *avro.ArraySchema:
		if w, ok := writer.(*avro.ArraySchema); ok {
			return within(path, r.Items(), w.Items())
		}
	case *avro.MapSchema:
		if w, ok := writer.(*avro.MapSchema); ok {
			return within(path, r.Values(), w.Values())
		}
	case *avro.UnionSchema:
		if same := member(r, writer); same != nil {
			return within(path, same, member(writer, same))
		}
	}
	switch {
	case path == "":
		return err
	case reader.Type() == writer.Type():
		return fmt.Errorf("field %s: %w", path, err)
	}
	return fmt.Errorf("field %s: was %s, is now %s", path, writer.Type(), reader.Type())
}

// member returns the record of one schema that has the name of one in another, where either may be a union with it; nil if there is none.
func member(of, like avro.Schema) avro.Schema {
	for _, x := range records(of) {
		if slices.ContainsFunc(records(like), func(y *avro.RecordSchema) bool { return x.FullName() == y.FullName() }) {
			return x
		}
	}
	return nil
}

// records returns the records of a union, or the one that a schema is.
func records(s avro.Schema) (all []*avro.RecordSchema) {
	types := []avro.Schema{s}
	if u, ok := s.(*avro.UnionSchema); ok {
		types = u.Types()
	}
	for _, t := range types {
		if r, ok := named(t).(*avro.RecordSchema); ok {
			all = append(all, r)
		}
	}
	return all
}

// named returns the schema that a name within a schema refers to.
func named(s avro.Schema) avro.Schema {
	if ref, ok := s.(*avro.RefSchema); ok {
		return ref.Schema()
	}
	return s
}

// formerly returns the field that a field of a later record is read from, nil if there is none.
func formerly(f *avro.Field, from *avro.RecordSchema) *avro.Field {
	for _, name := range append([]string{f.Name()}, f.Aliases()...) {
		for _, old := range from.Fields() {
			if old.Name() == name {
				return old
			}
		}
	}
	return nil
}

func read[T any](schema avro.Schema, src []byte, v *T) error {
	var fresh T // Unmarshal would add to what is there
	err := bounded(len(src)).Unmarshal(schema, src, &fresh)
	*v = fresh
	return err
}

// bounded returns the library's reader for so many bytes. Nothing in them is longer than they are, whatever damaged lengths say.
func bounded(n int) avro.API { return readers[bits.Len(uint(n))]() }

var readers = func() (all [bits.UintSize + 1]func() avro.API) {
	for i := range all {
		most := 1 << min(i, bits.UintSize-2)
		all[i] = sync.OnceValue(func() avro.API {
			return avro.Config{MaxByteSliceSize: most, MaxSliceAllocSize: most}.Freeze()
		})
	}
	return all
}()
