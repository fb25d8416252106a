package weir

import (
	"context"
	"os"

	"github.com/weirstream/weir/internal/cluster/config"
	"github.com/weirstream/weir/internal/cluster/local"
	"github.com/weirstream/weir/internal/cluster/start"
	"github.com/weirstream/weir/internal/exitcode"
)

// StartPlan is what a start of a job would do with what the job has left behind. Its JSON is what --plan=json prints; fields may be added to
// it, and none changes its meaning.
type StartPlan struct {
	Job     string      `json:"job"`
	Verdict PlanVerdict `json:"verdict"`
	// ExitStatus is the one of --plan, see Main.
	ExitStatus int `json:"exitStatus"`
	// Why says why the start would be refused, or how it would begin without a snapshot. It is text for people, of several lines.
	Why string `json:"why,omitempty"`
	// Checkpoint and Path name the snapshot that the start would go on from. They are 0 and empty if there is none.
	Checkpoint int64      `json:"checkpoint,omitempty"`
	Path       string     `json:"path,omitempty"`
	Warnings   []string   `json:"warnings,omitempty"`
	Steps      []StepPlan `json:"steps"`
	text       string
}

// PlanVerdict is a plan in a word.
type PlanVerdict string

// The verdicts of plans.
const (
	// KeepsAll means that no state would be lost: the start would go on, or begin without any, or has nothing to do since the job has finished.
	KeepsAll PlanVerdict = "keeps all"
	// LeavesBehind means that the start would go on without some of the state, since it was allowed to.
	LeavesBehind PlanVerdict = "leaves behind"
	// WouldNotStart means that the start would be refused, for the reason in Why.
	WouldNotStart PlanVerdict = "would not start"
)

// StepPlan is what becomes of the state of one step: of those of the job in its order, and then of those that only the snapshot has.
type StepPlan struct {
	Name string `json:"name"`
	ID   string `json:"id"`             // 32 hexadecimal digits
	From string `json:"from,omitempty"` // the name that its state was stored under, if that was another
	// Was and Now are the step's parallelism in the snapshot and in the job, 0 where it does not have the step.
	Was int `json:"was"`
	Now int `json:"now"`
	// Finished says that the step has read all its data and would not run again.
	Finished bool `json:"finished,omitempty"`
	// Uncommitted is how many pieces of output a sink has prepared that would be lost.
	Uncommitted int         `json:"uncommitted,omitempty"`
	States      []StatePlan `json:"states"`
}

// StatePlan is what becomes of one state.
type StatePlan struct {
	Name string    `json:"name"`
	Kind string    `json:"kind"`           // value, map, list, timer, split list, union list, broadcast list, enumerator
	Type string    `json:"type,omitempty"` // in Go's notation; empty for what the engine or a connector keeps in a form of its own
	Fate StateFate `json:"fate"`
	Why  string    `json:"why,omitempty"` // it is incompatible
	// From is the name that it was stored under, if that was another.
	From string `json:"from,omitempty"`
	// Changes says what becomes of it as it evolves, a phrase each: field Hits: int32 becomes int64.
	Changes []string `json:"changes,omitempty"`
}

// StateFate is what becomes of a state.
type StateFate string

// The fates of states.
const (
	StateKept         StateFate = "keep"         // each subtask goes on with what it had, or with a copy
	StateRecut        StateFate = "re-cut"       // it is dealt out anew among another number of subtasks
	StateEvolves      StateFate = "evolve"       // what was stored becomes values of its present type
	StateNew          StateFate = "new"          // the snapshot has nothing of it: it begins empty
	StateDropped      StateFate = "dropped"      // nobody takes it: it is lost, or would be if the start were not refused
	StateIncompatible StateFate = "incompatible" // its step cannot read it: the start is refused
)

// String returns the plan as --plan prints it, in several lines without a newline at the end.
func (p *StartPlan) String() string { return p.text }

// Plan says what Start would do with what earlier runs of the job have left behind, and changes nothing: it takes no lock, writes nothing and
// opens no source, and may be called while the job runs. Two-phase sinks are opened and asked what they have committed. A test of a
// change to a job can call it on a copy of a real savepoint: set execution.state-recovery.path to that.
//
// The error is a mistake in the job or its settings, or of a file system; that a start would be refused is no error but a verdict.
func Plan(ctx context.Context, j *Job) (*StartPlan, error) {
	p, err := prepare(j, config.Environment(os.Environ()))
	if err != nil {
		return nil, usageError{err}
	}
	preview, err := local.PlanStart(ctx, p.options(start.Flags{}))
	if err != nil {
		return nil, err
	}
	return newStartPlan(j.name, preview), nil
}

func newStartPlan(name string, p start.Preview) *StartPlan {
	out := &StartPlan{
		Job: name, Verdict: WouldNotStart, ExitStatus: int(p.Code), Why: p.Why, Checkpoint: int64(p.From.Checkpoint), Path: p.From.Path,
		Warnings: p.Warnings, Steps: []StepPlan{}, text: p.Text,
	}
	switch p.Code {
	case exitcode.Finished:
		out.Verdict = KeepsAll
	case exitcode.Changed:
		out.Verdict = LeavesBehind
	}
	if p.Plan == nil {
		return out
	}
	for _, s := range p.Plan.Steps {
		step := StepPlan{
			Name: s.Name, ID: s.ID.String(), From: s.From, Was: s.Was, Now: s.Now, Finished: s.Finished, Uncommitted: s.Uncommitted, States: []StatePlan{},
		}
		for _, state := range s.States {
			step.States = append(step.States, StatePlan{Name: state.Name, Kind: state.Kind, Type: state.Type, Fate: StateFate(state.Fate), Why: state.Why,
				From: state.From, Changes: state.Changes})
		}
		out.Steps = append(out.Steps, step)
	}
	return out
}
