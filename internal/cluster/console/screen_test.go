package console

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"
)

// atTime gives records a fixed time.
type atTime struct {
	slog.Handler
	at time.Time
}

func (h atTime) Handle(ctx context.Context, r slog.Record) error {
	r.Time = h.at
	return h.Handler.Handle(ctx, r)
}

// vt is a terminal without a bottom: it understands what a Screen writes.
type vt struct {
	width    int
	rows     [][]rune
	row, col int
}

func (v *vt) size() Size { return Size{Width: v.width, Height: 24} }

func (v *vt) Write(p []byte) (int, error) {
	text := []rune(string(p))
	for i := 0; i < len(text); i++ {
		switch r := text[i]; r {
		case '\r':
			v.col = 0
		case '\n':
			v.row, v.col = v.row+1, 0 // the terminal driver adds the \r
		case '\x1b':
			n, end := 0, i+2
			for text[end] >= '0' && text[end] <= '9' {
				n, end = n*10+int(text[end]-'0'), end+1
			}
			v.escape(text[end], n)
			i = end
		default:
			v.put(r)
		}
	}
	return len(p), nil
}

func (v *vt) at(row int) *[]rune {
	for len(v.rows) <= row {
		v.rows = append(v.rows, nil)
	}
	return &v.rows[row]
}

func (v *vt) put(r rune) {
	if v.col == v.width {
		v.row, v.col = v.row+1, 0
	}
	line := v.at(v.row)
	for len(*line) <= v.col {
		*line = append(*line, ' ')
	}
	(*line)[v.col] = r
	v.col++
}

func (v *vt) escape(command rune, n int) {
	line := v.at(v.row)
	switch command {
	case 'A':
		v.row = max(v.row-n, 0)
	case 'K':
		*line = (*line)[:min(v.col, len(*line))]
	case 'J':
		*line = (*line)[:min(v.col, len(*line))]
		v.rows = v.rows[:v.row+1]
	case 'm':
	default:
		panic(fmt.Sprintf("the terminal does not know ESC[%c", command))
	}
}

// narrow breaks lines again at another width, as terminals do.
func (v *vt) narrow(width int) {
	old := v.rows
	v.rows = nil
	for i, line := range old {
		if i == v.row {
			v.row = len(v.rows)
		}
		for len(line) > width {
			v.rows, line = append(v.rows, line[:width]), line[width:]
		}
		v.rows = append(v.rows, line)
	}
	v.width = width
}

func (v *vt) String() string {
	var lines []string
	for _, l := range v.rows {
		lines = append(lines, strings.TrimRight(string(l), " "))
	}
	return strings.TrimRight(strings.Join(lines, "\n"), "\n")
}

func fixed(lines ...string) func(Size) []string { return func(Size) []string { return lines } }

// The log scrolls above the status, whether that grows, shrinks, or the terminal becomes narrower meanwhile; nothing is left of it at the
// end.
func TestScreen(t *testing.T) {
	v := &vt{width: 20}
	s := NewScreen(v, v.size, true)
	want := func(lines ...string) {
		t.Helper()
		if got := v.String(); got != strings.Join(lines, "\n") {
			t.Fatalf("the terminal shows\n%s\nwant\n%s", got, strings.Join(lines, "\n"))
		}
	}
	fmt.Fprintf(s, "first\n")
	want("first")
	s.Draw(fixed("status 1", "a longer line here"))
	want("first", "status 1", "a longer line here")
	fmt.Fprintf(s, "second, wider than the terminal")
	want("first", "second, wider than t", "he terminal", "status 1", "a longer line here")
	s.Draw(fixed("status 2", "short", "third"))
	want("first", "second, wider than t", "he terminal", "status 2", "short", "third")
	s.Draw(fixed("status 3"))
	want("first", "second, wider than t", "he terminal", "status 3")
	s.Draw(fixed("status 4", "a longer line here"))
	v.narrow(12)
	s.Draw(fixed("status 5", "short"))
	want("first", "second, wide", "r than t", "he terminal", "status 5", "short")
	s.Draw(fixed("status 6", "short line"))
	v.narrow(7)
	fmt.Fprintf(s, "log\n")
	s.Draw(fixed("stat 7"))
	want("first", "second,", " wide", "r than", "t", "he term", "inal", "log", "stat 7")
	s.Clear()
	fmt.Fprintf(s, "end\n")
	want("first", "second,", " wide", "r than", "t", "he term", "inal", "log", "end")
}

// Lines of many goroutines do not tear, and none is lost.
func TestScreenConcurrently(t *testing.T) {
	v := &vt{width: 80}
	s := NewScreen(v, v.size, false)
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() {
			for i := range 50 {
				fmt.Fprintf(s, "line %d of %d\n", i, g)
				s.Draw(fixed("status", fmt.Sprint(g)))
			}
		})
	}
	all.Wait()
	s.Clear()
	seen := map[string]bool{}
	for _, l := range strings.Split(v.String(), "\n") {
		seen[l] = true
	}
	for g := range 8 {
		for i := range 50 {
			if l := fmt.Sprintf("line %d of %d", i, g); !seen[l] {
				t.Fatalf("%q is not there", l)
			}
		}
	}
	if len(seen) != 400 {
		t.Errorf("%d different lines, want 400", len(seen))
	}
}
