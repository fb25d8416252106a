package weirtest_test

import (
	"fmt"
	"time"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/connector/file"
	"github.com/weirstream/weir/state"
	"github.com/weirstream/weir/weirtest"
)

// Click is what Sessions reads, and Summary what it makes of it.
type (
	Click   struct{ User string }
	Summary struct {
		User   string
		Clicks int
	}
)

// Sessions counts the clicks of each user until there is none for a while.
type Sessions struct {
	Gap    time.Duration
	Clicks state.Value[int] `state:"clicks"`
	Close  weir.Timer       `timer:"close,event"`
	First  weir.Side[string]
}

func (s *Sessions) On(c *weir.Ctx[string, Summary], _ Click) error {
	if s.Clicks.Get() == 0 {
		s.First.Emit(c.Key())
	}
	s.Clicks.Set(s.Clicks.Get() + 1)
	at, ok := c.Time()
	if !ok {
		return fmt.Errorf("a click without a time")
	}
	s.Close.At(at.Add(s.Gap))
	return nil
}

func (s *Sessions) OnTimer(c *weir.Ctx[string, Summary], _ *weir.Timer) error {
	c.Emit(Summary{c.Key(), s.Clicks.Get()})
	s.Clicks.Clear()
	return nil
}

func userOf(c Click) string { return c.User }

// printer stands for a *testing.T, which an example has not.
type printer struct{}

func (printer) Helper()                   {}
func (printer) Name() string              { return "ExampleOperator" }
func (printer) Logf(f string, a ...any)   {}
func (printer) Errorf(f string, a ...any) { fmt.Printf(f+"\n", a...) }
func (printer) Fatalf(f string, a ...any) { panic(fmt.Sprintf(f, a...)) }
func (printer) Cleanup(func())            {}

func ExampleOperator() {
	var t printer // in a test, its t
	t0 := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

	h := weirtest.Operator(t, &Sessions{Gap: time.Minute}, userOf)
	h.SendAt(t0, Click{"ann"}, Click{"ben"})
	h.SnapshotAndRestore() // must not change the outcome
	h.SendAt(t0.Add(30*time.Second), Click{"ann"})
	h.Watermark(t0.Add(time.Minute))
	h.Want(Summary{"ben", 1})
	h.SnapshotAndRestore(3) // nor must another parallelism
	h.Watermark(t0.Add(2 * time.Minute))
	h.Want(Summary{"ann", 3})
	// Output:
	// the processor has emitted other records:
	//   got (1):
	//     > {User:ann Clicks:2}
	//   want (1):
	//     > {User:ann Clicks:3}
}

// count is how often a word has come.
type count struct {
	Word string
	N    int64
}

// countWords is a job as a user has it: it reads and writes files.
func countWords(j *weir.Job) error {
	words := weir.From(j, "words", file.Lines("words.txt"))
	counts := weir.Count(weir.KeyBy(words, weir.Self), "counts")
	weir.To(weir.Map(counts, func(kv weir.KV[string, int64]) count { return count{kv.Key, kv.Value} }), "out", file.CSV[count]("counts"))
	return nil
}

func ExampleTry() {
	err := weirtest.Try(countWords,
		weirtest.In("words", "a", "b", "a"),
		weirtest.Want("out", count{"a", 1}, count{"a", 2}, count{"b", 1}),
		weirtest.Seeds(20), weirtest.CrashEverywhere(), weirtest.Rescale(1, 2, 3))
	fmt.Println(err)
	// Output: <nil>
}
