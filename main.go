package weir

import (
	"context"
	"encoding/json"
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
	"github.com/weirstream/weir/internal/cluster/rest"
	"github.com/weirstream/weir/internal/cluster/start"
	"github.com/weirstream/weir/internal/exitcode"
)

// Main runs a job as a program of its own, and does not return. build declares the job's steps; it may read the program's own flags from
// Job.Args. The flags that all jobs have are listed by -help.
//
// What happens is written to stderr: on a terminal as a status that is redrawn below the log, elsewhere as lines of log/slog. The first
// line names the process. While the job runs, slog.Default and package log write there too.
//
// The first interrupt or termination signal lets the job take a checkpoint and stop, a second one ends it at once; after both the same
// command goes on where the job was. The exit status is 0 if the job has finished, now or earlier, 1 if it failed, 2 for a mistake in
// flags, configuration or program, 3 if the start was refused so that nothing is lost, 4 if another process runs the same job, 5 if it was
// stopped and can go on, and 130 if it was ended at once. With -plan it is 0 if a start would keep all state, 6 if it would leave some
// behind, and otherwise what the start would end with. The plan is written to stdout, with -plan=json as a StartPlan.
func Main(name string, build func(j *Job) error) {
	d := newDisplay(name, os.Stderr)
	d.ready = func() { slog.SetDefault(d.logger()) }
	os.Exit(int(run(d, build, os.Args[1:])))
}

// command is what was said on the command line.
type command struct {
	flags    start.Flags
	file     string // --config
	operator *config.Layer
	ui       ui
	help     bool
	plan     string           // how it is to be shown: text or json; empty for a run
	own      map[string]given // the flags that are not common: the program's own, or mistakes
	errs     []error
}

// commonFlag is a flag that every job has: one with a value, or a switch.
type commonFlag struct {
	name, value, usage string
	optional           bool // it may come without its value
	set                func(c *command, value string)
	turn               func(c *command, on bool)
}

var commonFlags = []commonFlag{
	{name: "p", value: "n", usage: "run with this parallelism",
		set: func(c *command, v string) { c.operator.Set("parallelism.default", v, "-p") }},
	{name: "s", value: "path", usage: "start from this checkpoint: its directory or its _metadata",
		set: func(c *command, v string) { c.operator.Set("execution.state-recovery.path", v, "-s") }},
	{name: "claim-mode", value: "mode", usage: "who owns the checkpoint of -s: NO_CLAIM, you do; CLAIM, the job does and deletes it in time",
		set: setClaimMode("--claim-mode")},
	{name: "allow-non-restored-state", usage: "leave behind state of steps that the job no longer has; also -n",
		turn: setAllowNonRestored("--allow-non-restored-state")},
	{name: "drop-uncommitted", value: "step", usage: "give up the output that this sink, which the job no longer has, had prepared; may be repeated",
		set: func(c *command, v string) { c.flags.DropUncommitted = append(c.flags.DropUncommitted, v) }},
	{name: "D", value: "key=value", usage: "set an option, also -Dkey=value; docs/reference/config.md lists them",
		set: func(c *command, v string) { c.operator.Define(v) }},
	{name: "config", value: "file", usage: "read options from this file: config.yaml or flink-conf.yaml",
		set: func(c *command, v string) { c.file = v }},
	{name: "plan", value: "text|json", optional: true, usage: "say what would become of each step's state, and do not run; nothing is changed",
		set: setPlan},
	{name: "fresh", usage: "start anew: earlier output is moved aside, earlier checkpoints are kept",
		turn: func(c *command, on bool) { c.flags.Fresh = on }},
	{name: "rewind", usage: "go back to the checkpoint named with -s once more",
		turn: func(c *command, on bool) { c.flags.Rewind = on }},
	{name: "withdraw", usage: "let sinks take back what they committed after the restored checkpoint",
		turn: func(c *command, on bool) { c.flags.Withdraw = on }},
	{name: "accept-duplicates", usage: "leave what was committed after the restored checkpoint, although it comes again",
		turn: func(c *command, on bool) { c.flags.AcceptDuplicates = on }},
	{name: "ui", value: "address", optional: true, usage: "show the job over HTTP, at " + rest.DefaultAddress + " unless an address is given",
		set: func(c *command, v string) { c.ui.wanted, c.ui.address = true, v }},
	{name: "ui-unprotected", usage: "let other machines reach it: whoever can may read all, there is no password",
		turn: func(c *command, on bool) { c.ui.unprotected = on }},
	{name: "help", usage: "show this", turn: func(c *command, on bool) { c.help = on }},
	// As Flink writes them.
	{name: "n", turn: setAllowNonRestored("-n")},
	{name: "allowNonRestoredState", turn: setAllowNonRestored("--allowNonRestoredState")},
	{name: "claimMode", value: "mode", set: setClaimMode("--claimMode")},
	{name: "restoreMode", value: "mode", set: setClaimMode("--restoreMode")},
	{name: "restore-mode", value: "mode", set: setClaimMode("--restore-mode")},
	{name: "h", turn: func(c *command, on bool) { c.help = on }},
}

func setPlan(c *command, v string) {
	switch v {
	case "":
		v = "text"
	case "text", "json":
	default:
		c.fail("flag -plan: %q is neither text nor json", v)
	}
	c.plan = v
}

func setClaimMode(flag string) func(c *command, v string) {
	return func(c *command, v string) { c.operator.Set("execution.state-recovery.claim-mode", v, flag) }
}

func setAllowNonRestored(flag string) func(c *command, on bool) {
	return func(c *command, on bool) {
		c.operator.Set("execution.state-recovery.ignore-unclaimed-state", strconv.FormatBool(on), flag)
	}
}

// parse reads a command line. Which of the flags that are not common belong to the program is known once the job is built.
func parse(args []string) *command {
	c := &command{operator: config.Operator(), own: map[string]given{}}
	for len(args) > 0 {
		arg := args[0]
		args = args[1:]
		name, g, ok := isFlag(arg)
		if !ok {
			c.fail("argument %q belongs to no flag, and this program takes flags only", arg)
			continue
		}
		if isDefine(name) {
			c.operator.Define(strings.TrimPrefix(strings.TrimLeft(arg, "-"), "D"))
			continue
		}
		f, common := findCommon(name)
		if g.alone && len(args) > 0 && f.takes(args[0]) {
			g, args = given{value: args[0]}, args[1:]
		}
		if common {
			c.set(f, g)
		} else {
			c.own[name] = g
		}
	}
	return c
}

// takes reports whether the argument that follows a flag is its value. Whether a flag of the program is a switch is not known yet, but
// an argument that belongs to no flag would be a mistake anyway.
func (f commonFlag) takes(next string) bool {
	if f.turn != nil {
		_, err := strconv.ParseBool(next)
		return err == nil
	}
	if _, err := strconv.ParseFloat(next, 64); err == nil {
		return true // it may be negative
	}
	_, _, flag := isFlag(next)
	return !flag
}

// set does what a common flag says.
func (c *command) set(f commonFlag, g given) {
	switch {
	case f.turn != nil && g.alone:
		f.turn(c, true)
	case f.turn != nil:
		on, err := strconv.ParseBool(g.value)
		if err != nil {
			c.fail("flag -%s: %q is neither true nor false", f.name, g.value)
			return
		}
		f.turn(c, on)
	case (g.alone || g.value == "") && !f.optional:
		c.fail("flag -%s needs a value: -%s <%s>", f.name, f.name, f.value)
	default:
		f.set(c, g.value)
	}
}

func (c *command) fail(format string, args ...any) {
	c.errs = append(c.errs, fmt.Errorf(format, args...))
}

// layers returns the settings beside the job's own.
func (c *command) layers() []*config.Layer {
	layers := []*config.Layer{config.Environment(os.Environ()), c.operator}
	if c.file != "" {
		layers = append(layers, config.File(c.file))
	}
	return layers
}

// findCommon returns the common flag of that name.
func findCommon(name string) (commonFlag, bool) {
	for _, f := range commonFlags {
		if f.name == name {
			return f, true
		}
	}
	return commonFlag{}, false
}

// isDefine reports whether a flag is -D with an option's key behind it, which always has a dot.
func isDefine(name string) bool {
	return strings.HasPrefix(name, "D") && strings.Contains(name, ".")
}

// run runs a program with the given arguments and returns its exit status.
func run(d *display, build func(*Job) error, args []string) exitcode.Code {
	defer d.close()
	c := parse(args)
	j := NewJob(d.name)
	j.args = newArgs(c.own)
	j.logger = d.logger()
	buildErr := build(j)
	if c.help {
		usage(d.console, d.name, j.args)
		return exitcode.Finished
	}
	p, err := prepareAll(c, j, buildErr)
	if err != nil {
		return d.end(Result{}, usageError{err})
	}
	if c.plan != "" {
		return showPlan(p, c, d)
	}
	d.announce()
	var shown uiJob
	hide, err := c.ui.show(&shown, d)
	if err != nil {
		return d.end(Result{}, usageError{err})
	}
	defer hide()
	r, err := runUntilSignal(p, c.flags, d, &shown)
	return d.end(r, err)
}

// showPlan says what a start would do, on stdout since that is what was asked for.
func showPlan(p *prepared, c *command, d *display) exitcode.Code {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	preview, err := local.PlanStart(ctx, p.options(c.flags))
	if err != nil {
		return d.end(Result{}, err)
	}
	if err := writePlan(d.out, newStartPlan(d.name, preview), c.plan); err != nil {
		return d.end(Result{}, fmt.Errorf("write the plan: %w", err))
	}
	return preview.Code
}

func writePlan(out io.Writer, p *StartPlan, form string) error {
	if form != "json" {
		_, err := fmt.Fprintln(out, p)
		return err
	}
	e := json.NewEncoder(out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(p)
}

// prepareAll makes a job ready to start, or returns all mistakes that can be found: in flags, program and configuration.
func prepareAll(c *command, j *Job, buildErr error) (*prepared, error) {
	errs := append(c.errs, j.args.errs...)
	if buildErr != nil {
		_, _, err := config.Load(append(c.layers(), j.settings)...)
		return nil, errors.Join(append(errs, err, buildErr)...) // which flags and steps are missing nobody can tell
	}
	errs = append(errs, j.args.unknown()...)
	if _, err := c.ui.check(); err != nil {
		errs = append(errs, err)
	}
	p, err := prepare(j, c.layers()...)
	return p, errors.Join(append(errs, err)...)
}

// runUntilSignal runs the job. The first signal lets it stop with a checkpoint, the second ends it; a third has its usual effect.
func runUntilSignal(p *prepared, flags start.Flags, d *display, shown *uiJob) (Result, error) {
	signals := make(chan os.Signal, 2) // one to stop, one to abort
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)

	type started struct {
		e   *Execution
		err error
	}
	starting := make(chan started, 1) // a start that is not waited for must not wait either
	go func() {
		e, err := p.start(ctx, flags)
		starting <- started{e, err}
	}()
	var e *Execution
	var done <-chan struct{}
	stopping := false
	for {
		select {
		case s := <-starting:
			if s.err != nil {
				return Result{}, s.err
			}
			e, done = s.e, s.e.Done()
			d.follow(e, p)
			shown.running.Store(e)
		case <-done:
			return e.Wait()
		case s := <-signals:
			switch {
			case !stopping:
				stopping = true
				cancel(fmt.Errorf("%v: a checkpoint is taken first; once more to end at once", s))
			case e == nil:
				return Result{Status: Aborted}, nil
			default:
				signal.Stop(signals)
				e.Abort()
			}
		}
	}
}

// usage writes what flags there are.
func usage(w io.Writer, name string, a *Args) {
	fmt.Fprintf(w, "%s is a Weir job.\n", name)
	if len(a.declared) > 0 {
		fmt.Fprintf(w, "\nIts own flags:\n")
		a.usage(w)
	}
	fmt.Fprintf(w, "\nFlags of all jobs:\n")
	for _, f := range commonFlags {
		switch {
		case f.usage == "":
		case f.optional:
			writeFlag(w, f.name+" ["+f.value+"]", "", f.usage)
		default:
			writeFlag(w, f.name, f.value, f.usage)
		}
	}
}
