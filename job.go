package weir

import (
	"errors"
	"fmt"
	"log/slog"
	"reflect"

	"github.com/weirstream/weir/checkpoint"
	"github.com/weirstream/weir/internal/cluster/config"
	"github.com/weirstream/weir/internal/graph"
	"github.com/weirstream/weir/source"
)

// Job collects the steps of a program and its settings. It is used by one goroutine.
type Job struct {
	name     string
	graph    graph.Graph
	args     *Args
	settings *config.Layer // the job's own, made in code
	logger   *slog.Logger
	labels   []func(error) map[string]string
	errs     []error
	warnings []string
	loop     string // the id of the loop whose body is being built, if any
	commits  []committing
}

// committing is a step that commits what it writes.
type committing struct {
	id       string
	sink     any
	location string
}

// addCommitting notes a step that commits, and refuses one whose sink another step has, or another sink of the same place: each would
// take what the other has prepared for its own.
func (j *Job) addCommitting(c committing) {
	for _, other := range j.commits {
		switch {
		case c.location != "" && c.location == other.location:
			j.fail("sinks %q and %q both write to %s: give each a place of its own, or unite their streams", other.id, c.id, c.location)
		case c.location == "" && isSame(c.sink, other.sink):
			j.fail("sinks %q and %q have the same %T: give each one of its own, or unite their streams", other.id, c.id, c.sink)
		}
	}
	j.commits = append(j.commits, c)
}

// isSame reports whether two values are one that is pointed to twice.
func isSame(a, b any) bool {
	v := reflect.ValueOf(a)
	return v.Kind() == reflect.Pointer && v.Type().Elem().Size() > 0 && a == b
}

// NewJob returns a job without steps. The name, together with the checkpoint directory, is what a later run is recognised by.
func NewJob(name string) *Job {
	return &Job{name: name, args: newArgs(nil), settings: config.Code(), logger: slog.Default()}
}

// Name returns the name the job was made with.
func (j *Job) Name() string { return j.name }

// Args returns the program's own flags.
func (j *Job) Args() *Args { return j.args }

// Logger sets where the job logs to; slog.Default() if it is not called.
func (j *Job) Logger(l *slog.Logger) { j.logger = l }

// LabelFailures adds a function that says, of each failure of the job, what is to be remembered with it: whose fault it is, which system was not
// there. The labels are shown with the failure, see Execution.Failures. It must return at once. Of two labels with one name the one that was
// added first counts.
func (j *Job) LabelFailures(label func(error) map[string]string) { j.labels = append(j.labels, label) }

// Checkpoint sets how the job takes checkpoints. The site's configuration file is overridden by it; the environment and flags override
// it.
func (j *Job) Checkpoint(options ...checkpoint.Option) {
	for _, o := range options {
		o(j.settings)
	}
}

// Set sets an option by its key, like -D on the command line but with the precedence of code.
func (j *Job) Set(key, value string) { j.settings.Set(key, value, "code (Job.Set)") }

// fail notes a mistake in the program's graph, to be reported with all others when the job is run.
func (j *Job) fail(format string, args ...any) { j.errs = append(j.errs, fmt.Errorf(format, args...)) }

// warn notes something that works but could be better, to be logged when the job is run.
func (j *Job) warn(format string, args ...any) {
	j.warnings = append(j.warnings, fmt.Sprintf(format, args...))
}

// plan returns how the job is run, or everything that is wrong with it.
func (j *Job) plan(d graph.Defaults) (*graph.Plan, error) {
	p, err := j.graph.Plan(d)
	if err := errors.Join(append(j.errs, err)...); err != nil {
		return nil, &GraphError{Job: j.name, Err: err}
	}
	return p, nil
}

// GraphError says what is wrong with the steps of a job: all of it, one mistake on each line.
type GraphError struct {
	Job string
	Err error
}

// Error lists the mistakes.
func (e *GraphError) Error() string { return fmt.Sprintf("job %q cannot be built:\n%v", e.Job, e.Err) }

// Unwrap returns the mistakes.
func (e *GraphError) Unwrap() error { return e.Err }

// Option changes a step.
type Option func(*graph.Node)

// Parallelism sets the number of subtasks that run a step; the job's default if it is not given.
func Parallelism(n int) Option { return func(node *graph.Node) { node.Parallelism = n } }

// MaxParallelism sets the number of key groups of a step, and so the largest parallelism it can ever have. It is fixed once there is a
// checkpoint.
func MaxParallelism(n int) Option { return func(node *graph.Node) { node.MaxParallelism = n } }

// FormerlyID names an id that the step had in earlier versions of the program, under which checkpoints may hold its state.
func FormerlyID(id string) Option {
	return func(node *graph.Node) { node.Former = append(node.Former, id) }
}

// Permanent marks an error that would come again however often the job restarts, such as a record that can never be processed. A step
// that returns it fails the job without a restart.
func Permanent(err error) error { return source.Permanent(err) }
