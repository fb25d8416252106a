package jobmaster

import (
	"fmt"
	"log/slog"

	"github.com/weirstream/weir/internal/cluster/config"
	"github.com/weirstream/weir/internal/graph"
	"github.com/weirstream/weir/internal/runtime/program"
	"github.com/weirstream/weir/internal/storage"
)

// guarantees says what each sink of a plan gives, and why not more, as arguments of a log.
func guarantees(p *graph.Plan, c config.Checkpointing) (args []any) {
	for _, v := range p.Vertices {
		for _, n := range v.Nodes {
			if n.Kind == graph.Sink {
				args = append(args, slog.String(n.Name, guarantee(p, n, c)))
			}
		}
	}
	return args
}

func guarantee(p *graph.Plan, n *graph.Node, c config.Checkpointing) string {
	switch {
	case program.StepOf(n).Committer == nil:
		return "at-least-once: the sink does not commit"
	case !c.On():
		return "at-least-once: no checkpoints"
	case len(p.Loops) > 0 && c.Loops == config.LoseInLoops:
		return "not even at-least-once: what is in a loop at a checkpoint is lost in a restore"
	case c.Mode == config.AtLeastOnce:
		return "at-least-once: checkpoints in AT_LEAST_ONCE mode"
	}
	return "exactly-once"
}

// survival says what remains of the checkpoints, and what does not.
func survival(c config.Checkpointing, st storage.Storage) string {
	switch {
	case !c.On():
		return "no checkpoints: a failure begins again from nothing"
	case c.Interval == 0:
		return fmt.Sprintf("checkpoints on request and at the end of the data in %s", st)
	case !st.Survives():
		return fmt.Sprintf("checkpoints every %v in memory: nothing survives this process", c.Interval)
	case c.Retention == config.NoExternalized:
		return fmt.Sprintf("checkpoints every %v in %s: deleted when the job fails for good or is cancelled", c.Interval, st)
	}
	return fmt.Sprintf("checkpoints every %v in %s", c.Interval, st)
}
