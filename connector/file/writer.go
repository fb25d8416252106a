package file

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/weirstream/weir/sink"
	"github.com/weirstream/weir/source"
)

// writeSize is how much is gathered before it is written.
const writeSize = 64 << 10

// Writer returns the writer of one subtask. The folder is there already: Recover has made it.
func (f *Files[T]) Writer(ctx context.Context, env sink.WriterEnv, restored [][]byte) (sink.Writer[T], error) {
	if err := f.CheckSink(); err != nil {
		return nil, source.Permanent(err)
	}
	w := &writer[T]{
		files: f, env: env, dir: f.Location(), disk: f.options.disk,
		encoder: f.format.encoder(), buf: make([]byte, 0, writeSize+writeSize/4),
	}
	for _, state := range restored {
		if err := w.restore(state); err != nil {
			return nil, w.wrap(err)
		}
	}
	return w, nil
}

// writer writes files one after the other.
type writer[T any] struct {
	files   *Files[T]
	env     sink.WriterEnv
	dir     string
	disk    Disk
	encoder encoder[T]

	buf     []byte // not yet written to the file in progress
	current *openPart
	closed  []part // complete; the next Prepare takes them
	number  int    // of files begun
	backlog backlog
}

// openPart is the file in progress.
type openPart struct {
	part
	file  DiskFile
	since time.Time
}

// restore goes on with a file of a checkpoint. A subtask that gets several, because there are fewer subtasks now, leaves all but the
// first as they are.
func (w *writer[T]) restore(state []byte) error {
	s, err := decodeState(state)
	if err != nil || !s.open {
		return err
	}
	p := s.part
	path := filepath.Join(w.dir, p.name.hidden())
	info, err := w.disk.Stat(path)
	if err != nil {
		return diskError("go on with", path, err)
	}
	if info.Size() != p.size {
		return fmt.Errorf("go on with %s: it has %d bytes instead of %d", path, info.Size(), p.size)
	}
	if w.current != nil {
		w.closed = append(w.closed, p)
		return nil
	}
	f, err := w.disk.Append(path)
	if err != nil {
		return diskError("go on with", path, err)
	}
	w.current = &openPart{p, f, w.env.Now()}
	return nil
}

func (w *writer[T]) Write(records []T, _ []int64) error {
	for i := range records {
		if w.current == nil {
			if err := w.begin(); err != nil {
				return w.wrap(err)
			}
		}
		var err error
		if w.buf, err = w.encoder.append(w.buf, &records[i]); err != nil {
			return source.Permanent(w.wrap(err))
		}
		if len(w.buf) >= writeSize || w.full() {
			if err := w.spill(); err != nil {
				return w.wrap(err)
			}
		}
	}
	return nil
}

// begin creates the next file.
func (w *writer[T]) begin() error {
	w.number++
	name := partName{
		line: lineTag(w.env.Line), epoch: w.env.Line.Epoch, run: fmt.Sprintf("a%d", w.env.Attempt),
		subtask: w.env.Subtask, number: w.number, extension: w.files.format.extension(),
	}
	f, err := w.disk.Create(filepath.Join(w.dir, name.hidden()))
	if err != nil {
		return diskError("create", name.hidden(), err)
	}
	w.current = &openPart{part: part{name: name}, file: f, since: w.env.Now()}
	w.buf = w.encoder.appendHeader(w.buf)
	return nil
}

// full reports whether the file in progress has reached its size, with what is buffered.
func (w *writer[T]) full() bool {
	limit := w.files.options.roll.Size
	return limit > 0 && w.current.size+int64(len(w.buf)) >= limit
}

// spill writes what is buffered, and closes the file if it is full.
func (w *writer[T]) spill() error {
	full := w.full()
	if err := w.writeOut(); err != nil {
		return err
	}
	if full {
		w.finish()
	}
	return nil
}

func (w *writer[T]) writeOut() error {
	if len(w.buf) == 0 {
		return nil
	}
	n, err := w.current.file.Write(w.buf)
	w.current.size += int64(n)
	if err != nil {
		return diskError("write", w.current.name.hidden(), err)
	}
	w.buf = w.buf[:0]
	return nil
}

// finish ends the file in progress. It is closed once it is durable.
func (w *writer[T]) finish() {
	w.backlog.add(w.current.name.hidden(), w.current.file, true)
	w.closed = append(w.closed, w.current.part)
	w.current = nil
}

// Flush writes out what is buffered. It becomes durable by what Sync returns.
func (w *writer[T]) Flush(bool) error { return w.wrap(w.writeOut()) }

// Prepare closes the file in progress if it is time to, and hands over all closed files.
func (w *writer[T]) Prepare(ctx context.Context, checkpoint int64, end bool) ([][]byte, error) {
	if err := w.writeOut(); err != nil {
		return nil, w.wrap(err)
	}
	if w.current != nil && (end || w.files.options.roll.Checkpoint || w.aged()) {
		w.finish()
	}
	pending := make([][]byte, 0, len(w.closed))
	for _, p := range w.closed {
		p.name.checkpoint = checkpoint
		pending = append(pending, p.encode())
	}
	w.closed = nil
	return pending, nil
}

func (w *writer[T]) aged() bool {
	limit := w.files.options.roll.Age
	return limit > 0 && w.env.Now().Sub(w.current.since) >= limit
}

// Snapshot returns the name and length of the file in progress.
func (w *writer[T]) Snapshot(context.Context, int64) ([]byte, error) {
	state := writerState{line: lineTag(w.env.Line), epoch: w.env.Line.Epoch}
	if w.current == nil {
		return state.encode(), nil
	}
	if err := w.writeOut(); err != nil {
		return nil, w.wrap(err)
	}
	w.backlog.add(w.current.name.hidden(), w.current.file, false)
	state.open, state.part = true, w.current.part
	return state.encode(), nil
}

// Sync returns what makes durable all that was prepared and is in progress.
func (w *writer[T]) Sync() func(context.Context) error {
	files := w.backlog.take()
	if len(files) == 0 {
		return nil
	}
	return func(ctx context.Context) error { return w.wrap(w.backlog.sync(ctx, w.disk, w.dir, files)) }
}

// Close leaves the file in progress to be gone on with, or swept, by Recover.
func (w *writer[T]) Close() error {
	err := w.backlog.close()
	if w.current != nil {
		err = errors.Join(err, w.current.file.Close())
		w.current = nil
	}
	return w.wrap(err)
}

func (w *writer[T]) wrap(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("write to folder %s, subtask %d: %w", w.dir, w.env.Subtask, err)
}
