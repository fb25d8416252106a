package weir_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/connector/discard"
	"github.com/weirstream/weir/connector/memory"
	"github.com/weirstream/weir/weirtest"
	"github.com/weirstream/weir/window"
)

// TestEventTimeBehindShuffle shows that a job goes on, at any parallelism, whose event times are assigned behind a shuffle, where the step
// that assigns them has state of its own.
func TestEventTimeBehindShuffle(t *testing.T) {
	build := func(j *weir.Job) error {
		in := weir.Rebalance(weir.From(j, "in", memory.Slice([]int{0})))
		timed := weir.EventTime(in, func(n int) int64 { return int64(n) * 1000 }, weir.BoundedDisorder(time.Minute))
		sums := weir.Window(weir.KeyBy(timed, func(n int) int { return n % 3 }), "sums", window.Tumbling(10*time.Second),
			func(sum *int, n int) { *sum += n },
			func(_ int, _ window.Span, sum int) int { return sum })
		weir.To(sums, "out", discard.Sink[int]())
		return nil
	}
	var in []int
	for n := range 40 {
		in = append(in, n)
	}
	weirtest.Run(t, build, weirtest.In("in", in...), weirtest.Same[int]("out"), weirtest.Seeds(10), weirtest.Rescale(2, 1, 3))
}

// TestEventTimeKeepsOrder shows that records stay in order where event times are assigned behind a source with a parallelism of its own.
func TestEventTimeKeepsOrder(t *testing.T) {
	j := weir.NewJob("order")
	j.Set("parallelism.default", "3")
	var in []int
	for n := range 1000 {
		in = append(in, n)
	}
	timed := weir.EventTime(weir.From(j, "in", memory.Slice(in), weir.Parallelism(1)), func(n int) int64 { return int64(n) })
	out := memory.Collect[int]()
	weir.To(timed, "out", out, weir.Parallelism(1))
	if _, err := weir.Run(context.Background(), j); err != nil {
		t.Fatal(err)
	}
	if got := out.Records(); !slices.Equal(got, in) {
		t.Errorf("the records have changed their order: %v", got)
	}
}
