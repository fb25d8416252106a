package crashtest_test

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// backends are the state backends, by the names that the option knows.
var backends = []string{"hashmap", "pebble"}

// ways are switches that decide how state is kept and where its bytes go. None may change what a job commits.
var ways = []struct {
	name string
	args []string
}{
	{"incremental", option("incremental", "true")},
	{"merged files", merged("across-checkpoint-boundary", "true")},
	copied: {"local copies", []string{"-D", "execution.state-recovery.from-local=true"}},
}

// copied is where the local copies are among the ways.
const copied = 2

// logged switches a changelog on, of which the whole state is written so often that kills come before it, after it and meanwhile.
var logged = []string{
	"-D", "state.changelog.enabled=true", "-D", "state.changelog.storage=filesystem", "-D", "state.changelog.periodic-materialize.interval=70ms",
}

// TestMatrix shows that each backend comes through kills, a restart at the same parallelism, a restart at another, and the change to the other
// backend by way of a canonical savepoint, with each combination of what else there is to choose: the committed rows are those of a run that nobody
// disturbs. Few of the combinations run where time is short, but every pair of choices is among them.
func TestMatrix(t *testing.T) {
	t.Parallel()
	for choice := range 1 << len(ways) {
		for i := range backends {
			if few() && !amongFew(choice, i) {
				continue
			}
			name, args := backends[i], []string{"-D", "state.backend.type=" + backends[i]}
			for w, way := range ways {
				if choice>>w&1 == 1 {
					name += "+" + way.name
					args = append(args, way.args...)
				}
			}
			t.Run(strings.ReplaceAll(name, " ", "-"), func(t *testing.T) {
				t.Parallel()
				throughEverything(t, slices.Concat(option("data-inline-threshold", "0"), args), backends[1-i])
			})
		}
	}
	// With a changelog: each backend with all of the others or with none, so that the whole takes a quarter longer and not twice as long.
	for i := range backends {
		for _, all := range []bool{false, true} {
			name, args := backends[i]+"+changelog", append([]string{"-D", "state.backend.type=" + backends[i]}, logged...)
			for _, way := range ways {
				if all {
					name += "+" + way.name
					args = append(args, way.args...)
				}
			}
			if few() && all != (i == 0) {
				continue
			}
			t.Run(strings.ReplaceAll(name, " ", "-"), func(t *testing.T) {
				t.Parallel()
				throughEverything(t, slices.Concat(option("data-inline-threshold", "0"), args), backends[1-i])
			})
		}
	}
}

// amongFew picks the combinations of an even number of choices: those have every pair of two choices.
func amongFew(choice, backend int) bool {
	on := backend
	for w := range ways {
		on += choice >> w & 1
	}
	return on%2 == 0
}

// throughEverything kills a job twice at one parallelism and once at another, stops it with a savepoint, and lets it finish on another backend. If it
// has local copies the second run reads all keyed state from them, and none are left in the end.
func throughEverything(t *testing.T, args []string, other string) {
	random, dir, working := chance(t), t.TempDir(), t.TempDir()
	args = append(args, "-D", "process.taskmanager.working-dir="+working)
	job := disturbed(dir, args...)
	for run, p := range []string{"1", "1", "3"} {
		running := job.Start(t, "--rate", "1000", "-p", p)
		if !running.Until(appears(dir, completed, 1)) || !sleep(running, random, 200*time.Millisecond) || !running.Kill() {
			t.Fatalf("run %d has ended before it could be killed:\n%s", run, running.Log())
		}
		tidy(t, dir)
		if run == 1 && slices.Contains(args, ways[copied].args[1]) {
			readsCopies(t, running.Log())
		}
	}
	if code, log := job.Run(t, "--rate", "1000", "-p", "2", "--end", "stop", "--end-after", "100ms"); code != 0 {
		t.Fatalf("the run that is stopped: exit code %d, want 0:\n%s", code, log)
	}
	finishEverything(t, dir, slices.Concat(args, []string{"-p", fmt.Sprint(1 + random.IntN(3)), "-D", "state.backend.type=" + other})...)
	tidy(t, dir)
	if left := glob(filepath.Join(working, "localState", "*")); len(left) > 0 {
		t.Errorf("local copies are left: %q", left)
	}
}

var fromCopies = regexp.MustCompile(`(\d+) of (\d+) files and segments with keyed state are read from local copies`)

// readsCopies checks what the log of a process says that has started again where it was killed: that all keyed state was read from local copies.
func readsCopies(t *testing.T, log string) {
	t.Helper()
	found := fromCopies.FindStringSubmatch(log)
	if found == nil || found[1] != found[2] || found[1] == "0" || strings.Contains(log, "a copy of state is not used") {
		t.Errorf("the log does not say that all keyed state is read from local copies:\n%s", log)
	}
}
