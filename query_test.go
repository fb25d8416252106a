package weir_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/connector/memory"
	"github.com/weirstream/weir/state"
)

// known keeps numbers by their last digit in states of all kinds, says when it has seen some, and opens and fails when it is told to.
type known struct {
	Count state.Value[int]                     `state:"count"`
	Odd   state.Value[[]int]                   `state:"odd"`
	Level state.Value[string]                  `state:"level,default=low"`
	Sum   state.Reducing[int, state.Sum[int]]  `state:"sum"`
	Mean  state.Aggregating[int, average, int] `state:"mean"`
	Tens  state.Map[int, string]               `state:"tens"`
	All   state.List[int]                      `state:"all"`
	Brief state.Value[int]                     `state:"brief,ttl=1h"`
	Last  state.Map[string, int]               `state:"last,ttl=2h"`
	Idle  weir.Timer                           `timer:"idle,processing"`
	Due   weir.Timers                          `timer:"due,processing"`

	Seen    chan int      `weir:"shared"`
	Opening chan struct{} `weir:"shared"`
	Let     chan struct{} `weir:"shared"`
	Fail    *atomic.Bool  `weir:"shared"`
}

type average struct{ Sum, N int }

func (a average) Add(x int) average { return average{a.Sum + x, a.N + 1} }
func (a average) Result() int       { return a.Sum / max(a.N, 1) }

func (k *known) Open(*weir.Ctx[int, int]) error {
	k.Opening <- struct{}{}
	<-k.Let
	return nil
}

func (k *known) On(_ *weir.Ctx[int, int], n int) error {
	if k.Fail.CompareAndSwap(true, false) {
		return errTest
	}
	k.Count.Set(k.Count.Get() + 1)
	if n%2 == 1 {
		k.Odd.Set(append(k.Odd.Get(), n))
	}
	k.Sum.Add(n)
	k.Mean.Add(n)
	k.Tens.Put(n/10, fmt.Sprint(n))
	k.All.Append(n)
	k.Brief.Set(n)
	k.Last.Put("last", n)
	k.Idle.AtMillis(1 << 50)
	k.Due.AtMillis(1<<50 + int64(n))
	k.Seen <- n
	return nil
}

func (k *known) OnTimer(*weir.Ctx[int, int], *weir.Timer) error { return nil }

// askable starts a job of two subtasks that has read the numbers below 30 and waits.
func askable(t *testing.T) (*known, *tape[int], *weir.Execution) {
	in := &tape[int]{splits: [][]int{numbers(100)}}
	in.hold(0, 30)
	k := &known{Seen: make(chan int, 1000), Opening: make(chan struct{}, 10), Let: make(chan struct{}, 10), Fail: new(atomic.Bool)}
	k.Let <- struct{}{}
	k.Let <- struct{}{}
	j := newJob(t, 2)
	j.Set("restart-strategy.type", "fixed-delay")
	j.Set("restart-strategy.fixed-delay.delay", "1 ms")
	digits := weir.KeyBy(weir.From(j, "in", in), func(n int) int { return n % 10 })
	weir.To(weir.Process(digits, "known", k), "out", memory.Collect[int]())
	e, err := weir.Start(context.Background(), j)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for range cap(k.Let) - len(k.Let) {
			k.Let <- struct{}{}
		}
		e.Cancel()
		_, _ = e.Wait()
	})
	for range 2 {
		<-k.Opening
	}
	for range 30 {
		<-k.Seen
	}
	return k, in, e
}

// wants asks for a state of a key.
func wants[V any](t *testing.T, e *weir.Execution, state string, key int, want V, wantFound bool) {
	t.Helper()
	v, found, err := weir.Query[int, V](context.Background(), e, "known", state, key)
	if err != nil || found != wantFound || fmt.Sprint(v) != fmt.Sprint(want) {
		t.Errorf("%s of %d: %v %v %v, want %v %v", state, key, v, found, err, want, wantFound)
	}
}

// TestQuery shows every kind of state of a running job, of keys in both of its subtasks, and what is said of keys that have none.
func TestQuery(t *testing.T) {
	_, _, e := askable(t)
	for d := range 10 {
		wants(t, e, "count", d, 3, true)
		wants(t, e, "sum", d, 30+3*d, true)
		wants(t, e, "mean", d, average{30 + 3*d, 3}, true)
		wants(t, e, "all", d, []int{d, 10 + d, 20 + d}, true)
		wants(t, e, "tens", d, map[int]string{0: fmt.Sprint(d), 1: fmt.Sprint(10 + d), 2: fmt.Sprint(20 + d)}, true)
		wants(t, e, "idle", d, time.UnixMilli(1<<50).UTC(), true)
		wants(t, e, "level", d, "low", false)
	}
	wants(t, e, "odd", 3, []int{3, 13, 23}, true)
	wants(t, e, "odd", 4, []int(nil), false)
	wants(t, e, "count", 77, 0, false)
	wants(t, e, "level", 77, "low", false)
	wants(t, e, "tens", 77, map[int]string(nil), false)
	wants(t, e, "all", 77, []int(nil), false)
	wants(t, e, "idle", 77, time.Time{}, false)
	due, found, err := weir.Query[int, []time.Time](context.Background(), e, "known", "due", 5)
	if err != nil || !found || len(due) != 3 || due[0].UnixMilli() != 1<<50+5 {
		t.Errorf("due: %v %v %v", due, found, err)
	}
	for entry, want := range map[int]string{1: "14", 7: ""} {
		if v, found, err := weir.QueryEntry[int, int, string](context.Background(), e, "known", "tens", 4, entry); v != want || found != (want != "") || err != nil {
			t.Errorf("entry %d: %q %v %v, want %q", entry, v, found, err, want)
		}
	}
	var value, entry, never time.Time
	if _, found, err := weir.Query[int, int](context.Background(), e, "known", "brief", 1, weir.ExpiryTo(&value)); !found || err != nil {
		t.Error(found, err)
	}
	if _, found, err := weir.QueryEntry[int, string, int](context.Background(), e, "known", "last", 1, "last", weir.ExpiryTo(&entry)); !found || err != nil {
		t.Error(found, err)
	}
	if _, _, err := weir.Query[int, int](context.Background(), e, "known", "count", 1, weir.ExpiryTo(&never)); !never.IsZero() || err != nil {
		t.Error(never, err)
	}
	if left := time.Until(value); left < 50*time.Minute || left > time.Hour || entry.Sub(value) != time.Hour {
		t.Errorf("the value expires at %v, the entry at %v", value, entry)
	}
}

// TestQueryRefused shows what is said of a wrong question.
func TestQueryRefused(t *testing.T) {
	_, _, e := askable(t)
	ask := func(step, state string) error {
		_, _, err := weir.Query[int, int](context.Background(), e, step, state, 1)
		return err
	}
	contains(t, ask("knwon", "count"), `query state "count" of step "knwon"`, `is it "known"?`)
	contains(t, ask("in", "count"), "no state of keys")
	contains(t, ask("known", "counts"), `no state "counts"`, "count (a value of type int)", "tens (a map[int]string)")
	contains(t, ask("known", "tens"), `state "tens" is a map[int]string`, "not to be had as int")
	_, _, err := weir.Query[string, int](context.Background(), e, "known", "count", "1")
	contains(t, err, `step "known"`, "its keys are of type int, not string")
	_, _, err = weir.QueryEntry[int, string, int](context.Background(), e, "known", "tens", 1, "x")
	contains(t, err, `state "tens" is a map[int]string`, "an entry of a map[string]int")
	_, _, err = weir.QueryEntry[int, string, int](context.Background(), e, "known", "count", 1, "x")
	contains(t, err, `state "count" is a value of type int`)
}

// TestQueryWaits shows a query of a job that restarts: it waits for the subtask, or as long as its caller likes; and of one that has ended.
func TestQueryWaits(t *testing.T) {
	k, in, e := askable(t)
	k.Fail.Store(true)
	in.hold(0, 31)
	for range 2 {
		<-k.Opening // again, after the failure
	}
	impatient, giveUp := context.WithCancel(context.Background())
	giveUp()
	if _, _, err := weir.Query[int, int](impatient, e, "known", "count", 1); !errors.Is(err, context.Canceled) {
		t.Errorf("of an impatient caller: %v", err)
	}
	answers := make(chan error, 10)
	for d := range 10 {
		go func() {
			_, _, err := weir.Query[int, int](context.Background(), e, "known", "count", d)
			answers <- err
		}()
	}
	k.Let <- struct{}{}
	k.Let <- struct{}{}
	for range 10 {
		if err := <-answers; err != nil {
			t.Errorf("of a patient one: %v", err)
		}
	}
	for range cap(k.Let) - len(k.Let) {
		k.Let <- struct{}{}
	}
	in.release(0)
	if r, err := e.Wait(); err != nil {
		t.Fatal(r, err)
	}
	var ended *weir.EndedError
	if _, _, err := weir.Query[int, int](context.Background(), e, "known", "count", 1); !errors.As(err, &ended) {
		t.Errorf("of a job that has ended: %v", err)
	}
}

// TestQueryMeetsWholeRecords shows that no query sees half of what a record does, while the job works.
func TestQueryMeetsWholeRecords(t *testing.T) {
	_, in, e := askable(t)
	in.release(0)
	asked, done := 0, make(chan struct{})
	go func() { _, _ = e.Wait(); close(done) }()
	for {
		all, _, err := weir.Query[int, []int](context.Background(), e, "known", "all", 3)
		if err != nil {
			if ended := new(weir.EndedError); !errors.As(err, &ended) && !strings.Contains(err.Error(), "has finished") {
				t.Error(err)
			}
			break
		}
		var want []int
		for n := 3; len(want) < len(all); n += 10 {
			want = append(want, n)
		}
		if asked++; len(all) < 3 || !slices.Equal(all, want) {
			t.Errorf("all: %v", all)
		}
	}
	<-done
}
