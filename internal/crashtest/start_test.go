package crashtest_test

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/weirstream/weir/internal/crashtest"
)

// checkRun runs the job, and checks the exit code and that it says all that is wanted. It returns what it wrote.
func checkRun(t *testing.T, p crashtest.Program, code int, says ...string) string {
	t.Helper()
	got, log := p.Run(t)
	if got != code {
		t.Errorf("exit code %d, want %d:\n%s", got, code, log)
	}
	checkSays(t, log, says...)
	return log
}

func checkSays(t *testing.T, log string, says ...string) {
	t.Helper()
	for _, want := range says {
		if !strings.Contains(log, want) {
			t.Errorf("the job does not say %q:\n%s", want, log)
		}
	}
}

// checkRefused runs the job, which must not start and must not change anything below a folder.
func checkRefused(t *testing.T, dir string, p crashtest.Program, code int, says ...string) {
	t.Helper()
	before := tree(t, dir)
	checkRun(t, p, code, says...)
	if after := tree(t, dir); after != before {
		t.Errorf("the refused start has changed files:\n%s\nbefore:\n%s", after, before)
	}
}

// suspended starts the job, lets it take some checkpoints and stops it by a signal.
func suspended(t *testing.T, dir string, args ...string) {
	t.Helper()
	p := flights(dir, "--rate", "10000").Start(t, args...)
	if !p.Until(appears(dir, "hourly/part-*", 2)) {
		t.Fatalf("the job has ended too early:\n%s", p.Log())
	}
	p.Signal(syscall.SIGTERM)
	if code := p.Wait(); code != 5 {
		t.Fatalf("exit code %d after SIGTERM, want 5:\n%s", code, p.Log())
	}
}

// TestPid: the first line names the process, which is what a user kills.
func TestPid(t *testing.T) {
	t.Parallel()
	p := flights(t.TempDir(), "--rate", "0").Start(t)
	if code := p.Wait(); code != 0 {
		t.Fatalf("exit code %d:\n%s", code, p.Log())
	}
	first, _, _ := strings.Cut(p.Log(), "\n")
	if !slices.Contains(strings.FieldsFunc(first, func(r rune) bool { return r < '0' || r > '9' }), strconv.Itoa(p.Pid())) {
		t.Errorf("the first line is %q and does not name process %d", first, p.Pid())
	}
}

// TestUsage: what is wrong with the command is said before anything is made, with the nearest name.
func TestUsage(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name string
		args []string
		says []string
	}{
		{"flag", []string{"--inptu", "x"}, []string{"-inptu", "did you mean -input?"}},
		{"option", []string{"-D", "execution.checkpointing.intervall=5s"}, []string{"execution.checkpointing.intervall", "5s", "-D", "did you mean execution.checkpointing.interval?"}},
		{"option's value", []string{"-D", "execution.checkpointing.timeout=soon"}, []string{"execution.checkpointing.timeout", "soon", "-D"}},
		{"backend", []string{"-D", "state.backend=rocksdb"}, []string{"state.backend", "rocksdb", "import _ \"github.com/weirstream/weir/state/pebble\""}},
		{"number", []string{"--rate", "fast"}, []string{"-rate", "fast", "number"}},
		{"rate", []string{"--rate", "-1"}, []string{"Rate(-1)"}},
		{"missing file", []string{"--input", "no-such.csv"}, []string{"-input", "no-such.csv"}},
		{"argument", []string{"flights.csv"}, []string{"flights.csv"}},
		{"value", []string{"-p"}, []string{"-p"}},
		{"rewind alone", []string{"--rewind"}, []string{"--rewind", "-s"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "out")
			checkRun(t, crashtest.Program{Path: executable, Args: append([]string{"--output", dir}, c.args...)}, 2, c.says...)
			if len(glob(filepath.Join(dir, "*", "*", "*"))) > 0 {
				t.Errorf("a command that is wrong has made %v", glob(filepath.Join(dir, "*", "*", "*")))
			}
		})
	}
}

// TestSecondProcess: while a job runs, the same command is refused and says who has it; the first one is not disturbed.
func TestSecondProcess(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := flights(dir, "--rate", "10000").Start(t)
	first.Until(appears(dir, "_checkpoints/*/chk-*/_metadata", 1))
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	checkRun(t, flights(dir), 4, "running already", "process "+strconv.Itoa(first.Pid()), host, "since "+time.Now().UTC().Format("2006-"))
	if !first.Kill() {
		t.Fatalf("the first process has ended:\n%s", first.Log())
	}
	finish(t, dir)
}

// TestFinished: after the end the same command says when and where, and does nothing. --fresh runs again and moves the earlier output aside.
func TestFinished(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	finish(t, dir)
	if left := checkpoints(dir); len(left) > 0 {
		t.Errorf("a finished job has left checkpoints: %v", left)
	}
	checkRefused(t, dir, flights(dir), 0, "finished already", time.Now().UTC().Format(time.DateOnly), filepath.Join(dir, "hourly"), "--fresh")
	earlier := len(glob(filepath.Join(dir, "hourly", "part-*")))
	code, log := flights(dir, "--rate", "0").Run(t, "--fresh")
	if code != 0 {
		t.Fatalf("--fresh: exit code %d:\n%s", code, log)
	}
	checkSays(t, log, "fresh start", "_before-")
	if moved := len(glob(filepath.Join(dir, "hourly", "_before-*", "part-*"))); moved != earlier {
		t.Errorf("%d files were moved aside, there were %d", moved, earlier)
	}
	checkRows(t, dir)
}

// TestFreshKeepsCheckpoints: --fresh over a job that was stopped keeps its checkpoints, and -s can still name them.
func TestFreshKeepsCheckpoints(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	suspended(t, dir)
	before := checkpoints(dir)
	code, log := flights(dir, "--rate", "0").Run(t, "--fresh")
	if code != 0 {
		t.Fatalf("--fresh: exit code %d:\n%s", code, log)
	}
	checkRows(t, dir)
	for _, c := range before {
		if _, err := os.Stat(c); err != nil {
			t.Errorf("--fresh has deleted an earlier checkpoint: %v", err)
		}
	}
}

// TestOtherPlaces: an existing job goes on neither with another input nor with another output, and says both values.
func TestOtherPlaces(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	suspended(t, dir)
	input := filepath.Join(t.TempDir(), "other.csv")
	if err := os.WriteFile(input, []byte("date,origin,destination,distance,delay\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	checkRefused(t, dir, flights(dir, "--input", input), 3, "source flights", "sample:flights-200k.csv.gz", input, "--fresh", "Nothing was changed")
	other := filepath.Join(t.TempDir(), "elsewhere")
	p := flights(other, "-D", "execution.checkpointing.dir="+filepath.Join(dir, "_checkpoints"))
	checkRefused(t, dir, p, 3, "sink hourly", filepath.Join(dir, "hourly"), filepath.Join(other, "hourly"))
	finish(t, dir)
}

// TestOutputOfAnother: a job does not write where another one has written.
func TestOutputOfAnother(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	suspended(t, dir)
	own := filepath.Join(t.TempDir(), "checkpoints")
	checkRefused(t, dir, flights(dir, "-D", "execution.checkpointing.dir="+own), 3, filepath.Join(dir, "hourly"), "belongs to job")
	finish(t, dir)
}

// TestSignals: one signal stops the job with a checkpoint, whose output is committed; two end it at once. Both can go on.
func TestSignals(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	suspended(t, dir)
	newest := checkpoints(dir)
	p := flights(dir, "--rate", "10000").Start(t)
	p.Until(p.Says("resumed from checkpoint " + strconv.Itoa(idOf(newest[len(newest)-1]))))
	p.Until(appears(dir, "_checkpoints/*/chk-*/_metadata", 1))
	p.Signal(syscall.SIGTERM)
	p.Signal(os.Interrupt)
	if code := p.Wait(); code != 130 && code != 5 { // 5 if the checkpoint was complete between the two
		t.Errorf("exit code %d after two signals, want 130:\n%s", code, p.Log())
	}
	finish(t, dir)
}

// TestNamedSnapshot: -s goes back to a checkpoint named by its folder or its metadata, and takes back what was committed since. The same
// command again goes on from the newest; --rewind goes back once more.
func TestNamedSnapshot(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	suspended(t, dir)
	all := checkpoints(dir)
	if len(all) < 2 {
		t.Fatalf("%d checkpoints, want more", len(all))
	}
	from, id := all[0], strconv.Itoa(idOf(all[0]))
	log := killAfter(t, dir, 2, "-s", from)
	checkSays(t, log, "resumed from checkpoint "+id+" ")
	if len(glob(filepath.Join(dir, "hourly", "_withdrawn-*", "part-*"))) == 0 {
		t.Errorf("nothing was withdrawn:\n%s", log)
	}
	log = killAfter(t, dir, 2, "-s", filepath.Join(from, "_metadata"))
	checkSays(t, log, "was restored already", "--rewind")
	if strings.Contains(log, "resumed from checkpoint "+id+" ") {
		t.Errorf("the repeated command went back again:\n%s", log)
	}
	log = killAfter(t, dir, 2, "-s", from, "--rewind")
	checkSays(t, log, "resumed from checkpoint "+id+" ")
	finish(t, dir)
	if _, err := os.Stat(from); err != nil {
		t.Errorf("a checkpoint that was named with -s is gone: %v", err)
	}
}

// TestDamagedSnapshot: a snapshot that the user has named is never replaced by another.
func TestDamagedSnapshot(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	suspended(t, dir)
	all := checkpoints(dir)
	change(t, filepath.Join(all[1], "_metadata"), flip)
	checkRefused(t, dir, flights(dir, "-s", all[1]), 3, all[1], "-s "+all[0], "--fresh", "Nothing was changed")
	checkRefused(t, dir, flights(dir, "-s", filepath.Join(dir, "nowhere")), 3, filepath.Join(dir, "nowhere"))
	finish(t, dir)
}
