package storage

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"sync"

	"github.com/weirstream/weir/storage"
)

// What a StreamWriter does when its file fails, which is why a stream of any size survives failures that pass: the first of these that can be done.
//
//   - As long as the stream is held in memory it is written anew, into a new file: nobody knows what a failed write has left in one.
//   - A file whose writer holds what the store has not taken goes on where it was: see storage.Resumer.
//   - What can be read of a file that nobody can go on with is written into a new one, if it has the stream's checksum. So it goes with a local
//     file whose fsync has failed: a second fsync would prove nothing, since the system may have dropped pages and marked them clean.
//     The fsync of a new file speaks of new pages, and the checksum tells whether they hold what the old ones should.

// attempt does something with the file. If that fails, but may succeed, it is done again once the file is mended.
func (w *StreamWriter) attempt(step func() error) error {
	var last error // of step
	return w.place.retries.do(w.ctx, w.isMendable, func() error {
		if last != nil {
			if err := w.mend(last); err != nil {
				return err
			}
		}
		last = step()
		return last
	})
}

// isMendable reports whether mend has anything to begin with.
func (w *StreamWriter) isMendable(error) bool { return !w.lost || w.file != nil && !w.over }

// mend makes the file fit for another attempt at what has failed.
func (w *StreamWriter) mend(cause error) error {
	if !w.lost {
		return w.anew()
	}
	if r, ok := w.file.(storage.Resumer); ok && r.Resume() == nil {
		return nil
	}
	return w.rescue(cause)
}

// anew takes a new file in the place of one that has failed, for all that was written to it.
func (w *StreamWriter) anew() error {
	if w.file != nil && !w.over {
		_ = w.file.Abort()
	}
	w.forget(w.file, w.path)
	w.file, w.over, w.taken = nil, false, 0
	if err := w.open(); err != nil {
		return err
	}
	for _, p := range w.kept {
		if _, err := w.file.Write(*p); err != nil {
			return err
		}
	}
	return nil
}

// forget deletes a file of the stream's own that has ended without success: a commit that has failed may have been done. What cannot be deleted now
// is deleted with the checkpoint's directory, or found as garbage.
func (w *StreamWriter) forget(file storage.Writer, path string) {
	if file != nil && w.place.merged == nil {
		_ = w.place.fs.Remove(context.WithoutCancel(w.ctx), path)
	}
}

// keepToRepeat holds what was written, if that is not too much.
func (w *StreamWriter) keepToRepeat(p []byte) {
	w.lost = w.lost || w.place.retries.Most == 0 || w.done > int64(w.place.retries.Memory)
	if w.lost {
		w.keepNothing()
		return
	}
	piece := pieces.Get().(*[]byte)
	*piece = append((*piece)[:0], p...)
	w.kept = append(w.kept, piece)
}

func (w *StreamWriter) keepNothing() {
	for _, piece := range w.kept {
		pieces.Put(piece)
	}
	w.kept = nil
}

// pieces are what streams have kept of what was written. The first of every large stream is kept for a while, and memory that was not touched before
// takes longer than copying.
var pieces = sync.Pool{New: func() any { return new([]byte) }}

// unreadableError is a failure after which the bytes that were written are neither held nor to be had from the file.
type unreadableError struct {
	cause, reading error
	size           int64
}

func (e *unreadableError) Error() string {
	return fmt.Sprintf("%v (and the %d bytes before are not held in memory: %v)", e.cause, e.size, e.reading)
}

// Unwrap returns the failure of the file.
func (e *unreadableError) Unwrap() error { return e.cause }

// Lasting reports that there is nothing to write anew.
func (e *unreadableError) Lasting() bool { return true }

// openAgain opens a file that has failed with cause, to read back the bytes that were written to it.
func openAgain(ctx context.Context, fs storage.FS, path string, bytes int64, cause error) (storage.Reader, error) {
	r, err := fs.Open(ctx, path)
	if err != nil && Repeatable(err) {
		return nil, fmt.Errorf("%w (and cannot be read back: %w)", cause, err)
	}
	if err != nil {
		return nil, &unreadableError{cause, err, bytes}
	}
	return r, nil
}

// rescue takes a new file in the place of one that has failed with cause, and copies into it what was written to that one. If that fails the
// stream still has the old one.
func (w *StreamWriter) rescue(cause error) error {
	old, err := openAgain(w.ctx, w.place.fs, w.path, w.done, cause)
	if err != nil {
		return err
	}
	defer old.Close()
	before := *w
	if err := w.open(); err != nil {
		*w = before
		return err
	}
	if err := w.copyFrom(old, before.start); err != nil {
		_ = w.file.Abort()
		*w = before
		if errors.Is(err, errNotWhatWasWritten) {
			return &unreadableError{cause, err, w.done}
		}
		return err
	}
	_ = before.file.Abort()
	w.forget(before.file, before.path)
	w.taken = 0
	return nil
}

// errNotWhatWasWritten means that a file has lost bytes, or changed some.
var errNotWhatWasWritten = errors.New("what can be read of the file is not what was written to it")

// rescueBytes are copied at once.
const rescueBytes = 1 << 20

// copyFrom writes what was written of the stream, which begins at an offset in another file. What is in buf was not written, and is part of the
// checksum.
func (w *StreamWriter) copyFrom(old storage.Reader, offset int64) error {
	piece := make([]byte, rescueBytes)
	crc := uint32(0)
	for at := int64(0); at < w.done; {
		n, err := old.ReadAt(piece[:min(w.done-at, rescueBytes)], offset+at)
		if n == 0 && err == io.EOF {
			return errNotWhatWasWritten
		}
		if n == 0 && err != nil {
			return err
		}
		crc, at = crc32.Update(crc, castagnoli, piece[:n]), at+int64(n)
		if _, err := w.file.Write(piece[:n]); err != nil {
			return err
		}
		if err := w.place.throttle.wait(w.ctx, n); err != nil {
			return err
		}
	}
	if crc32.Update(crc, castagnoli, w.buf) != w.crc {
		return errNotWhatWasWritten
	}
	return nil
}
