package sim

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash"
	"hash/fnv"
	"io"
	"maps"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/weirstream/weir/internal/cluster/jobmaster"
	"github.com/weirstream/weir/internal/cluster/local"
	"github.com/weirstream/weir/internal/cluster/start"
	"github.com/weirstream/weir/internal/exitcode"
	"github.com/weirstream/weir/internal/storage/fs"
	"github.com/weirstream/weir/storage"
)

// Config says what a world is like.
type Config struct {
	Decisions Decisions
	// Troubles is how much may go wrong, if the decisions do not say.
	Troubles int
	// Asks is how often the user may ask a running job for something, if the decisions do not say: for checkpoints and savepoints, to stop or
	// to be cancelled, with one or without. He goes on from there as the job tells him. With Drain the job may also be drained: then it ends
	// with what World.Input says it has read.
	Asks  int
	Drain bool
	// Doubts is how many checkpoints may be published without anybody knowing, if the decisions do not say.
	Doubts int
	// Changelog says that the job logs the changes of its state under half of the seeds, as World.Changelog says.
	Changelog bool
	// CrashAt lets the machine go down after so many steps that change something lasting, in all processes together; 0 for never.
	CrashAt int
	// Parallelism holds what a process may be started with, one of which is drawn for each; none means that it is up to the job.
	Parallelism []int
}

// World is what outlives the processes of a job: files, outputs, time and chance.
type World struct {
	config  Config
	chance  *chance
	files   *fs.Memory
	watch   *watch
	elapsed time.Duration // since the beginning
	skew    time.Duration // by how much the wall clock is wrong
	pace    time.Duration // of the time that passes with each turn: 16 times this, roughly
	turns   int
	lasting int // steps so far that changed something lasting
	story   []string
	trace   hash.Hash64
	now     *process
	atDeath []func()
	names   map[string]string // short for what is long
	report  Report
	user    user
	inputs  []progressing
	outputs []remembering
	reached map[string]map[progressing][]int // by the savepoint that the job was drained with: how far each input was read
	scratch struct {                         // of one turn, so that it need not be made anew
		tasks   []*simTask
		strands []*strand
		links   []*link
	}
}

// Process is what a job is started with.
type Process struct {
	FS          storage.FS
	Now         func() time.Time
	Scheduler   local.Scheduler
	Parallelism int // 0 means that it is up to the job
	Flags       start.Flags
	Set         map[string]string // options, which have the last word: what the user says at the start
}

// Dir is where a job in a world keeps its checkpoints.
const Dir = "/checkpoints"

// savepointDir is where the user has savepoints put.
const savepointDir = "/savepoints"

// Report is what became of a job.
type Report struct {
	Err       error // why it is not all right; nil if it has finished and nothing happened that must not
	Story     []string
	Trace     uint64 // of every step
	Decisions Decisions
	Turns     int // of everybody, together
	Lasting   int // steps that changed something lasting
	Processes int
	Completed int // checkpoints
	Restarts  int // within processes
}

// Tell returns the story as text, a line for each thing that happened.
func (r Report) Tell() string { return strings.Join(r.Story, "\n") }

// New returns a world in which nothing has happened.
func New(c Config) *World {
	w := &World{config: c, chance: newChance(c), files: fs.NewMemory(), watch: newWatch(), trace: fnv.New64a(), names: map[string]string{}, pace: 6 * time.Microsecond, reached: map[string]map[progressing][]int{}}
	return w
}

// progressing is an input that knows how far it is read.
type progressing interface{ progress() []int }

func (w *World) knows(in progressing) {
	if !slices.Contains(w.inputs, in) {
		w.inputs = append(w.inputs, in)
	}
}

// publishes sees that a snapshot is published.
func (w *World) publishes(file string, data []byte) {
	w.watch.put(file, data)
	dir := path.Dir(file)
	if w.watch.drained[dir] {
		at := map[progressing][]int{}
		for _, in := range w.inputs {
			at[in] = in.progress()
		}
		w.reached[dir] = at
	}
	for _, out := range w.outputs {
		if p, ok := w.watch.published[dir]; ok {
			out.remember(dir, int64(p.id))
		}
	}
}

// remembering is an output that knows what is before a snapshot.
type remembering interface {
	remember(dir string, id int64)
}

// Restorable returns the snapshots that are complete, for -s.
func (w *World) Restorable() []string { return slices.Sorted(maps.Keys(w.watch.published)) }

// From begins another job line in the same world, from a snapshot of the first. What Play plays next is that one.
func (w *World) From(dir string, claim bool) {
	p := w.watch.published[dir]
	w.user = user{from: dir, claim: claim}
	w.watch = newWatch()
	w.watch.published[dir] = p
	w.watch.kept = dir
	w.note("--- another job begins, from %s, claim %v", dir, claim)
}

// PlayOne is Play for one process.
func (w *World) PlayOne(start func(ctx context.Context, p Process) (*jobmaster.Execution, error)) Report {
	_, err := w.process(start)
	return w.tellReport(cmp.Or(err, w.watch.broken))
}

// drainedAt returns how far a split was read if the job was drained, else all.
func (w *World) drainedAt(in progressing, split, all int) int {
	if at := w.reached[cmp.Or(w.user.drained, w.user.follows)]; at != nil {
		return at[in][split]
	}
	return all
}

// Processes returns how many processes of the job there have been.
func (w *World) Processes() int { return w.report.Processes }

// Pick returns a number below n that chance decides.
func (w *World) Pick(n int) int { return w.chance.pick(n) }

// Now returns the wall clock.
func (w *World) Now() time.Time { return instant(epoch+w.elapsed+w.skew, time.Second+w.elapsed) }

// note adds to the story.
func (w *World) note(format string, args ...any) {
	line := fmt.Sprintf("%6d %12v  %s", w.turns, w.elapsed, fmt.Sprintf(format, args...))
	w.story = append(w.story, line)
	w.tell(line, "", "")
}

// tell adds to the trace.
func (w *World) tell(what, on, how string) {
	for _, s := range [...]string{what, "\x00", on, "\x00", how, "\n"} {
		_, _ = io.WriteString(w.trace, s)
	}
}

// short is a path without what is the same in all.
func (w *World) short(name string) string {
	rest, ok := strings.CutPrefix(name, Dir+"/")
	if !ok {
		return name
	}
	if dir, file := path.Split(rest); len(file) == 32 {
		if w.names[rest] == "" {
			w.names[rest] = fmt.Sprintf("%sfile-%d", dir, len(w.names)+1)
		}
		rest = w.names[rest]
	}
	if id, below, ok := strings.Cut(rest, "/"); ok && len(id) == 32 {
		rest = below
	}
	return rest
}

// tornBy returns what decides how files are torn, nil for files that are gone.
func tornBy(detail int) *rand.Rand {
	if detail/2%4 == 0 {
		return nil
	}
	return rand.New(rand.NewPCG(uint64(detail), forTorn))
}

// most is how long a job may take before it is said to hang.
const (
	mostTurns     = 300_000
	mostProcesses = 200
)

// Play runs a job, as many processes as it takes, until it has finished or something happened that must not. start begins a process
// of it.
func (w *World) Play(start func(ctx context.Context, p Process) (*jobmaster.Execution, error)) Report {
	for {
		finished, err := w.process(start)
		if err == nil && w.watch.broken != nil {
			err = w.watch.broken
		}
		if w.report.Processes > mostProcesses && err == nil && !finished {
			err = fmt.Errorf("the job has not finished after %d processes", w.report.Processes)
		}
		if finished || err != nil {
			return w.tellReport(err)
		}
	}
}

func (w *World) tellReport(err error) Report {
	r := w.report
	r.Err = err
	r.Story, r.Trace, r.Decisions, r.Turns, r.Lasting = w.story, w.trace.Sum64(), w.chance.made, w.turns, w.lasting
	return r
}

// process runs one process of the job, and reports whether the job has finished.
func (w *World) process(start func(context.Context, Process) (*jobmaster.Execution, error)) (finished bool, err error) {
	p := &process{World: w}
	w.now = p
	w.watch.process()
	w.watch.opening = p.beingRead
	w.report.Processes++
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	started := Process{FS: p.disk(), Now: w.Now, Scheduler: p}
	started.Flags, started.Set = w.user.flags()
	if n := w.config.Parallelism; len(n) > 0 {
		started.Parallelism = n[w.chance.pick(len(n))]
	}
	at := ""
	if started.Parallelism > 0 {
		at = fmt.Sprintf(" at parallelism %d", started.Parallelism)
	}
	w.note("process %d starts%s%s", w.report.Processes, at, w.user.says())
	faults := w.chance.happened()
	e, err := start(ctx, started)
	switch {
	case p.dead:
		return false, nil
	case err != nil && w.refused(err):
		return false, nil
	case err != nil:
		if (w.chance.happened() > faults || w.user.doubts) && mayTryAgain(err) {
			w.note("the start is refused: %v", err)
			return false, nil
		}
		return false, fmt.Errorf("start the job: %w", err)
	case p.step == nil: // an earlier process had finished
		r, err := e.Wait()
		w.note("%s", r.Status)
		for dir := range w.watch.drained {
			if strings.Contains(r.Text, dir) { // the process that drained it has died at its very end
				w.user.follows = dir
			}
		}
		return true, errors.Join(err, w.user.finishedBefore())
	}
	if err := w.started(); err != nil {
		return false, err
	}
	defer p.bury()
	if err := p.live(e, cancel); err != nil || p.dead {
		p.dead = true
		return false, err
	}
	p.dead = true // nobody does anything after the end
	r, err := e.Wait()
	w.note("%s", r.Status)
	w.count(e)
	if err != nil && w.chance.happened() > faults && (mayTryAgain(err) || errors.Is(err, errFault)) {
		w.note("for this reason: %v", err)
		return false, nil
	}
	return w.ended(r, err), err
}

func (w *World) count(e *jobmaster.Execution) {
	s := e.Snapshot()
	w.report.Completed += s.Checkpoint.Completed
	w.report.Restarts += s.Restarts
}

// mayTryAgain reports whether the user can give the same command again, when a start was refused.
func mayTryAgain(err error) bool {
	var refused *start.Error
	return errors.As(err, &refused) && refused.Code == exitcode.Refused
}

// What can happen in any turn.
const (
	turnKill = iota
	turnAbort
	turnSuspend
	turnJump
	turnTaskFails
	turnRescale
	turnAsk
	turnTroubles
)

// live takes turns until the process has ended or died.
func (p *process) live(e *jobmaster.Execution, suspend func()) error {
	defer func() {
		if p.dead {
			p.count(e)
		}
	}()
	return p.turnsUntilEnd(func() bool {
		what, detail, ok := p.chance.trouble(1, turnTroubles)
		if ok {
			p.suffer(what, detail, e, suspend)
		}
		if what, detail, ok := p.chance.asks.happens(1, 1); ok && !p.dead {
			p.ask(what+detail, e)
		}
		return !p.dead
	})
}

// turnsUntilEnd takes turns until the process has ended or died. before is called before each, and reports whether it is still alive.
func (p *process) turnsUntilEnd(before func() bool) error {
	for !p.ended && !p.dead {
		if !before() {
			return nil
		}
		if !p.turn() && !p.ended && !p.rest() {
			return errors.New("the job stands still: nobody has anything to do, and it has not ended")
		}
		if p.watch.broken != nil {
			return p.watch.broken
		}
		if p.turns > mostTurns {
			return fmt.Errorf("the job does not end: %d turns, and it runs for %v", p.turns, p.elapsed)
		}
	}
	return nil
}

// suffer lets something happen to the process as a whole.
func (p *process) suffer(what, detail int, e *jobmaster.Execution, suspend func()) {
	switch what {
	case turnKill:
		p.die(detail, "between two steps")
	case turnAbort:
		p.note("the user ends the process at once")
		e.Abort()
	case turnSuspend:
		p.note("the user stops the job")
		suspend()
	case turnJump:
		by := []time.Duration{time.Hour, -time.Hour, 3 * time.Second, -3 * time.Second, 30 * 24 * time.Hour}[detail%5]
		p.note("the wall clock jumps by %v", by)
		p.skew += by
	case turnTaskFails:
		p.fail = true
	case turnRescale:
		p.rescale(detail, e)
	case turnAsk:
		p.ask(detail, e)
	}
}

// rescale changes the parallelism of one step while the job runs, if there is a choice.
func (p *process) rescale(detail int, e *jobmaster.Execution) {
	steps, choice := e.Snapshot().Steps, p.config.Parallelism
	if len(steps) == 0 || len(choice) == 0 {
		return
	}
	step, n := steps[detail%len(steps)].Name, choice[detail/len(steps)%len(choice)]
	p.note("the user wants %q at parallelism %d", step, n)
	e.RescaleThen(step, n, func(err error) {
		if err != nil {
			p.note("that does not happen: %v", err)
			return
		}
		p.note("%q runs at parallelism %d", step, n)
	})
}
