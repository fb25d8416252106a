package cli_test

import (
	"context"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/internal/cluster/cli"
)

// What weir says of savepoints, and that it deletes one only if no job goes on from it. One is taken while the job runs, into a directory for
// savepoints; with another one, beside the job's checkpoints, it stops.
func TestSavepoint(t *testing.T) {
	var plain, last string
	s := &session{t: t}
	s.w = stoppedBy(t, func(e *weir.Execution, dir string, _ func()) {
		var err error
		if plain, err = e.Savepoint(context.Background(), filepath.Join(dir, "savepoints"), weir.NativeFormat()); err != nil {
			t.Fatal(err)
		}
		if last, err = e.StopWithSavepoint(context.Background(), filepath.Join(dir, "checkpoints")); err != nil {
			t.Fatal(err)
		}
	}, weir.Finished)
	s.w.job = strings.Split(filepath.Base(last), "-")[1] // the digits in the names of savepoints
	want := func(code, got cli.Code) {
		t.Helper()
		if got != code {
			t.Errorf("exit %d, want %d\n%s", got, code, s.out.String())
		}
	}
	want(cli.Good, s.run("inspect", plain))
	want(cli.Good, s.run("inspect", last))
	want(cli.Good, s.run("verify", filepath.Dir(plain)))
	want(cli.Good, s.run("verify", s.w.dir))
	put(t, filepath.Join(s.w.dir, "savepoint-"+s.w.job+"-0123456789ab", stream1))
	put(t, filepath.Join(s.w.dir, "savepoint-000001-0123456789ab", stream1)) // of a job that this directory knows nothing of
	want(cli.Good, s.run("gc", "--delete", s.w.dir))
	want(cli.Unknown, s.run("savepoint", "--dispose", last))
	want(cli.Good, s.run("savepoint", "--dispose", plain))
	want(cli.Unknown, s.run("savepoint", "--dispose", plain))
	want(cli.Usage, s.run("savepoint", last))
	want(cli.Good, s.run("verify", s.w.dir))
	text := strings.NewReplacer(filepath.Base(plain), "savepoint-JOB-PLAIN", filepath.Base(last), "savepoint-JOB-LAST").Replace(s.out.String())
	s.out.Reset()
	s.out.WriteString(regexp.MustCompile(s.w.job+"[0-9a-f]{26}").ReplaceAllString(text, s.w.job))
	s.golden("savepoint.txt")
	if left := list(t, filepath.Dir(plain)); len(left) != 0 {
		t.Errorf("%v is left", left)
	}
}

// A checkpoint of a line is not disposed of.
func TestDisposeCheckpoint(t *testing.T) {
	s := &session{t: t, w: stopped(t)}
	if code := s.run("savepoint", "--dispose", s.w.chk); code != cli.Unknown {
		t.Errorf("exit %d:\n%s", code, s.out.String())
	}
	if code := s.run("verify", s.w.chk); code != cli.Good {
		t.Errorf("exit %d:\n%s", code, s.out.String())
	}
}
