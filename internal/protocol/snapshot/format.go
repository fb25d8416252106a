package snapshot

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"strings"
)

// The form of `_metadata`, described in docs/formats/metadata.md. Every version, also those to come, keeps the head and the trailer, so
// that damage can be told from a version that is merely unknown.
const (
	magic       = "weir-md\n"
	Version     = 3 // the format version that Encode writes
	headSize    = len(magic) + 4 + 8
	trailerSize = 4
)

// ErrDamaged means that bytes are not what Encode wrote, on proof: the magic, the length or the checksum is wrong.
var ErrDamaged = errors.New("damaged metadata")

// VersionError reports metadata of a format that this version of Weir cannot read.
type VersionError struct{ Version uint32 }

// Error says which version of Weir can read it.
func (e *VersionError) Error() string {
	return fmt.Sprintf("metadata has format version %d, this version of Weir reads 1 to %d: use the version that wrote it, or a newer one", e.Version, Version)
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Encode writes the metadata down. It fails if they contradict themselves, so that nothing is published which cannot be read back.
func Encode(m *Metadata) ([]byte, error) {
	if err := m.Check(); err != nil {
		return nil, err
	}
	e := encoder{buf: make([]byte, headSize, 4096)}
	e.metadata(m)
	copy(e.buf, magic)
	binary.LittleEndian.PutUint32(e.buf[len(magic):], Version)
	binary.LittleEndian.PutUint64(e.buf[len(magic)+4:], uint64(len(e.buf)-headSize))
	return binary.LittleEndian.AppendUint32(e.buf, crc32.Checksum(e.buf, castagnoli)), nil
}

// Decode reads what Encode has written. The error is ErrDamaged on proof of damage and a *VersionError for an unknown version. Bytes that
// pass the checksum and make no sense, as only another program can have written them, are neither. The result shares no memory
// with data.
func Decode(data []byte) (*Metadata, error) {
	if err := checkFrame(data); err != nil {
		return nil, err
	}
	version := binary.LittleEndian.Uint32(data[len(magic):])
	if version < 1 || version > Version {
		return nil, &VersionError{version}
	}
	d := decoder{version: version, rest: data[headSize : len(data)-trailerSize]}
	m := d.metadata()
	if d.err == nil && len(d.rest) > 0 {
		d.fail("%d bytes after the end", len(d.rest))
	}
	if d.err == nil {
		d.err = m.Check()
	}
	if d.err != nil {
		return nil, fmt.Errorf("metadata make no sense, although their checksum is right: %w", d.err)
	}
	return m, nil
}

// MayBeMetadata reports whether data, which need not be whole, begins as what Encode writes in any version. What does not is another kind of
// file, or damaged in its first bytes.
func MayBeMetadata(data []byte) bool {
	begin := data[:min(len(data), len(magic))]
	return strings.HasPrefix(magic, string(begin))
}

func checkFrame(data []byte) error {
	if len(data) < headSize+trailerSize {
		return fmt.Errorf("%w: %d bytes are too few", ErrDamaged, len(data))
	}
	if string(data[:len(magic)]) != magic {
		return fmt.Errorf("%w: it does not begin like a _metadata file of Weir", ErrDamaged)
	}
	body := uint64(len(data) - headSize - trailerSize)
	if want := binary.LittleEndian.Uint64(data[len(magic)+4:]); want != body {
		return fmt.Errorf("%w: the body is %d bytes long, should be %d", ErrDamaged, body, want)
	}
	end := len(data) - trailerSize
	got, want := crc32.Checksum(data[:end], castagnoli), binary.LittleEndian.Uint32(data[end:])
	if got != want {
		return fmt.Errorf("%w: checksum %08x, should be %08x", ErrDamaged, got, want)
	}
	return nil
}
