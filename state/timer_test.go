package state_test

import (
	"cmp"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/weirstream/weir/internal/backend/heap"
	"github.com/weirstream/weir/internal/keyhash"
	"github.com/weirstream/weir/state"
)

func typeOf(v any) reflect.Type { return reflect.TypeOf(v) }

type alarms struct {
	Early state.Timer        `timer:"early,event"`
	Late  state.Timer        `timer:"late"`
	Poll  state.Timer        `timer:"poll,processing"`
	Seen  state.Value[int32] `state:"seen"`
}

type firing struct {
	at    int64
	hash  uint64
	key   int64
	timer string
}

// The timers of 200 keys are set, moved and cleared at random over a wide range of times, while event time advances in steps of all sizes,
// and must fire as a sorted list of deadlines says.
func TestTimersFireInOrder(t *testing.T) {
	var p alarms
	hash := func(k int64) uint64 { return keyhash.Uint64(uint64(k)) }
	o := newOperator(t, &p, hash)
	rnd := rand.New(rand.NewPCG(1, 2))
	model := map[firing]int64{} // with at 0 -> deadline
	now := int64(-5_000_000)
	for range 4000 {
		k := rnd.Int64N(200)
		timer, name := &p.Early, "early"
		if rnd.IntN(2) == 0 {
			timer, name = &p.Late, "late"
		}
		id := firing{hash: hash(k), key: k, timer: name}
		o.on(func(int64) {
			if at, ok := timer.Deadline(); ok != (model[id] != 0) || ok && at.UnixMilli() != model[id] {
				t.Fatalf("%v: deadline %v %v, want %d", id, at, ok, model[id])
			}
			if rnd.IntN(5) == 0 {
				timer.Clear()
				delete(model, id)
				return
			}
			at := now + rnd.Int64N(int64(1)<<rnd.IntN(28)) - 100
			timer.AtMillis(at)
			model[id] = at
		}, k)
		if rnd.IntN(3) == 0 {
			now += rnd.Int64N(int64(1) << rnd.IntN(22))
			checkFiring(t, o, now, model)
		}
	}
	checkFiring(t, o, 1<<63-1, model)
	if len(model) != 0 || o.Len() != 0 {
		t.Errorf("%d deadlines and %d keys are left", len(model), o.Len())
	}
}

func checkFiring(t *testing.T, o operator[int64], upTo int64, model map[firing]int64) {
	t.Helper()
	var want, got []firing
	for id, at := range model {
		if at <= upTo {
			delete(model, id)
			id.at = at
			want = append(want, id)
		}
	}
	slices.SortFunc(want, func(a, b firing) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.hash, b.hash), cmp.Compare(a.timer, b.timer))
	})
	err := o.FireEvent(upTo, func(r heap.Ref, key int64, timer int, at int64) error {
		got = append(got, firing{at, o.hash(key), key, o.layout.Timer(timer).(*state.Timer).Name()})
		return nil
	})
	o.EndBatch()
	if err != nil || !slices.Equal(got, want) {
		t.Fatalf("up to %d: error %v, fired\n%v, want\n%v", upTo, err, got, want)
	}
}

// A timer that is set while timers fire fires too if it is due, also at the time of the one that set it.
func TestTimerSetWhileFiring(t *testing.T) {
	var p alarms
	o := newOperator(t, &p, func(k int64) uint64 { return keyhash.Uint64(uint64(k)) })
	o.on(func(int64) { p.Early.AtMillis(1000) }, 7)
	var fired []int64
	err := o.FireEvent(5000, func(r heap.Ref, key int64, timer int, at int64) error {
		o.Seek(r)
		fired = append(fired, at)
		if _, ok := p.Early.Deadline(); ok {
			t.Error("the deadline must be gone when its timer fires")
		}
		switch len(fired) {
		case 1:
			p.Early.AtMillis(1000)
		case 2:
			p.Early.AtMillis(4999)
		case 3:
			p.Early.AtMillis(5001)
		}
		return nil
	})
	o.EndBatch()
	if err != nil || !slices.Equal(fired, []int64{1000, 1000, 4999}) {
		t.Errorf("error %v, fired %v", err, fired)
	}
	if o.Len() != 1 {
		t.Errorf("%d keys, want 1: its timer at 5001 is to come", o.Len())
	}
}

func TestProcessingTime(t *testing.T) {
	var p alarms
	o := newOperator(t, &p, func(k int64) uint64 { return keyhash.Uint64(uint64(k)) })
	if _, ok := o.NextProcessing(); ok {
		t.Error("no timer is set")
	}
	const start = 1_700_000_000_123
	o.on(func(k int64) { p.Poll.AtMillis(start + 100*k) }, 3, 1, 2)
	var fired []int64
	for now, ok := o.NextProcessing(); ok; now, ok = o.NextProcessing() {
		if err := o.FireProcessing(now, func(_ heap.Ref, key int64, _ int, at int64) error {
			if at > now {
				t.Errorf("the timer at %d fired at %d", at, now)
			}
			fired = append(fired, key)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(fired, []int64{1, 2, 3}) {
		t.Errorf("fired %v", fired)
	}
}
