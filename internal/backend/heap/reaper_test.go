package heap_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/weirstream/weir/backend"
	"github.com/weirstream/weir/internal/keyhash"
	"github.com/weirstream/weir/state"
)

// A row in a byte store is dead from the moment on at which the last of its states has expired, and not while anything is left that does not; a
// query finds what lies there and was evicted.
func TestReaper(t *testing.T) {
	var p struct {
		Count state.Value[int64]       `state:"count,ttl=10s"`
		Pages state.Map[string, int32] `state:"pages,ttl=20s,clock=event"`
		Log   state.List[string]       `state:"log,ttl=30s"`
		Level state.Value[int32]       `state:"level,default=5"`
		Name  state.Value[string]      `state:"name"`
		Tags  state.Value[[]string]    `state:"tags"`
		Idle  state.Timer              `timer:"idle"`
		Due   state.Timers             `timer:"due"`
	}
	s := open(t, &p, 0, 1, keyhash.String)
	under := openUnder(t)
	s.Back(under, 1) // nothing stays in memory
	noTime := int64(math.MinInt64)
	s.SetTime(0)
	s.SetEventTime(0, &noTime)
	for key, f := range map[string]func(){
		"until 10":          func() { p.Count.Set(1) },
		"until 20":          func() { p.Count.Set(1); p.Pages.Put("home", 1) },
		"until 30":          func() { p.Pages.Put("home", 1); p.Log.Append("x") },
		"forever: name":     func() { p.Count.Set(1); p.Name.Set("x") },
		"forever: level":    func() { p.Count.Set(1); p.Level.Set(0) },
		"forever: tags":     func() { p.Count.Set(1); p.Tags.Set([]string{"x"}) },
		"forever: timer":    func() { p.Count.Set(1); p.Idle.AtMillis(1) },
		"forever: deadline": func() { p.Count.Set(1); p.Due.AtMillis(1) },
	} {
		at(s, keyhash.String, func(string) { f() }, key)
	}
	x, err := s.SnapshotStore()(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	var count int64
	if found, _, err := s.Query("until 10", keyhash.String("until 10"), "count", &count); !found || count != 1 || err != nil {
		t.Errorf("a query of what was evicted: %v %d %v", found, count, err)
	}
	if found, _, err := s.Query("nobody", keyhash.String("nobody"), "count", &count); found || err != nil {
		t.Errorf("a query of a key that is not there: %v %v", found, err)
	}
	dead := map[int]string{9_999: "", 10_000: "until 10", 20_000: "until 10, until 20", 29_999: "until 10, until 20", 30_000: "until 10, until 20, until 30"}
	for _, now := range []int{9_999, 10_000, 20_000, 29_999, 30_000} {
		got := ""
		for _, name := range []string{"until 10", "until 20", "until 30"} {
			if isDead(t, under, s.Reaper().Dead, name, int64(now)) {
				if got != "" {
					got += ", "
				}
				got += name
			}
		}
		if got != dead[now] {
			t.Errorf("at %d: dead are %s, want %s", now, got, dead[now])
		}
	}
	for _, name := range []string{"name", "level", "tags", "timer", "deadline"} {
		if isDead(t, under, s.Reaper().Dead, "forever: "+name, 1<<50) {
			t.Errorf("the row with a %s is dead", name)
		}
	}
}

// isDead finds the row of a key in a byte store and asks about it.
func isDead(t *testing.T, under backend.Store, dead func([]byte, int64, int64) (bool, error), key string, now int64) bool {
	t.Helper()
	it, err := under.Scan(backend.Groups{First: 0, Last: maxParallelism - 1}.Keys())
	if err != nil {
		t.Fatal(err)
	}
	defer it.Close()
	for more := it.Next(); more; more = it.Next() {
		k := it.Key()
		if k[2] != 0 || string(k[4:]) != key { // group, space, length
			continue
		}
		is, err := dead(it.Value(), now, now)
		if err != nil {
			t.Fatal(err)
		}
		return is
	}
	t.Fatal(fmt.Sprint("there is no row of ", key))
	return false
}
