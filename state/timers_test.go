package state_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/weirstream/weir/internal/backend/heap"
	"github.com/weirstream/weir/internal/keyhash"
	"github.com/weirstream/weir/state"
)

type reminders struct {
	Due  state.Timers       `timer:"due"`
	Poll state.Timers       `timer:"poll,processing"`
	Last state.Timer        `timer:"last"`
	Seen state.Value[int32] `state:"seen"`
}

func hashKey(k int64) uint64 { return keyhash.Uint64(uint64(k)) }

// Sets of deadlines of 50 keys are changed at random while event time advances, with snapshots and restores between, and must fire as a sorted
// list says: in order of time, hash and timer, each deadline once.
func TestTimersFireAsASet(t *testing.T) {
	p := new(reminders)
	o := newOperator(t, p, hashKey)
	rnd := rand.New(rand.NewPCG(5, 6))
	model := map[firing]bool{}
	now := int64(-2_000_000)
	fire := func(upTo int64) {
		t.Helper()
		var want, got []firing
		for f := range model {
			if f.at <= upTo {
				want = append(want, f)
				delete(model, f)
			}
		}
		slices.SortFunc(want, func(a, b firing) int {
			return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.hash, b.hash), cmp.Compare(b.timer, a.timer))
		})
		if err := o.FireEvent(upTo, func(r heap.Ref, key int64, timer int, at int64) error {
			o.Seek(r)
			name := "due"
			if h, ok := o.layout.Timer(timer).(*state.Timer); ok {
				name = h.Name()
			} else if p.Due.Has(time.UnixMilli(at)) {
				t.Errorf("the deadline %d is there while it fires", at)
			}
			got = append(got, firing{at, hashKey(key), key, name})
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		o.EndBatch()
		less := func(a, b firing) int {
			return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.hash, b.hash), cmp.Compare(b.timer, a.timer))
		}
		if !slices.IsSortedFunc(got, func(a, b firing) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.hash, b.hash)) }) {
			t.Fatalf("up to %d fired out of order: %v", upTo, got)
		}
		slices.SortFunc(got, less)
		if !slices.Equal(got, want) {
			t.Fatalf("up to %d fired\n%v, want\n%v", upTo, got, want)
		}
	}
	for range 4000 {
		k := rnd.Int64N(50)
		at := now + rnd.Int64N(int64(1)<<rnd.IntN(24)) - 50
		f := firing{at, hashKey(k), k, "due"}
		o.on(func(int64) {
			switch rnd.IntN(8) {
			case 0:
				n := 0
				for at := range p.Due.All() {
					f := firing{at.UnixMilli(), hashKey(k), k, "due"}
					if !model[f] {
						t.Fatalf("%v is not in the model", f)
					}
					if n++; n%3 == 0 {
						p.Due.Delete(at)
						delete(model, f)
					}
				}
			case 1:
				p.Last.AtMillis(at)
				for f := range model {
					if f.key == k && f.timer == "last" {
						delete(model, f)
					}
				}
				model[firing{at, hashKey(k), k, "last"}] = true
			case 2:
				if rnd.IntN(10) == 0 {
					p.Due.Clear()
					for f := range model {
						if f.key == k && f.timer == "due" {
							delete(model, f)
						}
					}
				}
			default:
				p.Due.AtMillis(at)
				p.Due.AtMillis(at) // is the same
				model[f] = true
			}
			n := 0
			for f := range model {
				if f.key == k && f.timer == "due" {
					n++
				}
			}
			if p.Due.Len() != n {
				t.Fatalf("%d deadlines, want %d", p.Due.Len(), n)
			}
		}, k)
		switch rnd.IntN(12) {
		case 0, 1, 2:
			now += rnd.Int64N(int64(1) << rnd.IntN(20))
			fire(now)
		case 3:
			if rnd.IntN(10) == 0 {
				p = new(reminders)
				o = o.copied(t, p, 0)
			}
		}
	}
	fire(1<<63 - 1)
	if len(model) != 0 || o.Len() != 0 {
		t.Errorf("%d deadlines and %d keys are left", len(model), o.Len())
	}
}

// Processing time has sets too, and a timer that stands for a set says so when it is misused.
func TestTimersInProcessingTime(t *testing.T) {
	var p reminders
	o := newOperator(t, &p, hashKey)
	o.on(func(int64) {
		for _, ms := range []int64{300, 100, 200} {
			p.Poll.AtMillis(ms)
		}
		p.Poll.DeleteMillis(200)
	}, 1)
	var fired []int64
	for now, ok := o.NextProcessing(); ok; now, ok = o.NextProcessing() {
		if err := o.FireProcessing(now, func(_ heap.Ref, _ int64, timer int, at int64) error {
			if o.layout.Timer(timer) != &p.Poll {
				t.Error("another timer fires")
			}
			fired = append(fired, at)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		o.EndBatch()
	}
	if !slices.Equal(fired, []int64{100, 300}) || o.Len() != 0 {
		t.Errorf("fired %v, %d keys left", fired, o.Len())
	}
	if p.Poll.Timer().Name() != "poll" {
		t.Errorf("it is named %q", p.Poll.Timer().Name())
	}
	defer func() {
		if r := recover(); r == nil {
			t.Error("setting the timer of a set does not panic")
		}
	}()
	p.Poll.Timer().AtMillis(1)
}

// BenchmarkManyTimers registers 1 M deadlines of one key group, deletes every other one, and fires the rest: of one key, of a thousand, and of
// as many keys as deadlines; and once with a single deadline for each key. Nothing may grow with their number but the time for all.
func BenchmarkManyTimers(b *testing.B) {
	for _, n := range []int{10_000, 100_000, 1_000_000} {
		for _, keys := range []int{1, 1000, n} {
			b.Run(fmt.Sprintf("n=%d/keys=%d", n, keys), func(b *testing.B) { benchManyTimers(b, n, keys) })
		}
	}
}

func benchManyTimers(b *testing.B, n, keys int) {
	var took [3]time.Duration
	for b.Loop() {
		var p reminders
		o := newOperator(b, &p, func(k int64) uint64 { return hashKey(k) & (1<<32 - 1) }) // all in group 0
		each := func(step int, do func(i int)) time.Duration {
			begin := time.Now()
			batch := make([]int64, 0, 256)
			for i := 0; i < n; {
				first := i
				for batch = batch[:0]; i < n && len(batch) < cap(batch); i += step {
					batch = append(batch, int64(i%keys))
				}
				o.on(func(int64) { do(first); first += step }, batch...)
			}
			return time.Since(begin)
		}
		at := func(i int) int64 { return int64(hashKey(int64(i)) >> 32) } // within 50 days
		took[0] += each(1, func(i int) { p.Due.AtMillis(at(i)) })
		took[1] += each(2, func(i int) { p.Due.DeleteMillis(at(i)) })
		begin, fired := time.Now(), 0
		for now := int64(0); now <= 1<<32; now += 1 << 25 {
			if err := o.FireEvent(now, func(heap.Ref, int64, int, int64) error { fired++; return nil }); err != nil {
				b.Fatal(err)
			}
			o.EndBatch()
		}
		took[2] += time.Since(begin)
		if fired < n/2-n/1000 || fired > n/2+1 || o.Len() != 0 {
			b.Fatalf("%d fired, %d keys left", fired, o.Len())
		}
		o.Close()
	}
	for i, what := range []string{"ns/register", "ns/delete", "ns/fire"} {
		per := n
		if i > 0 {
			per = n / 2
		}
		b.ReportMetric(float64(took[i].Nanoseconds())/float64(b.N)/float64(per), what)
	}
}
