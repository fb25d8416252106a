package weirtest_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/state"
	"github.com/weirstream/weir/weirtest"
)

var t0 = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// TestSessions shows a keyed processor with an event timer and a side output, over snapshots and several parallelisms.
func TestSessions(t *testing.T) {
	p := &Sessions{Gap: time.Minute}
	h := weirtest.Operator(t, p, userOf)
	first := weirtest.Side(h, &p.First)
	h.SendAt(t0, Click{"ann"}, Click{"ben"}, Click{"ann"})
	first.Want("ann", "ben")
	h.Want()
	for _, parallelism := range []int{1, 4, 2, 128, 1} {
		h.SnapshotAndRestore(parallelism)
	}
	h.SendAt(t0.Add(50*time.Second), Click{"ben"})
	h.Watermark(t0.Add(time.Minute))
	h.Want(Summary{"ann", 2})
	h.Finish()
	h.Want(Summary{"ben", 2})
	first.Want()
}

// alarm rings some time of the wall clock after a key's last record.
type alarm struct {
	Ring weir.Timer `timer:"ring,processing"`
}

func (a *alarm) On(c *weir.Ctx[string, string], _ string) error {
	a.Ring.At(c.Now().Add(time.Second))
	return nil
}

func (a *alarm) OnTimer(c *weir.Ctx[string, string], _ *weir.Timer) error {
	c.Emit(fmt.Sprintf("%s at %v", c.Key(), c.Now().Sub(weirtest.Epoch)))
	return nil
}

// TestAdvanceTime shows that timers of the wall clock fire at their time, in order, also after a restore.
func TestAdvanceTime(t *testing.T) {
	h := weirtest.Operator(t, &alarm{}, weir.Self[string])
	h.Send("a")
	h.AdvanceTime(300 * time.Millisecond)
	h.Send("b")
	h.SnapshotAndRestore(2)
	h.AdvanceTime(600 * time.Millisecond)
	h.Want()
	h.AdvanceTime(time.Hour)
	h.Want("a at 1s", "b at 1.3s")
	if h.Now() != weirtest.Epoch.Add(time.Hour+900*time.Millisecond) {
		t.Errorf("it is %v", h.Now())
	}
}

// keeper keeps what it has seen, and emits it at the end.
type keeper struct {
	Seen state.List[int] `state:"seen"`
	open bool
}

func (k *keeper) Open(*weir.Ctx[weir.NoKey, int]) error { k.open = true; return nil }

func (k *keeper) On(_ *weir.Ctx[weir.NoKey, int], n int) error {
	if n < 0 {
		return fmt.Errorf("%d is negative", n)
	}
	k.Seen.Append(n)
	return nil
}

func (k *keeper) Finish(c *weir.Ctx[weir.NoKey, int]) error {
	if !k.open {
		return fmt.Errorf("it was not opened")
	}
	for n := range k.Seen.All() {
		c.Emit(n)
	}
	return nil
}

// TestPlainOperator shows a processor without keys, whose list is dealt out.
func TestPlainOperator(t *testing.T) {
	h := weirtest.PlainOperator(t, &keeper{})
	h.Send(1, 2, 3)
	h.SnapshotAndRestore(2)
	h.Send(4, 5)
	h.SnapshotAndRestore(1)
	if err := h.TrySend(-1); err == nil || !strings.Contains(err.Error(), "-1 is negative") {
		t.Errorf("got %v", err)
	}
	h.Finish()
	total := 0
	for _, n := range h.Outputs() {
		total += n
	}
	if total != 15 {
		t.Errorf("the sum is %d, want 15", total)
	}
}

// recorder is a T that writes down what it is told.
type recorder struct{ said []string }

func (r *recorder) Helper()                   {}
func (r *recorder) Name() string              { return "recorder" }
func (r *recorder) Logf(string, ...any)       {}
func (r *recorder) Cleanup(func())            {}
func (r *recorder) Errorf(f string, a ...any) { r.said = append(r.said, fmt.Sprintf(f, a...)) }
func (r *recorder) Fatalf(f string, a ...any) { panic(fmt.Sprintf(f, a...)) }

// fatal returns what a harness ends its test with.
func fatal(f func(r *recorder)) (said string) {
	defer func() { said = fmt.Sprint(recover()) }()
	f(&recorder{})
	return ""
}

// forgetsKeys has no method for its timer.
type silent struct {
	T weir.Timer `timer:"t,event"`
}

func (*silent) On(*weir.Ctx[string, int], string) error { return nil }

// TestMistakes shows what is said to a test that is wrong.
func TestMistakes(t *testing.T) {
	tests := []struct {
		says string
		do   func(r *recorder)
	}{
		{"has timers but no method OnTimer", func(r *recorder) { weirtest.Operator(r, &silent{}, weir.Self[string]) }},
		{"event time cannot go back", func(r *recorder) {
			h := weirtest.Operator(r, &Sessions{}, userOf)
			h.Watermark(t0)
			h.Watermark(t0.Add(-1))
		}},
		{"send: ", func(r *recorder) { weirtest.Operator(r, &Sessions{}, userOf).Send(Click{"ann"}) }},
		{"key ann: a click without a time", func(r *recorder) { weirtest.Operator(r, &Sessions{}, userOf).Send(Click{"ann"}) }},
		{"from 1 to 128", func(r *recorder) { weirtest.Operator(r, &Sessions{}, userOf).SnapshotAndRestore(0) }},
		{"before the processor gets its first record", func(r *recorder) {
			p := &Sessions{}
			h := weirtest.Operator(r, p, userOf)
			h.SendAt(t0, Click{"ann"})
			weirtest.Side(h, &p.First)
		}},
		{"does not belong to this processor", func(r *recorder) {
			weirtest.Side(weirtest.Operator(r, &Sessions{}, userOf), &(&Sessions{}).First)
		}},
		{"nothing can follow", func(r *recorder) {
			h := weirtest.Operator(r, &Sessions{}, userOf)
			h.Finish()
			h.SendAt(t0, Click{"ann"})
		}},
	}
	for _, test := range tests {
		if got := fatal(test.do); !strings.Contains(got, test.says) {
			t.Errorf("got %q, want it to say %q", got, test.says)
		}
	}
}

// TestDiff shows how outputs that differ are shown.
func TestDiff(t *testing.T) {
	r := &recorder{}
	h := weirtest.Operator(r, &sum{}, func(n int) int { return n % 2 })
	h.Send(2, 4, 6, 8, 10)
	h.Want("0: 2", "0: 6", "0: 12", "0: 21")
	want := `the processor has emitted other records:
  got (5):
      ... 1 that are the same
      0: 6
      0: 12
    > 0: 20
    > 0: 30
  want (4):
      ... 1 that are the same
      0: 6
      0: 12
    > 0: 21
`
	if len(r.said) != 1 || r.said[0] != want {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(r.said, "\n"), want)
	}
}

// visits counts the visits of the last day, and reminds somebody of each of them an hour and two hours later.
type visits struct {
	Today state.Value[int] `state:"today,ttl=24h"`
	Most  state.Reducing[int, state.Max[int]]
	Late  weir.Timers `timer:"late,processing"`
}

func (v *visits) On(c *weir.Ctx[string, string], user string) error {
	v.Today.Set(v.Today.Get() + 1)
	v.Most.Add(v.Today.Get())
	v.Late.At(c.Now().Add(time.Hour))
	v.Late.At(c.Now().Add(2 * time.Hour))
	c.Emit(fmt.Sprint(user, " ", v.Today.Get(), " of ", v.Most.Get()))
	return nil
}

func (v *visits) OnTimer(c *weir.Ctx[string, string], t *weir.Timer) error {
	c.Emit(fmt.Sprint(t == v.Late.Timer(), " ", t.Name(), " ", v.Late.Len()))
	return nil
}

// State expires, and sets of deadlines fire, by the clock of the test, before and after a restore.
func TestExpiry(t *testing.T) {
	h := weirtest.Operator(t, &visits{}, weir.Self[string])
	h.Send("ann", "ann")
	h.Want("ann 1 of 1", "ann 2 of 2")
	h.AdvanceTime(90 * time.Minute)
	h.Want("true late 1")
	h.SnapshotAndRestore(3)
	h.AdvanceTime(90 * time.Minute)
	h.Want("true late 0")
	h.AdvanceTime(21*time.Hour - time.Millisecond)
	h.Send("ann")
	h.Want("ann 3 of 3")
	h.AdvanceTime(24 * time.Hour)
	h.Want("true late 1", "true late 0")
	h.SnapshotAndRestore(1)
	h.Send("ann")
	h.Want("ann 1 of 3")
}
