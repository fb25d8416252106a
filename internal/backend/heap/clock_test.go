package heap_test

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/weirstream/weir/internal/backend/heap"
	"github.com/weirstream/weir/internal/keyhash"
	"github.com/weirstream/weir/state"
)

// aging has state that the clock on the wall decides about.
type aging struct {
	Count state.Value[int64]    `state:"count,ttl=1h"`
	Log   state.List[int64]     `state:"log,ttl=1h"`
	Pages state.Map[int, int64] `state:"pages,ttl=1h,refresh=read"`
	Next  state.Timer           `timer:"next,processing"`
	All   state.Timers          `timer:"all,processing"`
}

// TestClockSetBack shows state whose clock is set back by hours: what was written does not vanish and does not live again, timers that are set then fire
// at their time, in the same process and after a restore, in memory and over a byte store with hardly any.
func TestClockSetBack(t *testing.T) {
	t.Run("in memory", func(t *testing.T) { setClockBack(t, func(*heap.Store[string]) {}) })
	t.Run("over a byte store", func(t *testing.T) {
		setClockBack(t, func(s *heap.Store[string]) { s.Back(openUnder(t), 1) })
	})
	t.Run("outlying", func(t *testing.T) {
		defer heap.OutlyingFrom(0, 1<<10)()
		setClockBack(t, func(s *heap.Store[string]) { s.Back(openUnder(t), 1) })
	})
}

func setClockBack(t *testing.T, back func(*heap.Store[string])) {
	const hour = 3_600_000
	var p aging
	s := open(t, &p, 0, 1, keyhash.String)
	back(s)
	now := int64(0)
	set := func(to int64) { now = to; s.SetTime(now) }
	do := func(f func()) { at(s, keyhash.String, func(string) { f() }, "key") }
	others := func() { // take the place of the key in memory
		for i := range 50 {
			at(s, keyhash.String, func(string) { p.Pages.Put(3, 3) }, fmt.Sprint("other ", i))
		}
	}
	fire := func() (fired []int64) {
		if err := s.FireProcessing(now, func(_ heap.Ref, _ string, _ int, at int64) error { fired = append(fired, at); return nil }); err != nil {
			t.Fatal(err)
		}
		return fired
	}
	holds := func(what string, count int64, log, pages int) {
		t.Helper()
		do(func() {
			elements := 0
			for range p.Log.All() {
				elements++
			}
			if p.Count.Get() != count || p.Log.Len() != log || elements != log || p.Pages.Len() != pages {
				t.Errorf("%s: count %d, log %d and %d, pages %d; want %d, %d, %d", what, p.Count.Get(), p.Log.Len(), elements, p.Pages.Len(), count, log, pages)
			}
		})
	}
	set(10 * hour)
	do(func() {
		p.Count.Set(1)
		p.Log.Append(1)
		p.Pages.Put(1, 1)
		p.Next.AtMillis(11 * hour)
		p.All.AtMillis(10 * hour)
	})
	if got := fire(); !slices.Equal(got, []int64{10 * hour}) {
		t.Errorf("%v fired", got)
	}

	others()
	set(2 * hour)
	do(func() { p.Log.Append(2); p.Pages.Put(2, 2); p.All.AtMillis(3 * hour) })
	holds("set back", 1, 2, 2)
	if next, ok := s.NextProcessing(); !ok || next > 3*hour {
		t.Errorf("the next timer is due at %d", next)
	}
	if got := fire(); len(got) > 0 {
		t.Errorf("%v fired too early", got)
	}
	others()
	set(3 * hour)
	if got := fire(); !slices.Equal(got, []int64{3 * hour}) {
		t.Errorf("%v fired", got)
	}

	k, b := write(t, s.Capture())
	p = aging{}
	s = open(t, &p, 0, 1, keyhash.String)
	back(s)
	set(3 * hour)
	if err := s.Restore(k, bytes.NewReader(b)); err != nil {
		t.Fatal(err)
	}
	do(func() { p.Log.Append(3) })
	holds("restored", 1, 3, 2)
	others()
	set(5 * hour)
	holds("later", 1, 3, 2) // what is of 10:00 is not old
	s.Sweep(1000)
	set(11 * hour)
	if got := fire(); !slices.Equal(got, []int64{11 * hour}) {
		t.Errorf("%v fired", got)
	}
	holds("an hour after it was written, by the first clock", 0, 0, 0)
}
