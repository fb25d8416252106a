package heap

import (
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/weirstream/weir/internal/backend/keyed"
	"github.com/weirstream/weir/internal/keygroup"
	"github.com/weirstream/weir/internal/keyhash"
)

// Buckets of all distances, some filed while others are opened, must be opened in order and with all that was filed, after a sweep too.
func TestWheel(t *testing.T) {
	rnd := rand.New(rand.NewPCG(9, 10))
	w := newWheel()
	w.advance(-100_000, func([]entry) { t.Fatal("it is empty") })
	var want []int64 // the bucket of each entry that is in it; an entry is known by its bucket
	file := func() {
		b := w.cur + 1 + rnd.Int64N(int64(1)<<rnd.IntN(20))
		w.file(b, entry{row: rowID{group: uint32(b >> 32), id: uint32(b)}})
		want = append(want, b)
	}
	for range 3000 {
		for range rnd.IntN(4) {
			file()
		}
		if rnd.IntN(20) == 0 {
			w.sweep(func(e entry, b int64) bool {
				if uint32(b) != e.row.id {
					t.Fatalf("the entry of bucket %d is swept in bucket %d", int32(e.row.id), b)
				}
				return b%5 != 0
			})
			want = slices.DeleteFunc(want, func(b int64) bool { return b%5 == 0 })
		}
		to := w.cur + rnd.Int64N(int64(1)<<rnd.IntN(18))
		last := w.cur
		w.advance(to, func(entries []entry) {
			if w.cur < last || w.cur > to {
				t.Fatalf("bucket %d comes up after %d on the way to %d", w.cur, last, to)
			}
			last = w.cur
			for _, e := range entries {
				i := slices.Index(want, w.cur)
				if i < 0 || e.row.id != uint32(w.cur) {
					t.Fatalf("bucket %d holds the entry of bucket %d", w.cur, int32(e.row.id))
				}
				want = slices.Delete(want, i, i+1)
			}
			file()
		})
		if next, ok := w.next(); ok != (len(want) > 0) || ok && next > slices.Min(want) {
			t.Fatalf("the next bucket is %d %v, want at most the least of %d", next, ok, len(want))
		}
		if len(want) != w.count || len(want) > 0 && slices.Min(want) <= w.cur {
			t.Fatalf("after advancing to %d: %d entries, want %d", to, w.count, len(want))
		}
	}
}

type timerHandle struct{ *TimerColumn }

func (h *timerHandle) DeclareState(d *Declaration) { h.TimerColumn = d.Timer() }

// A key that sets a timer far off and is forgotten soon after must leave nothing for long.
func TestForgottenTimersAreSwept(t *testing.T) {
	var p struct{ Idle timerHandle }
	l, err := NewLayout(reflect.TypeFor[int64]())
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Bind(&p); err != nil {
		t.Fatal(err)
	}
	s, err := NewStore(l, keygroup.Range{First: 0, Last: 3}, 4, func(k *int64) uint64 { return keyhash.Uint64(uint64(*k)) })
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	refs := make([]Ref, 1)
	for k := range int64(3 * leastSweep) {
		s.Resolve([]int64{k}, []uint64{keyhash.Uint64(uint64(k))}, refs)
		s.Seek(refs[0])
		p.Idle.Set(1_000_000_000 + k*1000)
		if k%1000 != 0 {
			p.Idle.Clear()
		}
		s.EndBatch()
	}
	if q := s.core.timers[keyed.EventTime]; q.wheel.count > leastSweep+1000 || s.Len() != (3*leastSweep+999)/1000 {
		t.Errorf("%d entries for %d keys", q.wheel.count, s.Len())
	}
	fired := 0
	if err := s.FireEvent(1<<62, func(Ref, int64, int, int64) error { fired++; return nil }); err != nil || fired != s.Len() {
		t.Errorf("error %v, %d timers fired for %d keys", err, fired, s.Len())
	}
}
