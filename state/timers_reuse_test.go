package state_test

import (
	"testing"

	"github.com/weirstream/weir/internal/backend/heap"
)

// TestTimersTakenBackAreNotThoseOfOthers: deadlines are set, taken back when they are about to fire, and set for other keys, which have the same rows
// then. Those of the other keys fire, once each, and nobody else's.
func TestTimersTakenBackAreNotThoseOfOthers(t *testing.T) {
	p := new(reminders)
	o := newOperator(t, p, hashKey)
	fire := func(upTo int64) (fired map[int64]int) {
		t.Helper()
		fired = map[int64]int{}
		if err := o.FireEvent(upTo, func(_ heap.Ref, key int64, _ int, at int64) error {
			fired[key]++
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		o.EndBatch()
		return fired
	}
	const at, keys = 1_000_005, 2000
	fire(at - 1) // opens the bucket in which at lies
	on := func(first int64, change func()) {
		for k := first; k < first+keys; k++ {
			o.on(func(int64) { change() }, k)
		}
		o.EndBatch()
	}
	on(0, func() { p.Due.AtMillis(at); p.Seen.Set(1) }) // so that the key stays
	on(0, func() { p.Due.Clear() })
	on(keys, func() { p.Due.AtMillis(at) })
	fired := fire(at)
	for k, n := range fired {
		if k < keys || n != 1 {
			t.Fatalf("the deadline of key %d fires %d times", k, n)
		}
	}
	if len(fired) != keys {
		t.Errorf("the deadlines of %d keys fire, want %d", len(fired), keys)
	}
}
