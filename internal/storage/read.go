package storage

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/weirstream/weir/internal/protocol/snapshot"
	"github.com/weirstream/weir/storage"
)

// StreamReader reads any part of one stream. ReadAt may be called concurrently; Close ends it.
//
// It does not verify: a restore that reads a part of a stream cannot. Verify reads everything once before a snapshot is trusted, with all
// cores (5 GB/s on two); after that a restore reads what it needs, into buffers that it reuses, from the page cache. ReadStream reads
// and verifies in one pass, at the price of memory for the whole stream.
type StreamReader struct {
	name   string
	offset int64
	length int64
	inline []byte
	file   storage.Reader // nil if the bytes are inline
}

// OpenStream opens a stream of a loaded snapshot. The context covers the reader too. The error is a *CorruptError if the file is definitely
// absent or shorter than the stream.
func OpenStream(ctx context.Context, fs storage.FS, s snapshot.Stream) (*StreamReader, error) {
	r := &StreamReader{name: s.Path, offset: s.Offset, length: s.Length}
	if s.Path == "" {
		r.inline = s.Inline
		return r, nil
	}
	var err error
	if r.file, err = openFile(ctx, fs, s); err != nil {
		return nil, err
	}
	if size := r.file.Size(); s.Offset+s.Length > size {
		err := &CorruptError{File: s.Path, Why: wrongLength(s.Offset+s.Length, size)}
		return nil, errors.Join(err, r.file.Close())
	}
	return r, nil
}

// openFile opens a file that a snapshot refers to, so that its absence is damage.
func openFile(ctx context.Context, fs storage.FS, s snapshot.Stream) (storage.Reader, error) {
	name := s.Path
	f, err := fs.Open(ctx, name)
	if errors.Is(err, storage.ErrNotExist) {
		return nil, &CorruptError{File: name, Why: missing(s)}
	}
	if err != nil {
		return nil, fmt.Errorf("open state: %w", err)
	}
	return f, nil
}

// missing says what it means that a stream's file is definitely absent.
func missing(s snapshot.Stream) string {
	if s.Scope == snapshot.Exclusive {
		return "the file is missing"
	}
	return "the file is missing; a checkpoint refers to the files that it shares with others by their full paths, so it cannot be moved or copied as a savepoint can"
}

// Size returns the length of the stream in bytes.
func (r *StreamReader) Size() int64 { return r.length }

// ReadAt reads bytes of the stream, counted from its beginning.
func (r *StreamReader) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("read state: offset %d is negative", off)
	}
	left := max(0, r.length-off)
	atEnd := int64(len(p)) > left
	p = p[:min(int64(len(p)), left)]
	if r.file == nil {
		copy(p, r.inline[min(off, r.length):])
	} else if err := readAt(r.file, r.name, p, r.offset+off); err != nil {
		return 0, err
	}
	if atEnd {
		return len(p), io.EOF
	}
	return len(p), nil
}

// Close releases the file.
func (r *StreamReader) Close() error {
	if r.file == nil {
		return nil
	}
	return r.file.Close()
}

// ReadStream returns all bytes of a stream of a loaded snapshot, verified unless they are a part that was cut out on restore. They belong to the caller unless the stream is inline: those
// must not be changed.
func ReadStream(ctx context.Context, fs storage.FS, s snapshot.Stream) ([]byte, error) {
	if s.Path == "" {
		return s.Inline, checkSum(s, crc32.Checksum(s.Inline, castagnoli))
	}
	r, err := OpenStream(ctx, fs, s)
	if err != nil {
		return nil, err
	}
	data := make([]byte, s.Length)
	crc, err := readSummed(r.file, s, data)
	if err == nil {
		err = checkSum(s, crc)
	}
	if err := errors.Join(err, r.Close()); err != nil {
		return nil, err
	}
	return data, nil
}

// readSummed fills data and sums it up while it is in the cache.
func readSummed(f storage.Reader, s snapshot.Stream, data []byte) (crc uint32, err error) {
	for off := 0; off < len(data); off += verifyChunk {
		part := data[off:min(off+verifyChunk, len(data))]
		if err := readAt(f, s.Path, part, s.Offset+int64(off)); err != nil {
			return 0, err
		}
		crc = crc32.Update(crc, castagnoli, part)
	}
	return crc, nil
}

// readAt fills p. A file that ends early has become shorter than it was when it was opened.
func readAt(f storage.Reader, name string, p []byte, off int64) error {
	n, err := f.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	if err == io.EOF {
		return &CorruptError{File: name, Why: wrongLength(off+int64(len(p)), off+int64(n))}
	}
	return fmt.Errorf("read state: %w", err)
}

func wrongLength(want, got int64) string {
	return fmt.Sprintf("%d bytes long, should be %d", got, want)
}

func checkSum(s snapshot.Stream, got uint32) error {
	if got == s.CRC || s.Partial {
		return nil
	}
	name := s.Path
	if name == "" {
		name = MetadataName + " (state inside it)"
	}
	return &CorruptError{File: name, Why: fmt.Sprintf("checksum %08x, should be %08x", got, s.CRC)}
}
