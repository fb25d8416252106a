package crashtest_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weirstream/weir/internal/crashtest"
)

// damages are what may become of a checkpoint's files.
var damages = []struct {
	name   string
	damage func(t *testing.T, checkpoint string)
}{
	{"a byte of a state file", func(t *testing.T, c string) { change(t, stateFile(t, c), flip) }},
	{"a byte of the metadata", func(t *testing.T, c string) { change(t, filepath.Join(c, "_metadata"), flip) }},
	{"a state file cut short", func(t *testing.T, c string) { change(t, stateFile(t, c), cut) }},
	{"empty metadata", func(t *testing.T, c string) { change(t, filepath.Join(c, "_metadata"), empty) }},
	{"a state file lost", func(t *testing.T, c string) {
		if err := os.Remove(stateFile(t, c)); err != nil {
			t.Fatal(err)
		}
	}},
}

// stateFile returns the largest state file of a checkpoint.
func stateFile(t *testing.T, checkpoint string) (path string) {
	t.Helper()
	largest := int64(-1)
	for _, name := range glob(filepath.Join(checkpoint, "*")) {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if info.Size() > largest && filepath.Base(name) != "_metadata" {
			path, largest = name, info.Size()
		}
	}
	if path == "" {
		t.Fatalf("checkpoint %s has no state files", checkpoint)
	}
	return path
}

func change(t *testing.T, path string, f func([]byte) []byte) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, f(data), 0o644); err != nil {
		t.Fatal(err)
	}
}

func flip(b []byte) []byte  { b[len(b)/2] ^= 4; return b }
func cut(b []byte) []byte   { return b[:len(b)-1] }
func empty(b []byte) []byte { return nil }

// killAfter starts the job and kills it when that many more checkpoints are complete.
func killAfter(t *testing.T, dir string, n int, args ...string) (log string) {
	t.Helper()
	p := flights(dir, "--rate", "10000").Start(t, args...)
	if !p.Until(appears(dir, "_checkpoints/*/chk-*/_metadata", n)) || !p.Kill() {
		t.Fatalf("the job has ended before %d checkpoints:\n%s", n, p.Log())
	}
	return p.Log()
}

// killAfterCommit starts the job and kills it some checkpoints later, when it has committed output of its newest or last but one checkpoint.
// It returns what the job has written, the checkpoints from that one on, and the one before.
func killAfterCommit(t *testing.T, dir string, args ...string) (log string, newest []string, before string) {
	t.Helper()
	for {
		log += killAfter(t, dir, 3, args...)
		all := checkpoints(dir)
		for n := 1; n <= 2; n++ {
			if i := len(all) - n; i > 0 && len(glob(committedWith(dir, all[i]))) > 0 {
				return log, all[i:], all[i-1]
			}
		}
	}
}

// committedWith matches the hourly rows that were committed with a checkpoint.
func committedWith(dir, checkpoint string) string {
	return filepath.Join(dir, "hourly", fmt.Sprintf("part-*-c%d-*", idOf(checkpoint)))
}

// toFiles keeps no state in the metadata, so that there are files to be damaged.
var toFiles = []string{"-D", "execution.checkpointing.data-inline-threshold=0"}

// TestDamagedCheckpoint damages the newest checkpoints between kills, back to one whose output is committed. The next run goes back to the one
// before and says so, takes back what was committed since, and leaves the damaged ones where they are.
func TestDamagedCheckpoint(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var all []string
	_, bad, good := killAfterCommit(t, dir, toFiles...)
	for i, d := range damages {
		if few() && i > 1 {
			break
		}
		for _, c := range bad {
			d.damage(t, c)
		}
		all = append(all, bad...)
		log, nextBad, nextGood := killAfterCommit(t, dir, toFiles...)
		checkFallback(t, d.name, log, bad, good)
		bad, good = nextBad, nextGood
	}
	finish(t, dir)
	for _, c := range all {
		if _, err := os.Stat(c); err != nil {
			t.Errorf("the damaged checkpoint was not left in place: %v", err)
		}
	}
	if len(glob(filepath.Join(dir, "hourly", "_withdrawn-*", "part-*"))) == 0 {
		t.Error("nothing was withdrawn: the test shows less than it should")
	}
}

func checkFallback(t *testing.T, damage, log string, bad []string, good string) {
	t.Helper()
	for _, c := range bad {
		checkSays(t, log, fmt.Sprintf("checkpoint %d is corrupt: ", idOf(c)))
	}
	checkSays(t, log, fmt.Sprintf("; using %d", idOf(good)), fmt.Sprintf("resumed from checkpoint %d ", idOf(good)),
		fmt.Sprintf("sink hourly withdraws: it has committed after checkpoint %d", idOf(good)))
	if t.Failed() {
		t.Fatalf("after damage of %s", damage)
	}
}

// TestDamageOfAll damages every checkpoint there is: the start stops with the choices and changes nothing; with --fresh it begins anew.
func TestDamageOfAll(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	one := []string{"-D", "execution.checkpointing.num-retained=1"}
	killAfter(t, dir, 3, one...)
	all := checkpoints(dir)
	for _, c := range all { // the kill may have come before the one before the last was deleted
		change(t, filepath.Join(c, "_metadata"), flip)
	}
	before := tree(t, dir)
	code, log := flights(dir).Run(t, one...)
	if code != 3 {
		t.Errorf("exit code %d, want 3", code)
	}
	for _, want := range []string{fmt.Sprintf("checkpoint %d is corrupt", idOf(all[len(all)-1])), "-s <path>", "--fresh", "Nothing was changed"} {
		if !strings.Contains(log, want) {
			t.Errorf("the log does not say %q:\n%s", want, log)
		}
	}
	if after := tree(t, dir); after != before {
		t.Errorf("the refused start has changed files:\n%s\nbefore:\n%s", after, before)
	}
	finish(t, dir, "--fresh")
	if len(glob(filepath.Join(dir, "hourly", "_before-*", "part-*"))) == 0 {
		t.Error("the earlier output was not moved to _before-<time>")
	}
}

// tree lists all files below a folder with their sizes. Locks are left out, which say who held them last.
func tree(t *testing.T, dir string) string {
	t.Helper()
	list, err := crashtest.Tree(dir, func(name string) bool { return strings.Contains(name, "lock") })
	if err != nil {
		t.Fatal(err)
	}
	return list
}
