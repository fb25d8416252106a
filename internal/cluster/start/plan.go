package start

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/weirstream/weir/internal/cluster/deal"
	"github.com/weirstream/weir/internal/exitcode"
	"github.com/weirstream/weir/internal/graph"
	"github.com/weirstream/weir/internal/inspect"
	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/protocol/assign"
	"github.com/weirstream/weir/internal/protocol/line"
	"github.com/weirstream/weir/internal/protocol/plan"
	"github.com/weirstream/weir/internal/protocol/snapshot"
	"github.com/weirstream/weir/internal/runtime/program"
)

// plan compares a snapshot with the job. Every start from a snapshot goes by it.
func (s *start) plan(ctx context.Context, meta *snapshot.Metadata) (*plan.Plan, error) {
	stored, err := inspect.Forms(ctx, s.FS, meta)
	if err != nil {
		return nil, refuse(exitcode.Refused, "job %q: read what checkpoint %d holds: %v", s.Name, meta.Checkpoint, err)
	}
	return plan.Make(plan.Input{
		Meta: meta, Job: deal.Job(s.Plan), Steps: declared(s.Plan), Stored: stored,
		Options: assign.Options{
			AllowNonRestored: s.Config.Recovery().IgnoreUnclaimedState,
			DropUncommitted:  s.Flags.DropUncommitted,
		},
	}), nil
}

// declared returns what the steps of a plan say of their state.
func declared(p *graph.Plan) map[job.OperatorID]plan.Declared {
	steps := map[job.OperatorID]plan.Declared{}
	for _, v := range p.Vertices {
		for _, n := range v.Nodes {
			steps[n.ID()] = plan.Declared{Source: n.Kind == graph.Source, Form: program.StepOf(n).Form}
		}
	}
	return steps
}

// Preview is what a start would do.
type Preview struct {
	Text string        // for the user; several lines, without a newline at the end
	Code exitcode.Code // Finished: all state is kept; Changed: some is dropped; another: the start would end with it
	// Warnings is what a start would warn of.
	Warnings []string
	// From is the snapshot that it would go on from; zero if there is none.
	From line.Snapshot
	// Plan says what becomes of its state. It is nil without a snapshot, and if it was not come to.
	Plan *plan.Plan
	// Why says why the start would be refused, or how it would begin without a snapshot.
	Why string
}

// Plan says what Begin would do, and does nothing: it takes no lock, writes nothing and opens no source. It may be asked while the job
// runs. Two-phase sinks are opened to be asked what they have committed and whether they could recover, as a start does before it changes
// anything.
func Plan(ctx context.Context, o Options) (Preview, error) {
	s := &start{Options: o, checkpoints: o.Config.Checkpointing(), onlyLook: true}
	defer s.giveUp()
	p, err := s.preview(ctx)
	if err != nil {
		return Preview{}, err
	}
	p.Text = p.text()
	return p, nil
}

func (s *start) preview(ctx context.Context) (Preview, error) {
	v, err := s.find(ctx)
	if err != nil {
		return refusedPreview(Preview{}, err)
	}
	out := Preview{Warnings: v.Notes}
	if v.Do == line.Refuse || v.Do == line.AlreadyFinished {
		out.Why, out.Code = v.Text, v.Code
		return out, nil
	}
	b := newBeginning(&v)
	if v.Do != line.Resume {
		out.Why = v.Text
	} else {
		out.From = v.Restore
		if b.Restore, err = s.load(ctx, b.path); err != nil {
			return Preview{}, err
		}
		if out.Plan, err = s.plan(ctx, b.Restore); err != nil {
			return Preview{}, err
		}
		if err := out.Plan.Err(); err != nil {
			out.Why, out.Code = err.Error(), exitcode.Refused
			return out, nil
		}
		if out.Plan.Count(plan.Dropped) > 0 {
			out.Code = exitcode.Changed
		}
	}
	if b.Storage, err = s.newStorage(b.Job); err != nil {
		return refusedPreview(out, err)
	}
	return refusedPreview(out, s.checkSinks(ctx, b))
}

// refusedPreview adds to a preview why the start would be refused, if err says so. Other errors are failures to find out.
func refusedPreview(p Preview, err error) (Preview, error) {
	var refused *Error
	if errors.As(err, &refused) {
		p.Why, p.Code = refused.Text, refused.Code
		return p, nil
	}
	return p, err
}

func (p *Preview) text() string {
	var lines []string
	for _, w := range p.Warnings {
		lines = append(lines, "warning: "+w)
	}
	if p.Plan == nil {
		return strings.Join(append(lines, p.Why), "\n")
	}
	lines = append(lines, fmt.Sprintf("a start would go on from checkpoint %d (%s)", p.From.Checkpoint, p.From.Path), p.Plan.String())
	if p.Why != "" {
		lines = append(lines, "the start would be refused: "+p.Why)
	}
	return strings.Join(lines, "\n")
}
