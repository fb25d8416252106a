package file

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// input is the decompressed content of a file.
type input struct {
	io.Reader
	file   fs.File
	raw    *tracked
	stop   func()    // ends the decompressor; nil for plain files
	seeker io.Seeker // of a plain file that has one
}

// openInput opens the file of a split for reading from its beginning. It refuses one that is not the file that the split knows.
func openInput(fsys fs.FS, s split) (*input, error) {
	f, err := fsys.Open(s.name)
	if err != nil {
		return nil, err
	}
	in, err := newInput(fsys, f, s)
	if err != nil {
		f.Close()
	}
	return in, err
}

func newInput(fsys fs.FS, f fs.File, s split) (*input, error) {
	if err := s.checkFile(f); err != nil {
		return nil, err
	}
	seeker, ok := f.(io.Seeker)
	if !ok {
		return nil, errors.New("the file system has no Seek, which going on from a checkpoint needs")
	}
	if _, err := seeker.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	in := &input{file: f, raw: &tracked{Reader: f}}
	return in, in.decompress(s.name, seeker)
}

// checkFile refuses a file that is not the one that the split knows. It reads from the beginning.
func (s split) checkFile(f fs.File) error {
	size, head, err := identify(f)
	switch {
	case err != nil:
		return err
	case size != s.size:
		return &formatError{fmt.Errorf("the file has changed since the job began: it had %d bytes and has %d; put the old one back, or start anew", s.size, size)}
	case head != s.head:
		return &formatError{errors.New("the file has changed since the job began: it begins with other data; put the old one back, or start anew")}
	}
	return nil
}

// check refuses a split whose file is not there any more, or is another one. A job that goes on looks before it begins: found later, the
// same would end it for good, and the end may delete the checkpoints that it could go on from once the file is back.
func (at root) check(s split) error {
	f, err := at.fsys.Open(s.name)
	if err == nil {
		err = errors.Join(s.checkFile(f), f.Close())
	}
	if err != nil {
		return wrapOpen(at.display+s.name, err)
	}
	return nil
}

// decompress chooses how to read by the end of the name.
func (in *input) decompress(name string, seeker io.Seeker) error {
	switch strings.ToLower(path.Ext(name)) {
	case ".gz":
		z, err := gzip.NewReader(in.raw)
		if err != nil {
			return in.badHeader("gzip", err)
		}
		in.Reader, in.stop = z, func() { z.Close() }
	case ".zst":
		z, err := zstd.NewReader(in.raw, zstd.WithDecoderConcurrency(1))
		if err != nil {
			return in.badHeader("zstd", err)
		}
		in.Reader, in.stop = z, z.Close
	default:
		in.Reader, in.seeker = in.raw, seeker
	}
	return nil
}

func (in *input) badHeader(kind string, err error) error {
	if in.raw.failed != nil {
		return in.raw.failed
	}
	return &formatError{fmt.Errorf("this is no %s file, as its name says, or it is cut short: %w", kind, err)}
}

// damaged reports whether an error comes from the content rather than from reading it.
func (in *input) damaged(err error) bool {
	if in.raw.failed != nil {
		return false
	}
	var format *formatError
	return !errors.As(err, &format)
}

func (in *input) close() error {
	if in.stop != nil {
		in.stop()
	}
	return in.file.Close()
}

// tracked remembers the error of a disk, to tell it from one of the decompressor.
type tracked struct {
	io.Reader
	failed error
}

func (t *tracked) Read(p []byte) (int, error) {
	n, err := t.Reader.Read(p)
	if err != nil && err != io.EOF {
		t.failed = err
	}
	return n, err
}
