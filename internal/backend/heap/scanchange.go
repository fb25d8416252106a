package heap

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/weirstream/weir/codec"
)

// cellChange is what an increment says of a map or a list.
type cellChange struct {
	kept    int      // of a list: elements that stay
	n       int      // of a list: elements that follow them
	added   []byte   // these
	cleared bool     // of a map: all that was there before is gone
	gone    [][]byte // of a map: keys that are gone
	puts    []pair   // of a map: entries that are new or have changed
}

type pair struct{ key, val []byte }

// change reads what an increment says of a map or a list.
func (c *ScannedState) change(src []byte) (ch cellChange, rest []byte, err error) {
	if c.Kind == KindList {
		return c.listChange(src)
	}
	n, rest, err := changeCount(src, "what was removed from a map")
	if err != nil {
		return ch, nil, err
	}
	ch.cleared = n&1 != 0
	for range n >> 1 {
		var key []byte
		if key, rest, err = cut(c.Key, rest, 1); err != nil {
			return ch, nil, err
		}
		ch.gone = append(ch.gone, key)
	}
	if n, rest, err = changeCount(rest, "the changed entries of a map"); err != nil {
		return ch, nil, err
	}
	for range n {
		var p pair
		if p.key, rest, err = cut(c.Key, rest, 1); err != nil {
			return ch, nil, err
		}
		if p.val, rest, err = cut(c.Elem, rest, 1); err != nil {
			return ch, nil, err
		}
		ch.puts = append(ch.puts, p)
	}
	return ch, rest, nil
}

func (c *ScannedState) listChange(src []byte) (ch cellChange, rest []byte, err error) {
	kept, size := binary.Uvarint(src)
	if size <= 0 || kept > math.MaxInt32 {
		return ch, nil, fmt.Errorf("%w: the number of elements that stay", codec.ErrCorrupt)
	}
	cell, rest, err := c.cell(src[size:])
	return cellChange{kept: int(kept), n: cell.Entries, added: cell.Bytes}, rest, err
}
