package crashtest_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/weirstream/weir/internal/crashtest"
)

// ending makes the job with every kind of state end in some way after a while, and kills it while it does, or before, or not at all. It returns
// the exit code and what the process wrote.
func ending(t *testing.T, dir string, random *rand.Rand, end string, args ...string) (code int, log string) {
	t.Helper()
	after := fmt.Sprintf("%dms", random.IntN(250))
	p := disturbed(dir).Start(t, append(args, "--rate", "1000", "--end", end, "--end-after", after)...)
	patterns := []string{"_savepoints/*", "_savepoints/*/*-*", "_savepoints/*/_metadata", "held/part-*"}
	if i := random.IntN(len(patterns) + 2); i < len(patterns) {
		if p.Until(appears(dir, patterns[i], 1)) && sleep(p, random, 6*time.Millisecond) && p.Kill() {
			return killed, p.Log()
		}
	}
	return p.Wait(), p.Log()
}

// killed is the exit code of a process that was killed.
const killed = -1

// TestKillsWhileStoppingEverything kills the job with every kind of state while it stops with a savepoint, and lets the same command go on from
// those that it has stopped with, at another parallelism.
func TestKillsWhileStoppingEverything(t *testing.T) {
	t.Parallel()
	random, dir := chance(t), t.TempDir()
	runs, stopped := turns(9), 0
	for run := range runs {
		switch code, log := ending(t, dir, random, "stop", "-p", rescaled(run)); code {
		case 0:
			stopped++
		case killed:
		default:
			t.Fatalf("run %d: exit code %d:\n%s", run, code, log)
		}
		tidy(t, dir)
	}
	t.Logf("stopped %d times, killed %d times", stopped, runs-stopped)
	finishEverything(t, dir, "-p", rescaled(random.IntN(3)))
	tidy(t, dir)
}

// TestKillsWhileCancelling kills the job while it is cancelled with a savepoint. The same command refuses to go on with a job that was cancelled; named
// with -s, the savepoint holds all that was not committed.
func TestKillsWhileCancelling(t *testing.T) {
	t.Parallel()
	random, dir := chance(t), t.TempDir()
	canceled, kills := 0, 0
	var from []string
	for run := range turns(9) {
		code, log := ending(t, dir, random, "cancel-with-savepoint", append(from, "-p", rescaled(run))...)
		switch {
		case code == 0:
			canceled++
			checkRun(t, disturbed(dir, from...), 1, "was cancelled", "-s", "Nothing was changed")
		case code == killed:
			kills++
		case code == 1 && strings.Contains(log, "was cancelled"): // it was when the last process was killed
		default:
			t.Fatalf("run %d: exit code %d:\n%s", run, code, log)
		}
		if code != killed {
			path, _ := newestSavepoint(t, dir)
			from = []string{"-s", path}
		}
		tidy(t, dir)
	}
	t.Logf("cancelled %d times, killed %d times", canceled, kills)
	if code, log := disturbed(dir, from...).Run(t); code == 1 && strings.Contains(log, "was cancelled") { // just before the last kill
		path, _ := newestSavepoint(t, dir)
		from = []string{"-s", path}
	}
	finishEverything(t, dir, append(from, "-p", rescaled(random.IntN(3)))...)
	tidy(t, dir)
}

// TestKillsWhileDraining kills the job while it drains. Once it has drained, the same command says that it has finished, and all its outputs are those of the
// events that it has read: none is in one and not in another.
func TestKillsWhileDraining(t *testing.T) {
	t.Parallel()
	random := chance(t)
	kills := 0
	for range turns(6) {
		dir := t.TempDir()
		for run := 0; ; run++ {
			code, log := ending(t, dir, random, "drain", "-p", rescaled(run))
			tidy(t, dir)
			if code == 0 && strings.Contains(log, "FINISHED") {
				break
			}
			if code != killed {
				t.Fatalf("run %d: exit code %d:\n%s", run, code, log)
			}
			kills++
		}
		checkRun(t, disturbed(dir), 0, "ALREADY FINISHED")
		checkDrained(t, dir)
		checkNothingLeft(t, dir)
	}
	t.Logf("killed %d times", kills)
}

// checkDrained compares the outputs of a job with each other.
func checkDrained(t *testing.T, dir string) {
	t.Helper()
	rows, err := crashtest.Rows(dir)
	if err != nil {
		t.Fatal(err)
	}
	undisturbed, err := everythingRows()
	if err != nil {
		t.Fatal(err)
	}
	marks := of(rows, "marks")
	few := of(rows, "few")
	both := append(slices.Clone(marks), few...)
	slices.Sort(both)
	if diff := crashtest.Diff(of(rows, "held"), both); diff != "" {
		t.Errorf("held is not marks and few together: %s", diff)
	}
	for _, folder := range []string{"marks", "few", "sliced", "walks"} {
		if unknown := crashtest.Without(of(rows, folder), of(undisturbed, folder)); len(unknown) > 0 {
			t.Errorf("%s has %d rows that the undisturbed run has not, such as %s", folder, len(unknown), unknown[0])
		}
	}
	for _, sum := range []struct {
		folder string
		column int
		want   int
	}{{"buckets", 2, len(marks)}, {"windows", 2, len(marks)}, {"tables", 1, len(marks)}, {"windows", 3, total(t, marks, 0)}, {"tables", 2, total(t, marks, 0)}} {
		if got := total(t, of(rows, sum.folder), sum.column); got != sum.want {
			t.Errorf("column %d of %s sums up to %d, want %d", sum.column, sum.folder, got, sum.want)
		}
	}
	starts := slices.DeleteFunc(marks, func(row string) bool { return number(t, row, 0)%100 != 0 })
	if walks := of(rows, "walks"); len(walks) != len(starts) {
		t.Errorf("%d walks have ended, %d began", len(walks), len(starts))
	}
}

// checkNothingLeft starts another line from the savepoint of a job that has drained: all its steps have finished, and write nothing more.
func checkNothingLeft(t *testing.T, dir string) {
	t.Helper()
	path, _ := newestSavepoint(t, dir)
	elsewhere := t.TempDir()
	checkRun(t, disturbed(elsewhere, "-s", path), 0, "status=FINISHED")
	rows, err := crashtest.Rows(elsewhere)
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) > 0 {
		t.Errorf("%d rows after the end, such as %s", len(rows), rows[0])
	}
}

// of returns the rows of a folder, without its name.
func of(rows []string, folder string) (some []string) {
	for _, r := range rows {
		if row, ok := strings.CutPrefix(r, folder+": "); ok {
			some = append(some, row)
		}
	}
	return some
}

func number(t *testing.T, row string, column int) int {
	t.Helper()
	n, err := strconv.Atoi(strings.Split(row, ",")[column])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func total(t *testing.T, rows []string, column int) (sum int) {
	t.Helper()
	for _, row := range rows {
		sum += number(t, row, column)
	}
	return sum
}

// keeps says of each retention for which ends a job keeps its checkpoints.
var keeps = map[string][]string{
	"NO_EXTERNALIZED_CHECKPOINTS": {},
	"DELETE_ON_CANCELLATION":      {"FAILED"},
	"RETAIN_ON_CANCELLATION":      {"FAILED", "CANCELED"},
}

// TestRetention kills a job, lets it end in each way under each retention, and looks on the disk what is left of its checkpoints. Where some are
// left the job goes on from them and finishes.
func TestRetention(t *testing.T) {
	t.Parallel()
	ends := []struct {
		status string
		code   int
		args   []string
	}{
		{"FINISHED", 0, nil},
		{"FAILED", 1, []string{"--rate", "6000", "--fail-at", "5000"}},
		{"CANCELED", 0, []string{"--rate", "1000", "--end", "cancel", "--end-after", "300ms"}},
	}
	for retention, kept := range keeps {
		for _, end := range ends {
			t.Run(retention+" "+end.status, func(t *testing.T) {
				t.Parallel()
				random, dir := chance(t), t.TempDir()
				args := option("externalized-checkpoint-retention", retention)
				p := disturbed(dir, args...).Start(t, "--rate", "1000")
				if !p.Until(appears(dir, completed, 1)) || !sleep(p, random, 100*time.Millisecond) || !p.Kill() {
					t.Fatalf("the job has ended before it could be killed:\n%s", p.Log())
				}
				checkRun(t, disturbed(dir, append(args, end.args...)...), end.code, "status="+end.status)
				checkKept(t, dir, end.status, slices.Contains(kept, end.status), args)
			})
		}
	}
}

// checkKept looks what is left of a job that has ended, and what the same command does now.
func checkKept(t *testing.T, dir, status string, kept bool, args []string) {
	t.Helper()
	tidy(t, dir)
	left := checkpoints(dir)
	if len(left) > 0 != kept {
		t.Errorf("checkpoints are left: %v, want that to be %v", left, kept)
	}
	switch {
	case status == "FINISHED":
		checkRun(t, disturbed(dir, args...), 0, "finished already")
	case len(left) == 0:
		checkRun(t, disturbed(dir, args...), 1, "-s <path>", "Nothing was changed")
		return
	case status == "CANCELED":
		checkRun(t, disturbed(dir, args...), 1, "-s "+left[len(left)-1], "Nothing was changed")
		args = append(args, "-s", left[len(left)-1])
	}
	finishEverything(t, dir, args...)
}
