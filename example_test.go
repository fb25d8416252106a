package weir_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/checkpoint"
	"github.com/weirstream/weir/connector/memory"
	"github.com/weirstream/weir/connector/print"
	"github.com/weirstream/weir/state"
	"github.com/weirstream/weir/window"
)

// exampleJob returns a job that logs nothing. It runs with a parallelism of 1, so that records come out in order.
func exampleJob() *weir.Job {
	j := weir.NewJob("example")
	j.Logger(slog.New(slog.DiscardHandler))
	return j
}

func runExample(j *weir.Job) {
	if _, err := weir.Run(context.Background(), j); err != nil {
		fmt.Println(err)
	}
}

// Click is a record of the examples.
type Click struct {
	User string
	Page string
	At   time.Time
}

// noonPlus returns a time so many seconds after noon.
func noonPlus(seconds int) time.Time { return time.Date(2026, 1, 1, 12, 0, seconds, 0, time.UTC) }

func Example() {
	j := exampleJob()
	lines := weir.From(j, "lines", memory.Slice([]string{"to be or", "not to be"}))
	words := weir.FlatMap(lines, strings.FieldsSeq)
	counts := weir.Count(weir.KeyBy(words, weir.Self), "counts")
	weir.To(counts, "out", print.Stdout[weir.KV[string, int64]]())
	runExample(j)
	// Output:
	// {Key:to Value:1}
	// {Key:be Value:1}
	// {Key:or Value:1}
	// {Key:not Value:1}
	// {Key:to Value:2}
	// {Key:be Value:2}
}

func ExampleRun() {
	j := exampleJob()
	out := memory.Collect[int]()
	weir.To(weir.From(j, "numbers", memory.Slice([]int{1, 2, 3})), "out", out)
	result, err := weir.Run(context.Background(), j)
	fmt.Println(result.Status, err, out.Records())
	// Output: FINISHED <nil> [1 2 3]
}

func ExampleMap() {
	j := exampleJob()
	numbers := weir.From(j, "numbers", memory.Slice([]int{1, 2, 3}))
	squares := weir.Map(numbers, func(n int) int { return n * n })
	weir.To(squares, "out", print.Stdout[int]())
	runExample(j)
	// Output:
	// 1
	// 4
	// 9
}

func ExampleTryMap() {
	j := exampleJob()
	texts := weir.From(j, "texts", memory.Slice([]string{"1", "2", "many"}))
	numbers := weir.TryMap(texts, func(text string) (n int, err error) {
		if _, err := fmt.Sscan(text, &n); err != nil {
			return 0, weir.Permanent(fmt.Errorf("%q is no number", text)) // it would be none after a restart either
		}
		return n, nil
	})
	weir.To(numbers, "out", memory.Collect[int]())
	result, err := weir.Run(context.Background(), j)
	fmt.Println(result.Status)
	fmt.Println(err)
	// Output:
	// FAILED
	// step "try map", subtask 0: "many" is no number
}

func ExampleEdit() {
	j := exampleJob()
	clicks := weir.From(j, "clicks", memory.Slice([]Click{{User: "Ann", Page: "/"}}))
	lower := weir.Edit(clicks, func(c *Click) { c.User = strings.ToLower(c.User) })
	weir.To(weir.Map(lower, func(c Click) string { return c.User }), "out", print.Stdout[string]())
	runExample(j)
	// Output: ann
}

func ExampleMapInto() {
	type visit struct{ Who, Where string }
	j := exampleJob()
	clicks := weir.From(j, "clicks", memory.Slice([]Click{{User: "ann", Page: "/"}}))
	visits := weir.MapInto(clicks, func(c *Click, v *visit) { v.Who, v.Where = c.User, c.Page })
	weir.To(visits, "out", print.Stdout[visit]())
	runExample(j)
	// Output: {Who:ann Where:/}
}

func ExampleFilter() {
	j := exampleJob()
	numbers := weir.From(j, "numbers", memory.Slice([]int{1, 2, 3, 4}))
	even := weir.Filter(numbers, func(n int) bool { return n%2 == 0 })
	weir.To(even, "out", print.Stdout[int]())
	runExample(j)
	// Output:
	// 2
	// 4
}

func ExampleFlatMap() {
	j := exampleJob()
	lines := weir.From(j, "lines", memory.Slice([]string{"to be or", "not to be"}))
	words := weir.FlatMap(lines, strings.FieldsSeq)
	weir.To(words, "out", print.Stdout[string]())
	runExample(j)
	// Output:
	// to
	// be
	// or
	// not
	// to
	// be
}

func ExampleUnion() {
	j := exampleJob()
	small := weir.From(j, "small", memory.Slice([]int{1, 2}))
	large := weir.From(j, "large", memory.Slice([]int{100, 200}))
	weir.To(weir.Union(small, large), "out", print.Stdout[int]())
	runExample(j)
	// Unordered output:
	// 1
	// 2
	// 100
	// 200
}

func ExampleKeyBy() {
	j := exampleJob()
	words := weir.From(j, "words", memory.Slice([]string{"apple", "bee", "ant"}))
	byLetter := weir.KeyBy(words, func(w string) string { return w[:1] })
	weir.To(weir.Count(byLetter, "counts"), "out", print.Stdout[weir.KV[string, int64]]())
	runExample(j)
	// Output:
	// {Key:a Value:1}
	// {Key:b Value:1}
	// {Key:a Value:2}
}

func ExampleCount() {
	j := exampleJob()
	words := weir.From(j, "words", memory.Slice([]string{"a", "b", "a"}))
	counts := weir.Count(weir.KeyBy(words, weir.Self), "counts")
	weir.To(counts, "out", print.Stdout[weir.KV[string, int64]]())
	runExample(j)
	// Output:
	// {Key:a Value:1}
	// {Key:b Value:1}
	// {Key:a Value:2}
}

func ExampleReduce() {
	j := exampleJob()
	words := weir.From(j, "words", memory.Slice([]string{"a", "ccc", "bb"}))
	same := weir.KeyBy(words, func(string) bool { return true })
	longest := weir.Reduce(same, "longest", func(a, b string) string {
		if len(b) > len(a) {
			return b
		}
		return a
	})
	weir.To(longest, "out", print.Stdout[string]())
	runExample(j)
	// Output:
	// a
	// ccc
	// ccc
}

func ExampleAggregate() {
	type mean struct{ Sum, N float64 }
	j := exampleJob()
	numbers := weir.From(j, "numbers", memory.Slice([]int{1, 2, 6}))
	all := weir.KeyBy(numbers, func(int) bool { return true })
	means := weir.Aggregate(all, "means",
		func(m *mean, n int) { m.Sum, m.N = m.Sum+float64(n), m.N+1 },
		func(_ bool, m mean) float64 { return m.Sum / m.N })
	weir.To(means, "out", print.Stdout[float64]())
	runExample(j)
	// Output:
	// 1
	// 1.5
	// 3
}

func ExampleWindow() {
	j := exampleJob()
	clicks := weir.From(j, "clicks", memory.Slice([]Click{
		{"ann", "/", noonPlus(3)}, {"bob", "/", noonPlus(12)}, {"ann", "/cart", noonPlus(9)}, {"ann", "/", noonPlus(27)},
	}))
	clicks = weir.EventTime(clicks, func(c Click) time.Time { return c.At }, weir.BoundedDisorder(5*time.Second))
	perUser := weir.KeyBy(clicks, func(c Click) string { return c.User })
	counts := weir.Window(perUser, "clicks per 10 s", window.Tumbling(10*time.Second),
		func(n *int, _ Click) { *n++ },
		func(user string, w window.Span, n int) string {
			return fmt.Sprint(w.StartTime().Format(time.TimeOnly), " ", user, " ", n)
		})
	weir.To(counts, "out", print.Stdout[string]())
	runExample(j)
	// Output:
	// 12:00:00 ann 2
	// 12:00:10 bob 1
	// 12:00:20 ann 1
}

func ExampleEventTime() {
	j := exampleJob()
	clicks := weir.From(j, "clicks", memory.Slice([]Click{{"ann", "/", noonPlus(3)}, {"bob", "/", noonPlus(1)}}))
	timed := weir.EventTime(clicks, func(c Click) time.Time { return c.At },
		weir.BoundedDisorder(5*time.Second), weir.IdleAfter(time.Minute))
	weir.To(weir.ProcessPlain(timed, "times", &times{}), "out", print.Stdout[string]())
	runExample(j)
	// Output:
	// ann at 12:00:03
	// bob at 12:00:01
}

// times shows the event time of each record.
type times struct{}

func (*times) On(c *weir.Ctx[weir.NoKey, string], e Click) error {
	t, _ := c.Time()
	c.Emit(e.User + " at " + t.Format(time.TimeOnly))
	return nil
}

// sessions emits how many clicks a user made until a pause of Gap.
type sessions struct {
	Gap    time.Duration    // the same for all
	Clicks state.Value[int] `state:"clicks"`
	Idle   weir.Timer       `timer:"idle,event"`
}

func (s *sessions) On(c *weir.Ctx[string, string], e Click) error {
	s.Clicks.Set(s.Clicks.Get() + 1)
	s.Idle.At(e.At.Add(s.Gap)) // replaces the earlier one
	return nil
}

func (s *sessions) OnTimer(c *weir.Ctx[string, string], _ *weir.Timer) error {
	c.Emit(fmt.Sprint(c.Key(), " ", s.Clicks.Get()))
	s.Clicks.Clear()
	return nil
}

func ExampleProcess() {
	j := exampleJob()
	clicks := weir.From(j, "clicks", memory.Slice([]Click{
		{"ann", "/", noonPlus(1)}, {"bob", "/", noonPlus(2)}, {"ann", "/cart", noonPlus(4)},
	}))
	clicks = weir.EventTime(clicks, func(c Click) time.Time { return c.At })
	perUser := weir.KeyBy(clicks, func(c Click) string { return c.User })
	weir.To(weir.Process(perUser, "sessions", &sessions{Gap: 10 * time.Second}), "out", print.Stdout[string]())
	runExample(j)
	// Output:
	// bob 1
	// ann 2
}

// pairs emits every second record together with the one before it, and at the end a record that is left.
type pairs struct {
	Waiting state.List[int] `state:"waiting"`
}

func (p *pairs) On(c *weir.Ctx[weir.NoKey, []int], n int) error {
	p.Waiting.Append(n)
	if p.Waiting.Len() == 2 {
		p.emit(c)
	}
	return nil
}

func (p *pairs) Finish(c *weir.Ctx[weir.NoKey, []int]) error {
	p.emit(c)
	return nil
}

func (p *pairs) emit(c *weir.Ctx[weir.NoKey, []int]) {
	var pair []int
	for n := range p.Waiting.All() {
		pair = append(pair, n)
	}
	p.Waiting.Clear()
	c.Emit(pair)
}

func ExampleProcessPlain() {
	j := exampleJob()
	numbers := weir.From(j, "numbers", memory.Slice([]int{1, 2, 3}))
	weir.To(weir.ProcessPlain(numbers, "pairs", &pairs{}), "out", print.Stdout[[]int]())
	runExample(j)
	// Output:
	// [1 2]
	// [3]
}

// receipts says which records nobody needs to send again. What it counts between two checkpoints is no state: it is moved there before each.
type receipts struct {
	Received state.List[string] `state:"received"`
	since    []string
}

func (p *receipts) On(_ *weir.Ctx[weir.NoKey, string], order string) error {
	p.since = append(p.since, order)
	return nil
}

func (p *receipts) BeforeCheckpoint(*weir.Ctx[weir.NoKey, string], weir.CheckpointInfo) error {
	p.Received.Append(p.since...)
	p.since = nil
	return nil
}

func (p *receipts) Finish(c *weir.Ctx[weir.NoKey, string]) error {
	c.Emit(fmt.Sprint(p.Received.Len()+len(p.since), " orders"))
	return nil
}

func (p *receipts) CheckpointComplete(_ *weir.Ctx[weir.NoKey, string], of weir.CheckpointInfo) error {
	fmt.Println("all orders up to checkpoint", of.ID, "are safe")
	return nil
}

func ExampleCheckpointInfo() {
	j := exampleJob()
	j.Checkpoint(checkpoint.Every(time.Hour)) // the last checkpoint is taken at the end of the data all the same
	orders := weir.From(j, "orders", memory.Slice([]string{"tea", "milk"}))
	weir.To(weir.ProcessPlain(orders, "receipts", &receipts{}), "out", print.Stdout[string]())
	runExample(j)
	// Output:
	// 2 orders
	// all orders up to checkpoint 1 are safe
}

// parity sends odd numbers to a side output.
type parity struct{ Odd weir.Side[int] }

func (p *parity) On(c *weir.Ctx[weir.NoKey, int], n int) error {
	if n%2 == 1 {
		p.Odd.Emit(n)
		return nil
	}
	c.Emit(n)
	return nil
}

func ExampleSideOutput() {
	j := exampleJob()
	numbers := weir.From(j, "numbers", memory.Slice([]int{1, 2, 3, 4}))
	p := &parity{}
	even := weir.ProcessPlain(numbers, "parity", p)
	odd := weir.SideOutput(even, &p.Odd)

	evens, odds := memory.Collect[int](), memory.Collect[int]()
	weir.To(even, "even", evens)
	weir.To(odd, "odd", odds)
	runExample(j)
	fmt.Println("even", evens.Records(), "odd", odds.Records())
	// Output: even [2 4] odd [1 3]
}

func ExampleBroadcast() {
	j := exampleJob()
	rules := weir.From(j, "rules", memory.Slice([]string{"no shouting"}))
	seen := weir.ProcessPlain(weir.Broadcast(rules), "readers", &reader{}, weir.Parallelism(3))
	weir.To(seen, "out", print.Stdout[string](), weir.Parallelism(1))
	runExample(j)
	// Unordered output:
	// reader 0: no shouting
	// reader 1: no shouting
	// reader 2: no shouting
}

// reader says in which subtask it is.
type reader struct{}

func (*reader) On(c *weir.Ctx[weir.NoKey, string], rule string) error {
	c.Emit(fmt.Sprintf("reader %d: %s", c.Subtask(), rule))
	return nil
}

func ExamplePartition() {
	j := exampleJob()
	rules := weir.From(j, "texts", memory.Slice([]string{"a", "bb", "ccc"}))
	byLength := weir.Partition(rules, func(text string, subtasks int) int { return len(text) % subtasks })
	seen := weir.ProcessPlain(byLength, "readers", &reader{}, weir.Parallelism(2))
	weir.To(seen, "out", print.Stdout[string](), weir.Parallelism(1))
	runExample(j)
	// Unordered output:
	// reader 1: a
	// reader 0: bb
	// reader 1: ccc
}

func ExampleRebalance() {
	j := exampleJob()
	texts := weir.From(j, "texts", memory.Slice([]string{"a", "b"}))
	seen := weir.ProcessPlain(weir.Rebalance(texts), "readers", &reader{}, weir.Parallelism(2))
	weir.To(seen, "out", print.Stdout[string](), weir.Parallelism(1))
	runExample(j)
	// Unordered output:
	// reader 0: a
	// reader 1: b
}

// All mistakes in a job are reported at once, before anything runs.
func ExampleGraphError() {
	j := exampleJob()
	numbers := weir.From(j, "numbers", memory.Slice([]int{1}))
	weir.To(numbers, "out", memory.Collect[int]())
	weir.To(numbers, "out", memory.Collect[int](), weir.Parallelism(-1))
	_, err := weir.Run(context.Background(), j)
	var mistakes *weir.GraphError
	if errors.As(err, &mistakes) {
		fmt.Println(mistakes)
	}
	// Output:
	// job "example" cannot be built:
	// two steps have the id "out": an id must be unique within the job
	// step "out": parallelism -1: must be at least 1
}
