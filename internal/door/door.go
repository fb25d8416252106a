// Package door lets other packages of this module do with a weir.Job what its users cannot: look at its steps, and run it on something
// else than this machine. Package weir opens it; a job here is a *weir.Job, which this package cannot name because weir imports it.
package door

import (
	"context"
	"time"

	"github.com/weirstream/weir/internal/cluster/jobmaster"
	"github.com/weirstream/weir/internal/cluster/local"
	"github.com/weirstream/weir/internal/cluster/start"
	"github.com/weirstream/weir/internal/graph"
	"github.com/weirstream/weir/storage"
)

// Runtime is what a job is run on.
type Runtime struct {
	FS        storage.FS
	Now       func() time.Time
	Scheduler local.Scheduler // nil for goroutines and timers
	Flags     start.Flags
	// Set holds options, which have the last word.
	Set map[string]string
}

// What weir provides. Each panics if it is given anything but a *weir.Job.
var (
	// Start begins to run a job. Neither the environment nor a configuration file is read.
	Start func(ctx context.Context, job any, r Runtime) (*jobmaster.Execution, error)
	// Check returns everything that is wrong with a job, nil if it could be run.
	Check func(job any) error
	// Steps returns the job's steps, whose payloads are *program.Step. A caller may change the payloads before the job is started.
	Steps func(job any) []*graph.Node
)
