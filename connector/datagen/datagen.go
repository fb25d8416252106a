// Package datagen makes records from numbers: test data, load, a clock tick.
//
//		ticks := weir.From(j, "ticks", datagen.Source(datagen.Unbounded, func(i int64) int64 { return i }, datagen.Rate(1000)))
//
//	  - Record number i is always the same, so the position is a number and a restart is exact.
//	  - The numbers are dealt out to splits like cards: of n splits the first has 0, n, 2n, ..., so that all splits go through the numbers
//	    side by side and event times that grow with them stay close together.
package datagen

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"

	"github.com/weirstream/weir/source"
)

// Unbounded is the number of records of a source that does not end.
const Unbounded int64 = -1

// Generator makes records of type T. It is a source.Source[T].
type Generator[T any] struct {
	name    string // what Location says
	n       int64
	fill    func(first, step int64, into []T)
	options options
	err     error
}

// Source makes n records, or goes on forever if n is Unbounded. make returns record number i. It is called by several goroutines.
func Source[T any](n int64, make func(i int64) T, opts ...Option) *Generator[T] {
	return Fill(n, func(first, step int64, into []T) {
		for k := range into {
			into[k] = make(first + int64(k)*step)
		}
	}, opts...)
}

// Fill is like Source for records that are large or must be made fast: fill sets into[k] to record number first + k*step. What was in
// the slice before is undefined. It is called by several goroutines.
func Fill[T any](n int64, fill func(first, step int64, into []T), opts ...Option) *Generator[T] {
	g := &Generator[T]{name: "datagen", n: n, fill: fill}
	if n < 0 && n != Unbounded {
		g.err = fmt.Errorf("datagen: %d records: a number of records is not negative", n)
	}
	for _, opt := range opts {
		opt(&g.options)
	}
	return g
}

// Option changes how records are made.
type Option func(*options)

type options struct {
	rate   float64
	splits int
	time   func(i int64) int64
	name   string
}

// Rate makes that many records per second over all subtasks, each when it is due. 0 is as fast as possible.
func Rate(perSecond float64) Option { return func(o *options) { o.rate = perSecond } }

// Splits sets the number of splits, which bounds the number of subtasks that have work. The default is the parallelism of the
// first start; a job that will later run at a higher one needs more.
func Splits(n int) Option { return func(o *options) { o.splits = n } }

// Times gives record number i an event time in milliseconds since 1970 UTC. Without, records have none. Event time does not advance by it before
// the end of the data: windows and timers want weir.EventTime, which needs no Times.
func Times(time func(i int64) int64) Option { return func(o *options) { o.time = time } }

// Named replaces the word datagen in the location.
func Named(name string) Option { return func(o *options) { o.name = name } }

// Location tells generators of different numbers of records apart: the position in one says nothing about another.
func (g *Generator[T]) Location() string {
	name := g.name
	if g.options.name != "" {
		name = g.options.name
	}
	if g.n == Unbounded {
		return name + ":unbounded"
	}
	return name + ":" + strconv.FormatInt(g.n, 10)
}

// CheckSource returns what is wrong with the description.
func (g *Generator[T]) CheckSource() error {
	err := g.err
	if g.options.rate < 0 {
		err = errors.Join(err, fmt.Errorf("datagen: rate %v: a rate is not negative", g.options.rate))
	}
	if g.options.splits < 0 {
		err = errors.Join(err, fmt.Errorf("datagen: %d splits: there must be at least one", g.options.splits))
	}
	return err
}

// Enumerator deals out the numbers.
func (g *Generator[T]) Enumerator(ctx context.Context, env source.EnumeratorEnv, restored []byte) (source.Enumerator, error) {
	if err := g.CheckSource(); err != nil {
		return nil, source.Permanent(err)
	}
	splits := g.splits(env.Parallelism)
	if restored != nil {
		var err error
		if splits, err = decodeSplits(restored); err != nil {
			return nil, err
		}
	}
	e := &enumerator{bySubtask: make([][]split, max(1, env.Parallelism))}
	for i, s := range splits {
		to := i % len(e.bySubtask)
		e.bySubtask[to] = append(e.bySubtask[to], s)
	}
	return e, nil
}

// splits returns the splits of a new start.
func (g *Generator[T]) splits(parallelism int) []split {
	n := g.options.splits
	if n == 0 {
		n = max(1, parallelism)
	}
	splits := make([]split, n)
	for i := range splits {
		splits[i] = split{index: int64(i), of: int64(n)}
	}
	return splits
}

// Reader returns the reader of one subtask.
func (g *Generator[T]) Reader(ctx context.Context, env source.ReaderEnv) (source.Reader[T], error) {
	return &reader[T]{generator: g, env: env}, nil
}

// split has every of-th number from index on. docs/formats/datagen.md describes its form.
type split struct {
	index, of int64
	made      int64 // number of records made of it
}

const splitVersion = 1

func (s split) id() string { return fmt.Sprintf("%d/%d", s.index, s.of) }

func (s split) append(b []byte) []byte {
	b = append(b, splitVersion)
	b = binary.AppendUvarint(b, uint64(s.index))
	b = binary.AppendUvarint(b, uint64(s.of))
	return binary.AppendUvarint(b, uint64(s.made))
}

func (s split) public() source.Split { return source.Split{ID: s.id(), Data: s.append(nil)} }

var errState = errors.New("datagen: the state of a split is cut short or damaged")

// cutSplit takes a split from the front of a state.
func cutSplit(data []byte) (split, []byte, error) {
	if len(data) > 0 && data[0] != splitVersion {
		return split{}, nil, fmt.Errorf("datagen: a split of version %d, this program reads version %d: it was written by a newer one", data[0], splitVersion)
	}
	if len(data) == 0 {
		return split{}, nil, errState
	}
	data = data[1:]
	var v [3]int64
	for i := range v {
		u, n := binary.Uvarint(data)
		if n <= 0 || u > 1<<62 {
			return split{}, nil, errState
		}
		v[i], data = int64(u), data[n:]
	}
	if v[0] >= v[1] {
		return split{}, nil, errState
	}
	return split{v[0], v[1], v[2]}, data, nil
}

func decodeSplits(data []byte) ([]split, error) {
	if len(data) == 0 || data[0] != splitVersion {
		return nil, fmt.Errorf("datagen: a list of splits that this program cannot read, of version %v", data[:min(1, len(data))])
	}
	data = data[1:]
	var splits []split
	for len(data) > 0 {
		s, rest, err := cutSplit(data)
		if err != nil {
			return nil, err
		}
		splits, data = append(splits, s), rest
	}
	return splits, nil
}

// enumerator gives each subtask its share of the splits, whoever asks first. Its state is a version and the splits, one
// after the other.
type enumerator struct{ bySubtask [][]split }

func (e *enumerator) Next(subtask int) (source.Split, source.Assignment, error) {
	own := &e.bySubtask[subtask]
	if len(*own) == 0 {
		return source.Split{}, source.NoMore, nil
	}
	s := (*own)[0]
	*own = (*own)[1:]
	return s.public(), source.Assigned, nil
}

func (e *enumerator) AddBack(subtask int, splits []source.Split) {
	for _, public := range splits {
		s, _, err := cutSplit(public.Data)
		if err != nil {
			panic(fmt.Sprintf("split %s was handed out and came back different: %v", public.ID, err))
		}
		e.bySubtask[subtask] = append(e.bySubtask[subtask], s)
	}
}

func (e *enumerator) Snapshot() ([]byte, error) {
	b := []byte{splitVersion} // never empty: that would be a new start
	for _, splits := range e.bySubtask {
		for _, s := range splits {
			b = s.append(b)
		}
	}
	return b, nil
}

func (e *enumerator) Close() error { return nil }
