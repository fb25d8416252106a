package file

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weirstream/weir/sink"
	"github.com/weirstream/weir/sink/sinktest"
)

// More seeds find rarer things: -seeds 5000 takes a minute.
var seeds = flag.Int("seeds", 60, "number of random jobs of each kind")

type row struct {
	Number int
	Text   string
}

// rowsOf reads committed files. Each must begin with the header.
func rowsOf(files map[string]string) ([]row, error) {
	var rows []row
	for name, content := range files {
		lines := strings.Split(content, "\n")
		if lines[0] != "number,text" || lines[len(lines)-1] != "" {
			return nil, fmt.Errorf("%s: no header, or no line end: %q", name, content)
		}
		for _, line := range lines[1 : len(lines)-1] {
			var r row
			number, text, _ := strings.Cut(line, ",")
			fmt.Sscan(number, &r.Number)
			r.Text = text
			rows = append(rows, r)
		}
	}
	return rows, nil
}

// suite tests the sink on a disk in memory, which can lose its power.
func suite(runs int, roll Rolling) sinktest.Suite[row] {
	return sinktest.Suite[row]{
		Runs:      runs,
		Withdraws: true,
		Record:    func(i int) row { return row{i, fmt.Sprint("row ", i)} },
		World: func(t *testing.T) sinktest.World[row] {
			disk := newMemDisk()
			return sinktest.World[row]{
				Sink:      func() sink.TwoPhase[row] { return CSV[row]("/out", Roll(roll), Withdraw(true), On(disk)) },
				Break:     disk.breakAfter,
				Mend:      disk.mend,
				Committed: func() ([]row, error) { return rowsOf(disk.committed("/out")) },
			}
		},
	}
}

// TestExactlyOnce plays jobs that are killed at any call and any operation of the disk, and shows that what is committed in the end is
// each row once, with every way of rolling files.
func TestExactlyOnce(t *testing.T) {
	for name, roll := range map[string]Rolling{
		"at each checkpoint":     {Checkpoint: true},
		"by size":                {Size: 60},
		"by size and checkpoint": {Size: 30, Checkpoint: true},
		"at the end":             {},
	} {
		t.Run(name, func(t *testing.T) { sinktest.Run(t, suite(*seeds, roll)) })
	}
}

// TestExactlyOnceOnDisk plays a few such jobs on the disk of the operating system.
func TestExactlyOnceOnDisk(t *testing.T) {
	s := suite(3, Rolling{Size: 60})
	s.World = func(t *testing.T) sinktest.World[row] {
		dir := filepath.Join(t.TempDir(), "new", "out")
		return sinktest.World[row]{
			Sink: func() sink.TwoPhase[row] { return CSV[row](dir, Roll(Rolling{Size: 60})) },
			Committed: func() ([]row, error) {
				files, err := committedOnDisk(dir)
				if err != nil {
					return nil, err
				}
				return rowsOf(files)
			},
		}
	}
	sinktest.Run(t, s)
}

func committedOnDisk(dir string) (map[string]string, error) {
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		switch {
		case path == dir && errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil || path == dir:
			return err
		case hidden(e.Name()) && e.IsDir():
			return fs.SkipDir
		case hidden(e.Name()):
			return nil
		}
		data, err := os.ReadFile(path)
		files[path] = string(data)
		return err
	})
	return files, err
}

// TestReadWhatWasWritten shows that an output folder is an input folder: what is not committed is not read.
func TestReadWhatWasWritten(t *testing.T) {
	dir := t.TempDir()
	env := sink.CommitterEnv{Line: testLine, Now: testTime}
	out := CSV[row](dir)
	c, err := out.Committer(t.Context(), env)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Recover(t.Context(), sink.Recovery{}); err != nil {
		t.Fatal(err)
	}
	w, _ := out.Writer(t.Context(), sink.WriterEnv{Line: testLine, Attempt: 1, Now: testTime}, nil)
	b := run{t: t, files: out, committer: c, writer: w.(sink.TwoPhaseWriter[row])}
	b.commit(1, 0, 5)
	if err := b.write(5, 7); err != nil {
		t.Fatal(err)
	}
	rows, err := readAll(CSV[row](dir), true)
	if err != nil || len(rows) != 5 || rows[4] != (row{4, "t4"}) {
		t.Errorf("read %v, %v", rows, err)
	}
}
