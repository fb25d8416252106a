package crashtest_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weirstream/weir/internal/crashtest"
)

// stopjob is testdata/stopjob, built once.
var stopjob = sync.OnceValues(func() (string, error) {
	path := filepath.Join(filepath.Dir(executable), "stopjob")
	build := exec.Command("go", append(buildArgs, "-o", path, "./testdata/stopjob")...)
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build testdata/stopjob: %w\n%s", err, out)
	}
	return path, nil
})

// numbers returns rows for stopjob, in order of time with some disorder.
func numbers(n int) []byte {
	random := rand.New(rand.NewPCG(7, 7))
	var b bytes.Buffer
	b.WriteString("Key,Value,Time\n")
	for i := range n {
		fmt.Fprintf(&b, "%d,%d,%d\n", random.IntN(300), random.IntN(1000), 1000*1000+i*3-random.IntN(900))
	}
	return b.Bytes()
}

// stopMoments are those of a stop with a savepoint at which something is half done.
var stopMoments = []string{
	"_savepoints/*",           // its directory is there
	"_savepoints/*/*-*",       // state is being written
	"_savepoints/*/_metadata", // it is complete: the line does not follow it yet, or the sinks have not committed
	"sums/part-*",             // the sinks commit, or one has
}

// TestKillsWhileStopping kills a job while it stops with a savepoint, above all between its completion and the commits, and while it goes on from
// one. In the end its rows are those of a run that nobody disturbed.
func TestKillsWhileStopping(t *testing.T) {
	t.Parallel()
	path, err := stopjob()
	if err != nil {
		t.Fatal(err)
	}
	rows, kills := 60_000, 24
	if few() {
		rows, kills = 20_000, 6
	}
	input := filepath.Join(t.TempDir(), "numbers.csv")
	writeInput(t, input, numbers(rows))
	run := func(dir string, args ...string) crashtest.Program {
		return crashtest.Program{Path: path, Args: append([]string{"--input", input, "--output", dir}, args...)}
	}
	undisturbed := t.TempDir()
	if code, log := run(undisturbed, "--p", "2").Run(t); code != 0 {
		t.Fatalf("the undisturbed run: %s", log)
	}
	want, err := crashtest.Rows(undisturbed)
	if err != nil || len(want) < rows {
		t.Fatalf("%d rows, %v", len(want), err)
	}

	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	dir := t.TempDir()
	killed, stopped, resumed := 0, 0, 0
	note := func(log string) {
		if strings.Contains(log, "the savepoint that the job had stopped with") {
			resumed++
		}
	}
	for i := range kills {
		p := run(dir, "--rate", "15000", "--p", strconv.Itoa(1+i%3), "--stop", fmt.Sprintf("%dms", 20+random.IntN(100))).Start(t)
		happens := appears(dir, stopMoments[random.IntN(len(stopMoments))], 1)
		if p.Until(happens) && sleep(p, random, 4*time.Millisecond) && p.Kill() {
			killed++
		} else if code := p.Wait(); code != 0 {
			t.Fatalf("run %d: exit code %d:\n%s", i, code, p.Log())
		} else {
			stopped++
		}
		note(p.Log())
	}
	code, log := run(dir, "--p", "2").Run(t)
	note(log)
	if code != 0 {
		t.Fatalf("the last run: %s", log)
	}
	t.Logf("killed %d, stopped %d; %d runs have gone on from a savepoint", killed, stopped, resumed)
	if killed == 0 || resumed == 0 && !few() {
		t.Error("nothing was shown")
	}
	got, err := crashtest.Rows(dir)
	if err != nil {
		t.Fatal(err)
	}
	if diff := crashtest.Diff(got, want); diff != "" {
		t.Errorf("the committed rows are not those of the undisturbed run: %s", diff)
	}
}
