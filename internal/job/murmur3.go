package job

import (
	"encoding/binary"
	"math/bits"
)

// murmur3 is Austin Appleby's MurmurHash3_x64_128 with seed 0, written out in little-endian order.
func murmur3(s string) (sum [16]byte) {
	const c1, c2 = 0x87c37b91114253d5, 0x4cf5ad432745937f
	var h1, h2 uint64
	mixK1 := func(k uint64) uint64 { return bits.RotateLeft64(k*c1, 31) * c2 }
	mixK2 := func(k uint64) uint64 { return bits.RotateLeft64(k*c2, 33) * c1 }

	data := []byte(s)
	for ; len(data) >= 16; data = data[16:] {
		h1 ^= mixK1(binary.LittleEndian.Uint64(data))
		h1 = (bits.RotateLeft64(h1, 27)+h2)*5 + 0x52dce729
		h2 ^= mixK2(binary.LittleEndian.Uint64(data[8:]))
		h2 = (bits.RotateLeft64(h2, 31)+h1)*5 + 0x38495ab5
	}
	var tail [16]byte
	copy(tail[:], data)
	h2 ^= mixK2(binary.LittleEndian.Uint64(tail[8:])) // zero bytes mix to zero
	h1 ^= mixK1(binary.LittleEndian.Uint64(tail[:]))

	h1 ^= uint64(len(s))
	h2 ^= uint64(len(s))
	h1 += h2
	h2 += h1
	h1, h2 = fmix64(h1), fmix64(h2)
	h1 += h2
	h2 += h1
	binary.LittleEndian.PutUint64(sum[:], h1)
	binary.LittleEndian.PutUint64(sum[8:], h2)
	return sum
}

func fmix64(k uint64) uint64 {
	k ^= k >> 33
	k *= 0xff51afd7ed558ccd
	k ^= k >> 33
	k *= 0xc4ceb9fe1a85ec53
	return k ^ k>>33
}
