package sim

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/weirstream/weir/source"
)

// Input is a source in a world. Each split is read in order, in pieces that chance cuts.
type Input[T any] struct {
	World  *World
	Splits [][]T
	Times  func(T) int64 // nil: records have no event time

	read []int // how far each split is read by the present tasks, or was by the last
}

// Read returns the part of each split that a job has read which was drained.
func (in *Input[T]) Read() (splits [][]T) {
	for i, split := range in.Splits {
		splits = append(splits, split[:in.World.drainedAt(in, i, len(split))])
	}
	return splits
}

func (in *Input[T]) progress() []int { return slices.Clone(in.read) }

// Location is empty: there is nothing to compare.
func (in *Input[T]) Location() string { return "" }

// Enumerator hands splits out in order.
func (in *Input[T]) Enumerator(_ context.Context, _ source.EnumeratorEnv, restored []byte) (source.Enumerator, error) {
	e := &enumerator{splits: len(in.Splits)}
	in.read = make([]int, len(in.Splits))
	e.handed = func(p position) { in.read[p.number] = p.at }
	in.World.knows(in)
	if restored != nil {
		e.next = int(binary.LittleEndian.Uint64(restored))
		for i := range e.next { // unless a reader has it, which says so
			in.read[i] = len(in.Splits[i])
		}
		for back := restored[8:]; len(back) > 0; back = back[8:] {
			e.back = append(e.back, positionOf(back).split())
			e.handed(positionOf(back))
		}
	}
	return e, nil
}

type enumerator struct {
	next, splits int
	back         []source.Split
	handed       func(position)
}

func (e *enumerator) Next(int) (source.Split, source.Assignment, error) {
	if len(e.back) > 0 {
		s := e.back[0]
		e.back = e.back[1:]
		return s, source.Assigned, nil
	}
	if e.next == e.splits {
		return source.Split{}, source.NoMore, nil
	}
	e.next++
	return position{e.next - 1, 0}.split(), source.Assigned, nil
}

func (e *enumerator) AddBack(_ int, splits []source.Split) {
	e.back = append(e.back, splits...)
	for _, s := range splits {
		e.handed(positionOf(s.Data))
	}
}

// Snapshot holds the number of the next split, and those that were given back.
func (e *enumerator) Snapshot() ([]byte, error) {
	state := binary.LittleEndian.AppendUint64(nil, uint64(e.next))
	for _, s := range e.back {
		state = append(state, s.Data...)
	}
	return state, nil
}

func (e *enumerator) Close() error { return nil }

// position is how far a split is read.
type position struct{ number, at int }

func (p position) split() source.Split {
	data := binary.LittleEndian.AppendUint32(nil, uint32(p.number))
	return source.Split{ID: fmt.Sprint(p.number), Data: binary.LittleEndian.AppendUint32(data, uint32(p.at))}
}

// positionOf reads the data of a split.
func positionOf(data []byte) position {
	return position{int(binary.LittleEndian.Uint32(data)), int(binary.LittleEndian.Uint32(data[4:]))}
}

// Reader returns the reader of one subtask.
func (in *Input[T]) Reader(_ context.Context, env source.ReaderEnv) (source.Reader[T], error) {
	return &reader[T]{in: in, env: env, process: in.World.now}, nil
}

type reader[T any] struct {
	in      *Input[T]
	env     source.ReaderEnv
	process *process
	open    []position
	noMore  bool
}

func (r *reader[T]) Start() error { r.env.RequestSplit(); return nil }

func (r *reader[T]) AddSplits(splits []source.Split) error {
	for _, s := range splits {
		p := positionOf(s.Data)
		r.open = append(r.open, p)
		r.in.read[p.number] = p.at
	}
	r.env.RequestSplit() // a reader may have several at a time
	return nil
}

func (r *reader[T]) NoMoreSplits() { r.noMore = true }

func (r *reader[T]) Poll(b *source.Batch[T]) (source.Status, error) {
	if err := r.process.taskMayFail(); err != nil {
		return source.More, err
	}
	if len(r.open) == 0 {
		if r.noMore {
			return source.End, nil
		}
		return source.Idle, nil
	}
	if r.process.chance.pick(4) == 0 {
		b.WakeAt = r.env.Now().Add(time.Duration(r.process.chance.pick(16000)) * time.Microsecond)
		return source.Idle, nil
	}
	p := r.open[0]
	records := r.in.Splits[p.number]
	end := min(len(records), p.at+min(b.Max, 1+r.process.chance.pick(5)))
	b.Split = fmt.Sprint(p.number)
	for _, record := range records[p.at:end] {
		b.Records = append(b.Records, record)
		if r.in.Times != nil {
			b.Times = append(b.Times, r.in.Times(record))
		}
	}
	p.at = end
	r.in.read[p.number] = end
	r.open = slices.Delete(r.open, 0, 1)
	if b.SplitEnd = end == len(records); !b.SplitEnd {
		r.open = append(r.open, p) // the others' turn
	}
	return source.More, nil
}

func (r *reader[T]) Snapshot(int64) (splits []source.Split, err error) {
	for _, p := range r.open {
		splits = append(splits, p.split())
	}
	return splits, nil
}

func (r *reader[T]) CheckpointComplete(int64) error { return nil }
func (r *reader[T]) Close() error                   { return nil }
