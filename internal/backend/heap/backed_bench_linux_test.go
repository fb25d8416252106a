package heap_test

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/weirstream/weir/backend"
	"github.com/weirstream/weir/internal/backend/heap"
	"github.com/weirstream/weir/internal/backend/pebble"
	"github.com/weirstream/weir/state"
)

// tally is state of a step that counts, in a value or in a map.
type tally struct {
	Count state.Value[int64]      `state:"count"`
	Of    state.Map[int64, int64] `state:"of"`
}

func benchStore(b *testing.B, p any, memory int64) *heap.Store[int64] {
	o := pebble.Default()
	o.Dir = b.TempDir()
	f, err := pebble.Open(o, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	under, err := f.Open(b.Context(), backend.Env{Parallelism: 1, Groups: backend.Groups{First: 0, Last: maxParallelism - 1}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	s := open(b, p, 0, 1, hashInt)
	s.Back(under, memory)
	b.Cleanup(func() {
		s.Close()
		if err := f.Close(); err != nil {
			b.Error(err)
		}
	})
	return s
}

// inBatches calls f with the handles at n keys, some at a time, and between two batches between.
func inBatches(b *testing.B, s *heap.Store[int64], n int, key func(i int) int64, f func(int64), between func()) {
	batch := make([]int64, 0, 256)
	for i := range n {
		if batch = append(batch, key(i)); len(batch) == cap(batch) || i == n-1 {
			at(s, hashInt, f, batch...)
			batch = batch[:0]
			if between != nil {
				between()
			}
		}
	}
	if err := s.Err(); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkOutlyingFrom changes one entry of maps of a size, of many keys that are not in memory, with the maps in their rows and outlying: where the two cost
// the same, maps had better become outlying.
func BenchmarkOutlyingFrom(b *testing.B) {
	for _, bytes := range []int64{1 << 10, 4 << 10, 16 << 10} {
		for _, how := range []struct {
			name string
			from int
		}{{"in-row", 1 << 30}, {"outlying", 0}} {
			b.Run(fmt.Sprintf("bytes=%d/%s", bytes, how.name), func(b *testing.B) {
				defer heap.OutlyingFrom(how.from, 1<<20)()
				var p tally
				keys, entries := int((64<<20)/bytes), bytes/16
				s := benchStore(b, &p, 2<<20)
				inBatches(b, s, keys, func(i int) int64 { return int64(i) }, func(k int64) {
					for e := range entries {
						p.Of.Put(e, k)
					}
				}, nil)
				rnd := rand.New(rand.NewPCG(1, 2))
				b.ResetTimer()
				inBatches(b, s, b.N, func(int) int64 { return int64(rnd.IntN(keys)) }, func(int64) {
					e := rnd.Int64N(entries)
					n, _ := p.Of.Get(e)
					p.Of.Put(e, n+1)
				}, nil)
			})
		}
	}
}

// note is state of a step with a value that may be long.
type note struct {
	Count state.Value[int64]  `state:"count"`
	Text  state.Value[[]byte] `state:"text"`
}

// BenchmarkLongFrom changes a count, or the text itself, of keys that are not in memory and have a text of a size each, with the texts in their rows and
// outlying: where the two cost the same, texts had better become outlying.
func BenchmarkLongFrom(b *testing.B) {
	for _, bytes := range []int{4 << 10, 16 << 10, 64 << 10} {
		for _, what := range []string{"count", "text"} {
			for _, how := range []struct {
				name string
				from int
			}{{"in-row", 1 << 30}, {"outlying", 0}} {
				b.Run(fmt.Sprintf("bytes=%d/%s/%s", bytes, what, how.name), func(b *testing.B) {
					defer heap.LongFrom(how.from, 32<<10)()
					var p note
					keys, rnd := (64<<20)/bytes, rand.New(rand.NewPCG(1, 2))
					s := benchStore(b, &p, 2<<20)
					text := make([]byte, bytes)
					inBatches(b, s, keys, func(i int) int64 { return int64(i) }, func(k int64) {
						for i := range text {
							text[i] = byte(rnd.Uint32())
						}
						p.Text.Set(text)
					}, nil)
					b.ResetTimer()
					inBatches(b, s, b.N, func(int) int64 { return int64(rnd.IntN(keys)) }, func(int64) {
						p.Count.Set(p.Count.Get() + 1)
						if what == "text" {
							text := p.Text.Get()
							text[rnd.IntN(bytes)]++
							p.Text.Set(text)
						}
					}, nil)
				})
			}
		}
	}
}

// threadTime is the time that this thread was on a processor.
func threadTime() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_THREAD, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkCheckpointStop measures for how long a checkpoint stops a subtask that updates a million keys, or a million entries of one map, which are in memory:
// the longest and the mean time of SnapshotStore, a checkpoint for every 40 000 updates, and how much of it the thread had a processor; and for comparison
// the longest batch.
func BenchmarkCheckpointStop(b *testing.B) {
	const n = 1_000_000
	var p tally
	rnd := rand.New(rand.NewPCG(1, 2))
	ways := []struct {
		name   string
		key    func() int64
		update func(int64)
	}{
		{"values", func() int64 { return rnd.Int64N(n) }, func(int64) { p.Count.Set(p.Count.Get() + 1) }},
		{"entries", func() int64 { return 1 }, func(int64) {
			e := rnd.Int64N(n)
			c, _ := p.Of.Get(e)
			p.Of.Put(e, c+1)
		}},
	}
	for _, way := range ways {
		b.Run(way.name, func(b *testing.B) {
			p = tally{}
			s := benchStore(b, &p, 1<<30)
			if way.name == "values" {
				inBatches(b, s, n, func(i int) int64 { return int64(i) }, func(int64) { p.Count.Set(1) }, nil)
			} else {
				at(s, hashInt, func(int64) {
					for i := range int64(n) {
						p.Of.Put(i, 1)
					}
				}, 1)
			}
			if x, err := s.SnapshotStore()(b.Context()); err != nil {
				b.Fatal(err)
			} else {
				x.Close()
			}
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			var longest, busiest, all, batch time.Duration
			stops, updates, last := 0, 0, time.Now()
			var wait func(context.Context) (backend.Snapshot, error)
			b.ResetTimer()
			inBatches(b, s, b.N, func(int) int64 { return way.key() }, way.update, func() {
				batch = max(batch, time.Since(last))
				if updates += 256; updates >= 40_000 {
					updates = 0
					if wait != nil { // one is taken at a time
						x, err := wait(b.Context())
						if err != nil {
							b.Fatal(err)
						}
						x.Close()
					}
					begin, used := time.Now(), threadTime()
					wait = s.SnapshotStore()
					took := time.Since(begin)
					busiest = max(busiest, threadTime()-used)
					longest, all, stops = max(longest, took), all+took, stops+1
				}
				last = time.Now()
			})
			b.ReportMetric(longest.Seconds()*1e3, "longest-stop-ms")
			b.ReportMetric(busiest.Seconds()*1e3, "longest-stop-cpu-ms")
			b.ReportMetric(all.Seconds()*1e3/float64(max(stops, 1)), "mean-stop-ms")
			b.ReportMetric(batch.Seconds()*1e3, "longest-batch-ms")
		})
	}
}
