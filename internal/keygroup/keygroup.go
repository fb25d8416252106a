// Package keygroup is the arithmetic of rescaling: which key group a key's hash falls into, and which subtask owns a group.
//
// The number of key groups is the max parallelism of an operator; it is fixed for the life of its state. The rule here is format
// version 1 and is named in every snapshot as GroupRule:
//
//   - group(h) = (h >> 32) * maxParallelism >> 32, so the top half of the hash decides the group and the bottom half is free to
//     place the key in a table;
//   - subtask(g) = g * parallelism / maxParallelism, so a subtask owns a contiguous range of groups.
package keygroup

import (
	"fmt"
	"math/bits"
)

// GroupRule names the rule of Of in a snapshot.
const GroupRule = "multiply-shift-high32/1"

// MaxParallelism is the largest number of key groups an operator may have.
const MaxParallelism = 1 << 15

// Of returns the key group, 0 .. maxParallelism-1, of a key with the given hash.
func Of(hash uint64, maxParallelism int) int {
	return int((hash >> 32) * uint64(maxParallelism) >> 32)
}

// SubtaskOf returns the subtask, 0 .. parallelism-1, that owns a key group.
func SubtaskOf(group, parallelism, maxParallelism int) int {
	return group * parallelism / maxParallelism
}

// Range is a contiguous range of key groups, First and Last included. An empty range has Last < First.
type Range struct{ First, Last int }

// RangeOf returns the key groups that a subtask owns. The ranges of all subtasks meet without gap or overlap.
func RangeOf(subtask, parallelism, maxParallelism int) Range {
	return Range{
		First: (subtask*maxParallelism + parallelism - 1) / parallelism,
		Last:  ((subtask+1)*maxParallelism - 1) / parallelism,
	}
}

// Len returns the number of groups in the range.
func (r Range) Len() int { return max(0, r.Last-r.First+1) }

// Contains reports whether the group lies in the range.
func (r Range) Contains(group int) bool { return r.First <= group && group <= r.Last }

// Intersect returns the groups that lie in both ranges; the result is empty if there are none.
func (r Range) Intersect(o Range) Range {
	return Range{First: max(r.First, o.First), Last: min(r.Last, o.Last)}
}

// String returns the range as [first..last].
func (r Range) String() string { return fmt.Sprintf("[%d..%d]", r.First, r.Last) }

// DefaultMax returns the max parallelism of an operator for which none was set: enough to grow to about three times its
// parallelism, at least 128.
func DefaultMax(parallelism int) int {
	return min(max(nextPowerOfTwo(parallelism+parallelism/2), 128), MaxParallelism)
}

// Validate reports whether the pair of values can be used: 1 <= parallelism <= maxParallelism <= MaxParallelism.
func Validate(parallelism, maxParallelism int) error {
	switch {
	case parallelism < 1:
		return fmt.Errorf("parallelism %d: must be at least 1", parallelism)
	case maxParallelism > MaxParallelism:
		return fmt.Errorf("max parallelism %d: must be at most %d", maxParallelism, MaxParallelism)
	case parallelism > maxParallelism:
		return fmt.Errorf("parallelism %d is larger than max parallelism %d", parallelism, maxParallelism)
	}
	return nil
}

func nextPowerOfTwo(n int) int { return 1 << bits.Len(uint(max(n, 1)-1)) }
