package codec

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the golden files; for new entries only, a changed one breaks snapshots")

// The golden files are read forever: each line holds what version 1 wrote. An entry may be added, never changed.
const (
	valuesFile  = "testdata/values.v1.txt"
	schemasFile = "testdata/schemas.v1.txt"
)

// Every sample encodes to the bytes in the golden file, and those bytes decode to the sample.
func TestGoldenValues(t *testing.T) {
	golden := goldenFile(t, valuesFile, func(s sample) string { return hex.EncodeToString(s.encode(s.value)) })
	for _, s := range samples() {
		t.Run(s.name, func(t *testing.T) { checkGolden(t, s, golden[s.name]) })
	}
}

func checkGolden(t *testing.T, s sample, line string) {
	t.Helper()
	want, err := hex.DecodeString(line)
	if err != nil {
		t.Fatal(err)
	}
	if got := s.encode(s.value); !bytes.Equal(got, want) {
		t.Errorf("it encodes to %x, want %x", got, want)
	}
	back := s.fresh()
	if rest, err := s.decode(want, back); err != nil || len(rest) != 0 {
		t.Fatalf("decoding left %x, %v", rest, err)
	}
	if !reflect.DeepEqual(back, s.value) {
		t.Errorf("it decodes to %+v, want %+v", back, s.value)
	}
}

// Every sample's schema has the text, the fingerprint and the bytes in the golden file, and those bytes parse to it.
func TestGoldenSchemas(t *testing.T) {
	describe := func(s sample) string {
		return fmt.Sprintf("%v | %v | %x", s.schema, s.schema.Fingerprint(), s.schema.AppendTo(nil))
	}
	golden := goldenFile(t, schemasFile, describe)
	for _, s := range samples() {
		if got, want := describe(s), golden[s.name]; got != want {
			t.Errorf("%s: the schema is\n%s, want\n%s", s.name, got, want)
			continue
		}
		_, form, _ := strings.Cut(golden[s.name], " | ")
		_, form, _ = strings.Cut(form, " | ")
		b, _ := hex.DecodeString(form)
		if parsed, err := ParseSchema(b); err != nil || !parsed.Equal(s.schema) {
			t.Errorf("%s: the bytes parse to %v, %v, want %v", s.name, parsed, err, s.schema)
		}
	}
}

// goldenFile returns the lines "name: text" of a file by name, having rewritten it if asked to.
func goldenFile(t *testing.T, file string, text func(sample) string) map[string]string {
	t.Helper()
	return goldenLines(t, file, samples(), func(s sample) (string, string) { return s.name, text(s) })
}

// goldenLines is goldenFile for cases of any type, each of which has a line.
func goldenLines[C any](t *testing.T, file string, cases []C, line func(C) (name, text string)) map[string]string {
	t.Helper()
	if *update {
		var b bytes.Buffer
		for _, c := range cases {
			name, text := line(c)
			fmt.Fprintf(&b, "%s: %s\n", name, text)
		}
		if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := map[string]string{}
	for line := range strings.Lines(string(content)) {
		name, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		lines[name] = rest
	}
	for _, c := range cases {
		name, _ := line(c)
		if _, ok := lines[name]; !ok {
			t.Fatalf("%s has no %q; run go test -update ./codec", file, name)
		}
	}
	return lines
}

// Machines whose scalars do not lie in memory as they are encoded take a plan without merged copies. It writes and reads the same bytes.
func TestPortablePlanMeetsGoldenValues(t *testing.T) {
	if *update {
		t.Skip("the files are being rewritten")
	}
	native := littleEndian
	defer func() { littleEndian = native; compiled.Clear() }()
	littleEndian = false
	compiled.Clear()
	TestGoldenValues(t)
}
