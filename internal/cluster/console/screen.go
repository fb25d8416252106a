package console

import (
	"bytes"
	"fmt"
	"io"
	"sync"
)

// Screen is a terminal whose last lines are redrawn while others scroll above them. As long as nothing is drawn it may be any writer. Its
// methods may be called concurrently.
type Screen struct {
	mu    sync.Mutex // guards all, and is held across writes, so that they do not mix
	out   io.Writer
	size  func() Size // asked for at each change, since the user may change it
	bold  bool        // the first line drawn
	drawn []string    // the lines at the end
	buf   bytes.Buffer
}

// NewScreen returns a screen on a terminal of the given size. Nothing is drawn yet.
func NewScreen(out io.Writer, size func() Size, color bool) *Screen {
	return &Screen{out: out, size: size, bold: color}
}

// Write writes text above what is drawn. The text is one or several whole lines; what lacks is the end of the last.
func (s *Screen) Write(text []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.buf.Reset()
	s.home()
	if len(s.drawn) > 0 {
		s.buf.WriteString(eraseBelow)
	}
	s.buf.Write(text)
	if len(text) > 0 && text[len(text)-1] != '\n' {
		s.buf.WriteByte('\n')
	}
	s.drawLines()
	if _, err := s.out.Write(s.buf.Bytes()); err != nil {
		return 0, err
	}
	return len(text), nil
}

// Draw replaces the lines at the end by those that lines returns for the size of the terminal. Each must be narrower than that.
func (s *Screen) Draw(lines func(Size) []string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.buf.Reset()
	s.home()
	before := len(s.drawn)
	s.drawn = lines(s.size())
	s.drawLines()
	if before > 0 {
		s.buf.WriteString(eraseBelow)
	}
	_, err := s.out.Write(s.buf.Bytes())
	return err
}

// Clear takes away what is drawn.
func (s *Screen) Clear() error { return s.Draw(func(Size) []string { return nil }) }

// What a terminal understands, since VT100.
const (
	eraseLine  = "\x1b[K" // from the cursor on
	eraseBelow = "\x1b[J" // from the cursor on
)

// home moves the cursor to where the drawn lines begin. If the terminal has become narrower since, it has broken those that do not fit.
func (s *Screen) home() {
	if len(s.drawn) == 0 {
		return
	}
	columns := max(s.size().Width, 1)
	rows := 0
	for _, l := range s.drawn {
		rows += max(1, (width(l)+columns-1)/columns)
	}
	fmt.Fprintf(&s.buf, "\r\x1b[%dA", rows)
}

// drawLines writes the lines over whatever stood there, which flickers less than to erase it first.
func (s *Screen) drawLines() {
	for i, l := range s.drawn {
		if i == 0 && s.bold {
			l = bold + l + plain
		}
		s.buf.WriteString(l + eraseLine + "\n")
	}
}
