package crashtest_test

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weirstream/weir/internal/cluster/cli"
	"github.com/weirstream/weir/internal/crashtest"
)

// chance returns a source of chance with a new seed, which the log of a failed test names.
func chance(t *testing.T) *rand.Rand {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// turns is how often something is done: less often where few says so.
func turns(n int) int {
	if few() {
		return (n + 2) / 3
	}
	return n
}

// rescaled returns the parallelism of the given run: 1, 3, 2 and again.
func rescaled(run int) string { return []string{"1", "3", "2"}[run%3] }

const completed = "_checkpoints/*/chk-*/_metadata"

// weir runs the command weir and returns what it printed.
func weir(t *testing.T, want cli.Code, args ...string) string {
	t.Helper()
	var out strings.Builder
	if code := cli.Run(context.Background(), args, cli.IO{Stdout: &out, Stderr: &out}); code != want {
		t.Errorf("weir %s: exit code %d, want %d:\n%s", strings.Join(args, " "), code, want, out.String())
	}
	return out.String()
}

// tidy lets weir delete what nobody needs in the checkpoint directory of a job that does not run. What is left is whole, and there is nothing more
// to delete. It returns how much there was.
func tidy(t *testing.T, dir string) (deleted int) {
	t.Helper()
	at := filepath.Join(dir, "_checkpoints")
	if _, err := os.Stat(at); err != nil {
		return 0 // killed before it was made
	}
	before := len(checkpointsIn(dir))
	deleted = strings.Count(weir(t, cli.Good, "gc", "--delete", at), "\n") - 1
	if after := len(checkpointsIn(dir)); after != before {
		t.Errorf("gc has deleted complete checkpoints: there were %d, there are %d", before, after)
	}
	if again := weir(t, cli.Good, "gc", at); !strings.Contains(again, "everything is needed") {
		t.Errorf("gc finds more after it has deleted all:\n%s", again)
	}
	if before > 0 {
		weir(t, cli.Good, "verify", at)
	}
	return deleted
}

// checkpointsIn returns the metadata of all complete checkpoints of a job, wherever its options let them be.
func checkpointsIn(dir string) []string {
	return append(glob(filepath.Join(dir, completed)), glob(filepath.Join(dir, "_checkpoints/chk-*/_metadata"))...)
}

// feature is an option, or something that the job is made to do, under which it is killed.
type feature struct {
	name string
	args []string // of all runs
	busy []string // of those that are killed
	// second are arguments of every second run.
	second []string
	// when is the file whose appearance is waited for before the kill: a complete checkpoint if it is empty.
	when string
	// says is what the log says when that has come to be. Every second run is killed only then.
	says string
	// repeats says that records may come twice. Those in a loop come very often then, so it is killed once.
	repeats bool
	// finished is a step of which all subtasks have finished in the newest checkpoint that a kill leaves, or empty.
	finished string
}

func option(key, value string) []string {
	return []string{"-D", "execution.checkpointing." + key + "=" + value}
}

// merged lets files be merged, with an option of that.
func merged(key, value string) []string {
	return slices.Concat(option("file-merging.enabled", "true"), option("file-merging."+key, value), option("data-inline-threshold", "0"))
}

var features = []feature{
	{name: "a branch that has finished", when: "few/part-*", finished: "few"},
	{name: "several checkpoints at once", args: append(option("max-concurrent-checkpoints", "3"), "--interval", "10ms")},
	{name: "at least once", args: option("mode", "AT_LEAST_ONCE"), repeats: true},
	{name: "without a folder for each job", args: option("create-subdir", "false"), when: "_checkpoints/chk-*/_metadata"},
	{name: "checkpoints by hand alone", args: []string{"--interval", "0"}, busy: []string{"--checkpoint-every", "40ms"}, says: "checkpoint done"},
	{name: "state in the metadata", args: option("storage", "jobmanager")},
	{name: "no state in the metadata", args: option("data-inline-threshold", "0")},
	{name: "merged files", args: merged("enabled", "true")},
	{name: "merged files across checkpoints", args: append(merged("across-checkpoint-boundary", "true"), option("max-concurrent-checkpoints", "2")...)},
	{name: "merged files that are waited for", args: merged("pool-blocking", "true"), busy: []string{"--rescale-every", "15ms"}},
	{name: "merged files now and then", args: option("data-inline-threshold", "0"), second: merged("max-file-size", "20kb"), busy: []string{"--fail-every", "1000"}},
	{name: "local copies", args: append(option("data-inline-threshold", "0"), "-D", "execution.state-recovery.from-local=true"), busy: []string{"--fail-every", "1000"}},
	{name: "local copies of a changelog", args: slices.Concat(option("data-inline-threshold", "0"), logged, []string{"-D", "execution.state-recovery.from-local=true"}),
		busy: []string{"--fail-every", "1000"}},
	{name: "savepoints", busy: []string{"--savepoint-every", "30ms"}, when: "_savepoints/*", says: "savepoint done"},
	{name: "rescaled while it runs", busy: []string{"--rescale-every", "10ms"}, says: "rescale done"},
	{name: "slices that fail", busy: []string{"--fail-every", "400"}, says: "a slice fails"},
	{name: "all at once", args: append(option("max-concurrent-checkpoints", "2"), option("data-inline-threshold", "0")...), says: "rescale done",
		busy: []string{"--savepoint-every", "50ms", "--checkpoint-every", "70ms", "--rescale-every", "30ms", "--fail-every", "1000"}},
}

// inRun returns the arguments of a run that is killed.
func (f feature) inRun(run int) []string {
	if run%2 == 1 {
		return slices.Concat(f.busy, f.second)
	}
	return slices.Clone(f.busy)
}

// TestKillsUnderEachFeature kills the job with every kind of state while it does what only some jobs do, at another parallelism each time. After
// each kill weir clears up. In the end the rows are those of a run that nobody disturbed.
func TestKillsUnderEachFeature(t *testing.T) {
	t.Parallel()
	for _, f := range features {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			random, dir := chance(t), t.TempDir()
			if f.when == "" {
				f.when = completed
			}
			kills, deleted, finished := turns(6), 0, false
			if f.repeats {
				kills = 1
			}
			for run := range kills {
				p := disturbed(dir, f.args...).Start(t, append(f.inRun(run), "--rate", "1000", "-p", rescaled(run))...)
				begun := appears(dir, f.when, 1)
				if f.says != "" && run%2 == 0 {
					begun = p.Says(f.says)
				}
				if !finished && !p.Until(begun) || !sleep(p, random, 250*time.Millisecond) || !p.Kill() {
					t.Fatalf("run %d has ended before it could be killed:\n%s", run, p.Log())
				}
				deleted += tidy(t, dir)
				finished = f.finished != "" && hasFinished(t, dir, f.finished)
			}
			if f.finished != "" && !finished && !few() { // few kills may all come too early
				t.Errorf("step %s has not finished", f.finished)
			}
			t.Logf("weir has deleted %d things", deleted)
			last := append(f.args, "-p", rescaled(random.IntN(3)))
			if f.repeats {
				finishRepeating(t, dir, last...)
			} else {
				finishEverything(t, dir, last...)
			}
			tidy(t, dir)
		})
	}
}

// told is what weir inspect tells of a snapshot, as far as tests ask.
type told struct {
	Checkpoint int
	Steps      []struct {
		Name          string
		FullyFinished bool
	}
}

func inspected(t *testing.T, path string) (s told) {
	t.Helper()
	if err := json.Unmarshal([]byte(weir(t, cli.Good, "inspect", "--json", path)), &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// hasFinished reports whether the newest checkpoint of a job knows a step as finished.
func hasFinished(t *testing.T, dir, step string) bool {
	t.Helper()
	all := checkpoints(dir)
	if len(all) == 0 {
		return false
	}
	for _, s := range inspected(t, all[len(all)-1]).Steps {
		if s.Name == step {
			return s.FullyFinished
		}
	}
	return false
}

// finishRepeating runs the job to its end and looks whether anything is missing. What is computed of records that come twice may differ.
func finishRepeating(t *testing.T, dir string, args ...string) {
	t.Helper()
	if code, log := disturbed(dir).Run(t, args...); code != 0 {
		t.Fatalf("the last run: exit code %d, want 0:\n%s", code, log)
	}
	want, err := everythingRows()
	if err != nil {
		t.Fatal(err)
	}
	got, err := crashtest.Rows(dir)
	if err != nil {
		t.Fatal(err)
	}
	if missing := crashtest.Without(subjects(want), subjects(got)); len(missing) > 0 {
		t.Errorf("%d rows are missing, such as %s", len(missing), missing[0])
	}
}

// subjects returns what rows are about, each once: the columns that do not depend on how often records come.
func subjects(rows []string) []string {
	columns := map[string]int{"walks": 1, "tables": 1} // otherwise two, which are all columns of the events
	var about []string
	for _, r := range rows {
		folder, row, _ := strings.Cut(r, ": ")
		n := columns[folder]
		if n == 0 {
			n = 2
		}
		about = append(about, folder+": "+strings.Join(strings.Split(row, ",")[:n], ","))
	}
	slices.Sort(about)
	return slices.Compact(about)
}
