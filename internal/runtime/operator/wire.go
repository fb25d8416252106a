package operator

import (
	"bytes"
	"encoding/binary"
	"maps"
	"slices"

	"github.com/weirstream/weir/internal/job"
)

// appendBytes appends a length and the bytes.
func appendBytes(b, data []byte) []byte {
	return append(binary.AppendUvarint(b, uint64(len(data))), data...)
}

// cutBytes reads what appendBytes has written.
func cutBytes(b []byte) (data, rest []byte, ok bool) {
	n, used := binary.Uvarint(b)
	if used <= 0 || n > uint64(len(b)-used) {
		return nil, nil, false
	}
	end := used + int(n)
	return b[used:end:end], b[end:], true
}

func sortedIDs[V any](m map[job.OperatorID]V) []job.OperatorID {
	return slices.SortedFunc(maps.Keys(m), func(a, b job.OperatorID) int { return bytes.Compare(a[:], b[:]) })
}

func sortedKeys[V any](m map[int64]V) []int64 { return slices.Sorted(maps.Keys(m)) }
