// Package native answers one question: what is in keyed state that a checkpoint has in the form of a state backend, when no job runs?
//
//   - The backend itself opens it, as in a restart. So it must be in the program, and what is opened lies on the local disk until [Reader.Close].
//   - It is read group by group in the form of docs/formats/keyed.md, with all that was logged behind it.
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
	factory backend.Factory
	store   backend.Store
}

// Open opens a chain for which [Is] holds, of a snapshot that was complete at a time, which the backend takes for the present.
func Open(ctx context.Context, chain []snapshot.Keyed, completed time.Time, open transfer.Open) (*Reader, error) {
	r, err := newReader(ctx, chain, completed, open)
	if err != nil {
		return nil, fmt.Errorf("keyed state in the form of the state backend %s, which a canonical savepoint has not: %w", chain[0].Format, err)
	}
	return r, nil
}

func newReader(ctx context.Context, chain []snapshot.Keyed, completed time.Time, open transfer.Open) (r *Reader, err error) {
	k := chain[0]
	make, err := backends.Find(k.Format)
	if err != nil {
		return nil, err
	}
	all, err := readAll(ctx, k.Stream, open)
	if err != nil {
		return nil, err
	}
	if int64(len(all)) < k.Header {
		return nil, fmt.Errorf("%w: its head is cut short", keyed.ErrCorrupt)
	}
	r = &Reader{head: all[:k.Header]}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.Close())
		}
	}()
	logger := slog.New(slog.DiscardHandler)
	if r.factory, err = make(backend.Job{Name: "offline", Logger: logger, Now: func() time.Time { return completed }}); err != nil {
		return nil, err
	}
	part := transfer.Part(k, k.Range, all[k.Header:], open)
	env := backend.Env{Parallelism: 1, Attempt: 1, Groups: part.Groups, Restored: []backend.Part{part}, Logger: logger}
	if r.store, err = r.factory.Open(ctx, env); err != nil {
		return nil, err
	}
	for _, k := range chain[1:] {
		log, err := readAll(ctx, k.Stream, open)
		if err == nil {
			err = logged.Apply(bytes.NewReader(log), r.store, part.Groups)
		}
		if err != nil {
			return nil, fmt.Errorf("a segment of the changelog: %w", err)
		}
	}
	return r, nil
}

func readAll(ctx context.Context, s snapshot.Stream, open transfer.Open) ([]byte, error) {
	r, err := open(ctx, s)
	if err != nil {
		return nil, err
	}
	all, err := io.ReadAll(io.NewSectionReader(r, 0, s.Length))
	return all, errors.Join(err, r.Close())
}

// Group returns one key group of the chain's range: a stream, and what it holds.
func (r *Reader) Group(g int) (snapshot.Keyed, io.ReaderAt, error) {
	var b bytes.Buffer
	k, err := heap.WriteStore(r.store, r.head, keygroup.Range{First: g, Last: g}, &b)
	return k, bytes.NewReader(b.Bytes()), err
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
