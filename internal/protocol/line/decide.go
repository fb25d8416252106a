package line

import (
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
	next.Stop = nil
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

// plan is a start or a restore that only the sinks can still stop.
type plan struct {
	next     Record
	from     Snapshot
	start    bool // there is nothing to restore, and nothing was committed
	back     bool // it may lie before what sinks have committed
	foreign  bool // the snapshot is another line's: all this line has committed came after it
	silent   bool // the line is new, so no sink has committed anything for it
	noClaim  bool
	claim    bool
	retained []Snapshot
	obsolete []Snapshot
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
		v = d.start(p.next, false, fmt.Sprintf("starting over: the last run (epoch %d) ended before its first checkpoint", d.Record.Epoch))
		v.Withdraw = withdraw
		return v
	}
	next, ids := p.next.Reserve(Block)
	text := fmt.Sprintf("resumed from checkpoint %d (%s)%s", p.from.Checkpoint, p.from.Path, p.after)
	return Verdict{Do: Resume, Record: next, IDs: ids, Restore: p.from, NoClaim: p.noClaim, Claim: p.claim, Retained: p.retained, Obsolete: p.obsolete,
		Withdraw: withdraw, Notes: d.notes, Text: text}
}

// asks returns the checkpoint after which a commit would be repeated.
func (p plan) asks() job.CheckpointID {
	if p.foreign {
		return 0
	}
	return p.from.Checkpoint
}

func (d *decision) note(format string, args ...any) {
	d.notes = append(d.notes, fmt.Sprintf(format, args...))
}
