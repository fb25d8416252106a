package keyed

import (
	"encoding/binary"
	"fmt"

	"github.com/weirstream/weir/codec"
)

// What precedes a row in a stream with stamps, and what follows the last: one byte.
const (
	NoRowFollows = 0
	RowFollows   = 1
)

// What follows cuts something from the front of the rows of a group: it returns what is behind it. Errors wrap ErrCorrupt or codec.ErrCorrupt.

// CutMark reads what precedes a row in a stream with stamps, and reports whether there is one.
func CutMark(src []byte) (more bool, rest []byte, err error) {
	if len(src) == 0 || src[0] > RowFollows {
		return false, nil, fmt.Errorf("%w: the mark before a row", ErrCorrupt)
	}
	return src[0] == RowFollows, src[1:], nil
}

// CutEnd reads what follows as many rows as there may be, in a stream with stamps.
func CutEnd(src []byte) (rest []byte, err error) {
	more, rest, err := CutMark(src)
	if err == nil && more {
		err = fmt.Errorf("%w: a row too many", ErrCorrupt)
	}
	return rest, err
}

// CutCount reads a number of things of an increment: what was removed, or has changed. There is at most one that takes no bytes, so that the
// number is to be trusted as far as memory goes. what is for the error.
func CutCount(src []byte, what string) (n uint64, rest []byte, err error) {
	n, size := binary.Uvarint(src)
	if size <= 0 || n>>1 > uint64(len(src)) {
		return 0, nil, fmt.Errorf("%w: the number of %s", codec.ErrCorrupt, what)
	}
	return n, src[size:], nil
}

// cutWritten reads when what follows was written.
func cutWritten(src []byte) (at int64, rest []byte, err error) {
	if len(src) < 8 {
		return 0, nil, fmt.Errorf("%w: a stamp is cut short", ErrCorrupt)
	}
	return int64(binary.LittleEndian.Uint64(src)), src[8:], nil
}

// Skip returns what follows the state in a row, of an increment or not. Timers of one deadline are not among the states of a row but behind
// them, and it skips nothing.
func (c *State) Skip(src []byte, increment bool) (rest []byte, err error) {
	switch {
	case c.Kind == KindTimer:
		return src, nil // timers follow the other states
	case increment && c.Kind != KindValue:
		_, rest, err = c.change(src)
		return rest, err
	}
	_, rest, err = c.cell(src)
	return rest, err
}

// SkipTimers returns what follows the timers of a row, which it has if any state is a timer of one deadline.
func SkipTimers(src []byte) ([]byte, error) {
	n, size := binary.Uvarint(src)
	for src = src[max(size, 0):]; size > 0 && n > 0; n-- {
		if _, size = binary.Uvarint(src); size <= 0 || len(src) < size+9 {
			size = 0
			break
		}
		src = src[size+9:]
	}
	if size <= 0 {
		return nil, fmt.Errorf("%w: the timers of a row", ErrCorrupt)
	}
	return src, nil
}

// SkipEntry returns what follows one entry of a map, element of a list or deadline of a set.
func (c *State) SkipEntry(src []byte) (rest []byte, err error) {
	if c.Kind == KindTimers {
		_, rest, err = c.entryKey(src)
		return rest, err
	}
	if c.Kind == KindMap {
		if src, err = c.Key.Skip(src); err != nil {
			return nil, err
		}
	}
	if c.Expires() {
		if _, src, err = cutWritten(src); err != nil {
			return nil, err
		}
	}
	return c.Elem.Skip(src)
}
