package file

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/weirstream/weir/source"
)

// Reader returns the reader of one subtask.
func (f *Files[T]) Reader(ctx context.Context, env source.ReaderEnv) (source.Reader[T], error) {
	if err := f.CheckSource(); err != nil {
		return nil, source.Permanent(err)
	}
	at, err := f.locate()
	if err != nil {
		return nil, err
	}
	return &reader[T]{files: f, root: at, env: env}, nil
}

// reader reads one file after the other.
type reader[T any] struct {
	files *Files[T]
	root  root
	env   source.ReaderEnv

	queue   []split
	open    *openFile[T] // the one it reads
	started bool
	noMore  bool
}

func (r *reader[T]) Start() error {
	r.started = true
	r.requestIfOut()
	return nil
}

func (r *reader[T]) requestIfOut() {
	if r.open == nil && len(r.queue) == 0 && !r.noMore {
		r.env.RequestSplit()
	}
}

func (r *reader[T]) AddSplits(splits []source.Split) error {
	for _, public := range splits {
		s, err := decodeSplit(public.Data)
		if err != nil {
			return r.files.wrap(err)
		}
		if !r.started { // it comes from a checkpoint
			if err := r.root.check(s); err != nil {
				return err
			}
		}
		r.queue = append(r.queue, s)
	}
	return nil
}

func (r *reader[T]) NoMoreSplits() { r.noMore = true }

func (r *reader[T]) Poll(b *source.Batch[T]) (source.Status, error) {
	if r.open == nil {
		if len(r.queue) == 0 {
			return r.out(), nil
		}
		if err := r.openNext(); err != nil {
			return source.More, err
		}
	}
	n, again := b.Max, b.WakeAt
	if limiter := r.files.options.limiter; limiter != nil {
		n, again = limiter.Take(r.env.Now(), b.Max)
	}
	if n == 0 {
		b.WakeAt = again
		return source.Idle, nil
	}
	return source.More, r.read(b, n)
}

// out is the status of a reader that has no split.
func (r *reader[T]) out() source.Status {
	if r.noMore {
		return source.End
	}
	r.env.RequestSplit()
	return source.Idle
}

func (r *reader[T]) openNext() error {
	open, err := r.files.open(r.root, r.queue[0])
	if err != nil {
		return err
	}
	r.open, r.queue = open, r.queue[1:]
	return nil
}

// read appends up to n records of the open file.
func (r *reader[T]) read(b *source.Batch[T], n int) error {
	b.Split = r.open.split.name
	err := r.open.read(b, n)
	if err != io.EOF {
		return err
	}
	b.SplitEnd = true
	err = r.open.close()
	r.open = nil
	r.requestIfOut()
	return err
}

func (r *reader[T]) Snapshot(int64) ([]source.Split, error) {
	var splits []source.Split
	if r.open != nil {
		splits = append(splits, r.open.position().public())
	}
	for _, s := range r.queue {
		splits = append(splits, s.public())
	}
	return splits, nil
}

func (r *reader[T]) CheckpointComplete(int64) error { return nil }

func (r *reader[T]) Close() error {
	if r.open == nil {
		return nil
	}
	err := r.open.close()
	r.open = nil
	return err
}

// openFile is a file that is being read.
type openFile[T any] struct {
	split   split
	display string
	input   *input
	scan    *scanner
	decoder decoder[T]
}

// open opens the file of a split, checks that it is still the same, and goes to the split's position.
func (f *Files[T]) open(at root, s split) (*openFile[T], error) {
	o := &openFile[T]{split: s, display: at.display + s.name, decoder: f.format.decoder()}
	var err error
	if o.input, err = openInput(at.fsys, s); err != nil {
		return nil, wrapOpen(o.display, err)
	}
	o.scan = newScanner(o.input, f.format.quoted())
	if o.input.seeker != nil {
		o.scan.seek = o.input.seeker
	}
	if err := o.begin(); err != nil {
		o.input.close()
		return nil, err
	}
	return o, nil
}

// begin reads the header and skips what was read already.
func (o *openFile[T]) begin() error {
	record, err := o.scan.next()
	if err != nil && err != io.EOF {
		return o.wrap(err)
	}
	isHeader, bad := o.decoder.header(record)
	if bad != nil && err != io.EOF {
		return o.wrap(&formatError{bad})
	}
	if isHeader && err == io.EOF {
		return o.wrap(&formatError{errors.New("the file is empty: it has no header")})
	}
	if !isHeader && err == nil {
		o.scan.unread()
	}
	if o.split.offset <= o.scan.offset {
		return nil
	}
	return o.wrap(o.scan.skipTo(o.split.offset, o.split.lines))
}

// read appends up to n records. It returns io.EOF when the file is at its end.
func (o *openFile[T]) read(b *source.Batch[T], n int) error {
	for have := len(b.Records); n > 0; n-- {
		record, err := o.scan.next()
		if err == io.EOF {
			return io.EOF
		}
		if err != nil {
			return o.wrap(err)
		}
		var zero T
		b.Records = append(b.Records, zero)
		ok, err := o.decoder.decode(record, &b.Records[have])
		if err != nil {
			return o.wrap(&formatError{err})
		}
		if !ok {
			b.Records = b.Records[:have]
			continue
		}
		have++
	}
	return nil
}

// position returns the split as it must be restored.
func (o *openFile[T]) position() split {
	s := o.split
	s.offset, s.lines = o.scan.offset, o.scan.lines
	return s
}

func (o *openFile[T]) close() error { return o.input.close() }

// wrap names file and line, and marks errors that reading again would repeat.
func (o *openFile[T]) wrap(err error) error {
	if err == nil {
		return nil
	}
	damaged := o.input.damaged(err)
	named := fmt.Errorf("%s:%d: %w", o.display, o.scan.line, err)
	if damaged {
		what := "the compressed data is damaged or cut short"
		if o.input.seeker != nil {
			what = "the file is shorter than what was read of it"
		}
		return source.Permanent(fmt.Errorf("%s:%d: %s: %w", o.display, o.scan.line, what, err))
	}
	var format *formatError
	if errors.As(err, &format) {
		return source.Permanent(named)
	}
	return named
}

// wrapOpen names a file that could not be opened, and marks errors that trying again would repeat.
func wrapOpen(display string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return source.Permanent(fmt.Errorf("%s: there is no such file; it was there when the job began", display))
	}
	named := fmt.Errorf("%s: %w", display, err)
	var format *formatError
	if errors.As(err, &format) {
		return source.Permanent(named)
	}
	return named
}
