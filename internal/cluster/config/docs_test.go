package config

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// sections are beginnings of keys that tables of the docs leave away.
var sections = []string{"", "execution.checkpointing.", "execution.state-recovery.", "restart-strategy."}

var exampleOf = regexp.MustCompile(`([a-z][a-z.-]*[a-z])=([^\s` + "`" + `|"]+)`)

// ofStore are options of remote stores, which have pages of their own.
var ofStore = regexp.MustCompile(`^(s3|gs|hdfs|fs)\.`)

// examples returns what the pages for users set options to, by key: key=value wherever it stands, on a command line, in a table, in a text. What
// is no option is left out.
func examples(t *testing.T) map[string][]string {
	t.Helper()
	known := map[string]bool{}
	for _, d := range registry {
		known[d.key] = true
	}
	found := map[string][]string{}
	for _, page := range []string{"checkpoints", "savepoints", "recovery", "iterations", "concepts", "backends", "shared-files", "rest"} {
		text, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", page+".md"))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range exampleOf.FindAllStringSubmatch(string(text), -1) {
			for _, s := range sections {
				if key := s + m[1]; known[key] {
					found[key] = append(found[key], strings.TrimRight(m[2], ".,;:)"))
				}
			}
		}
	}
	return found
}

// TestDocsHaveExamples shows that the pages for users have an example of each option that works, and that what they write can be set: it is
// read, it is allowed, and it is not what the option is anyway.
func TestDocsHaveExamples(t *testing.T) {
	found := examples(t)
	for _, d := range options() {
		if d.available != "yes" || isCodeOnly(d.key) || ofStore.MatchString(d.key) {
			continue
		}
		if len(found[d.key]) == 0 {
			t.Errorf("%s: no example", d.key)
			continue
		}
		other := false
		for _, value := range found[d.key] {
			v, err := d.parse(value)
			if err != nil {
				t.Errorf("%s=%s: %v", d.key, value, err)
				continue
			}
			if problem, _ := d.built(v); problem != "" {
				t.Errorf("%s=%s: %s", d.key, value, problem)
			}
			other = other || strings.Trim(d.def, "`") != value
		}
		if !other {
			t.Errorf("%s: the only example is the default %s", d.key, d.def)
		}
	}
}
