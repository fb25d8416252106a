package line

import (
	"maps"
	"slices"
)

// nextRecord returns the record of the run that is being decided: the next epoch of the line, or the first of a new one.
func (d *decision) nextRecord() Record {
	if d.Record != nil {
		next := d.Record.clone()
		next.Epoch++
		next.Reserved = max(next.Reserved, d.Highest)
		next.End = nil
		next.addLocations(d.Sources, d.Sinks)
		d.markDamaged(&next)
		return next
	}
	next := Record{Line: d.NewLine, Name: d.Name, Epoch: 1, Reserved: d.Highest}
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
