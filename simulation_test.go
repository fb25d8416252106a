package weir_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"hash"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/checkpoint"
	"github.com/weirstream/weir/internal/cluster/jobmaster"
	"github.com/weirstream/weir/internal/door"
	"github.com/weirstream/weir/internal/sim"
	"github.com/weirstream/weir/internal/storage/fs"
)

// simulation runs one process of a job on one goroutine, in an order that is drawn, for a test that brings its own files, connectors and
// troubles. underChance has those of package sim.
type simulation struct {
	*sim.Loop
	t     *testing.T
	began time.Time
	now   time.Time // when it has run
	turns int
	trace hash.Hash64
}

func newSimulation(t *testing.T, rng *rand.Rand, now time.Time, trace hash.Hash64) *simulation {
	return &simulation{Loop: sim.NewLoop(rng.Uint64()), t: t, began: now, trace: trace}
}

func (s *simulation) clock() time.Time { return s.began.Add(s.Elapsed()) }

// run takes turns until the job has ended. between is called before each turn.
func (s *simulation) run(between func(turn int)) {
	err := s.Run(between)
	s.now, s.turns = s.clock(), s.Turns()
	fmt.Fprint(s.trace, s.Trace())
	if err != nil {
		s.t.Fatal(err)
	}
}

// story is a job that is run under a seed until it has finished: tasks fail, checkpoints fail and expire, the process stops and goes on
// at another parallelism.
type story struct {
	*world
	rng      *rand.Rand
	now      time.Time
	trace    hash.Hash64
	faulty   *fs.Faulty
	trouble  int                               // what may still go wrong
	between  func()                            // called before each turn, unless it is nil
	disturb  func(e *weir.Execution, turn int) // the same
	attempts int                               // of the last process
	way      int                               // in which changes of the state are logged, see sim.Changelog
	log      []string
}

func newStory(t *testing.T, seed uint64, options ...checkpoint.Option) *story {
	s := &story{
		world: newWorld(t, 1+int(seed%4), 20+int(seed%19)),
		rng:   rand.New(rand.NewPCG(seed, 1)), now: time.Unix(1_000_000, 0), trace: fnv.New64a(), trouble: int(seed % 8),
	}
	if logs := rand.New(rand.NewPCG(seed, 2)); logs.IntN(2) == 0 {
		s.way = 1 + logs.IntN(sim.WaysToLog)
	}
	s.in.batch = 1 + s.rng.IntN(5)
	timeout := []time.Duration{10 * time.Millisecond, 20 * time.Millisecond, time.Hour}[s.rng.IntN(3)]
	s.options = append([]checkpoint.Option{checkpoint.TolerateFailures(1 << 30), checkpoint.Timeout(timeout), checkpoint.Retain(1 + s.rng.IntN(2))}, options...)
	s.set = map[string]string{"restart-strategy.type": "fixed-delay", "restart-strategy.fixed-delay.attempts": "1000", "restart-strategy.fixed-delay.delay": "1 ms"}
	s.faulty = fs.NewFaulty(s.fs, nil)
	s.fs = s.faulty
	if seed%2 == 1 {
		s.set["execution.checkpointing.data-inline-threshold"] = "0" // so that state is in files
	}
	s.in.poll = func(int, int) error {
		if s.trouble > 0 && s.rng.IntN(100) == 0 {
			s.trouble--
			s.note("a task fails")
			return errTest
		}
		return nil
	}
	return s
}

func (s *story) note(format string, args ...any) {
	s.log = append(s.log, fmt.Sprintf(format, args...))
	fmt.Fprintf(s.trace, format, args...)
}

// breakStorage lets the next operation of a kind fail while a checkpoint is written; some have been done all the same.
func (s *story) breakStorage() {
	s.trouble--
	faults := []fs.Fault{{Op: fs.OpPut, Path: "_metadata"}, {Op: fs.OpCreate}, {Op: fs.OpWrite}, {Op: fs.OpCommit}, {Op: fs.OpMakeDir}, {Op: fs.OpRemove}, {Op: fs.OpRemoveAll}}
	f := faults[s.rng.IntN(len(faults))]
	f.Late, f.Err = s.rng.IntN(2) == 0, errTest
	s.note("%s of %q fails, late %v", f.Op, f.Path, f.Late)
	s.faulty.Inject(f)
}

// jobWith returns the job with more options, which only this process has.
func (s *story) jobWith(parallelism int, options map[string]string) *weir.Job {
	set := s.set
	defer func() { s.set = set }()
	s.set = maps.Clone(set)
	maps.Copy(s.set, options)
	return s.job(parallelism)
}

// play runs the job, as many processes as it takes, until it has finished.
func (s *story) play() {
	for process := 1; ; process++ {
		parallelism := 1 + s.rng.IntN(3)
		log := sim.Changelog(s.way, process)
		s.note("process at parallelism %d, changelog %v", parallelism, log)
		ctx, cancel := context.WithCancel(context.Background())
		sim := newSimulation(s.t, s.rng, s.now, s.trace)
		s.faulty.Clear()
		e, err := weir.StartSimulated(ctx, s.jobWith(parallelism, log), s.fs, sim, sim.clock)
		if err != nil {
			s.t.Fatal(err)
		}
		stopped := false
		sim.run(func(turn int) {
			if s.disturb != nil {
				s.disturb(e, turn)
			}
			if s.between != nil {
				s.between()
			}
			if s.trouble > 0 && s.rng.IntN(150) == 0 {
				s.breakStorage()
			}
			if s.trouble > 0 && !stopped && s.rng.IntN(400) == 0 {
				s.trouble--
				stopped = true
				if s.rng.IntN(2) == 0 {
					s.note("suspend at %d", turn)
					cancel()
				} else {
					s.note("abort at %d", turn)
					e.Abort()
				}
			}
		})
		cancel()
		s.now, s.attempts = sim.now, e.Progress().Restarts+1
		r, err := e.Wait()
		s.note("%s after %d turns, %d checkpoints, %d failed, %d restarts", r.Status, sim.turns, e.Progress().Checkpoint.Completed, e.Progress().Checkpoint.Failed, e.Progress().Restarts)
		var stop *weir.StopError
		switch {
		case errors.As(err, &stop): // the next process goes on from its savepoint
			s.note("%v", err)
		case err != nil:
			s.t.Fatalf("the job failed: %v", err)
		case r.Status == weir.Finished && r.Savepoint == "":
			return
		}
	}
}

// tell plays the story and tells it if it goes wrong.
func (s *story) tell(end func()) {
	defer func() {
		if s.t.Failed() {
			s.t.Log(strings.Join(s.log, "\n"))
		}
	}()
	s.play()
	end()
}

var (
	storyCount = flag.Uint64("stories", 0, "tell so many stories in each test; 0 means some hundreds")
	firstStory = flag.Uint64("story", 0, "begin with the story of this seed")
)

func stories(t *testing.T, n uint64, tell func(t *testing.T, seed uint64)) {
	switch {
	case *storyCount > 0:
		n = *storyCount
	case raced: // the detector makes them slow, and has nothing to find on one goroutine
		n /= 10
	case testing.Short():
		n /= 4
	}
	for seed := *firstStory; seed < *firstStory+n; seed++ {
		if !t.Run(fmt.Sprint(seed), func(t *testing.T) { tell(t, seed) }) {
			return // the first tells enough
		}
	}
}

// toldAll reports whether stories are all told, so that each thing they are about must have happened in one of them.
func toldAll() bool { return *storyCount == 0 && *firstStory == 0 && !testing.Short() && !raced }

// underChance plays the job of a world under chance, until it has finished, and returns what came of it and what it has committed.
func underChance(t *testing.T, d sim.Decisions, options ...checkpoint.Option) (r sim.Report, w *world, committed []string) {
	chance := sim.New(sim.Config{Decisions: d, Troubles: int(d.Seed % 8), Asks: int(d.Seed / 8 % 3), Doubts: int(d.Seed / 5 % 3), Parallelism: []int{1, 2, 3}, Changelog: true})
	w = newWorld(t, 1+chance.Pick(4), 20+chance.Pick(19))
	out := sim.NewOutput[string](chance)
	w.source, w.sink, w.dir = &sim.Input[reading]{World: chance, Splits: w.in.splits}, out, sim.Dir
	timeout := []time.Duration{40 * time.Millisecond, 80 * time.Millisecond, time.Second}[chance.Pick(3)]
	w.options = append([]checkpoint.Option{checkpoint.TolerateFailures(1 << 30), checkpoint.Timeout(timeout), checkpoint.Retain(1 + chance.Pick(2))}, options...)
	w.set = map[string]string{"restart-strategy.type": "fixed-delay", "restart-strategy.fixed-delay.attempts": "100", "restart-strategy.fixed-delay.delay": "1 ms"}
	if chance.Pick(2) == 0 {
		w.set["execution.checkpointing.data-inline-threshold"] = "0" // so that state is in files
	}
	if d.Seed%3 == 0 {
		w.set["execution.checkpointing.incremental"] = "true"
	}
	r = chance.Play(func(ctx context.Context, p sim.Process) (*jobmaster.Execution, error) {
		set := map[string]string{}
		maps.Copy(set, chance.Changelog())
		maps.Copy(set, p.Set)
		return door.Start(ctx, w.job(p.Parallelism), door.Runtime{FS: p.FS, Now: p.Now, Scheduler: p.Scheduler, Flags: p.Flags, Set: set})
	})
	return r, w, out.Records()
}

// TestExactlyOnce shows that a job with every kind of state commits each result once, whatever happens to its tasks, checkpoints, messages
// and processes.
func TestExactlyOnce(t *testing.T) {
	sim.Suite(t, "testdata/sim/exactly-once", 100, func(d sim.Decisions) sim.Report {
		r, w, committed := underChance(t, d)
		if r.Err == nil {
			r.Err = w.compare(committed)
		}
		return r
	})
}

// TestAtLeastOnce shows that no record is lost when steps go on with their other inputs during a checkpoint.
func TestAtLeastOnce(t *testing.T) {
	sim.Suite(t, "testdata/sim/at-least-once", 40, func(d sim.Decisions) sim.Report {
		r, w, committed := underChance(t, d, checkpoint.AtLeastOnce())
		seen := map[string]bool{}
		for _, r := range committed {
			before, _, _ := strings.Cut(r, " sum ")
			seen[before] = true
		}
		for _, want := range w.want() {
			if before, _, ok := strings.Cut(want, " sum "); ok && !seen[before] && r.Err == nil {
				r.Err = fmt.Errorf("%s is lost", before)
			}
		}
		return r
	})
}

// TestSameSeed shows that a story can be told again: the same seed takes the same steps and commits the same records in the same order.
// TestExactlyOnce sees to the steps.
func TestSameSeed(t *testing.T) {
	seeds := uint64(10)
	if raced {
		seeds = 3
	}
	for seed := range seeds {
		_, _, one := underChance(t, sim.Decisions{Seed: seed})
		_, _, other := underChance(t, sim.Decisions{Seed: seed})
		if !slices.Equal(one, other) {
			t.Errorf("seed %d: two runs differ", seed)
		}
	}
}
