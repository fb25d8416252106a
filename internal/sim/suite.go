package sim

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The flags of a test binary that plays jobs in worlds.
var (
	seedFlag  = flag.Int64("weir.seed", -1, "play this seed alone, or with -weir.seeds from this seed on")
	seedsFlag = flag.Int("weir.seeds", 0, "play so many seeds in each test; 0 means as many as the test says")
	stepFlag  = flag.Int("weir.step", 0, "let the machine go down after this step that changes something lasting")
)

// Wanted is what the flags ask for.
type Wanted struct {
	Seed   uint64
	One    bool // only Seed, and none of those that failed
	Seeds  int  // 0: as the test says
	Crash  int  // after this step, 0 for none
	Chosen bool // Seed was given
}

// Flags returns what was asked for on the command line.
func Flags() Wanted {
	w := Wanted{Seeds: *seedsFlag, Crash: *stepFlag}
	if *seedFlag >= 0 {
		w.Seed, w.Chosen, w.One = uint64(*seedFlag), true, *seedsFlag == 0
	}
	return w
}

// Twice plays decisions two times and reports the first run, which has failed too if the other one was not the same.
func Twice(d Decisions, play func(Decisions) Report) Report {
	r := play(d)
	if r.Err != nil {
		return r
	}
	if again := play(d); again.Trace != r.Trace {
		r.Err = fmt.Errorf("two runs under the same decisions differ (%d turns and %d): something takes time or chance from elsewhere than its context, or depends on the order of a map", r.Turns, again.Turns)
		r.Story = append(append(r.Story, "--- the other run ---"), again.Story...)
	}
	return r
}

// Shrink leaves out what a failure does not need: the changelog, what happens, and the end of the order. It returns the failure of what is left, and its
// decisions in full.
func Shrink(failed Report, play func(Decisions) Report) Report {
	if d := failed.Decisions; d.Log > 0 {
		d.Log = 0
		if r := play(d); r.Err != nil {
			failed = r
		}
	}
	for i := 0; i < failed.Decisions.Events(); {
		if r := play(failed.Decisions.Without(i)); r.Err != nil {
			failed = r
		} else {
			i++
		}
	}
	for n := 0; n < len(failed.Decisions.Order)/2; n = 2*n + 16 {
		d := failed.Decisions
		d.Order = d.Order[:n]
		if r := play(d); r.Err != nil {
			r.Decisions.Order = d.Order // the rest is drawn from the seed, as it was now
			return r
		}
	}
	return failed
}

// Keep writes the decisions of a failure to a folder, where Kept finds them, and returns the file's name.
func Keep(dir string, r Report) (string, error) {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return "", err
	}
	var b bytes.Buffer
	why, _, _ := strings.Cut(r.Err.Error(), "\n")
	fmt.Fprintf(&b, "# %s\n", why)
	if err := r.Decisions.Write(&b); err != nil {
		return "", err
	}
	name := filepath.Join(dir, fmt.Sprintf("seed-%d.txt", r.Decisions.Seed))
	return name, os.WriteFile(name, b.Bytes(), 0o666)
}

// Kept returns the files of a folder with the decisions of what has failed at some time.
func Kept(dir string) ([]string, error) { return filepath.Glob(filepath.Join(dir, "*.txt")) }

// Load reads a file that Keep has written.
func Load(name string) (Decisions, error) {
	f, err := os.Open(name)
	if err != nil {
		return Decisions{}, err
	}
	defer f.Close()
	return ReadDecisions(f)
}

// Suite plays n new seeds, each twice, and before that everything that has ever failed and was kept in dir. With -short it plays a quarter of
// the seeds, and so it does with the race detector, which has nothing to find on one goroutine. The first failure is shrunk, told and kept.
func Suite(t *testing.T, dir string, n int, play func(Decisions) Report) {
	wanted := Flags()
	if !wanted.One {
		suiteOfOld(t, dir, play)
	}
	seed := rand.Uint64N(1 << 40)
	switch {
	case wanted.One:
		seed, n = wanted.Seed, 1
	case wanted.Chosen:
		seed = wanted.Seed
	}
	switch {
	case wanted.Seeds > 0:
		n = wanted.Seeds
	case testing.Short() || raced:
		n = max(1, n/4)
	}
	t.Logf("seeds from %d on: -weir.seed=%d -weir.seeds=%d repeats them", seed, seed, n)
	for i := range uint64(n) {
		r := Twice(Decisions{Seed: seed + i}, play)
		if r.Err == nil {
			continue
		}
		r = Shrink(r, play)
		name, err := Keep(dir, r)
		if err != nil {
			t.Error(err)
		}
		t.Fatalf("seed %d: %v\n\n%s\n\ngo test -run '^%s$' -weir.seed=%d  plays it again in full.\nIts decisions, as far as they matter, are in %s: commit that file with the correction.",
			seed+i, r.Err, r.Tell(), t.Name(), seed+i, name)
	}
}

func suiteOfOld(t *testing.T, dir string, play func(Decisions) Report) {
	names, err := Kept(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		d, err := Load(name)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if r := Twice(d, play); r.Err != nil {
			t.Errorf("%s: %v\n%s", name, r.Err, r.Tell())
		}
	}
}
