package main

import "math/bits"

// hashOf multiplies 64 x 64 to 128 bits and folds. The top half of the result chooses the worker, the bottom half the place in the
// worker's table, so that the two are independent.
func hashOf(key int64) uint64 {
	hi, lo := bits.Mul64(uint64(key)^0x9E3779B97F4A7C15, 0xD6E8FEB86659FD93)
	return hi ^ lo
}

// workerOf maps a hash to 0 .. workers-1.
func workerOf(hash, workers uint64) uint64 { return hash >> 32 * workers >> 32 }

// countTable counts int64 keys: open addressing with linear probing, key and count inline in 16 bytes, so that an update costs one
// cache miss. Slots are in order of the hash, so growing reads and writes from front to back. It is the "raw table" of the limits.
type countTable struct {
	slots []slot // a power of two
	shift uint8  // 32 - log2(len(slots))
	used  int
	full  int // used at which the table doubles

	touched int64 // keeps the compiler from leaving out touch
}

type slot struct{ key, count int64 } // count 0: the slot is free

const smallestTable = 1 << 10

func newCountTable() *countTable {
	t := &countTable{}
	t.resize(smallestTable)
	return t
}

func (t *countTable) resize(n int) {
	t.slots = make([]slot, n)
	t.shift = uint8(32 - bits.Len(uint(n-1)))
	t.full = n / 4 * 3
}

// increment adds 1 to the key's count and returns it.
func (t *countTable) increment(key int64, hash uint64) int64 {
	slots := t.slots
	mask := len(slots) - 1
	for i := int(uint32(hash) >> t.shift); ; i++ {
		s := &slots[i&mask]
		if s.key == key && s.count != 0 {
			s.count++
			return s.count
		}
		if s.count == 0 {
			*s = slot{key, 1}
			t.added()
			return 1
		}
	}
}

// touch loads the slot where a key of this hash would be, without waiting for it.
func (t *countTable) touch(hash uint64) { t.touched |= t.slots[uint32(hash)>>t.shift].count }

func (t *countTable) added() {
	if t.used++; t.used < t.full {
		return
	}
	old := t.slots
	t.resize(2 * len(old))
	mask := len(t.slots) - 1
	for _, s := range old {
		if s.count == 0 {
			continue
		}
		i := int(uint32(hashOf(s.key)) >> t.shift)
		for t.slots[i&mask].count != 0 {
			i++
		}
		t.slots[i&mask] = s
	}
}

// tally returns the tally of all keys with their counts.
func (t *countTable) tally() tally {
	var sum tally
	for _, s := range t.slots {
		if s.count != 0 {
			sum.add(s.key, s.count)
		}
	}
	return sum
}
