// Package native answers one question: how is keyed state read that a checkpoint has in the form of a state backend?
//
//   - The backend itself opens it, and it is read in the form of docs/formats/keyed.md: see [ReadPart], [Replay] and [Groups].
//   - When no job runs, a [Reader] has it opened as in a restart. So the backend must be in the program, and what is opened lies on the local disk
//     until [Reader.Close], or, with [Peek], stays where it is.
package native

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/weirstream/weir/backend"
	backends "github.com/weirstream/weir/internal/backend"
	"github.com/weirstream/weir/internal/backend/heap"
	"github.com/weirstream/weir/internal/backend/keyed"
	"github.com/weirstream/weir/internal/backend/logged"
	"github.com/weirstream/weir/internal/backend/transfer"
	"github.com/weirstream/weir/internal/keygroup"
	"github.com/weirstream/weir/internal/protocol/snapshot"
)

// Is reports whether a chain of keyed state has the form of a backend.
func Is(chain []snapshot.Keyed) bool { return len(chain) > 0 && chain[0].Format != "" }

// Reader has the keyed state of one subtask open. It is used by one goroutine.
type Reader struct {
	head    []byte
	most    int // rows of each group, 0 for all
	factory backend.Factory
	store   backend.Store
}

// Open opens a chain for which [Is] holds, of a snapshot that was complete at a time, which the backend takes for the present.
func Open(ctx context.Context, chain []snapshot.Keyed, completed time.Time, open transfer.Open) (*Reader, error) {
	return Peek(ctx, chain, completed, 0, open)
}

// Peek is like Open for those who want at most so many rows of each group, unless it is 0: a backend that is able to reads the files where they are,
// and of them what is asked for. The context holds until the reader is closed.
func Peek(ctx context.Context, chain []snapshot.Keyed, completed time.Time, most int, open transfer.Open) (*Reader, error) {
	r, err := newReader(ctx, chain, completed, most, open)
	if err != nil {
		return nil, fmt.Errorf("keyed state in the form of the state backend %s, which a canonical savepoint has not: %w", chain[0].Format, err)
	}
	return r, nil
}

func newReader(ctx context.Context, chain []snapshot.Keyed, completed time.Time, most int, open transfer.Open) (r *Reader, err error) {
	k := chain[0]
	make, err := backends.Find(k.Format)
	if err != nil {
		return nil, err
	}
	head, part, err := ReadPart(ctx, k, k.Range, open)
	if err != nil {
		return nil, err
	}
	r = &Reader{head: head, most: most}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.Close())
		}
	}()
	logger := slog.New(slog.DiscardHandler)
	if r.factory, err = make(backend.Job{Name: "offline", Logger: logger, Now: func() time.Time { return completed }}); err != nil {
		return nil, err
	}
	env := backend.Env{Parallelism: 1, Attempt: 1, Groups: part.Groups, Restored: []backend.Part{part}, InPlace: most > 0, Logger: logger}
	if r.store, err = r.factory.Open(ctx, env); err != nil {
		return nil, err
	}
	return r, Replay(ctx, r.store, chain, part.Groups, open)
}

// ReadPart reads the head of a state in a backend's own form, and makes of the wanted groups what a store is opened with.
func ReadPart(ctx context.Context, k snapshot.Keyed, wanted keygroup.Range, open transfer.Open) (head []byte, part backend.Part, err error) {
	r, err := open(ctx, k.Stream)
	if err != nil {
		return nil, part, err
	}
	all, err := io.ReadAll(io.NewSectionReader(r, 0, k.Stream.Length))
	if err := errors.Join(err, r.Close()); err != nil {
		return nil, part, err
	}
	if int64(len(all)) < k.Header {
		return nil, part, fmt.Errorf("%w: its head is cut short", keyed.ErrCorrupt)
	}
	return all[:k.Header], transfer.Part(k, wanted, all[k.Header:], open), nil
}

// Replay makes the changes in a store that were logged behind the first of a chain.
func Replay(ctx context.Context, to backend.Store, chain []snapshot.Keyed, groups backend.Groups, open transfer.Open) error {
	for _, k := range chain[1:] {
		r, err := open(ctx, k.Stream)
		if err != nil {
			return err
		}
		err = logged.Apply(io.NewSectionReader(r, 0, k.Stream.Length), to, groups)
		if err := errors.Join(err, r.Close()); err != nil {
			return fmt.Errorf("a segment of the changelog: %w", err)
		}
	}
	return nil
}

// Groups reads key groups of a store whose states a head tells, and gives each as a stream in the form that every backend reads, with what it holds.
// It ends with the first error.
func Groups(store backend.Store, head []byte, of keygroup.Range, take func(snapshot.Keyed, io.ReaderAt) error) error {
	return each(of, take, func(g int, to io.Writer) (snapshot.Keyed, error) {
		return heap.WriteStore(store, head, keygroup.Range{First: g, Last: g}, to)
	})
}

func each(of keygroup.Range, take func(snapshot.Keyed, io.ReaderAt) error, write func(g int, to io.Writer) (snapshot.Keyed, error)) error {
	for g := of.First; g <= of.Last; g++ {
		var b bytes.Buffer
		k, err := write(g, &b)
		if err == nil {
			err = take(k, bytes.NewReader(b.Bytes()))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Groups is the function of that name for the store that is open, and for as many rows of each group as are wanted. Nothing else is read, as far as
// the backend can tell it apart.
func (r *Reader) Groups(of keygroup.Range, take func(snapshot.Keyed, io.ReaderAt) error) error {
	if r.most <= 0 {
		return Groups(r.store, r.head, of, take)
	}
	return each(of, take, func(g int, to io.Writer) (snapshot.Keyed, error) {
		return heap.WriteRows(r.store, r.head, g, r.most, to)
	})
}

// Close removes what was opened.
func (r *Reader) Close() error {
	var errs []error
	if r.store != nil {
		errs = append(errs, r.store.Close())
	}
	if r.factory != nil {
		errs = append(errs, r.factory.Close())
	}
	return errors.Join(errs...)
}
