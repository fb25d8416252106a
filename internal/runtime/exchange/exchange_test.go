package exchange

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/weirstream/weir/internal/element"
	"github.com/weirstream/weir/internal/keygroup"
	"github.com/weirstream/weir/internal/keyhash"
)

// parker lets a goroutine sleep until it is woken, as a task does.
type parker chan struct{}

func newParker() parker { return make(parker, 1) }

func (p parker) wake() {
	select {
	case p <- struct{}{}:
	default:
	}
}

func batchOf(ns ...int) *element.Batch[int] {
	return &element.Batch[int]{Recs: ns, TS: make([]int64, len(ns))}
}

// TestHandOver runs producers and a consumer on goroutines of their own that sleep whenever the exchange tells them to wait. All records
// arrive in the order of their producer, and nobody sleeps forever: a wake-up that is lost stops the test.
func TestHandOver(t *testing.T) {
	const producers, records = 3, 20_000
	consumer := newParker()
	gate := NewGate(consumer.wake)
	var outs []*Forward[int]
	var sleepers []parker
	for range producers {
		p := newParker()
		sleepers = append(sleepers, p)
		outs = append(outs, NewForward[int](gate.NewChannel(p.wake)))
	}
	var all sync.WaitGroup
	for i, out := range outs {
		all.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(i), 0))
			for n := 0; n < records; {
				for !out.Ready() {
					out.Flush()
					<-sleepers[i]
				}
				var b []int
				for range 1 + rng.IntN(300) {
					if n < records {
						b = append(b, n)
						n++
					}
				}
				if err := out.Push(batchOf(b...)); err != nil {
					t.Error(err)
				}
				if rng.IntN(10) == 0 {
					out.Event(element.Event{Kind: element.Watermark, Time: int64(n)})
				}
				if rng.IntN(4) == 0 {
					out.FlushIdle(time.Unix(0, int64(n)*int64(time.Millisecond)))
				}
			}
			out.Event(element.Event{Kind: element.EndOfPartition})
		})
	}
	next := make([]int, producers)
	for open := producers; open > 0; {
		ch, m, ok := gate.Poll()
		if !ok {
			<-consumer
			continue
		}
		switch {
		case m.Batch != nil:
			b := m.Batch.(*element.Batch[int])
			for _, n := range b.Recs {
				if n != next[ch] {
					t.Fatalf("channel %d: record %d, want %d", ch, n, next[ch])
				}
				next[ch]++
			}
			b.Reset()
			gate.Recycle(ch, b)
		case m.Event.Kind == element.Watermark:
			if m.Event.Time != int64(next[ch]) {
				t.Fatalf("channel %d: watermark %d after %d records", ch, m.Event.Time, next[ch])
			}
		default:
			open--
		}
	}
	all.Wait()
	for ch, n := range next {
		if n != records {
			t.Errorf("channel %d: %d records", ch, n)
		}
	}
}

// TestBlocked shows that a blocked channel keeps what it holds, goes on accepting beyond its bound, and delivers in order when it is let.
func TestBlocked(t *testing.T) {
	woken := 0
	g := NewGate(func() { woken++ })
	a, b := NewForward[int](g.NewChannel(func() {})), NewForward[int](g.NewChannel(func() {}))
	if _, _, ok := g.Poll(); ok {
		t.Fatal("there is something in an empty gate")
	}
	g.Block(0)
	for i := range 50 { // the ring grows several times
		a.Push(batchOf(i))
		a.Flush()
	}
	b.Push(batchOf(100))
	b.Flush()
	if ch, _, ok := g.Poll(); ch != 1 || !ok {
		t.Fatalf("polled channel %d, %v: want 1", ch, ok)
	}
	if _, _, ok := g.Poll(); ok {
		t.Fatal("a blocked channel delivers")
	}
	if woken == 0 {
		t.Error("the consumer was not woken")
	}
	if a.Ready() || !b.Ready() || g.Queued(0) != 50 {
		t.Errorf("ready %v and %v, %d queued", a.Ready(), b.Ready(), g.Queued(0))
	}
	g.Unblock(0)
	for i := range 50 {
		_, m, ok := g.Poll()
		if !ok || m.Batch.(*element.Batch[int]).Recs[0] != i {
			t.Fatalf("batch %d: %v %v", i, m, ok)
		}
	}
}

// TestResume shows that a producer that was told to wait is woken once, as soon as there is room.
func TestResume(t *testing.T) {
	woken := 0
	g := NewGate(func() {})
	out := NewForward[int](g.NewChannel(func() { woken++ }))
	for i := range Capacity {
		if !out.Ready() {
			t.Fatalf("not ready with %d batches", i)
		}
		out.Push(batchOf(i))
		out.Flush()
	}
	out.Event(element.Event{Kind: element.Watermark}) // events need no room
	g.Poll()
	if woken != 0 {
		t.Error("woken without having waited")
	}
	out.Push(batchOf(9))
	out.Flush()
	if out.Ready() {
		t.Fatal("ready although full")
	}
	for range Capacity + 1 {
		g.Poll()
	}
	if woken != 1 || !out.Ready() {
		t.Errorf("woken %d times, ready %v", woken, out.Ready())
	}
}

// TestFlushIdle shows that records wait for company only while their consumer is busy, or for a moment.
func TestFlushIdle(t *testing.T) {
	g := NewGate(func() {})
	out := NewForward[int](g.NewChannel(func() {}))
	now := time.Unix(0, 0)
	out.Push(batchOf(1))
	out.FlushIdle(now)
	out.FlushIdle(now.Add(time.Hour))
	if g.Queued(0) != 0 {
		t.Error("sent to a consumer that was busy")
	}
	g.Poll()
	out.FlushIdle(now.Add(time.Hour))
	if g.Queued(0) != 1 {
		t.Error("not sent to a consumer with nothing to do")
	}
	g.Poll()
	g.Poll()
	out.Push(batchOf(2))
	out.FlushIdle(now)
	if g.Queued(0) != 0 {
		t.Error("sent before the moment had passed")
	}
}

// TestReuse shows that in the steady state batches go round and nothing is allocated.
func TestReuse(t *testing.T) {
	g := NewGate(func() {})
	out := NewForward[int](g.NewChannel(func() {}))
	in := batchOf(slices.Repeat([]int{7}, 300)...)
	turn := func() {
		for range 4 {
			out.Push(in)
		}
		for {
			ch, m, ok := g.Poll()
			if !ok {
				return
			}
			b := m.Batch.(*element.Batch[int])
			b.Reset()
			g.Recycle(ch, b)
		}
	}
	turn()
	if allocs := testing.AllocsPerRun(100, turn); allocs != 0 {
		t.Errorf("%v allocations per turn", allocs)
	}
}

// TestOutputs shows that each partitioner sends each record, with its time, where it should, exactly once.
func TestOutputs(t *testing.T) {
	const channels, records, maxP = 3, 5000, 128
	hash := func(recs []int, hashes []uint64) error {
		for i, n := range recs {
			hashes[i] = keyhash.Uint64(uint64(n))
		}
		return nil
	}
	type output interface {
		Output
		Push(*element.Batch[int]) error
	}
	tests := map[string]struct {
		make func(chs []*Channel) output
		// right reports whether a record may be in a channel; copies is how many channels get it.
		right  func(n, ch int) bool
		copies int
	}{
		"forward":   {func(c []*Channel) output { return NewForward[int](c[1]) }, func(_, ch int) bool { return ch == 1 }, 1},
		"broadcast": {func(c []*Channel) output { return NewBroadcast[int](c) }, func(int, int) bool { return true }, channels},
		"rebalance": {func(c []*Channel) output { return NewRebalance[int](c, 5) }, func(int, int) bool { return true }, 1},
		"custom": {func(c []*Channel) output { return NewCustom(c, func(n, p int) int { return n % p }) },
			func(n, ch int) bool { return n%channels == ch }, 1},
		"hash": {func(c []*Channel) output { return NewHash(c, maxP, true, hash) }, func(n, ch int) bool {
			return ch == keygroup.SubtaskOf(keygroup.Of(keyhash.Uint64(uint64(n)), maxP), channels, maxP)
		}, 1},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			g := NewGate(func() {})
			var chs []*Channel
			for range channels {
				chs = append(chs, g.NewChannel(func() {}))
			}
			out := test.make(chs)
			rng := rand.New(rand.NewPCG(1, 1))
			for n := 0; n < records; {
				b := &element.Batch[int]{}
				for range min(records-n, rng.IntN(700)) {
					b.Recs, b.TS = append(b.Recs, n), append(b.TS, int64(10*n))
					n++
				}
				if err := out.Push(b); err != nil {
					t.Fatal(err)
				}
			}
			out.Flush()
			seen, per := map[int]int{}, make([]int, channels)
			for {
				ch, m, ok := g.Poll()
				if !ok {
					break
				}
				b := m.Batch.(*element.Batch[int])
				for i, n := range b.Recs {
					if !test.right(n, ch) || b.TS[i] != int64(10*n) {
						t.Fatalf("record %d with time %d in channel %d", n, b.TS[i], ch)
					}
					if name == "hash" && b.Hash[i] != keyhash.Uint64(uint64(n)) {
						t.Fatalf("record %d with hash %x", n, b.Hash[i])
					}
					seen[n]++
					per[ch]++
				}
			}
			for n := range records {
				if seen[n] != test.copies {
					t.Fatalf("record %d came %d times", n, seen[n])
				}
			}
			if name == "rebalance" && slices.Max(per)-slices.Min(per) > records/10 {
				t.Errorf("dealt out as %v", per)
			}
		})
	}
}

// TestErrors shows what a partitioner and a hasher may do wrong.
func TestErrors(t *testing.T) {
	g := NewGate(func() {})
	chs := []*Channel{g.NewChannel(func() {}), g.NewChannel(func() {})}
	for _, picked := range []int{-1, 2} {
		err := NewCustom(chs, func(int, int) int { return picked }).Push(batchOf(1))
		var wrong *PartitionError
		if !errors.As(err, &wrong) || wrong.Picked != picked || wrong.Channels != 2 {
			t.Errorf("picked %d: %v", picked, err)
		}
	}
	no := errors.New("no")
	if err := NewHash(chs, 8, true, func([]int, []uint64) error { return no }).Push(batchOf(1)); err != no {
		t.Errorf("got %v", err)
	}
}

// TestValve shows, event by event, what a gate of two channels makes of their watermarks.
func TestValve(t *testing.T) {
	const idle = -1
	tests := []struct {
		name  string
		steps [][3]int // channel, watermark or idle, and what comes out: a watermark, idle, or 0 for nothing
	}{
		{"the smallest counts", [][3]int{{0, 5, 0}, {1, 3, 3}, {1, 9, 5}, {0, 7, 7}}},
		{"it never goes back", [][3]int{{0, 5, 0}, {1, 5, 5}, {0, 2, 0}, {1, 9, 0}, {0, 6, 6}}},
		{"an idle channel does not count", [][3]int{{0, 5, 0}, {1, idle, 5}, {0, 8, 8}}},
		{"all idle", [][3]int{{0, idle, 0}, {1, idle, idle}, {1, idle, 0}}},
		{"waking up behind holds nothing back", [][3]int{{0, 9, 0}, {1, idle, 9}, {1, 4, 0}, {0, 10, 10}, {1, 10, 0}, {1, 12, 0}, {0, 12, 12}}},
		{"waking up after all were idle is told", [][3]int{{0, 9, 0}, {1, 9, 9}, {0, idle, 0}, {1, idle, idle}, {1, 9, 9}, {0, idle, 0}, {1, 11, 11}}},
		{"the last one that counts becomes idle", [][3]int{{0, 9, 0}, {1, 4, 4}, {1, idle, 9}, {0, idle, idle}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			v := NewValve(2)
			for i, s := range test.steps {
				var e element.Event
				var ok bool
				if s[1] == idle {
					e, ok = v.Idle(s[0])
				} else {
					e, ok = v.Watermark(s[0], int64(s[1]))
				}
				got := 0
				switch {
				case ok && e.Kind == element.Idle:
					got = idle
				case ok:
					got = int(e.Time)
				}
				if got != s[2] {
					t.Errorf("step %d %v: got %d", i, s, got)
				}
			}
		})
	}
}

// BenchmarkHandOver measures what it costs a record to go from one goroutine to another.
func BenchmarkHandOver(b *testing.B) {
	for _, size := range []int{1, 16, 256, 1024} {
		b.Run(fmt.Sprintf("batch=%d", size), func(b *testing.B) {
			consumer, producer := newParker(), newParker()
			g := NewGate(consumer.wake)
			out := NewForward[int](g.NewChannel(producer.wake))
			go func() {
				in := batchOf(make([]int, size)...)
				for n := 0; n < b.N; n += size {
					for !out.Ready() {
						<-producer
					}
					out.Push(in)
					out.Flush()
				}
				out.Event(element.Event{Kind: element.EndOfPartition})
			}()
			b.ReportAllocs()
			for {
				ch, m, ok := g.Poll()
				if !ok {
					<-consumer
					continue
				}
				if m.Batch == nil {
					break
				}
				batch := m.Batch.(*element.Batch[int])
				batch.Reset()
				g.Recycle(ch, batch)
			}
		})
	}
}

// Times are sent from the first record on that may have one; those before it have none, in whatever batch they are. Hashes that are not
// shipped are not there.
func TestTimesAreSentOnceThereAreAny(t *testing.T) {
	g := NewGate(func() {})
	ch := g.NewChannel(func() {})
	hash := func(recs []int, hashes []uint64) error {
		for i, r := range recs {
			hashes[i] = keyhash.Uint64(uint64(r))
		}
		return nil
	}
	out := NewHash([]*Channel{ch}, 8, false, hash)
	push := func(untimed bool, first, n int) {
		b := &element.Batch[int]{Untimed: untimed}
		for i := range n {
			at := int64(10 * (first + i))
			if untimed {
				at = element.NoTime
			}
			b.Recs, b.TS = append(b.Recs, first+i), append(b.TS, at)
		}
		if err := out.Push(b); err != nil {
			t.Fatal(err)
		}
	}
	const full = 1024
	push(true, 0, full+100)    // one batch without times, and one begun
	push(false, full+100, 50)  // times begin in the middle of it
	push(true, full+150, full) // and go on with records that have none
	out.Flush()
	next := 0
	for batches := 0; ; batches++ {
		_, m, ok := g.Poll()
		if !ok {
			break
		}
		b := m.Batch.(*element.Batch[int])
		if b.Untimed != (batches == 0) || len(b.Hash) != 0 {
			t.Fatalf("batch %d: untimed %v, %d hashes", batches, b.Untimed, len(b.Hash))
		}
		for i, n := range b.Recs {
			want := element.NoTime
			if n >= full+100 && n < full+150 {
				want = int64(10 * n)
			}
			if n != next || !b.Untimed && b.TS[i] != want {
				t.Fatalf("record %d, want %d; time %d, want %d", n, next, b.TS[i], want)
			}
			next++
		}
	}
	if next != 2*full+150 {
		t.Errorf("%d records came, want %d", next, 2*full+150)
	}
}
