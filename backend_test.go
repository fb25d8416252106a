package weir_test

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/weirstream/weir"
)

// TestPebble runs whole jobs on Pebble, with so little room for rows in memory that nearly every record reads one from disk: what they write must
// be what they write on the heap. They are the jobs of tests that go through restarts, rescaling, savepoints and changed programs.
func TestPebble(t *testing.T) {
	for _, incremental := range []bool{false, true} {
		if raced && !incremental {
			continue // the other does more
		}
		t.Run(fmt.Sprintf("incremental=%v", incremental), func(t *testing.T) {
			t.Setenv("WEIR_STATE_BACKEND_TYPE", "rocksdb")
			t.Setenv("WEIR_STATE_BACKEND_CACHE_SIZE", "64 kb")
			t.Setenv("WEIR_STATE_BACKEND_PEBBLE_LOCALDIR", t.TempDir())
			t.Setenv("WEIR_STATE_BACKEND_PEBBLE_MEMORY_FIXED_PER_TM", "1 mb")
			t.Setenv("WEIR_EXECUTION_CHECKPOINTING_INCREMENTAL", fmt.Sprint(incremental))
			for name, test := range map[string]func(*testing.T){
				"windows": TestWindows, "aggregations": TestAggregations, "timers": TestProcessingTimers, "restart": TestRestart,
				"rescale": TestRescale, "live rescale": TestLiveRescale, "regions": TestRegionRestarts, "savepoint": TestSavepoint,
				"stop": TestStopWithSavepoint, "changed jobs": TestChangedJobs,
			} {
				t.Run(name, test)
			}
		})
	}
}

// TestSwitchBackend takes one job from the heap to Pebble and back through savepoints in canonical format, at another parallelism each time,
// and then stops it once more with a savepoint in Pebble's own form. Its output is that of a run that nobody has disturbed.
func TestSwitchBackend(t *testing.T) {
	w := newWorld(t, 4, 60)
	for _, step := range []struct {
		backend     string
		parallelism int
		position    int
		options     []weir.StopOption
	}{
		{"hashmap", 2, 15, nil}, {"pebble", 3, 25, nil}, {"hashmap", 1, 35, nil}, {"pebble", 2, 45, nil},
		{"pebble", 2, 50, []weir.StopOption{weir.NativeFormat()}},
	} {
		w.set["state.backend.type"] = step.backend
		w.set["state.backend.cache-size"] = "64 kb"
		w.set["state.backend.pebble.localdir"] = filepath.Join(t.TempDir(), "state")
		e := w.running(step.parallelism, step.position)
		w.take(e.StopWithSavepoint(context.Background(), savepoints, step.options...))
		w.end(e, weir.Finished)
	}
	w.finish(4)
	w.check()
}
