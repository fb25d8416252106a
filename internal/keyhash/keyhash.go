// Package keyhash is the hash of keys, which decides the key group of a record and so where its state lies. It is persistent: the same
// key must have the same hash in every process and every version.
//
// Hash version 1 folds the 128-bit product of two words. A string of up to 16 bytes takes two multiplications, a longer one takes one
// more for each 16 bytes. A struct is hashed word by word in the order of its fields. Golden vectors are in the tests.
//
//   - Equal keys have equal hashes: -0 and 0 do, all NaN are refused where keys are made (they equal nothing).
//   - Both halves of the result are spread well, because the top half picks the key group and the bottom half the place in a table.
package keyhash

import (
	"encoding/binary"
	"math/bits"
	"unsafe"
)

// Name names this version of the hash in a snapshot.
const Name = "weir-fold64/1"

// Odd constants with as many ones as zeros, from the digits of the square roots of 2, 3 and 5.
const (
	seed  = 0x6a09e667f3bcc909
	mulA  = 0xbb67ae8584caa73b
	mulB  = 0x3c6ef372fe94f82b
	final = 0x9e3779b97f4a7c15
)

func fold(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}

// Uint64 returns the hash of one word. Integers of every width are widened to it, signed ones with their sign.
func Uint64(x uint64) uint64 { return fold(fold(x^seed, mulA)^x, mulB) }

// Words replaces each word by its hash.
func Words(words []uint64) {
	for i, x := range words {
		words[i] = Uint64(x)
	}
}

// Pair returns the hash of two words.
func Pair(a, b uint64) uint64 { return fold(fold(a^seed, mulA^b)^a^bits.RotateLeft64(b, 32), mulB) }

// Add returns the hash of a sequence to which a further part, given by its own hash or word, is added.
func Add(h, x uint64) uint64 { return fold(h^mulA, x^final) ^ bits.RotateLeft64(h, 17) }

// String returns the hash of a string.
func String(s string) uint64 {
	p, n := unsafe.StringData(s), len(s)
	if n > 16 {
		return long(s)
	}
	var a, b uint64
	switch {
	case n >= 8:
		a, b = word(p, 0), word(p, n-8)
	case n >= 4:
		a, b = half(p, 0), half(p, n-4)
	case n > 0:
		a = uint64(s[0])<<16 | uint64(s[n>>1])<<8 | uint64(s[n-1])
	}
	return fold(fold(a^seed^uint64(n), mulA^b)^a^bits.RotateLeft64(b, 32), mulB)
}

func long(s string) uint64 {
	p, n := unsafe.StringData(s), len(s)
	h := uint64(seed) ^ uint64(n)
	for i := 0; i+16 < n; i += 16 {
		h = fold(word(p, i)^mulA^h, word(p, i+8)^mulB) ^ bits.RotateLeft64(h, 23)
	}
	return fold(fold(word(p, n-16)^h, mulA^word(p, n-8))^h, mulB)
}

// word and half read little-endian numbers at an offset; the caller has checked that they lie inside.
func word(p *byte, off int) uint64 {
	return binary.LittleEndian.Uint64((*[8]byte)(unsafe.Add(unsafe.Pointer(p), off))[:])
}

func half(p *byte, off int) uint64 {
	return uint64(binary.LittleEndian.Uint32((*[4]byte)(unsafe.Add(unsafe.Pointer(p), off))[:]))
}
