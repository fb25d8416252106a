package storage

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"hash/crc32"
	"math"

	"github.com/weirstream/weir/internal/protocol/snapshot"
	"github.com/weirstream/weir/storage"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// nameAttempts is how often a new random name is tried when a file of that name exists. One collision is as good as impossible; ten mean
// that the place answers nonsense.
const nameAttempts = 10

// TooLargeError reports a stream of state that is larger than checkpoints in memory allow.
type TooLargeError struct {
	Limit int // the largest stream accepted, in bytes
	Size  int // bytes that were about to be in it; there may have been more to come
}

// Error says what can be done.
func (e *TooLargeError) Error() string {
	return fmt.Sprintf("a state of at least %d bytes is larger than the %d bytes that checkpoints in memory accept; "+
		"set a checkpoint directory with filesystem storage, or raise the limit in code", e.Size, e.Limit)
}

// StreamWriter writes one stream of state. It is used by one goroutine and ended by Finish or Abort; Abort after the end does nothing.
type StreamWriter struct {
	ctx   context.Context
	place place
	buf   []byte // what has not been written to the file
	file  storage.Writer
	name  string    // of file, as the stream will refer to it
	start int64     // where in the file the stream begins
	done  int64     // bytes written to the file
	taken int       // of the piece that is being written, bytes that the file has taken
	crc   uint32    // of all bytes, those in buf included
	kept  []*[]byte // what was written to the file, as long as it can be written anew; nil once that is too much
	lost  bool      // it was too much
	path  string    // of file
	over  bool      // the file has ended, without success
	err   error     // the first failure; the stream is lost
	ended bool
}

// place says where the bytes of a StreamWriter go.
type place struct {
	scope  snapshot.Scope
	inline int // a stream of up to so many bytes is kept inline
	buffer int // bytes to gather before they are written; at least inline
	// throttle holds back who writes too fast.
	throttle *throttle
	// retries says what is done about failures.
	retries Retries

	// For files.
	fs     storage.FS
	dir    string // where the file is made
	prefix string // what goes before the file's name in a reference to it
	// entropy gives each file a directory of its own in the place of dir and prefix.
	entropy Entropy
	made    func(path string) // is told of each file that is made, nil for nobody
	merged  *MergedPart       // where the file is taken from that the stream is appended to; nil for a file of its own
	// newName returns a name that is not taken, as good as surely.
	newName func() string

	// limit, if fs is nil, is the largest stream accepted.
	limit int
}

// NewInlineWriter begins a stream that is kept in `_metadata` whatever its length, by a storage of any kind.
func NewInlineWriter(ctx context.Context) *StreamWriter {
	return newStreamWriter(ctx, place{scope: snapshot.Shared, limit: math.MaxInt})
}

func newStreamWriter(ctx context.Context, p place) *StreamWriter {
	return &StreamWriter{ctx: ctx, place: p}
}

// AvailableBuffer implements snapshot.Lender with that of the file, if it lends one.
func (w *StreamWriter) AvailableBuffer() []byte {
	if file, ok := w.file.(snapshot.Lender); ok && len(w.buf) == 0 && w.err == nil && !w.ended {
		return file.AvailableBuffer()
	}
	return nil
}

// Size returns the number of bytes written so far, which is the offset of the next one in the stream.
func (w *StreamWriter) Size() int64 { return w.done + int64(len(w.buf)) }

// Write adds bytes to the stream. After a failure the stream is lost, every later call fails too, and Abort has to be called.
func (w *StreamWriter) Write(p []byte) (int, error) {
	if w.ended {
		panic("storage: Write on a stream that has ended")
	}
	if w.err == nil {
		w.err = w.write(p)
	}
	if w.err != nil {
		return 0, w.err
	}
	w.crc = crc32.Update(w.crc, castagnoli, p)
	return len(p), nil
}

func (w *StreamWriter) write(p []byte) error {
	if w.place.fs == nil {
		return w.keep(p)
	}
	if len(w.buf)+len(p) <= w.place.buffer {
		w.buf = append(w.buf, p...)
		return nil
	}
	if err := w.flush(); err != nil {
		return err
	}
	if len(p) <= w.place.buffer {
		w.buf = append(w.buf, p...)
		return nil
	}
	return w.writeFile(p)
}

func (w *StreamWriter) keep(p []byte) error {
	if size := len(w.buf) + len(p); size > w.place.limit {
		return &TooLargeError{Limit: w.place.limit, Size: size}
	}
	w.buf = append(w.buf, p...)
	return nil
}

// flush writes out the buffer. The file is made even if the buffer is empty: the caller has more.
func (w *StreamWriter) flush() error {
	if err := w.create(); err != nil || len(w.buf) == 0 {
		return err
	}
	err := w.writeFile(w.buf)
	w.buf = w.buf[:0]
	return err
}

func (w *StreamWriter) writeFile(p []byte) error {
	err := w.attempt(func() error {
		n, err := w.file.Write(p[w.taken:])
		w.taken += n
		return err
	})
	if err == nil {
		w.done, w.taken = w.done+int64(len(p)), 0
		w.keepToRepeat(p)
		err = w.place.throttle.wait(w.ctx, len(p))
	}
	if err != nil {
		return fmt.Errorf("write state: %w", err)
	}
	return nil
}

// create makes the file if there is none.
func (w *StreamWriter) create() (err error) {
	if w.file != nil {
		return nil
	}
	return w.place.retries.Do(w.ctx, w.open)
}

func (w *StreamWriter) open() (err error) {
	if w.place.merged != nil {
		return w.append()
	}
	for range nameAttempts {
		path, reference := w.place.newFile()
		w.file, err = w.place.fs.Create(w.ctx, path)
		if err == nil {
			w.name, w.path = reference, path
			if w.place.made != nil {
				w.place.made(path)
			}
			return nil
		}
		w.file = nil
		if !errors.Is(err, storage.ErrExist) {
			break
		}
	}
	return fmt.Errorf("create a file for state: %w", err)
}

// newFile returns the path of a new file, and how the stream will refer to it.
func (p *place) newFile() (path, reference string) {
	name := p.newName()
	if p.entropy.IsZero() {
		return join(p.dir, name), p.prefix + name
	}
	path = join(p.entropy.Spread(p.dir), name)
	return path, path
}

// append finds a file whose end the stream is to be.
func (w *StreamWriter) append() error {
	p, err := w.place.merged.begin(w.ctx, w.place.scope)
	if err != nil {
		return fmt.Errorf("find a file to merge state into: %w", err)
	}
	w.file, w.name, w.path, w.start = p, p.file.path, p.file.path, p.offset
	return nil
}

// Finish ends the stream, makes it durable and says where it is; one of a MergedPart is durable when that is sealed. A stream without bytes is an empty value with nothing behind it.
func (w *StreamWriter) Finish() (snapshot.Stream, error) {
	if w.ended {
		panic("storage: Finish on a stream that has ended")
	}
	if w.err != nil {
		return snapshot.Stream{}, errors.Join(w.err, w.Abort())
	}
	w.ended = true
	size := w.Size()
	if w.file == nil && (w.place.fs == nil || size <= int64(w.place.inline)) {
		return w.inline(), nil
	}
	if err := w.finishFile(); err != nil {
		return snapshot.Stream{}, err
	}
	return snapshot.Stream{Path: w.name, Scope: w.place.scope, Offset: w.start, Length: size, CRC: w.crc}, nil
}

// inline hands over the bytes in a slice of their own length: it may live as long as the checkpoint, in the coordinator.
func (w *StreamWriter) inline() snapshot.Stream {
	if len(w.buf) == 0 {
		return snapshot.Stream{}
	}
	held := w.buf
	if cap(held) > len(held)+len(held)/4 {
		held = append(make([]byte, 0, len(held)), held...)
	}
	return snapshot.Stream{Inline: held, Scope: w.place.scope, Length: int64(len(held)), CRC: w.crc}
}

func (w *StreamWriter) finishFile() error {
	if err := w.flush(); err != nil {
		if w.file == nil {
			return err
		}
		return errors.Join(err, w.file.Abort())
	}
	err := w.attempt(w.commit)
	w.keepNothing()
	if err != nil {
		err = fmt.Errorf("commit state: %w", err)
		if w.file != nil && !w.over {
			err = errors.Join(err, w.file.Abort())
		}
	}
	return err
}

// commit makes the file durable. It may not have ended when that fails.
func (w *StreamWriter) commit() error {
	if r, ok := w.file.(storage.Resumer); ok {
		return r.TryCommit()
	}
	err := w.file.Commit()
	w.over = err != nil
	return err
}

// Abort gives the stream up and removes its file, as far as that is possible. It does nothing once the stream has ended.
func (w *StreamWriter) Abort() error {
	if w.ended {
		return nil
	}
	w.ended = true
	w.keepNothing()
	if w.file == nil {
		return nil
	}
	if err := w.file.Abort(); err != nil {
		return fmt.Errorf("abort state: %w", err)
	}
	return nil
}

// randomName returns a name in the form of a random UUID (version 4).
func randomName() string {
	var b [16]byte
	rand.Read(b[:]) // never fails
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
