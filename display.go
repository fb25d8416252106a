package weir

import (
	"fmt"
	"io"
	"log/slog"

	"github.com/weirstream/weir/internal/exitcode"
)

// display shows a person or a log how a job is doing.
type display struct{ out io.Writer }

func newDisplay(out io.Writer) *display { return &display{out} }

func (d *display) handler() slog.Handler { return slog.NewTextHandler(d.out, nil) }

func (d *display) follow(*Execution) {}

func (d *display) close() {}

// end says how the job has ended and returns the exit status.
func (d *display) end(name string, r Result, err error) exitcode.Code {
	code := exitCode(r, err)
	if err != nil {
		fmt.Fprintf(d.out, "%s: %v\n", name, err)
		return code
	}
	fmt.Fprintf(d.out, "%s: %s\n", name, r.Status)
	if r.Text != "" {
		fmt.Fprintln(d.out, r.Text)
	}
	if r.Checkpoint != "" {
		fmt.Fprintf(d.out, "checkpoint: -s %s\n", r.Checkpoint)
	}
	return code
}
