package crashtest_test

import (
	"bytes"
	"math/rand/v2"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/weirstream/weir/internal/crashtest"
)

// moment is when a process is killed.
type moment struct {
	name string
	wait func(p *crashtest.Process, dir string, random *rand.Rand) bool
}

// moments are those at which something is half done. The delays behind them are shorter than what follows, or cover all of it.
var moments = []moment{
	{"any", func(p *crashtest.Process, _ string, random *rand.Rand) bool {
		return sleep(p, random, 300*time.Millisecond)
	}},
	{"at the start", func(p *crashtest.Process, _ string, random *rand.Rand) bool {
		return p.Until(p.Says("in process")) && sleep(p, random, 3*time.Millisecond)
	}},
	{"while restoring", func(p *crashtest.Process, _ string, random *rand.Rand) bool {
		return p.Until(p.Says("sinks")) && sleep(p, random, 8*time.Millisecond)
	}},
	{"while a checkpoint is being written", func(p *crashtest.Process, dir string, random *rand.Rand) bool {
		return p.Until(appears(dir, "_checkpoints/*/chk-*", 2)) && sleep(p, random, 20*time.Millisecond)
	}},
	{"between complete and commit", func(p *crashtest.Process, dir string, random *rand.Rand) bool {
		return p.Until(appears(dir, "_checkpoints/*/chk-*/_metadata", 1+random.IntN(4)))
	}},
	{"while the sinks commit", func(p *crashtest.Process, dir string, random *rand.Rand) bool {
		return p.Until(appears(dir, "hourly/part-*", 1+random.IntN(3)))
	}},
}

func sleep(p *crashtest.Process, random *rand.Rand, most time.Duration) bool {
	end := time.Now().Add(time.Duration(random.Int64N(int64(most))))
	return p.Until(func() bool { return time.Now().After(end) })
}

// appears returns a condition that holds once n files have appeared that were not there at its first look. They may be gone again.
func appears(dir, pattern string, n int) func() bool {
	var known map[string]bool
	before := 0
	return func() bool {
		first := known == nil
		if first {
			known = map[string]bool{}
		}
		for _, name := range glob(filepath.Join(dir, pattern)) {
			known[name] = true
		}
		if first {
			before = len(known)
		}
		return len(known)-before >= n
	}
}

// TestKills kills the job at random moments, lets it finish, and compares the rows with those of a run that nobody disturbed.
func TestKills(t *testing.T) {
	kills := 30
	if few() {
		kills = 8
	}
	killAndCompare(t, kills, func(*rand.Rand) string { return "2" })
}

// TestKillsAtOtherParallelism does the same while each run has another parallelism than the one before.
func TestKillsAtOtherParallelism(t *testing.T) {
	kills := 12
	if few() {
		kills = 3
	}
	order := []string{"1", "3", "2"}
	i := 0
	killAndCompare(t, kills, func(*rand.Rand) string {
		i++
		return order[i%len(order)]
	})
}

func killAndCompare(t *testing.T, kills int, parallelism func(*rand.Rand) string) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	dir := t.TempDir()
	counts := map[string]int{}
	resumed, all, first := 0, kills, random.IntN(len(moments))
	for run := 0; kills > 0; run++ {
		m := moments[(first+run)%len(moments)]
		p := flights(dir, "--rate", "10000").Start(t, "-p", parallelism(random))
		if !m.wait(p, dir, random) || !p.Kill() {
			if code := p.Wait(); code != 0 || kills == all {
				t.Fatalf("run %d has ended before it could be killed (%s):\n%s", run, m.name, p.Log())
			}
			checkRows(t, dir) // it was slow to be killed, and has come to the end: another one takes the other kills
			dir = t.TempDir()
			continue
		}
		kills--
		counts[m.name]++
		if strings.Contains(p.Log(), "resumed from checkpoint") {
			resumed++
		}
	}
	t.Logf("killed %v; %d of the runs had resumed", counts, resumed)
	if resumed == 0 && all > len(moments) {
		t.Error("no run has resumed from a checkpoint")
	}
	finish(t, dir, "-p", parallelism(random))
}

// TestKillsAtTheEnd kills short jobs: between the end of the data and the last checkpoint, while that one's output is committed, before the end
// is remembered, while checkpoints are deleted. A job that has said that it finished says so again.
func TestKillsAtTheEnd(t *testing.T) {
	t.Parallel()
	text, _ := input(0)
	text = text[:bytes.LastIndexByte(text[:len(text)/8], '\n')+1]
	want := expected(t, "flights.csv", text)
	path := filepath.Join(t.TempDir(), "flights.csv")
	writeInput(t, path, text)
	jobs := 12
	if few() {
		jobs = 2
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	total := 0
	for i := range jobs {
		dir := t.TempDir()
		p := flights(dir, "--rate", "0", "--input", path, "-p", strconv.Itoa(1+i%2))
		killed := 0
		for killed < 4 {
			r := p.Start(t)
			if end := endings[random.IntN(len(endings))]; !r.Until(appears(dir, end, 1)) || !sleep(r, random, 5*time.Millisecond) || !r.Kill() {
				break
			}
			killed++
		}
		total += killed
		code, log := p.Run(t)
		if code != 0 {
			t.Fatalf("after %d kills: exit code %d:\n%s", killed, code, log)
		}
		checkRun(t, p, 0, "finished already")
		checkAll(t, dir, want)
	}
	t.Logf("%d runs were killed", total)
}

// endings are the files whose appearance begins a part of the end.
var endings = []string{
	"hourly/.part-*",
	"_checkpoints/*/chk-*/*",
	"_checkpoints/*/chk-*/_metadata",
	"hourly/part-*",
	"routes/part-*",
	"streaks/part-*",
}
