package crashtest_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/weirstream/weir/internal/crashtest"
)

// everythingRows returns the rows of a run of the job with every kind of state that nobody disturbs.
var everythingRows = sync.OnceValues(func() ([]string, error) {
	dir, err := os.MkdirTemp("", "everything")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	if out, err := exec.Command(everything, "--output", dir).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("the undisturbed run: %w\n%s", err, out)
	}
	return crashtest.Rows(dir)
})

// disturbed is a run of the job with every kind of state that goes on for as long as a test needs to disturb it.
func disturbed(dir string, args ...string) crashtest.Program {
	return crashtest.Program{Path: everything, Args: append([]string{"--output", dir}, args...)}
}

// finishEverything runs the job to its end and compares what it has committed.
func finishEverything(t *testing.T, dir string, args ...string) {
	t.Helper()
	if code, log := disturbed(dir).Run(t, args...); code != 0 {
		t.Fatalf("the last run: exit code %d, want 0:\n%s", code, log)
	}
	got, err := crashtest.Rows(dir)
	if err != nil {
		t.Fatal(err)
	}
	checkEverything(t, got)
}

// checkEverything compares committed rows with those of the run that nobody disturbs.
func checkEverything(t *testing.T, got []string) {
	t.Helper()
	want, err := everythingRows()
	if err != nil {
		t.Fatal(err)
	}
	if diff := crashtest.Diff(got, want); diff != "" {
		t.Errorf("the committed rows are not those of the undisturbed run: %s", diff)
	}
}

// TestKillsWithEveryKindOfState shows that values, maps, lists, timers and windows of keys, split, union and broadcast state of
// subtasks, and records in a loop come through kills, while each run has another parallelism than the one before.
func TestKillsWithEveryKindOfState(t *testing.T) {
	t.Parallel()
	kills := 9
	if few() {
		kills = 3
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	dir := t.TempDir()
	parallelism := []string{"1", "3", "2"}
	for run := range kills {
		p := disturbed(dir, "--rate", "1000").Start(t, "-p", parallelism[run%len(parallelism)])
		if !p.Until(appears(dir, "_checkpoints/*/chk-*/_metadata", 1)) || !sleep(p, random, 200*time.Millisecond) || !p.Kill() {
			t.Fatalf("run %d has ended before it could be killed:\n%s", run, p.Log())
		}
	}
	if len(glob(filepath.Join(dir, "_checkpoints", "*", "chk-*", "_metadata"))) == 0 {
		t.Error("no checkpoint was left")
	}
	finishEverything(t, dir, "-p", parallelism[random.IntN(len(parallelism))])
}
