package heap_test

import (
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"testing"

	"github.com/weirstream/weir/backend"
	"github.com/weirstream/weir/internal/backend/heap"
	"github.com/weirstream/weir/internal/keyhash"
	"github.com/weirstream/weir/state/statetest"
)

// openUnder makes a byte store for all groups.
func openUnder(t testing.TB, parts ...backend.Part) backend.Store {
	t.Helper()
	g := backend.Groups{First: 0, Last: maxParallelism - 1}
	s, err := statetest.Memory{}.Open(t.Context(), backend.Env{Parallelism: 1, Groups: g, Restored: parts, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// partOf makes a snapshot what a store can be opened with.
func partOf(x backend.Snapshot) backend.Part {
	g := backend.Groups{First: 0, Last: maxParallelism - 1}
	return statetest.PartOf(x, g, g)
}

// TestTinyCache shows that a store over a byte store, with room for a few rows only, behaves like one that has everything in memory: all kinds of
// state of hundreds of keys are changed at random, and are what a map of their dumps says; again and again the store is preserved, more is
// changed and lost, and it goes on from what was preserved.
func TestTinyCache(t *testing.T) {
	for _, memory := range []int64{1, 10 << 10, 40 << 10, 10 << 20} {
		t.Run(fmt.Sprint(memory), func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(uint64(memory), 6))
			model := map[string]string{}
			p := &everything{}
			s := open(t, p, 0, 1, keyhash.String)
			s.Back(openUnder(t), memory)
			for range 6 {
				changeAndCompare(t, s, p, rnd, model, 20)
				taken := s.SnapshotStore()
				kept := maps.Clone(model)
				changeAndCompare(t, s, p, rnd, model, 5) // while it is taken
				x, err := taken(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				s.Close()
				model, p = kept, &everything{}
				s = open(t, p, 0, 1, keyhash.String)
				s.Back(openUnder(t, partOf(x)), memory)
				s.BeginsFilled()
				if err := x.Close(); err != nil {
					t.Fatal(err)
				}
			}
			for key, dump := range model {
				at(s, keyhash.String, func(string) {
					if got := p.dump(); got != dump {
						t.Fatalf("key %s is %s, want %s", key, got, dump)
					}
				}, key)
			}
		})
	}
}

// changeAndCompare changes state, and compares it with the model.
func changeAndCompare(t *testing.T, s *heap.Store[string], p *everything, rnd *rand.Rand, model map[string]string, n int) {
	t.Helper()
	for range n {
		var keys []string
		for range 64 {
			keys = append(keys, fmt.Sprint("key-", rnd.IntN(400)))
		}
		at(s, keyhash.String, func(k string) {
			if got, want := p.dump(), model[k]; got != want && (want != "" || got != (&nothingOf).text) {
				t.Fatalf("key %s is %s, want %s", k, got, want)
			}
			p.change(rnd)
			model[k] = p.dump()
		}, keys...)
		if err := s.Err(); err != nil {
			t.Fatal(err)
		}
	}
}

var nothingOf = struct{ text string }{"0 false[][] []"}
