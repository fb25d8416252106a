package state_test

import (
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/weirstream/weir/internal/backend/heap"
	"github.com/weirstream/weir/internal/backend/pebble"
	"github.com/weirstream/weir/internal/metrics"
	"github.com/weirstream/weir/state"
)

// visited is a processor that does a little more with each record than counting it.
type visited struct {
	Count state.Value[int64]                      `state:"count"`
	Pages state.Map[int64, int64]                 `state:"pages"`
	Words state.Value[[]string]                   `state:"words"`
	Idle  state.Timer                             `timer:"idle,event"`
	Sum   state.Reducing[int64, state.Sum[int64]] `state:"sum"`
}

func (v *visited) On(key int64) {
	v.Count.Set(v.Count.Get() + 1)
	page := v.Count.Get() & 7
	n, _ := v.Pages.Get(page)
	v.Pages.Put(page, n+1)
	v.Words.Set(append(v.Words.Get()[:0], "a", "few", "words"))
	v.Sum.Add(key)
}

// BenchmarkMeasured shows what it costs to measure accesses of one record of a hundred: the time of a record with nothing measured, and by how many
// percent more the same records take with times measured, sizes, and both. All take turns batch by batch, and what is told is the median of
// the ratios, so that what else the machine does cancels out.
func BenchmarkMeasured(b *testing.B) {
	b.Run("heap/value", func(b *testing.B) { benchMeasured(b, func() on { return new(counter) }, 1<<16) })
	b.Run("heap/several", func(b *testing.B) { benchMeasured(b, func() on { return new(visited) }, 1<<14) })
	b.Run("pebble/several", func(b *testing.B) {
		o := pebble.Default()
		o.Dir = b.TempDir()
		f, err := pebble.Open(o, slog.New(slog.DiscardHandler))
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { f.Close() })
		pebbles, pebbleRoom = f, 1<<20
		b.Cleanup(func() { pebbles, pebbleRoom = nil, 1 })
		benchMeasured(b, func() on { return new(visited) }, 1<<16)
	})
}

func benchMeasured(b *testing.B, processor func() on, n int) {
	in := func() func(string, string) *metrics.Histogram {
		s := metrics.NewScope()
		return func(state, name string) *metrics.Histogram {
			return s.Histogram(metrics.HistogramName{Group: state, Name: name}, 128)
		}
	}
	const every = 100
	variants := []heap.Measuring{
		{}, {Latency: every, LatencyOf: in()}, {Sizes: every, SizesOf: in()}, {Latency: every, Sizes: every, LatencyOf: in(), SizesOf: in()},
	}
	var drivers []*driver
	var processors []on
	for i, what := range variants {
		p := processor()
		d := newDriver(b, p, n)
		if i > 0 {
			d.Measure(what)
		}
		drivers, processors = append(drivers, d), append(processors, p)
	}
	ratios := make([][]float64, len(variants))
	var ks keys
	took := make([]time.Duration, len(variants))
	var plain []float64
	for i := 0; b.Loop(); i++ {
		for j := range drivers {
			k := (i + j) % len(drivers)
			same := ks
			at := time.Now()
			drivers[k].draw(&same, n)
			drivers[k].run(processors[k])
			if took[k] = time.Since(at); j == len(drivers)-1 {
				ks = same
			}
		}
		plain = append(plain, float64(took[0].Nanoseconds())/batch)
		for k := range took {
			ratios[k] = append(ratios[k], float64(took[k])/float64(took[0]))
		}
	}
	median := func(all []float64) float64 { slices.Sort(all); return all[len(all)/2] }
	b.ReportMetric(median(plain), "ns/record")
	for k, name := range []string{"", "times", "sizes", "both"} {
		if k > 0 {
			b.ReportMetric(100*(median(ratios[k])-1), fmt.Sprintf("%%-%s", name))
		}
	}
}
