package heap_test

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/weirstream/weir/backend"
	"github.com/weirstream/weir/internal/backend/heap"
	"github.com/weirstream/weir/state"
)

// calendar has sets of deadlines that grow beyond memory.
type calendar struct {
	Due    state.Timers       `timer:"due"`
	Also   state.Timers       `timer:"also"`
	Poll   state.Timers       `timer:"poll,processing"`
	Visits state.Value[int64] `state:"visits"`
}

// dates is the model of a calendar: deadlines in the order in which they were set.
type dates struct{ due, also, poll []int64 }

func (d *dates) clone() *dates {
	return &dates{slices.Clone(d.due), slices.Clone(d.also), slices.Clone(d.poll)}
}

func set(t *state.Timers, all *[]int64, at int64) {
	t.AtMillis(at)
	if !slices.Contains(*all, at) {
		*all = append(*all, at)
	}
}

func unset(t *state.Timers, all *[]int64, at int64) {
	t.Delete(time.UnixMilli(at))
	*all = slices.DeleteFunc(*all, func(o int64) bool { return o == at })
}

// diary is a store of calendars with their model.
type diary struct {
	p     *calendar
	s     *heap.Store[int64]
	model map[int64]*dates
	now   int64
}

func openDiary(t *testing.T, memory int64, model map[int64]*dates, now int64, parts ...backend.Part) *diary {
	t.Helper()
	d := &diary{&calendar{}, nil, model, now}
	d.s = open(t, d.p, 0, 1, hashInt)
	if memory > 0 {
		d.s.Back(openUnder(t, parts...), memory)
		if len(parts) > 0 {
			d.s.BeginsFilled()
		}
	}
	return d
}

// change does something to a calendar and to its model.
func (d *diary) change(t *testing.T, k int64, rnd *rand.Rand) {
	t.Helper()
	m := d.model[k]
	sets := []struct {
		timers *state.Timers
		all    *[]int64
	}{{&d.p.Due, &m.due}, {&d.p.Also, &m.also}, {&d.p.Poll, &m.poll}}
	of := sets[rnd.IntN(len(sets))]
	at := d.now + rnd.Int64N(3000) - 50
	if n := len(*of.all); n > 0 && rnd.IntN(3) == 0 {
		at = (*of.all)[rnd.IntN(n)]
	}
	switch rnd.IntN(40) {
	default:
		set(of.timers, of.all, at)
	case 0, 1, 2, 3, 4, 5:
		unset(of.timers, of.all, at)
	case 6, 7:
		if got, want := of.timers.Has(time.UnixMilli(at)), slices.Contains(*of.all, at); got != want {
			t.Fatalf("deadline %d is there: %v, want %v", at, got, want)
		}
	case 8:
		for range 40 { // so that the set is far from small
			set(of.timers, of.all, d.now+rnd.Int64N(10_000))
		}
	case 9:
		if rnd.IntN(10) == 0 {
			of.timers.Clear()
			*of.all = nil
		}
	case 10:
		d.p.Visits.Set(at)
	}
}

// check compares all calendars with the model.
func (d *diary) check(t *testing.T) {
	t.Helper()
	at(d.s, hashInt, func(k int64) {
		m := d.model[k]
		for name, c := range map[string]struct {
			timers *state.Timers
			want   []int64
		}{"due": {&d.p.Due, m.due}, "also": {&d.p.Also, m.also}, "poll": {&d.p.Poll, m.poll}} {
			var got []int64
			for at := range c.timers.All() {
				got = append(got, at.UnixMilli())
			}
			if !slices.Equal(got, c.want) || c.timers.Len() != len(c.want) {
				t.Fatalf("%s of key %d: %d deadlines (Len %d), want %d", name, k, len(got), c.timers.Len(), len(c.want))
			}
		}
	}, 0, 1, 2)
	for k, m := range d.model {
		var all []time.Time
		if _, _, err := d.s.Query(k, hashInt(k), "due", &all); err != nil || len(all) != len(m.due) {
			t.Fatalf("a query has %d deadlines, want %d: %v", len(all), len(m.due), err)
		}
	}
	if err := d.s.Err(); err != nil {
		t.Fatal(err)
	}
}

type fired struct {
	at  int64
	key int64
	set string
}

// fire advances both times. What fires sets and takes back others, some of which are due as well.
func (d *diary) fire(t *testing.T, upTo int64, change bool) {
	t.Helper()
	d.now = upTo
	for _, domain := range []struct {
		fire func(int64, func(heap.Ref, int64, int, int64) error) error
		of   func(m *dates, name string) *[]int64
	}{
		{d.s.FireEvent, func(m *dates, name string) *[]int64 {
			if name == "also" {
				return &m.also
			}
			return &m.due
		}},
		{d.s.FireProcessing, func(m *dates, _ string) *[]int64 { return &m.poll }},
	} {
		var last fired
		err := domain.fire(upTo, func(r heap.Ref, key int64, timer int, at int64) error {
			d.s.Seek(r)
			name := []string{"due", "also", "poll"}[timer]
			all := domain.of(d.model[key], name)
			i := slices.Index(*all, at)
			now := fired{at, key, name}
			if i < 0 || at > upTo {
				return fmt.Errorf("%v fires, which is not due", now)
			}
			if c := cmp.Or(cmp.Compare(last.at, at), cmp.Compare(hashInt(last.key), hashInt(key))); c > 0 && last.set != "" && !change {
				return fmt.Errorf("%v fires after %v", now, last)
			}
			last = now
			*all = slices.Delete(*all, i, i+1)
			if name == "poll" {
				return nil
			}
			if change && at%5 == 0 {
				set(&d.p.Due, &d.model[key].due, at+at%3000+1)
			}
			if change && at%7 == 0 && len(d.model[key].also) > 0 {
				unset(&d.p.Also, &d.model[key].also, d.model[key].also[0])
			}
			return nil
		})
		d.s.EndBatch()
		if err = errors.Join(err, d.s.Err()); err != nil {
			t.Fatal(err)
		}
	}
	for k, m := range d.model {
		for name, all := range map[string][]int64{"due": m.due, "also": m.also, "poll": m.poll} {
			if i := slices.IndexFunc(all, func(at int64) bool { return at <= upTo }); i >= 0 {
				t.Fatalf("deadline %d of %s of key %d has not fired by %d", all[i], name, k, upTo)
			}
		}
	}
}

// TestOutlyingTimers shows that sets of deadlines of a few keys, each far larger than the memory there is, are what sorted lists are: random changes while
// time advances by small and large steps, changes while they fire; and that they are so after the store was preserved and opened again, and in a
// canonical savepoint.
func TestOutlyingTimers(t *testing.T) {
	for _, from := range []int{0, 100, 1 << 10, 1 << 30} {
		for _, memory := range []int64{1, 4 << 10, 20 << 10} {
			t.Run(fmt.Sprintf("from=%d,memory=%d", from, memory), func(t *testing.T) {
				defer heap.OutlyingFrom(from, memory/8)()
				rnd := rand.New(rand.NewPCG(uint64(memory), uint64(from)))
				d := openDiary(t, memory, map[int64]*dates{0: {}, 1: {}, 2: {}}, 1_000_000)
				for range 2 {
					for range 10 {
						at(d.s, hashInt, func(k int64) {
							for range 30 {
								d.change(t, k, rnd)
							}
						}, int64(rnd.IntN(3)), int64(rnd.IntN(3)))
						d.fire(t, d.now+rnd.Int64N(300), rnd.IntN(2) == 0)
						if rnd.IntN(8) == 0 {
							d.fire(t, d.now+rnd.Int64N(3_000), rnd.IntN(2) == 0)
						}
					}
					d.check(t)
					d.checkSavepoint(t)
					taken := d.s.SnapshotStore()
					kept, then := map[int64]*dates{}, d.now
					for k, m := range d.model {
						kept[k] = m.clone()
					}
					at(d.s, hashInt, func(k int64) { // while it is taken
						for range 50 {
							d.change(t, k, rnd)
						}
					}, 0, 1, 2)
					d.fire(t, d.now+500, true)
					x, err := taken(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					d.s.Close()
					d = openDiary(t, memory, kept, then, partOf(x))
					d.check(t)
				}
				d.fire(t, 1<<40, false)
				at(d.s, hashInt, func(int64) { d.p.Visits.Clear() }, 0, 1, 2)
				if n := d.s.Len(); n != 0 || d.s.Err() != nil {
					t.Errorf("%d keys are left after all has fired, %v", n, d.s.Err())
				}
			})
		}
	}
}

// checkSavepoint writes a canonical savepoint, and reads it into a store without and one with a byte store, where all fires.
func (d *diary) checkSavepoint(t *testing.T) {
	t.Helper()
	k, b := write(t, d.s.Capture())
	for _, memory := range []int64{0, 1} {
		model := map[int64]*dates{}
		for k, m := range d.model {
			model[k] = m.clone()
		}
		again := openDiary(t, memory, model, d.now)
		if err := again.s.Restore(k, bytes.NewReader(b)); err != nil {
			t.Fatal(err)
		}
		again.check(t)
		again.fire(t, 1<<40, false)
		again.s.Close()
	}
}

// TestOneDeadline shows that one deadline of 30 000, most of which is not in memory, is set, found, taken back and fires without the others.
func TestOneDeadline(t *testing.T) {
	const n = 30_000
	p := &calendar{}
	s := open(t, p, 0, 1, hashInt)
	under := &counting{Store: openPebbleUnder(t)}
	s.Back(under, 1<<20)
	at(s, hashInt, func(int64) {
		for i := range int64(n) {
			p.Due.AtMillis(1_000_000 + i*7919%n*100)
		}
	}, 1)
	under.take(t, s)
	for _, test := range []struct {
		name      string
		do        func()
		gets, ops int64 // at most
	}{
		{"has", func() { p.Due.Has(time.UnixMilli(1_500_000)) }, 1, 0},
		{"set what is there", func() { p.Due.AtMillis(1_500_100) }, 1, 0},
		{"set what is new", func() { p.Due.AtMillis(1_500_011) }, 1, 3},
		{"take back", func() { p.Due.Delete(time.UnixMilli(1_500_200)) }, 1, 3},
		{"take back what is not there", func() { p.Due.Delete(time.UnixMilli(5)) }, 1, 0},
		{"length", func() { p.Due.Len() }, 0, 0},
	} {
		at(s, hashInt, func(int64) {}, 2, 3, 4) // something else, so that key 1 may go
		at(s, hashInt, func(int64) { test.do() }, 1)
		if gets, ops := under.take(t, s); gets > test.gets+4 || ops > test.ops {
			t.Errorf("%s: %d keys were read, want %d; %d changes were made, want %d", test.name, gets, test.gets, ops, test.ops)
		}
	}
	times := 0
	if err := s.FireEvent(1_000_000, func(heap.Ref, int64, int, int64) error { times++; return nil }); err != nil || times != 1 {
		t.Errorf("%d deadlines have fired, want 1: %v", times, err)
	}
	s.EndBatch()
	if gets, ops := under.take(t, s); gets > 1 || ops > 5 {
		t.Errorf("fire: %d keys were read, %d changes were made", gets, ops)
	}
	at(s, hashInt, func(int64) { p.Due.Clear() }, 1)
	if _, ops := under.take(t, s); ops > 4 {
		t.Errorf("clear: %d changes were made", ops)
	}
	if err := s.Err(); err != nil {
		t.Fatal(err)
	}
}

// TestGoldenOutlyingTimers shows in which form an outlying set of deadlines lies in a byte store, and that this form is read. What was written in it must be
// read forever: see docs/formats/pebble.md.
func TestGoldenOutlyingTimers(t *testing.T) {
	defer heap.OutlyingFrom(60, 1<<20)()
	d := openDiary(t, 0, map[int64]*dates{1: {}, 3: {}}, 0)
	under := openUnder(t)
	d.s.Back(under, 1<<20)
	at(d.s, hashInt, func(k int64) {
		for i := range 6 * k {
			set(&d.p.Due, &d.model[k].due, 1000*k+i*i%17)
			set(&d.p.Poll, &d.model[k].poll, -i)
		}
	}, 1, 3)
	at(d.s, hashInt, func(int64) { unset(&d.p.Poll, &d.model[3].poll, -3) }, 3)
	d.s.Len() // writes all back
	again := goldenStore(t, "outlyingtimers.txt", under)
	d = openDiary(t, 0, d.model, 0)
	d.s.Back(again, 1<<20)
	d.s.BeginsFilled()
	d.fire(t, 1005, false)
	d.fire(t, 1<<40, false)
}

// BenchmarkManyDeadlines changes one set of so many deadlines in Pebble, with 1 MB of memory for rows: one is set and one fires, and then 512 other keys are
// used. It compares a set that lies in its row with one that lies deadline by deadline. Without deadlines it is what the other keys cost.
func BenchmarkManyDeadlines(b *testing.B) {
	for _, n := range []int64{0, 1000, 100_000, 1_000_000} {
		for where, from := range map[string]int{"row": 1 << 30, "entries": 2 << 10} {
			b.Run(fmt.Sprintf("n=%d,%s", n, where), func(b *testing.B) {
				defer heap.OutlyingFrom(from, 256<<10)()
				p := &calendar{}
				s := open(b, p, 0, 1, hashInt)
				s.Back(openPebbleUnder(b), 1<<20)
				defer s.Close()
				at(s, hashInt, func(int64) {
					for i := range n {
						p.Due.AtMillis(1_000_000 + i*7919%n*100)
					}
				}, 1)
				s.Len() // writes all back
				now, others := int64(1_000_000), make([]int64, 512)
				for i := range others {
					others[i] = int64(i) + 2
				}
				for b.Loop() {
					if n > 0 {
						at(s, hashInt, func(int64) { p.Due.AtMillis(now + n*100 + 50) }, 1)
						if err := s.FireEvent(now, func(heap.Ref, int64, int, int64) error { return nil }); err != nil {
							b.Fatal(err)
						}
						now += 100
					}
					at(s, hashInt, func(int64) { p.Visits.Set(now) }, others...)
					if err := s.Err(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
