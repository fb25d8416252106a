package weir_test

import (
	"context"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/connector/memory"
	"github.com/weirstream/weir/internal/storage/fs"
	"github.com/weirstream/weir/storage"
)

// spreader is a store in memory that wants entropy in paths. Directories are nothing to it.
type spreader struct{ *fs.Memory }

func (spreader) Entropy() (marker string, length int) { return "_entropy_", 4 }

// files returns all files below a directory.
func (w *world) files(dir string) (names []string) {
	w.t.Helper()
	var walk func(dir string)
	walk = func(dir string) {
		entries, err := w.fs.List(context.Background(), dir)
		if err != nil {
			w.t.Fatal(err)
		}
		for _, e := range entries {
			if name := filepath.Join(dir, e.Name); e.Dir {
				walk(name)
			} else {
				names = append(names, name)
			}
		}
	}
	walk(dir)
	return names
}

// TestEntropy runs jobs, with increments and without, in a directory with a marker for random characters: what tells where checkpoints are lies in
// the directory without it, and state in many others. The job goes on from there, another goes on from its savepoint, and when they have
// finished nothing is left but the records and the savepoint.
func TestEntropy(t *testing.T) {
	for _, incremental := range []bool{false, true} {
		t.Run(fmt.Sprintf("incremental=%v", incremental), func(t *testing.T) {
			w := newWorld(t, 2, 60)
			w.fs, w.dir = spreader{fs.NewMemory()}, "/store/_entropy_/c"
			w.set["execution.checkpointing.data-inline-threshold"] = "0"
			w.set["execution.checkpointing.incremental"] = fmt.Sprint(incremental)
			w.set["execution.checkpointing.savepoint-dir"] = "/_entropy_" + savepoints
			newest := w.upTo(2, 30, abort, weir.Aborted).Checkpoint
			if !strings.HasPrefix(newest, "/store/c/") {
				t.Errorf("the checkpoint is %s", newest)
			}
			random := regexp.MustCompile(`^(/store)?/([0-9a-v]{4})/(c|savepoints)/`)
			seen := map[string]bool{}
			for _, name := range w.files("/") {
				switch m := random.FindStringSubmatch(name); {
				case m != nil:
					seen[m[2]] = true
				case !strings.HasPrefix(name, "/store/c/"):
					t.Errorf("%s lies where nobody looks", name)
				}
			}
			if len(seen) < 4 {
				t.Errorf("state lies in %d random directories", len(seen))
			}
			e := w.running(3, 40)
			path := w.take(e.StopWithSavepoint(context.Background(), ""))
			w.end(e, weir.Finished)
			if n := w.keys(path); n == 0 {
				t.Error("the savepoint has no keys")
			}
			w.dir = "/store/c" // the next run is without
			w.finish(2)
			for _, name := range w.files("/") {
				if m := random.FindStringSubmatch(name); m != nil && m[3] != "savepoints" {
					t.Errorf("%s is left", name)
				}
			}
			w.another(path, "CLAIM") // which deletes the savepoint in the end
			w.out = memory.Collect[string]()
			w.sink = w.out
			w.end(w.start(context.Background(), 1), weir.Finished)
			for _, name := range w.files("/") {
				if random.MatchString(name) || strings.Contains(name, savepoints) {
					t.Errorf("after a claim %s is left", name)
				}
			}
		})
	}
}

var _ storage.Spreader = spreader{}
