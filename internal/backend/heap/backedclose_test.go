package heap_test

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/weirstream/weir/backend"
	"github.com/weirstream/weir/internal/backend/heap"
	"github.com/weirstream/weir/internal/backend/pebble"
)

// leakless is a byte store that counts the iterations that are open, and tells of those that are so when it is closed.
type leakless struct {
	backend.Store
	t    *testing.T
	open atomic.Int64
}

type countedIterator struct {
	backend.Iterator
	of     *leakless
	closed atomic.Bool
}

func (l *leakless) Scan(from, to []byte) (backend.Iterator, error) {
	it, err := l.Store.Scan(from, to)
	if err != nil {
		return nil, err
	}
	l.open.Add(1)
	return &countedIterator{Iterator: it, of: l}, nil
}

func (i *countedIterator) Close() error {
	if i.closed.Swap(true) {
		i.of.t.Error("an iteration was closed twice")
	}
	i.of.open.Add(-1)
	return i.Iterator.Close()
}

func (l *leakless) Close() error {
	if n := l.open.Load(); n != 0 {
		l.t.Errorf("%d iterations are open at the end of a store", n)
	}
	err := l.Store.Close()
	if err != nil {
		l.t.Error(err)
	}
	return err
}

// breaking is a writer that fails after some bytes.
type breaking struct{ left int }

func (b *breaking) Write(p []byte) (int, error) {
	if b.left -= len(p); b.left < 0 {
		return 0, errors.New("the storage is gone")
	}
	return len(p), nil
}

// TestNothingStaysOpen shows that a store over Pebble leaves no iteration open when it is closed, whatever is going on: savepoints that are written, or have
// failed, or that nobody has written or released; checkpoints that are under way; a restore that breaks off.
func TestNothingStaysOpen(t *testing.T) {
	defer heap.OutlyingFrom(100, 1<<10)()
	o := pebble.Default()
	o.Dir, o.Memory = t.TempDir(), 4<<20
	var logged strings.Builder
	f, err := pebble.Open(o, slog.New(slog.NewTextHandler(&logged, nil)))
	if err != nil {
		t.Fatal(err)
	}
	under := func() *leakless {
		s, err := f.Open(t.Context(), backend.Env{Parallelism: 1, Groups: backend.Groups{First: 0, Last: maxParallelism - 1}, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		return &leakless{Store: s, t: t}
	}
	seeds := uint64(30)
	if raceDetector {
		seeds = 10
	}
	for seed := range seeds {
		rnd := rand.New(rand.NewPCG(seed, 1))
		var beside sync.WaitGroup
		p := &library{}
		s := open(t, p, 0, 1, hashInt)
		s.Back(under(), 20<<10)
		model := map[int64]*books{0: {}, 1: {}, 2: {}}
		fill := func(n int) {
			at(s, hashInt, func(k int64) {
				for range n {
					model[k].change(t, p, rnd, 300)
				}
			}, 0, 1, 2)
		}
		for range 6 {
			fill(30)
			switch c := rnd.IntN(5); c {
			case 0, 1, 2:
				capture := s.Capture()
				if c > 0 {
					w := io.Writer(&breaking{rnd.IntN(20_000)})
					beside.Go(func() { capture.Write(w) })
				}
				if c > 1 {
					fill(3)
					capture.Release()
				}
			case 3:
				taken := s.SnapshotStore()
				beside.Go(func() {
					if x, err := taken(t.Context()); err == nil {
						x.Close()
					}
				})
			case 4:
				k, b := write(t, s.Capture())
				q := &library{}
				again := open(t, q, 0, 1, hashInt)
				again.Back(under(), 20<<10)
				b = b[:rnd.IntN(len(b)+1)]
				again.Restore(k, bytes.NewReader(b))
				again.Close()
			}
		}
		s.Close()
		beside.Wait()
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	if logged.Len() > 0 {
		t.Error(logged.String())
	}
}
