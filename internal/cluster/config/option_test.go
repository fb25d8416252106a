package config

import (
	"slices"
	"strings"
	"testing"
)

// Every declaration is sound: documented, with a default that its own parser and check accept and that is not refused as not
// built.
func TestDeclarations(t *testing.T) {
	for _, d := range options() {
		if d.doc == "" || !strings.HasSuffix(d.doc, ".") || strings.Contains(d.doc, "|") {
			t.Errorf("%s: the documentation %q is not a sentence that fits into a table", d.key, d.doc)
		}
		if d.def == "none" {
			continue
		}
		v, err := d.parse(d.def)
		if err != nil {
			t.Errorf("%s: the default %q is refused: %v", d.key, d.def, err)
			continue
		}
		if problem, _ := d.built(v); problem != "" {
			t.Errorf("%s: the default %q is %s", d.key, d.def, problem)
		}
	}
}

// An environment variable means one key, and an option's key is no other's key or old name.
func TestNamesAreDistinct(t *testing.T) {
	variables := map[string]string{}
	for _, name := range names().all {
		v := variableOf(name)
		if other, ok := variables[v]; ok {
			t.Errorf("%s stands for %s and %s", v, name, other)
		}
		variables[v] = name
	}
	for _, d := range options() {
		for _, r := range names().byName[d.key] {
			if r.option != d {
				t.Errorf("%s is also a name of %s", d.key, r.option.key)
			}
		}
	}
}

func TestNearest(t *testing.T) {
	candidates := []string{"execution.checkpointing.dir", "execution.checkpointing.interval", "restart-strategy.type"}
	for name, want := range map[string]string{
		"execution.checkpointing.interval":  "execution.checkpointing.interval",
		"execution.checkpointing.intreval":  "execution.checkpointing.interval",
		"execution.checkpoint.interval":     "execution.checkpointing.interval",
		"Execution.Checkpointing.dir":       "execution.checkpointing.dir",
		"checkpointing.dir":                 "execution.checkpointing.dir",
		"type":                              "restart-strategy.type",
		"restart-strategy.kind":             "",
		"execution.checkpointing.something": "",
		"":                                  "",
	} {
		if got := nearestOf(name, candidates); got != want {
			t.Errorf("nearestOf(%q) = %q, want %q", name, got, want)
		}
	}
}

// An option that is declared without saying what is built refuses every value but its default.
func TestNotBuiltByDefault(t *testing.T) {
	registered := slices.Clone(registry)
	defer func() { registry = registered }()
	with := intOption(spec[int]{Key: "test.with", Default: new(7)})
	without := intOption(spec[int]{Key: "test.without"})
	if problem, _ := with.built(7); problem != "" {
		t.Errorf("the default is %s", problem)
	}
	if problem, fix := with.built(8); problem == "" || !strings.Contains(fix, "7") {
		t.Errorf("another value: %q, %q", problem, fix)
	}
	some := intOption(spec[int]{Key: "test.some", Default: new(7), Only: []int{7, 8}})
	if problem, _ := some.built(8); problem != "" {
		t.Errorf("a value that is built is %s", problem)
	}
	if problem, fix := some.built(9); problem == "" || !strings.Contains(fix, "7, 8") {
		t.Errorf("another value: %q, %q", problem, fix)
	}
	if problem, _ := without.built(7); problem == "" {
		t.Error("a value of an option without default is taken")
	}
}
