package weir_test

import (
	"context"
	"flag"
	"fmt"
	"hash"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/checkpoint"
	"github.com/weirstream/weir/internal/runtime/task"
	"github.com/weirstream/weir/internal/storage/fs"
)

// simulation runs a job on one goroutine. Each turn one of those that have something to do is drawn: the master, a task that is awake, a
// piece of work beside a task. Time is virtual; it creeps, and jumps when everybody sleeps. A task that parks is not stepped before it is
// woken, so that a wake-up that is lost shows as a job that stands still.
type simulation struct {
	t      *testing.T
	rng    *rand.Rand
	now    time.Time
	step   func() (worked, ended bool)
	tasks  []*simulated
	work   []func()
	timers []*simTimer
	trace  hash.Hash64 // of all turns
	turns  int
	ended  bool
}

// simulated is a task in a simulation.
type simulated struct {
	*task.Task
	ctx    context.Context
	opened bool
	parked bool
	until  time.Time
}

type simTimer struct {
	at   time.Time
	f    func()
	done bool
}

func newSimulation(t *testing.T, rng *rand.Rand, now time.Time, trace hash.Hash64) *simulation {
	return &simulation{t: t, rng: rng, now: now, trace: trace}
}

func (s *simulation) Master(step func() (worked, ended bool)) { s.step = step }

func (s *simulation) Task(ctx context.Context, t *task.Task) {
	s.tasks = append(s.tasks, &simulated{Task: t, ctx: ctx})
}

func (s *simulation) Beside(work func()) { s.work = append(s.work, work) }

func (s *simulation) After(d time.Duration, f func()) (stop func()) {
	t := &simTimer{at: s.now.Add(d), f: f}
	s.timers = append(s.timers, t)
	return func() { t.done = true }
}

func (s *simulation) Random() float64 { return s.rng.Float64() }

func (s *simulation) clock() time.Time { return s.now }

// turn lets one of those who can do something, and reports whether there was any.
func (s *simulation) turn() bool {
	s.turns++
	s.now = s.now.Add(time.Duration(s.rng.IntN(60)) * time.Microsecond)
	s.fire()
	awake := s.awake()
	n := s.rng.IntN(len(awake) + len(s.work) + 1)
	fmt.Fprint(s.trace, n, " ")
	switch {
	case n < len(awake):
		s.stepTask(awake[n])
		return true
	case n < len(awake)+len(s.work):
		s.doWork(n - len(awake))
		return true
	}
	worked, ended := s.step()
	s.ended = ended
	return worked || len(awake) > 0 || len(s.work) > 0
}

// fire calls what is due, in order of time.
func (s *simulation) fire() {
	slices.SortStableFunc(s.timers, func(a, b *simTimer) int { return a.at.Compare(b.at) })
	for len(s.timers) > 0 && (s.timers[0].done || !s.timers[0].at.After(s.now)) {
		t := s.timers[0]
		s.timers = s.timers[1:]
		if !t.done {
			t.f()
		}
	}
}

func (s *simulation) awake() (awake []*simulated) {
	for _, t := range s.tasks {
		if t.parked && (t.ctx.Err() != nil || !t.until.IsZero() && !t.until.After(s.now) || t.Parker.Woken()) {
			t.parked = false
		}
		if !t.parked {
			awake = append(awake, t)
		}
	}
	return awake
}

func (s *simulation) doWork(i int) {
	work := s.work[i]
	s.work = slices.Delete(s.work, i, i+1)
	work()
}

func (s *simulation) stepTask(t *simulated) {
	var err error
	var wait task.Wait
	switch {
	case t.ctx.Err() != nil:
		wait.Done = true
	case !t.opened:
		t.opened = true
		err = t.Open(t.ctx)
	default:
		wait, err = t.Step()
	}
	if err != nil || wait.Done {
		for len(s.work) > 0 { // Close waits for it
			s.doWork(s.rng.IntN(len(s.work)))
		}
		s.tasks = slices.DeleteFunc(s.tasks, func(o *simulated) bool { return o == t })
		t.Close(t.ctx, err)
		return
	}
	t.parked, t.until = wait.Park, wait.Until
}

// sleep lets time pass until somebody wants to do something, and reports whether anybody will.
func (s *simulation) sleep() bool {
	var next time.Time
	for _, t := range s.timers {
		if !t.done && (next.IsZero() || t.at.Before(next)) {
			next = t.at
		}
	}
	for _, t := range s.tasks {
		if t.parked && !t.until.IsZero() && (next.IsZero() || t.until.Before(next)) {
			next = t.until
		}
	}
	if next.IsZero() {
		return false
	}
	if next.After(s.now) {
		s.now = next
	}
	return true
}

// run takes turns until the job has ended. between is called before each turn.
func (s *simulation) run(between func(turn int)) {
	for !s.ended {
		if s.turns > 200_000 {
			s.t.Fatal("the job does not end")
		}
		between(s.turns)
		if !s.turn() && !s.ended && !s.sleep() {
			s.t.Fatalf("the job stands still after %d turns: nobody has anything to do", s.turns)
		}
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
	log      []string
}

func newStory(t *testing.T, seed uint64, options ...checkpoint.Option) *story {
	s := &story{
		world: newWorld(t, 1+int(seed%4), 20+int(seed%19)),
		rng:   rand.New(rand.NewPCG(seed, 1)), now: time.Unix(1_000_000, 0), trace: fnv.New64a(), trouble: int(seed % 8),
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

// play runs the job, as many processes as it takes, until it has finished.
func (s *story) play() {
	for {
		parallelism := 1 + s.rng.IntN(3)
		s.note("process at parallelism %d", parallelism)
		ctx, cancel := context.WithCancel(context.Background())
		sim := newSimulation(s.t, s.rng, s.now, s.trace)
		s.faulty.Clear()
		e, err := weir.StartSimulated(ctx, s.job(parallelism), s.fs, sim, sim.clock)
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
		switch {
		case err != nil:
			s.t.Fatalf("the job failed: %v", err)
		case r.Status == weir.Finished:
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
	case testing.Short():
		n /= 4
	}
	for seed := *firstStory; seed < *firstStory+n; seed++ {
		if !t.Run(fmt.Sprint(seed), func(t *testing.T) { tell(t, seed) }) {
			return // the first tells enough
		}
	}
}

// TestExactlyOnce shows that a job commits each result once, whatever happens to its tasks, checkpoints and processes.
func TestExactlyOnce(t *testing.T) {
	stories(t, 200, func(t *testing.T, seed uint64) {
		s := newStory(t, seed)
		s.tell(s.check)
	})
}

// TestAtLeastOnce shows that no record is lost when steps go on with their other inputs during a checkpoint.
func TestAtLeastOnce(t *testing.T) {
	stories(t, 60, func(t *testing.T, seed uint64) {
		s := newStory(t, seed, checkpoint.AtLeastOnce())
		s.tell(func() {
			seen := map[string]bool{}
			for _, r := range s.out.Records() {
				before, _, _ := strings.Cut(r, " sum ")
				seen[before] = true
			}
			for _, want := range s.want() {
				if before, _, ok := strings.Cut(want, " sum "); ok && !seen[before] {
					t.Errorf("%s is lost", before)
				}
			}
		})
	})
}

// TestSameSeed shows that a story can be told again: the same seed takes the same turns and commits the same records in the same order.
func TestSameSeed(t *testing.T) {
	for seed := range uint64(10) {
		var traces [2]uint64
		var outputs [2][]string
		for i := range traces {
			s := newStory(t, seed)
			s.play()
			traces[i], outputs[i] = s.trace.Sum64(), s.out.Records()
		}
		if traces[0] != traces[1] || !slices.Equal(outputs[0], outputs[1]) {
			t.Errorf("seed %d: two runs differ", seed)
		}
	}
}

// TestStoriesOfOld tells again the stories that have found something.
func TestStoriesOfOld(t *testing.T) {
	t.Run("a step that had finished before its input", func(t *testing.T) {
		newStory(t, 5590, checkpoint.AtLeastOnce()).tell(func() {})
	})
	t.Run("a checkpoint of which nobody knew", func(t *testing.T) {
		s := newStory(t, 1999)
		s.tell(s.check)
	})
}
