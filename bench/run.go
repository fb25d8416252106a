package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime/pprof"
	"strconv"
	"strings"

	"github.com/weirstream/weir/bench/internal/measure"
)

// Every run happens in a process of its own, a child of the command: peak memory and garbage collections are then the run's own,
// and no side inherits the heap of another.

// runLine is one run, as a line of output.
type runLine struct {
	Type     string             `json:"type"` // "run"
	Program  string             `json:"program"`
	Workload string             `json:"workload"`
	Side     string             `json:"side"`
	Run      int                `json:"run"`            // counted from 1
	Keys     int64              `json:"keys,omitempty"` // of the state that is there when the measuring begins
	Events   int64              `json:"events"`
	Records  int64              `json:"records"`
	Checksum string             `json:"checksum"`
	Figures  map[string]float64 `json:"figures"`
}

func (l *runLine) tally() string {
	return fmt.Sprintf("%d results, checksum %s", l.Records, l.Checksum)
}

// order is what a child is told to do.
type order struct {
	Program, Workload, Side string
	Keys, Events            int64
	Parallelism             int
	Dir                     string
	Profile                 string
}

const childFlag = "-as-child"

// spawn carries out the order in a child process and returns its line.
func spawn(o order) (runLine, error) {
	var line runLine
	self, err := os.Executable()
	if err != nil {
		return line, err
	}
	text, err := json.Marshal(o)
	if err != nil {
		return line, err
	}
	child := exec.Command(self, childFlag, string(text))
	child.Stderr = os.Stderr
	out, err := child.Output()
	if err != nil {
		return line, fmt.Errorf("%s/%s, %s: %w", o.Program, o.Workload, o.Side, err)
	}
	return line, json.Unmarshal(out, &line)
}

// obey is the child's main: it carries out the order and prints its line.
func obey(text string) error {
	var o order
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		return err
	}
	w, s, err := find(o)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp(o.Dir, "weir-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	line, err := perform(o, w, s, dir)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(line)
}

func find(o order) (workload, side, error) {
	for _, p := range programs {
		for _, w := range p.workloads {
			if p.name != o.Program || w.name != o.Workload {
				continue
			}
			for _, s := range append([]side{w.limit}, w.engines...) {
				if s.name == o.Side && s.run != nil {
					return w, s, nil
				}
			}
		}
	}
	return workload{}, side{}, fmt.Errorf("no such run: %s/%s, %s", o.Program, o.Workload, o.Side)
}

func perform(o order, w workload, s side, dir string) (runLine, error) {
	t := &task{size: size{o.Keys, o.Events}, parallelism: o.Parallelism, dir: dir, meter: new(measure.Meter)}
	if !w.cold {
		// The whole work once before: the first touch of a page of memory costs microseconds on a virtual machine, and depends on
		// what other machines on the host did. The heap keeps its pages for the second time.
		if _, err := s.run(t); err != nil {
			return runLine{}, err
		}
	}
	stop, err := profile(o.Profile)
	if err != nil {
		return runLine{}, err
	}
	defer stop()
	t.meter.Start()
	out, err := s.run(t)
	t.meter.Stop()
	if err != nil {
		return runLine{}, err
	}
	return runLine{
		Program: o.Program, Workload: o.Workload, Side: o.Side, Keys: o.Keys, Events: o.Events,
		Records: out.tally.Records, Checksum: strconv.FormatUint(out.tally.Checksum, 16),
		Figures: figuresOf(o.Events, t.meter.Usage(), out.figures),
	}, nil
}

// profile starts a CPU profile into the file, if one is named, and returns what ends it.
func profile(path string) (stop func(), err error) {
	if path == "" {
		return func() {}, nil
	}
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, err
	}
	return func() { pprof.StopCPUProfile(); f.Close() }, nil
}

// profilePath gives each side and workload its own file.
func profilePath(prefix, workload, side string) string {
	if prefix == "" {
		return ""
	}
	return strings.Join([]string{prefix, strings.ReplaceAll(workload, "/", "."), side, "prof"}, ".")
}
