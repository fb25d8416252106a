package line

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/weirstream/weir/internal/exitcode"
	"github.com/weirstream/weir/internal/job"
)

// Decide says what a start does next, from all that is known so far. It changes nothing.
func Decide(s *Situation) Verdict {
	if why := s.Flags.contradiction(s.Record); why != "" {
		return Verdict{Do: Refuse, Code: exitcode.Usage, Text: why}
	}
	d := decision{Situation: s}
	if s.Flags.Fresh {
		return d.fresh()
	}
	if s.Record == nil {
		return d.withoutRecord()
	}
	if v, differ := d.locationsDiffer(); differ {
		return v
	}
	if s.Flags.From != nil {
		if v, decided := d.named(*s.Flags.From); decided {
			return v
		}
	}
	return d.afterEnd()
}

// contradiction says what in the flags cannot be meant together.
func (f Flags) contradiction(r *Record) string {
	switch {
	case f.Fresh && f.From != nil:
		return "--fresh and -s contradict each other: --fresh starts from nothing, -s from " + f.From.Path
	case f.Fresh && (f.Rewind || f.Withdraw || f.AcceptDuplicates):
		return "--fresh starts from nothing and moves all earlier output aside: --rewind, --withdraw and --accept-duplicates have no meaning with it"
	case f.Rewind && f.From == nil && r != nil && len(r.Jobs) > 0 && r.Job().From != nil:
		return "--rewind needs to know where to: add " + flagS(r.Job().From.Path)
	case f.Rewind && f.From == nil:
		return "--rewind needs to know where to: add -s <path of a checkpoint or savepoint>"
	}
	return ""
}

// decision is one call of Decide. Its notes collect what was skipped on the way to the verdict.
type decision struct {
	*Situation
	notes []string
}

// fresh starts from nothing because the user has asked for it.
func (d *decision) fresh() Verdict {
	next := d.nextRecord()
	next.Jobs = append(next.Jobs, Job{ID: d.NewJob, Began: d.Now.UTC(), First: next.Reserved + 1, Fresh: true})
	next.Sources, next.Sinks = maps.Clone(d.Sources), maps.Clone(d.Sinks)
	text := "fresh start, as asked with --fresh"
	if n := len(d.Found); n > 0 {
		text += fmt.Sprintf("; earlier checkpoints stay in %s (%d)", d.Dir, n)
	}
	return d.start(next, true, text)
}

// start is the verdict to begin without state; next has the job already.
func (d *decision) start(next Record, fresh bool, text string) Verdict {
	next.Completed = 0
	next, ids := next.Reserve(Block)
	return Verdict{Do: Start, Record: next, IDs: ids, Fresh: fresh, Notes: d.notes, Text: text}
}

// withoutRecord decides for a directory that has no readable record of the line.
func (d *decision) withoutRecord() Verdict {
	found := d.orphans()
	if d.Flags.From != nil {
		return d.restoreNamed(*d.Flags.From)
	}
	if d.RecordDamage != "" {
		why := fmt.Sprintf("what job %q remembers of its earlier runs cannot be read: %s", d.Name, d.RecordDamage)
		return d.refuse(why, d.choices(found))
	}
	if len(found) > 0 {
		why := fmt.Sprintf("%s holds %s of job %q, but the file that says how they belong together is gone",
			d.Dir, counted(len(found), "checkpoint"), d.Name)
		return d.refuse(why, d.choices(found))
	}
	next := d.nextRecord()
	next.Jobs = []Job{{ID: d.NewJob, Began: d.Now.UTC(), First: next.Reserved + 1}}
	return d.start(next, false, "new start: nothing of an earlier run in "+d.Dir)
}

// orphans returns the checkpoints without a record that may be this line's, newest first.
func (d *decision) orphans() []Snapshot {
	var all []Snapshot
	for _, f := range d.Found {
		if f.JobName == "" || f.JobName == d.Name {
			all = append(all, f.Snapshot)
		}
	}
	return newestFirst(all)
}

// locationsDiffer refuses a run that reads or writes elsewhere than the line does.
func (d *decision) locationsDiffer() (Verdict, bool) {
	lines := append(differences("source", d.Record.Sources, d.Sources), differences("sink", d.Record.Sinks, d.Sinks)...)
	if len(lines) == 0 {
		return Verdict{}, false
	}
	why := fmt.Sprintf("job %q in %s has always read and written elsewhere than this command:\n  %s", d.Name, d.Dir, strings.Join(lines, "\n  "))
	return d.refuse(why, []choice{
		{"", "use the earlier locations to go on"},
		besideChoice,
		freshChoice,
	}), true
}

// differences lists the steps whose location is known and now another.
func differences(kind string, was, is map[string]string) []string {
	var lines []string
	for _, step := range slices.Sorted(maps.Keys(is)) {
		if before, known := was[step]; known && before != is[step] {
			lines = append(lines, fmt.Sprintf("%s %s: was %s, now %s", kind, step, before, is[step]))
		}
	}
	return lines
}

// named decides for a snapshot named with -s. It leaves the decision open if the line has come from this snapshot and gone on: then
// a supervisor is repeating its command.
func (d *decision) named(from Snapshot) (v Verdict, decided bool) {
	r := d.Record
	if d.Flags.Rewind {
		return d.restoreNamed(from), true
	}
	if origin := r.Job().From; origin != nil && origin.same(from) {
		d.note("%s was restored already on %s and this job has gone on since; to go back to it once more add --rewind",
			flagS(from.Path), stamp(r.Job().Began))
		return Verdict{}, false
	}
	i := slices.IndexFunc(r.Jobs, func(j Job) bool { return j.From != nil && j.From.same(from) })
	if i >= 0 && !(r.Owns(from) && r.IsAbandoned(from.Checkpoint)) {
		why := fmt.Sprintf("%s was restored already on %s, and on %s the job began anew %s",
			flagS(from.Path), stamp(r.Jobs[i].Began), stamp(r.Job().Began), r.Job().how())
		return d.refuse(why, []choice{
			{flagS(from.Path) + " --rewind", "go back to it once more"},
			{"", "leave -s out to go on from where the job is now"},
			freshChoice,
		}), true
	}
	return d.restoreNamed(from), true
}

// how says how a job id began.
func (j Job) how() string {
	switch {
	case j.From != nil:
		return "from " + j.From.Path
	case j.Fresh:
		return "with --fresh"
	}
	return "from nothing"
}

// restoreNamed goes on from a snapshot that the user has named, under a new job id.
func (d *decision) restoreNamed(from Snapshot) Verdict {
	if r := d.Record; r != nil && r.Owns(from) && r.IsAbandoned(from.Checkpoint) {
		why := fmt.Sprintf("checkpoint %d (%s) belongs to a branch that job %q has left when it went back to an earlier one: its output may have been withdrawn",
			from.Checkpoint, from.Path, d.Name)
		return d.refuse(why, d.choices(d.candidates()))
	}
	if v, wait := d.wantGood(from, "the snapshot named with -s"); wait {
		return v
	}
	next := d.nextRecord()
	own := next.Owns(from)
	if own {
		next.abandon(from.Checkpoint+1, next.Reserved)
	} else {
		next.abandon(1, next.Reserved)
	}
	next.Reserved, next.Completed = max(next.Reserved, from.Checkpoint), 0
	next.Jobs = append(next.Jobs, Job{ID: d.NewJob, Began: d.Now.UTC(), First: next.Reserved + 1, From: &from})
	madeUp := d.Record == nil && next.Line == d.NewLine // then no sink can have committed anything for it
	return d.settle(plan{next: next, from: from, back: true, foreign: !own, silent: madeUp, noClaim: true})
}

// wantGood asks for a snapshot to be verified that nothing else may stand in for, and refuses if it is not good.
func (d *decision) wantGood(from Snapshot, what string) (v Verdict, wait bool) {
	switch c := d.checks[from.Path]; c.outcome {
	case Good:
		return Verdict{}, false
	case Damaged:
		why := fmt.Sprintf("%s, %s, cannot be restored: %s", what, from.Path, c.why)
		return d.refuse(why, d.choices(d.candidates())), true
	case Unreadable:
		return d.unreadable(from, c.why), true
	}
	return Verdict{Do: Verify, Path: from.Path}, true
}

// afterEnd decides by how the last run ended.
func (d *decision) afterEnd() Verdict {
	end := d.Record.End
	if end == nil || end.State == Suspended {
		return d.resumeOwn("")
	}
	kept := d.candidates()
	if !end.Kept {
		kept = nil
	}
	switch {
	case end.State == Finished:
		return d.alreadyFinished(end)
	case end.State == Failed && len(kept) > 0:
		return d.resumeOwn(fmt.Sprintf(" after the job had failed on %s: %s", stamp(end.At), end.Reason))
	case end.State == Failed && end.Kept:
		return d.refuse(fmt.Sprintf("job %q failed on %s and left no checkpoint to go on from: %s", d.Name, stamp(end.At), end.Reason), d.choices(nil))
	case end.State == Failed:
		return d.refuse(fmt.Sprintf("job %q failed on %s and its checkpoints were not to be kept: %s", d.Name, stamp(end.At), end.Reason), d.choices(nil))
	case len(kept) > 0:
		return d.refuse(fmt.Sprintf("job %q was cancelled on %s; its checkpoints were kept", d.Name, stamp(end.At)), d.choices(kept))
	case end.Kept:
		return d.refuse(fmt.Sprintf("job %q was cancelled on %s and left no checkpoint to go on from", d.Name, stamp(end.At)), d.choices(nil))
	}
	return d.refuse(fmt.Sprintf("job %q was cancelled on %s and its checkpoints were not to be kept", d.Name, stamp(end.At)), d.choices(nil))
}

func (d *decision) alreadyFinished(end *End) Verdict {
	text := fmt.Sprintf("job %q has finished already, on %s", d.Name, stamp(end.At))
	if len(d.Record.Sinks) > 0 {
		text += "; its results are in"
		for _, step := range slices.Sorted(maps.Keys(d.Record.Sinks)) {
			text += fmt.Sprintf("\n  %s (%s)", d.Record.Sinks[step], step)
		}
	}
	return Verdict{Do: AlreadyFinished, Code: exitcode.Finished, Text: text + "\nTo run it again add --fresh: earlier output is moved aside."}
}

// resumeOwn goes on from the newest checkpoint of the present job id that is not proven to be damaged.
func (d *decision) resumeOwn(after string) Verdict {
	chosen, v, wait := d.newestGood()
	if wait {
		return v
	}
	if chosen == nil {
		return d.withoutCheckpoint()
	}
	retained := slices.DeleteFunc(d.candidates(), func(c Snapshot) bool { return c.Checkpoint > chosen.Checkpoint })
	next := d.nextRecord()
	next.abandon(chosen.Checkpoint+1, d.Record.Reserved)
	next.Completed = chosen.Checkpoint
	slices.Reverse(retained)
	return d.settle(plan{next: next, from: *chosen, back: len(d.lost()) > 0, retained: retained, after: after})
}

// newestGood walks from the newest checkpoint to older ones, past those that are proven to be damaged.
func (d *decision) newestGood() (chosen *Snapshot, v Verdict, wait bool) {
	for _, c := range d.candidates() {
		switch known := d.checks[c.Path]; known.outcome {
		case Good:
			for _, lost := range d.lost() {
				d.note("%s; using %d", lost, c.Checkpoint)
			}
			return &c, Verdict{}, false
		case Damaged:
			continue
		case Unreadable:
			return nil, d.unreadable(c, known.why), true
		default:
			return nil, Verdict{Do: Verify, Path: c.Path}, true
		}
	}
	return nil, Verdict{}, false
}

// lost says which checkpoints newer than all good ones cannot be used, newest first.
func (d *decision) lost() []string {
	r := d.Record
	var lines []string
	newest := job.CheckpointID(0)
	for _, c := range d.present() {
		newest = max(newest, c.Checkpoint)
		if known := d.checks[c.Path]; known.outcome == Damaged {
			lines = append(lines, fmt.Sprintf("checkpoint %d is corrupt: %s", c.Checkpoint, known.why))
		} else if why, marked := r.DamageOf(c.Checkpoint); marked {
			lines = append(lines, fmt.Sprintf("checkpoint %d is corrupt: %s", c.Checkpoint, why))
		} else if known.outcome == Good {
			break
		}
	}
	if newest < r.Completed {
		lines = append([]string{fmt.Sprintf("checkpoint %d had been completed and is gone", r.Completed)}, lines...)
	}
	return lines
}

// withoutCheckpoint decides for a running line none of whose own checkpoints can be used.
func (d *decision) withoutCheckpoint() Verdict {
	r := d.Record
	if lost := d.lost(); len(lost) > 0 {
		why := fmt.Sprintf("there is no checkpoint of job %q to go on from:\n  %s", d.Name, strings.Join(lost, "\n  "))
		return d.refuse(why, d.choices(nil))
	}
	if from := r.Job().From; from != nil {
		return d.fromOriginAgain(*from)
	}
	next := d.nextRecord()
	next.abandon(r.Job().First, r.Reserved)
	if r.Job().Fresh {
		return d.start(next, true, "fresh start: the run before, begun with --fresh, ended before its first checkpoint")
	}
	return d.settle(plan{next: next, start: true})
}

// fromOriginAgain restores the snapshot that the job id was started from: it has no checkpoint of its own yet.
func (d *decision) fromOriginAgain(from Snapshot) Verdict {
	d.notes = nil // that the snapshot was restored before is no news, as nothing came after it
	if named := d.Flags.From; named != nil {
		from = *named // the same snapshot, and the user knows where it is now
	}
	if v, wait := d.wantGood(from, "the snapshot this job was started from"); wait {
		return v
	}
	next := d.nextRecord()
	next.abandon(next.Job().First, next.Reserved)
	next.Jobs[len(next.Jobs)-1].From = &from
	return d.settle(plan{next: next, from: from, back: true, foreign: !d.Record.Owns(from), noClaim: true})
}

// plan is a start or a restore that only the sinks can still stop.
type plan struct {
	next     Record
	from     Snapshot
	start    bool // there is nothing to restore, and nothing was committed
	back     bool // it may lie before what sinks have committed
	foreign  bool // the snapshot is another line's: all this line has committed came after it
	silent   bool // the line is new, so no sink has committed anything for it
	noClaim  bool
	retained []Snapshot
	after    string // added to the text
}

// settle asks the sinks, and is the verdict to carry the plan out once they agree.
func (d *decision) settle(p plan) Verdict {
	if !p.silent && !d.asked {
		return Verdict{Do: Ask, After: p.asks(), Record: p.next}
	}
	withdraw, v, refused := d.sinks(p)
	if refused {
		return v
	}
	if p.start {
		return d.start(p.next, false, fmt.Sprintf("starting over: the last run (epoch %d) ended before its first checkpoint", d.Record.Epoch))
	}
	next, ids := p.next.Reserve(Block)
	text := fmt.Sprintf("resumed from checkpoint %d (%s)%s", p.from.Checkpoint, p.from.Path, p.after)
	return Verdict{Do: Resume, Record: next, IDs: ids, Restore: p.from, NoClaim: p.noClaim, Retained: p.retained,
		Withdraw: withdraw, Notes: d.notes, Text: text}
}

// asks returns the checkpoint after which a commit would be repeated.
func (p plan) asks() job.CheckpointID {
	if p.foreign {
		return 0
	}
	return p.from.Checkpoint
}

// nextRecord returns the record of the run that is being decided: the next epoch of the line, or the first of a new one.
func (d *decision) nextRecord() Record {
	if d.Record != nil {
		next := d.Record.clone()
		next.Epoch++
		next.Run = d.NewRun
		next.End = nil
		next.addLocations(d.Sources, d.Sinks)
		d.markDamaged(&next)
		return next
	}
	next := Record{Line: d.NewLine, Name: d.Name, Epoch: 1, Run: d.NewRun}
	next.addLocations(d.Sources, d.Sinks)
	d.takeUp(&next)
	return next
}

// lostStarts is how many process starts are assumed to have left no trace when the record itself is lost: what the checkpoints that
// are still there say of epochs and ids is not the last that was used, and neither must be used twice.
const lostStarts = 1000

// takeUp makes a new record the continuation of the line whose checkpoints are there without a record, if they name one line.
func (d *decision) takeUp(next *Record) {
	var lines []string
	for _, s := range d.orphans() {
		next.Reserved = max(next.Reserved, s.Checkpoint+lostStarts*Block)
		next.Epoch = max(next.Epoch, s.Epoch+lostStarts)
		if s.Line != "" && !slices.Contains(lines, s.Line) {
			lines = append(lines, s.Line)
		}
	}
	if len(lines) == 1 {
		next.Line = lines[0]
	}
}

// markDamaged records the checkpoints that were proven to be damaged on the way.
func (d *decision) markDamaged(next *Record) {
	for _, f := range d.Found {
		known := d.checks[f.Path]
		if _, marked := next.DamageOf(f.Checkpoint); known.outcome == Damaged && !marked {
			next.Damaged = append(next.Damaged, Damage{f.Checkpoint, known.why, d.Now.UTC()})
		}
	}
}

// addLocations adds the locations of steps that the line did not know.
func (r *Record) addLocations(sources, sinks map[string]string) {
	r.Sources, r.Sinks = merged(r.Sources, sources), merged(r.Sinks, sinks)
}

func merged(was, is map[string]string) map[string]string {
	if len(was)+len(is) == 0 {
		return nil
	}
	all := maps.Clone(is)
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, was)
	return all
}

// present returns the checkpoints of the present job id that the line has not gone back over, newest first.
func (d *decision) present() []Snapshot {
	if d.Record == nil {
		return d.orphans()
	}
	var all []Snapshot
	for _, f := range d.Found {
		if f.Job == d.Record.Job().ID && !d.Record.IsAbandoned(f.Checkpoint) {
			all = append(all, f.Snapshot)
		}
	}
	return newestFirst(all)
}

// candidates returns those of present that are not known to be damaged from earlier runs, newest first.
func (d *decision) candidates() []Snapshot {
	return slices.DeleteFunc(d.present(), func(s Snapshot) bool {
		if d.Record == nil {
			return false
		}
		_, damaged := d.Record.DamageOf(s.Checkpoint)
		return damaged
	})
}

func newestFirst(all []Snapshot) []Snapshot {
	slices.SortFunc(all, func(a, b Snapshot) int {
		return cmp.Or(cmp.Compare(b.Checkpoint, a.Checkpoint), cmp.Compare(a.Path, b.Path))
	})
	return all
}

func (d *decision) note(format string, args ...any) {
	d.notes = append(d.notes, fmt.Sprintf(format, args...))
}
