package start

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/weirstream/weir/internal/cluster/config"
	"github.com/weirstream/weir/internal/exitcode"
	"github.com/weirstream/weir/internal/graph"
	"github.com/weirstream/weir/storage"
)

// Flags are what a user asks for at a start.
type Flags struct {
	Fresh            bool
	Rewind           bool
	Withdraw         bool
	AcceptDuplicates bool
	// DropUncommitted names sinks that the job no longer has, whose prepared output may be lost: see assign.Options.
	DropUncommitted []string
}

// Options say which job begins, and how.
type Options struct {
	Name   string
	Plan   *graph.Plan
	Config *config.Config
	Flags  Flags
	Logger *slog.Logger
	// FS is where checkpoints go.
	FS storage.FS
	// Now is the wall clock.
	Now func() time.Time
	// World has the time and the chance of a simulated process, which has its checkpoint directory to itself; nil outside of tests.
	World World
}

// Error says why a job did not start. Nothing was changed, but what the package comment tells of a claim.
type Error struct {
	Code exitcode.Code
	Text string
}

// Error returns the text.
func (e *Error) Error() string { return e.Text }

func refuse(code exitcode.Code, format string, args ...any) error {
	return &Error{code, fmt.Sprintf(format, args...)}
}

// locations returns where the sources and the sinks of a plan read and write, by name.
func locations(p *graph.Plan) (sources, sinks map[string]string) {
	sources, sinks = map[string]string{}, map[string]string{}
	for _, v := range p.Vertices {
		for _, n := range v.Nodes {
			switch {
			case n.Location == "":
			case n.Kind == graph.Source:
				sources[n.Name] = n.Location
			case n.Kind == graph.Sink:
				sinks[n.Name] = n.Location
			}
		}
	}
	return sources, sinks
}
