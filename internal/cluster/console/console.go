package console

import (
	"bytes"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/weirstream/weir/internal/cluster/progress"
	"github.com/weirstream/weir/internal/element"
)

const (
	redrawEvery = 250 * time.Millisecond
	// reportEvery is how often the status is logged where it is not drawn.
	reportEvery = 10 * time.Second
)

// Console is where a process shows one job. Its methods may be called concurrently, but for Follow and Close.
type Console struct {
	job     string
	screen  *Screen
	canDraw bool
	logger  *slog.Logger
	started time.Time
	meter   meter
	stop    chan struct{} // closed to end what Follow started; nil if it was not called
	stopped chan struct{}
}

// New returns a console that writes to out, which may be a terminal.
func New(job string, out io.Writer, getenv func(string) string) *Console {
	return newConsole(job, out, terminalOf(out, getenv))
}

func newConsole(job string, out io.Writer, t terminal) *Console {
	c := &Console{job: job, screen: NewScreen(out, t.size, t.color), canDraw: t.canDraw, started: time.Now()}
	if t.isTerminal {
		c.logger = slog.New(NewHandler(c.screen, slog.LevelInfo, t.color))
	} else {
		c.logger = slog.New(slog.NewTextHandler(c.screen, nil))
	}
	return c
}

// Logger returns the logger whose lines go to the console.
func (c *Console) Logger() *slog.Logger { return c.logger }

// Write writes whole lines.
func (c *Console) Write(text []byte) (int, error) { return c.screen.Write(text) }

// Follow shows how the job is doing until Close is called. Drawing can be ruled out, for when others write to the terminal too.
func (c *Console) Follow(progress func() progress.Progress, draw bool) {
	every, show := reportEvery, c.report
	if c.canDraw && draw {
		every, show = redrawEvery, c.redraw
	}
	c.stop, c.stopped = make(chan struct{}), make(chan struct{})
	c.status(progress()) // rates are measured from here
	go func() {
		defer close(c.stopped)
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				show(c.status(progress()))
			case <-c.stop:
				return
			}
		}
	}()
}

// redraw and report show the status. If the terminal is gone there is nobody to tell.
func (c *Console) redraw(s *Status) { _ = c.screen.Draw(s.Lines) }

func (c *Console) report(s *Status) { c.logger.Info("status", s.Attrs()...) }

func (c *Console) status(p progress.Progress) *Status {
	now := time.Now()
	return &Status{Job: c.job, Process: os.Getpid(), Started: c.started, Now: now, Progress: p, Rates: c.meter.add(now, p.Steps)}
}

// Close ends the drawing. The console can be written to further.
func (c *Console) Close() {
	if c.stop == nil {
		return
	}
	close(c.stop)
	<-c.stopped
	c.stop = nil
	if c.canDraw {
		_ = c.screen.Clear()
	}
}

// Summarize writes how the run ended. p is nil if the job did not run.
func (c *Console) Summarize(p *progress.Progress, e End) {
	s := &Status{Job: c.job, Started: c.started, Now: time.Now(), Progress: progress.Progress{Newest: element.NoTime}}
	if p != nil {
		s.Progress = *p
	}
	var b bytes.Buffer
	for _, l := range s.Summary(e, p != nil) {
		b.WriteString(l + "\n")
	}
	_, _ = c.Write(b.Bytes())
}
