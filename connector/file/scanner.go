package file

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// maxRecord bounds a record: a quote that is never closed would otherwise take the rest of the file into memory.
const maxRecord = 16 << 20

var (
	errTooLong = fmt.Errorf("a record of more than %d MiB; is a quote never closed?", maxRecord>>20)
	errOpen    = errors.New("a quote is opened and never closed")
)

// scanner cuts bytes into records at line breaks, and knows where it is.
type scanner struct {
	in     io.Reader
	seek   io.Seeker // of in, if it has one
	quoted bool      // a line break between quotes is part of the record

	buf      []byte
	pos, end int   // what is read and not yet returned is buf[pos:end]
	eof      error // what in returned last

	offset int64 // of the first byte after the last record
	lines  int64 // number of lines up to there
	line   int64 // at which the last record begins, from 1

	unreadBytes int // what next has passed over last
	unreadLines int64
}

func newScanner(in io.Reader, quoted bool) *scanner {
	return &scanner{in: in, quoted: quoted, buf: make([]byte, 64<<10)}
}

// next returns the next record without its line end, or io.EOF. The bytes are valid until the next call. After an error of the
// format, line is the line at which that record begins.
func (s *scanner) next() ([]byte, error) {
	searched, quotes := 0, 0 // how much of the record was looked at, and how many quotes are in it
	s.line = s.lines + 1
	breaks := int64(0)
	for {
		rest := s.buf[s.pos+searched : s.end]
		if i := bytes.IndexByte(rest, '\n'); i >= 0 {
			breaks++
			if s.quoted {
				quotes += bytes.Count(rest[:i], quote)
			}
			searched += i + 1
			if quotes%2 == 0 {
				return s.take(searched, searched-1, breaks), nil
			}
			continue // an odd number of quotes: this line break is inside of them
		}
		if s.quoted {
			quotes += bytes.Count(rest, quote)
		}
		searched += len(rest)
		if s.eof == nil {
			s.fill()
			continue
		}
		return s.last(searched, quotes, breaks)
	}
}

var quote = []byte{'"'}

// last returns what stands after the last line break, if the data ends there.
func (s *scanner) last(n, quotes int, breaks int64) ([]byte, error) {
	if s.eof != io.EOF || n == 0 {
		return nil, s.eof
	}
	if quotes%2 == 1 {
		return nil, &formatError{errOpen}
	}
	return s.take(n, n, breaks+1), nil
}

// take passes over n bytes and returns the first of them as a record.
func (s *scanner) take(n, length int, breaks int64) []byte {
	record := s.buf[s.pos : s.pos+length]
	s.pos += n
	s.offset += int64(n)
	s.lines += breaks
	s.unreadBytes, s.unreadLines = n, breaks
	if length > 0 && record[length-1] == '\r' {
		record = record[:length-1]
	}
	return record
}

// unread takes the last record back, so that next returns it again. It may be called once after next.
func (s *scanner) unread() {
	s.pos -= s.unreadBytes
	s.offset -= int64(s.unreadBytes)
	s.lines -= s.unreadLines
}

// fill reads more, behind what has not been returned.
func (s *scanner) fill() {
	if s.pos > 0 {
		s.end = copy(s.buf, s.buf[s.pos:s.end])
		s.pos = 0
	}
	if s.end == len(s.buf) {
		if len(s.buf) >= maxRecord {
			s.eof = &formatError{errTooLong}
			return
		}
		s.buf = append(s.buf, make([]byte, len(s.buf))...)
	}
	n, err := s.in.Read(s.buf[s.end:])
	s.end += n
	s.eof = err
}

// skipTo goes on at a position that an earlier scanner of the same data has had. If the data ends before it, that is
// io.ErrUnexpectedEOF.
func (s *scanner) skipTo(offset, lines int64) error {
	defer func() { s.offset, s.lines, s.line = offset, lines, lines }()
	n, buffered := offset-s.offset, int64(s.end-s.pos)
	if n <= buffered {
		s.pos += int(n)
		return nil
	}
	n -= buffered
	s.pos, s.end = 0, 0
	if s.eof != nil {
		return unexpected(s.eof)
	}
	if s.seek != nil {
		_, err := s.seek.Seek(offset, io.SeekStart)
		return err
	}
	_, err := io.CopyN(io.Discard, s.in, n)
	return unexpected(err)
}

func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// formatError is an error in the content, which reading again would repeat.
type formatError struct{ err error }

func (e *formatError) Error() string { return e.err.Error() }
func (e *formatError) Unwrap() error { return e.err }
