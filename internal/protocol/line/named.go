package line

import (
	"fmt"
	"slices"
)

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
	next.Stop = nil
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
