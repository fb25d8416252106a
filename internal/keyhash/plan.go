package keyhash

import (
	"fmt"
	"math"
	"reflect"
	"unsafe"
)

// Of returns the hash function of a key type, and a function that reports whether a key can be used as one, nil if all can. Keys are
// booleans, numbers, strings, and arrays and structs of them.
//
// A key that is one word has the hash Uint64 of it, a string that of String, two words that of Pair. All others are taken part by part,
// in the order of fields and elements, a word as itself and a string as its hash: h = 0, then h = Add(h, part).
func Of[K comparable]() (hash func(*K) uint64, valid func(*K) bool, err error) {
	parts, err := partsOf(reflect.TypeFor[K](), 0, "key")
	if err != nil {
		return nil, nil, err
	}
	if hasFloat(parts) {
		valid = func(k *K) bool { return noNaN(parts, unsafe.Pointer(k)) }
	}
	return planned[K](parts), valid, nil
}

// part is one word or string of a key, at an offset of its memory.
type part struct {
	off  uintptr
	kind reflect.Kind
}

func partsOf(t reflect.Type, off uintptr, path string) ([]part, error) {
	switch k := t.Kind(); {
	case k == reflect.Bool, k >= reflect.Int && k <= reflect.Uint64, k == reflect.Float32, k == reflect.Float64, k == reflect.String:
		return []part{{off, k}}, nil
	case k == reflect.Array:
		var parts []part
		for i := range t.Len() {
			p, err := partsOf(t.Elem(), off+uintptr(i)*t.Elem().Size(), fmt.Sprintf("%s[%d]", path, i))
			if err != nil {
				return nil, err
			}
			parts = append(parts, p...)
		}
		return parts, nil
	case k == reflect.Struct:
		var parts []part
		for i := range t.NumField() {
			f := t.Field(i)
			p, err := partsOf(f.Type, off+f.Offset, path+"."+f.Name)
			if err != nil {
				return nil, err
			}
			parts = append(parts, p...)
		}
		return parts, nil
	}
	return nil, fmt.Errorf("%s is a %s and cannot be part of a key: use bools, integers, floats, strings, and arrays and structs of them", path, t)
}

func planned[K comparable](parts []part) func(*K) uint64 {
	switch {
	case len(parts) == 1 && parts[0].kind == reflect.String:
		return func(k *K) uint64 { return String(*(*string)(unsafe.Pointer(k))) }
	case len(parts) == 1:
		one := parts[0]
		return func(k *K) uint64 { return Uint64(one.word(unsafe.Pointer(k))) }
	case len(parts) == 2 && parts[0].kind != reflect.String && parts[1].kind != reflect.String:
		a, b := parts[0], parts[1]
		return func(k *K) uint64 { return Pair(a.word(unsafe.Pointer(k)), b.word(unsafe.Pointer(k))) }
	}
	return func(k *K) uint64 {
		var h uint64
		for _, p := range parts {
			h = Add(h, p.word(unsafe.Pointer(k)))
		}
		return h
	}
}

// word returns the part as a word: integers widened with their sign, floats by their bits with one zero, strings by their hash.
func (p part) word(key unsafe.Pointer) uint64 {
	at := unsafe.Add(key, p.off)
	switch p.kind {
	case reflect.Bool, reflect.Uint8:
		return uint64(*(*uint8)(at))
	case reflect.Int8:
		return uint64(*(*int8)(at))
	case reflect.Int16:
		return uint64(*(*int16)(at))
	case reflect.Uint16:
		return uint64(*(*uint16)(at))
	case reflect.Int32:
		return uint64(*(*int32)(at))
	case reflect.Uint32:
		return uint64(*(*uint32)(at))
	case reflect.Int64:
		return uint64(*(*int64)(at))
	case reflect.Uint64:
		return *(*uint64)(at)
	case reflect.Int:
		return uint64(*(*int)(at))
	case reflect.Uint:
		return uint64(*(*uint)(at))
	case reflect.Float32, reflect.Float64:
		return math.Float64bits(p.float(at) + 0) // -0 + 0 is 0
	case reflect.String:
		return String(*(*string)(at))
	}
	panic("keyhash: a part of kind " + p.kind.String())
}

func (p part) float(at unsafe.Pointer) float64 {
	if p.kind == reflect.Float32 {
		return float64(*(*float32)(at))
	}
	return *(*float64)(at)
}

func hasFloat(parts []part) bool {
	for _, p := range parts {
		if p.kind == reflect.Float32 || p.kind == reflect.Float64 {
			return true
		}
	}
	return false
}

func noNaN(parts []part, key unsafe.Pointer) bool {
	for _, p := range parts {
		if p.kind == reflect.Float32 || p.kind == reflect.Float64 {
			if math.IsNaN(p.float(unsafe.Add(key, p.off))) {
				return false
			}
		}
	}
	return true
}
