// Package linefile keeps what a job line remembers: its record in a checkpoint directory, and the lock that keeps a second process out.
//
// The record of job "flights" is the file flights.line directly in the checkpoint directory, in the form of docs/formats/line.md.
// Beside it lies flights.lock if the directory is a local one. What the record means and how it changes is decided in
// protocol/line; here it is read, written and locked.
//
//   - The record changes only by compare-and-swap: a process that has lost the line cannot overwrite what its successor wrote.
//   - The lock dies with the process that holds it. Nobody judges by a process number whether a line is in use.
//   - Where there is no lock (an object store) the epoch in the record decides: of two starts only one writes it.
package linefile

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/weirstream/weir/internal/protocol/line"
	"github.com/weirstream/weir/storage"
)

const (
	recordSuffix = ".line"
	lockSuffix   = ".lock"
)

// NewID returns a random name for a line or a run, 32 hexadecimal digits.
func NewID() string {
	var id [16]byte
	if _, err := rand.Read(id[:]); err != nil {
		panic(fmt.Sprintf("linefile: read random bits: %v", err)) // crypto/rand never fails on a supported system
	}
	return hex.EncodeToString(id[:])
}

// DamageError means that a record is there and proven to be damaged.
type DamageError struct {
	Path string
	Err  error
}

// Error names the file and what is wrong with it.
func (e *DamageError) Error() string { return fmt.Sprintf("%s: %v", e.Path, e.Err) }

// Unwrap returns what is wrong with the content.
func (e *DamageError) Unwrap() error { return e.Err }

// ErrTaken means that another process has started this line since: the present one must stop without committing anything more. The errors that
// match it are of type *TakenError.
var ErrTaken = errors.New("another process has taken over this job line")

// TakenError says who has taken over a line.
type TakenError struct {
	Path  string // of the record
	Name  string // the job's name
	Epoch int64  // of the run that has the line now, 0 if that is not known
	Gone  bool   // there is no record any more: somebody has removed or moved it
	Holder
}

// Error says who it is, as far as it is known.
func (e *TakenError) Error() string {
	if e.Gone {
		return fmt.Sprintf("what job %q remembers is gone: %s was removed while the job ran, or its directory was. Put it back before the job is started again", e.Name, e.Path)
	}
	run := ""
	if e.Epoch != 0 {
		run = fmt.Sprintf(" as its run %d", e.Epoch)
	}
	return fmt.Sprintf("%s has taken over job %q%s (%s)", e.Holder, e.Name, run, e.Path)
}

// Lasting says that another attempt would meet the same.
func (e *TakenError) Lasting() bool { return true }

// Is makes errors.Is(err, ErrTaken) true.
func (e *TakenError) Is(target error) bool { return target == ErrTaken }

// File is the record of one line as this process has last read or written it. It is used by one goroutine at a time.
type File struct {
	fs     storage.FS
	dir    string
	path   string
	name   string
	run    string   // random: what this File writes nobody else does
	data   []byte   // what the file is known to contain, nil if there is no file
	tried  [][]byte // what writes that failed since then may have left there
	record *line.Record
	damage *DamageError
}

// Open reads the record of the job named name in a checkpoint directory. A record that is absent or damaged is no error: see Record
// and Damage.
func Open(ctx context.Context, fs storage.FS, dir, name string) (*File, error) {
	f := &File{fs: fs, dir: dir, path: join(dir, fileName(name)+recordSuffix), name: name, run: NewID()}
	var err error
	if f.data, err = readAll(ctx, fs, f.path); err != nil {
		return nil, fmt.Errorf("job %q: read what it remembers: %w", name, err)
	}
	if f.data == nil {
		return f, nil
	}
	r, err := line.Decode(f.data)
	if err == nil && r.Name != name {
		err = fmt.Errorf("it belongs to job %q, not %q (the file system does not tell their names apart)", r.Name, name)
	}
	if err != nil {
		f.damage = &DamageError{Path: f.path, Err: err}
		return f, nil
	}
	f.record = &r
	return f, nil
}

// Path returns where the record lies.
func (f *File) Path() string { return f.path }

// Record returns the record as it was last read or written, nil if there is none or it is damaged. It must not be changed.
func (f *File) Record() *line.Record { return f.record }

// Damage returns why the record cannot be read, nil if it can or there is none.
func (f *File) Damage() error {
	if f.damage == nil {
		return nil
	}
	return f.damage
}

// Put replaces the record in one atomic, durable step, provided that nobody else has changed it since this File has read or written
// it; otherwise it fails with ErrTaken. Put sets Record.Run. After any other error the old or the new record is there; Put can be tried again.
func (f *File) Put(ctx context.Context, r line.Record) error {
	r.Run = f.run
	data, err := line.Encode(r)
	if err != nil {
		return fmt.Errorf("job %q: write what it remembers: %w", f.name, err)
	}
	err = f.fs.Swap(ctx, f.path, f.data, data)
	if errors.Is(err, storage.ErrChanged) {
		err = f.retry(ctx, data)
	}
	if err != nil {
		f.tried = append(f.tried, data)
		return fmt.Errorf("job %q: write what it remembers: %w", f.name, err)
	}
	f.data, f.tried, f.record, f.damage = data, nil, &r, nil
	return nil
}

// retry finds out why the content was not what it should be. A write that seemed to fail may have taken effect: that was us.
func (f *File) retry(ctx context.Context, data []byte) error {
	now, err := readAll(ctx, f.fs, f.path)
	if err != nil {
		return err
	}
	if bytes.Equal(now, data) {
		return nil // nobody else writes the same: a record names its run
	}
	if now == nil {
		return f.gone()
	}
	if !slices.ContainsFunc(f.tried, func(tried []byte) bool { return bytes.Equal(now, tried) }) {
		return f.taken(ctx, now)
	}
	err = f.fs.Swap(ctx, f.path, now, data)
	if errors.Is(err, storage.ErrChanged) {
		return f.taken(ctx, nil)
	}
	return err
}

func (f *File) gone() error { return &TakenError{Path: f.path, Name: f.name, Gone: true} }

// taken names the one whose record is there now.
func (f *File) taken(ctx context.Context, now []byte) error {
	e := &TakenError{Path: f.path, Name: f.name}
	if r, err := line.Decode(now); err == nil {
		e.Epoch = r.Epoch
	}
	if h, err := readHolder(ctx, f.fs, f.lockPath()); err == nil && (h.Epoch == e.Epoch || h.Epoch == 0) {
		e.Holder = h // otherwise it has not come to write who it is
	}
	return e
}

// Check fails with ErrTaken if the record is not what this File has written: another process has the line. It is for what cannot be done on that
// condition in one step; the record may be another one a moment later. A failed Put that may have taken effect is no reason to fail.
func (f *File) Check(ctx context.Context) error {
	now, err := readAll(ctx, f.fs, f.path)
	if err != nil {
		return fmt.Errorf("job %q: look who has its line: %w", f.name, err)
	}
	mine := func(data []byte) bool { return bytes.Equal(now, data) }
	if mine(f.data) || slices.ContainsFunc(f.tried, mine) {
		return nil
	}
	if now == nil {
		return f.gone()
	}
	return f.taken(ctx, now)
}

// readAll returns the content of a file, nil if it is absent.
func readAll(ctx context.Context, fs storage.FS, path string) ([]byte, error) {
	r, err := fs.Open(ctx, path)
	if errors.Is(err, storage.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if r.Size() > line.MaxEncoded {
		return nil, fmt.Errorf("%s: %d bytes are more than any record has; move the file away", path, r.Size())
	}
	data := make([]byte, r.Size())
	if n, err := r.ReadAt(data, 0); n < len(data) {
		return nil, fmt.Errorf("%s: read %d of %d bytes: %w", path, n, len(data), err)
	}
	return data, nil
}

// fileName writes a job's name so that it is one part of a path on every file system.
func fileName(name string) string {
	escaped := strings.ReplaceAll(url.PathEscape(name), ":", "%3A")
	if strings.HasPrefix(escaped, ".") {
		return "%2E" + escaped[1:]
	}
	return escaped
}

// join appends a file to a directory that may begin with a scheme, as in s3://bucket/checkpoints.
func join(dir, file string) string { return strings.TrimRight(dir, "/") + "/" + file }
