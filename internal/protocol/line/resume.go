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

// afterEnd decides by how the last run ended.
func (d *decision) afterEnd() Verdict {
	end := d.Record.End
	if end == nil || end.State == Suspended {
		return d.resumeOwn("")
	}
	if end.Stopped {
		return d.afterStop(end)
	}
	kept := d.candidates()
	if !end.Kept {
		kept = nil
	}
	switch {
	case end.State == Finished:
		return d.alreadyFinished(end)
	case end.State == Failed && len(kept) > 0:
		return d.resumeOwn(" after the job " + end.how())
	case len(kept) > 0:
		return d.refuse(fmt.Sprintf("job %q %s\nIts checkpoints were kept.", d.Name, end.how()), d.choices(kept))
	case end.Savepoint != nil:
		return d.refuse(fmt.Sprintf("job %q %s", d.Name, end.how()), d.choices(nil))
	case end.Kept:
		return d.refuse(fmt.Sprintf("job %q %s\nIt has left no checkpoint to go on from.", d.Name, end.how()), d.choices(nil))
	}
	return d.refuse(fmt.Sprintf("job %q %s\nIts checkpoints were not to be kept.", d.Name, end.how()), d.choices(nil))
}

// how says how and when a job was cancelled or has failed.
func (e *End) how() string {
	switch {
	case e.State == Canceled && e.Savepoint != nil:
		return fmt.Sprintf("was cancelled on %s, with savepoint %s", stamp(e.At), e.Savepoint.Path)
	case e.State == Canceled:
		return "was cancelled on " + stamp(e.At)
	}
	return fmt.Sprintf("failed on %s: %s", stamp(e.At), e.Reason)
}

func (d *decision) alreadyFinished(end *End) Verdict {
	text := fmt.Sprintf("job %q has finished already, on %s", d.Name, stamp(end.At))
	if end.Stopped {
		text = fmt.Sprintf("job %q was drained and has finished with savepoint %s on %s", d.Name, d.Record.Stop.Savepoint.Path, stamp(end.At))
	}
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
	if d.Record.Job().isOrigin(*chosen) {
		return d.backToOrigin(*chosen)
	}
	if d.Record.isStop(*chosen) {
		return d.fromStop(*chosen, after)
	}
	retained := slices.DeleteFunc(d.candidates(), func(c Snapshot) bool { return c.Checkpoint > chosen.Checkpoint || d.Record.isStop(c) })
	next := d.nextRecord()
	next.abandon(chosen.Checkpoint+1, d.Record.Reserved)
	next.Completed = chosen.Checkpoint
	slices.Reverse(retained)
	return d.settle(plan{next: next, from: *chosen, back: len(d.lost()) > 0, retained: retained, after: after})
}

// backToOrigin goes on from the claimed snapshot that the job id was started from, because none of its own checkpoints can be used, or there
// is none yet.
func (d *decision) backToOrigin(from Snapshot) Verdict {
	if len(d.lost()) == 0 && d.Record.Completed == 0 {
		return d.fromOriginAgain(from)
	}
	next := d.nextRecord()
	next.abandon(next.Job().First, next.Reserved)
	next.Completed = 0
	return d.settle(d.owning(plan{next: next, from: from, back: true}))
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
			lines = append(lines, fmt.Sprintf("%s %d is corrupt: %s", d.kindOf(c), c.Checkpoint, known.why))
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

// present returns the checkpoints of the present job id that the line has not gone back over, newest first. The last one may be the claimed
// snapshot that the job id was started from. After a stop with a savepoint that is the last of them.
func (d *decision) present() []Snapshot {
	if d.Record == nil {
		return d.orphans()
	}
	var all []Snapshot
	for _, f := range d.Found {
		own := f.Job == d.Record.Job().ID && !d.Record.IsAbandoned(f.Checkpoint)
		if (own || d.Record.Job().isOrigin(f.Snapshot)) && !d.Record.beforeStop(f.Snapshot) {
			all = append(all, f.Snapshot)
		}
	}
	if stop := d.Record.Stop; stop != nil {
		all = append(all, stop.Savepoint) // the oldest that may be restored
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
