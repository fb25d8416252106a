package measure

import (
	"math/bits"
	"time"
)

const (
	fineBits = 6
	fine     = 1 << fineBits          // buckets per power of two
	buckets  = (64 - fineBits) * fine // enough for the longest duration, 1<<63 - 1
)

// Histogram counts durations in buckets that are at most 1/64 of their value wide, so a quantile is at most 1.6 % too high. It
// has a fixed size (29 KiB), and Record allocates nothing. The zero value is empty. Not for concurrent use: give each goroutine
// its own and Merge them.
type Histogram struct {
	counts [buckets]uint64
	total  uint64
	max    time.Duration
}

// Record counts a duration; a negative one as 0.
func (h *Histogram) Record(d time.Duration) { h.RecordN(d, 1) }

// RecordN counts a duration n times.
func (h *Histogram) RecordN(d time.Duration, n uint64) {
	d = max(d, 0)
	h.counts[bucketOf(uint64(d))] += n
	h.total += n
	h.max = max(h.max, d)
}

// Merge adds what the other histogram counted.
func (h *Histogram) Merge(o *Histogram) {
	for i, n := range o.counts {
		h.counts[i] += n
	}
	h.total += o.total
	h.max = max(h.max, o.max)
}

// Count returns the number of durations.
func (h *Histogram) Count() uint64 { return h.total }

// Max returns the longest duration exactly, 0 if there is none.
func (h *Histogram) Max() time.Duration { return h.max }

// Quantile returns a duration that at least the fraction q (0 to 1) of all durations do not exceed: the upper end of the bucket
// in which the smallest such duration lies. Of an empty histogram it is 0.
func (h *Histogram) Quantile(q float64) time.Duration {
	if h.total == 0 {
		return 0
	}
	rank := rankOf(q, h.total)
	var seen uint64
	for i, n := range h.counts {
		if seen += n; seen >= rank {
			return min(time.Duration(upperEnd(i)), h.max)
		}
	}
	return h.max
}

// rankOf returns the smallest r in 1 .. total with r >= q*total.
func rankOf(q float64, total uint64) uint64 {
	r := uint64(q * float64(total))
	if float64(r) < q*float64(total) {
		r++
	}
	return min(max(r, 1), total)
}

// bucketOf gives values below 64 a bucket each; from there on each power of two has 64 buckets, told apart by the six bits after
// the leading one.
func bucketOf(v uint64) int {
	if v < fine {
		return int(v)
	}
	shift := bits.Len64(v) - fineBits - 1
	return shift*fine + int(v>>shift)
}

// upperEnd returns the largest value in the bucket.
func upperEnd(bucket int) uint64 {
	if bucket < 2*fine {
		return uint64(bucket)
	}
	shift := bucket/fine - 1
	return uint64(bucket-shift*fine+1)<<shift - 1
}
