package heap_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/weirstream/weir/backend"
	"github.com/weirstream/weir/internal/backend/heap"
	"github.com/weirstream/weir/internal/backend/pebble"
	"github.com/weirstream/weir/state"
)

// library has maps and lists that grow beyond memory.
type library struct {
	Books  state.Map[int64, string]   `state:"books"`
	Pages  state.Map[string, []int32] `state:"pages"`
	Log    state.List[string]         `state:"log"`
	Lent   state.Map[int64, int64]    `state:"lent,ttl=10s"`
	Visits state.Value[int64]         `state:"visits"`
	Times  state.Timers               `timer:"times"`
}

// shelf is a map in the order in which its keys were put first.
type shelf[K comparable, V any] struct {
	order []K
	at    map[K]V
}

func (s *shelf[K, V]) put(k K, v V) {
	if _, ok := s.at[k]; !ok {
		s.order = append(s.order, k)
	}
	if s.at == nil {
		s.at = map[K]V{}
	}
	s.at[k] = v
}

func (s *shelf[K, V]) delete(k K) {
	if _, ok := s.at[k]; ok {
		delete(s.at, k)
		s.order = slices.DeleteFunc(s.order, func(o K) bool { return o == k })
	}
}

func (s *shelf[K, V]) clone() shelf[K, V] {
	return shelf[K, V]{slices.Clone(s.order), maps.Clone(s.at)}
}

// books is the model of a library.
type books struct {
	books shelf[int64, string]
	pages shelf[string, []int32]
	log   []string
	lent  shelf[int64, int64]
}

func (b *books) clone() *books {
	return &books{b.books.clone(), b.pages.clone(), slices.Clone(b.log), b.lent.clone()}
}

// sameShelf compares a map with its model, in order.
func sameShelf[K comparable, V any](t *testing.T, what string, m *state.Map[K, V], want *shelf[K, V], same func(V, V) bool) {
	t.Helper()
	if m.Len() != len(want.order) {
		t.Fatalf("%s: %d entries, want %d", what, m.Len(), len(want.order))
	}
	i := 0
	for k, v := range m.All() {
		if i >= len(want.order) || k != want.order[i] || !same(v, want.at[k]) {
			t.Fatalf("%s: entry %d is %v: %v, want %v: %v", what, i, k, v, want.order[min(i, len(want.order)-1)], want.at[k])
		}
		i++
	}
	if i != len(want.order) {
		t.Fatalf("%s: the loop had %d entries, want %d", what, i, len(want.order))
	}
}

func (b *books) check(t *testing.T, p *library) {
	t.Helper()
	sameShelf(t, "books", &p.Books, &b.books, func(a, b string) bool { return a == b })
	sameShelf(t, "pages", &p.Pages, &b.pages, slices.Equal)
	sameShelf(t, "lent", &p.Lent, &b.lent, func(a, b int64) bool { return a == b })
	if got := slices.Collect(p.Log.All()); !slices.Equal(got, b.log) || p.Log.Len() != len(b.log) {
		t.Fatalf("log: %d elements (Len %d), want %d", len(got), p.Log.Len(), len(b.log))
	}
}

// change does something to the library and to its model.
func (b *books) change(t *testing.T, p *library, rnd *rand.Rand, keys int64) {
	t.Helper()
	k := rnd.Int64N(keys)
	page := fmt.Sprint("page-", rnd.Int64N(keys/4))
	word := fmt.Sprintf("%0*d", 20+rnd.IntN(30)*rnd.IntN(30), k)
	switch rnd.IntN(20) {
	case 0, 1, 2, 3:
		p.Books.Put(k, word)
		b.books.put(k, word)
	case 4, 5:
		p.Books.Delete(k)
		b.books.delete(k)
	case 6, 7:
		want, there := b.books.at[k]
		if got, ok := p.Books.Get(k); got != want || ok != there || p.Books.Has(k) != there {
			t.Fatalf("book %d is %q %v, want %q %v", k, got, ok, want, there)
		}
	case 8, 9:
		v := append(slices.Clone(b.pages.at[page]), int32(k))
		got, _ := p.Pages.Get(page)
		p.Pages.Put(page, append(got, int32(k)))
		b.pages.put(page, v)
	case 10, 11, 12:
		p.Log.Append(word, "and")
		b.log = append(b.log, word, "and")
	case 13:
		p.Lent.Put(k, k*k)
		b.lent.put(k, k*k)
	case 14:
		p.Lent.Delete(k)
		b.lent.delete(k)
	case 15:
		for k, v := range p.Books.All() { // what is put meanwhile is not in the loop, what is deleted before its turn neither
			if b.books.at[k] != v {
				t.Fatalf("book %d is %q in a loop, want %q", k, v, b.books.at[k])
			}
			switch k % 7 {
			case 0:
				p.Books.Delete(k + 1)
				b.books.delete(k + 1)
			case 1:
				p.Books.Put(k, "changed")
				b.books.put(k, "changed")
			case 2:
				p.Books.Put(k+keys, "new")
				b.books.put(k+keys, "new")
			case 3:
				p.Books.Delete(k)
				b.books.delete(k)
			case 4:
				p.Books.Delete(k)
				p.Books.Put(k, "again")
				b.books.delete(k)
				b.books.put(k, "again")
			}
			if rnd.IntN(50) == 0 {
				break
			}
		}
	case 16:
		n := len(b.log)
		for range p.Log.All() {
			if n--; n%10 == 0 {
				p.Log.Append("more")
				b.log = append(b.log, "more")
			}
		}
		if n != 0 {
			t.Fatalf("a loop over the log was %d elements short", n)
		}
	case 17:
		if rnd.IntN(8) == 0 {
			p.Log.Clear()
			b.log = nil
		}
	case 18:
		if rnd.IntN(8) == 0 {
			p.Books.Clear()
			b.books = shelf[int64, string]{}
		}
	case 19:
		if rnd.IntN(8) == 0 {
			p.Pages.Clear()
			b.pages = shelf[string, []int32]{}
		}
	}
	p.Visits.Set(p.Visits.Get() + 1)
}

// TestOutlying shows that maps and lists of a few keys, each far larger than the memory there is, are what plain maps and slices in Go are: random changes, also
// within loops, a batch of them at a time; and that they are so after the store was preserved and opened again, and in a canonical savepoint.
func TestOutlying(t *testing.T) {
	for _, from := range []int{0, 100, 4 << 10} {
		for _, memory := range []int64{1, 20 << 10, 200 << 10} {
			t.Run(fmt.Sprintf("from=%d,memory=%d", from, memory), func(t *testing.T) {
				defer heap.OutlyingFrom(from, memory/8)()
				rnd := rand.New(rand.NewPCG(uint64(memory), uint64(from)))
				model := map[int64]*books{0: {}, 1: {}, 2: {}}
				p := &library{}
				s := open(t, p, 0, 1, hashInt)
				s.Back(openUnder(t), memory)
				for range 3 {
					s.SetTime(1000)
					for range 16 {
						at(s, hashInt, func(k int64) {
							for range 20 {
								model[k].change(t, p, rnd, 300)
							}
						}, int64(rnd.IntN(3)), int64(rnd.IntN(3)))
						if err := s.Err(); err != nil {
							t.Fatal(err)
						}
						if rnd.IntN(6) == 0 {
							checkLibraries(t, s, p, model)
						}
					}
					checkLibraries(t, s, p, model)
					checkSavepoint(t, s, model)
					taken := s.SnapshotStore()
					kept := map[int64]*books{}
					for k, b := range model {
						kept[k] = b.clone()
					}
					at(s, hashInt, func(k int64) { // while it is taken
						for range 50 {
							model[k].change(t, p, rnd, 300)
						}
					}, 0, 1, 2)
					x, err := taken(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					s.Close()
					model, p = kept, &library{}
					s = open(t, p, 0, 1, hashInt)
					s.Back(openUnder(t, partOf(x)), memory)
					s.BeginsFilled()
					s.SetTime(1000)
					checkLibraries(t, s, p, model)
				}
				at(s, hashInt, func(k int64) {
					p.Books.Clear()
					p.Pages.Clear()
					p.Log.Clear()
					p.Lent.Clear()
					p.Visits.Clear()
				}, 0, 1, 2)
				if n := s.Len(); n != 0 || s.Err() != nil {
					t.Errorf("%d keys are left after all was cleared, %v", n, s.Err())
				}
			})
		}
	}
}

func checkLibraries(t *testing.T, s *heap.Store[int64], p *library, model map[int64]*books) {
	t.Helper()
	at(s, hashInt, func(k int64) { model[k].check(t, p) }, 0, 1, 2)
	if err := s.Err(); err != nil {
		t.Fatal(err)
	}
	for k, b := range model {
		var all map[int64]string
		if _, _, err := s.Query(k, hashInt(k), "books", &all); err != nil || !maps.Equal(all, b.books.at) {
			t.Fatalf("a query has %d books, want %d: %v", len(all), len(b.books.at), err)
		}
		var log []string
		if _, _, err := s.Query(k, hashInt(k), "log", &log); err != nil || !slices.Equal(log, b.log) {
			t.Fatalf("a query has a log of %d, want %d: %v", len(log), len(b.log), err)
		}
	}
}

// checkSavepoint writes a canonical savepoint, and reads it into a store without and one with a byte store.
func checkSavepoint(t *testing.T, s *heap.Store[int64], model map[int64]*books) {
	t.Helper()
	k, b := write(t, s.Capture())
	for _, backed := range []bool{false, true} {
		p := &library{}
		again := open(t, p, 0, 1, hashInt)
		if backed {
			again.Back(openUnder(t), 1)
		}
		again.SetTime(1000)
		if err := again.Restore(k, bytes.NewReader(b)); err != nil {
			t.Fatal(err)
		}
		at(again, hashInt, func(k int64) { model[k].check(t, p) }, 0, 1, 2)
		if err := again.Err(); err != nil {
			t.Fatal(err)
		}
		again.Close()
	}
}

// counting is a byte store that counts what is asked of it.
type counting struct {
	backend.Store
	gets, ops atomic.Int64
}

func (c *counting) Get(keys [][]byte, found func(int, []byte) error) error {
	c.gets.Add(int64(len(keys)))
	return c.Store.Get(keys, found)
}

func (c *counting) Apply(b *backend.Batch) error {
	c.ops.Add(int64(b.Len()))
	return c.Store.Apply(b)
}

// take returns the counts since the last call, once all is written back.
func (c *counting) take(t *testing.T, s *heap.Store[int64]) (gets, ops int64) {
	t.Helper()
	x, err := s.SnapshotStore()(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	x.Close()
	return c.gets.Swap(0), c.ops.Swap(0)
}

// TestOneEntry shows that one entry of a map of 20 000, most of which is not in memory, is read and written without the others, whatever is done with it,
// and that a list is appended to without being read.
func TestOneEntry(t *testing.T) {
	const n = 20_000
	p := &library{}
	s := open(t, p, 0, 1, hashInt)
	under := &counting{Store: openPebbleUnder(t)}
	s.Back(under, 200<<10)
	at(s, hashInt, func(int64) {
		for i := range int64(n) {
			p.Books.Put(i, "a book")
			p.Log.Append("a line")
		}
	}, 1)
	under.take(t, s)
	for _, test := range []struct {
		name      string
		do        func()
		gets, ops int64 // at most
	}{
		{"get", func() { p.Books.Get(5) }, 2, 0},
		{"put", func() { p.Books.Put(10, "another book") }, 2, 3},
		{"put what is new", func() { p.Books.Put(n, "a new book") }, 2, 3},
		{"delete", func() { p.Books.Delete(20) }, 2, 3},
		{"delete what is not there", func() { p.Books.Delete(-1) }, 2, 0},
		{"append", func() { p.Log.Append("one more line") }, 1, 2},
		{"length", func() { p.Books.Len(); p.Log.Len() }, 1, 0},
		{"begin a loop", func() {
			for range p.Books.All() {
				break
			}
		}, 1, 0},
		{"clear", func() { p.Books.Clear() }, 1, 3},
	} {
		at(s, hashInt, func(int64) {}, 2, 3, 4) // something else, so that key 1 may go
		at(s, hashInt, func(int64) { test.do() }, 1)
		if gets, ops := under.take(t, s); gets > test.gets+3 || ops > test.ops {
			t.Errorf("%s: %d keys were read, want %d; %d changes were made, want %d", test.name, gets, test.gets, ops, test.ops)
		}
	}
	if err := s.Err(); err != nil {
		t.Fatal(err)
	}
}

// TestManyTimesMemory shows that a map and a list of one key may be many times what there is memory for, when they are filled in one batch, gone through,
// changed in the course of that, written to a savepoint and restored.
func TestManyTimesMemory(t *testing.T) {
	const memory, n = 16 << 10, 6_000
	defer heap.OutlyingFrom(4<<10, memory/4)()
	p := &library{}
	s := open(t, p, 0, 1, hashInt)
	s.Back(openPebbleUnder(t), memory)
	within := func(s *heap.Store[int64], what string) {
		if s.Err() != nil || s.Held() > 4*memory {
			t.Fatalf("%s: %d bytes are in memory, %v", what, s.Held(), s.Err())
		}
	}
	at(s, hashInt, func(int64) {
		for i := range int64(n) {
			p.Books.Put(i*7919%n, fmt.Sprintf("%040d", i))
			p.Log.Append(fmt.Sprintf("%040d", i))
			if i%1000 == 0 {
				within(s, "fill")
			}
		}
	}, 1)
	check := func(s *heap.Store[int64], p *library, change bool) {
		at(s, hashInt, func(int64) {
			i := int64(0)
			for k, v := range p.Books.All() {
				if k != i*7919%n || v != fmt.Sprintf("%040d", i) {
					t.Fatalf("entry %d is %d: %s", i, k, v)
				}
				if change {
					p.Books.Put(k, v)
				}
				i++
				if i%1000 == 0 {
					within(s, "loop")
				}
			}
			if i != n || p.Books.Len() != n || p.Log.Len() != n {
				t.Fatalf("%d entries in the loop, %d by Len", i, p.Books.Len())
			}
			i = 0
			for line := range p.Log.All() {
				if line != fmt.Sprintf("%040d", i) {
					t.Fatalf("line %d is %s", i, line)
				}
				i++
			}
			if i != n {
				t.Fatalf("%d lines", i)
			}
		}, 1)
		within(s, "check")
	}
	check(s, p, true)
	k, b := write(t, s.Capture())
	q := &library{}
	again := open(t, q, 0, 1, hashInt)
	again.Back(openPebbleUnder(t), memory)
	if err := again.Restore(k, bytes.NewReader(b)); err != nil {
		t.Fatal(err)
	}
	check(again, q, false)
}

// openPebbleUnder makes a Pebble store for all groups.
func openPebbleUnder(t testing.TB) backend.Store {
	t.Helper()
	o := pebble.Default()
	o.Dir, o.Memory = t.TempDir(), pebble.LeastMemory
	f, err := pebble.Open(o, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	s, err := f.Open(t.Context(), backend.Env{Parallelism: 1, Groups: backend.Groups{First: 0, Last: maxParallelism - 1}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// mortal has maps and lists that grow beyond memory, and expire.
type mortal struct {
	Seen state.Map[int64, string] `state:"seen,ttl=10s"`
	Log  state.List[int64]        `state:"log,ttl=10s"`
	Read state.Map[int64, int64]  `state:"read,ttl=10s,refresh=read"`
}

// TestOutlyingExpires shows that what is outlying expires entry by entry, in memory and in the byte store, and leaves nothing there in the end.
func TestOutlyingExpires(t *testing.T) {
	for _, memory := range []int64{1, 10 << 10} {
		defer heap.OutlyingFrom(0, 1<<10)()
		p := &mortal{}
		s := open(t, p, 0, 1, hashInt)
		under := openUnder(t)
		s.Back(under, memory)
		const n = 200
		for i := range int64(n) { // an entry a second
			s.SetTime(i * 1000)
			at(s, hashInt, func(int64) {
				p.Seen.Put(i, fmt.Sprint("seen ", i))
				p.Log.Append(i)
				p.Read.Put(i, i)
				if _, ok := p.Read.Get(0); !ok {
					t.Fatalf("what is read all the time has expired after %d s", i)
				}
				from := max(0, i-9)
				want := make([]int64, 0, 10)
				for j := from; j <= i; j++ {
					want = append(want, j)
				}
				keys, log := slices.Collect(p.Seen.Keys()), slices.Collect(p.Log.All())
				if !slices.Equal(keys, want) || !slices.Equal(log, want) {
					t.Fatalf("after %d s: keys %d, elements %d, want %d", i, keys, log, want)
				}
				if p.Seen.Len() != len(want) || p.Log.Len() != len(want) {
					t.Fatalf("after %d s: %d entries and %d elements, want %d", i, p.Seen.Len(), p.Log.Len(), len(want))
				}
				if _, ok := p.Seen.Get(i - 10); ok {
					t.Fatalf("entry %d is there after %d s", i-10, i)
				}
			}, 1)
			at(s, hashInt, func(k int64) { p.Seen.Put(k, "others") }, 2+i)
			if i%20 == 0 {
				for range 20 {
					s.Sweep(50)
				}
			}
		}
		s.SetTime(n*1000 + 20_000)
		for range 200 {
			s.Sweep(100)
		}
		if err := s.Err(); err != nil {
			t.Fatal(err)
		}
		s.Len() // writes all back
		it, err := under.Scan(backend.Groups{First: 0, Last: maxParallelism - 1}.Keys())
		if err != nil {
			t.Fatal(err)
		}
		for it.Next() {
			t.Errorf("%x is left in the byte store", it.Key())
		}
		it.Close()
	}
}

// TestFormerRows shows that rows written before there was anything outlying are read, and change their form when they are written.
func TestFormerRows(t *testing.T) {
	undo := heap.OutlyingFrom(1<<30, 1<<20)
	p := &library{}
	s := open(t, p, 0, 1, hashInt)
	s.Back(openUnder(t), 1)
	model := map[int64]*books{0: {}, 1: {}, 2: {}}
	rnd := rand.New(rand.NewPCG(3, 4))
	s.SetTime(1000)
	change := func() {
		at(s, hashInt, func(k int64) {
			for range 100 {
				model[k].change(t, p, rnd, 200)
			}
		}, 0, 1, 2)
	}
	change()
	x, err := s.SnapshotStore()(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	undo()
	defer heap.OutlyingFrom(100, 1<<10)()
	p = &library{}
	s = open(t, p, 0, 1, hashInt)
	s.Back(openUnder(t, partOf(x)), 1)
	s.BeginsFilled()
	s.SetTime(1000)
	checkLibraries(t, s, p, model)
	change()
	checkLibraries(t, s, p, model)
}

// TestGoldenOutlying shows in which form rows and what is outlying lie in a byte store, and that this form is read. What was written in it must be read forever:
// see docs/formats/pebble.md.
func TestGoldenOutlying(t *testing.T) {
	defer heap.OutlyingFrom(60, 1<<20)()
	p := &library{}
	s := open(t, p, 0, 1, hashInt)
	under := openUnder(t)
	s.Back(under, 1<<20)
	s.SetTime(1000)
	fill := func(k int64) {
		for i := range 6 * k {
			p.Books.Put(10-i, fmt.Sprint("book ", i))
			p.Lent.Put(i, -i)
			p.Log.Append(fmt.Sprint("line ", i))
		}
		p.Pages.Put("few", []int32{1, 2})
		p.Times.AtMillis(k * 1000)
		p.Visits.Set(k)
	}
	at(s, hashInt, fill, 1, 3)
	at(s, hashInt, func(int64) {
		p.Books.Put(0, strings.Repeat("long ", 60))
		p.Books.Delete(9)
		p.Log.Append("one more")
	}, 3)
	s.Len() // writes all back
	again := goldenStore(t, "outlying.txt", under)
	q := &library{}
	s = open(t, q, 0, 1, hashInt)
	s.Back(again, 1<<20)
	s.BeginsFilled()
	s.SetTime(1000)
	at(s, hashInt, func(k int64) {
		n := int(6 * k)
		if k == 3 {
			n--
			if v, _ := q.Books.Get(0); len(v) != 300 || q.Books.Has(9) || q.Log.Len() != 19 {
				t.Errorf("key 3 has %q, %d lines", v, q.Log.Len())
			}
		}
		if q.Books.Len() != n || len(slices.Collect(q.Books.Keys())) != n || q.Lent.Len() != int(6*k) || q.Visits.Get() != k || q.Times.Len() != 1 {
			t.Errorf("key %d has %d books, %d lent, %d visits", k, q.Books.Len(), q.Lent.Len(), q.Visits.Get())
		}
	}, 1, 3)
	if err := s.Err(); err != nil {
		t.Fatal(err)
	}
}
