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
	if v, refused := d.taken(from); refused {
		return v
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
	next.Jobs = append(next.Jobs, Job{ID: d.NewJob, Began: d.Now.UTC(), First: next.Reserved + 1, From: &from, Claimed: d.Flags.Claim})
	madeUp := d.Record == nil && next.Line == d.NewLine // then no sink can have committed anything for it
	return d.settle(d.owning(plan{next: next, from: from, back: true, foreign: !own, silent: madeUp}))
}

// taken refuses to claim a snapshot that another line owns: whoever deletes it first takes it from the other.
func (d *decision) taken(from Snapshot) (v Verdict, refused bool) {
	o := d.FromOwner
	if !d.Flags.Claim || o == nil || d.Record != nil && d.Record.Line == o.Line {
		return Verdict{}, false
	}
	has := "has taken it and goes on from it when it is started again"
	switch {
	case o.Claimed:
		has = "has claimed it"
	case o.Over:
		return Verdict{}, false // a person has to choose what becomes of its checkpoints, and does so here
	}
	where := ""
	if o.Dir != "" {
		where = " in " + o.Dir
	}
	why := fmt.Sprintf("%s cannot be claimed: it belongs to job %q%s, which %s", from.Path, o.Name, where, has)
	return d.refuse(why, []choice{
		{"--claim-mode NO_CLAIM", "start from it and leave it to its owner, who may delete it once this job has a checkpoint of its own"},
		{"", "copy the directory, if it is a savepoint, and claim the copy"},
	}), true
}

// owning settles who owns the snapshot that a plan goes back to, by the present job of its record.
func (d *decision) owning(p plan) plan {
	if !p.next.Job().Claimed {
		p.noClaim = true
		return p
	}
	p.claim, p.retained = true, []Snapshot{p.from}
	p.next.Damaged = slices.DeleteFunc(p.next.Damaged, func(x Damage) bool { return x.Checkpoint == p.from.Checkpoint }) // another one of that id
	return p
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
	present := &next.Jobs[len(next.Jobs)-1]
	present.From = &from
	if d.Flags.From != nil {
		if present.Claimed = d.Flags.Claim; present.Claimed {
			if v, refused := d.taken(from); refused {
				return v
			}
		}
	}
	return d.settle(d.owning(plan{next: next, from: from, back: true, foreign: !d.Record.Owns(from)}))
}
