package file

import (
	"bufio"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weirstream/weir/sink"
	"github.com/weirstream/weir/sink/sinktest"
)

type row struct {
	Number int
	Text   string
}

// committedLines reads a folder as its readers are told to: the lines of all files below it without a component that begins with "."
// or "_". Each file must begin with the header.
func committedLines(dir, header string) ([]string, error) {
	var lines []string
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		if strings.HasPrefix(e.Name(), ".") || strings.HasPrefix(e.Name(), "_") {
			if e.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		s := bufio.NewScanner(f)
		if !s.Scan() || s.Text() != header {
			return fmt.Errorf("%s begins with %q and not the header", path, s.Text())
		}
		for s.Scan() {
			lines = append(lines, s.Text())
		}
		return s.Err()
	})
	return lines, err
}

func suite(runs int, roll Rolling) sinktest.Suite[row] {
	return sinktest.Suite[row]{
		Runs:      runs,
		Withdraws: true,
		Record:    func(i int) row { return row{i, fmt.Sprint("row ", i)} },
		World: func(t *testing.T) sinktest.World[row] {
			dir := filepath.Join(t.TempDir(), "out")
			disk := newBreakingDisk()
			return sinktest.World[row]{
				Sink:  func() sink.TwoPhase[row] { return CSV[row](dir, Roll(roll), Withdraw(true), On(disk)) },
				Break: disk.breakAfter,
				Mend:  disk.mend,
				Committed: func() ([]row, error) {
					lines, err := committedLines(dir, "number,text")
					rows := make([]row, len(lines))
					for i, line := range lines {
						number, text, _ := strings.Cut(line, ",")
						fmt.Sscan(number, &rows[i].Number)
						rows[i].Text = text
					}
					return rows, err
				},
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
		t.Run(name, func(t *testing.T) { sinktest.Run(t, suite(100, roll)) })
	}
}
