package weir_test

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/weirstream/weir"
)

// TestCompression stops a job again and again and goes on with another setting of compression, another parallelism and another backend, from
// checkpoints with increments and from canonical savepoints. Compressed ones are smaller, say of their keys what the others say, and in the end
// nothing was lost.
func TestCompression(t *testing.T) {
	w := newWorld(t, 2, 200)
	w.set["execution.checkpointing.data-inline-threshold"] = "0"
	w.set["execution.checkpointing.incremental"] = "true"
	w.set["state.backend.cache-size"] = "64 kb"
	sizes := map[string]int64{} // of the state of the same number of records
	for i, run := range []struct {
		backend, compress string
		parallelism       int
		savepoint         bool
		position          int
	}{
		{"hashmap", "false", 2, false, 100}, {"hashmap", "true", 2, false, 110}, {"hashmap", "false", 2, true, 120}, {"hashmap", "true", 1, true, 130},
		{"pebble", "true", 3, true, 200}, {"pebble", "false", 2, true, 200}, {"hashmap", "true", 3, true, 200}, {"hashmap", "false", 2, true, 200},
		{"hashmap", "true", 2, false, 300},
	} {
		w.set["execution.checkpointing.snapshot-compression"] = run.compress
		w.set["state.backend.type"] = run.backend
		w.set["state.backend.pebble.localdir"] = filepath.Join(t.TempDir(), "state")
		e := w.running(run.parallelism, run.position)
		if !run.savepoint {
			e.Abort()
			w.end(e, weir.Aborted)
			continue
		}
		path := w.take(e.StopWithSavepoint(context.Background(), savepoints))
		w.end(e, weir.Finished)
		if run.position == 200 {
			sizes[run.backend+" "+run.compress], _ = w.keyedBytes(path)
		}
		if keys := w.keys(path); keys == 0 {
			t.Errorf("savepoint %d has no keys", i)
		}
	}
	for _, backend := range []string{"pebble", "hashmap"} {
		if packed, plain := sizes[backend+" true"], sizes[backend+" false"]; packed == 0 || packed > plain*3/4 {
			t.Errorf("%s: %d bytes compressed, %d if not", backend, packed, plain)
		}
	}
	w.finish(2)
}
