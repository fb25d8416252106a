package weir_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/weirstream/weir/source"
)

// tape is a source whose splits are slices that the test has written, and which the test can hold at any place. It outlives runs.
type tape[T any] struct {
	splits [][]T
	times  func(T) int64 // nil: records have no event time
	batch  int           // records of a Poll, 0: as many as it may
	// together lets a reader ask for more splits while it has some.
	together bool
	// waits makes the enumerator of an open tape tell readers to wait instead of that there is no more.
	waits bool
	poll  func(split, position int) error // called before a record is read; an error fails the job
	told  *diary                          // where readers and enumerators note what they are told; nil for nowhere
	next  func() error                    // called before a split is handed out; an error fails the job
	open  func(subtask int) error         // called before a reader is made; an error fails its task

	mu struct {
		sync.Mutex
		limits map[int]int // splits that are held, and where
		read   map[int]int // where the reader of each split is, or the last one was
		wake   map[any]func()
	}
}

// hold lets a split be read up to a position and no further, until it is held elsewhere or released.
func (s *tape[T]) hold(split, position int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.limits == nil {
		s.mu.limits = map[int]int{}
	}
	s.mu.limits[split] = position
	for _, wake := range s.mu.wake {
		wake()
	}
}

// stick lets the next record be read only when the channel is closed that is returned. What comes behind it waits, a barrier too.
func (s *tape[T]) stick() (proceed chan struct{}) {
	proceed = make(chan struct{})
	var stuck atomic.Bool
	s.mu.Lock()
	defer s.mu.Unlock()
	s.poll = func(int, int) error {
		if stuck.CompareAndSwap(false, true) {
			<-proceed
		}
		return nil
	}
	return proceed
}

// release lets a split be read to its end.
func (s *tape[T]) release(split int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.mu.limits, split)
	for _, wake := range s.mu.wake {
		wake()
	}
}

func (s *tape[T]) limit(split int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n, ok := s.mu.limits[split]; ok {
		return n
	}
	return len(s.splits[split])
}

// isRead reports whether all splits are read as far as they may be. What is read is on its way: a barrier that is sent from now on comes behind it.
func (s *tape[T]) isRead() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, split := range s.splits {
		limit, held := s.mu.limits[i]
		if !held || limit > len(split) {
			limit = len(split)
		}
		if s.mu.read[i] < limit {
			return false
		}
	}
	return true
}

// reach notes where the reader of a split is.
func (s *tape[T]) reach(p tapePosition) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.read == nil {
		s.mu.read = map[int]int{}
	}
	s.mu.read[p.split] = p.at
}

func (s *tape[T]) Location() string { return "" }

func (s *tape[T]) Enumerator(_ context.Context, env source.EnumeratorEnv, restored []byte) (source.Enumerator, error) {
	e := &tapeEnumerator{splits: len(s.splits), waits: s.waits, told: s.told, fail: s.next}
	e.note("open", env.RestoredFrom)
	if restored != nil {
		e.next = int(binary.LittleEndian.Uint32(restored))
		for b := restored[4:]; len(b) > 0; b = b[4:] {
			e.back = append(e.back, tapeSplit(int(binary.LittleEndian.Uint32(b)), 0))
		}
	}
	return e, nil
}

// tapeEnumerator hands splits out in order to whoever asks.
type tapeEnumerator struct {
	next, splits int
	waits        bool
	told         *diary
	back         []source.Split // to be handed out before the next
	fail         func() error
}

// note writes down what the enumerator is told. It does not know its attempt, and its snapshots have no ids.
func (e *tapeEnumerator) note(what string, id int64) {
	if e.told != nil {
		e.told.note(who{step: "enumerator", attempt: 1}, what, id, 0)
	}
}

func (e *tapeEnumerator) CheckpointComplete(id int64) error {
	e.note("before", id) // for the check, which wants one
	e.note("complete", id)
	return nil
}

func (e *tapeEnumerator) CheckpointAborted(id int64) error { e.note("aborted", id); return nil }

func (e *tapeEnumerator) Next(int) (source.Split, source.Assignment, error) {
	if e.fail != nil {
		if err := e.fail(); err != nil {
			return source.Split{}, 0, err
		}
	}
	if len(e.back) > 0 {
		s := e.back[0]
		e.back = e.back[1:]
		return s, source.Assigned, nil
	}
	if e.next == e.splits {
		if e.waits {
			return source.Split{}, source.Wait, nil
		}
		return source.Split{}, source.NoMore, nil
	}
	e.next++
	return tapeSplit(e.next-1, 0), source.Assigned, nil
}

func (e *tapeEnumerator) AddBack(_ int, splits []source.Split) { e.back = append(e.back, splits...) }

func (e *tapeEnumerator) Snapshot() ([]byte, error) {
	b := binary.LittleEndian.AppendUint32(nil, uint32(e.next))
	for _, s := range e.back {
		b = append(b, s.Data[:4]...)
	}
	return b, nil
}

func (e *tapeEnumerator) Close() error { return nil }

func tapeSplit(n, at int) source.Split {
	return source.Split{ID: fmt.Sprint(n), Data: binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(nil, uint32(n)), uint32(at))}
}

func (s *tape[T]) Reader(_ context.Context, env source.ReaderEnv) (source.Reader[T], error) {
	if s.open != nil {
		if err := s.open(env.Subtask); err != nil {
			return nil, err
		}
	}
	r := &tapeReader[T]{tape: s, env: env}
	r.note("open", env.RestoredFrom)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.wake == nil {
		s.mu.wake = map[any]func(){}
	}
	s.mu.wake[r] = env.Wake
	return r, nil
}

// tapeReader reads its splits in turn.
type tapeReader[T any] struct {
	tape   *tape[T]
	env    source.ReaderEnv
	open   []tapePosition
	noMore bool
	asked  bool
}

type tapePosition struct{ split, at int }

func (r *tapeReader[T]) Start() error { r.ask(); return nil }

func (r *tapeReader[T]) ask() {
	if (len(r.open) == 0 || r.tape.together) && !r.noMore && !r.asked {
		r.asked = true
		r.env.RequestSplit()
	}
}

func (r *tapeReader[T]) AddSplits(splits []source.Split) error {
	r.asked = false
	for _, s := range splits {
		p := tapePosition{int(binary.LittleEndian.Uint32(s.Data)), int(binary.LittleEndian.Uint32(s.Data[4:]))}
		r.tape.reach(p)
		r.open = append(r.open, p)
	}
	return nil
}

func (r *tapeReader[T]) NoMoreSplits() { r.noMore = true }

func (r *tapeReader[T]) Poll(b *source.Batch[T]) (source.Status, error) {
	r.ask()
	for i := range r.open {
		p := &r.open[i]
		limit := r.tape.limit(p.split)
		if p.at >= limit && limit < len(r.tape.splits[p.split]) {
			continue // held
		}
		return source.More, r.read(i, limit, b)
	}
	if len(r.open) == 0 && r.noMore {
		return source.End, nil
	}
	return source.Idle, nil
}

func (r *tapeReader[T]) read(i, limit int, b *source.Batch[T]) error {
	p := r.open[i]
	s := r.tape.splits[p.split]
	b.Split = fmt.Sprint(p.split)
	most := b.Max
	if r.tape.batch > 0 {
		most = min(most, r.tape.batch)
	}
	for ; p.at < limit && len(b.Records) < most; p.at++ {
		if r.tape.poll != nil {
			if err := r.tape.poll(p.split, p.at); err != nil {
				return err
			}
		}
		b.Records = append(b.Records, s[p.at])
		if r.tape.times != nil {
			b.Times = append(b.Times, r.tape.times(s[p.at]))
		}
	}
	r.tape.reach(p)
	r.open[i] = p
	if p.at == len(s) {
		b.SplitEnd = true
		r.open = slices.Delete(r.open, i, i+1)
		r.ask()
		return nil
	}
	r.open = append(slices.Delete(r.open, i, i+1), p) // the others' turn
	return nil
}

func (r *tapeReader[T]) Snapshot(id int64) (splits []source.Split, err error) {
	r.note("before", id)
	for _, p := range r.open {
		splits = append(splits, tapeSplit(p.split, p.at))
	}
	return splits, nil
}

// note writes down what the reader is told.
func (r *tapeReader[T]) note(what string, id int64) {
	if d := r.tape.told; d != nil {
		d.note(who{step: "reader", subtask: r.env.Subtask, attempt: r.env.Attempt}, what, id, 0)
	}
}

func (r *tapeReader[T]) CheckpointComplete(id int64) error { r.note("complete", id); return nil }
func (r *tapeReader[T]) CheckpointAborted(id int64) error  { r.note("aborted", id); return nil }

func (r *tapeReader[T]) Close() error {
	r.tape.mu.Lock()
	defer r.tape.mu.Unlock()
	delete(r.tape.mu.wake, r)
	return nil
}

var errTest = errors.New("the test says no")
