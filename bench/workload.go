package main

import (
	"fmt"

	"github.com/weirstream/weir/bench/internal/measure"
)

// program is one name on the command line: a few workloads that belong together.
type program struct {
	name      string
	about     string
	workloads []workload
}

// workload is one piece of work, done by a limit and by engine runs that must come to the same result.
type workload struct {
	name  string
	size       // of a run unless the command line says otherwise
	quick size // of a run with -quick, and in the tests
	// cold leaves out the run that precedes the measured one in the same process as a warm-up. For work whose first time is what
	// counts, or that warms up by itself.
	cold bool
	// compared is the figure by which the limit's own steadiness is judged; default eventsPerCPUSecond.
	compared string
	limit    side
	engines  []side
}

// size is how much there is to do.
type size struct {
	keys   int64 // of the state, for workloads that fill it before they begin; else 0
	events int64
}

// few is the quick size of what has no keys to fill in. It is no multiple of anything, so that the last batches are short.
var few = size{events: 100_003}

// comparedFigure returns compared or its default.
func (w *workload) comparedFigure() string {
	if w.compared == "" {
		return eventsPerCPUSecond
	}
	return w.compared
}

// side is one way to do the work of a workload.
type side struct {
	name string
	run  func(*task) (outcome, error) // nil: the engine cannot do this yet
	bars []bar
}

// task is what a side gets to do. Its run owns the process: nothing else happens meanwhile.
type task struct {
	size
	parallelism int
	dir         string // an empty folder for files, removed afterwards
	// meter runs while the side does. A side that prepares something calls Start when it is done with that,
	// and Stop before it verifies.
	meter *measure.Meter
}

// outcome is what a side has done, for the comparison of results, and what else it measured.
type outcome struct {
	tally   tally
	figures map[string]float64 // name with unit -> value
}

// tally identifies a multiset of results whatever their order: how many, and the sum of their hashes.
type tally struct {
	Records  int64
	Checksum uint64
}

// add counts a result that consists of two numbers. It is cheap (about 1 ns), because both sides of a comparison pay for it with
// every record.
func (t *tally) add(a, b int64) {
	h := uint64(a)*0x9E3779B97F4A7C15 ^ uint64(b)*0xD1342543DE82EF95
	t.Records++
	t.Checksum += h ^ h>>29
}

func (t *tally) merge(o tally) {
	t.Records += o.Records
	t.Checksum += o.Checksum
}

// bar is what a figure of an engine run should reach. Unused bounds are 0.
type bar struct {
	Figure  string  `json:"figure"`
	AtLeast float64 `json:"at_least,omitempty"`
	AtMost  float64 `json:"at_most,omitempty"`
	Goal    float64 `json:"goal,omitempty"`
	// Value, how it varied and Reached are filled in when the runs are over.
	Value   float64 `json:"value"`
	Min     float64 `json:"min"`
	Max     float64 `json:"max"`
	Reached bool    `json:"reached"`
}

// judge returns the bar with the figure's value: one that is not there is an error of the program, reported as not reached.
func (b bar) judge(s measure.Spread, ok bool) bar {
	b.Value, b.Min, b.Max = s.Median, s.Min, s.Max
	enough := b.AtLeast == 0 || b.Value >= b.AtLeast // a difference to the limit may be negative
	b.Reached = ok && enough && (b.AtMost == 0 || b.Value <= b.AtMost)
	return b
}

// String says whether the bar was reached.
func (b bar) String() string {
	verdict := "missed"
	if b.Reached {
		verdict = "reached"
	}
	s := fmt.Sprintf("%s %s, bar %s %s", b.Figure, b.value(), b.bound(), verdict)
	if b.Goal != 0 {
		s += fmt.Sprintf(", goal %.4g", b.Goal)
	}
	return s
}

func (b bar) value() string { return fmt.Sprintf("%.4g [%.4g..%.4g]", b.Value, b.Min, b.Max) }

func (b bar) bound() string {
	if b.AtMost != 0 {
		return fmt.Sprintf("<= %.4g", b.AtMost)
	}
	return fmt.Sprintf(">= %.4g", b.AtLeast)
}

// Figures that every run has.
const (
	eventsPerCPUSecond = "events_per_cpu_s"
	eventsPerSecond    = "events_per_s"
	cpuNsPerEvent      = "cpu_ns_per_event"
	wallSeconds        = "wall_s"
	cpuSeconds         = "cpu_s"
	peakMB             = "rss_mb" // millions of bytes
	gcCycles           = "gc_cycles"
)

// figuresOf adds what the meter saw to the figures that the side measured itself.
func figuresOf(events int64, u measure.Usage, own map[string]float64) map[string]float64 {
	f := map[string]float64{
		wallSeconds: u.Wall.Seconds(),
		cpuSeconds:  u.CPU.Seconds(),
		peakMB:      float64(u.PeakBytes) / 1e6,
		gcCycles:    float64(u.GCCycles),
	}
	if u.CPU > 0 && u.Wall > 0 && events > 0 {
		f[eventsPerSecond] = float64(events) / u.Wall.Seconds()
		f[eventsPerCPUSecond] = float64(events) / u.CPU.Seconds()
		f[cpuNsPerEvent] = u.CPU.Seconds() * 1e9 / float64(events)
	}
	for name, v := range own {
		f[name] = v
	}
	return f
}
