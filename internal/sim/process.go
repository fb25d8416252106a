package sim

import (
	"context"
	"fmt"
	"iter"
	"path"
	"slices"
	"time"

	"github.com/weirstream/weir/internal/cluster/local"
	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/protocol/coordinator"
	"github.com/weirstream/weir/internal/runtime/task"
)

// process is one process of the job, from its start to its end or death. It is the job's local.Scheduler.
type process struct {
	*World
	dead    bool
	step    func() (worked, ended bool)
	ended   bool
	tasks   []*simTask
	clerk   []*strand // in order; the first may run
	strands []*strand // beside
	links   []*link   // those that have messages under way
	timers  []*timer
	stepped *simTask // the task that is being stepped, or whose strand runs
	strand  *strand  // that runs
	fail    bool     // the next task that reads fails
	cut     int      // messages that may be lost and will be
	outage  int      // effects that will fail,
	after   int      // with a bit for each that says whether it does so after it has done its work
}

// simTask is a task in a simulation. It is stepped by the scheduler; one that parks is not stepped before it is woken, so that a wake-up that
// is lost shows as a job that stands still.
type simTask struct {
	*task.Task
	ctx     context.Context
	state   taskState
	err     error
	parked  bool
	until   time.Duration // when a parked task goes on although nobody woke it; 0 for never
	strands int           // that run beside it
	reads   []string      // what it has read while it was opened: see unitOf
}

type taskState int

const (
	fresh taskState = iota
	opening
	running
	closing // once nothing runs beside it
)

// strand is work that is done in pieces.
type strand struct {
	task   *simTask // beside which it runs; nil for the master
	resume func() (struct{}, bool)
	yield  func(struct{}) bool
	until  time.Duration // it stands still
	ready  func() bool   // what it waits for; nil for nothing
}

// canGoOn reports whether the strand has something to do at a time.
func (s *strand) canGoOn(now time.Duration) bool { return s.until <= now && !s.waits() }

func (s *strand) waits() bool { return s.ready != nil && !s.ready() }

// link holds the messages from one to another, in order.
type link struct {
	task     job.Attempt
	toTask   bool
	messages []message
}

type message struct {
	local.Message
	deliver func()
	until   time.Duration // it is on its way
}

type timer struct {
	at   time.Duration
	f    func()
	done bool
}

// The methods of local.Scheduler.

func (p *process) Master(step func() (worked, ended bool)) { p.step = step }

func (p *process) Task(ctx context.Context, t *task.Task) {
	p.watch.deployed(t.Attempt)
	p.tasks = append(p.tasks, &simTask{Task: t, ctx: ctx})
}

func (p *process) Beside(work func()) {
	if p.dead {
		work()
		return
	}
	p.strands = append(p.strands, p.newStrand(p.stepped, work))
}

func (p *process) InOrder(work func()) {
	if !p.dead {
		p.clerk = append(p.clerk, p.newStrand(nil, work))
	}
}

func (p *process) newStrand(beside *simTask, work func()) *strand {
	s := &strand{task: beside}
	if beside != nil {
		beside.strands++
	}
	s.resume, _ = iter.Pull(func(yield func(struct{}) bool) {
		s.yield = yield
		work()
	})
	return s
}

// What can happen to a message. One that may not be lost can only be late.
const (
	messageLate = iota
	messageLost
	messageDoubled
	messagesCut // and those that follow
	messageTroubles
)

const messageWeight = 8

func (p *process) Deliver(m local.Message, deliver func()) {
	if p.dead {
		return
	}
	kinds := 1
	if m.Kind.MayBeLost() {
		kinds = messageTroubles
		if p.cut > 0 {
			p.cut--
			p.note("%s is lost too", p.describe(m))
			return
		}
	}
	what, detail, trouble := p.chance.trouble(messageWeight, kinds)
	next := message{m, deliver, 0}
	switch {
	case !trouble:
	case what == messageLate:
		next.until = p.elapsed + delay(detail)
		p.note("%s is late by %v", p.describe(m), delay(detail))
	case what == messagesCut:
		p.cut = 1 + detail%12
		p.note("%s is lost", p.describe(m))
		return
	case what == messageLost:
		p.note("%s is lost", p.describe(m))
		return
	case what == messageDoubled:
		p.note("%s comes twice, the second time after %v", p.describe(m), delay(detail))
		p.After(delay(detail), func() { p.send(next) })
	}
	p.send(next)
}

func (p *process) send(m message) {
	l := p.link(m.Message)
	l.messages = append(l.messages, m)
}

// delay is how long something takes that takes long: sometimes longer than a checkpoint may.
func delay(detail int) time.Duration {
	return []time.Duration{time.Millisecond, 6 * time.Millisecond, 25 * time.Millisecond, 80 * time.Millisecond, 300 * time.Millisecond}[detail%5]
}

func (p *process) link(m local.Message) *link {
	for _, l := range p.links {
		if l.task == m.Task && l.toTask == m.Kind.ToTask() {
			return l
		}
	}
	l := &link{task: m.Task, toTask: m.Kind.ToTask()}
	p.links = append(p.links, l)
	return l
}

func (p *process) describe(m local.Message) string {
	about := m.Kind.String()
	if m.ID != 0 {
		about = fmt.Sprintf("%s of checkpoint %d", m.Kind, m.ID)
	}
	if m.Kind.ToTask() {
		return fmt.Sprintf("the message %q to %s", about, p.nameOf(m.Task))
	}
	return fmt.Sprintf("the message %q of %s", about, p.nameOf(m.Task))
}

// nameOf says which task it is, in the user's words.
func (p *process) nameOf(a job.Attempt) string {
	for _, t := range p.tasks {
		if t.Attempt.Subtask == a.Subtask {
			return fmt.Sprintf("%s/%d#%d", t.Name, a.Subtask.Index, a.Number)
		}
	}
	return a.String()
}

func (p *process) After(d time.Duration, f func()) (stop func()) {
	t := &timer{at: p.elapsed + d, f: f}
	at, _ := slices.BinarySearchFunc(p.timers, t, func(a, b *timer) int {
		if a.at <= b.at {
			return -1 // behind those of the same time
		}
		return 1
	})
	p.timers = slices.Insert(p.timers, at, t)
	return func() { t.done = true }
}

func (p *process) Sleep(d time.Duration) {
	if p.dead {
		return
	}
	if p.strand != nil {
		p.strand.until = p.elapsed + d
		p.pause()
		return
	}
	p.elapsed += d
}

func (p *process) Await(ready func() bool) {
	s := p.strand
	s.ready = ready
	for s.waits() && !p.dead {
		p.pause()
	}
	s.ready = nil
}

func (p *process) Random() float64 { return float64(p.chance.pick(1<<20)) / (1 << 20) }

func (p *process) Decided(a coordinator.Action) {
	if p.dead {
		return
	}
	switch a := a.(type) {
	case coordinator.SendTrigger:
		p.note("checkpoint %d is triggered", a.ID)
	case coordinator.Completed:
		p.note("checkpoint %d is complete", a.Stats.ID)
	case coordinator.Failed:
		p.note("checkpoint %d fails: %s %s", a.Stats.ID, a.Stats.Reason, a.Stats.Cause)
	case coordinator.FailJob:
		p.note("the job fails: %s", a.Message)
	case coordinator.Restore:
		p.note("the job restarts from checkpoint %d", a.From.ID)
	}
	p.watch.decide(a)
}

// beingRead returns what tasks read which are being restored, and the directory from which those are that have not begun to.
func (p *process) beingRead() map[string]bool {
	dirs := map[string]bool{}
	for _, t := range p.tasks {
		if t.state > opening || t.ctx.Err() != nil {
			continue
		}
		if p.watch.source != "" {
			dirs[p.watch.source] = true
		}
		for _, dir := range t.reads {
			dirs[dir] = true
		}
	}
	return dirs
}

// pause lets others do something, if that is possible where the process is.
func (p *process) pause() {
	if p.strand == nil || p.dead {
		return
	}
	s, stepped := p.strand, p.stepped
	s.yield(struct{}{})
	p.strand, p.stepped = s, stepped
}

// effect is something that a process does to the world, or asks of it.
type effect struct {
	op, on  string
	lasting bool // it changes what outlives a process
	atomic  bool // nothing happens before it in the same step: locks are held
}

// What can happen to an effect.
const (
	effectLate = iota
	effectFails
	effectFailsAfterwards
	effectIsLast // the process dies before
	effectWasLast
	effectsFail // this and some that follow
	effectTroubles
)

const effectWeight = 8

// around lets a process do something to the world, if chance has nothing against it.
func (p *process) around(e effect, do func() error) error {
	if !e.atomic {
		p.pause()
	}
	if p.dead {
		return ErrDead
	}
	what, detail, trouble := p.chance.trouble(effectWeight, effectTroubles)
	if trouble && what == effectsFail {
		p.outage, p.after = 2+detail%5, detail/5
	}
	if p.outage > 0 {
		p.outage--
		if what, trouble = effectFails, true; p.after>>p.outage%2 == 1 {
			what = effectFailsAfterwards
		}
	}
	if trouble && what == effectLate {
		p.note("to %s %s takes %v", e.op, p.short(e.on), delay(detail))
		if e.atomic {
			p.elapsed += delay(detail)
		} else {
			p.Sleep(delay(detail))
		}
		if p.dead {
			return ErrDead
		}
	}
	switch {
	case !trouble || what == effectLate:
	case what == effectFails:
		p.note("to %s %s fails", e.op, p.short(e.on))
		return errFault
	case what == effectIsLast:
		p.die(detail, fmt.Sprintf("before it could %s %s", e.op, p.short(e.on)))
		return ErrDead
	}
	err := do()
	p.tell(e.op, e.on, fmt.Sprint(err))
	if e.lasting && err == nil && !p.dead {
		p.lasting++
		if p.lasting == p.config.CrashAt {
			p.die(0, fmt.Sprintf("at step %d, after it could %s %s", p.lasting, e.op, p.short(e.on)))
		}
	}
	switch {
	case p.dead:
		return ErrDead
	case trouble && what == effectFailsAfterwards:
		p.note("to %s %s is answered by an error, after it was done", e.op, p.short(e.on))
		return errFault
	case trouble && what == effectWasLast:
		p.die(detail, fmt.Sprintf("after it could %s %s", e.op, p.short(e.on)))
		return ErrDead
	}
	return err
}

// mayDoubt lets the metadata of a checkpoint be put so that nobody knows whether they were: the answer is lost, and so is that of the second
// attempt. Then the job fails, so that it has to go back behind a checkpoint that may be found by a later start.
func (p *process) mayDoubt(file string) {
	if path.Base(file) != "_metadata" || p.dead {
		return
	}
	how, detail, ok := p.chance.doubts.happens(1, 4)
	if !ok {
		return
	}
	p.note("nobody is going to know whether %s was put", p.short(file))
	p.outage, p.after = 2+detail%2, how
	p.fail = detail/2%2 == 0
}

// taskMayFail returns an error if the task that is being stepped fails now.
func (p *process) taskMayFail() error {
	_, _, trouble := p.chance.trouble(2, 1)
	if !trouble && !p.fail || p.dead {
		return nil
	}
	p.fail = false
	p.note("%s fails", p.nameOf(p.stepped.Attempt))
	return errFault
}

// turn lets one of those who can do something do it, and reports whether there was any.
func (p *process) turn() bool {
	p.turns++
	p.fire()
	tasks, strands, links := p.awake(), p.ready(), p.arriving()
	n := len(tasks) + len(strands) + len(links) + 1
	drawn := p.chance.pick(n * 32)
	p.elapsed += time.Duration(drawn/n) * p.pace
	i := drawn % n
	switch {
	case i < len(tasks):
		p.tell("step", tasks[i].Name, "")
		p.stepTask(tasks[i])
		return true
	case i < len(tasks)+len(strands):
		p.resume(strands[i-len(tasks)])
		return true
	case i < n-1:
		p.arrive(links[i-len(tasks)-len(strands)])
		return true
	}
	worked, ended := p.step()
	p.ended = ended
	return worked || n > 1
}

// fire calls what is due, in order of time.
func (p *process) fire() {
	for len(p.timers) > 0 && (p.timers[0].done || p.timers[0].at <= p.elapsed) {
		t := p.timers[0]
		p.timers = p.timers[1:]
		if !t.done {
			t.f()
		}
	}
}

// awake returns the tasks that can be stepped.
func (p *process) awake() []*simTask {
	awake := p.scratch.tasks[:0]
	for _, t := range p.tasks {
		switch t.state {
		case opening:
			continue
		case closing:
			if t.strands > 0 {
				continue
			}
		default:
			if t.parked && t.ctx.Err() == nil && (t.until == 0 || t.until > p.elapsed) && !t.Parker.Woken() {
				continue
			}
		}
		t.parked = false
		awake = append(awake, t)
	}
	p.scratch.tasks = awake
	return awake
}

// ready returns the strands that can go on.
func (p *process) ready() []*strand {
	ready := p.scratch.strands[:0]
	if len(p.clerk) > 0 && p.clerk[0].until <= p.elapsed {
		ready = append(ready, p.clerk[0])
	}
	for _, s := range p.strands {
		if s.canGoOn(p.elapsed) {
			ready = append(ready, s)
		}
	}
	p.scratch.strands = ready
	return ready
}

// arriving returns the links on which a message arrives.
func (p *process) arriving() []*link {
	arriving := p.scratch.links[:0]
	for _, l := range p.links {
		if l.messages[0].until <= p.elapsed {
			arriving = append(arriving, l)
		}
	}
	p.scratch.links = arriving
	return arriving
}

func (p *process) arrive(l *link) {
	m := l.messages[0]
	if l.messages = l.messages[1:]; len(l.messages) == 0 {
		p.links = slices.DeleteFunc(p.links, func(o *link) bool { return o == l })
	}
	p.tell("message", m.Kind.String(), "")
	p.watch.arrived(m.Message)
	m.deliver()
}

// resume lets a strand do its next piece.
func (p *process) resume(s *strand) {
	p.strand, p.stepped = s, s.task
	_, more := s.resume()
	p.strand, p.stepped = nil, nil
	if more {
		return
	}
	is := func(o *strand) bool { return o == s }
	p.clerk, p.strands = slices.DeleteFunc(p.clerk, is), slices.DeleteFunc(p.strands, is)
	if s.task != nil {
		s.task.strands--
	}
}

func (p *process) stepTask(t *simTask) {
	p.stepped = t
	defer func() { p.stepped = nil }()
	var wait task.Wait
	switch t.state {
	case fresh:
		t.state = opening
		p.strands = append(p.strands, p.newStrand(t, func() {
			t.err = t.Open(t.ctx)
			if t.state = running; t.err != nil {
				p.close(t)
			}
		}))
		return
	case closing:
		p.tasks = slices.DeleteFunc(p.tasks, func(o *simTask) bool { return o == t })
		t.Close(t.ctx, t.err)
		return
	}
	if t.ctx.Err() == nil {
		wait, t.err = t.Step()
	}
	if t.err != nil || wait.Done || t.ctx.Err() != nil {
		p.close(t)
		return
	}
	if t.parked = wait.Park; t.parked {
		t.until = 0
		if !wait.Until.IsZero() {
			t.until = p.elapsed + max(wait.Until.Sub(p.Now()), 1)
		}
	}
}

// close lets a task come to its end once nothing runs beside it.
func (p *process) close(t *simTask) {
	t.state = closing
	t.Cancel()
}

// rest lets time pass until somebody can do something, and reports whether anybody will.
func (p *process) rest() bool {
	next := time.Duration(-1)
	sooner := func(at time.Duration) {
		if next < 0 || at < next {
			next = at
		}
	}
	for _, t := range p.timers {
		if !t.done {
			sooner(t.at)
		}
	}
	for _, t := range p.tasks {
		if t.parked && t.until > 0 && t.state == running {
			sooner(t.until)
		}
	}
	for _, l := range p.links {
		sooner(l.messages[0].until)
	}
	for _, s := range p.strands {
		if !s.waits() {
			sooner(s.until)
		}
	}
	if len(p.clerk) > 0 {
		sooner(p.clerk[0].until)
	}
	p.elapsed = max(p.elapsed, next)
	return next >= 0
}

// die ends the process at this moment. In half of the cases the machine goes down with it, and what was not made durable is gone or torn.
func (p *process) die(detail int, when string) {
	p.dead = true
	machine := detail%2 == 0
	what := "the process dies"
	if machine {
		what = "the machine goes down"
	}
	p.note("%s %s", what, when)
	if machine {
		p.files.Crash(tornBy(detail))
	}
	for _, f := range p.atDeath {
		f()
	}
}

// bury lets the code of a dead process run to where it can stop. Nothing that it does has an effect.
func (p *process) bury() {
	for len(p.strands) > 0 {
		p.resume(p.strands[0])
	}
	for len(p.clerk) > 0 {
		p.resume(p.clerk[0])
	}
	for len(p.tasks) > 0 {
		t := p.tasks[0]
		if t.state != closing {
			p.close(t)
		}
		p.stepTask(t)
	}
}

var _ local.Scheduler = (*process)(nil)

// disk returns the world's files as this process sees them.
func (p *process) disk() *disk { return &disk{p, p.files} }
