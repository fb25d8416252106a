package weir

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"github.com/weirstream/weir/internal/cluster/console"
	"github.com/weirstream/weir/internal/cluster/progress"
	"github.com/weirstream/weir/internal/cluster/start"
	"github.com/weirstream/weir/internal/exitcode"
	"github.com/weirstream/weir/internal/graph"
)

// display tells the user of Main how the job is doing and how it has ended.
type display struct {
	name    string
	console *console.Console
	out     io.Writer  // what was asked for, and not what happens: stdout
	ready   func()     // called once the job is about to run
	e       *Execution // nil before it runs
}

func newDisplay(name string, out io.Writer) *display {
	return &display{name: name, console: console.New(name, out, os.Getenv), out: os.Stdout, ready: func() {}}
}

func (d *display) logger() *slog.Logger { return d.console.Logger() }

// announce writes the first line of a run. Scripts find the process by it.
func (d *display) announce() {
	d.logger().Info(fmt.Sprintf("job %q runs in process %d", d.name, os.Getpid()))
	d.ready()
}

// follow shows how the job is doing until close is called.
func (d *display) follow(e *Execution, p *prepared) {
	d.e = e
	d.console.Follow(e.Progress, p.job.logger == d.logger() && !(console.IsTerminal(os.Stdout) && printsRecords(p.plan)))
}

// printsRecords reports whether a sink of the job may write to the standard output: one that names no other place. Where that is a
// terminal, drawing would write over the results.
func printsRecords(p *graph.Plan) bool {
	for _, v := range p.Vertices {
		for _, n := range v.Nodes {
			if n.Kind == graph.Sink && n.Location == "" {
				return true
			}
		}
	}
	return false
}

func (d *display) close() { d.console.Close() }

// end says how the job has ended and returns the exit status.
func (d *display) end(r Result, err error) exitcode.Code {
	d.close()
	code := exitCode(r, err)
	var p *progress.Progress
	if d.e != nil && r.Status != AlreadyFinished {
		now := d.e.Progress()
		p = &now
	}
	var refused *start.Error
	if err != nil && (p == nil || errors.As(err, &refused)) {
		fmt.Fprint(d.console, d.mistakes(err, code))
		return code
	}
	d.console.Summarize(p, d.ending(r, err, code))
	return code
}

// ending is what there is to say about the end of a run.
func (d *display) ending(r Result, err error, code exitcode.Code) console.End {
	end := console.End{Status: string(r.Status), Text: r.Text}
	resumable := code == exitcode.Stopped || code == exitcode.Aborted
	end.SameCommand = r.Checkpoint != "" && (resumable || r.Status == Failed)
	if resumable && r.Checkpoint == "" && r.Text == "" {
		end.Text = "there is no checkpoint: the next run begins again"
	}
	if err != nil {
		first, _, _ := strings.Cut(err.Error(), "\n") // the log has the stack of a panic
		end.Text = strings.TrimPrefix(end.Text+"\n"+first, "\n")
	}
	if r.Checkpoint != "" {
		end.Restore = "-s " + shellWord(r.Checkpoint)
	}
	if r.Savepoint != "" {
		end.Savepoint = "-s " + shellWord(r.Savepoint)
	}
	return end
}

// mistakes says why the job did not start. Several mistakes stand on a line each.
func (d *display) mistakes(err error, code exitcode.Code) string {
	all := split(err)
	var b strings.Builder
	if len(all) == 1 {
		fmt.Fprintf(&b, "%s: %v\n", d.name, all[0])
	} else {
		fmt.Fprintf(&b, "%s cannot start, for %d reasons:\n", d.name, len(all))
		for _, e := range all {
			fmt.Fprintf(&b, "  %s\n", strings.ReplaceAll(e.Error(), "\n", "\n    "))
		}
	}
	if code == exitcode.Usage {
		fmt.Fprintf(&b, "Nothing was started. -help lists the flags.\n")
	}
	return b.String()
}

// split takes errors that were joined apart. What somebody has wrapped with a text of its own stays together.
func split(err error) []error {
	switch e := err.(type) {
	case usageError:
		return split(e.error)
	case *GraphError:
		return split(e.Err)
	case interface{ Unwrap() []error }:
		parts := e.Unwrap()
		if err.Error() == errors.Join(parts...).Error() {
			var all []error
			for _, p := range parts {
				all = append(all, split(p)...)
			}
			return all
		}
	}
	return []error{err}
}

// shellWord writes a path as one types it into a shell.
func shellWord(path string) string {
	if strings.ContainsAny(path, " \t\n'\"\\$&;|<>()*?[]#~`!") {
		return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
	}
	return path
}
