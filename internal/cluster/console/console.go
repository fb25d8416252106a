package console

import (
	"bytes"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/weirstream/weir/internal/cluster/local"
	"github.com/weirstream/weir/internal/element"
)

const (
	redrawEvery = 250 * time.Millisecond
	// reportEvery is how often the status is logged where it is not drawn.
	reportEvery = 10 * time.Second
)

// Console is where a process shows one job. Its methods may be called concurrently, but for Follow and Close.
type Console struct {
	job      string
	terminal terminal
	held     held
	screen   *Screen // nil where nothing can be drawn
	logger   *slog.Logger
	started  time.Time
	meter    meter
	stop     chan struct{} // closed to end what Follow started; nil if it was not called
	stopped  chan struct{}
}

// New returns a console that writes to out, which may be a terminal. What is written is held back until Announce or Close.
func New(job string, out io.Writer, getenv func(string) string) *Console {
	return newConsole(job, out, terminalOf(out, getenv))
}

func newConsole(job string, out io.Writer, t terminal) *Console {
	c := &Console{job: job, terminal: t, started: time.Now()}
	c.held.out = out
	if t.canDraw {
		c.screen = NewScreen(out, t.size, t.color)
		c.held.out = c.screen
	}
	c.held.holding = true
	c.logger = slog.New(c.handler(&c.held))
	return c
}

func (c *Console) handler(out io.Writer) slog.Handler {
	if c.terminal.isTerminal {
		return NewHandler(out, slog.LevelInfo, c.terminal.color)
	}
	return slog.NewTextHandler(out, nil)
}

// Logger returns the logger whose lines go to the console.
func (c *Console) Logger() *slog.Logger { return c.logger }

// Write writes whole lines.
func (c *Console) Write(text []byte) (int, error) { return c.held.Write(text) }

// Announce makes a line the first that is written, before all that was held back.
func (c *Console) Announce(line string) {
	var first bytes.Buffer
	slog.New(c.handler(&first)).Info(line)
	c.held.release(first.Bytes())
}

// Follow shows how the job is doing until Close is called. Drawing can be ruled out, for when others write to the terminal too.
func (c *Console) Follow(progress func() local.Progress, draw bool) {
	every, show := reportEvery, c.report
	if c.screen != nil && draw {
		every, show = redrawEvery, c.redraw
	}
	c.stop, c.stopped = make(chan struct{}), make(chan struct{})
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

func (c *Console) status(p local.Progress) *Status {
	now := time.Now()
	return &Status{Job: c.job, Process: os.Getpid(), Started: c.started, Now: now, Progress: p, Rates: c.meter.add(now, p.Steps)}
}

// Close ends the drawing and writes what is still held back. The console can be written to further.
func (c *Console) Close() {
	if c.stop != nil {
		close(c.stop)
		<-c.stopped
		c.stop = nil
	}
	if c.screen != nil {
		_ = c.screen.Clear()
	}
	c.held.release(nil)
}

// Summarize writes how the run ended. p is nil if the job did not run.
func (c *Console) Summarize(p *local.Progress, e End) {
	s := &Status{Job: c.job, Started: c.started, Now: time.Now(), Progress: local.Progress{Newest: element.NoTime}}
	if p != nil {
		s.Progress = *p
	}
	var b bytes.Buffer
	for _, l := range s.Summary(e, p != nil) {
		b.WriteString(l + "\n")
	}
	_, _ = c.Write(b.Bytes())
}

// held is a writer that can keep what is written for later.
type held struct {
	mu      sync.Mutex // guards all
	holding bool
	text    []byte
	out     io.Writer
}

func (h *held) Write(text []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.holding {
		h.text = append(h.text, text...)
		return len(text), nil
	}
	return h.out.Write(text)
}

// release writes the given text and what was held back, and holds nothing back any more.
func (h *held) release(first []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	text := append(first, h.text...)
	h.holding, h.text = false, nil
	if len(text) > 0 {
		_, _ = h.out.Write(text) // if there is nobody to read it, nobody can be told
	}
}
