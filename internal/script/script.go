// Package script lets a test be read as a story: a text file of commands, each followed by what came of it.
//
// A command stands at the left margin, as words separated by spaces. The lines below it that begin with two spaces are its outcome; a
// command without any had none. Lines that begin with # and empty lines are for the reader:
//
//	# The first barrier blocks its channel.
//	barrier 0 #5
//	  block 0
//
// With -update the outcomes in the files are rewritten to what the code does now, to be reviewed as a diff.
package script

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the outcomes in the scripts of testdata")

// Player performs one command, given as its words, and returns the lines of its outcome. It fails the test itself on a command it
// cannot read.
type Player func(t *testing.T, words []string) []string

// Run plays every file that matches the pattern, each in a subtest with a player of its own.
func Run(t *testing.T, pattern string, start func() Player) {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts match %s (%v)", pattern, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), filepath.Ext(file)), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := play(t, start(), string(text))
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o666); err != nil {
					t.Fatal(err)
				}
				return
			}
			compare(t, file, string(text), got)
		})
	}
}

// play returns the script with the outcomes of now.
func play(t *testing.T, player Player, text string) string {
	var out strings.Builder
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, " \t\r\n")
		if strings.HasPrefix(line, "  ") {
			continue // an earlier outcome
		}
		out.WriteString(line + "\n")
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		for _, outcome := range player(t, strings.Fields(line)) {
			out.WriteString("  " + outcome + "\n")
		}
	}
	return out.String()
}

// compare reports the first command whose outcome differs.
func compare(t *testing.T, file, want, got string) {
	t.Helper()
	wants, gots := strings.Split(want, "\n"), strings.Split(got, "\n")
	command := ""
	for i := range max(len(wants), len(gots)) {
		w, g := at(wants, i), at(gots, i)
		if w == g && !strings.HasPrefix(w, " ") && w != "" {
			command = w
		}
		if w != g {
			t.Fatalf("%s:%d: after %q\n got: %s\nwant: %s\n(rewrite with -update and review the diff)", file, i+1, command, g, w)
		}
	}
}

func at(lines []string, i int) string {
	if i < len(lines) {
		return lines[i]
	}
	return "(end)"
}
