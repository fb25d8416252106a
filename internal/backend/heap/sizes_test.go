package heap_test

import (
	"fmt"
	"testing"

	"github.com/weirstream/weir/internal/backend/heap"
	"github.com/weirstream/weir/internal/keyhash"
	"github.com/weirstream/weir/state"
)

// What a store takes is told by state: entries exactly, and bytes that grow with the state, are no less than what rows take, and stay when
// rows are freed, since pages do.
func TestSizes(t *testing.T) {
	var p struct {
		Sum   state.Value[int64]
		Pages state.Map[int64, int64]
		Last  state.List[int64]
		Due   state.Timers `timer:"due,event"`
	}
	s := open(t, &p, 0, 1, hashInt)
	var x heap.Sizes
	if s.Sizes(&x); x.Keys != 0 || x.Bytes != 0 || len(x.States) != 4 {
		t.Errorf("an empty store takes %+v", x)
	}
	const keys = 20_000
	all := make([]int64, keys)
	for i := range all {
		all[i] = int64(i)
	}
	fill := func(k int64) {
		p.Sum.Set(k + 1)
		p.Last.Append(k)
		for i := range k % 3 {
			p.Pages.Put(i, k)
			p.Due.AtMillis(k + i)
		}
	}
	at(s, hashInt, fill, all[:keys/2]...)
	half := s.Sizes(&x).Bytes
	at(s, hashInt, fill, all[keys/2:]...)
	s.Sizes(&x)
	if x.Keys != keys || x.Bytes < half*3/2 || x.Bytes < keys*(8+8+12+12+12)+keys*2*30 || x.Bytes > 100*keys*8 {
		t.Errorf("%d keys take %d bytes, half of them %d", x.Keys, x.Bytes, half)
	}
	entries, bytes := map[string]int{}, int64(0)
	for _, st := range x.States {
		entries[st.Name] = st.Entries
		if bytes += st.Bytes; st.Bytes < keys*8 {
			t.Errorf("state %s takes %d bytes", st.Name, st.Bytes)
		}
	}
	if want := map[string]int{"sum": -1, "pages": keys - 1, "last": -1, "due": keys - 1}; fmt.Sprint(entries) != fmt.Sprint(want) {
		t.Errorf("there are %v entries, want %v", entries, want)
	}
	if bytes > x.Bytes {
		t.Errorf("the states take %d bytes, all together %d", bytes, x.Bytes)
	}
	full := x.Bytes
	at(s, hashInt, func(int64) { p.Sum.Clear(); p.Last.Clear(); p.Pages.Clear(); p.Due.Clear() }, all...)
	if s.Sizes(&x); x.Keys != 0 || x.States[1].Entries != 0 || x.Bytes < full*3/4 {
		t.Errorf("%d keys and %d entries are left, in %d bytes", x.Keys, x.States[1].Entries, x.Bytes)
	}
	if n := testing.AllocsPerRun(10, func() { s.Sizes(&x) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// Over a byte store the tables are told, and what they take with what values refer to.
func TestSizesOfCache(t *testing.T) {
	var p everything
	s := open(t, &p, 0, 1, keyhash.String)
	s.Back(openUnder(t), 1<<20)
	at(s, keyhash.String, func(string) { p.Name.Set("a name"); p.Pages.Put("x", 1) }, "a", "b", "c")
	s.SnapshotStore()
	var x heap.Sizes
	if s.Sizes(&x); x.Keys != 3 || x.Cached == 0 || x.Bytes == 0 {
		t.Errorf("it takes %+v", x)
	}
}
