package weir

import (
	"context"
	"maps"
	"slices"

	"github.com/weirstream/weir/internal/cluster/config"
	"github.com/weirstream/weir/internal/cluster/jobmaster"
	"github.com/weirstream/weir/internal/cluster/local"
	"github.com/weirstream/weir/internal/door"
	"github.com/weirstream/weir/internal/graph"
)

func init() {
	door.Start = func(ctx context.Context, j any, r door.Runtime) (*jobmaster.Execution, error) {
		return startOn(ctx, j.(*Job), r)
	}
	door.Check = func(j any) error {
		_, err := prepare(j.(*Job))
		return err
	}
	door.Steps = func(j any) []*graph.Node { return j.(*Job).graph.Nodes }
}

// startOn starts a job on something else than this machine.
func startOn(ctx context.Context, j *Job, r door.Runtime) (*jobmaster.Execution, error) {
	last := config.Operator()
	for _, key := range slices.Sorted(maps.Keys(r.Set)) {
		last.Set(key, r.Set[key], "the test")
	}
	p, err := prepare(j, last)
	if err != nil {
		return nil, err
	}
	o := local.Options{
		Name: j.name, Plan: p.plan, Config: p.config, Flags: r.Flags, Logger: j.logger, FS: r.FS, Now: r.Now, Scheduler: r.Scheduler, Labels: j.labels,
	}
	if err := p.openBackend(&o); err != nil {
		return nil, err
	}
	return local.Start(ctx, o)
}
