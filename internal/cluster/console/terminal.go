package console

import (
	"io"
	"os"
	"runtime"

	"golang.org/x/term"
)

// terminal is what is known of a place that text is written to.
type terminal struct {
	isTerminal bool // a person looks at it
	canDraw    bool // it understands escape sequences
	color      bool // and the person wants them for more than drawing
	size       func() Size
}

// usual is assumed of a terminal that does not tell its size.
var usual = Size{Width: 80, Height: 24}

// terminalOf finds out what a writer leads to. The environment may say that the terminal is dumb (TERM), and that colors are not wanted
// (NO_COLOR).
func terminalOf(out io.Writer, getenv func(string) string) terminal {
	f, ok := out.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return terminal{}
	}
	t := terminal{isTerminal: true, size: func() Size { return sizeOf(f) }}
	// The console of Windows takes escape sequences only after calls of its own.
	t.canDraw = runtime.GOOS != "windows" && getenv("TERM") != "dumb" && getenv("TERM") != ""
	t.color = t.canDraw && getenv("NO_COLOR") == ""
	return t
}

func sizeOf(f *os.File) Size {
	w, h, err := term.GetSize(int(f.Fd()))
	if err != nil || w <= 0 || h <= 0 {
		return usual
	}
	return Size{Width: w, Height: h}
}

// IsTerminal reports whether a file is a terminal.
func IsTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }
