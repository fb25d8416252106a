package weirtest_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/connector/discard"
	"github.com/weirstream/weir/connector/memory"
	"github.com/weirstream/weir/state"
	"github.com/weirstream/weir/weirtest"
)

// numbers adds up numbers by their last digit, in whatever way add does it.
func numbers(add weir.Processor[int, int, string]) func(*weir.Job) error {
	return func(j *weir.Job) error {
		in := weir.From(j, "numbers", memory.Slice([]int{-1}))
		sums := weir.Process(weir.KeyBy(in, func(n int) int { return n % 10 }), "add", add)
		weir.To(sums, "sums", discard.Sink[string]())
		weir.To(in, "copies", memory.Collect[int]())
		return nil
	}
}

// sum keeps sums in state.
type sum struct {
	Sum state.Value[int] `state:"sum"`
}

func (s *sum) On(c *weir.Ctx[int, string], n int) error {
	s.Sum.Set(s.Sum.Get() + n)
	c.Emit(fmt.Sprintf("%d: %d", c.Key(), s.Sum.Get()))
	return nil
}

// forgetful keeps sums in a map of its own, which no checkpoint knows.
type forgetful struct{ sums map[int]int }

func (f *forgetful) Open(*weir.Ctx[int, string]) error { f.sums = map[int]int{}; return nil }

func (f *forgetful) On(c *weir.Ctx[int, string], n int) error {
	f.sums[c.Key()] += n
	c.Emit(fmt.Sprintf("%d: %d", c.Key(), f.sums[c.Key()]))
	return nil
}

func upTo(n int) (all []int) {
	for i := range n {
		all = append(all, i)
	}
	return all
}

// wantSums returns what sum emits for upTo(n).
func wantSums(n int) (all []string) {
	sums := map[int]int{}
	for i := range n {
		sums[i%10] += i
		all = append(all, fmt.Sprintf("%d: %d", i%10, sums[i%10]))
	}
	return all
}

// TestRun shows that a job that keeps what it knows in state passes whatever happens.
func TestRun(t *testing.T) {
	weirtest.Run(t, numbers(&sum{}), weirtest.In("numbers", upTo(60)...), weirtest.Want("sums", wantSums(60)...),
		weirtest.Seeds(60), weirtest.CrashEverywhere(), weirtest.Rescale(1, 2, 3))
}

// TestRunWithChangelog shows that a job may log the changes of its state.
func TestRunWithChangelog(t *testing.T) {
	for _, place := range []string{"memory", "filesystem"} {
		t.Run(place, func(t *testing.T) {
			add := numbers(&sum{})
			weirtest.Run(t, func(j *weir.Job) error {
				j.Set("state.changelog.enabled", "true")
				j.Set("state.changelog.storage", place)
				j.Set("state.changelog.periodic-materialize.interval", "15 ms")
				return add(j)
			}, weirtest.In("numbers", upTo(60)...), weirtest.Want("sums", wantSums(60)...),
				weirtest.Seeds(20), weirtest.CrashEverywhere(), weirtest.Rescale(1, 2, 3))
		})
	}
}

// TestSame shows that a job needs no expected output to be compared with itself.
func TestSame(t *testing.T) {
	weirtest.Run(t, numbers(&sum{}), weirtest.In("numbers", upTo(20)...), weirtest.In("numbers", upTo(30)...),
		weirtest.Same[int]("copies"), weirtest.Seeds(20), weirtest.Rescale(1, 2))
}

// TestRunFinds shows what Run says of jobs that are wrong.
func TestRunFinds(t *testing.T) {
	in := weirtest.In("numbers", upTo(60)...)
	want := weirtest.Want("sums", wantSums(60)...)
	tests := []struct {
		name    string
		build   func(*weir.Job) error
		options []weirtest.Option
		says    []string
	}{
		{"state outside of checkpoints", numbers(&forgetful{}), []weirtest.Option{in, want, weirtest.Seeds(50)},
			[]string{`sink "sums" has got 60 records, want 60`, "missing:", "too much:", "process 1 starts", "go test -run '.' -weir.seed="}},
		{"the same at every step", numbers(&forgetful{}), []weirtest.Option{in, want, weirtest.CrashEverywhere()},
			[]string{"the machine goes down at step", "process 2 starts", "go test -run '.' -weir.seed=0 -weir.step="}},
		{"wrong output", numbers(&sum{}), []weirtest.Option{in, weirtest.Want("sums", wantSums(61)...)},
			[]string{"in a run in which nothing happens", `sink "sums" has got 60 records, want 61`, "missing:\n    0: 210\n"}},
		{"unknown ids", numbers(&sum{}), []weirtest.Option{weirtest.In("number", 1), weirtest.Want("sum", "")},
			[]string{`source "numbers" has nothing to read: give it records by weirtest.In("numbers", ...)`, `no source "number"; did you mean "numbers"?`, `no sink "sum"; did you mean "sums"?`}},
		{"no such id", numbers(&sum{}), []weirtest.Option{in, weirtest.Want("elsewhere", "")}, []string{`no sink "elsewhere"; it has ["copies" "sums"]`}},
		{"wrong types", numbers(&sum{}), []weirtest.Option{weirtest.In("numbers", "1"), weirtest.Want("sums", 1)},
			[]string{`source "numbers" makes records of type int, and what it should read is of type string`, `sink "sums" gets records of type string, and what it should get is of type int`}},
		{"two types", numbers(&sum{}), []weirtest.Option{in, weirtest.In("numbers", "1"), want}, []string{`source "numbers" is given records of several kinds`}},
		{"wanted twice", numbers(&sum{}), []weirtest.Option{in, want, want}, []string{`sink "sums" is wanted twice`}},
		{"nothing wanted", numbers(&sum{}), []weirtest.Option{in}, []string{"nothing is wanted"}},
		{"no job", func(*weir.Job) error { return errors.New("no such table") }, []weirtest.Option{in, want}, []string{"no such table"}},
		{"no steps", func(*weir.Job) error { return nil }, []weirtest.Option{in, want}, []string{`no source "numbers"`}},
		{"an error", numbers(failing{}), []weirtest.Option{in, want}, []string{`step "add", subtask 0, key 7`, "I do not like 7"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := weirtest.Try(test.build, test.options...)
			if err == nil {
				t.Fatal("nothing was found")
			}
			for _, s := range test.says {
				if !strings.Contains(err.Error(), s) {
					t.Errorf("the error does not say %q:\n%v", s, err)
				}
			}
		})
	}
}

type failing struct{}

func (failing) On(_ *weir.Ctx[int, string], n int) error {
	if n == 7 {
		return errors.New("I do not like 7")
	}
	return nil
}

// TestInAt shows that records bring their event times.
func TestInAt(t *testing.T) {
	at := func(n int) time.Time { return time.UnixMilli(int64(n)) }
	weirtest.Run(t, func(j *weir.Job) error {
		weir.To(weir.ProcessPlain(weir.From(j, "in", memory.Slice([]int{})), "stamps", &stamps{}), "out", discard.Sink[string]())
		return nil
	}, weirtest.InAt("in", at, 3, 5), weirtest.Want("out", "3 at 3", "5 at 5"), weirtest.Seeds(5))
}

// stamps tells the times of records.
type stamps struct{}

func (*stamps) On(c *weir.Ctx[weir.NoKey, string], n int) error {
	c.Emit(fmt.Sprintf("%d at %d", n, c.TimeMillis()))
	return nil
}
