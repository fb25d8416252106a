package fs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/weirstream/weir/storage"
)

// Op names one kind of operation of a file system, as Fault and the record of Faulty spell it.
type Op string

// The operations. OpRead, OpWrite, OpSync, OpCommit, OpResume and OpAbort are those of readers and writers.
const (
	OpMakeDir   Op = "makedir"
	OpCreate    Op = "create"
	OpWrite     Op = "write"
	OpCommit    Op = "commit"
	OpSync      Op = "sync"
	OpResume    Op = "resume"
	OpAbort     Op = "abort"
	OpOpen      Op = "open"
	OpRead      Op = "read"
	OpPut       Op = "put"
	OpSwap      Op = "swap"
	OpList      Op = "list"
	OpRemove    Op = "remove"
	OpRemoveAll Op = "removeall"
)

// Forever as Fault.Times lets every matching call fail from the first on.
const Forever = -1

// Fault says which calls fail and how.
type Fault struct {
	Op    Op     // empty: every operation
	Path  string // pattern of path.Match for the whole path, or for its last part if it has no slash; empty: every path
	Nth   int    // which matching call is the first to fail, counted from 1 since Inject; 0 is 1
	Times int    // how many calls fail from then on; 0 is 1
	Err   error  // what the call fails with; nil if it is only held up
	// Hold is called before the operation and holds it up until it returns, as a slow network does, or a process that is stopped for a while.
	Hold func()
	// Late carries the operation out and fails then, as when the reply is lost.
	Late bool
	// Short is how many bytes a write takes before it fails.
	Short int
	// Torn, of a commit, leaves a file behind of which the second half of the last write is missing. It must be set before the file is created.
	Torn bool

	seen int  // matching calls so far
	gone bool // there is no connection: nothing can be done, not even cleaning up
}

// Faulty lets operations of another file system fail. Without faults it changes nothing. It may be used concurrently.
type Faulty struct {
	inner   storage.FS
	observe struct {
		sync.Mutex
		call func(line string)
	}
	mu struct {
		sync.Mutex
		faults []*Fault
		broken error // of the connection, nil if it holds
		breaks int   // how often it has broken
	}
}

var _ storage.FS = (*Faulty)(nil)

// NewFaulty returns a file system that stands before inner. Each operation is told to observe, if that is not nil, as a line of operation,
// path, what it was about and how it ended. One call of observe at a time is made.
func NewFaulty(inner storage.FS, observe func(line string)) *Faulty {
	f := &Faulty{inner: inner}
	f.observe.call = observe
	return f
}

// Inject adds a fault. When several match a call, the one added first decides.
func (f *Faulty) Inject(fault Fault) {
	if fault.Err == nil && fault.Hold == nil {
		panic("fs: a Fault needs an Err or a Hold")
	}
	if _, err := path.Match(fault.Path, ""); err != nil {
		panic(fmt.Sprintf("fs: pattern %q of a Fault: %v", fault.Path, err))
	}
	fault.Nth, fault.Times = max(fault.Nth, 1), max(fault.Times, Forever)
	if fault.Times == 0 {
		fault.Times = 1
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.faults = append(f.mu.faults, &fault)
}

// Clear removes all faults.
func (f *Faulty) Clear() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.faults = nil
}

// Break loses the connection: everything fails with err until Mend, and what is being written or read now fails for ever. What was being written is
// left as it is: nobody can remove it.
func (f *Faulty) Break(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.broken = err
	f.mu.breaks++
}

// Mend restores the connection.
func (f *Faulty) Mend() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.broken = nil
}

// connection is what a writer or reader was opened on.
func (f *Faulty) connection() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.mu.breaks
}

// errConnection is what writers and readers fail with that were open when the connection broke.
var errConnection = errors.New("the connection was lost")

// lost returns a fault if the connection does not hold, or not since opened.
func (f *Faulty) lost(opened int) *Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.mu.broken != nil:
		return &Fault{Err: f.mu.broken, gone: true}
	case opened != f.mu.breaks:
		return &Fault{Err: errConnection, gone: true}
	}
	return nil
}

// tears reports whether a commit of the file may be torn.
func (f *Faulty) tears(file string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.ContainsFunc(f.mu.faults, func(t *Fault) bool { return t.Torn && t.matches(OpCommit, file) })
}

// strike counts the call with every fault and returns the one that hits it, nil if none does.
func (f *Faulty) strike(op Op, file string) *Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	var hit *Fault
	for _, fault := range f.mu.faults {
		if !fault.matches(op, file) {
			continue
		}
		fault.seen++
		if hit == nil && fault.hits() {
			hit = fault
		}
	}
	return hit
}

func (t *Fault) matches(op Op, file string) bool {
	if t.Op != "" && t.Op != op {
		return false
	}
	if t.Path == "" {
		return true
	}
	if !strings.Contains(t.Path, "/") {
		file = path.Base(file)
	}
	ok, _ := path.Match(t.Path, file)
	return ok
}

func (t *Fault) hits() bool {
	return t.seen >= t.Nth && (t.Times == Forever || t.seen < t.Nth+t.Times)
}

// meet returns the fault that decides a call, once it has held it up. A connection that is lost meanwhile decides too.
func (f *Faulty) meet(op Op, file string, opened int) *Fault {
	hit := f.strike(op, file)
	if hit != nil && hit.Hold != nil {
		hit.Hold()
		if hit.Err == nil {
			hit = nil
		}
	}
	if lost := f.lost(opened); lost != nil {
		return lost
	}
	return hit
}

// do runs one operation, or fails in its place or after it.
func (f *Faulty) do(op Op, file, about string, run func() error) error {
	return f.doOn(f.connection(), op, file, about, run)
}

// doOn is do for what was opened on a connection.
func (f *Faulty) doOn(opened int, op Op, file, about string, run func() error) error {
	hit := f.meet(op, file, opened)
	var err error
	if hit == nil || hit.Late {
		err = run()
	}
	if hit != nil && err == nil {
		err = opError(string(op), file, hit.Err)
	}
	f.report(op, file, about, hit, err)
	return err
}

func (f *Faulty) report(op Op, file, about string, hit *Fault, err error) {
	if f.observe.call == nil {
		return
	}
	line := string(op) + " " + file
	if about != "" {
		line += " (" + about + ")"
	}
	switch {
	case hit != nil && hit.Late:
		line += ": done, but fails: " + hit.Err.Error()
	case hit != nil:
		line += ": fails: " + hit.Err.Error()
	case err != nil:
		line += ": " + err.Error()
	}
	f.observe.Lock()
	defer f.observe.Unlock()
	f.observe.call(line)
}

func size(n int) string { return fmt.Sprintf("%d bytes", n) }

// MakeDir implements storage.FS.
func (f *Faulty) MakeDir(ctx context.Context, dir string) error {
	return f.do(OpMakeDir, dir, "", func() error { return f.inner.MakeDir(ctx, dir) })
}

// Create implements storage.FS.
func (f *Faulty) Create(ctx context.Context, path string) (w storage.Writer, err error) {
	err = f.do(OpCreate, path, "", func() (err error) {
		w, err = f.inner.Create(ctx, path)
		return err
	})
	if err != nil {
		return nil, err
	}
	fw := &faultyWriter{Writer: w, fs: f, path: path, opened: f.connection(), tears: f.tears(path)}
	s, syncs := w.(storage.Syncer)
	r, resumes := w.(storage.Resumer)
	switch {
	case syncs && resumes:
		return &faultyBoth{&faultySyncer{fw, s}, faultyResumer{fw, r}}, nil
	case syncs:
		return &faultySyncer{fw, s}, nil
	case resumes:
		return &faultyResumer{fw, r}, nil
	}
	return fw, nil
}

// faultyBoth is a Syncer and a Resumer.
type faultyBoth struct {
	*faultySyncer
	resumer faultyResumer
}

func (w *faultyBoth) Resume() error    { return w.resumer.Resume() }
func (w *faultyBoth) TryCommit() error { return w.resumer.TryCommit() }

type faultyResumer struct {
	*faultyWriter
	inner storage.Resumer
}

// Resume implements storage.Resumer.
func (w *faultyResumer) Resume() error {
	return w.fs.doOn(w.opened, OpResume, w.path, "", func() error {
		if w.torn {
			return errTorn
		}
		return w.inner.Resume()
	})
}

// TryCommit implements storage.Resumer.
func (w *faultyResumer) TryCommit() error {
	return w.commit(w.inner.TryCommit, func() error { return nil })
}

type faultySyncer struct {
	*faultyWriter
	inner storage.Syncer
}

// Sync implements storage.Syncer.
func (w *faultySyncer) Sync() error {
	return w.fs.do(OpSync, w.path, "", func() error {
		if err := w.passLast(); err != nil {
			return err
		}
		return w.inner.Sync()
	})
}

type faultyWriter struct {
	storage.Writer
	fs     *Faulty
	path   string
	opened int    // connection
	tears  bool   // the last write is held back, so that it can be torn
	last   []byte // what is held back
	torn   bool   // half of it was dropped
}

// errTorn is what a writer fails with that has dropped bytes.
var errTorn = errors.New("the file is torn")

// pass writes p, or what was held back before it.
func (w *faultyWriter) pass(p []byte) (int, error) {
	if !w.tears {
		return w.Writer.Write(p)
	}
	if err := w.passLast(); err != nil {
		return 0, err
	}
	w.last = bytes.Clone(p)
	return len(p), nil
}

// AvailableBuffer returns that of the writer behind, if it lends one.
func (w *faultyWriter) AvailableBuffer() []byte {
	if lender, ok := w.Writer.(interface{ AvailableBuffer() []byte }); ok && !w.tears {
		return lender.AvailableBuffer()
	}
	return nil
}

func (w *faultyWriter) passLast() error {
	_, err := w.Writer.Write(w.last)
	w.last = nil
	return err
}

func (w *faultyWriter) Write(p []byte) (n int, err error) {
	hit := w.fs.meet(OpWrite, w.path, w.opened)
	if hit == nil {
		n, err = w.pass(p)
	} else {
		if !hit.gone {
			n, err = w.pass(p[:min(hit.Short, len(p))])
		}
		if err == nil {
			err = opError(string(OpWrite), w.path, hit.Err)
		}
	}
	w.fs.report(OpWrite, w.path, size(n), hit, err)
	return n, err
}

// Commit ends the writer also when it is made to fail, as the contract demands.
func (w *faultyWriter) Commit() error { return w.commit(w.Writer.Commit, w.Writer.Abort) }

// commit commits, or does what is to be done in the place of it.
func (w *faultyWriter) commit(commit, instead func() error) error {
	hit := w.fs.meet(OpCommit, w.path, w.opened)
	var err error
	switch {
	case hit == nil || hit.Late:
		if err = w.passLast(); err == nil {
			err = commit()
		}
	case hit.gone:
	case hit.Torn:
		w.last, w.torn = w.last[:len(w.last)/2], true
		if err = w.passLast(); err == nil {
			err = commit()
		}
	default:
		err = instead()
	}
	if hit != nil && err == nil {
		err = opError(string(OpCommit), w.path, hit.Err)
	}
	w.fs.report(OpCommit, w.path, "", hit, err)
	return err
}

func (w *faultyWriter) Abort() error {
	return w.fs.doOn(w.opened, OpAbort, w.path, "", w.Writer.Abort)
}

// Open implements storage.FS.
func (f *Faulty) Open(ctx context.Context, path string) (r storage.Reader, err error) {
	err = f.do(OpOpen, path, "", func() (err error) {
		r, err = f.inner.Open(ctx, path)
		return err
	})
	if err != nil {
		if r != nil {
			r.Close() // a late fault; nothing was written
		}
		return nil, err
	}
	return &faultyReader{Reader: r, fs: f, path: path, opened: f.connection()}, nil
}

type faultyReader struct {
	storage.Reader
	fs     *Faulty
	path   string
	opened int // connection
}

func (r *faultyReader) ReadAt(p []byte, off int64) (n int, err error) {
	err = r.fs.doOn(r.opened, OpRead, r.path, fmt.Sprintf("%d bytes at %d", len(p), off), func() (err error) {
		n, err = r.Reader.ReadAt(p, off)
		return err
	})
	return n, err
}

// PutIfAbsent implements storage.FS.
func (f *Faulty) PutIfAbsent(ctx context.Context, path string, data []byte) error {
	return f.do(OpPut, path, size(len(data)), func() error { return f.inner.PutIfAbsent(ctx, path, data) })
}

// Swap implements storage.FS.
func (f *Faulty) Swap(ctx context.Context, path string, old, new []byte) error {
	return f.do(OpSwap, path, size(len(new)), func() error { return f.inner.Swap(ctx, path, old, new) })
}

// List implements storage.FS.
func (f *Faulty) List(ctx context.Context, dir string) (entries []storage.Entry, err error) {
	err = f.do(OpList, dir, "", func() (err error) {
		entries, err = f.inner.List(ctx, dir)
		return err
	})
	if err != nil {
		return nil, err
	}
	return entries, nil
}

// Remove implements storage.FS. Each path is an operation of its own.
func (f *Faulty) Remove(ctx context.Context, paths ...string) error {
	var first error
	for _, path := range paths {
		err := f.do(OpRemove, path, "", func() error { return f.inner.Remove(ctx, path) })
		if first == nil {
			first = err
		}
	}
	return first
}

// RemoveAll implements storage.FS.
func (f *Faulty) RemoveAll(ctx context.Context, dir string) error {
	return f.do(OpRemoveAll, dir, "", func() error { return f.inner.RemoveAll(ctx, dir) })
}
