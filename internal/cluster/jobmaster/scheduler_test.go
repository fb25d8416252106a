package jobmaster

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/weirstream/weir/internal/cluster/config"
)

// TestParallelCleaning shows that deletions wait for each other exactly if they are told to.
func TestParallelCleaning(t *testing.T) {
	together := &master{checkpoints: config.Checkpointing{ParallelCleaning: true}}
	var met sync.WaitGroup
	met.Add(2)
	for range 2 {
		together.delete(func() { met.Done(); met.Wait() }) // the two would wait for each other for ever
	}
	together.deleting.Wait()

	alone := &master{}
	var running atomic.Int32
	for range 50 {
		alone.delete(func() {
			if n := running.Add(1); n > 1 {
				t.Errorf("%d deletions at a time", n)
			}
			runtime.Gosched()
			running.Add(-1)
		})
	}
	alone.deleting.Wait()
}
