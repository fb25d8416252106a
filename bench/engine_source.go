package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/weirstream/weir/bench/internal/nexmark"
	"github.com/weirstream/weir/source"
)

// events is a source of generated events. It has as many splits as subtasks, each one reader's share of the events, as in the limits.
type events[T any] struct {
	// open returns the input of a split that begins, or goes on, at the given position. It is called in the split's subtask.
	open func(index, splits int, position int64) input[T]
}

// input is what a subtask reads.
type input[T any] interface {
	// read fills out from the front, as nexmark.Reader does. If it has nothing it returns when to ask again, or the zero time at
	// the end.
	read(out []T) (n int, again time.Time)
	// position is where to go on.
	position() int64
}

// bounded is the input that is always there and ends.
type bounded[T any] struct{ r *nexmark.Reader[T] }

func (b bounded[T]) read(out []T) (int, time.Time) { return b.r.Read(out), time.Time{} }

func (b bounded[T]) position() int64 { return b.r.Position() }

// allOf is a source of the first n events that fill makes.
func allOf[T any](fill func(first int64, out []T), n int64) *events[T] {
	return &events[T]{func(index, splits int, position int64) input[T] {
		r := nexmark.NewReader(fill, index, splits, n)
		if position >= 0 {
			r.ContinueAt(position)
		}
		return bounded[T]{r}
	}}
}

func (s *events[T]) Location() string { return "" }

// Enumerator knows which subtasks have not had their split: one byte for each, 1 if it has.
func (s *events[T]) Enumerator(_ context.Context, env source.EnumeratorEnv, restored []byte) (source.Enumerator, error) {
	if restored == nil {
		restored = make([]byte, env.Parallelism)
	}
	if len(restored) != env.Parallelism {
		return nil, fmt.Errorf("the source was cut into %d splits and cannot be read by %d subtasks", len(restored), env.Parallelism)
	}
	return &shares{given: slices.Clone(restored)}, nil
}

func (s *events[T]) Reader(_ context.Context, env source.ReaderEnv) (source.Reader[T], error) {
	return &eventReader[T]{source: s, env: env}, nil
}

type shares struct {
	mu    sync.Mutex
	given []byte
}

func (e *shares) Next(subtask int) (source.Split, source.Assignment, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.given[subtask] != 0 {
		return source.Split{}, source.NoMore, nil
	}
	e.given[subtask] = 1
	return shareAt(subtask, -1), source.Assigned, nil
}

// shareAt is the split of a subtask; the position -1 is its beginning.
func shareAt(subtask int, position int64) source.Split {
	return source.Split{ID: strconv.Itoa(subtask), Data: binary.LittleEndian.AppendUint64(nil, uint64(position))}
}

func (e *shares) AddBack(_ int, splits []source.Split) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, sp := range splits {
		if i, err := strconv.Atoi(sp.ID); err == nil {
			e.given[i] = 0
		}
	}
}

func (e *shares) Snapshot() ([]byte, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.given), nil
}

func (e *shares) Close() error { return nil }

// eventReader reads one split, straight into the engine's batches.
type eventReader[T any] struct {
	source *events[T]
	env    source.ReaderEnv
	id     string
	in     input[T] // nil: there is no split, or it is read
	none   bool     // there will be no further split
}

func (r *eventReader[T]) Start() error {
	if r.in == nil {
		r.env.RequestSplit()
	}
	return nil
}

func (r *eventReader[T]) AddSplits(splits []source.Split) error {
	for _, sp := range splits {
		index, err := strconv.Atoi(sp.ID)
		if err != nil || len(sp.Data) != 8 {
			return fmt.Errorf("split %q with %d bytes is none of this source", sp.ID, len(sp.Data))
		}
		r.id, r.in = sp.ID, r.source.open(index, r.env.Parallelism, int64(binary.LittleEndian.Uint64(sp.Data)))
	}
	return nil
}

func (r *eventReader[T]) NoMoreSplits() { r.none = true }

func (r *eventReader[T]) Poll(b *source.Batch[T]) (source.Status, error) {
	if r.in == nil {
		if r.none {
			return source.End, nil
		}
		return source.Idle, nil
	}
	b.Records = slices.Grow(b.Records, b.Max)[:b.Max]
	n, again := r.in.read(b.Records)
	b.Records, b.Split = b.Records[:n], r.id
	switch {
	case n > 0:
		return source.More, nil
	case !again.IsZero():
		b.WakeAt = again
		return source.Idle, nil
	}
	b.SplitEnd, r.in = true, nil
	r.env.RequestSplit()
	return source.More, nil
}

func (r *eventReader[T]) Snapshot(int64) ([]source.Split, error) {
	if r.in == nil {
		return nil, nil
	}
	index, err := strconv.Atoi(r.id)
	return []source.Split{shareAt(index, r.in.position())}, err
}

func (r *eventReader[T]) CheckpointComplete(int64) error { return nil }

func (r *eventReader[T]) Close() error { return nil }
