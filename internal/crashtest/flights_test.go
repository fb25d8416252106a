package crashtest_test

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	_ "github.com/weirstream/weir"
	_ "github.com/weirstream/weir/connector/file"
	"github.com/weirstream/weir/internal/crashtest"
)

// executable is examples/flights, and everything the job with every kind of state, built once.
var executable, everything string

func TestMain(m *testing.M) { os.Exit(runTests(m)) }

func runTests(m *testing.M) int {
	dir, err := os.MkdirTemp("", "crashtest")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	executable, everything = filepath.Join(dir, "flights"), filepath.Join(dir, "everything")
	if err := watchSources(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	build := exec.Command("go", append(buildArgs, "-o", dir, "github.com/weirstream/weir/examples/flights",
		"github.com/weirstream/weir/internal/crashtest/everything")...)
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the jobs: %v\n%s", err, out)
		return 1
	}
	// Most of the time the tests wait for a process that is held to a rate.
	if err := flag.Set("test.parallel", strconv.Itoa(2*runtime.GOMAXPROCS(0))); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run() // which reads the command line, where another number may be
}

// few reports whether a test should take fewer turns: in a hurry, and with the race detector, which slows the program down and looks for other
// things than the many turns do.
func few() bool { return testing.Short() || raced }

// watchSources looks at the files that the program is built of, so that the go tool does not take a cached result when one of them changes. It
// sees by itself what the test imports, which is the engine.
func watchSources() error {
	for _, name := range append(glob("../../examples/flights/*"), glob("everything/*")...) {
		if _, err := os.Stat(name); err != nil {
			return err
		}
	}
	return nil
}

// flights is the job, writing to a folder of the test, with checkpoints every 50 ms.
func flights(dir string, args ...string) crashtest.Program {
	common := []string{"--output", dir, "-D", "execution.checkpointing.interval=50ms"}
	return crashtest.Program{Path: executable, Args: append(common, args...)}
}

// undisturbed returns the rows of a run over the sample that nobody disturbs.
var undisturbed = sync.OnceValues(func() ([]string, error) {
	dir, err := os.MkdirTemp("", "crashtest")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	out, err := exec.Command(executable, "--output", dir, "--rate", "0").CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("the undisturbed run: %w\n%s", err, out)
	}
	return crashtest.Rows(dir)
})

// checkRows compares what was committed below a folder with the rows of the undisturbed run.
func checkRows(t *testing.T, dir string) {
	t.Helper()
	want, err := undisturbed()
	if err != nil {
		t.Fatal(err)
	}
	got, err := crashtest.Rows(dir)
	if err != nil {
		t.Fatal(err)
	}
	if diff := crashtest.Diff(got, want); diff != "" {
		t.Errorf("the committed rows are not those of the undisturbed run: %s", diff)
	}
}

// finish runs the job to its end, as fast as it can, compares its rows, and checks that no file of a killed process has stayed.
func finish(t *testing.T, dir string, args ...string) {
	t.Helper()
	code, log := flights(dir, "--rate", "0").Run(t, args...)
	if code != 0 {
		t.Fatalf("the last run: exit code %d, want 0:\n%s", code, log)
	}
	checkRows(t, dir)
	if left := glob(filepath.Join(dir, "*", ".part-*")); len(left) > 0 {
		t.Errorf("files that are not committed are left: %v", left)
	}
}

// checkpoints returns the directories of the complete checkpoints below an output folder, in order of their ids.
func checkpoints(dir string) []string {
	found := glob(filepath.Join(dir, "_checkpoints", "*", "chk-*", "_metadata"))
	for i := range found {
		found[i] = filepath.Dir(found[i])
	}
	slices.SortFunc(found, func(a, b string) int { return idOf(a) - idOf(b) })
	return found
}

// idOf returns the id of the checkpoint in a directory.
func idOf(checkpoint string) int {
	id, err := strconv.Atoi(strings.TrimPrefix(filepath.Base(checkpoint), "chk-"))
	if err != nil {
		panic(err) // the caller has found it by its name
	}
	return id
}

func glob(pattern string) []string {
	found, err := filepath.Glob(pattern)
	if err != nil {
		panic(err) // the pattern is a constant of this package
	}
	return found
}
