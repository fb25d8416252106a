package line

import (
	"slices"
	"time"

	"github.com/weirstream/weir/internal/exitcode"
	"github.com/weirstream/weir/internal/job"
)

// Situation is everything that a start knows. The driver fills the exported fields before the first Decide, and adds what it is
// asked for with Learn and Answered.
type Situation struct {
	Name string    // the job's name
	Dir  string    // the checkpoint directory, for messages
	Now  time.Time // wall clock
	// NewLine and NewJob are random names, used if the start needs them.
	NewLine string
	NewJob  job.ID
	// Record is what the line remembers, nil if there is none or it cannot be read.
	Record *Record
	// RecordDamage says why a record that is there cannot be read, with its path. It is proof of damage, not a time-out.
	RecordDamage string
	// Found holds every published checkpoint in the directory: those of the line's job ids, or, without a record, those that no
	// other line claims. It must be complete: a directory that could not be listed stops the start before Decide. A snapshot that the
	// present job id was started from and owns is among them wherever it lies, unless it is known to be gone.
	Found []Found
	// Highest is the highest checkpoint id that something in the directory has beside those of the record, 0 if there is none: where
	// checkpoints of all job ids lie side by side, no id may be used again.
	Highest job.CheckpointID
	Flags   Flags
	// FromOwner is the line that owns Flags.From, nil if that is nobody, this line, or not known.
	FromOwner *Owner
	// Sources and Sinks say where the steps of this run read and write, by the name of the step. Steps without a location are left
	// out.
	Sources, Sinks map[string]string

	checks  map[string]check
	asked   bool
	answers []SinkAnswer
}

// Found is a published checkpoint in the line's directory.
type Found struct {
	Snapshot
	// JobName is the name of the job that took it, empty if that is not known. It is needed only when there is no record.
	JobName string
}

// Owner is a job line that owns a snapshot: it has taken it as a checkpoint, or was started from it and has claimed it.
type Owner struct {
	Line string
	Name string // of the job
	Dir  string // its checkpoint directory, empty if that is not known
	// Claimed says that the line did not take the snapshot but was started from it.
	Claimed bool
	// Over says that the line will not come back to the snapshot by itself: its job has ended for good.
	Over bool
}

// Flags is what the user has asked for.
type Flags struct {
	// Fresh is --fresh: start from nothing, move earlier output aside, keep earlier checkpoints.
	Fresh bool
	// From is the snapshot named with -s, nil without. If its metadata cannot be read only Path is set, and the driver has told
	// Learn why.
	From *Snapshot
	// Claim is --claim-mode CLAIM: From is to belong to the job. Without From it has no meaning.
	Claim bool
	// Rewind is --rewind: go back to From although the line has been started from it before and has gone on since.
	Rewind bool
	// Withdraw is --withdraw: every sink that is able to makes invisible what it committed after the restored checkpoint.
	Withdraw bool
	// AcceptDuplicates is --accept-duplicates: what was committed after the restored checkpoint stays and appears twice. Together
	// with Withdraw only what cannot be withdrawn stays.
	AcceptDuplicates bool
}

// Outcome is what reading a checkpoint through has shown.
type Outcome int

const (
	// Good means that every file has the length and checksum that the metadata names.
	Good Outcome = iota + 1
	// Damaged means that there is proof that it cannot be restored: a wrong length or checksum, or a file that is definitely absent.
	Damaged
	// Unreadable means an error that proves nothing: a time-out, a permission, a server error. The driver has tried again before.
	Unreadable
)

type check struct {
	outcome Outcome
	why     string
}

// Learn adds what reading the checkpoint at path through has shown. why names the file and the error.
func (s *Situation) Learn(path string, outcome Outcome, why string) {
	if s.checks == nil {
		s.checks = map[string]check{}
	}
	s.checks[path] = check{outcome, why}
}

// Withdrawal says whether a sink makes invisible again what it has committed.
type Withdrawal int

const (
	// Unable means that it cannot.
	Unable Withdrawal = iota
	// OnRequest means that it can, and is not set to do so by itself: it takes --withdraw.
	OnRequest
	// Automatic means that the job's program has set it to.
	Automatic
)

// SinkAnswer is what one two-phase sink has committed after the checkpoint that is to be restored.
type SinkAnswer struct {
	Name       string   // the step
	Committed  []string // what it has committed since, empty if nothing
	Unknown    string   // why it cannot tell, empty if it can
	Withdrawal Withdrawal
}

// Answered adds the answers of all two-phase sinks of the job.
func (s *Situation) Answered(answers []SinkAnswer) { s.asked, s.answers = true, slices.Clone(answers) }

// Action is what a Verdict wants done.
type Action int

const (
	// Verify asks to read the checkpoint at Verdict.Path through and to tell Learn.
	Verify Action = iota + 1
	// Ask asks to put CommittedAfter(Verdict.After) to all two-phase sinks, as the line and epoch of Verdict.Record, and to tell
	// Answered. An error that is not ErrUnknown is tried again and then stops the start.
	Ask
	// Start begins without state: Verdict.Record is written, then the sinks recover with checkpoint 0.
	Start
	// Resume goes on from Verdict.Restore: Verdict.Record is written, then the sinks recover with that checkpoint.
	Resume
	// AlreadyFinished ends the process: the job has finished in an earlier run. Nothing is changed.
	AlreadyFinished
	// Refuse ends the process. Nothing is changed.
	Refuse
)

// String returns the action's name.
func (a Action) String() string {
	switch a {
	case Verify:
		return "verify"
	case Ask:
		return "ask"
	case Start:
		return "start"
	case Resume:
		return "resume"
	case AlreadyFinished:
		return "already finished"
	case Refuse:
		return "refuse"
	}
	return "no action"
}

// Verdict is what Decide wants done next.
type Verdict struct {
	Do Action
	// Path is the checkpoint to Verify.
	Path string
	// After is the checkpoint that sinks are asked about, 0 for everything that the line has committed.
	After job.CheckpointID
	// Record is what the line will remember (Ask), and what is to be written now (Start, Resume). It carries line id, job id and
	// epoch of the run.
	Record Record
	// IDs are the checkpoint ids that Record reserves for the run (Start, Resume).
	IDs Range
	// Restore is the snapshot to Resume from.
	Restore Snapshot
	// NoClaim says that the snapshot belongs to somebody else: it is never deleted, and no new checkpoint refers to its files.
	NoClaim bool
	// Claim says that the restored snapshot was not the line's before and is from now on; the driver marks it as taken.
	Claim bool
	// Retained holds the checkpoints that the run owns, the restored one included, in ascending order of ids. It is empty with
	// NoClaim.
	Retained []Snapshot
	// Obsolete holds checkpoints that nobody may restore any more, since the job has stopped with a savepoint after them. They can be
	// deleted once Record is written.
	Obsolete []Snapshot
	// Fresh tells the sinks to move earlier output of the line aside (Start).
	Fresh bool
	// Withdraw names the sinks that must withdraw what they committed after the restored checkpoint.
	Withdraw []string
	// Notes are lines to log as warnings, each about something lost, skipped or withdrawn.
	Notes []string
	// Text says to the user what happens and, if the job does not start, why and what there is to choose from. It may have several
	// lines and does not end in a newline.
	Text string
	// Code is the exit code of a process that does not start the job.
	Code exitcode.Code
}
