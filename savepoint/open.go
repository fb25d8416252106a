package savepoint

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/weirstream/weir/internal/inspect"
	"github.com/weirstream/weir/internal/nearest"
	"github.com/weirstream/weir/internal/protocol/snapshot"
	"github.com/weirstream/weir/internal/stateform"
	"github.com/weirstream/weir/internal/storage"
	"github.com/weirstream/weir/internal/storage/byscheme"
	"github.com/weirstream/weir/internal/storage/fs"
	publicstorage "github.com/weirstream/weir/storage"
)

// Option says where snapshots are.
type Option func(*options)

type options struct{ fs publicstorage.FS }

// On reads and writes files on fs, instead of this machine's disks and the stores whose packages the program imports.
func On(fs publicstorage.FS) Option { return func(o *options) { o.fs = fs } }

func settled(all []Option) options {
	o := options{fs: byscheme.New(fs.Local{}, publicstorage.Config{})}
	for _, option := range all {
		option(&o)
	}
	return o
}

// Snapshot is an open checkpoint or savepoint. Nothing has to be closed.
type Snapshot struct {
	fs   publicstorage.FS
	path string
	meta *snapshot.Metadata
	form map[string]stateform.Form // by step id
}

// Open opens a checkpoint or savepoint by its directory or its _metadata. It reads what is in it, but no values, and checks neither
// checksums nor whether all files are there: weir verify does.
func Open(ctx context.Context, path string, options ...Option) (*Snapshot, error) {
	o := settled(options)
	path, err := byscheme.Abs(path)
	if err != nil {
		return nil, err
	}
	meta, err := storage.Load(ctx, o.fs, path)
	if err != nil {
		return nil, err
	}
	forms, err := inspect.Forms(ctx, o.fs, meta)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	s := &Snapshot{fs: o.fs, path: path, meta: meta, form: map[string]stateform.Form{}}
	for id, f := range forms {
		s.form[id.String()] = f
	}
	return s, nil
}

// Path returns where the snapshot is.
func (s *Snapshot) Path() string { return s.path }

// Job returns the name of the job that it was taken of.
func (s *Snapshot) Job() string { return s.meta.JobName }

// Checkpoint returns its number.
func (s *Snapshot) Checkpoint() int64 { return int64(s.meta.Checkpoint) }

// Completed returns when it was complete.
func (s *Snapshot) Completed() time.Time { return s.meta.Completed }

// Step is a step of the job.
type Step struct {
	Name           string // the program's id of the step, or a generated name
	ID             string // 32 hexadecimal digits
	Parallelism    int
	MaxParallelism int
	Key            string // the type of the keys, empty if it has no keyed state
	States         []State
}

// State is one state of a step.
type State struct {
	Name string
	Kind string // value, map, list, timer, split list, union list, broadcast list
	Type string // in Go's notation; empty for what the engine or a connector keeps in a form of its own
}

// Steps returns the steps in the order of the job.
func (s *Snapshot) Steps() []Step {
	var steps []Step
	for i := range s.meta.Operators {
		o := &s.meta.Operators[i]
		f := s.form[o.ID.String()]
		step := Step{Name: o.Name, ID: o.ID.String(), Parallelism: o.Parallelism, MaxParallelism: o.MaxParallelism}
		if f.Key != nil {
			step.Key = f.Key.String()
		}
		for _, state := range append(f.Keyed[:len(f.Keyed):len(f.Keyed)], f.Lists...) {
			step.States = append(step.States, State{Name: state.Name, Kind: string(state.Kind), Type: state.Type()})
		}
		steps = append(steps, step)
	}
	return steps
}

// step finds a step by name or id.
func (s *Snapshot) step(name string) (*snapshot.OperatorState, error) {
	var names []string
	for i := range s.meta.Operators {
		o := &s.meta.Operators[i]
		if o.Name == name || o.ID.String() == name {
			return o, nil
		}
		names = append(names, o.Name)
	}
	if near, ok := nearest.Name(name, names, nearest.Half(name)); ok {
		return nil, fmt.Errorf("%s has no step %q; did you mean %q?", s.path, name, near)
	}
	return nil, fmt.Errorf("%s has no step %q: there are %s", s.path, name, strings.Join(names, ", "))
}
