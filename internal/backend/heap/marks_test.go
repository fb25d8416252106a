package heap_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"testing"
	"unsafe"

	"github.com/weirstream/weir/codec"
	"github.com/weirstream/weir/internal/backend/heap"
	"github.com/weirstream/weir/internal/keygroup"
	"github.com/weirstream/weir/internal/keyhash"
)

// openTracking is open for a store that tracks changes, has all key groups, and whatever more is set.
func openTracking[K comparable](t testing.TB, processor any, hash func(K) uint64, more ...func(*heap.Layout)) *heap.Store[K] {
	t.Helper()
	l, err := heap.NewLayout(reflect.TypeFor[K]())
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Bind(processor); err != nil {
		t.Fatal(err)
	}
	l.Track()
	for _, set := range more {
		set(l)
	}
	s, err := heap.NewStore(l, keygroup.RangeOf(0, 1, maxParallelism), maxParallelism, func(k *K) uint64 { return hash(*k) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// changes returns the keys that a store says were changed or removed since an epoch.
func changes(t testing.TB, s *heap.Store[string], since heap.Epoch) map[string]bool {
	keys := map[string]bool{}
	text, err := codec.Of(reflect.TypeFor[string]())
	if err != nil {
		t.Fatal(err)
	}
	for g := range maxParallelism {
		for r := range s.Changed(g, since) {
			keys[s.KeyOf(r)] = true
		}
		for b := range s.Removed(g, since) {
			var key string
			if _, err := text.Decode(b, unsafe.Pointer(&key)); err != nil {
				t.Fatal(err)
			}
			keys[key] = true
		}
	}
	return keys
}

// A store is changed at random and captured now and then. For each epoch, the keys that it says were changed since must contain every key
// whose state is not what it was then. What was confirmed is forgotten, and no more than that. As long as captures are confirmed soon no key is
// among them that nobody has visited since; else there are some, but none from long before.
func TestChangedKeysAreKnown(t *testing.T) {
	for _, x := range []struct {
		late  int        // how many captures later one is confirmed
		early heap.Epoch // how much earlier a change may be
	}{{2, 0}, {6, 8}, {30, 32}} {
		t.Run(fmt.Sprint(x.late, " captures late"), func(t *testing.T) { testChangedKeys(t, x.late, x.early) })
	}
}

func testChangedKeys(t *testing.T, late int, early heap.Epoch) {
	var p everything
	s := openTracking(t, &p, keyhash.String)
	rnd := rand.New(rand.NewPCG(5, 6))
	now := map[string]string{}
	then := map[heap.Epoch]map[string]string{} // the state
	visited := map[string]heap.Epoch{}         // last
	confirmed := heap.Epoch(1)
	for round := range 300 {
		var keys []string
		for range rnd.IntN(12) {
			keys = append(keys, fmt.Sprint("key-", rnd.IntN(60)))
		}
		at(s, keyhash.String, func(k string) {
			p.change(rnd)
			visited[k] = s.Now()
		}, keys...)
		at(s, keyhash.String, func(k string) { now[k] = p.dump() }, keys...)
		s.Capture().Release()
		for e, was := range then {
			if e < confirmed {
				delete(then, e)
				continue
			}
			got := changes(t, s, e)
			for k, v := range now {
				if v != was[k] && !got[k] && !(was[k] == "" && v == p.nothing()) {
					t.Fatalf("round %d: key %s was %q at epoch %d and is %q, but is not among the changed", round, k, was[k], e, v)
				}
			}
			for k := range got {
				if visited[k]+early < e {
					t.Fatalf("round %d: key %s, last visited in epoch %d, is said to have changed since epoch %d", round, k, visited[k], e)
				}
			}
		}
		then[s.Now()] = maps.Clone(now)
		if soonest := s.Now() - min(s.Now()-1, heap.Epoch(rnd.IntN(late+1))); soonest > confirmed && (late == 2 || rnd.IntN(2) == 0) || s.Now() > confirmed+heap.Epoch(late) {
			confirmed = max(soonest, confirmed)
			s.Confirmed(confirmed)
		}
		if !s.Knows(max(confirmed, 1)) || confirmed > 1 && s.Knows(confirmed-1) {
			t.Fatalf("round %d: confirmed is %d, Knows(%d) is %v", round, confirmed, confirmed, s.Knows(confirmed))
		}
	}
}

// Keys that come and go within an epoch, or are only looked at, leave nothing to remember.
func TestWhatNoCaptureHasLeavesNoTrace(t *testing.T) {
	var p everything
	s := openTracking(t, &p, keyhash.String)
	at(s, keyhash.String, func(string) { p.Count.Get() }, "looked at")
	at(s, keyhash.String, func(string) { p.Count.Set(1); p.Pages.Put("a", 1) }, "short")
	at(s, keyhash.String, func(string) { p.clear() }, "short")
	if got := changes(t, s, 1); len(got) > 0 {
		t.Errorf("traces of %v", got)
	}
}

// What is forgotten because too much was removed is not claimed to be known.
func TestTooManyRemovals(t *testing.T) {
	var p everything
	s := openTracking(t, &p, keyhash.String)
	before := s.Now()
	for round := 0; s.Knows(before); round++ {
		var keys []string
		for i := range 20_000 {
			keys = append(keys, fmt.Sprintf("round %d key %d", round, i))
		}
		at(s, keyhash.String, func(string) { p.Count.Set(1) }, keys...)
		s.Capture().Release()
		at(s, keyhash.String, func(string) { p.clear() }, keys...)
		if round > 100 {
			t.Fatal("two million removals are remembered")
		}
	}
	if s.Knows(s.Now()) {
		t.Error("the present epoch is known, of which removals were forgotten")
	}
	s.Capture().Release()
	if !s.Knows(s.Now()) {
		t.Error("a new epoch is not known")
	}
}
