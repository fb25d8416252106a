package weirtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/connector/memory"
	"github.com/weirstream/weir/internal/cluster/jobmaster"
	"github.com/weirstream/weir/internal/door"
	"github.com/weirstream/weir/internal/graph"
	"github.com/weirstream/weir/internal/nearest"
	"github.com/weirstream/weir/internal/runtime/operator"
	"github.com/weirstream/weir/internal/runtime/program"
	"github.com/weirstream/weir/internal/sim"
)

// Option says what Run reads, what it expects, and what it lets happen.
type Option func(*suite)

// In lets the source of an id read these records instead of what it reads, in this order. Given several times for one source, each is a
// split of its own, whose records come between those of the others in any order. The records have no event times: a job that needs them
// assigns them by EventTime, or see InAt.
func In[R any](id string, records ...R) Option {
	return func(s *suite) { addInput(s, id, nil, records) }
}

// InAt is In with event times, for a job whose source knows them.
func InAt[R any](id string, at func(R) time.Time, records ...R) Option {
	return func(s *suite) { addInput(s, id, func(r R) int64 { return at(r).UnixMilli() }, records) }
}

// Want expects that the sink of an id has got these records when the job has finished, each exactly as often and in whatever order. Records
// are compared as %+v prints them: give those that hold pointers a method String.
func Want[R any](id string, records ...R) Option {
	return Check(id, func(got []R) error {
		if d := differSorted(texts(got), texts(records)); d != "" {
			return fmt.Errorf("sink %q has got %d records, want %d\n%s", id, len(got), len(records), d)
		}
		return nil
	})
}

// Same expects that the sink of an id gets the same records whatever happens, in any order: those of a first run in which nothing does. R
// is the type of its records.
func Same[R any](id string) Option {
	var undisturbed []R
	first := true
	return Check(id, func(got []R) error {
		if first {
			first, undisturbed = false, got
			return nil
		}
		if d := differSorted(texts(got), texts(undisturbed)); d != "" {
			return fmt.Errorf("sink %q has got %d records, and %d in a run in which nothing happens\n%s", id, len(got), len(undisturbed), d)
		}
		return nil
	})
}

// Check judges what the sink of an id has got when the job has finished, in the order in which it was committed.
func Check[R any](id string, check func(got []R) error) Option {
	return func(s *suite) {
		if s.outputs[id] != nil {
			s.fail("sink %q is wanted twice", id)
		}
		s.outputs[id] = &output[R]{id: id, check: check}
	}
}

// Seeds plays the job n times under chance, with the seeds from 1 to n: tasks fail, the process dies and starts again, storage fails or is
// slow, messages between the job's tasks and its master get lost, the wall clock jumps; a user asks for savepoints, stops the job with one, or
// cancels it, and starts it again.
func Seeds(n int) Option { return func(s *suite) { s.seeds = n } }

// CrashEverywhere plays the job once for each step that changes something that outlives a process, lets the machine go down after that
// step, and starts the job again. In short mode it leaves most of them out.
func CrashEverywhere() Option { return func(s *suite) { s.everywhere = true } }

// Rescale starts each process at one of these parallelisms. Without it the parallelism is the job's.
func Rescale(parallelism ...int) Option {
	return func(s *suite) { s.parallelism = append(s.parallelism, parallelism...) }
}

// Run runs the job that build declares, with its sources and sinks replaced, and fails the test if its sinks have not got what is wanted.
// The first run is one in which nothing happens; what else there is say Seeds and CrashEverywhere. A failure tells what happened, in order,
// and the command that repeats it.
//
// All sources have to be replaced; sinks that no option names forget what they get. Checkpoints are taken every 10 ms of virtual time, and
// kept where no file is touched; otherwise the job keeps its settings. build is called for each process, and has to declare the same job
// each time.
func Run(t T, build func(j *weir.Job) error, options ...Option) {
	t.Helper()
	if err := run(t.Name(), build, options); err != nil {
		t.Fatalf("%v", err)
	}
}

// Try is Run where there is no test: it returns what a test would fail with.
func Try(build func(j *weir.Job) error, options ...Option) error { return run("", build, options) }

// suite is what Run was asked for.
type suite struct {
	name        string
	build       func(*weir.Job) error
	inputs      map[string]swap
	outputs     map[string]goal
	seeds       int
	everywhere  bool
	parallelism []int
	errs        []error
}

// swap is what a source is replaced by, and goal what a sink is.
type (
	swap interface {
		step(w *sim.World) *program.Step
	}
	goal interface {
		step(w *sim.World) (step *program.Step, check func() error)
	}
)

func run(name string, build func(*weir.Job) error, options []Option) error {
	s := &suite{name: name, build: build, inputs: map[string]swap{}, outputs: map[string]goal{}}
	for _, o := range options {
		o(s)
	}
	if len(s.outputs) == 0 {
		s.fail("nothing is wanted: say by Want, Same or Check what the job's sinks should get")
	}
	if err := errors.Join(s.errs...); err != nil {
		return fmt.Errorf("weirtest: %w", err)
	}
	return s.run()
}

func (s *suite) fail(format string, args ...any) {
	s.errs = append(s.errs, fmt.Errorf(format, args...))
}

// calm are decisions under which nothing goes wrong.
func calm(seed uint64) sim.Decisions { return sim.Decisions{Seed: seed, Recorded: true} }

// run plays everything that was asked for, up to the first failure.
func (s *suite) run() error {
	undisturbed := s.play(calm(0), 0)
	if undisturbed.Err != nil {
		return fmt.Errorf("weirtest: in a run in which nothing happens: %w", undisturbed.Err)
	}
	wanted := sim.Flags()
	if wanted.One {
		return s.one(wanted)
	}
	if err := s.kept(); err != nil {
		return err
	}
	for seed := uint64(1); seed <= uint64(s.seeds); seed++ {
		if r := sim.Twice(sim.Decisions{Seed: seed}, s.chance); r.Err != nil {
			least := sim.Shrink(r, s.chance)
			return s.failed(least, fmt.Sprintf("-weir.seed=%d", seed), s.keep(least))
		}
	}
	if s.everywhere {
		return s.crashEverywhere(undisturbed.Lasting)
	}
	return nil
}

// one plays what the flags ask for.
func (s *suite) one(wanted sim.Wanted) error {
	d, flags := sim.Decisions{Seed: wanted.Seed}, fmt.Sprintf("-weir.seed=%d", wanted.Seed)
	if wanted.Crash > 0 {
		d, flags = calm(wanted.Seed), fmt.Sprintf("%s -weir.step=%d", flags, wanted.Crash)
	}
	if r := s.play(d, wanted.Crash); r.Err != nil {
		return s.failed(r, flags, "")
	}
	return nil
}

// stepsInShort is how many steps are crashed at in short mode.
const stepsInShort = 40

func (s *suite) crashEverywhere(steps int) error {
	stride := 1
	if testing.Testing() && testing.Short() {
		stride = 1 + steps/stepsInShort
	}
	for step := 1; step <= steps; step += stride {
		if r := s.play(calm(0), step); r.Err != nil {
			return s.failed(r, fmt.Sprintf("-weir.seed=0 -weir.step=%d", step), "")
		}
	}
	return nil
}

func (s *suite) chance(d sim.Decisions) sim.Report { return s.play(d, 0) }

// folder is where decisions of this test are kept that have led to a failure.
func (s *suite) folder() string {
	return filepath.Join("testdata", "weirtest", strings.NewReplacer("/", "-", " ", "_").Replace(s.name))
}

// kept plays again what has failed at some time.
func (s *suite) kept() error {
	if s.name == "" {
		return nil
	}
	names, err := sim.Kept(s.folder())
	if err != nil {
		return err
	}
	for _, name := range names {
		d, err := sim.Load(name)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if r := s.chance(d); r.Err != nil {
			return fmt.Errorf("what %s tells has failed before, and fails again: %w\n\n%s", name, r.Err, r.Tell())
		}
	}
	return nil
}

// keep writes down a failure, and says where it is.
func (s *suite) keep(r sim.Report) string {
	if s.name == "" {
		return ""
	}
	name, err := sim.Keep(s.folder(), r)
	if err != nil {
		return fmt.Sprintf("\n(The decisions that led there could not be written: %v.)", err)
	}
	return fmt.Sprintf("\nThat plays all of seed %d; the story above leaves out what is not needed. After a change of the program a seed means another run.\n"+
		"What is told above is kept in %s: commit that file, and this test plays it each time.\n", r.Decisions.Seed, name)
}

// failed tells a failure.
func (s *suite) failed(r sim.Report, flags, more string) error {
	return fmt.Errorf("weirtest: %w\n\nWhat happened, by step and virtual time:\n\n%s\n\nTo repeat it:\n\n  go test -run '%s' %s\n%s", r.Err, r.Tell(), pattern(s.name), flags, more)
}

// pattern is what go test -run takes for a test's name.
func pattern(name string) string {
	if name == "" {
		return "."
	}
	return "^" + strings.ReplaceAll(name, "/", "$/^") + "$"
}

// troubles is how much goes wrong under a seed at most.
const troubles = 8

// play runs the job once in a world of its own.
func (s *suite) play(d sim.Decisions, crashAt int) sim.Report {
	w := sim.New(sim.Config{Decisions: d, Troubles: int(d.Seed % troubles), Asks: int(d.Seed / troubles % 3), Doubts: int(d.Seed / 5 % 2), CrashAt: crashAt, Parallelism: s.parallelism})
	inputs, outputs := map[string]*program.Step{}, map[string]*program.Step{}
	for id, in := range s.inputs {
		inputs[id] = in.step(w)
	}
	var checks []func() error
	for _, id := range slices.Sorted(maps.Keys(s.outputs)) {
		step, check := s.outputs[id].step(w)
		outputs[id] = step
		checks = append(checks, check)
	}
	set := settings(w)
	r := w.Play(func(ctx context.Context, p sim.Process) (*jobmaster.Execution, error) {
		j := weir.NewJob("weirtest")
		j.Logger(slog.New(slog.NewTextHandler(io.Discard, nil)))
		if err := s.build(j); err != nil {
			return nil, err
		}
		if err := replace(door.Steps(j), inputs, outputs); err != nil {
			return nil, err
		}
		if p.Parallelism > 0 {
			set["parallelism.default"] = fmt.Sprint(p.Parallelism)
		}
		own := maps.Clone(set)
		maps.Copy(own, p.Set)
		return door.Start(ctx, j, door.Runtime{FS: p.FS, Now: p.Now, Scheduler: p.Scheduler, Flags: p.Flags, Set: own})
	})
	for _, check := range checks {
		if r.Err == nil {
			r.Err = check()
		}
	}
	return r
}

// settings are what a job in a world must have. Some are left to chance.
func settings(w *sim.World) map[string]string {
	set := map[string]string{
		"execution.checkpointing.interval":                     "10 ms",
		"execution.checkpointing.min-pause":                    "0",
		"execution.checkpointing.timeout":                      []string{"20 ms", "60 ms", "1 s"}[w.Pick(3)],
		"execution.checkpointing.tolerable-failed-checkpoints": "1000000",
		"execution.checkpointing.storage":                      "filesystem",
		"execution.checkpointing.dir":                          sim.Dir,
		"restart-strategy.type":                                "fixed-delay",
		"restart-strategy.fixed-delay.attempts":                "50", // more than can go wrong, and few enough to see what always fails
		"restart-strategy.fixed-delay.delay":                   "1 ms",
	}
	if w.Pick(2) == 0 {
		set["execution.checkpointing.data-inline-threshold"] = "0"
	}
	return set
}

// replace puts other steps in the places of sources and sinks, or says everything that does not fit.
func replace(nodes []*graph.Node, inputs, outputs map[string]*program.Step) error {
	var errs []error
	sources, sinks := map[string]*graph.Node{}, map[string]*graph.Node{}
	for _, n := range nodes {
		switch n.Kind {
		case graph.Source:
			sources[n.Name] = n
			if inputs[n.Name] == nil {
				errs = append(errs, fmt.Errorf("source %q has nothing to read: give it records by weirtest.In(%q, ...)", n.Name, n.Name))
			}
		case graph.Sink:
			sinks[n.Name] = n
			if outputs[n.Name] == nil {
				forget(n)
			}
		}
	}
	for _, id := range slices.Sorted(maps.Keys(inputs)) {
		step := inputs[id]
		n, err := find("source", id, sources)
		if err == nil && n.Payload.(*program.Step).Outs[0] != step.Outs[0] {
			err = fmt.Errorf("source %q makes records of type %s, and what it should read is of type %s", id, n.Payload.(*program.Step).Outs[0], step.Outs[0])
		}
		errs = append(errs, err)
		if err == nil {
			n.Payload, n.Location = step, ""
		}
	}
	for _, id := range slices.Sorted(maps.Keys(outputs)) {
		step := outputs[id]
		n, err := find("sink", id, sinks)
		if err == nil && n.Payload.(*program.Step).In != step.In {
			err = fmt.Errorf("sink %q gets records of type %s, and what it should get is of type %s", id, n.Payload.(*program.Step).In, step.In)
		}
		errs = append(errs, err)
		if err == nil {
			n.Payload, n.Location = step, ""
		}
	}
	return errors.Join(errs...)
}

// find returns the node of an id.
func find(kind, id string, nodes map[string]*graph.Node) (*graph.Node, error) {
	if n := nodes[id]; n != nil {
		return n, nil
	}
	known := slices.Sorted(maps.Keys(nodes))
	if name, ok := nearest.Name(id, known, nearest.Half(id)); ok {
		return nil, fmt.Errorf("the job has no %s %q; did you mean %q?", kind, id, name)
	}
	return nil, fmt.Errorf("the job has no %s %q; it has %q", kind, id, known)
}

// forget makes a sink drop what it gets.
func forget(n *graph.Node) {
	in := n.Payload.(*program.Step).In
	n.Location = ""
	n.Payload = &program.Step{In: in, Make: func(*operator.Env, []any) (any, operator.Operator, error) { return in.Join(nil), nil, nil }}
}

// input is what a source reads.
type input[R any] struct {
	id     string
	splits [][]R
	at     func(R) int64
}

func addInput[R any](s *suite, id string, at func(R) int64, records []R) {
	in, ok := s.inputs[id].(*input[R])
	switch {
	case s.inputs[id] == nil:
		in = &input[R]{id: id, at: at}
		s.inputs[id] = in
	case !ok || (in.at == nil) != (at == nil):
		s.fail("source %q is given records of several kinds", id)
		return
	}
	in.splits = append(in.splits, records)
}

func (in *input[R]) step(w *sim.World) *program.Step {
	j := weir.NewJob("")
	weir.From(j, in.id, &sim.Input[R]{World: w, Splits: in.splits, Times: in.at})
	return door.Steps(j)[0].Payload.(*program.Step)
}

// output is what a sink should get.
type output[R any] struct {
	id    string
	check func([]R) error
}

func (out *output[R]) step(w *sim.World) (*program.Step, func() error) {
	got := sim.NewOutput[R](w)
	j := weir.NewJob("")
	weir.To(weir.From(j, "in", memory.Slice[R](nil)), out.id, got)
	return door.Steps(j)[1].Payload.(*program.Step), func() error { return out.check(got.Records()) }
}
