package heap_test

import (
	"testing"

	"github.com/weirstream/weir/internal/keyhash"
	"github.com/weirstream/weir/state"
)

// A query finds what lies in the byte store and was evicted from the tables, and says so of a key that is nowhere.
func TestQueryOfEvicted(t *testing.T) {
	var p struct {
		Count state.Value[int64] `state:"count,ttl=10s"`
	}
	s := open(t, &p, 0, 1, keyhash.String)
	under := openUnder(t)
	s.Back(under, 1) // nothing stays in memory
	s.SetTime(0)
	at(s, keyhash.String, func(string) { p.Count.Set(1) }, "here")
	x, err := s.SnapshotStore()(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	var count int64
	if found, _, err := s.Query("here", keyhash.String("here"), "count", &count); !found || count != 1 || err != nil {
		t.Errorf("a query of what was evicted: %v %d %v", found, count, err)
	}
	if found, _, err := s.Query("nobody", keyhash.String("nobody"), "count", &count); found || err != nil {
		t.Errorf("a query of a key that is not there: %v %v", found, err)
	}
}
