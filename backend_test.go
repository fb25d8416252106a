package weir_test

import (
	"fmt"
	"testing"
)

// TestPebble runs whole jobs on Pebble, with so little room for rows in memory that nearly every record reads one from disk: what they write must
// be what they write on the heap. They are the jobs of tests that go through restarts, rescaling, savepoints and changed programs.
func TestPebble(t *testing.T) {
	for _, incremental := range []bool{false, true} {
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
