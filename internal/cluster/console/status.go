package console

import (
	"fmt"
	"log/slog"
	"math"
	"strings"
	"time"

	"github.com/weirstream/weir/internal/cluster/progress"
	"github.com/weirstream/weir/internal/element"
)

// Status is all that is shown of a job at one moment.
type Status struct {
	Job      string
	Process  int
	Started  time.Time // of the run in this process
	Now      time.Time
	Progress progress.Progress
	// Rates holds for each step of Progress how fast it is; it may be empty.
	Rates []Rate
}

// Rate is how many records per second go into a step and out of it.
type Rate struct{ In, Out float64 }

// Size is that of a terminal in columns and rows.
type Size struct{ Width, Height int }

// Lines returns the status as lines that fit the terminal: each is narrower than its width, and there are fewer than its height. On a
// narrow terminal columns are left out, on a low one steps, those at the end first.
func (s *Status) Lines(on Size) []string {
	lines := []string{s.headline()}
	after := append([]string{s.checkpoints()}, s.trouble()...)
	room := max(on.Height-1-len(lines)-len(after)-1, 0) // the cursor has a row, the titles have one
	steps, more := len(s.Progress.Steps), 0
	if steps > room {
		more = steps - max(room-1, 0)
		steps -= more
	}
	if steps > 0 {
		for _, row := range layOut(s.columns(steps), on.Width-3) {
			lines = append(lines, "  "+row)
		}
	}
	if more > 0 {
		lines = append(lines, fmt.Sprintf("  and %s more", plural(more, "step")))
	}
	lines = append(lines, after...)
	lines = lines[:min(len(lines), max(on.Height-1, 1))]
	return cutAll(lines, on.Width-1)
}

func (s *Status) headline() string {
	return fmt.Sprintf("%s: %s, %s, process %d", printable(s.Job), s.Progress.Phase, span(s.Now.Sub(s.Started)), s.Process)
}

// columns are those of the first steps.
func (s *Status) columns(steps int) []column {
	name := column{title: "step", left: true}
	in, out := column{title: "records in"}, column{title: "records out", rank: 1}
	inRate, outRate := column{title: "/s", rank: 2}, column{title: "/s", rank: 3}
	watermark, behind := column{title: "watermark", left: true, rank: 5}, column{title: "behind", rank: 4}
	for i, step := range s.Progress.Steps[:steps] {
		r := Rate{}
		if i < len(s.Rates) {
			r = s.Rates[i]
		}
		takes, gives := !step.Source, !step.Sink
		name.cells = append(name.cells, printable(step.Name))
		in.cells = append(in.cells, unless(!takes, count(step.In)))
		inRate.cells = append(inRate.cells, unless(!takes, rate(r.In)))
		out.cells = append(out.cells, unless(!gives, count(step.Out)))
		outRate.cells = append(outRate.cells, unless(!gives, rate(r.Out)))
		lag, ok := s.lag(step.Watermark)
		watermark.cells = append(watermark.cells, eventTime(step.Watermark))
		behind.cells = append(behind.cells, unless(!ok, span(lag)))
	}
	if s.Progress.Newest == element.NoTime { // without event time there is nothing to say about it
		return []column{name, in, inRate, out, outRate}
	}
	return []column{name, in, inRate, out, outRate, watermark, behind}
}

func unless(not bool, text string) string {
	if not {
		return "-"
	}
	return text
}

// live is how old the newest record may be for its data to be about now.
const live = 24 * time.Hour

// lag returns how far a watermark is behind. For data about now that is behind the clock, which also shows when no data come; for data
// about another time it is behind the newest event time seen.
func (s *Status) lag(watermark int64) (time.Duration, bool) {
	newest := s.Progress.Newest
	if watermark == element.NoTime || watermark == element.MaxTime || newest == element.NoTime {
		return 0, false
	}
	reference := time.UnixMilli(newest)
	if s.Now.Sub(reference).Abs() < live {
		reference = s.Now
	}
	return max(reference.Sub(time.UnixMilli(watermark)), 0), true
}

func (s *Status) checkpoints() string {
	c := s.Progress.Checkpoint
	text := "no checkpoint yet"
	if c.Completed > 0 {
		text = fmt.Sprintf("checkpoint %d: %s in %s, %s ago; %d completed",
			c.LastID, size(c.LastBytes), span(c.LastDuration), span(s.Now.Sub(c.LastAt)), c.Completed)
	}
	if c.Failed > 0 {
		text += fmt.Sprintf(", %d failed (%s)", c.Failed, c.LastFailure)
	}
	return "  " + text
}

// trouble is a line about restarts, if there were any.
func (s *Status) trouble() []string {
	if s.Progress.Restarts == 0 {
		return nil
	}
	restarts := plural(s.Progress.Restarts, "restart")
	if n := s.Progress.Futile; n > 1 {
		restarts += fmt.Sprintf(", %d in a row from one checkpoint", n)
	}
	return []string{fmt.Sprintf("  %s, the last because of: %s", restarts, clean(s.Progress.LastError))}
}

// Attrs returns the status for a log line: for each step its records in and out, and their rates.
func (s *Status) Attrs() []any {
	attrs := []any{"phase", string(s.Progress.Phase), "running", span(s.Now.Sub(s.Started))}
	for i, step := range s.Progress.Steps {
		attrs = append(attrs, s.stepAttr(i, step))
	}
	c := s.Progress.Checkpoint
	if c.Completed > 0 {
		attrs = append(attrs, "checkpoint", int64(c.LastID), "age", span(s.Now.Sub(c.LastAt)))
	}
	if c.Failed > 0 {
		attrs = append(attrs, "failed_checkpoints", c.Failed)
	}
	return append(attrs, "restarts", s.Progress.Restarts)
}

func (s *Status) stepAttr(i int, step progress.Step) slog.Attr {
	r := Rate{}
	if i < len(s.Rates) {
		r = s.Rates[i]
	}
	var attrs []any
	if !step.Source {
		attrs = append(attrs, "in", step.In, "in_per_s", int64(math.Round(r.In)))
	}
	if !step.Sink {
		attrs = append(attrs, "out", step.Out, "out_per_s", int64(math.Round(r.Out)))
	}
	if lag, ok := s.lag(step.Watermark); ok {
		attrs = append(attrs, "watermark", time.UnixMilli(step.Watermark).UTC().Format(time.RFC3339), "behind", span(lag))
	}
	return slog.Group(step.Name, attrs...)
}

// End is how a run ended.
type End struct {
	Status      string // "FINISHED", for example
	Text        string // for the user, if there is something to say beyond the status; may have several lines
	SameCommand bool   // goes on from its last checkpoint
	Savepoint   string // the flag that names the savepoint the job has stopped with or was cancelled after; empty if there is none
	Restore     string // the flag that names that checkpoint; empty if none was kept
}

// Summary returns the lines that tell how a run ended and, if it ran, what it did.
func (s *Status) Summary(e End, ran bool) []string {
	lines := []string{fmt.Sprintf("%s: %s after %s", printable(s.Job), e.Status, span(s.Now.Sub(s.Started)))}
	if !ran {
		lines[0] = fmt.Sprintf("%s: %s", printable(s.Job), e.Status)
	}
	if e.Text != "" {
		lines = append(lines, strings.Split(strings.TrimRight(harmless(e.Text, "\n\t"), "\n"), "\n")...)
	}
	if ran {
		lines = append(lines, s.account()...)
	}
	if e.SameCommand {
		lines = append(lines, "The same command goes on from its last checkpoint.")
	}
	if e.Savepoint != "" {
		lines = append(lines, "Savepoint: "+e.Savepoint)
	}
	if e.Restore != "" {
		lines = append(lines, "Last checkpoint: "+e.Restore)
	}
	return lines
}

// account says what was done.
func (s *Status) account() (lines []string) {
	if steps := len(s.Progress.Steps); steps > 0 {
		all := s.columns(steps)
		for _, row := range layOut([]column{all[0], all[1], all[3]}, math.MaxInt) { // names, records in and out
			lines = append(lines, "  "+row)
		}
	}
	c := s.Progress.Checkpoint
	done := fmt.Sprintf("  %s completed, %d failed", plural(c.Completed, "checkpoint"), c.Failed)
	if c.Completed > 0 {
		done += fmt.Sprintf("; the last one, %d: %s in %s", c.LastID, size(c.LastBytes), span(c.LastDuration))
	}
	lines = append(lines, done)
	if n := s.Progress.Restarts; n > 0 {
		lines = append(lines, "  "+plural(n, "restart"))
	}
	return lines
}
