// Package line decides how a job comes back: what a start does, given what earlier runs of the same job left behind.
//
// A job line is a job's name together with a checkpoint directory. Its Record remembers what a listing of the directory cannot say:
// who the line is, which checkpoint ids were handed out, where its state came from and how it ended. Decide looks at the record, the
// checkpoints that lie there and the user's flags, and says what to do next.
//
//   - A job starts from nothing only if the user asked for it or if there is nothing that it could lose.
//   - It goes back to an older checkpoint only on proof that the newer one is damaged; an error that proves nothing stops the start.
//   - A snapshot that the user has named is never replaced by another one.
//   - Checkpoint ids only grow over the whole line, through all its job ids, so that "committed after checkpoint n" has a meaning
//     for a sink. Going back abandons the ids in between: nothing is ever restored from them again.
//   - All sinks have answered before anything is changed, the record included.
//
// The one who starts a job (the driver) holds the line's lock, then calls Decide in a loop. Each Verdict asks for one more fact
// (Verify, Ask), which the driver adds to the Situation, or is final. After Start and Resume it writes Verdict.Record, which claims
// the epoch, and only then touches the sinks.
//
//	for {
//		v := line.Decide(&s)
//		switch v.Do {
//		case line.Verify: // read the checkpoint at v.Path through; s.Learn(v.Path, ...)
//		case line.Ask:    // ask every two-phase sink what it committed after v.After; s.Answered(...)
//		default:          // v.Text says what happens, v.Code is the exit code of a run that does not start
//		}
//	}
//
// A job that restarts inside its process after a failure needs none of this: it goes on from the newest checkpoint that it has
// completed itself.
package line

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/weirstream/weir/internal/job"
)

// Block is how many checkpoint ids are reserved at a time. A crash skips the rest of a block; at one checkpoint a second the record
// is written every 100 seconds.
const Block = 100

// Record is what a job line remembers. It is a value: the methods return a changed copy and leave the receiver as it is.
type Record struct {
	Line  string `json:"line"`  // random, the same in all runs
	Name  string `json:"name"`  // the job's name
	Epoch int64  `json:"epoch"` // one more at every start of a process; the first is 1
	// Run is random and another one in every start of a process. Two processes that start at once from the same record write
	// different ones, so that neither takes the other's for its own. It is set by the one who writes the record.
	Run string `json:"run,omitempty"`
	// Jobs holds every job id that the line has had, oldest first. The last one is the present one; there is at least one.
	Jobs []Job `json:"jobs"`
	// Reserved is the highest checkpoint id that may have been handed out, by any job id of the line.
	Reserved job.CheckpointID `json:"reserved"`
	// Completed is the newest checkpoint of the present job id that the record knows as complete. The first one is recorded before
	// anything of it is committed, so 0 proves that there is no committed output; later ones are recorded now and then.
	Completed job.CheckpointID `json:"completed"`
	// Stop is the savepoint that the present job id has stopped with last, nil if it never has.
	Stop *Stop `json:"stop,omitempty"`
	// End says how the last run ended. It is nil while the job runs, and after a crash.
	End *End `json:"end,omitempty"`
	// Sources and Sinks say where each step reads or writes, by the name of the step. Only steps with a location are in them.
	Sources map[string]string `json:"sources,omitempty"`
	Sinks   map[string]string `json:"sinks,omitempty"`
	// Logs and Spread say where else the jobs have had files than in the directory of the record.
	Logs   []Log    `json:"logs,omitempty"`
	Spread []Spread `json:"spread,omitempty"`
	// Damaged holds the checkpoints that are proven to be damaged. They stay where they are, are not counted as retained and never
	// used as a base for sharing.
	Damaged []Damage `json:"damaged,omitempty"`
	// Abandoned holds the ranges of checkpoint ids that the line went back over, in ascending order without overlap.
	Abandoned []Range `json:"abandoned,omitempty"`
}

// Log is a place apart in which jobs of the line have kept changelogs, each in <job id>/changelog.
type Log struct {
	Dir string `json:"dir"`
	// Of is the directory of their checkpoints, in full. A copy of the record elsewhere says nothing about Dir, where the original may be at work.
	Of string `json:"of"`
}

// Spread is a directory of checkpoints, Before + After, in which each file of state has got random characters, as many as Length, between the two.
type Spread struct {
	Before string `json:"before"`
	Length int    `json:"length"`
	After  string `json:"after"`
}

// Job is one job id of a line and how it began.
type Job struct {
	ID    job.ID    `json:"id"`
	Began time.Time `json:"began"`
	// First is the lowest checkpoint id that it can have handed out.
	First job.CheckpointID `json:"first"`
	// Fresh says that the user asked for a new start, so that earlier output is moved aside.
	Fresh bool `json:"fresh,omitempty"`
	// From is the snapshot it was started from with -s, nil if it began without state.
	From *Snapshot `json:"from,omitempty"`
	// Claimed says that From belongs to the line: it counts as retained and is deleted like a checkpoint of the line's own.
	Claimed bool `json:"claimed,omitempty"`
}

// Snapshot names a checkpoint or savepoint that a user can pass with -s.
type Snapshot struct {
	Path       string           `json:"path"` // its directory
	Job        job.ID           `json:"job"`
	Checkpoint job.CheckpointID `json:"checkpoint"`
	Line       string           `json:"line,omitempty"` // the line that took it, empty if that is not known
	Epoch      int64            `json:"epoch,omitempty"`
}

// same reports whether two names mean one snapshot: it may have been moved, and it may have been deleted so that only its path is
// known.
func (a Snapshot) same(b Snapshot) bool {
	return a.Path == b.Path || !a.Job.IsZero() && a.Job == b.Job && a.Checkpoint == b.Checkpoint
}

// isOrigin reports whether a snapshot is the one that the job id was started from and owns.
func (j Job) isOrigin(s Snapshot) bool { return j.Claimed && j.From != nil && j.From.same(s) }

// State is how a run ended.
type State string

const (
	// Finished means that all input was read and all output committed.
	Finished State = "FINISHED"
	// Canceled means that a user has ended the job.
	Canceled State = "CANCELED"
	// Failed means that the job has given up.
	Failed State = "FAILED"
	// Suspended means that the process was asked to stop; the job goes on with the next start.
	Suspended State = "SUSPENDED"
)

// End says how a run ended.
type End struct {
	State  State     `json:"state"`
	At     time.Time `json:"at"`
	Reason string    `json:"reason,omitempty"` // why it FAILED
	// Kept says whether the checkpoints were to be kept. It is recorded before they are deleted, so that what a killed deletion has
	// left is not taken for a checkpoint.
	Kept bool `json:"kept"`
	// Stopped says that the run ended with the savepoint in Record.Stop, or failed or was cancelled when that was complete.
	Stopped bool `json:"stopped,omitempty"`
	// Savepoint is the one that the run was cancelled with, nil if there is none. It is its user's; the line only offers it.
	Savepoint *Snapshot `json:"savepoint,omitempty"`
	// Completed is the newest completed checkpoint, 0 if there is none.
	Completed job.CheckpointID `json:"-"`
}

// Damage is a checkpoint that is proven to be damaged.
type Damage struct {
	Checkpoint job.CheckpointID `json:"checkpoint"`
	Why        string           `json:"why"`
	Found      time.Time        `json:"found"`
}

// Range is a range of checkpoint ids, both ends included.
type Range struct {
	From job.CheckpointID `json:"from"`
	To   job.CheckpointID `json:"to"`
}

// Job returns the present job id and how it began.
func (r Record) Job() Job { return r.Jobs[len(r.Jobs)-1] }

// Owns reports whether a snapshot was taken by this line.
func (r Record) Owns(s Snapshot) bool {
	if s.Line != "" {
		return s.Line == r.Line
	}
	return slices.ContainsFunc(r.Jobs, func(j Job) bool { return j.ID == s.Job })
}

// IsAbandoned reports whether the line has gone back over one of its own checkpoint ids, so that it must not be restored.
func (r Record) IsAbandoned(id job.CheckpointID) bool {
	return slices.ContainsFunc(r.Abandoned, func(a Range) bool { return a.From <= id && id <= a.To })
}

// DamageOf returns why a checkpoint is known to be damaged.
func (r Record) DamageOf(id job.CheckpointID) (why string, damaged bool) {
	i := slices.IndexFunc(r.Damaged, func(d Damage) bool { return d.Checkpoint == id })
	if i < 0 {
		return "", false
	}
	return r.Damaged[i].Why, true
}

// Reserve returns the record with n more checkpoint ids reserved, and the first and last of them. They may be used once the record
// is written.
func (r Record) Reserve(n int) (next Record, ids Range) {
	next = r.clone()
	next.Reserved += job.CheckpointID(n)
	return next, Range{From: r.Reserved + 1, To: next.Reserved}
}

// WithCompleted returns the record with the newest completed checkpoint. It must be written before the first checkpoint of a job id
// is committed; for later ones it is enough to pass it on whenever the record is written anyway.
func (r Record) WithCompleted(id job.CheckpointID) Record {
	next := r.clone()
	next.Completed = max(next.Completed, id)
	return next
}

// Ended returns the record of a line whose run has ended. For FINISHED it is written after the last commit; in any case before
// checkpoints are deleted.
func (r Record) Ended(e End) Record {
	next := r.WithCompleted(e.Completed)
	next.End = &e
	next.End.At = e.At.UTC()
	return next
}

// clone returns a copy that shares nothing changeable.
func (r Record) clone() Record {
	r.Jobs = slices.Clone(r.Jobs)
	r.Sources, r.Sinks = maps.Clone(r.Sources), maps.Clone(r.Sinks)
	r.Logs, r.Spread = slices.Clone(r.Logs), slices.Clone(r.Spread)
	r.Damaged, r.Abandoned = slices.Clone(r.Damaged), slices.Clone(r.Abandoned)
	if r.End != nil {
		end := *r.End
		if end.Savepoint != nil {
			savepoint := *end.Savepoint
			end.Savepoint = &savepoint
		}
		r.End = &end
	}
	if r.Stop != nil {
		stop := *r.Stop
		r.Stop = &stop
	}
	return r
}

// AddLog adds a place of logs, unless it is known.
func (r *Record) AddLog(l Log) { r.Logs = with(r.Logs, l) }

// AddSpread adds a directory with random characters, unless it is known.
func (r *Record) AddSpread(s Spread) { r.Spread = with(r.Spread, s) }

// with never changes what others may hold.
func with[T comparable](all []T, one T) []T {
	if slices.Contains(all, one) {
		return all
	}
	return append(slices.Clip(all), one)
}

// abandon adds the ids from..to, which may be none, and joins ranges that touch.
func (r *Record) abandon(from, to job.CheckpointID) {
	if from > to {
		return
	}
	all := append(r.Abandoned, Range{from, to})
	slices.SortFunc(all, func(a, b Range) int { return int(a.From - b.From) })
	joined := all[:1]
	for _, a := range all[1:] {
		if last := &joined[len(joined)-1]; a.From <= last.To+1 {
			last.To = max(last.To, a.To)
		} else {
			joined = append(joined, a)
		}
	}
	r.Abandoned = joined
}

// Validate reports what in a record contradicts itself.
func (r Record) Validate() error {
	switch {
	case r.Line == "" || r.Name == "":
		return fmt.Errorf("line %q, name %q: both must be set", r.Line, r.Name)
	case r.Epoch < 1:
		return fmt.Errorf("epoch %d: the first is 1", r.Epoch)
	case len(r.Jobs) == 0:
		return fmt.Errorf("no job id")
	case r.Reserved < 0 || r.Completed < 0:
		return fmt.Errorf("checkpoint ids below 0: reserved %d, completed %d", r.Reserved, r.Completed)
	case r.Completed > r.Reserved:
		return fmt.Errorf("checkpoint %d completed, but only the ids up to %d were reserved", r.Completed, r.Reserved)
	}
	if r.End != nil && !slices.Contains([]State{Finished, Canceled, Failed, Suspended}, r.End.State) {
		return fmt.Errorf("end %q is none of FINISHED, CANCELED, FAILED, SUSPENDED", r.End.State)
	}
	if r.End != nil && r.End.Stopped && r.Stop == nil {
		return fmt.Errorf("stopped with a savepoint that is not named")
	}
	if r.Stop != nil && (r.Stop.Savepoint.Checkpoint < 1 || r.Stop.Savepoint.Checkpoint > r.Reserved) {
		return fmt.Errorf("stopped with savepoint %d, but only the ids up to %d were reserved", r.Stop.Savepoint.Checkpoint, r.Reserved)
	}
	if slices.ContainsFunc(r.Logs, func(l Log) bool { return l.Dir == "" || l.Of == "" }) {
		return fmt.Errorf("a place of logs without a path")
	}
	if slices.ContainsFunc(r.Spread, func(s Spread) bool { return s.Before == "" || s.Length < 1 }) {
		return fmt.Errorf("random characters without a place or number")
	}
	last := job.CheckpointID(0)
	for _, a := range r.Abandoned {
		if a.From <= last || a.To < a.From {
			return fmt.Errorf("abandoned ids %d..%d: ranges ascend and do not overlap", a.From, a.To)
		}
		last = a.To
	}
	return nil
}

// IDs hands out the checkpoint ids that have been reserved. The zero value has none. It is not safe for concurrent use.
type IDs struct{ next, last job.CheckpointID }

// Add appends reserved ids. They must lie above all earlier ones.
func (d *IDs) Add(ids Range) {
	if ids.From <= d.last {
		panic(fmt.Sprintf("line: reserved ids %d..%d overlap those up to %d", ids.From, ids.To, d.last))
	}
	if d.Left() > 0 && ids.From != d.last+1 {
		panic(fmt.Sprintf("line: reserved ids %d..%d leave a gap after %d", ids.From, ids.To, d.last))
	}
	if d.Left() == 0 {
		d.next = ids.From
	}
	d.last = ids.To
}

// Left returns how many ids there are.
func (d *IDs) Left() int {
	if d.next == 0 {
		return 0
	}
	return int(d.last - d.next + 1)
}

// Take returns the next id, or false if more must be reserved first.
func (d *IDs) Take() (job.CheckpointID, bool) {
	if d.Left() == 0 {
		return 0, false
	}
	id := d.next
	d.next++
	return id, true
}
