package line

import "fmt"

// Stop is the savepoint that a job has stopped with. Its output may be committed from the moment the record names it, so nothing older is
// ever restored: the line goes on from the savepoint, and later from checkpoints that came after it.
type Stop struct {
	Savepoint Snapshot `json:"savepoint"`
	// Drained says that all input was brought to an end before, so that there is nothing to go on with.
	Drained bool `json:"drained,omitempty"`
}

// WithStop returns the record of a line that stops with a savepoint. It must be written before anything of the savepoint is committed.
func (r Record) WithStop(s Stop) Record {
	next := r.WithCompleted(s.Savepoint.Checkpoint)
	next.Stop = &s
	return next
}

// isStop reports whether a snapshot is the savepoint that the line has stopped with.
func (r *Record) isStop(s Snapshot) bool {
	return r != nil && r.Stop != nil && r.Stop.Savepoint.same(s)
}

// beforeStop reports whether a checkpoint of the present job id is older than the savepoint that the line has stopped with.
func (r *Record) beforeStop(s Snapshot) bool {
	return r.Stop != nil && s.Checkpoint <= r.Stop.Savepoint.Checkpoint
}

// afterStop decides for a line whose last run stopped with a savepoint, or had to but did not come through.
func (d *decision) afterStop(end *End) Verdict {
	stop := d.Record.Stop
	switch {
	case end.State == Canceled:
		return d.refuse(fmt.Sprintf("job %q %s\nIt had been stopping with a savepoint.", d.Name, end.how()), d.choices(d.candidates()))
	case end.State == Finished && stop.Drained:
		return d.alreadyFinished(end)
	case end.State == Failed:
		return d.resumeOwn(" after the job " + end.how())
	}
	return d.resumeOwn("")
}

// fromStop goes on from the savepoint that the line has stopped with. It belongs to its user and stays.
func (d *decision) fromStop(from Snapshot, after string) Verdict {
	if after != "" {
		after = "," + after
	}
	after = ", the savepoint that the job had stopped with" + after
	next := d.nextRecord()
	next.abandon(from.Checkpoint+1, d.Record.Reserved)
	next.Completed = from.Checkpoint
	var obsolete []Snapshot
	for _, f := range d.Found {
		own := f.Job == d.Record.Job().ID || d.Record.Job().isOrigin(f.Snapshot)
		if _, damaged := d.Record.DamageOf(f.Checkpoint); !damaged && own && d.Record.beforeStop(f.Snapshot) {
			obsolete = append(obsolete, f.Snapshot)
		}
	}
	return d.settle(plan{next: next, from: from, back: len(d.lost()) > 0, noClaim: true, obsolete: obsolete,
		after: after})
}

// kindOf says what a snapshot is, for messages.
func (d *decision) kindOf(s Snapshot) string {
	if d.Record.isStop(s) {
		return "savepoint"
	}
	return "checkpoint"
}
