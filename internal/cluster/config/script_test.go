package config

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the scripts in testdata")

// Each block of testdata/*.txt says what the layers hold and, below ----, what loading them gives: the mistakes, else what is
// set, then the notes. The wording of the messages is part of the script. Lines of a block:
//
//	# what the block shows
//	file NAME          the site's file; its content is the indented lines that follow
//	code KEY = VALUE   set by the program
//	env NAME=VALUE     a variable of the environment
//	flag KEY=VALUE     one -D
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) { runScript(t, file) })
	}
}

func runScript(t *testing.T, file string) {
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for block := range strings.SplitSeq(strings.TrimSpace(string(data)), "\n\n") {
		input, _, _ := strings.Cut(block, "\n----")
		out = append(out, input+"\n----\n"+runBlock(t, input))
	}
	got := strings.Join(out, "\n\n") + "\n"
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got != string(data) {
		t.Errorf("the outcome differs; go test -update and look at the diff. Now:\n%s", got)
	}
}

func runBlock(t *testing.T, input string) string {
	code, operator := Code(), Operator()
	layers := []*Layer{code, operator}
	var environ []string
	lines := strings.Split(input, "\n")
	for i := 0; i < len(lines); i++ {
		verb, arg, _ := strings.Cut(lines[i], " ")
		switch verb {
		case "#":
		case "file":
			var content strings.Builder
			for ; i+1 < len(lines) && strings.HasPrefix(lines[i+1], "  "); i++ {
				content.WriteString(strings.TrimPrefix(lines[i+1], "  ") + "\n")
			}
			layers = append(layers, ParseFile(arg, []byte(content.String())))
		case "code":
			key, value, _ := strings.Cut(arg, " = ")
			code.Set(key, value, "code (checkpoint.Set)")
		case "env":
			environ = append(environ, arg)
		case "flag":
			operator.Define(arg)
		default:
			t.Fatalf("unknown line %q", lines[i])
		}
	}
	cfg, notes, err := Load(append(layers, Environment(environ))...)
	return strings.TrimSuffix(outcome(cfg, notes, err), "\n")
}

func outcome(cfg *Config, notes []Note, err error) string {
	var b strings.Builder
	if err != nil {
		for line := range strings.SplitSeq(err.Error(), "\n") {
			fmt.Fprintln(&b, "error:", line)
		}
	} else {
		for _, d := range inOrder(cfg.values) {
			fmt.Fprintf(&b, "%s = %v, from %s\n", d.key, cfg.values[d].parsed, cfg.values[d].origin)
		}
		fmt.Fprintf(&b, "storage %v, restart %v\n", cfg.Checkpointing().Storage, cfg.Restart().Strategy)
	}
	for _, n := range notes {
		fmt.Fprintln(&b, "note:", n)
	}
	return b.String()
}
