package discard_test

import (
	"context"
	"testing"

	"github.com/weirstream/weir/connector/discard"
	"github.com/weirstream/weir/sink"
)

// TestCount shows that all writers count together, without an allocation.
func TestCount(t *testing.T) {
	c := discard.Sink[string]()
	a, _ := c.Writer(context.Background(), sink.WriterEnv{}, nil)
	b, _ := c.Writer(context.Background(), sink.WriterEnv{}, nil)
	records, times := []string{"x", "y"}, []int64{0, 0}
	a.Write(records, times)
	if n := testing.AllocsPerRun(9, func() { b.Write(records, times) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if c.Count() != 22 {
		t.Errorf("count %d, want 22", c.Count())
	}
}
