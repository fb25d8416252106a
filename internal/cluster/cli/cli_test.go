package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/weirstream/weir/internal/cluster/cli"
	"github.com/weirstream/weir/internal/inspect"
	"github.com/weirstream/weir/internal/protocol/snapshot"
)

var update = flag.Bool("update", false, "write the golden files anew")

// session runs commands and writes down what was said, with what differs from run to run replaced.
type session struct {
	t   *testing.T
	w   world
	out strings.Builder
}

func (s *session) run(args ...string) cli.Code {
	s.t.Helper()
	var stdout, stderr bytes.Buffer
	code := cli.Run(s.t.Context(), args, cli.IO{Stdout: &stdout, Stderr: &stderr})
	fmt.Fprintf(&s.out, "$ weir %s\n%s", strings.Join(args, " "), stdout.String())
	for line := range strings.Lines(stderr.String()) {
		s.out.WriteString("stderr: " + line)
	}
	fmt.Fprintf(&s.out, "exit %d\n\n", code)
	return code
}

var changing = []struct {
	pattern *regexp.Regexp
	with    string
}{
	{regexp.MustCompile(`line(" *: "| +)[0-9a-f]{32}`), "line${1}LINE"},
	{regexp.MustCompile(`20(2[6-9]|[3-9]\d)-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z`), "TIME"}, // the data has whole seconds
	{regexp.MustCompile(`process \d+ on \S+, since [^)]*`), "PROCESS"},
	{regexp.MustCompile(`after [\d.]+[mµn]?s`), "after DURATION"},
	{regexp.MustCompile(`(graph[": ]+)[0-9a-f]{16,}`), "${1}GRAPH"},
	{regexp.MustCompile(`checksum [0-9a-f]{8}`), "checksum CRC"},
	{regexp.MustCompile(`(be|crc32c) [0-9a-f]{8}`), "${1} CRC"},
	{regexp.MustCompile(`0x[0-9a-f]+`), "0xBYTES"},
	{regexp.MustCompile(`(?m)^weir (\(devel\)|v\d|of unknown).*`), "weir VERSION"},
	{regexp.MustCompile(`(?m)^built with .*`), "built with GO"},
	{regexp.MustCompile(`"[A-Za-z0-9+/]{40,}={0,2}"`), `"BYTES"`},
}

// golden compares what was said with a file.
func (s *session) golden(name string) {
	s.t.Helper()
	text := strings.NewReplacer(s.w.chk, "CHK", s.w.dir, "DIR", filepath.Dir(s.w.dir), "TEMP", s.w.job, "JOB").Replace(s.out.String())
	for _, c := range changing {
		text = c.pattern.ReplaceAllString(text, c.with)
	}
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			s.t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		s.t.Fatal(err)
	}
	if text != string(want) {
		s.t.Errorf("got\n%swant what %s has", text, path)
	}
}

// What weir inspect says of a checkpoint with every kind of state, in each of its forms.
func TestInspect(t *testing.T) {
	s := &session{t: t, w: stopped(t)}
	s.run("inspect", s.w.chk)
	s.run("inspect", "--json", s.w.chk+"/_metadata")
	s.run("inspect", s.w.chk, "--keys")
	s.run("inspect", s.w.chk, "--keys=profiles/visits", "--limit", "2")
	s.run("inspect", "--keys=profiles", "--json", s.w.chk)
	s.run("inspect", "--keys=recent", "--json", s.w.chk)
	s.run("inspect", "--keys=profile", s.w.chk)
	s.run("inspect", "--keys=profiles/visit", s.w.chk)
	s.run("inspect", s.w.dir)
	s.run("inspect", filepath.Dir(s.w.chk))
	s.golden("inspect.txt")
}

// Every line of --keys --json, and the report, are JSON.
func TestInspectWritesJSON(t *testing.T) {
	w := stopped(t)
	for _, args := range [][]string{{"inspect", "--json", w.chk}, {"inspect", "--json", "--keys", w.chk}} {
		var out bytes.Buffer
		if code := cli.Run(context.Background(), args, cli.IO{Stdout: &out, Stderr: &out}); code != cli.Good {
			t.Fatal(code, out.String())
		}
		d := json.NewDecoder(&out)
		for d.More() {
			var v map[string]any
			if err := d.Decode(&v); err != nil {
				t.Fatal(args, err)
			}
		}
	}
}

// What weir says to command lines that make no sense, and its help.
func TestUsage(t *testing.T) {
	s := &session{t: t}
	s.w = world{dir: "/a/b", chk: "/a/b/c", job: "no job"}
	s.run()
	s.run("help")
	s.run("help", "inspect")
	s.run("verify", "--help")
	s.run("inspekt", "x")
	s.run("inspect")
	s.run("inspect", "a", "b")
	s.run("inspect", "--bytes", "a")
	s.run("inspect", "--keys", "--limit=-1", "a")
	s.run("verify", "/no/such/place")
	s.run("inspect", "s3://bucket/checkpoints/chk-1") // this program does not import it
	s.run("verify", "-Ds3.secret-kee=hunter2", "s3://bucket/checkpoints")
	s.run("savepoint", "--dispose", "gs://bucket/savepoint-1")
	s.run("gc", "s3://bucket/checkpoints")
	s.run("inspect", "--limit=many", "a")
	s.run("verify", "-Ds3.no=1", "-Ds3.nor=2", "a")
	s.run("help", "version")
	s.run("--version", "a")
	s.run("version", "--json")
	s.run("version")
	s.run("--version")
	s.golden("usage.txt")
}

// weir verify says nothing against what is whole, names each file that is not, and tells damage from what it cannot read.
func TestVerify(t *testing.T) {
	s := &session{t: t, w: stopped(t)}
	want := func(code, got cli.Code) {
		t.Helper()
		if got != code {
			t.Errorf("exit %d, want %d\n%s", got, code, s.out.String())
		}
	}
	want(cli.Good, s.run("verify", s.w.chk))
	want(cli.Good, s.run("verify", s.w.chk+"/_metadata"))
	want(cli.Good, s.run("verify", filepath.Dir(s.w.chk)))
	want(cli.Good, s.run("verify", s.w.dir))

	if err := os.MkdirAll(filepath.Join(filepath.Dir(s.w.chk), "chk-2"), 0o777); err != nil {
		t.Fatal(err)
	}
	want(cli.Good, s.run("verify", s.w.dir))
	change(t, filepath.Join(s.w.dir, "shop.line"), func(b []byte) []byte { b[30] ^= 1; return b })
	want(cli.Damage, s.run("verify", s.w.dir))
	want(cli.Good, s.run("verify", s.w.chk))
	change(t, filepath.Join(s.w.dir, "shop.line"), func([]byte) []byte { return []byte("weir job line, format 5\n") })
	want(cli.Unknown, s.run("verify", s.w.dir))
	if err := os.Remove(filepath.Join(s.w.dir, "shop.line")); err != nil {
		t.Fatal(err)
	}
	want(cli.Damage, s.run("verify", s.w.dir))
	s.golden("verify.txt")
}

func change(t *testing.T, path string, by func([]byte) []byte) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, by(b), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// weir verify says of a path that is no checkpoint what is there, and what is missing to be one. Nothing of it is proof of damage.
func TestVerifyOfWhatIsNoCheckpoint(t *testing.T) {
	s := &session{t: t, w: stopped(t)}
	for path, content := range map[string]string{
		"savepoint-5f0c1d-8a1b2c3d4e5f/stream": "0123456789",
		"chk-7/one":                            "0123456789",
		"chk-7/two":                            "01234",
		"notes/read.me":                        "nothing",
		"copy/mine":                            "weir-md\nand no more",
	} {
		path = filepath.Join(s.w.dir, path)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o777), os.WriteFile(path, []byte(content), 0o666)); err != nil {
			t.Fatal(err)
		}
	}
	s.run("verify", s.w.dir+"/savepoint-5f0c1d-8a1b2c3d4e5f")
	s.run("verify", s.w.dir+"/savepoint-5f0c1d-8a1b2c3d4e5f/_metadata")
	s.run("verify", s.w.dir+"/chk-7/")
	s.run("verify", s.w.dir+"/chk-8")
	s.run("verify", s.w.dir+"/shop.line")
	s.run("verify", s.w.dir+"/notes")
	s.run("verify", s.w.dir+"/notes/read.me")
	s.run("inspect", s.w.dir+"/shop.line")
	s.run("verify", s.w.dir+"/copy/mine") // begins as one: this is damage
	change(t, filepath.Join(s.w.dir, "shop.line"), func(b []byte) []byte { b[30] ^= 1; return b })
	s.run("verify", s.w.dir+"/shop.line")
	s.golden("verify-other.txt")
}

// Every file of a checkpoint, with any byte changed, cut or taken away, is damage, and the line that says so names the file.
func TestVerifyFindsAllDamage(t *testing.T) {
	w := stopped(t)
	for _, entry := range list(t, w.chk) {
		path := filepath.Join(w.chk, entry.Name)
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for at := range whole {
			b := bytes.Clone(whole)
			b[at] ^= 0x10
			damaged(t, w.chk, path, b)
		}
		damaged(t, w.chk, path, whole[:len(whole)-1])
		damaged(t, w.chk, path, append(bytes.Clone(whole), 0))
		if entry.Name != "_metadata" {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			mustBeDamaged(t, w.chk, path)
		}
		if err := os.WriteFile(path, whole, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if v, err := inspect.Verify(t.Context(), localFS, w.chk); err != nil || len(v.Problems) > 0 {
		t.Fatal(v, err)
	}
}

func damaged(t *testing.T, chk, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
	mustBeDamaged(t, chk, path)
}

func mustBeDamaged(t *testing.T, chk, path string) {
	t.Helper()
	v, err := inspect.Verify(t.Context(), localFS, chk)
	if err != nil || len(v.Problems) != 1 || !v.Problems[0].Proved || v.Problems[0].File != path {
		t.Fatalf("%s is damaged: %v, %v", path, v, err)
	}
}

// A key that was moved to another group is damage, although all checksums are right: with it the writer was wrong and not the disk.
func TestVerifyReadsTheStructure(t *testing.T) {
	w := stopped(t)
	var file string
	change(t, filepath.Join(w.chk, "_metadata"), func(b []byte) []byte {
		meta, err := snapshot.Decode(b)
		if err != nil {
			t.Fatal(err)
		}
		for _, sub := range meta.Operators[1].Subtasks {
			s := &sub.Keyed[0].Stream
			change(t, filepath.Join(w.chk, s.Path), func(b []byte) []byte {
				if at := bytes.Index(b, []byte("\x03bob")); at > 0 {
					file = filepath.Join(w.chk, s.Path)
					b[at+1] = 'B'
				}
				s.CRC = crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli))
				return b
			})
		}
		b, err = snapshot.Encode(meta)
		if err != nil {
			t.Fatal(err)
		}
		return b
	})
	v, err := inspect.Verify(t.Context(), localFS, w.chk)
	if err != nil || len(v.Problems) != 1 || v.Problems[0].File != file || !strings.Contains(v.Problems[0].Why, "its key belongs to group") {
		t.Errorf("%v, %v; want one problem in %s", v, err, file)
	}
}
