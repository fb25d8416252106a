package keyhash

import (
	"crypto/rand"
	"fmt"
	"math"
	"math/bits"
	"testing"
)

// A fold of a product is bad when a factor is zero: this shows the spread over key groups and over both halves for the key sets that
// real jobs have. chi2 is the statistic over 128 groups divided by its degrees of freedom; about 1 is what chance gives.
func TestSpread(t *testing.T) {
	const n, groups = 100_000, 128
	sets := map[string]func(i int) uint64{
		"sequential integers": func(i int) uint64 { return Uint64(uint64(i)) },
		"negative integers":   func(i int) uint64 { return Uint64(uint64(-int64(i))) },
		"multiples of 4096":   func(i int) uint64 { return Uint64(uint64(i) << 12) },
		"high bits only":      func(i int) uint64 { return Uint64(uint64(i) << 44) },
		"decimal strings":     func(i int) uint64 { return String(fmt.Sprint(i)) },
		"long common prefix":  func(i int) uint64 { return String(fmt.Sprintf("customer/europe/north/%08d/orders", i)) },
		"uuids":               func(int) uint64 { var b [16]byte; rand.Read(b[:]); return String(fmt.Sprintf("%x", b)) },
		"pairs":               func(i int) uint64 { return Pair(uint64(i%300), uint64(i/300)) },
		"pairs by Add":        func(i int) uint64 { return Add(Add(seed, uint64(i%300)), uint64(i/300)) },
	}
	for name, hash := range sets {
		var top, bottom [groups]int
		for i := range n {
			h := hash(i)
			top[(h>>32)*groups>>32]++
			bottom[(h&0xffffffff)*groups>>32]++
		}
		for half, counts := range map[string][groups]int{"top": top, "bottom": bottom} {
			if c := chi2(counts[:], n); c > 1.6 {
				t.Errorf("%s: %s half: chi2 per degree of freedom %.2f", name, half, c)
			}
		}
	}
}

func chi2(counts []int, n int) float64 {
	want, sum := float64(n)/float64(len(counts)), 0.0
	for _, c := range counts {
		sum += (float64(c) - want) * (float64(c) - want) / want
	}
	return sum / float64(len(counts)-1)
}

// Flipping any bit of a key must flip about half of the bits of its hash.
func TestAvalanche(t *testing.T) {
	for bit := range 64 {
		flips := 0
		const rounds = 2000
		for i := range rounds {
			x := uint64(i) * 0x9e3779b97f4a7c15
			flips += bits.OnesCount64(Uint64(x) ^ Uint64(x^1<<bit))
		}
		if mean := float64(flips) / rounds; math.Abs(mean-32) > 2 {
			t.Errorf("bit %d flips %.1f bits on average, want about 32", bit, mean)
		}
	}
}

func TestDistinctStrings(t *testing.T) {
	seen := map[uint64]string{}
	for n := range 70 {
		for c := range 64 {
			b := make([]byte, n)
			if n > 0 {
				b[c%n] = byte(c + 1)
			}
			if other, dup := seen[String(string(b))]; dup && other != string(b) {
				t.Fatalf("%q and %q have the same hash", other, b)
			}
			seen[String(string(b))] = string(b)
		}
	}
}

// These values are format version 1: a change of them makes all existing state unreadable.
func TestGoldenVectors(t *testing.T) {
	for _, c := range []struct {
		name string
		got  uint64
		want uint64
	}{
		{"0", Uint64(0), golden[0]},
		{"1", Uint64(1), golden[1]},
		{"-1", Uint64(math.MaxUint64), golden[2]},
		{"pair 1 2", Pair(1, 2), golden[3]},
		{"add", Add(Add(0, 1), 2), golden[4]},
		{"empty", String(""), golden[5]},
		{"a", String("a"), golden[6]},
		{"ATL", String("ATL"), golden[7]},
		{"12345678", String("12345678"), golden[8]},
		{"exactly16bytes..", String("exactly16bytes.."), golden[9]},
		{"a string of more than sixteen bytes", String("a string of more than sixteen bytes"), golden[10]},
	} {
		if c.got != c.want {
			t.Errorf("%s: %#016x, want %#016x", c.name, c.got, c.want)
		}
	}
}

func BenchmarkString16(b *testing.B) {
	keys := make([]string, 1024)
	for i := range keys {
		keys[i] = fmt.Sprintf("user-%011d", i)
	}
	var sum uint64
	for i := 0; b.Loop(); i++ {
		sum += String(keys[i&1023])
	}
	_ = sum
}

var golden = [...]uint64{
	0x1eb244682e62ca05,
	0x1baf094f0bf8ebf4,
	0x6d69c6a193b3a229,
	0xbb5b50058f39568c,
	0x6a91ef3e9ce27a72,
	0x1eb244682e62ca05,
	0x5b0d29321d091ee0,
	0x224cdd6dab0ff447,
	0x8a8ce3c99d70e8e6,
	0xccecec7fd7d01391,
	0xf4682ca4d4738190,
}
