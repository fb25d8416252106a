package file

import (
	"fmt"
	"strings"
	"testing"

	"github.com/weirstream/weir/sink"
	"github.com/weirstream/weir/sink/sinktest"
)

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
		t.Run(name, func(t *testing.T) { sinktest.Run(t, suite(100, roll)) })
	}
}
