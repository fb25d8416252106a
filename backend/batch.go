package backend

import (
	"iter"
	"unsafe"
)

// OpKind says what a change does.
type OpKind uint8

// The kinds of change.
const (
	Put         OpKind = iota // sets the value of a key, whether it is there or not
	Delete                    // removes a key, which need not be there
	DeleteRange               // removes all keys from one up to but without another
)

// Op is one change of a batch.
type Op struct {
	Kind  OpKind
	Key   []byte // of a DeleteRange the first key that goes
	Value []byte // of a Put
	End   []byte // of a DeleteRange the key before which it ends
}

// Batch is a list of changes, made by the engine for [Store.Apply]. The zero value is empty. It copies what it is given, into one piece of
// memory that it keeps when it is reset. What it hands out must not be changed.
type Batch struct {
	data    []byte
	ops     []op
	strings []string // values that are not in data
	kept    int      // bytes of these
}

// op says where in data a change lies: the key, and behind it up to end the value or the end of a range.
type op struct {
	kind         OpKind
	key, at, end int // of a putString end is the number of the string
}

// putString is a Put whose value is a string that was not copied.
const putString = DeleteRange + 1

// Put adds a change that sets a value.
func (b *Batch) Put(key, value []byte) { b.add(Put, key, value) }

// PutString adds a change that sets a value, which is not copied: for values that are large.
func (b *Batch) PutString(key []byte, value string) {
	at := len(b.data)
	b.data = append(b.data, key...)
	b.ops = append(b.ops, op{putString, at, len(b.data), len(b.strings)})
	b.strings, b.kept = append(b.strings, value), b.kept+len(value)
}

// Delete adds a change that removes a key.
func (b *Batch) Delete(key []byte) { b.add(Delete, key, nil) }

// DeleteRange adds a change that removes all keys from one up to but without another.
func (b *Batch) DeleteRange(from, to []byte) { b.add(DeleteRange, from, to) }

func (b *Batch) add(kind OpKind, first, second []byte) {
	key := len(b.data)
	b.data = append(b.data, first...)
	at := len(b.data)
	b.data = append(b.data, second...)
	b.ops = append(b.ops, op{kind, key, at, len(b.data)})
}

// Len returns the number of changes.
func (b *Batch) Len() int { return len(b.ops) }

// Size returns the number of bytes of keys and values.
func (b *Batch) Size() int { return len(b.data) + b.kept }

// Reset empties the batch.
func (b *Batch) Reset() {
	clear(b.strings)
	b.data, b.ops, b.strings, b.kept = b.data[:0], b.ops[:0], b.strings[:0], 0
}

// All returns the changes in order. Their bytes are valid until the batch is changed.
func (b *Batch) All() iter.Seq[Op] {
	return func(yield func(Op) bool) {
		for _, o := range b.ops {
			x := Op{Kind: o.kind, Key: b.data[o.key:o.at:o.at]}
			switch o.kind {
			case Put:
				x.Value = b.data[o.at:o.end:o.end]
			case DeleteRange:
				x.End = b.data[o.at:o.end:o.end]
			case putString:
				s := b.strings[o.end]
				x.Kind, x.Value = Put, unsafe.Slice(unsafe.StringData(s), len(s))
			}
			if !yield(x) {
				return
			}
		}
	}
}
