package weir

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"

	"github.com/weirstream/weir/internal/cluster/config"
	"github.com/weirstream/weir/internal/cluster/local"
	"github.com/weirstream/weir/internal/exitcode"
)

// Main runs a job as a program of its own, and does not return. build declares the job's steps; it may read the program's own flags from
// Job.Args. The flags that all jobs have are listed by -help.
//
// The first interrupt or termination signal lets the job take a checkpoint and stop, a second one ends it at once; after both the same
// command goes on where the job was. The exit status is 0 if the job has finished, now or earlier, 1 if it failed, 2 for a mistake in
// flags, configuration or program, 3 if the start was refused so that nothing is lost, 4 if another process runs the same job, 5 if it was
// stopped and can go on, and 130 if it was ended at once.
func Main(name string, build func(j *Job) error) {
	os.Exit(int(run(name, build, os.Args[1:], os.Stderr)))
}

// command is what was said on the command line.
type command struct {
	flags    local.Flags
	file     string // --config
	operator *config.Layer
	help     bool
	args     map[string]string // the program's own
	errs     []error
}

// commonFlag is a flag that every job has. Those without a value are switches.
type commonFlag struct {
	name, value, usage string
	set                func(c *command, value string)
}

var commonFlags []commonFlag

func init() { // not in the declaration, because the functions lead back to it through the search for similar names
	commonFlags = []commonFlag{
		{"p", "n", "run with this parallelism", func(c *command, v string) { c.put("parallelism.default", v, "-p") }},
		{"s", "path", "start from this checkpoint: its directory or its _metadata", func(c *command, v string) { c.put("execution.state-recovery.path", v, "-s") }},
		{"D", "key=value", "set an option; see docs/reference/config.md", func(c *command, v string) { c.operator.Define(v) }},
		{"config", "file", "read options from this file: config.yaml or flink-conf.yaml", func(c *command, v string) { c.file = v }},
		{"fresh", "", "start anew: earlier output is moved aside, earlier checkpoints are kept", func(c *command, _ string) { c.flags.Fresh = true }},
		{"rewind", "", "go back to the checkpoint named with -s once more", func(c *command, _ string) { c.flags.Rewind = true }},
		{"withdraw", "", "let sinks take back what they committed after the restored checkpoint", func(c *command, _ string) { c.flags.Withdraw = true }},
		{"accept-duplicates", "", "leave what was committed after the restored checkpoint, although it comes again", func(c *command, _ string) { c.flags.AcceptDuplicates = true }},
		{"help", "", "show this", func(c *command, _ string) { c.help = true }},
		{"h", "", "", func(c *command, _ string) { c.help = true }},
	}
}

func (c *command) put(key, value, origin string) { c.operator.Set(key, value, origin) }

// parse reads a command line. Which of the flags it does not know belong to the program is known once the job is built.
func parse(args []string) *command {
	c := &command{operator: config.Operator(), args: map[string]string{}}
	for len(args) > 0 {
		arg := args[0]
		args = args[1:]
		name, value, hasValue, ok := isFlag(arg)
		if !ok {
			c.errs = append(c.errs, fmt.Errorf("argument %q: this program takes flags only", arg))
			continue
		}
		f, common := findCommon(name, &value, &hasValue)
		if common && f.value == "" {
			if on, err := strconv.ParseBool(value); !hasValue || err == nil && on {
				f.set(c, "")
			}
			continue
		}
		if !hasValue && len(args) > 0 && !looksLikeFlag(args[0]) {
			value, hasValue, args = args[0], true, args[1:]
		}
		switch {
		case common && !hasValue:
			c.errs = append(c.errs, fmt.Errorf("flag -%s needs a value: -%s %s", name, name, f.value))
		case common:
			f.set(c, value)
		case !hasValue:
			c.args[name] = "true"
		default:
			c.args[name] = value
		}
	}
	return c
}

// looksLikeFlag tells the next flag from a value, which may be a negative number.
func looksLikeFlag(s string) bool {
	_, _, _, ok := isFlag(s)
	if _, err := strconv.ParseFloat(s, 64); err == nil {
		return false
	}
	return ok
}

// findCommon returns the common flag of that name. -Dkey=value is -D with its value.
func findCommon(name string, value *string, hasValue *bool) (commonFlag, bool) {
	if key, ok := strings.CutPrefix(name, "D"); ok && strings.Contains(key, ".") {
		*value, *hasValue = key+"="+*value, true
		name = "D"
	}
	for _, f := range commonFlags {
		if f.name == name {
			return f, true
		}
	}
	return commonFlag{}, false
}

// run runs a program with the given arguments and returns its exit status.
func run(name string, build func(*Job) error, args []string, stderr io.Writer) exitcode.Code {
	c := parse(args)
	j := NewJob(name)
	j.args = newArgs(c.args)
	display := newDisplay(stderr)
	defer display.close()
	j.logger = slog.New(display.handler())
	err := build(j)
	if c.help {
		usage(stderr, name, j.args)
		return exitcode.Finished
	}
	if errs := append(c.errs, j.args.check()...); len(errs) > 0 {
		err = errors.Join(append(errs, err)...)
	}
	if err != nil {
		return display.end(name, Result{}, usageError{err})
	}
	layers := []*config.Layer{config.Environment(os.Environ()), c.operator}
	if c.file != "" {
		layers = append(layers, config.File(c.file))
	}
	j.logger.Info(fmt.Sprintf("job %q runs in process %d", name, os.Getpid()))
	r, err := runUntilSignal(j, c.flags, layers, display)
	return display.end(name, r, err)
}

// runUntilSignal runs the job. The first signal lets it stop with a checkpoint, the second ends it.
func runUntilSignal(j *Job, flags local.Flags, layers []*config.Layer, display *display) (Result, error) {
	signals := make(chan os.Signal, 2) // one to stop, one to abort
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	e, err := start(ctx, j, flags, layers...)
	if err != nil {
		return Result{}, err
	}
	display.follow(e)
	stopping := false
	for {
		select {
		case <-e.Done():
			return e.Wait()
		case s := <-signals:
			if stopping {
				e.Abort()
				continue
			}
			stopping = true
			cancel(fmt.Errorf("%v: a checkpoint is taken first; once more to end at once", s))
		}
	}
}

// usage writes what flags there are.
func usage(w io.Writer, name string, a *Args) {
	fmt.Fprintf(w, "%s is a Weir job.\n\nIts own flags:\n", name)
	a.usage(w)
	fmt.Fprintf(w, "\nFlags of all jobs:\n")
	for _, f := range commonFlags {
		if f.usage != "" {
			fmt.Fprintf(w, "  -%-22s %s\n", strings.TrimSpace(f.name+" "+f.value), f.usage)
		}
	}
}
