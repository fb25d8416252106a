package keyed

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/klauspost/compress/s2"
)

// What is compressed comes back, whatever it is, and each stored byte stands for so many bytes at most.
func TestBlocks(t *testing.T) {
	random := make([]byte, 3*BlockBytes+5)
	for i := range random {
		random[i] = byte(i * i >> 5 * 17)
	}
	for _, src := range [][]byte{nil, {1}, bytes.Repeat([]byte("ab"), 50), make([]byte, BlockBytes), make([]byte, 10*BlockBytes+1), random, random[:100]} {
		packed := AppendBlocks([]byte("before"), src)[len("before"):]
		got, err := appendUnpacked(nil, packed)
		if err != nil || !bytes.Equal(got, src) {
			t.Errorf("%d bytes came back as %d, %v", len(src), len(got), err)
		}
		if got, err := io.ReadAll(NewUnpacker(bufio.NewReader(bytes.NewReader(packed)))); err != nil || !bytes.Equal(got, src) {
			t.Errorf("%d bytes came back from a reader as %d, %v", len(src), len(got), err)
		}
		if len(src) > len(packed)*mostRatio || len(packed) > len(src)+8*(len(src)/BlockBytes+1) {
			t.Errorf("%d bytes are packed into %d", len(src), len(packed))
		}
	}
}

// Blocks that claim what cannot be, or stand for more than they may, are refused before memory is taken for them.
func TestBadBlocks(t *testing.T) {
	frame := func(n int) []byte { return s2.Encode(nil, make([]byte, n)) }
	block := func(raw, stored int, b []byte) []byte {
		return append(binary.AppendUvarint(binary.AppendUvarint(nil, uint64(raw)), uint64(stored)), b...)
	}
	bomb := frame(64 << 20)
	for name, b := range map[string][]byte{
		"nothing behind the length": {1},
		"an endless length":         bytes.Repeat([]byte{0xff}, 12),
		"no bytes":                  block(0, 0, nil),
		"more bytes than are there": block(100, 50, frame(100)[:10]),
		"longer than it stands for": block(5, 6, make([]byte, 6)),
		"too large a block":         block(maxBlockBytes+1, len(bomb), bomb),
		"too much for its bytes":    block(maxBlockBytes, len(frame(maxBlockBytes)), frame(maxBlockBytes)),
		"less than it says":         block(200, len(frame(100)), frame(100)),
		"more than it says":         block(90, len(frame(100)), frame(100)),
		"a bomb":                    block(len(bomb)+1, len(bomb), bomb),
		"no frame":                  block(100, 50, make([]byte, 50)),
	} {
		if _, err := appendUnpacked(nil, b); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := io.ReadAll(NewUnpacker(bufio.NewReader(bytes.NewReader(b)))); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s, by a reader: %v", name, err)
		}
	}
}

// FuzzBlocks: arbitrary blocks fail or stand for no more bytes than so few may, and arbitrary bytes come back.
func FuzzBlocks(f *testing.F) {
	f.Add([]byte("something that something repeats"))
	f.Add(AppendBlocks(nil, bytes.Repeat([]byte("weir"), 1000)))
	f.Fuzz(func(t *testing.T, b []byte) {
		if out, err := appendUnpacked(nil, b); err == nil && len(out) > len(b)*mostRatio {
			t.Errorf("%d bytes out of %d", len(out), len(b))
		} else if read, other := io.ReadAll(NewUnpacker(bufio.NewReader(bytes.NewReader(b)))); (err == nil) != (other == nil) || err == nil && !bytes.Equal(read, out) {
			t.Errorf("%d bytes are read as %d (%v) and %d (%v)", len(b), len(out), err, len(read), other)
		}
		if out, err := appendUnpacked(nil, AppendBlocks(nil, b)); err != nil || !bytes.Equal(out, b) {
			t.Errorf("%d bytes came back as %d, %v", len(b), len(out), err)
		}
	})
}

// BenchmarkBlocks says what compressing and unpacking costs for a byte: rows of a key, a count, a time and one of a thousand names.
func BenchmarkBlocks(b *testing.B) {
	var src []byte
	for i := range 100_000 {
		src = binary.LittleEndian.AppendUint64(src, uint64(i)*0x9E3779B97F4A7C15)
		src = binary.LittleEndian.AppendUint64(src, uint64(i%977))
		src = binary.LittleEndian.AppendUint64(src, uint64(1_700_000_000_000+i*7919%86_400_000))
		src = appendBytes(src, fmt.Sprint("customer-", i*31%1000))
	}
	packed := AppendBlocks(nil, src)
	b.Run("pack", func(b *testing.B) {
		b.SetBytes(int64(len(src)))
		var dst []byte
		for b.Loop() {
			dst = AppendBlocks(dst[:0], src)
		}
		b.ReportMetric(float64(len(packed))/float64(len(src)), "stored/byte")
	})
	b.Run("unpack", func(b *testing.B) {
		b.SetBytes(int64(len(src)))
		var dst []byte
		for b.Loop() {
			dst, _ = appendUnpacked(dst[:0], packed)
		}
	})
}
