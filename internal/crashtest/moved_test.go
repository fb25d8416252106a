package crashtest_test

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/weirstream/weir/internal/crashtest"
)

// TestKillsAfterMovedSavepoint takes a savepoint of the job with every kind of state, moves it, and starts another line from copies of it, which
// is killed around its first checkpoints. What the first line had committed for the savepoint and what the other commits are together the
// rows of a run that nobody disturbed; the first line itself, killed too, never goes back to its savepoint. A copy that the job claims is deleted,
// one that it does not claim stays as it is.
func TestKillsAfterMovedSavepoint(t *testing.T) {
	t.Parallel()
	random, dir := chance(t), t.TempDir()
	path, id := savepointAndKill(t, dir, random)
	moved := filepath.Join(t.TempDir(), "moved")
	if err := os.CopyFS(moved, os.DirFS(path)); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
	finishEverything(t, dir, "-p", rescaled(random.IntN(3)))
	before := committedUpTo(t, dir, id)
	for _, mode := range []string{"NO_CLAIM", "CLAIM"} {
		own := filepath.Join(t.TempDir(), "copy")
		if err := os.CopyFS(own, os.DirFS(moved)); err != nil {
			t.Fatal(err)
		}
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			goOnElsewhere(t, chance(t), mode, own, before)
		})
	}
}

// savepointAndKill runs the job at three parallelisms, kills it each time, and returns one of its savepoints with its id. Of the line's checkpoints
// later ones are complete, so that what was prepared for the savepoint has been committed, or will be.
func savepointAndKill(t *testing.T, dir string, random *rand.Rand) (path string, id int) {
	t.Helper()
	for run := range 3 {
		p := disturbed(dir).Start(t, "--rate", "1000", "-p", rescaled(run), "--savepoint-every", "60ms")
		if !p.Until(appears(dir, "_savepoints/*/_metadata", 1+random.IntN(3))) {
			t.Fatalf("run %d has ended:\n%s", run, p.Log())
		}
		path, id = newestSavepoint(t, dir)
		later := func() bool {
			all := checkpoints(dir)
			return len(all) > 0 && idOf(all[len(all)-1]) > id
		}
		if !p.Until(later) || !sleep(p, random, 100*time.Millisecond) || !p.Kill() {
			t.Fatalf("run %d has ended:\n%s", run, p.Log())
		}
		tidy(t, dir)
	}
	return path, id
}

// newestSavepoint returns the directory and the id of the savepoint of a job that has the greatest one.
func newestSavepoint(t *testing.T, dir string) (path string, id int) {
	t.Helper()
	for _, metadata := range glob(filepath.Join(dir, "_savepoints/*/_metadata")) {
		if s := inspected(t, metadata); s.Checkpoint > id {
			path, id = filepath.Dir(metadata), s.Checkpoint
		}
	}
	return path, id
}

var partOfCheckpoint = regexp.MustCompile(`-c(\d+)-s`)

// committedUpTo returns the rows of a job that were prepared for a checkpoint or an earlier one.
func committedUpTo(t *testing.T, dir string, id int) []string {
	t.Helper()
	older := t.TempDir()
	for _, part := range glob(filepath.Join(dir, "*", "part-*")) {
		n, err := strconv.Atoi(partOfCheckpoint.FindStringSubmatch(filepath.Base(part))[1])
		if err != nil {
			t.Fatal(err)
		}
		if n > id {
			continue
		}
		to := filepath.Join(older, filepath.Base(filepath.Dir(part)))
		if err := os.MkdirAll(to, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Link(part, filepath.Join(to, filepath.Base(part))); err != nil {
			t.Fatal(err)
		}
	}
	rows, err := crashtest.Rows(older)
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// goOnElsewhere starts another line from a savepoint of which the first line has committed some rows, kills it some times, and compares.
func goOnElsewhere(t *testing.T, random *rand.Rand, mode, savepoint string, before []string) {
	dir := t.TempDir()
	whole := tree(t, savepoint)
	args := []string{"-s", savepoint, "--claim-mode", mode}
	moments := []string{"_checkpoints/*/chk-*", "_checkpoints/*/chk-*/*", completed, completed, "held/part-*"}
	for run := range turns(8) {
		p := disturbed(dir, args...).Start(t, "--rate", "1000", "-p", rescaled(run))
		if !p.Until(appears(dir, moments[random.IntN(len(moments))], 1+random.IntN(2))) || !sleep(p, random, 10*time.Millisecond) || !p.Kill() {
			t.Fatalf("run %d has ended:\n%s", run, p.Log())
		}
		tidy(t, dir)
	}
	if code, log := disturbed(dir, args...).Run(t, "-p", rescaled(random.IntN(3))); code != 0 {
		t.Fatalf("the last run: exit code %d:\n%s", code, log)
	}
	rows, err := crashtest.Rows(dir)
	if err != nil {
		t.Fatal(err)
	}
	rows = append(rows, before...)
	slices.Sort(rows)
	checkEverything(t, rows)
	// A kill while it is being deleted may leave files, which are no savepoint any more.
	switch _, err := os.Stat(filepath.Join(savepoint, "_metadata")); {
	case mode == "CLAIM" && err == nil:
		t.Errorf("the claimed savepoint is still there:\n%s", tree(t, savepoint))
	case mode == "NO_CLAIM" && tree(t, savepoint) != whole:
		t.Errorf("the savepoint has changed:\n%s\nbefore:\n%s", tree(t, savepoint), whole)
	}
}
