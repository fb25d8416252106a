package keyed

import (
	"bufio"
	"encoding/binary"
	"errors"
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
	compressedVersion = Version
	// algorithmS2 is Snappy with longer copies: a fifth of the processor time of zstd, which the job would miss, for a third more bytes, and
	// no memory between two blocks.
	algorithmS2 = 1

	// maxBlockBytes is what a reader takes.
	maxBlockBytes = 1 << 20
	// mostRatio is what a stored byte stands for at most: a block that would be shorter is padded. It bounds the memory that damaged or
	// malicious bytes take, and costs nothing: state has keys, and those differ.
	mostRatio = 128
)

// BlockBytes is how many bytes of a group a block holds at most: enough for the algorithm to find what repeats, and so few that a write is
// never long without a look at whether it is still wanted.
const BlockBytes = 256 << 10

// CompressedHead returns a head that AppendHead has written as it begins a compressed stream.
func CompressedHead(plain []byte) []byte {
	dst := append(make([]byte, 0, len(plain)+2), plain[:len(magic)]...)
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

// AppendBlocks appends a part of a group as blocks, which are as good as one part of all: a group may be appended in any number of parts. No
// block may hold bytes of two groups.
func AppendBlocks(dst, src []byte) []byte {
	for len(src) > 0 {
		n := min(len(src), BlockBytes)
		dst = appendBlock(dst, src[:n])
		src = src[n:]
	}
	return dst
}

// appendBlock appends a block: as it is if compressing it gains nothing.
func appendBlock(dst, src []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(src)))
	begin := len(dst)
	dst = slices.Grow(dst, binary.MaxVarintLen32+s2.MaxEncodedLen(len(src))+padding(len(src), 0))
	const room = 3 // for a length below 1<<21
	stored := len(s2.Encode(dst[begin+room:cap(dst)], src))
	if stored >= len(src) {
		return append(binary.AppendUvarint(dst, uint64(len(src))), src...)
	}
	dst = binary.AppendUvarint(dst, uint64(stored))
	n := len(dst)
	dst = dst[:n+stored]
	copy(dst[n:], dst[begin+room:begin+room+stored:cap(dst)])
	return append(dst, zeroes[:padding(len(src), stored)]...)
}

var zeroes [BlockBytes / mostRatio]byte

// padding returns the number of zeroes behind a block.
func padding(raw, stored int) int { return max((raw+mostRatio-1)/mostRatio-stored, 0) }

// appendUnpacked appends what the blocks of a group stand for.
func appendUnpacked(dst, src []byte) ([]byte, error) {
	for len(src) > 0 {
		raw, stored, n, err := blockLengths(src)
		if err != nil {
			return nil, err
		}
		src = src[n:]
		if stored+padding(raw, stored) > len(src) {
			return nil, fmt.Errorf("%w: a block of %d bytes in %d, of which there are %d", ErrCorrupt, raw, stored, len(src))
		}
		if dst, err = appendRaw(dst, src[:stored], raw); err != nil {
			return nil, err
		}
		src = src[stored+padding(raw, stored):]
	}
	return dst, nil
}

// blockLengths reads what a block begins with, in n bytes: how many it stands for, and how many it has, without the padding.
func blockLengths(src []byte) (raw, stored, n int, err error) {
	r, n := binary.Uvarint(src)
	s, m := binary.Uvarint(src[max(n, 0):])
	if n <= 0 || m <= 0 {
		return 0, 0, 0, fmt.Errorf("%w: the length of a block", ErrCorrupt)
	}
	if r == 0 || r > maxBlockBytes || s > r {
		return 0, 0, 0, fmt.Errorf("%w: a block of %d bytes in %d", ErrCorrupt, r, s)
	}
	return int(r), int(s), n + m, nil
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

// Unpacked is a group out of its blocks, in the place of the stream: offset 0 is where the group begins.
type Unpacked []byte

// ReadAt reads of the group, as io.ReaderAt says.
func (u Unpacked) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 || off > int64(len(u)) {
		return 0, io.EOF
	}
	n := copy(p, u[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// UnpackGroup reads a group of a compressed stream that lies from one offset up to another. The result is the caller's; into is memory to be
// used for it, and may be nil. Errors that prove damage wrap ErrCorrupt, those of r come as they are.
func UnpackGroup(r io.ReaderAt, from, to int64, into []byte) (Unpacked, error) {
	src, err := ReadPart(r, from, to)
	if err != nil {
		return nil, err
	}
	out, err := appendUnpacked(into[:0], src)
	return Unpacked(out), err
}

// readGroup returns the bytes of a group, compressed or not.
func readGroup(r io.ReaderAt, from, to int64, compressed bool) ([]byte, error) {
	if !compressed {
		return ReadPart(r, from, to)
	}
	return UnpackGroup(r, from, to, nil)
}

// Packer writes the groups of a compressed stream. What it is given has to be ended at the end of each group.
type Packer struct {
	out         io.Writer
	buf, packed []byte
	written     int64
}

// NewPacker returns a Packer that writes to out, a block or some at a time, and whose errors are those of out.
func NewPacker(out io.Writer) *Packer { return &Packer{out: out} }

// Written returns the bytes of the blocks written so far.
func (p *Packer) Written() int64 { return p.written }

// Write takes a part of the present group.
func (p *Packer) Write(b []byte) (int, error) {
	p.buf = append(p.buf, b...)
	if len(p.buf) < BlockBytes {
		return len(b), nil
	}
	return len(b), p.End()
}

// End ends the present group, or a block of it.
func (p *Packer) End() error {
	p.packed = AppendBlocks(p.packed[:0], p.buf)
	p.buf = p.buf[:0]
	n, err := p.out.Write(p.packed)
	p.written += int64(n)
	return err
}

// Unpacker reads what blocks stand for, one after the other, up to their end. It holds one of them.
type Unpacker struct {
	in     *bufio.Reader
	stored []byte
	raw    []byte
	rest   []byte // of raw
}

// NewUnpacker returns an Unpacker of the blocks that in has from here on. Errors that prove damage wrap ErrCorrupt, those of in come as they are.
func NewUnpacker(in *bufio.Reader) *Unpacker { return &Unpacker{in: in} }

// Read reads on, as io.Reader says.
func (u *Unpacker) Read(p []byte) (int, error) {
	if len(u.rest) == 0 {
		if err := u.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, u.rest)
	u.rest = u.rest[n:]
	return n, nil
}

// next reads a block; io.EOF if there is none.
func (u *Unpacker) next() error {
	head, err := u.in.Peek(2 * binary.MaxVarintLen64)
	if len(head) == 0 || err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	raw, stored, n, err := blockLengths(head)
	if err != nil {
		return err
	}
	u.stored = slices.Grow(u.stored[:0], stored)[:stored]
	_, err = u.in.Discard(n)
	if err == nil {
		_, err = io.ReadFull(u.in, u.stored)
	}
	if err == nil {
		_, err = u.in.Discard(padding(raw, stored))
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: a block is cut short", ErrCorrupt)
	}
	if err != nil {
		return err
	}
	u.raw, err = appendRaw(u.raw[:0], u.stored, raw)
	u.rest = u.raw
	return err
}
