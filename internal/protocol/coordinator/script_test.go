package coordinator

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/weirstream/weir/internal/element"
	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/protocol/reason"
	"github.com/weirstream/weir/internal/protocol/sharing"
	"github.com/weirstream/weir/internal/protocol/snapshot"
	"github.com/weirstream/weir/internal/script"
)

// TestScripts plays testdata: what a driver reports to the coordinator of a small job, and what the coordinator has it do. The driver of
// the scripts answers each action at once with success, except for those named by "hold"; these are answered by a command. Its clock
// stands still except in "wait", which fires the timers that come due.
//
//	vertex NAME PARALLELISM [<INPUT] [<<INPUT] [+coordinator]   adds a vertex; < is a pointwise edge, << one from all to all
//	job KEY=VALUE...                                            makes the coordinator of the vertices so far
//	restored ID... from=ID last=ID                              after an id: ! damaged, * someone else's, + claimed, s savepoint
//	    [chk-ID=PATH,...] [others=PATH,...] [obsolete=ID] [+unsure]    what they share, and what others do in the same place
//	request KIND [target=DIR] [+native] [+drain] [+cancel]      KIND as it is printed, such as "stop with savepoint"
//	backlog VERTEX on|off                                       its source begins to work off a backlog, or has caught up
//	expire N                                                    N checkpoints, one after the other, run into their timeout
//	reasons                                                     every reason there is, and what it does to a job
//	run [RANDOM]                                                new attempts of all tasks run, and the job with them
//	ack ID TASK... | all [+finished-on-restore] [+union] ...    acknowledges with state; TASK is NAME/INDEX[#ATTEMPT]
//	    [processed=N] [persisted=N] [+unaligned]                what else it has measured
//	    [shared=PATH,...]                                       files that others may share; with / at the end, a directory of them
func TestScripts(t *testing.T) {
	script.Run(t, "testdata/*.txt", func() script.Player { return (&player{}).play })
}

var epoch = time.UnixMilli(0).UTC()

type player struct {
	job     Job
	byName  map[string]int
	c       *Coordinator
	now     time.Time
	timers  map[Timer]time.Time
	hold    map[string]bool
	attempt int

	t   *testing.T
	out []string
}

func (p *player) play(t *testing.T, words []string) []string {
	p.t, p.out = t, nil
	args := words[1:]
	switch words[0] {
	case "vertex":
		p.addVertex(args)
	case "graph":
		p.job, p.byName = Job{}, nil
	case "job":
		p.newJob(args)
	case "hold":
		for _, w := range args {
			p.hold[w] = true
		}
	case "let":
		for _, w := range args {
			delete(p.hold, w)
		}
	case "skip": // timers will fire late
		p.now = p.now.Add(p.duration(args[0]))
	case "wait":
		p.wait(args[0])
	case "stats":
		p.printStats()
	case "retained":
		p.say("%s", describeRetained(p.c.Retained()))
	case "reasons":
		p.printReasons()
	default:
		if !p.playTask(words[0], args) && !p.playAnswer(words[0], args) && !p.playJob(words[0], args) {
			t.Fatalf("unknown command %q", words)
		}
	}
	p.drain()
	return p.out
}

func (p *player) say(format string, args ...any) { p.out = append(p.out, fmt.Sprintf(format, args...)) }

func (p *player) addVertex(args []string) {
	if p.byName == nil {
		p.byName = map[string]int{}
	}
	name := args[0]
	v := Vertex{ID: job.VertexID(job.OperatorIDOf(name)), Name: name, Parallelism: p.number(args[1])}
	op := Operator{ID: job.OperatorIDOf(name), Name: name, MaxParallelism: 128}
	for _, w := range args[2:] {
		switch {
		case w == "+coordinator":
			op.HasCoordinator = true
		case strings.HasPrefix(w, "<<"):
			v.Inputs = append(v.Inputs, Input{From: p.byName[w[2:]], AllToAll: true})
		default:
			v.Inputs = append(v.Inputs, Input{From: p.byName[w[1:]]})
		}
	}
	v.Operators = []Operator{op}
	p.byName[name] = len(p.job.Vertices)
	p.job.Vertices = append(p.job.Vertices, v)
}

func (p *player) newJob(args []string) {
	cfg := DefaultConfig()
	cfg.Interval, cfg.Timeout = time.Second, 10*time.Second
	for _, w := range args {
		key, value, _ := strings.Cut(w, "=")
		switch key {
		case "interval":
			cfg.Interval = p.duration(value)
		case "timeout":
			cfg.Timeout = p.duration(value)
		case "min-pause":
			cfg.MinPause = p.duration(value)
		case "tolerable":
			cfg.TolerableFailures = p.number(value)
		case "retained":
			cfg.NumRetained = p.number(value)
		case "concurrent":
			cfg.MaxConcurrent = p.number(value)
		case "backlog":
			cfg.BacklogInterval = new(p.duration(value))
		case "only-while-all-run":
			cfg.OnlyWhileAllRun = true
		case "final-checkpoint":
			cfg.FinalCheckpoint = true
		case "history":
			cfg.History = p.number(value)
		case "retention":
			cfg.Retention = Retention(slices.Index(retentionNames[:], value))
		default:
			p.t.Fatalf("unknown option %q", w)
		}
	}
	if err := cfg.Validate(); err != nil {
		p.out = strings.Split(err.Error(), "\n")
		return
	}
	p.c = New(cfg, p.job)
	p.now, p.timers, p.hold, p.attempt = epoch, map[Timer]time.Time{}, map[string]bool{}, 0
}

// playTask plays what tasks do.
func (p *player) playTask(command string, args []string) bool {
	switch command {
	case "ack":
		p.ack(args)
	case "decline":
		why, ok := reason.Parse(args[2])
		if !ok {
			p.t.Fatalf("unknown reason %q", args[2])
		}
		p.c.Decline(p.task(args[1]), p.id(args[0]), why, strings.Join(args[3:], " "), p.now)
	case "metrics":
		p.c.Metrics(p.task(args[1]), p.id(args[0]), TaskMetrics{Sync: p.duration(args[2])})
	case "deployed":
		p.c.TaskDeployed(p.task(args[0]))
	case "running":
		p.each(args, func(a job.Attempt) { p.c.TaskRunning(a) })
	case "failed":
		p.each(args, func(a job.Attempt) { p.c.TaskFailed(a, p.now) })
	case "finished":
		p.each(args, func(a job.Attempt) { p.c.TaskFinished(a, p.now) })
	case "end-of-data":
		p.each(args, func(a job.Attempt) { p.c.EndOfData(a, p.now) })
	default:
		return false
	}
	return true
}

// playJob plays what happens to the job.
func (p *player) playJob(command string, args []string) bool {
	switch command {
	case "restored":
		p.restored(args)
	case "run":
		random := 0.0
		if len(args) > 0 {
			random, _ = strconv.ParseFloat(args[0], 64)
		}
		p.attempt++
		p.each([]string{"all"}, p.c.TaskRunning)
		p.c.JobRunning(p.now, random)
	case "job-running":
		p.c.JobRunning(p.now, 0)
	case "stop":
		p.c.JobNotRunning(p.now)
	case "failover":
		p.c.Failover(p.now)
	case "rescaled": // VERTEX PARALLELISM: the step has other tasks now
		v := slices.IndexFunc(p.job.Vertices, func(v Vertex) bool { return v.Name == args[0] })
		p.job.Vertices = slices.Clone(p.job.Vertices)
		p.job.Vertices[v].Parallelism, _ = strconv.Atoi(args[1])
		p.c.Rescaled(p.job)
	case "restore":
		p.c.RestoreLatest(p.now)
	case "damaged":
		p.c.Damaged(p.id(args[0]))
	case "end":
		p.c.End(EndStatus(slices.Index(endNames[:], args[0])), p.now)
	case "request":
		if id, err := p.c.Request(p.wish(args), p.now); err != nil {
			p.say("error: %v", err)
		} else {
			p.say("request %d", id)
		}
	case "backlog":
		p.c.Backlog(p.job.Vertices[p.byName[args[0]]].Operators[0].ID, args[1] == "on", p.now)
	case "stopped-with":
		pointer, ok := p.c.StoppedWith()
		p.say("%s %v, stopping %v", pointer, ok, p.c.Stopping())
	case "requests":
		for range p.number(args[0]) {
			p.c.submit(Request{Kind: Configured}, p.now)
		}
	case "tick": // a periodic request without its timer
		p.c.submit(Request{Kind: Periodic}, p.now)
	case "queue":
		kinds := map[string]int{}
		for _, r := range p.c.queue.list {
			kinds[r.Kind.String()]++
		}
		for _, kind := range slices.Sorted(maps.Keys(kinds)) {
			p.say("%d x %s", kinds[kind], kind)
		}
	case "fire": // a timer that is late, or not armed at all
		kind := PeriodicTimer
		if args[0] == "expiry" {
			kind, args = ExpiryTimer, args[1:]
		}
		p.c.TimerFired(Timer{Kind: kind, N: int64(p.number(args[0]))}, p.now)
	case "expire": // so many checkpoints, one after the other; only the last is told
		for range p.number(args[0]) {
			p.c.submit(Request{Kind: Configured}, p.now)
			p.drain()
			p.out = nil
			p.wait(p.c.cfg.Timeout.String())
		}
	default:
		return false
	}
	return true
}

func (p *player) wish(args []string) (r Request) {
	var kind []string
	for _, w := range args {
		target, ok := strings.CutPrefix(w, "target=")
		switch {
		case ok:
			r.Target = target
		case w == "+native":
			r.Native = true
		case w == "+drain":
			r.Drain = true
		case w == "+cancel":
			r.Cancel = true
		default:
			kind = append(kind, w)
		}
	}
	r.Kind = RequestKind(slices.Index(kindNames[:], strings.Join(kind, " ")))
	return r
}

// playAnswer plays answers to actions that are on hold.
func (p *player) playAnswer(command string, args []string) bool {
	switch command {
	case "id":
		p.c.IDAllocated(p.id(args[0]), p.now)
	case "location":
		p.answerLocation(p.id(args[0]))
	case "coordinators":
		p.answerCoordinators(p.id(args[0]))
	case "sent":
		p.c.TriggersSent(p.id(args[0]), p.now)
	case "trigger-failed":
		why, _ := reason.Parse(args[1])
		p.c.TriggerFailed(p.id(args[0]), why, strings.Join(args[2:], " "), p.now)
	case "metadata":
		p.answerMetadata(p.id(args[0]))
	case "metadata-failed":
		p.c.MetadataFailed(p.id(args[0]), strings.Join(args[1:], " "), false, p.now)
	case "metadata-unknown":
		p.c.MetadataFailed(p.id(args[0]), strings.Join(args[1:], " "), true, p.now)
	case "cleaned":
		p.c.CleaningDone(p.id(args[0]), p.now)
	case "cleaning-failed":
		p.c.CleaningFailed(p.id(args[0]), p.now)
	case "gone":
		p.c.Gone(p.id(args[0]))
	default:
		return false
	}
	return true
}

func (p *player) answerCoordinators(id job.CheckpointID) {
	states := map[job.OperatorID][]byte{}
	for _, v := range p.job.Vertices {
		for _, op := range v.Operators {
			if op.HasCoordinator {
				states[op.ID] = fmt.Appendf(nil, "splits of %s", op.Name)
			}
		}
	}
	p.c.CoordinatorsSnapshotted(id, states, p.now)
}

// answerLocation makes a directory for a savepoint.
func (p *player) answerLocation(id job.CheckpointID) {
	location := ""
	if t := p.c.triggering; t != nil && t.pending != nil && t.pending.isSavepoint() {
		location = fmt.Sprintf("savepoint-%d", id)
	}
	p.c.LocationReady(id, location, p.now)
}

func (p *player) answerMetadata(id job.CheckpointID) {
	pointer := fmt.Sprintf("chk-%d", id)
	if pending := p.c.find(id); pending != nil && pending.isSavepoint() {
		pointer = pending.location
	}
	p.c.MetadataWritten(id, pointer, 100, p.now)
}

func (p *player) restored(args []string) {
	var r Restoration
	r.Uses = map[string]sharing.Uses{}
	for _, w := range args {
		key, value, set := strings.Cut(w, "=")
		switch {
		case key == "obsolete":
			id := p.id(value)
			r.Obsolete = append(r.Obsolete, Retained{ID: id, Pointer: fmt.Sprintf("chk-%d", id)})
		case key == "others":
			r.Others = append(r.Others, usesOf(value))
		case key == "+unsure":
			r.Unsure = true
		case strings.HasPrefix(key, "chk-"):
			r.Uses[key] = usesOf(value)
		case key == "from":
			r.From = p.id(value)
		case key == "last":
			r.LastID = p.id(value)
		case !set:
			id := p.id(strings.TrimRight(w, "!*+s"))
			r.Retained = append(r.Retained, Retained{
				ID: id, Pointer: fmt.Sprintf("chk-%d", id), Damaged: strings.Contains(w, "!"), Foreign: strings.Contains(w, "*"),
				Claimed: strings.Contains(w, "+"), Savepoint: strings.Contains(w, "s"),
			})
		}
	}
	p.c.Restored(r, p.now)
}

// usesOf reads shared files, and directories that end with /.
func usesOf(list string) (u sharing.Uses) {
	for _, path := range strings.Split(list, ",") {
		if dir, ok := strings.CutSuffix(path, "/"); ok {
			u.Directories = append(u.Directories, dir)
		} else {
			u.Streams = append(u.Streams, snapshot.Stream{Scope: snapshot.Shared, Path: path, Length: 5})
		}
	}
	return u
}

// ack acknowledges for the tasks named. Each has one list state in a file of 10 bytes, or none with "+stateless".
func (p *player) ack(args []string) {
	state := snapshot.Task{}
	mode, stateless, m := snapshot.Split, false, TaskMetrics{StartDelay: time.Millisecond, Sync: 2 * time.Millisecond, NewBytes: 10}
	var tasks []string
	var shared sharing.Uses
	for _, w := range args[1:] {
		if list, ok := strings.CutPrefix(w, "shared="); ok {
			shared = usesOf(list)
			continue
		}
		if key, value, set := strings.Cut(w, "="); set {
			measured := map[string]*int64{"processed": &m.ProcessedBytes, "persisted": &m.PersistedBytes}
			*measured[key] = int64(p.number(value))
			continue
		}
		switch w {
		case "+unaligned":
			m.Unaligned = true
		case "+finished-on-restore":
			state.FinishedOnRestore = true
		case "+operators-finished":
			state.OperatorsFinished = true
		case "+union":
			mode = snapshot.Union
		case "+stateless":
			stateless = true
		case "+strange":
			state.Operators = []snapshot.Operator{{ID: job.OperatorIDOf("strange")}}
		default:
			tasks = append(tasks, w)
		}
	}
	p.each(tasks, func(a job.Attempt) {
		own := state
		if own.FinishedOnRestore {
			own.OperatorsFinished = true
		} else if own.Operators == nil {
			file := snapshot.Stream{Path: "file", Length: 10}
			sub := &snapshot.OperatorSubtask{Lists: []snapshot.List{{Name: "offsets", Mode: mode, Stream: file}}}
			for _, s := range shared.Streams {
				sub.Keyed = append(sub.Keyed, snapshot.Keyed{Stream: s})
			}
			own.Directories = shared.Directories
			own.Operators = []snapshot.Operator{{ID: job.OperatorID(a.Subtask.Vertex), State: sub}}
		}
		if stateless {
			p.c.Ack(a, p.id(args[0]), nil, m, p.now)
		} else {
			p.c.Ack(a, p.id(args[0]), &own, m, p.now)
		}
	})
}

// each calls f for the tasks named, or for all with "all".
func (p *player) each(names []string, f func(job.Attempt)) {
	for _, name := range names {
		if name != "all" {
			f(p.task(name))
			continue
		}
		for _, v := range p.job.Vertices {
			for i := range v.Parallelism {
				f(job.Attempt{Subtask: job.Subtask{Vertex: v.ID, Index: i}, Number: p.attempt})
			}
		}
	}
}

func (p *player) task(name string) job.Attempt {
	a := job.Attempt{Number: p.attempt}
	name, number, set := strings.Cut(name, "#")
	if set {
		a.Number = p.number(number)
	}
	vertex, index, _ := strings.Cut(name, "/")
	v, ok := p.byName[vertex]
	if !ok {
		p.t.Fatalf("unknown vertex %q", vertex)
	}
	a.Subtask = job.Subtask{Vertex: p.job.Vertices[v].ID, Index: p.number(index)}
	return a
}

func (p *player) number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		p.t.Fatal(err)
	}
	return n
}

func (p *player) id(s string) job.CheckpointID { return job.CheckpointID(p.number(s)) }

func (p *player) duration(s string) time.Duration {
	d, err := time.ParseDuration(s)
	if err != nil {
		p.t.Fatal(err)
	}
	return d
}

// wait lets time pass, timer by timer.
func (p *player) wait(d string) {
	until := p.now.Add(p.duration(d))
	for {
		next, at := Timer{}, until
		for timer, due := range p.timers {
			if !due.After(at) && (next == Timer{} || due.Before(at)) {
				next, at = timer, due
			}
		}
		p.now = later(p.now, at)
		if (next == Timer{}) {
			return
		}
		delete(p.timers, next)
		p.say("at %v: %s", p.now.Sub(epoch), describeTimer(next))
		p.c.TimerFired(next, p.now)
		p.drain()
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// drain prints and performs actions until there are none.
func (p *player) drain() {
	for p.c != nil {
		actions := p.c.Actions()
		if len(actions) == 0 {
			return
		}
		for _, a := range actions {
			p.say("%s", p.describe(a))
			p.perform(a)
		}
	}
}

func (p *player) perform(a Action) {
	switch a := a.(type) {
	case ArmTimer:
		p.timers[a.Timer] = p.now.Add(a.After)
	case DisarmTimer:
		delete(p.timers, a.Timer)
	case AllocateID:
		p.answer("id", func() { p.c.IDAllocated(a.ID, p.now) })
	case InitLocation:
		p.answer("location", func() { p.answerLocation(a.ID) })
	case SnapshotCoordinators:
		p.answer("coordinators", func() { p.answerCoordinators(a.ID) })
	case SendTrigger:
		p.answer("sent", func() { p.c.TriggersSent(a.ID, p.now) })
	case WriteMetadata:
		p.answer("metadata", func() { p.answerMetadata(a.ID) })
	case Discard:
		p.answer("cleaned", func() { p.c.CleaningDone(a.ID, p.now) })
	}
}

func (p *player) answer(name string, f func()) {
	if !p.hold[name] {
		f()
	}
}

func (p *player) describe(a Action) string {
	switch a := a.(type) {
	case AllocateID:
		return fmt.Sprintf("allocate id %d", a.ID)
	case InitLocation:
		if a.Savepoint {
			return strings.TrimRight(fmt.Sprintf("init savepoint location %d %s", a.ID, a.Target), " ")
		}
		return fmt.Sprintf("init location %d", a.ID)
	case SnapshotCoordinators:
		return fmt.Sprintf("snapshot %d coordinators for %d", len(a.Operators), a.ID)
	case SendTrigger:
		return fmt.Sprintf("send%s trigger %d%s to %s", describeSnapshot(a.Snapshot), a.ID, in(a.Location), p.attempts(a.Tasks))
	case WriteMetadata:
		if a.Savepoint != (a.Metadata.Kind == snapshot.Savepoint) {
			return fmt.Sprintf("metadata of a %v for a savepoint: %v", a.Metadata.Kind, a.Savepoint)
		}
		return fmt.Sprintf("write %smetadata %d%s: %s", strings.TrimLeft(describeSnapshot(element.Snapshot{Stop: a.Stop})+" ", " "), a.ID, in(a.Location), describeMetadata(a.Metadata))
	case NotifyComplete:
		subsumed := ""
		if a.Subsumed != 0 {
			subsumed = fmt.Sprintf(", subsumed %d", a.Subsumed)
		}
		return fmt.Sprintf("notify complete %d%s: %s", a.ID, subsumed, p.attempts(a.Tasks))
	case NotifyAborted:
		return fmt.Sprintf("notify aborted %d, latest %d: %s", a.ID, a.Latest, p.attempts(a.Tasks))
	case Discard:
		what := "discard"
		if a.Claimed {
			what += " claimed"
		}
		if a.Savepoint {
			what += " savepoint"
		}
		return strings.TrimRight(fmt.Sprintf("%s %d %s", what, a.ID, a.Pointer+a.Location), " ")
	case DiscardShared:
		return strings.Join(append(append([]string{"discard shared"}, a.Files...), a.Directories...), " ")
	case DiscardState:
		expired := ""
		if a.Expired {
			expired = ", expired"
		}
		return fmt.Sprintf("discard state of %s for %d%s%s", p.attempts([]job.Attempt{a.Attempt}), a.ID, in(a.Location), expired)
	case ArmTimer:
		return fmt.Sprintf("arm %s after %v", describeTimer(a.Timer), a.After)
	case DisarmTimer:
		return fmt.Sprintf("disarm %s", describeTimer(a.Timer))
	case Completed:
		return fmt.Sprintf("completed %d (%s, request %d): %v, %d bytes", a.Stats.ID, a.Stats.Kind, a.Request, a.Stats.Duration, a.Stats.StateBytes)
	case Failed:
		return fmt.Sprintf("failed %d (%s, request %d): %s", a.Stats.ID, a.Stats.Kind, a.Request, withCause(a.Stats.Reason, a.Stats.Cause))
	case Refused:
		return fmt.Sprintf("refused %s, request %d: %s", a.Kind, a.Request, withCause(a.Reason, a.Cause))
	case FailJob:
		if a.Permanent {
			return fmt.Sprintf("fail job for good: %s", a.Message)
		}
		return fmt.Sprintf("fail job: %s", a.Message)
	case Stopped:
		drained := ""
		if a.Drained {
			drained = ", drained"
		}
		return fmt.Sprintf("stopped with savepoint %d (request %d): %s%s", a.ID, a.Request, a.Pointer, drained)
	case Restore:
		if a.Found {
			return fmt.Sprintf("restore %d", a.From.ID)
		}
		return fmt.Sprintf("nothing to restore, damaged %v", a.Damaged)
	case Ended:
		return fmt.Sprintf("ended %s, kept %s", a.Status, describeRetained(a.Kept))
	}
	return fmt.Sprintf("%#v", a)
}

// describeSnapshot returns words that begin with a space, none for what is most usual.
func describeSnapshot(s element.Snapshot) string {
	words := [...]string{"", " full", " savepoint", " native savepoint"}[s.Kind]
	return words + [...]string{"", " suspend", " drain"}[s.Stop]
}

func in(location string) string {
	if location == "" {
		return ""
	}
	return " in " + location
}

func withCause(why reason.Reason, cause string) string {
	if cause == "" {
		return why.String()
	}
	return why.String() + ": " + cause
}

func describeTimer(t Timer) string {
	if t.Kind == PeriodicTimer {
		return fmt.Sprintf("periodic timer %d", t.N)
	}
	return fmt.Sprintf("expiry of %d", t.N)
}

func describeRetained(list []Retained) string {
	words := []string{"["}
	for _, r := range list {
		word := strconv.Itoa(int(r.ID))
		if r.Damaged {
			word += "!"
		}
		if r.Foreign {
			word += "*"
		}
		if r.Claimed {
			word += "+"
		}
		if r.Savepoint {
			word += "s"
		}
		words = append(words, word)
	}
	return strings.Join(append(words, "]"), " ")
}

// attempts names tasks; the number is left out for a first attempt.
func (p *player) attempts(list []job.Attempt) string {
	words := []string{}
	for _, a := range list {
		word := fmt.Sprintf("%s/%d", p.job.Vertices[p.c.vertices[a.Subtask.Vertex]].Name, a.Subtask.Index)
		if a.Number != 1 {
			word += fmt.Sprintf("#%d", a.Number)
		}
		words = append(words, word)
	}
	if len(words) == 0 {
		return "nobody"
	}
	return strings.Join(words, " ")
}

// describePart says how many of the subtasks of a finished step have left something, if some have and some have not.
func describePart(subtasks []*snapshot.OperatorSubtask) string {
	n := 0
	for _, s := range subtasks {
		n += count(s != nil)
	}
	if n == 0 || n == len(subtasks) {
		return ""
	}
	return fmt.Sprintf(" but for lists of %d", n)
}

func describeMetadata(m *snapshot.Metadata) string {
	var words []string
	for _, op := range m.Operators {
		switch {
		case op.FullyFinished:
			words = append(words, op.Name+" fully finished"+describePart(op.Subtasks))
			continue
		case op.Coordinator != nil:
			words = append(words, fmt.Sprintf("%s (%s)", op.Name, op.Coordinator))
		default:
			words = append(words, op.Name)
		}
		for _, s := range op.Subtasks {
			switch {
			case s == nil:
				words = append(words, "-")
			case s.Finished:
				words = append(words, "finished")
			default:
				words = append(words, "state")
			}
		}
	}
	return strings.Join(words, " ")
}

func (p *player) printStats() {
	s := p.c.Stats()
	p.say("counts %+v", s.Counts)
	for _, cs := range s.History {
		status := [...]string{"in progress", "completed", "failed"}[cs.Status]
		if cs.Discarded {
			status += ", discarded"
		}
		if cs.Unaligned {
			status += ", unaligned"
		}
		p.say("%d %s, %d of %d acked, %v, %d bytes, %d new", cs.ID, status, cs.Acked, cs.Tasks, cs.Duration, cs.StateBytes, cs.NewBytes)
		details, _ := p.c.Checkpoint(cs.ID)
		for _, v := range details.Vertices {
			for i, sub := range v.Subtasks {
				if sub != (SubtaskStats{}) {
					p.say("  %s/%d acked %v after %v, delay %v, sync %v, %d bytes", v.Name, i, sub.Acked, sub.Duration, sub.Metrics.StartDelay, sub.Metrics.Sync, sub.StateBytes)
				}
			}
		}
	}
	if s.LatestCompleted != nil {
		p.say("latest completed %d", s.LatestCompleted.ID)
	}
	if s.LatestSavepoint != nil {
		p.say("latest savepoint %d", s.LatestSavepoint.ID)
	}
	if s.LatestFailed != nil {
		p.say("latest failed %d: %v", s.LatestFailed.ID, s.LatestFailed.Reason)
	}
	if s.LatestRestore != nil {
		p.say("latest restore %d", s.LatestRestore.From.ID)
	}
	for _, m := range []struct {
		name string
		Measure
	}{
		{"duration ms", s.DurationMillis}, {"state bytes", s.StateBytes}, {"new bytes", s.NewBytes},
		{"processed bytes", s.ProcessedBytes}, {"persisted bytes", s.PersistedBytes},
	} {
		if m.Sum == 0 && strings.HasPrefix(m.name, "p") {
			continue // as long as nobody was measured in flight
		}
		p.say("%s: min %d, average %d, max %d of %d", m.name, m.Min, m.Average(), m.Max, m.Count)
	}
}

// printReasons says of every reason when it arises, whether it counts, and whose failure for it fails a job that tolerates none. A request
// that never became a checkpoint has no id and nobody to blame.
func (p *player) printReasons() {
	blamed := job.Attempt{Number: 1}
	whose := []struct {
		name    string
		id      job.CheckpointID
		kind    RequestKind
		attempt job.Attempt
	}{
		{"a request", 0, Periodic, job.Attempt{}},
		{"a checkpoint", 1, Periodic, job.Attempt{}},
		{"a task's checkpoint", 1, Periodic, blamed},
		{"a savepoint", 1, Savepoint, job.Attempt{}},
		{"a task's savepoint", 1, Savepoint, blamed},
		{"a stop", 1, StopWithSavepoint, job.Attempt{}},
		{"a task's stop", 1, StopWithSavepoint, blamed},
	}
	for why := reason.None + 1; why.String() != "UNKNOWN"; why++ {
		when, counts := "in flight", "not counted"
		if why.PreFlight() {
			when = "pre-flight"
		}
		if why.Counted() {
			counts = "counted"
		}
		var fails []string
		for _, w := range whose {
			var f failures
			if f.failure(w.id, w.kind, failure{why: why, attempt: w.attempt}) {
				fails = append(fails, w.name)
			}
		}
		p.say("%s", strings.TrimRight(fmt.Sprintf("%-44s %-10s %-11s %s", why, when, counts, strings.Join(fails, ", ")), " "))
	}
}
