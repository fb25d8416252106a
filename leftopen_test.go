package weir_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/backend"
	"github.com/weirstream/weir/connector/datagen"
	"github.com/weirstream/weir/connector/memory"
	"github.com/weirstream/weir/internal/backend/pebble"
	"github.com/weirstream/weir/state"
)

// watched is Pebble, whose calls fail from some number on, and which knows what is open.
type watched struct {
	backend.Factory
	*watch
}

type watch struct {
	t                  *testing.T
	calls, failsFrom   atomic.Int64
	stores, iterations atomic.Int64
	closed             atomic.Int64 // factories
}

var watching atomic.Pointer[watch]

var registerWatched = sync.OnceFunc(func() {
	state.RegisterBackend("watched", func(job backend.Job) (backend.Factory, error) {
		f, err := pebble.New(job)
		return &watched{f, watching.Load()}, err
	})
})

func (w *watch) call() error {
	if n := w.failsFrom.Load(); w.calls.Add(1) >= n && n > 0 {
		return errors.New("the disk is gone")
	}
	return nil
}

func (w *watched) Open(ctx context.Context, env backend.Env) (backend.Store, error) {
	if err := w.call(); err != nil {
		return nil, err
	}
	s, err := w.Factory.Open(ctx, env)
	if err == nil {
		w.stores.Add(1)
	}
	return &watchedStore{Store: s, watch: w.watch}, err
}

func (w *watched) Close() error {
	if s, i := w.stores.Load(), w.iterations.Load(); s != 0 || i != 0 {
		w.t.Errorf("at the end of the job %d stores and %d iterations are open", s, i)
	}
	w.closed.Add(1)
	return w.Factory.Close()
}

type watchedStore struct {
	backend.Store
	*watch
	once sync.Once
}

func (s *watchedStore) Get(keys [][]byte, found func(int, []byte) error) error {
	if err := s.call(); err != nil {
		return err
	}
	return s.Store.Get(keys, found)
}

func (s *watchedStore) Scan(from, to []byte) (backend.Iterator, error) {
	if err := s.call(); err != nil {
		return nil, err
	}
	it, err := s.Store.Scan(from, to)
	if err != nil {
		return nil, err
	}
	s.iterations.Add(1)
	return &watchedIterator{Iterator: it, watch: s.watch}, nil
}

func (s *watchedStore) Apply(b *backend.Batch) error {
	if err := s.call(); err != nil {
		return err
	}
	return s.Store.Apply(b)
}

func (s *watchedStore) Snapshot(ctx context.Context) (backend.Snapshot, error) {
	if err := s.call(); err != nil {
		return nil, err
	}
	return s.Store.Snapshot(ctx)
}

func (s *watchedStore) Close() error {
	err := s.Store.Close()
	s.once.Do(func() {
		s.stores.Add(-1)
		if err != nil {
			s.t.Errorf("a store could not be closed: %v", err)
		}
	})
	return err
}

type watchedIterator struct {
	backend.Iterator
	*watch
}

func (i *watchedIterator) Close() error {
	i.iterations.Add(-1)
	return i.Iterator.Close()
}

// TestNothingIsLeftOpen shows that a job has closed all stores and iterations when it ends, wherever in its life its state backend fails: while it runs, while
// checkpoints and canonical savepoints are written, while it restores.
func TestNothingIsLeftOpen(t *testing.T) {
	registerWatched()
	for i, calls := range []int64{1, 3, 10, 30, 60, 100, 150} {
		for j, again := range []int64{1, 2, 3, 5, 8} {
			if raced && i%5 != j {
				continue // each of the moments once, with another of the other's
			}
			t.Run(fmt.Sprintf("%d,%d", calls, again), func(t *testing.T) {
				watch := &watch{t: t}
				watching.Store(watch)
				w := newWorld(t, 4, 60)
				w.set["state.backend.type"] = "watched"
				w.set["state.backend.cache-size"] = "64 kb"
				w.set["state.backend.watched.localdir"] = filepath.Join(t.TempDir(), "state")
				e := w.running(2, 15)
				path := w.take(e.Savepoint(context.Background(), savepoints))
				watch.failsFrom.Store(watch.calls.Load() + calls)
				for i := range w.in.splits {
					w.in.hold(i, 50)
				}
				for range 50 {
					if _, err := e.Savepoint(context.Background(), savepoints); err != nil {
						break
					}
				}
				e.Abort()
				<-e.Done()
				watch.calls.Store(0)
				watch.failsFrom.Store(again)
				w.set["execution.state-recovery.path"] = path
				e = w.start(context.Background(), 3)
				<-e.Done()
				if n := watch.closed.Load(); n != 2 {
					t.Errorf("%d factories were closed, want 2", n)
				}
			})
		}
	}
}

// panicking is a processor that cannot be closed.
type panicking struct {
	Count state.Value[int64] `state:"count"`
}

func (p *panicking) On(c *weir.Ctx[string, string], _ string) error {
	p.Count.Set(p.Count.Get() + 1)
	return errors.New("no more")
}

func (p *panicking) Close() error { panic("it cannot be closed either") }

// TestClosePanics shows that a store is closed though its processor's Close panics.
func TestClosePanics(t *testing.T) {
	registerWatched()
	watch := &watch{t: t}
	watching.Store(watch)
	j := newJob(t, 2)
	j.Set("restart-strategy.type", "none")
	j.Set("state.backend.type", "watched")
	j.Set("state.backend.watched.localdir", filepath.Join(t.TempDir(), "state"))
	words := weir.From(j, "words", datagen.Source(10, func(i int64) string { return fmt.Sprint(i) }))
	weir.To(weir.Process(weir.KeyBy(words, weir.Self), "counts", &panicking{}), "out", memory.Collect[string]())
	if err := runFor(t, j); err == nil {
		t.Error("the job has finished")
	}
	if watch.closed.Load() != 1 || watch.stores.Load() != 0 {
		t.Errorf("%d factories were closed, %d stores are open", watch.closed.Load(), watch.stores.Load())
	}
}
