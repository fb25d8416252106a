// Package json answers how values of a type are kept as JSON where they are state.
//
// It suits what changes often and is not much: nothing about a value is known beside its text, so any version of the type reads any other, by
// the rules of encoding/json alone. A field that is gone is passed over, one that is new stays zero, and only a value that does not fit its
// field at all is an error, when it is read. Where a change should be noticed before a job starts, the codec that every type has is better.
package json

import (
	"encoding/json"

	"github.com/weirstream/weir/codec"
)

// Register keeps the values of T as JSON, in this process. It is called before a job is built, and panics as [codec.Register] does.
func Register[T any]() {
	codec.Register(codec.Form[T]{
		Name: "json", Version: 1,
		Append: func(dst []byte, v *T) ([]byte, error) {
			b, err := json.Marshal(v)
			return append(dst, b...), err
		},
		Decode: func(src []byte, v *T) error {
			var fresh T // Unmarshal would add to what is there
			err := json.Unmarshal(src, &fresh)
			*v = fresh
			return err
		},
	})
}
