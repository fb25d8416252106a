package file

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/weirstream/weir/source"
)

// headLen is how much of a file is hashed to recognise it.
const headLen = 64 << 10

// splitVersion is the first byte of a split's and of an enumerator's state. docs/formats/file-source.md describes both.
const splitVersion = 1

// split is a file with the position up to which it was read.
type split struct {
	name   string // path below the root, with slashes
	size   int64  // in bytes, as it is on the disk
	head   [sha256.Size]byte
	offset int64 // after the last record, in decompressed bytes
	lines  int64 // up to there
}

// newSplit describes a file that has not been read.
func newSplit(fsys fs.FS, name string) (split, error) {
	s := split{name: name}
	f, err := fsys.Open(name)
	if err != nil {
		return s, err
	}
	defer f.Close()
	s.size, s.head, err = identify(f)
	return s, err
}

// identify returns by what a file is recognised. It reads from the beginning.
func identify(f fs.File) (size int64, head [sha256.Size]byte, err error) {
	info, err := f.Stat()
	if err != nil {
		return 0, head, err
	}
	h := sha256.New()
	if _, err := io.Copy(h, io.LimitReader(f, headLen)); err != nil {
		return 0, head, err
	}
	return info.Size(), [sha256.Size]byte(h.Sum(nil)), nil
}

func (s split) public() source.Split { return source.Split{ID: s.name, Data: s.append(nil)} }

func (s split) append(b []byte) []byte {
	b = append(b, splitVersion)
	b = binary.AppendUvarint(b, uint64(len(s.name)))
	b = append(b, s.name...)
	b = binary.AppendUvarint(b, uint64(s.size))
	b = append(b, s.head[:]...)
	b = binary.AppendUvarint(b, uint64(s.offset))
	return binary.AppendUvarint(b, uint64(s.lines))
}

func decodeSplit(data []byte) (split, error) {
	d := stateDecoder{rest: data}
	d.version("split", splitVersion)
	s := split{name: string(d.bytes()), size: d.int()}
	copy(s.head[:], d.next(len(s.head)))
	s.offset, s.lines = d.int(), d.int()
	if d.err == nil && (s.name == "" || s.offset < s.lines) {
		d.fail()
	}
	return s, d.end("split of files")
}

// encodeSplits is the state of an enumerator: the splits it has not handed out.
func encodeSplits(splits []split) []byte {
	b := binary.AppendUvarint([]byte{splitVersion}, uint64(len(splits)))
	for _, s := range splits {
		data := s.append(nil)
		b = binary.AppendUvarint(b, uint64(len(data)))
		b = append(b, data...)
	}
	return b
}

func decodeSplits(data []byte) ([]split, error) {
	d := stateDecoder{rest: data}
	d.version("list of splits", splitVersion)
	var splits []split
	for n := d.int(); n > 0 && d.err == nil; n-- {
		s, err := decodeSplit(d.bytes())
		if err != nil {
			return nil, err
		}
		splits = append(splits, s)
	}
	return splits, d.end("list of files to read")
}

// stateDecoder takes values from the front of a state. After the first failure it gives zero values.
type stateDecoder struct {
	rest []byte
	err  error
}

var errState = errors.New("cut short or damaged")

func (d *stateDecoder) fail() {
	if d.err == nil {
		d.err = errState
	}
	d.rest = nil
}

// next takes n bytes; nil after a failure.
func (d *stateDecoder) next(n int) []byte {
	if n < 0 || n > len(d.rest) {
		d.fail()
		return nil
	}
	b := d.rest[:n]
	d.rest = d.rest[n:]
	return b
}

// int takes a number that is not negative.
func (d *stateDecoder) int() int64 {
	v, n := binary.Uvarint(d.rest)
	if n <= 0 || v > 1<<62 {
		d.fail()
		return 0
	}
	d.rest = d.rest[n:]
	return int64(v)
}

// bytes takes a number and that many bytes.
func (d *stateDecoder) bytes() []byte {
	n := d.int()
	if n > int64(len(d.rest)) {
		d.fail()
		return nil
	}
	return d.next(int(n))
}

// version takes the first byte, which says how the rest is written.
func (d *stateDecoder) version(what string, known byte) {
	b := d.next(1)
	if d.err == nil && b[0] != known {
		d.err = fmt.Errorf("%s of version %d, this program reads version %d: it was written by a newer one", what, b[0], known)
		d.rest = nil
	}
}

// end returns what went wrong, also if something is left.
func (d *stateDecoder) end(what string) error {
	if d.err == nil && len(d.rest) > 0 {
		d.fail()
	}
	if d.err != nil {
		return fmt.Errorf("state of %s: %w", what, d.err)
	}
	return nil
}
