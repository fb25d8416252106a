package keyed

import (
	"encoding/binary"
	"math"

	"github.com/weirstream/weir/codec"
	"github.com/weirstream/weir/internal/keyhash"
)

// hashOf returns the hash of encoded keys of a schema, the same that keyhash.Of has for their Go type. It is nil if that cannot be told from
// the schema: a struct may have had blank fields, which are part of the hash and not of the bytes.
func hashOf(schema *codec.Schema) func(key []byte) uint64 {
	kinds, ok := keyKinds(nil, schema)
	if !ok {
		return nil
	}
	words := make([]uint64, len(kinds))
	return func(key []byte) uint64 {
		for i, k := range kinds {
			words[i], key = keyWord(k, key)
		}
		switch {
		case len(kinds) == 1 && kinds[0] == codec.String:
			return words[0]
		case len(kinds) == 1:
			return keyhash.Uint64(words[0])
		case len(kinds) == 2 && kinds[0] != codec.String && kinds[1] != codec.String:
			return keyhash.Pair(words[0], words[1])
		}
		var h uint64
		for _, w := range words {
			h = keyhash.Add(h, w)
		}
		return h
	}
}

// mostParts is the number of parts of a key up to which it is compared with its group. A damaged schema may claim any.
const mostParts = 1000

// keyKinds appends the kinds of a key's words and strings. ok is false for a form that no key has.
func keyKinds(kinds []codec.Kind, s *codec.Schema) (_ []codec.Kind, ok bool) {
	switch {
	case s.Kind >= codec.Bool && s.Kind <= codec.Float64, s.Kind == codec.String, s.Kind == codec.Duration:
		return append(kinds, s.Kind), len(kinds) < mostParts
	case s.Kind == codec.Array:
		for range s.Len {
			before := len(kinds)
			if kinds, ok = keyKinds(kinds, s.Elem); !ok {
				return nil, false
			}
			if len(kinds) == before {
				break
			}
		}
		return kinds, true
	}
	return nil, false
}

// keyWord reads one part of a key that has been checked: an integer widened with its sign, a float's bits with one zero, a string's hash.
func keyWord(k codec.Kind, b []byte) (word uint64, rest []byte) {
	switch k {
	case codec.Bool, codec.Uint8:
		return uint64(b[0]), b[1:]
	case codec.Int8:
		return uint64(int8(b[0])), b[1:]
	case codec.Int16:
		return uint64(int16(binary.LittleEndian.Uint16(b))), b[2:]
	case codec.Uint16:
		return uint64(binary.LittleEndian.Uint16(b)), b[2:]
	case codec.Int32:
		return uint64(int32(binary.LittleEndian.Uint32(b))), b[4:]
	case codec.Uint32:
		return uint64(binary.LittleEndian.Uint32(b)), b[4:]
	case codec.Float32:
		return math.Float64bits(float64(math.Float32frombits(binary.LittleEndian.Uint32(b))) + 0), b[4:]
	case codec.Float64:
		return math.Float64bits(math.Float64frombits(binary.LittleEndian.Uint64(b)) + 0), b[8:]
	case codec.String:
		n, size := binary.Uvarint(b)
		end := size + int(n)
		return keyhash.String(string(b[size:end])), b[end:]
	}
	return binary.LittleEndian.Uint64(b), b[8:]
}
