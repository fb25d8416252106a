package memory_test

import (
	"testing"

	"github.com/weirstream/weir/connector/memory"
	"github.com/weirstream/weir/sink"
	"github.com/weirstream/weir/sink/sinktest"
	"github.com/weirstream/weir/source"
	"github.com/weirstream/weir/source/sourcetest"
)

// TestSlice shows that each record is read once.
func TestSlice(t *testing.T) {
	records := []string{"a", "b", "b", "c", "d", "e", "f"}
	sourcetest.Run(t, sourcetest.Suite[string]{
		Source: func() source.Source[string] { return memory.Slice(records) },
		Want:   records,
	})
}

// TestSliceAt shows that event times go with their records.
func TestSliceAt(t *testing.T) {
	sourcetest.Run(t, sourcetest.Suite[int64]{
		Source: func() source.Source[int64] { return memory.SliceAt([]int64{5, 3, 4}, []int64{5, 3, 4}) },
		Want:   []int64{3, 4, 5},
	})
}

// TestCollect shows that records are collected once, whatever happens to the job in between.
func TestCollect(t *testing.T) {
	sinktest.Run(t, sinktest.Suite[int]{
		Withdraws: true,
		Record:    func(i int) int { return i },
		World: func(t *testing.T) sinktest.World[int] {
			c := memory.Collect[int]()
			return sinktest.World[int]{
				Sink:      func() sink.TwoPhase[int] { return c },
				Committed: func() ([]int, error) { return c.Records(), nil },
			}
		},
	})
}

// from and to stand for weir.From and weir.To: the types of records are inferred.
func from[T any](source.Source[T]) {}
func to[T any](sink.Sink[T])       {}

// TestInference shows by compiling that no type needs to be written at a call.
func TestInference(t *testing.T) {
	from(memory.Slice([]int{1}))
	to(memory.Collect[int]())
}
