package heap_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weirstream/weir/backend"
	"github.com/weirstream/weir/internal/backend/heap"
	"github.com/weirstream/weir/internal/metrics"
	"github.com/weirstream/weir/state"
)

// meters collects what a store measures.
type meters map[string]*metrics.Histogram

func (m meters) of(state, name string) *metrics.Histogram {
	h := metrics.NewHistogram(1 << 10)
	if m[state+"."+name] != nil {
		panic("asked twice for " + state + "." + name)
	}
	m[state+"."+name] = h
	return h
}

// String returns how many measurements there are of each name, and of sizes which.
func (m meters) String() string {
	var all []string
	for name, h := range m {
		d := h.Distribution()
		if strings.HasSuffix(name, "Size") {
			all = append(all, fmt.Sprintf("%s %d of %d..%d", name, d.Count, d.Min(), d.Max()))
		} else {
			all = append(all, fmt.Sprintf("%s %d", name, d.Count))
		}
	}
	slices.Sort(all)
	return strings.Join(all, "\n")
}

func (m meters) get(t *testing.T, name string) metrics.Distribution {
	t.Helper()
	if m[name] == nil {
		t.Fatalf("there is no %s:\n%v", name, m)
	}
	return m[name].Distribution()
}

type accessed struct {
	Sum   state.Value[int64]                              `state:"sum"`
	Words state.Value[[]string]                           `state:"words"`
	Brief state.Value[int64]                              `state:"brief,ttl=1h"`
	Total state.Reducing[int64, state.Sum[int64]]         `state:"total"`
	Mean  state.Aggregating[float64, accumulated, string] `state:"mean"`
	Last  state.List[string]                              `state:"last"`
	Pages state.Map[string, int32]                        `state:"pages"`
	Idle  state.Timer                                     `timer:"idle,event"`
	Due   state.Timers                                    `timer:"due,event"`
}

type accumulated struct{ Sum, N float64 }

func (a accumulated) Add(x float64) accumulated { return accumulated{a.Sum + x, a.N + 1} }
func (a accumulated) Result() string            { return fmt.Sprint(a.Sum / a.N) }

// use makes accesses of every kind, some within loops over others.
func (p *accessed) use() {
	p.Sum.Set(p.Sum.Get() + 1)
	p.Words.Set(append(p.Words.Get(), "word"))
	p.Brief.Set(p.Brief.Get() + 1)
	p.Total.Add(3)
	p.Total.Add(4)
	_ = p.Total.Get()
	p.Mean.Add(1)
	p.Last.Append("one", "three")
	for range p.Last.All() {
		p.Pages.Put("abc", 7)
	}
	p.Pages.Has("abc")
	p.Pages.Get("abcde")
	p.Pages.Get("abc")
	p.Pages.Put("d", 8)
	for range p.Pages.All() {
		p.Sum.Get()
	}
	p.Pages.Delete("abc")
	p.Pages.Len()
	p.Last.Len()
	p.Last.Clear()
	p.Idle.AtMillis(5)
	p.Idle.Deadline()
	p.Due.AtMillis(6)
	p.Due.Len()
}

// TestMeasured shows of every kind of access under which name it is measured, how often, and that sizes are those of what is written: of the key of
// the stream, 3 bytes here, with that of a map's entry, and of values.
func TestMeasured(t *testing.T) {
	p, times, sizes := &accessed{}, meters{}, meters{}
	s := open(t, p, 0, 1, hashText)
	s.SetTime(1)
	s.Measure(heap.Measuring{Latency: 1, Sizes: 1, LatencyOf: times.of, SizesOf: sizes.of})
	at(s, hashText, func(string) { p.use() }, "ab")
	want := `brief.valueStateGetLatency 1
brief.valueStateUpdateLatency 1
last.listStateAddLatency 2
last.listStateGetLatency 1
last.stateClearLatency 1
mean.aggregatingStateAddLatency 1
pages.mapStateContainsLatency 1
pages.mapStateGetLatency 2
pages.mapStateIsEmptyLatency 1
pages.mapStateIteratorInitLatency 1
pages.mapStateIteratorNextLatency 1
pages.mapStatePutLatency 3
pages.mapStateRemoveLatency 1
sum.valueStateGetLatency 3
sum.valueStateUpdateLatency 1
total.reducingStateAddLatency 2
total.reducingStateGetLatency 1
words.valueStateGetLatency 1
words.valueStateUpdateLatency 1`
	if times.String() != want {
		t.Errorf("times are measured of\n%v\nwant\n%s", times, want)
	}
	want = `brief.valueStateGetKeySize 1 of 3..3
brief.valueStateGetValueSize 1 of 16..16
brief.valueStateUpdateKeySize 1 of 3..3
brief.valueStateUpdateValueSize 1 of 16..16
last.listStateAddKeySize 2 of 3..3
last.listStateAddValueSize 2 of 4..6
last.listStateGetKeySize 1 of 3..3
last.listStateGetValueSize 1 of 10..10
mean.aggregatingStateAddKeySize 1 of 3..3
mean.aggregatingStateAddValueSize 1 of 16..16
pages.mapStateGetKeySize 2 of 7..9
pages.mapStateGetValueSize 2 of 0..4
pages.mapStatePutKeySize 3 of 5..7
pages.mapStatePutValueSize 3 of 4..4
sum.valueStateGetKeySize 3 of 3..3
sum.valueStateGetValueSize 3 of 8..8
sum.valueStateUpdateKeySize 1 of 3..3
sum.valueStateUpdateValueSize 1 of 8..8
total.reducingStateAddKeySize 2 of 3..3
total.reducingStateAddValueSize 2 of 8..8
total.reducingStateGetKeySize 1 of 3..3
total.reducingStateGetValueSize 1 of 8..8
words.valueStateGetKeySize 1 of 3..3
words.valueStateGetValueSize 1 of 1..1
words.valueStateUpdateKeySize 1 of 3..3
words.valueStateUpdateValueSize 1 of 6..6`
	if sizes.String() != want {
		t.Errorf("sizes are\n%v\nwant\n%s", sizes, want)
	}
	fired := 0
	err := s.FireEvent(10, func(r heap.Ref, _ string, _ int, _ int64) error {
		s.Seek(r)
		p.Sum.Get()
		fired++
		return nil
	})
	s.EndBatch()
	if n := times.get(t, "sum.valueStateGetLatency").Count; err != nil || fired != 2 || n != 5 {
		t.Errorf("%d timers have fired, and %d reads are measured: %v", fired, n, err)
	}
	defer func() {
		if r := fmt.Sprint(recover()); !strings.Contains(r, "outside On") {
			t.Errorf("an access between records: %s", r)
		}
	}()
	p.Sum.Get()
}

func hashText(k string) uint64 { return uint64(len(k)) * 0x9e3779b97f4a7c15 }

// TestSampled shows that of so many records about one is measured, each time with all its accesses, that times and sizes are chosen apart if they are to
// be of different numbers of records, and that nothing is measured of what is not asked for.
func TestSampled(t *testing.T) {
	const records, every = 100_000, 50
	p, times, sizes := &accessed{}, meters{}, meters{}
	s := open(t, p, 0, 1, hashText)
	s.SetTime(1)
	s.Measure(heap.Measuring{Latency: every, Sizes: 2 * every, LatencyOf: times.of, SizesOf: sizes.of})
	keys := slices.Repeat([]string{"a", "ab", "abc", "abcd"}, 25)
	for range records / len(keys) {
		at(s, hashText, func(string) { p.Sum.Set(p.Sum.Get() + 1); p.Total.Add(1) }, keys...)
	}
	timed, sized := times.get(t, "sum.valueStateGetLatency").Count, sizes.get(t, "sum.valueStateGetKeySize")
	if timed < records/every*8/10 || timed > records/every*12/10 || timed != times.get(t, "total.reducingStateAddLatency").Count {
		t.Errorf("%d of %d records are measured, of %d one is to be", timed, records, every)
	}
	if sized.Count < timed*4/10 || sized.Count > timed*6/10 || sized.Min() != 2 || sized.Max() != 5 {
		t.Errorf("sizes of %d records are measured, from %d to %d, times of %d", sized.Count, sized.Min(), sized.Max(), timed)
	}
	for _, sum := range p.sums(s, keys[:4]...) {
		if sum != records/4 {
			t.Errorf("a count of %d", sum)
		}
	}
	q, none := &accessed{}, meters{}
	other := open(t, q, 0, 1, hashText)
	other.SetTime(1)
	other.Measure(heap.Measuring{Sizes: 1, LatencyOf: none.of, SizesOf: meters{}.of})
	at(other, hashText, func(string) { q.use() }, keys...)
	if len(none) > 0 {
		t.Errorf("times are measured that nobody wants: %v", none)
	}
}

// sums returns what is in a state of keys.
func (p *accessed) sums(s *heap.Store[string], keys ...string) (all []int64) {
	at(s, hashText, func(string) { all = append(all, p.Sum.Get()) }, keys...)
	return all
}

// dawdling is a byte store that takes its time.
type dawdling struct {
	backend.Store
	read time.Duration
}

func (d *dawdling) Get(keys [][]byte, found func(int, []byte) error) error {
	time.Sleep(d.read)
	return d.Store.Get(keys, found)
}

// TestMeasuredReads shows that the time in which the rows of a batch were read belongs to the first access of each record, in equal parts, and to no
// other.
func TestMeasuredReads(t *testing.T) {
	const read, keys = 40 * time.Millisecond, 4
	p, times := &accessed{}, meters{}
	s := open(t, p, 0, 1, hashText)
	s.Back(&dawdling{openUnder(t), read}, 1<<20)
	s.SetTime(1)
	s.Measure(heap.Measuring{Latency: 1, LatencyOf: times.of})
	at(s, hashText, func(string) { p.Sum.Get(); p.Pages.Put("a", 1) }, "a", "ab", "abc", "abcd")
	first, second := times.get(t, "sum.valueStateGetLatency"), times.get(t, "pages.mapStatePutLatency")
	if first.Count != keys || first.Min() < int64(read/keys) {
		t.Errorf("the first accesses took %d to %d ns, and a fourth of the read %v", first.Min(), first.Max(), read/keys)
	}
	if second.Count != keys || second.Min() >= int64(read/keys) {
		t.Errorf("the second accesses took %d to %d ns", second.Min(), second.Max())
	}
}
