// Package spill keeps in files what the loops of a job must not keep in memory.
//
//   - Nobody else sees the files, and they go with the process, however that ends. Nothing in them is ever read by another run.
//   - Blocks are written by one goroutine and taken by another, each once. A Log is written to its end and then read, as a whole.
//   - A file holds many blocks and is closed when the last of them was taken, so that the space follows what waits.
package spill

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
)

// File is a file that is being used.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer // gives the space back
}

// Files makes an empty file. It may be called by any goroutine.
type Files func() (File, error)

// Temp returns Files in a directory; "" is that of the system for temporary files.
func Temp(dir string) Files {
	return func() (File, error) {
		f, err := os.CreateTemp(dir, "weir-loop-*")
		if err != nil {
			return nil, err
		}
		if os.Remove(f.Name()) == nil { // it lives on without its name until it is closed
			return f, nil
		}
		return named{f}, nil // some systems do not remove what is open
	}
}

// named is a file that has to be removed when it is closed.
type named struct{ *os.File }

// Close closes and removes the file.
func (f named) Close() error { return errors.Join(f.File.Close(), os.Remove(f.Name())) }

// segmentSize is the size at which another file is begun.
const segmentSize = 64 << 20

// Blocks is a place for blocks of bytes.
type Blocks struct {
	files Files
	limit int64 // segmentSize but in tests

	mu struct { // held while a block is written, which only Close ever waits for
		sync.Mutex
		current *segment
		closed  bool
	}
}

// segment is one file.
type segment struct {
	file File
	end  int64        // written by Put
	uses atomic.Int32 // blocks that were not taken, and one while blocks are added
}

// drop gives up one use, and closes the file with the last.
func (s *segment) drop() error {
	if s.uses.Add(-1) > 0 {
		return nil
	}
	return s.file.Close()
}

// Block is where a block lies. The zero value is none.
type Block struct {
	segment *segment
	at      int64
	size    int
}

// NewBlocks returns an empty place.
func NewBlocks(files Files) *Blocks { return &Blocks{files: files, limit: segmentSize} }

// Put writes a block. p is the caller's again afterwards.
func (b *Blocks) Put(p []byte) (Block, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s, err := b.roomLocked()
	if err != nil {
		return Block{}, fmt.Errorf("spill: %w", err)
	}
	if _, err := s.file.WriteAt(p, s.end); err != nil {
		return Block{}, fmt.Errorf("spill: %w", err)
	}
	block := Block{s, s.end, len(p)}
	s.end += int64(len(p))
	s.uses.Add(1)
	return block, nil
}

// roomLocked returns the segment for the next block.
func (b *Blocks) roomLocked() (*segment, error) {
	if b.mu.closed {
		return nil, os.ErrClosed
	}
	if b.mu.current != nil && b.mu.current.end < b.limit {
		return b.mu.current, nil
	}
	if err := b.retireLocked(); err != nil {
		return nil, err
	}
	f, err := b.files()
	if err != nil {
		return nil, err
	}
	b.mu.current = &segment{file: f}
	b.mu.current.uses.Store(1)
	return b.mu.current, nil
}

// retireLocked adds no more to the current segment.
func (b *Blocks) retireLocked() error {
	s := b.mu.current
	b.mu.current = nil
	if s == nil {
		return nil
	}
	return s.drop()
}

// Close ends the writing. Blocks that were not taken still can be, or dropped.
func (b *Blocks) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.mu.closed = true
	return b.retireLocked()
}

// IsZero reports whether this is no block.
func (k Block) IsZero() bool { return k.segment == nil }

// Take reads a block into buf, which grows if it has to, and drops it.
func (k Block) Take(buf []byte) ([]byte, error) {
	if cap(buf) < k.size {
		buf = make([]byte, k.size)
	}
	buf = buf[:k.size]
	if n, err := k.segment.file.ReadAt(buf, k.at); n < k.size {
		return nil, fmt.Errorf("read what was spilled: %w", err)
	}
	return buf, k.Drop()
}

// Drop gives a block up.
func (k Block) Drop() error { return k.segment.drop() }

// Log is a sequence of bytes that is written at its end: in memory up to a limit, and in a file beyond. It is used by one goroutine at a
// time.
type Log struct {
	files Files
	limit int
	tail  []byte // what is not in the file yet
	file  File
	size  int64 // of the file
}

// NewLog returns an empty log that keeps at most limit bytes in memory, and what a single Write brings.
func NewLog(files Files, limit int) *Log { return &Log{files: files, limit: limit} }

// Size returns the number of bytes written.
func (l *Log) Size() int64 { return l.size + int64(len(l.tail)) }

// Write appends p.
func (l *Log) Write(p []byte) (int, error) {
	l.tail = append(l.tail, p...)
	if len(l.tail) <= l.limit {
		return len(p), nil
	}
	if err := l.spill(); err != nil {
		return 0, fmt.Errorf("spill: %w", err)
	}
	return len(p), nil
}

func (l *Log) spill() error {
	if l.file == nil {
		f, err := l.files()
		if err != nil {
			return err
		}
		l.file = f
	}
	if _, err := l.file.WriteAt(l.tail, l.size); err != nil {
		return err
	}
	l.size += int64(len(l.tail))
	l.tail = l.tail[:0]
	return nil
}

// WriteTo writes all of the log to w. It may be called again.
func (l *Log) WriteTo(w io.Writer) (n int64, err error) {
	if l.file != nil {
		if n, err = io.Copy(w, io.NewSectionReader(l.file, 0, l.size)); err != nil {
			return n, err
		}
	}
	m, err := w.Write(l.tail)
	return n + int64(m), err
}

// Close gives the log up.
func (l *Log) Close() error {
	l.tail = nil
	if l.file == nil {
		return nil
	}
	f := l.file
	l.file, l.size = nil, 0
	return f.Close()
}
