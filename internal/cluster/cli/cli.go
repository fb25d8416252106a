// Package cli answers what the command weir does with its arguments.
//
// A command reads its flags, calls the room that does the work, and prints: results to stdout, everything else to stderr. It needs no
// job's program, and changes nothing on disk unless it is told to by a flag.
//
// The exit status is part of the contract and never changes its meaning: see [Code].
package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"

	"github.com/weirstream/weir/internal/inspect"
	"github.com/weirstream/weir/internal/nearest"
	"github.com/weirstream/weir/storage"
)

// Code is the exit status of weir.
type Code int

const (
	// Good means that it was done, and that nothing is wrong.
	Good Code = 0
	// Damage means that a snapshot is damaged, on proof.
	Damage Code = 1
	// Usage means that the command line is wrong, or names a step or state that is not there. Nothing was changed.
	Usage Code = 2
	// Unknown means that it could not be told: something could not be read, is not there, was written by a newer version, or is in use.
	Unknown Code = 3
)

// IO is where a command reads and writes.
type IO struct {
	FS     storage.FS // of checkpoints to look into; nil for all that the program knows
	Stdout io.Writer
	Stderr io.Writer
}

// command is one of those that weir has.
type command struct {
	name, args, summary string
	// bare says that it takes no path and needs no file system.
	bare bool
	// declare adds its flags and returns what to do once they are parsed.
	declare func(flags *flag.FlagSet) func(ctx context.Context, path string, io IO) error
}

var commands = []command{
	{name: "inspect", args: "<checkpoint>", summary: "say what is in a checkpoint or savepoint", declare: declareInspect},
	{name: "verify", args: "<path>", summary: "read every byte and check it: of a checkpoint, a job or all jobs in a directory", declare: declareVerify},
	{name: "savepoint", args: "--dispose <path>", summary: "delete a savepoint", declare: declareSavepoint},
	{name: "gc", args: "<dir>", summary: "find what no line in a checkpoint directory needs any more, and delete it if asked to", declare: declareGC},
	{name: "version", bare: true, summary: "say which weir this is, and which formats it writes", declare: declareVersion},
}

// Run runs weir with the arguments that follow its name.
func Run(ctx context.Context, args []string, io IO) Code {
	if len(args) == 0 {
		usage(io.Stderr)
		return Usage
	}
	if isHelp(args[0]) && len(args) == 1 {
		usage(io.Stdout)
		return Good
	}
	if isHelp(args[0]) {
		args = []string{args[1], "--help"}
	}
	if strings.TrimLeft(args[0], "-") == "version" {
		args = append([]string{"version"}, args[1:]...)
	}
	for _, c := range commands {
		if c.name == args[0] {
			return c.run(ctx, args[1:], io)
		}
	}
	return exit(io, unknownCommand(args[0]))
}

func isHelp(arg string) bool {
	return arg == "help" || strings.TrimLeft(arg, "-") == "help" || arg == "-h"
}

func unknownCommand(name string) error {
	var names []string
	for _, c := range commands {
		names = append(names, c.name)
	}
	if near, ok := nearest.Name(name, names, nearest.Half(name)); ok {
		return usageError{fmt.Errorf("there is no command %q; did you mean %q?", name, near)}
	}
	return usageError{fmt.Errorf("there is no command %q: there are %s", name, strings.Join(names, ", "))}
}

// newFlags returns a set of flags that says nothing itself: a mistake is said as all others are.
func newFlags(name string) *flag.FlagSet {
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.Usage = func() {}
	return flags
}

func (c command) run(ctx context.Context, args []string, io IO) Code {
	flags := newFlags(c.name)
	do := c.declare(flags)
	var stores *settings
	if !c.bare {
		stores = declareSettings(flags)
	}
	paths, err := parse(flags, splitDefines(args))
	switch {
	case errors.Is(err, flag.ErrHelp):
		c.help(flags, io.Stdout)
		return Good
	case err != nil:
		return exit(io, usageError{fmt.Errorf("%s: %w; weir help %s lists its flags", c.name, err, c.name)})
	case c.bare && len(paths) == 0:
		return exit(io, do(ctx, "", io))
	case c.bare:
		return exit(io, usageError{fmt.Errorf("%s takes no argument, got %q", c.name, paths)})
	case len(paths) != 1:
		return exit(io, usageError{fmt.Errorf("want one path, got %d: weir %s %s", len(paths), c.name, c.args)})
	}
	if io.FS == nil {
		if io.FS, err = stores.open(); err != nil {
			return exit(io, err)
		}
	}
	return exit(io, do(ctx, paths[0], io))
}

// parse reads flags also behind the path.
func parse(flags *flag.FlagSet, args []string) (paths []string, err error) {
	for {
		if err := flags.Parse(args); err != nil {
			return nil, err
		}
		if flags.NArg() == 0 {
			return paths, nil
		}
		paths = append(paths, flags.Arg(0))
		args = flags.Args()[1:]
	}
}

// errDamage ends a command that has said what is damaged, errUnknown one that has said what could not be read.
var (
	errDamage  = errors.New("damaged")
	errUnknown = errors.New("could not be told")
)

// usageError is a mistake in the command line.
type usageError struct{ error }

// refusal is an error that says nothing of whether something is damaged, although damage may have been the reason.
type refusal struct{ error }

// exit says what an error means, on stderr and as exit status.
func exit(io IO, err error) Code {
	switch {
	case err == nil:
		return Good
	case errors.Is(err, errDamage):
		return Damage
	case errors.Is(err, errUnknown):
		return Unknown
	}
	for text := range strings.SplitSeq(err.Error(), "\n") { // several mistakes stand on a line each
		fmt.Fprintf(io.Stderr, "weir: %s\n", text)
	}
	if u := (usageError{}); errors.As(err, &u) {
		return Usage
	}
	if r := (refusal{}); errors.As(err, &r) || !inspect.IsDamage(err) {
		return Unknown
	}
	return Damage
}

func usage(w io.Writer) {
	fmt.Fprint(w, "weir looks into what jobs keep on disk.\n\n")
	for _, c := range commands {
		fmt.Fprintf(w, "  weir %-28s %s\n", c.name+" "+c.args, c.summary)
	}
	fmt.Fprint(w, "\nweir help <command> lists its flags. Exit status:\n\n")
	exitCodes(w)
}

func exitCodes(w io.Writer) {
	fmt.Fprint(w, "  0  done, and nothing is wrong\n  1  damaged, on proof\n  2  a mistake in the command line\n  3  it could not be told\n")
}

func (c command) help(flags *flag.FlagSet, w io.Writer) {
	if c.bare {
		fmt.Fprintf(w, "weir %s: %s.\n", c.name, c.summary)
		return
	}
	fmt.Fprintf(w, "weir %s [flags] %s: %s.\n", c.name, c.args, c.summary)
	gap := "\n"
	flags.VisitAll(func(f *flag.Flag) {
		value, text := flag.UnquoteUsage(f)
		name := "--" + f.Name
		switch {
		case len(f.Name) == 1:
			name = "-" + f.Name + " " + value
		case value != "":
			name += "=" + value
		}
		fmt.Fprintf(w, "%s  %-22s %s\n", gap, name, text)
		gap = ""
	})
	fmt.Fprint(w, "\nExit status:\n\n")
	exitCodes(w)
}
