package heap

import (
	"encoding/binary"
	"fmt"
	"io"
	"slices"

	"github.com/klauspost/compress/s2"
)

// A compressed stream is a stream whose groups are each a row of blocks, so that a subtask which wants some of the groups unpacks no others. The
// head is never compressed. See docs/formats/keyed.md.
const (
	// compressedVersion stands in the place of the version, which follows it and the algorithm. Programs that are older than compression
	// say that they cannot read it.
	compressedVersion = 3
	// algorithmS2 is Snappy with longer copies: a fifth of the processor time of zstd, which the job would miss, for a third more bytes, and
	// no memory between two blocks.
	algorithmS2 = 1

	// blockBytes is what a block holds of a group: enough for the algorithm to find what repeats, and so little that a write is never long
	// without a look at whether it is still wanted.
	blockBytes = 256 << 10
	// maxBlockBytes is what a reader takes.
	maxBlockBytes = 1 << 20
	// mostRatio is what a stored byte stands for at most: a block that would be shorter is padded. It bounds the memory that damaged or
	// malicious bytes take, and costs nothing: state has keys, and those differ.
	mostRatio = 128
)

// appendCompressedHead appends a head as it begins a compressed stream.
func appendCompressedHead(dst, plain []byte) []byte {
	dst = append(dst, plain[:len(magic)]...)
	dst = append(dst, compressedVersion, algorithmS2)
	return append(dst, plain[len(magic):]...)
}

// plainHead returns a head as it would be if its stream were not compressed, and whether it is. Bytes that are no head come back as they are.
func plainHead(src []byte) (plain []byte, compressed bool, err error) {
	if len(src) <= len(magic) || src[len(magic)] != compressedVersion {
		return src, false, nil
	}
	if len(src) < len(magic)+2 || src[len(magic)+1] != algorithmS2 {
		return nil, true, fmt.Errorf("keyed state that is compressed by an algorithm which this program does not know")
	}
	plain = append(make([]byte, 0, len(src)-2), src[:len(magic)]...)
	return append(plain, src[len(magic)+2:]...), true, nil
}

// appendBlocks appends a part of a group as blocks.
func appendBlocks(dst, src []byte) []byte {
	for len(src) > 0 {
		n := min(len(src), blockBytes)
		dst = appendBlock(dst, src[:n])
		src = src[n:]
	}
	return dst
}

// appendBlock appends a block: as it is if compressing it gains nothing.
func appendBlock(dst, src []byte) []byte {
	dst = appendCount(dst, len(src))
	begin := len(dst)
	dst = slices.Grow(dst, binary.MaxVarintLen32+s2.MaxEncodedLen(len(src))+padding(len(src), 0))
	const room = 3 // for a length below 1<<21
	stored := len(s2.Encode(dst[begin+room:cap(dst)], src))
	if stored >= len(src) {
		return append(appendCount(dst, len(src)), src...)
	}
	dst = appendCount(dst, stored)
	n := len(dst)
	dst = dst[:n+stored]
	copy(dst[n:], dst[begin+room:begin+room+stored:cap(dst)])
	return append(dst, zeroes[:padding(len(src), stored)]...)
}

var zeroes [blockBytes / mostRatio]byte

// padding returns the number of zeroes behind a block.
func padding(raw, stored int) int { return max((raw+mostRatio-1)/mostRatio-stored, 0) }

// appendUnpacked appends what the blocks of a group stand for.
func appendUnpacked(dst, src []byte) ([]byte, error) {
	for len(src) > 0 {
		raw, n := binary.Uvarint(src)
		stored, m := binary.Uvarint(src[max(n, 0):])
		if n <= 0 || m <= 0 {
			return nil, fmt.Errorf("%w: the length of a block", ErrCorrupt)
		}
		src = src[n+m:]
		if raw == 0 || raw > maxBlockBytes || stored > raw || int(stored)+padding(int(raw), int(stored)) > len(src) {
			return nil, fmt.Errorf("%w: a block of %d bytes in %d, of which there are %d", ErrCorrupt, raw, stored, len(src))
		}
		var err error
		if dst, err = appendRaw(dst, src[:stored], int(raw)); err != nil {
			return nil, err
		}
		src = src[int(stored)+padding(int(raw), int(stored)):]
	}
	return dst, nil
}

func appendRaw(dst, block []byte, raw int) ([]byte, error) {
	if len(block) == raw {
		return append(dst, block...), nil
	}
	n, err := s2.DecodedLen(block)
	if err == nil && n != raw {
		err = fmt.Errorf("it holds %d bytes, and should hold %d", n, raw)
	}
	before := len(dst)
	if err == nil {
		dst = slices.Grow(dst, raw)
		_, err = s2.Decode(dst[before:before+raw], block)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: a compressed block: %w", ErrCorrupt, err)
	}
	return dst[:before+raw], nil
}

// unpacked is a group out of its blocks, in the place of the stream.
type unpacked []byte

// ReadAt reads of the group.
func (u unpacked) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 || off > int64(len(u)) {
		return 0, io.EOF
	}
	n := copy(p, u[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// unpackGroup reads a group of a compressed stream. into is memory to be used for it, and may be nil.
func unpackGroup(r io.ReaderAt, from, to int64, into []byte) (unpacked, error) {
	src, err := readAll(r, from, to)
	if err != nil {
		return nil, err
	}
	out, err := appendUnpacked(into[:0], src)
	return unpacked(out), err
}

// readGroup returns the bytes of a group, compressed or not.
func readGroup(r io.ReaderAt, from, to int64, compressed bool) ([]byte, error) {
	if !compressed {
		return readAll(r, from, to)
	}
	return unpackGroup(r, from, to, nil)
}

// packer writes the groups of a compressed stream. What it is given has to be ended at the end of each group.
type packer struct {
	out         io.Writer
	buf, packed []byte
	written     int64 // bytes of blocks
}

// Write takes a part of the present group.
func (p *packer) Write(b []byte) (int, error) {
	p.buf = append(p.buf, b...)
	if len(p.buf) < blockBytes {
		return len(b), nil
	}
	return len(b), p.end()
}

// end ends the present group, or a block of it.
func (p *packer) end() error {
	p.packed = appendBlocks(p.packed[:0], p.buf)
	p.buf = p.buf[:0]
	n, err := p.out.Write(p.packed)
	p.written += int64(n)
	return err
}
