package savepoint

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"reflect"
	"strconv"
	"strings"

	"github.com/weirstream/weir/backend"
	"github.com/weirstream/weir/internal/backend/heap"
	"github.com/weirstream/weir/internal/backend/native"
	"github.com/weirstream/weir/internal/keygroup"
	"github.com/weirstream/weir/internal/keyhash"
	"github.com/weirstream/weir/internal/protocol/snapshot"
	"github.com/weirstream/weir/internal/stateform"
	"github.com/weirstream/weir/internal/storage"
)

// errStop ends a loop that the caller has left.
var errStop = errors.New("stop")

// Keys goes through the keys of a step that have state in the fields of *processor, in no particular order, with the fields pointed at the
// key of each round. It may declare some of the step's states only, and new ones, but not new ones alone. What it sets is forgotten. An error is the last thing it yields; K must
// be the type of the step's keys, or one that it evolves to.
func Keys[K comparable](ctx context.Context, s *Snapshot, step string, processor any) iter.Seq2[K, error] {
	return func(yield func(K, error) bool) {
		err := readKeys(ctx, s, step, processor, func(key K) error {
			if !yield(key, nil) {
				return errStop
			}
			return nil
		})
		if err != nil && err != errStop {
			var none K
			yield(none, err)
		}
	}
}

func readKeys[K comparable](ctx context.Context, s *Snapshot, step string, processor any, visit func(K) error) error {
	o, err := s.step(step)
	if err != nil {
		return err
	}
	if err := s.hasAny(o, reflect.TypeFor[K](), processor); err != nil {
		return err
	}
	for i, sub := range o.Subtasks {
		if sub == nil || len(sub.Keyed) == 0 {
			continue
		}
		c, err := s.openChain(ctx, sub.Keyed)
		if err == nil {
			err = errors.Join(readGroups(ctx, s, o, c, processor, visit), c.close())
		}
		switch {
		case errors.Is(err, errStop):
			return errStop
		case err != nil:
			return fmt.Errorf("%s: step %q, subtask %d: %w", s.path, o.Name, i, err)
		}
	}
	return nil
}

// hasAny makes sure that the step has one keyed state at least that the processor declares. Others may be new, or not wanted.
func (s *Snapshot) hasAny(o *snapshot.OperatorState, key reflect.Type, processor any) error {
	heap.Unbind(processor)
	layout, err := heap.NewLayout(key)
	if err == nil {
		err = layout.BindWith(&heap.OperatorLists{}, processor)
	}
	if err != nil {
		return fmt.Errorf("%s: step %q: %w", s.path, o.Name, err)
	}
	stored, now := s.form[o.ID.String()].Keyed, layout.Form().Keyed
	if len(now) == 0 || len(stateform.Source(stored, now)) > 0 {
		return nil
	}
	var names, there []string
	for _, n := range now {
		names = append(names, strconv.Quote(n.Name))
	}
	for _, was := range stored {
		there = append(there, was.String())
	}
	if len(there) == 0 {
		return fmt.Errorf("%s: step %q has no state of keys", s.path, o.Name)
	}
	return fmt.Errorf("%s: step %q has no state %s: there are %s", s.path, o.Name, strings.Join(names, ", "), strings.Join(there, ", "))
}

// readGroups restores one key group at a time.
func readGroups[K comparable](ctx context.Context, s *Snapshot, o *snapshot.OperatorState, c *chain, processor any, visit func(K) error) error {
	written := c.keyed[0].Written
	for g := written.First; g <= written.Last; g++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		if c.isEmpty(g) {
			continue
		}
		t, err := newTable[K](processor, keygroup.Range{First: g, Last: g}, o.MaxParallelism, s.meta.Completed.UnixMilli())
		if err != nil {
			return err
		}
		if err = c.restore(t.store.RestoreDeclared, g, g); err == nil {
			err = t.store.Each(visit)
		}
		t.store.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// chain is the open streams of one subtask's keyed state, which are read one after the other: the first is whole, the others are what has
// changed since. If they have the form of a backend, that has them open.
type chain struct {
	keyed   []snapshot.Keyed
	readers []*storage.StreamReader
	native  *native.Reader // nil for streams that every backend reads
}

func (s *Snapshot) openChain(ctx context.Context, keyed []snapshot.Keyed) (*chain, error) {
	c := &chain{keyed: keyed}
	if native.Is(keyed) {
		var err error
		c.native, err = native.Open(ctx, keyed, s.meta.Completed, func(ctx context.Context, stream snapshot.Stream) (backend.FileReader, error) {
			return storage.OpenStream(ctx, s.fs, stream)
		})
		return c, err
	}
	for i := range keyed {
		r, err := storage.OpenStream(ctx, s.fs, keyed[i].Stream)
		if err != nil {
			return nil, errors.Join(err, c.close())
		}
		c.readers = append(c.readers, r)
	}
	return c, nil
}

func (c *chain) close() error {
	var errs []error
	for _, r := range c.readers {
		errs = append(errs, r.Close())
	}
	if c.native != nil {
		errs = append(errs, c.native.Close())
	}
	return errors.Join(errs...)
}

// isEmpty reports whether no stream has anything of a key group, as far as that is known without reading it.
func (c *chain) isEmpty(g int) bool {
	if c.native != nil {
		return false
	}
	for i := range c.keyed {
		k := &c.keyed[i]
		if at := g - k.Written.First; at < 0 || at >= len(k.Offsets) {
			continue
		}
		if from, to := k.Bounds(g); from < to {
			return false
		}
	}
	return true
}

// restore reads the groups from first to last into a store.
func (c *chain) restore(into func(k snapshot.Keyed, r io.ReaderAt) error, first, last int) error {
	if c.native != nil {
		return c.native.Groups(keygroup.Range{First: first, Last: last}, into)
	}
	for i, k := range c.keyed {
		k.Range = k.Range.Intersect(keygroup.Range{First: first, Last: last})
		if err := into(k, c.readers[i]); err != nil {
			return err
		}
	}
	return nil
}

// table is a store with the fields of a processor in it.
type table[K comparable] struct {
	store *heap.Store[K]
	lists *heap.OperatorLists
	hash  func(*K) uint64
	valid func(*K) bool
}

// newTable makes a store and points the fields of *processor to it. now is what its TTLs take for the present, in milliseconds since 1970.
func newTable[K comparable](processor any, groups keygroup.Range, maxParallelism int, now int64) (*table[K], error) {
	heap.Unbind(processor)
	t := &table[K]{lists: &heap.OperatorLists{}}
	layout, err := heap.NewLayout(reflect.TypeFor[K]())
	if err != nil {
		return nil, err
	}
	if err := layout.BindWith(t.lists, processor); err != nil {
		return nil, err
	}
	if t.hash, t.valid, err = keyhash.Of[K](); err != nil {
		return nil, err
	}
	if t.store, err = heap.NewStore(layout, groups, maxParallelism, t.hash); err != nil {
		return nil, err
	}
	t.store.SetTime(now)
	return t, nil
}

// Subtasks goes through the subtasks of a step, with the fields of *processor that hold state of a subtask (state.List on a plain stream,
// state.UnionList, state.Broadcast) filled from the one of each round. It may declare some of the step's lists only. An error is the last
// thing it yields.
func Subtasks(ctx context.Context, s *Snapshot, step string, processor any) iter.Seq2[int, error] {
	return func(yield func(int, error) bool) {
		o, err := s.step(step)
		if err != nil {
			yield(0, err)
			return
		}
		for i, sub := range o.Subtasks {
			if sub == nil {
				continue
			}
			if _, err = s.readLists(ctx, o, sub, processor, false); err != nil {
				yield(i, fmt.Errorf("%s: step %q, subtask %d: %w", s.path, o.Name, i, err))
				return
			}
			if !yield(i, nil) {
				return
			}
		}
	}
}

// readLists binds the lists of *processor anew and fills them. If all are wanted, those that it does not declare are an error.
func (s *Snapshot) readLists(ctx context.Context, o *snapshot.OperatorState, sub *snapshot.OperatorSubtask, processor any, all bool) (*heap.OperatorLists, error) {
	lists, err := bindLists(processor, s.form[o.ID.String()].Key != nil)
	if err != nil {
		return nil, err
	}
	var data []heap.ListData
	for _, l := range sub.Lists {
		if len(l.Schema) == 0 || !all && !lists.Has(l.Name) {
			continue // the engine's own, or not asked for
		}
		b, err := storage.ReadStream(ctx, s.fs, l.Stream)
		if err != nil {
			return nil, err
		}
		data = append(data, heap.ListData{Name: l.Name, Mode: l.Mode, Schema: l.Schema, Offsets: l.Offsets, Bytes: b})
	}
	return lists, lists.Restore(data)
}

// bindLists empties the fields of *processor and takes up those that are lists of a subtask. On a keyed step the others are state of keys,
// which is nowhere for now.
func bindLists(processor any, keyed bool) (*heap.OperatorLists, error) {
	heap.Unbind(processor)
	lists := &heap.OperatorLists{}
	if !keyed {
		return lists, lists.Bind(processor)
	}
	nowhere, err := heap.NewLayout(reflect.TypeFor[int]())
	if err != nil {
		return nil, err
	}
	return lists, nowhere.BindWith(lists, processor)
}
