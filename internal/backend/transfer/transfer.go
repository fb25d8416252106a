// Package transfer answers one question: how do the files of a byte store get into a checkpoint, and back?
//
//   - A lasting file is written once, with scope Shared, and is referred to by every later checkpoint of the same store that still has it.
//   - Only files of checkpoints that are known to be complete are referred to again. What was written for one that nobody has confirmed is
//     written once more: it may be deleted at any moment.
//   - A full checkpoint refers to nothing that was there before, a savepoint holds all files for itself.
//   - Files are written several at a time.
package transfer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"

	"github.com/weirstream/weir/backend"
	"github.com/weirstream/weir/internal/element"
	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/keygroup"
	"github.com/weirstream/weir/internal/protocol/snapshot"
)

// NewStream begins a stream of a checkpoint.
type NewStream func(ctx context.Context, scope snapshot.Scope) (snapshot.StreamWriter, error)

// Files knows where the lasting files of one store are. Its methods may be called concurrently: checkpoints may overlap.
type Files struct {
	threads int // that write at once

	mu          sync.Mutex // guards what follows
	known       map[string]file
	uncertain   map[job.CheckpointID][]snapshot.File // that were written for a checkpoint which is not known to be complete
	incremental bool
	mayUse      func(snapshot.Stream) bool
	again       func(ctx context.Context, f func() error) error
}

// file is a lasting file in a complete checkpoint.
type file struct {
	stream snapshot.Stream
	of     job.CheckpointID
}

// NewFiles returns what is known of a new store. Checkpoints refer to files of earlier ones if they are incremental, and mayUse allows it, which may
// be nil.
func NewFiles(threads int, incremental bool, mayUse func(snapshot.Stream) bool) *Files {
	return &Files{threads: max(threads, 1), known: map[string]file{}, uncertain: map[job.CheckpointID][]snapshot.File{}, incremental: incremental, mayUse: mayUse}
}

// Again says how a file is written that has failed: again calls f until it has succeeded, or has failed for good. It is called before the first Write.
// Without it nothing is written twice.
func (f *Files) Again(again func(ctx context.Context, f func() error) error) { f.again = again }

// Restored says that the store was opened with the files of a complete checkpoint, all of them and no others. Those that belong to that
// checkpoint alone are written once more.
func (f *Files) Restored(id job.CheckpointID, files []snapshot.File) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, x := range files {
		if x.Stream.Scope != snapshot.Exclusive {
			f.known[x.Name] = file{x.Stream, id}
		}
	}
}

// Completed says that a checkpoint is complete, and that none before it will be that was not confirmed by now.
func (f *Files) Completed(id job.CheckpointID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	files, ok := f.uncertain[id]
	if ok { // what it has not is not needed any more: the store has merged it into others
		f.known = make(map[string]file, len(files))
		for _, x := range files {
			if x.Stream.Scope != snapshot.Exclusive {
				f.known[x.Name] = file{x.Stream, id}
			}
		}
	}
	for other := range f.uncertain {
		if other <= id {
			delete(f.uncertain, other)
		}
	}
}

// Aborted says that a checkpoint will never be complete.
func (f *Files) Aborted(id job.CheckpointID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.uncertain, id)
}

// Write writes the files of a store's snapshot, or refers to where they are. After an error the streams that were finished are the caller's to
// delete.
func (f *Files) Write(ctx context.Context, id job.CheckpointID, kind element.SnapshotKind, x backend.Snapshot, newStream NewStream) ([]snapshot.File, error) {
	all := x.Files()
	out := make([]snapshot.File, len(all))
	var todo []int
	for i, one := range all {
		out[i].Name = one.Name
		if kept, ok := f.find(one, kind); ok {
			out[i].Stream = kept
		} else {
			todo = append(todo, i)
		}
	}
	slices.SortFunc(todo, func(a, b int) int { return cmp.Compare(all[b].Size, all[a].Size) }) // the largest first, so that no one is waited for alone
	err := f.each(ctx, todo, func(ctx context.Context, i int) error {
		scope := snapshot.Exclusive
		if all[i].Lasting && f.incremental && !kind.IsSavepoint() {
			scope = snapshot.Shared
		}
		return f.repeat(ctx, func() (err error) {
			out[i].Stream, err = write(ctx, x, all[i], scope, newStream)
			return err
		})
	})
	if err != nil {
		return nil, err
	}
	if !kind.IsSavepoint() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.uncertain[id] = out
	}
	return out, nil
}

func (f *Files) repeat(ctx context.Context, what func() error) error {
	if f.again == nil {
		return what()
	}
	return f.again(ctx, what)
}

// find returns where a file is that need not be written.
func (f *Files) find(one backend.File, kind element.SnapshotKind) (snapshot.Stream, bool) {
	if !one.Lasting || !f.incremental || kind != element.Checkpoint {
		return snapshot.Stream{}, false
	}
	f.mu.Lock()
	kept, ok := f.known[one.Name]
	f.mu.Unlock()
	ok = ok && kept.stream.Length == one.Size
	return kept.stream, ok && (f.mayUse == nil || f.mayUse(kept.stream))
}

// each does something for each number, several at once, until the first error.
func (f *Files) each(ctx context.Context, numbers []int, what func(ctx context.Context, i int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	next := make(chan int)
	var wg sync.WaitGroup
	for range min(f.threads, len(numbers)) {
		wg.Go(func() {
			for i := range next {
				if err := ctx.Err(); err != nil {
					continue
				}
				if err := what(ctx, i); err != nil {
					cancel(err)
				}
			}
		})
	}
	for _, i := range numbers {
		next <- i
	}
	close(next)
	wg.Wait()
	return context.Cause(ctx)
}

func write(ctx context.Context, x backend.Snapshot, one backend.File, scope snapshot.Scope, newStream NewStream) (done snapshot.Stream, err error) {
	r, err := x.Open(one.Name)
	if err != nil {
		return done, fmt.Errorf("file %s of the state backend: %w", one.Name, err)
	}
	defer r.Close()
	out, err := newStream(ctx, scope)
	if err != nil {
		return done, err
	}
	if f, ok := r.(*os.File); ok && one.Lasting {
		if likes, ok := snapshot.As[snapshot.FileLiker](out); ok {
			likes.LikeFile(f.Name())
		}
	}
	n, err := io.CopyBuffer(onlyWriter{out}, onlyReader{r}, make([]byte, 256<<10))
	if err == nil && n != one.Size {
		err = fmt.Errorf("it has %d bytes, and should have %d", n, one.Size)
	}
	if err != nil {
		return done, errors.Join(fmt.Errorf("file %s of the state backend: %w", one.Name, err), out.Abort())
	}
	return out.Finish()
}

// onlyWriter and onlyReader hide what else there may be, so that the buffer is used.
type (
	onlyWriter struct{ io.Writer }
	onlyReader struct{ io.Reader }
)

// Open opens a stream of a checkpoint.
type Open func(ctx context.Context, s snapshot.Stream) (backend.FileReader, error)

// Part makes a restored state what a store is opened with. meta is what its Meta was.
func Part(k snapshot.Keyed, wanted keygroup.Range, meta []byte, open Open) backend.Part {
	p := backend.Part{Groups: groups(k.Range.Intersect(wanted)), Written: groups(k.Written), Meta: meta}
	for _, f := range k.Files {
		p.Files = append(p.Files, backend.StoredFile{Name: f.Name, Size: f.Stream.Length, Open: func(ctx context.Context) (backend.FileReader, error) {
			return open(ctx, f.Stream)
		}})
	}
	return p
}

func groups(r keygroup.Range) backend.Groups { return backend.Groups{First: r.First, Last: r.Last} }
