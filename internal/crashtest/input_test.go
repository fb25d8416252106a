package crashtest_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/weirstream/weir/internal/crashtest"
)

// inputRows is the number of rows of input, one per minute: ten days.
const inputRows = 14_400

// input returns a file of flights and the offset of the given row's distance in it.
func input(row int) (text []byte, offset int) {
	var b bytes.Buffer
	b.WriteString("date,origin,destination,distance,delay\n")
	at := time.Date(2024, 2, 25, 0, 0, 0, 0, time.UTC)
	for i := range inputRows {
		fmt.Fprintf(&b, "%s,A%d,B%d,", at.Format("2006-01-02T15:04"), i%7, i%3)
		if i == row {
			offset = b.Len()
		}
		fmt.Fprintf(&b, "%d,%d\n", 100+i%800, i*i%40-5)
		at = at.Add(time.Minute)
	}
	return b.Bytes(), offset
}

func zipped(t *testing.T, text []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write(text); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func writeInput(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// expected returns the rows of an undisturbed run over an input.
func expected(t *testing.T, name string, data []byte) []string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	writeInput(t, path, data)
	dir := t.TempDir()
	if code, log := flights(dir, "--rate", "0", "--input", path).Run(t); code != 0 {
		t.Fatalf("the undisturbed run: exit code %d:\n%s", code, log)
	}
	rows, err := crashtest.Rows(dir)
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// checkSome checks that rows were committed, and only such as are wanted.
func checkSome(t *testing.T, dir string, want []string) {
	t.Helper()
	got, err := crashtest.Rows(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) == 0 {
		t.Error("nothing was committed before the failure")
	}
	if extra := crashtest.Without(got, want); len(extra) > 0 {
		t.Errorf("%d committed rows are not those of an undisturbed run, the first one is %s", len(extra), extra[0])
	}
}

// checkAll checks that the committed rows are those that are wanted.
func checkAll(t *testing.T, dir string, want []string) {
	t.Helper()
	got, err := crashtest.Rows(dir)
	if err != nil {
		t.Fatal(err)
	}
	if diff := crashtest.Diff(got, want); diff != "" {
		t.Error(diff)
	}
}

// TestBadRow: a row that cannot be read ends the job for good, named by file, line and column. What was committed stays; when the row is as it
// should be, the same command goes on from the last checkpoint.
func TestBadRow(t *testing.T) {
	t.Parallel()
	const bad = 12_000 // at 20,000 rows per second: after some checkpoints
	text, offset := input(bad)
	want := expected(t, "flights.csv", text)
	path, dir := filepath.Join(t.TempDir(), "flights.csv"), t.TempDir()
	damaged := bytes.Clone(text)
	damaged[offset] = 'x'
	writeInput(t, path, damaged)
	p := flights(dir, "--rate", "20000", "--input", path)
	says := []string{fmt.Sprintf("flights.csv:%d: ", bad+2), "distance", "not a whole number"}
	log := checkRun(t, p, 1, says...)
	if strings.Contains(log, "the job restarts") {
		t.Errorf("the job has tried again what must fail again:\n%s", log)
	}
	checkSome(t, dir, want)
	checkRun(t, p, 1, says...) // it goes on from its checkpoint and meets the same
	writeInput(t, path, text)
	checkRun(t, p, 0, "resumed from checkpoint")
	checkAll(t, dir, want)
}

// TestCutGzip: a compressed file that ends too early is no shorter input, it is an error. With the whole file, which is another one, only a
// fresh start is right, and the earlier output is moved aside.
func TestCutGzip(t *testing.T) {
	t.Parallel()
	text, _ := input(0)
	zip := zipped(t, text)
	want := expected(t, "flights.csv.gz", zip)
	path, dir := filepath.Join(t.TempDir(), "flights.csv.gz"), t.TempDir()
	writeInput(t, path, zip[:len(zip)*3/4])
	p := flights(dir, "--rate", "20000", "--input", path)
	checkRun(t, p, 1, "flights.csv.gz:", "damaged or cut short", io.ErrUnexpectedEOF.Error())
	checkSome(t, dir, want)
	writeInput(t, path, zip)
	checkRun(t, p, 3, "flights.csv.gz", "has changed since the job began")
	checkSome(t, dir, want)
	p.Args = append(p.Args, "--fresh")
	checkRun(t, p, 0, "fresh start")
	checkAll(t, dir, want)
}

// TestCommittedFileGone: when going back further needs a committed file that somebody has taken away, the start stops and names it. With the
// file in its place again the same command goes on.
func TestCommittedFileGone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var newest string
	var committed []string
	for committed == nil { // the last checkpoint may come too soon after the one before to have output of its own
		suspended(t, dir)
		all := checkpoints(dir)
		newest = all[len(all)-1]
		committed = glob(filepath.Join(dir, "hourly", fmt.Sprintf("part-*-c%d-*", idOf(newest))))
	}
	change(t, filepath.Join(newest, "_metadata"), flip)
	away := filepath.Join(t.TempDir(), "away.csv")
	if err := os.Rename(committed[0], away); err != nil {
		t.Fatal(err)
	}
	checkRun(t, flights(dir), 3, filepath.Base(committed[0]))
	if err := os.Rename(away, committed[0]); err != nil {
		t.Fatal(err)
	}
	finish(t, dir)
}
