package heap_test

import (
	"bytes"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/weirstream/weir/internal/backend/heap"
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

func (s *shelf[K, V]) all() iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		for _, k := range s.order {
			if !yield(k, s.at[k]) {
				return
			}
		}
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
