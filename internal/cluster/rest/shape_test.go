package rest

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var realAnswers = flag.String("real", "", "rewrite the lists of fields from the answers of a real cluster in this folder")

// answersOf are the real answers that each list of fields is made from.
var answersOf = map[string][]string{
	"config":                {"cluster/config.json"},
	"overview":              {"cluster/overview.json", "cluster/overview-with-job.json"},
	"jobs":                  {"job/jobs.json"},
	"jobs-overview":         {"job/jobs-overview.json"},
	"job":                   {"job/job.json", "job/bounded-finished.json", "job/right-after-run.json", "restarts/job*.json"},
	"status":                {"job/status.json"},
	"plan":                  {"job/plan.json"},
	"job-config":            {"job/config.json"},
	"exceptions":            {"job/exceptions.json", "restarts/exceptions*.json", "failed-checkpoints/*exceptions*.json"},
	"checkpoints":           {"checkpoints/[noai]*-*.json", "savepoints/checkpoints-*.json", "failed-checkpoints/*checkpoints.json", "re*/checkpoints*.json", "unaligned/checkpoints.json"},
	"checkpoints-config":    {"checkpoints/config-*.json", "checkpoints-config/[abcdfnru]*.json", "no-checkpointing/checkpoints-config.json"},
	"checkpoint":            {"checkpoints/details-completed.json", "checkpoints/details-in-progress.json", "savepoints/details-*[a-z].json", "failed-checkpoints/*details.json", "finished-tasks/details.json"},
	"subtasks":              {"checkpoints/details-*-subtasks-*.json", "failed-checkpoints/*-subtasks-*.json", "finished-tasks/details-subtasks-*.json"},
	"accumulators":          {"job/accumulators.json"},
	"metrics":               {"job/metrics*.json", "restarts/metrics-get.json"},
	"metrics-of-jobs":       {"job/jobs-metrics*.json", "vertex/?-subtasks-metrics*.json"},
	"vertex":                {"vertex/?-vertex.json", "finished-tasks/vertex?.json", "restarts/vertex-?.json"},
	"vertex-accumulators":   {"vertex/?-accumulators.json"},
	"vertex-metrics":        {"vertex/?-metrics*.json", "vertex/?-subtask-0-metrics.json", "vertex/?-watermarks.json", "vertex/?-jm-operator-metrics.json"},
	"metrics-of-subtasks":   {"vertex/?-subtasks-metrics*.json"},
	"attempt":               {"vertex/?-subtask-?.json", "vertex/?-subtask-0-attempt-0.json", "restarts/vertex-0-subtask-0*.json"},
	"attempt-accumulators":  {"vertex/?-subtask-0-attempt-0-accumulators.json"},
	"subtasks-accumulators": {"vertex/?-subtasks-accumulators.json"},
	"subtasktimes":          {"vertex/?-subtasktimes.json"},
	"taskmanagers":          {"vertex/?-taskmanagers.json"},
	"errors":                {"errors/unknown-job-job.json", "errors/unknown-path*.json", "errors/malformed-*.json", "errors/unknown-job-status.json"},
}

// shape is what fields an answer has, and of which types.
type shape map[string]*field

type field struct {
	types    map[string]bool
	seen     int // how often it was there
	within   int // how often the object was there that it is a field of
	required bool
}

// shapeOf adds up answers. An id as a key becomes *, and an object that says what it is has that in its path.
func shapeOf(answers ...[]byte) (shape, error) {
	s, objects := shape{}, map[string]int{}
	for _, a := range answers {
		d := json.NewDecoder(bytes.NewReader(a))
		d.UseNumber()
		var v any
		if err := d.Decode(&v); err != nil {
			return nil, err
		}
		s.add("", v, objects)
	}
	for path, f := range s {
		f.within = objects[parent(path)]
		f.required = f.seen >= f.within
	}
	return s, nil
}

var idKey = regexp.MustCompile(`^[0-9a-f]{32}$`)

func (s shape) add(path string, v any, objects map[string]int) {
	switch v := v.(type) {
	case map[string]any:
		if class, ok := v["className"].(string); ok {
			path += "<" + class + ">"
		}
		objects[path]++
		for _, key := range slices.Sorted(maps.Keys(v)) {
			child := path + "/" + idKey.ReplaceAllString(key, "*")
			s.note(child, typeName(v[key]))
			s.add(child, v[key], objects)
		}
	case []any:
		for _, e := range v {
			s.note(path+"/[]", typeName(e))
			s.add(path+"/[]", e, objects)
		}
	}
}

func (s shape) note(path, typ string) {
	if s[path] == nil {
		s[path] = &field{types: map[string]bool{}}
	}
	s[path].types[typ] = true
	s[path].seen++
}

func parent(path string) string { return path[:strings.LastIndex(path, "/")] }

func typeName(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case bool:
		return "bool"
	case json.Number:
		if strings.Contains(string(v), ".") {
			return "decimal"
		}
		return "integer"
	case string:
		return "string"
	case []any:
		return "array"
	}
	return "object"
}

// String lists the fields: path, types, and whether it may be missing.
func (s shape) String() string {
	var b strings.Builder
	for _, path := range slices.Sorted(maps.Keys(s)) {
		f := s[path]
		fmt.Fprintf(&b, "%s %s", path, strings.Join(slices.Sorted(maps.Keys(f.types)), "|"))
		if !f.required {
			b.WriteString(" optional")
		}
		b.WriteString("\n")
	}
	return b.String()
}

func parseShape(text string) shape {
	s := shape{}
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		f := &field{types: map[string]bool{}, required: len(words) == 2}
		for t := range strings.SplitSeq(words[1], "|") {
			f.types[t] = true
		}
		s[words[0]] = f
	}
	return s
}

// differences says where an answer is not of the shape that it should have.
func (s shape) differences(want shape) (all []string) {
	for _, path := range slices.Sorted(maps.Keys(s)) {
		w := want[path]
		if w == nil {
			all = append(all, path+" should not be there")
			continue
		}
		for t := range s[path].types {
			if !w.types[t] {
				all = append(all, fmt.Sprintf("%s is %s, not one of %v", path, t, slices.Sorted(maps.Keys(w.types))))
			}
		}
	}
	objects := map[string]bool{"": true}
	for path := range s {
		objects[parent(path)] = true
	}
	for _, path := range slices.Sorted(maps.Keys(want)) {
		if want[path].required && s[path] == nil && objects[parent(path)] && !strings.HasSuffix(path, "[]") && !strings.HasSuffix(path, "*") {
			all = append(all, path+" is missing")
		}
	}
	return all
}

// TestFieldsAreFlinks compares, field by field and type by type, what is answered here with what a real Flink 2.2.0 has answered. The lists
// of its fields in testdata/fields are made from its answers with -real.
func TestFieldsAreFlinks(t *testing.T) {
	for name, patterns := range answersOf {
		file := filepath.Join("testdata", "fields", name+".txt")
		if *realAnswers != "" {
			rewriteFields(t, file, patterns)
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		want := parseShape(string(text))
		for _, a := range exampleAnswers(t, name) {
			got, err := shapeOf(a.body)
			if err != nil {
				t.Fatalf("%s: %v", a.path, err)
			}
			if diff := got.differences(want); len(diff) > 0 {
				t.Errorf("%s %s: not as in Flink:\n  %s", a.jobs, a.path, strings.Join(diff, "\n  "))
			}
		}
	}
}

func rewriteFields(t *testing.T, file string, patterns []string) {
	var answers [][]byte
	for _, p := range patterns {
		files, err := filepath.Glob(filepath.Join(*realAnswers, p))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: no files: %v", p, err)
		}
		for _, f := range files {
			body, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			if (body[0] == '{' || body[0] == '[') && !bytes.Contains(body, []byte(`"request-id"`)) {
				answers = append(answers, body)
			}
		}
	}
	s, err := shapeOf(answers...)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(s.String()), 0o666); err != nil {
		t.Fatal(err)
	}
}

// TestPathsAreDocumented shows that docs/rest.md names each path, as a whole or by what comes after the job or the vertex. Accumulators, of which
// there are none, have one line for all.
func TestPathsAreDocumented(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "rest.md"))
	if err != nil {
		t.Fatal(err)
	}
	page := strings.ReplaceAll(string(text), "?", "`")
	names := strings.NewReplacer(":jobid", "<job>", ":vertexid", "<vertex>", ":checkpointid", "<n>", ":subtaskindex", "<i>", ":attempt", "<a>")
	for _, r := range routes {
		path := names.Replace(r.path)
		ofJob := "..." + strings.TrimPrefix(path, "/jobs/<job>")
		ofVertex := "..." + strings.TrimPrefix(path, "/jobs/<job>/vertices/<vertex>")
		isNamed := func(form string) bool { return strings.Contains(page, "`"+form+"`") }
		if !strings.HasSuffix(path, "accumulators") && !isNamed(path) && !isNamed(ofJob) && !isNamed(ofVertex) {
			t.Errorf("%s is in no line", path)
		}
	}
}
