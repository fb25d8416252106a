package line

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
)

// MaxEncoded is the length that no encoded record exceeds, in bytes. The longest part of a record, the ranges it went back over, is
// cut to maxRanges.
const MaxEncoded = 16 << 20

// maxRanges is how many abandoned ranges a record keeps. A range comes with every restart that finds new checkpoints; the oldest
// are forgotten, and then only a sink can tell that a checkpoint from there must not be restored.
const maxRanges = 1000

// Version is that of the form that Encode writes.
const Version = 4

const (
	head = "weir job line, format 4\n"
	// head3 was written before lines knew of places apart from the directory of checkpoints, head2 before those of savepoints that a job
	// was cancelled with, head1 before those that one has stopped with. What follows them is the same without these. All heads are of one
	// length.
	head3 = "weir job line, format 3\n"
	head2 = "weir job line, format 2\n"
	head1 = "weir job line, format 1\n"
	tail  = "crc32c %08x\n"
)

var heads = []string{head, head3, head2, head1}

// OtherFormat reports whether data that Decode refuses may be a record as a newer version writes it, and so proves no damage.
func OtherFormat(data []byte) bool {
	const begin = "weir job line, format "
	return bytes.HasPrefix(data, []byte(begin)) &&
		!slices.ContainsFunc(heads, func(head string) bool { return bytes.HasPrefix(data, []byte(head)) })
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Encode writes a record in the form of docs/formats/line.md: a line with the format's name and version, JSON that a person can
// read, and a line with the checksum of all that is before it.
func Encode(r Record) ([]byte, error) {
	r.Abandoned = r.Abandoned[max(0, len(r.Abandoned)-maxRanges):]
	if err := r.Validate(); err != nil {
		return nil, fmt.Errorf("encode the record of a job line: %w", err)
	}
	var b bytes.Buffer
	b.WriteString(head)
	enc := json.NewEncoder(&b)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	if err := enc.Encode(r); err != nil {
		return nil, fmt.Errorf("encode the record of a job line: %w", err)
	}
	fmt.Fprintf(&b, tail, crc32.Checksum(b.Bytes(), castagnoli))
	if b.Len() > MaxEncoded {
		return nil, fmt.Errorf("encode the record of a job line: %d bytes, at most %d are read again", b.Len(), MaxEncoded)
	}
	return b.Bytes(), nil
}

// Decode reads what Encode has written. Any error is proof that the data is not a whole record of a format that this version knows.
func Decode(data []byte) (Record, error) {
	body, err := body(data)
	if err != nil {
		return Record{}, err
	}
	var r Record
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&r); err != nil {
		return Record{}, fmt.Errorf("not the JSON of a job line: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return Record{}, fmt.Errorf("something follows the record at byte %d", dec.InputOffset())
	}
	if err := r.Validate(); err != nil {
		return Record{}, err
	}
	return r, nil
}

// body checks the first and the last line and returns what is between them.
func body(data []byte) ([]byte, error) {
	var body []byte
	ok := false
	for _, head := range heads {
		if body, ok = bytes.CutPrefix(data, []byte(head)); ok {
			break
		}
	}
	if !ok {
		first, _, _ := bytes.Cut(data[:min(len(data), 80)], []byte("\n"))
		return nil, fmt.Errorf("it begins with %q, not with %q: damaged, or written by a newer version", first, head[:len(head)-1])
	}
	end := len(data) - len(fmt.Sprintf(tail, 0))
	if end < len(head) {
		return nil, errors.New("it is cut off")
	}
	if want := fmt.Appendf(nil, tail, crc32.Checksum(data[:end], castagnoli)); !slices.Equal(data[end:], want) {
		return nil, fmt.Errorf("checksum: it ends in %q, want %q", data[end:], want)
	}
	return body[:end-len(head)], nil
}
