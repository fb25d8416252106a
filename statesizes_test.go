package weir_test

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weirstream/weir"
)

// TestStateSizes shows what a running job tells of its state in memory, by step, subtask and state, and that it is nothing once the job has ended: keys and
// entries are exact when a checkpoint has completed, bytes hold them. On Pebble there are the numbers of its caches too.
func TestStateSizes(t *testing.T) {
	for _, backend := range []string{"hashmap", "pebble"} {
		w := newWorld(t, 2, 60)
		w.byHand = true
		w.set["state.backend.type"] = backend
		w.set["state.backend.pebble.localdir"] = filepath.Join(t.TempDir(), "state")
		w.in.hold(0, 90)
		w.in.hold(1, 90)
		e := w.start(context.Background(), 2)
		w.read(e, 90)
		s := show(t, e)
		if _, err := e.Checkpoint(context.Background(), weir.FullCheckpoint); err != nil {
			t.Fatal(err)
		}
		v := s.job().Vertices[s.vertex("sums")]
		sum := func(name string) (n int64) {
			for subtask := range 2 {
				n += s.number(fmt.Sprintf("%s/vertices/%s/subtasks/%d/metrics", s.path, v.ID, subtask), "sums."+name)
			}
			return n
		}
		entries := int64(0) // of the records that came so far, those with an even number
		for seq := 0; seq < 30; seq += 2 {
			entries += 6
		}
		// They are told when the tasks hear of the checkpoint, which may be a moment later.
		until(t, e, "the sizes", func() bool { return sum("State_numKeys") == 6 && sum("State_set_numEntries") == entries })
		if bytes := sum("State_sizeBytes"); bytes < sum("State_set_sizeBytes")+sum("State_sum_sizeBytes") || sum("State_set_sizeBytes") < entries*16 {
			t.Errorf("%s: the state takes %d bytes, its map %d, with %d entries", backend, bytes, sum("State_set_sizeBytes"), entries)
		}
		page := s.get("/metrics")
		for _, want := range []string{"flink_taskmanager_job_task_operator_State_numKeys{", "flink_taskmanager_job_task_operator_State_set_numEntries{"} {
			if !strings.Contains(page, want) {
				t.Errorf("%s: /metrics has no %s", backend, want)
			}
		}
		if has := strings.Contains(page, "rocksdb_block_cache_capacity"); has != (backend == "pebble") {
			t.Errorf("%s: a block cache is told: %v", backend, has)
		}
		if backend == "pebble" && (sum("State_cacheBytes") == 0 || sum("rocksdb_block-cache-capacity") == 0) {
			t.Errorf("a cache of %d bytes, and %d for blocks", sum("State_cacheBytes"), sum("rocksdb_block-cache-capacity"))
		}
		w.releaseAll()
		w.end(e, weir.Finished)
		if n := sum("State_numKeys") + sum("State_sizeBytes"); n != 0 {
			t.Errorf("%s: the job has ended, and its state takes %d", backend, n)
		}
	}
}
