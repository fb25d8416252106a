package state_test

import (
	"fmt"
	"reflect"
	"time"

	"github.com/weirstream/weir/internal/backend/heap"
	"github.com/weirstream/weir/internal/keygroup"
	"github.com/weirstream/weir/internal/keyhash"
	"github.com/weirstream/weir/state"
)

// forEach stands for the runtime in the examples: it binds the fields of a processor and calls on for each key in turn.
func forEach(processor any, on func(key string), keys ...string) {
	l, err := heap.NewLayout(reflect.TypeFor[string]())
	if err != nil {
		panic(err)
	}
	if err := l.Bind(processor); err != nil {
		panic(err)
	}
	s, err := heap.NewStore(l, keygroup.Range{First: 0, Last: 127}, 128, func(k *string) uint64 { return keyhash.String(*k) })
	if err != nil {
		panic(err)
	}
	defer s.Close()
	refs := make([]heap.Ref, 1)
	for _, k := range keys {
		s.Resolve([]string{k}, []uint64{keyhash.String(k)}, refs)
		s.Seek(refs[0])
		on(k)
		s.EndBatch()
	}
}

func ExampleValue() {
	var p struct {
		Count state.Value[int] `state:"count"`
	}
	on := func(word string) {
		p.Count.Set(p.Count.Get() + 1)
		fmt.Println(word, p.Count.Get())
	}
	forEach(&p, on, "so", "it", "goes", "so", "it")
	// Output:
	// so 1
	// it 1
	// goes 1
	// so 2
	// it 2
}

func ExampleMap() {
	var p struct {
		Visits state.Map[time.Weekday, int] `state:"visits"`
	}
	day := time.Saturday
	on := func(user string) {
		n, _ := p.Visits.Get(day)
		p.Visits.Put(day, n+1)
		if user == "bob" {
			day++
			day %= 7
		}
		for d, n := range p.Visits.All() {
			fmt.Println(user, d, n)
		}
	}
	forEach(&p, on, "ann", "bob", "ann")
	// Output:
	// ann Saturday 1
	// bob Saturday 1
	// ann Saturday 1
	// ann Sunday 1
}

func ExampleList() {
	var p struct {
		Recent state.List[string] `state:"recent"`
	}
	page := 0
	on := func(user string) {
		page++
		p.Recent.Append(fmt.Sprint("page", page))
		if p.Recent.Len() < 2 {
			return
		}
		fmt.Print(user)
		for name := range p.Recent.All() {
			fmt.Print(" ", name)
		}
		fmt.Println()
		p.Recent.Clear()
	}
	forEach(&p, on, "ann", "bob", "ann", "ann", "bob")
	// Output:
	// ann page1 page3
	// bob page2 page5
}

func ExampleTimer() {
	var p struct {
		Idle state.Timer `timer:"idle,event"`
	}
	start := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	on := func(user string) {
		if deadline, ok := p.Idle.Deadline(); ok {
			fmt.Println(user, "would have been idle at", deadline.Format(time.TimeOnly))
		}
		p.Idle.At(start.Add(time.Minute)) // replaces the earlier one
		start = start.Add(30 * time.Second)
	}
	forEach(&p, on, "ann", "bob", "ann")
	// Output:
	// ann would have been idle at 12:01:00
}

// restart stands for the runtime in the examples: subtasks take a checkpoint and others are restored from it, as many as before. What is
// kept by union goes to each of them.
func restart(before, after []any) {
	var captured [][]heap.ListData
	for _, p := range before {
		var lists heap.OperatorLists
		if err := lists.Bind(p); err != nil {
			panic(err)
		}
		captured = append(captured, lists.Capture())
	}
	for _, p := range after {
		var lists heap.OperatorLists
		if err := lists.Bind(p); err != nil {
			panic(err)
		}
		for _, c := range captured {
			if err := lists.Restore(c); err != nil {
				panic(err)
			}
		}
	}
}

func ExampleUnionList() {
	type poller struct {
		Feeds state.UnionList[string] `state:"feeds"`
	}
	a, b := &poller{}, &poller{}
	a.Feeds.Append("news", "sports", "weather")
	b.Feeds.Append("traffic")

	c, d := &poller{}, &poller{}
	restart([]any{a, b}, []any{c, d})
	for subtask, p := range []*poller{c, d} {
		// In Open: every subtask sees all feeds, and takes its share.
		var mine []string
		i := 0
		for feed := range p.Feeds.All() {
			if i%2 == subtask {
				mine = append(mine, feed)
			}
			i++
		}
		p.Feeds.Set(mine)
		fmt.Println(subtask, mine)
	}
	// Output:
	// 0 [news weather]
	// 1 [sports traffic]
}

func ExampleBroadcast() {
	type limits struct {
		PerHour state.Broadcast[string, int] `state:"per-hour"`
	}
	var p limits
	p.PerHour.Put("free", 10)
	p.PerHour.Put("paid", 1000)
	p.PerHour.Put("free", 20)

	var restored limits
	restart([]any{&p}, []any{&restored})
	for plan, n := range restored.PerHour.All() {
		fmt.Println(plan, n)
	}
	// Output:
	// free 20
	// paid 1000
}

type shortest struct{}

// Reduce returns the shorter word.
func (shortest) Reduce(a, b string) string {
	if a == "" || len(b) < len(a) {
		return b
	}
	return a
}

func ExampleReducing() {
	var p struct {
		Letters  state.Reducing[int, state.Sum[int]] `state:"letters"`
		Shortest state.Reducing[string, shortest]    `state:"shortest"`
	}
	words := []string{"so", "it", "goes", "then", "and"}
	on := func(string) {
		p.Letters.Add(len(words[0]))
		p.Shortest.Add(words[0])
		words = words[1:]
		fmt.Println(p.Letters.Get(), p.Shortest.Get())
	}
	forEach(&p, on, "a", "a", "a", "b", "b")
	// Output:
	// 2 so
	// 4 so
	// 8 so
	// 4 then
	// 7 and
}

type grades struct{ Sum, N float64 }

// Add adds a grade.
func (g grades) Add(x float64) grades { return grades{g.Sum + x, g.N + 1} }

// Result returns their mean.
func (g grades) Result() float64 { return g.Sum / g.N }

func ExampleAggregating() {
	var p struct {
		Mean state.Aggregating[float64, grades, float64] `state:"mean"`
	}
	grade := 1.0
	on := func(pupil string) {
		p.Mean.Add(grade)
		grade++
		fmt.Println(pupil, p.Mean.Get(), p.Mean.Accumulator().N)
	}
	forEach(&p, on, "ann", "bob", "ann")
	// Output:
	// ann 1 1
	// bob 2 1
	// ann 2 2
}

func ExampleTimers() {
	var p struct {
		Due state.Timers `timer:"due"` // OnTimer is called at each of them
	}
	on := func(string) {
		p.Due.AtMillis(3000)
		p.Due.AtMillis(1000)
		p.Due.AtMillis(3000) // is the same
		p.Due.AtMillis(2000)
		p.Due.DeleteMillis(1000)
		for at := range p.Due.All() {
			fmt.Println(at.Format(time.TimeOnly))
		}
	}
	forEach(&p, on, "ann")
	// Output:
	// 00:00:03
	// 00:00:02
}

func ExampleTTL() {
	var p struct {
		Clicks state.Value[int]       `state:"clicks,ttl=24h"`
		Pages  state.Map[string, int] `state:"pages,ttl=1h,refresh=read"`
	}
	p.Pages.Expire(state.TTL{After: 2 * time.Hour, RefreshOnRead: true}) // if that is known only now
	on := func(string) {
		p.Clicks.Set(p.Clicks.Get() + 1)
		p.Pages.Put("home", 1)
		fmt.Println(p.Clicks.Get(), p.Pages.Len())
	}
	forEach(&p, on, "ann", "ann")
	// Output:
	// 1 1
	// 2 1
}

func ExampleValue_default() {
	var p struct {
		Level state.Value[int] `state:"level,default=10"`
	}
	on := func(string) {
		fmt.Println(p.Level.Get())
		p.Level.Set(p.Level.Get() - 1)
	}
	forEach(&p, on, "ann", "ann", "bob")
	// Output:
	// 10
	// 9
	// 10
}
