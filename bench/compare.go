package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/weirstream/weir/bench/internal/measure"
)

// tooUnsteady is how far the limit may move between runs, relative to its median, before a comparison is suspect.
const tooUnsteady = 0.20

// comparison runs one workload: limit, engine, limit, engine, ... so that a change of the machine's mood meets both.
type comparison struct {
	program string
	work    workload
	settings
	out   *json.Encoder
	lines map[string][]runLine // by side
}

// settings are the command line's.
type settings struct {
	runs        int
	quick       bool
	events      int64 // 0: the workload's own
	parallelism int
	only        string // name of the only side to run; empty: all
	dir         string
	profile     string // prefix of profile files; empty: none
}

// compare prints each run, and returns the summary that it has printed.
func compare(out io.Writer, program string, w workload, s settings) (sum summaryLine, err error) {
	if s.quick {
		w.size = w.quick
	}
	if s.events != 0 {
		w.events = s.events
	}
	c := comparison{program: program, work: w, settings: s, out: json.NewEncoder(out), lines: map[string][]runLine{}}
	for run := 1; run <= c.runs; run++ {
		if err := c.round(run); err != nil {
			return sum, err
		}
	}
	sum = c.summary()
	fmt.Fprint(os.Stderr, sum.text(w))
	return sum, c.out.Encode(sum)
}

// sides returns those that can run, the limit first.
func (c *comparison) sides() []side {
	var can []side
	for _, s := range append([]side{c.work.limit}, c.work.engines...) {
		if s.run != nil && (c.only == "" || c.only == s.name) {
			can = append(can, s)
		}
	}
	return can
}

func (c *comparison) round(run int) error {
	var first *runLine
	for _, s := range c.sides() {
		line, err := spawn(order{
			Program: c.program, Workload: c.work.name, Side: s.name, Keys: c.work.keys, Events: c.work.events, Parallelism: c.parallelism,
			Dir: c.dir, Profile: profilePath(c.profile, c.work.name, s.name),
		})
		if err != nil {
			return err
		}
		line.Type, line.Run = "run", run
		if first == nil {
			first = &line
		}
		if line.tally() != first.tally() {
			return fmt.Errorf("%s/%s: %s came to another result than %s: %s, not %s",
				c.program, c.work.name, s.name, first.Side, line.tally(), first.tally())
		}
		c.lines[s.name] = append(c.lines[s.name], line)
		if err := c.out.Encode(line); err != nil {
			return err
		}
	}
	return nil
}

// summaryLine is the last line of a workload.
type summaryLine struct {
	Type     string        `json:"type"` // "summary"
	Program  string        `json:"program"`
	Workload string        `json:"workload"`
	Events   int64         `json:"events"`
	Runs     int           `json:"runs"`
	Limit    sideSummary   `json:"limit"`
	Engines  []sideSummary `json:"engines"`
	// LimitMoved is (max-min)/median of the limit's compared figure; beyond 0.2 the comparison is suspect.
	LimitMoved float64 `json:"limit_moved"`
	Suspect    bool    `json:"suspect"`
}

type sideSummary struct {
	Side    string                    `json:"side"`
	Note    string                    `json:"note,omitempty"`
	Figures map[string]measure.Spread `json:"figures,omitempty"`
	// RatioCPU and RatioWall are medians over the limit's medians, of events per CPU-second and per second.
	RatioCPU  float64 `json:"ratio_cpu,omitempty"`
	RatioWall float64 `json:"ratio_wall,omitempty"`
	// PairsCPU is the spread of the ratio of each run to the limit's run just before it: steadier than the medians when the machine
	// changes speed for a while.
	PairsCPU *measure.Spread `json:"pairs_cpu,omitempty"`
	Bars     []bar           `json:"bars,omitempty"`
}

func (c *comparison) summary() summaryLine {
	limit := spreads(c.lines[c.work.limit.name])
	moved := limit[c.work.comparedFigure()].Relative()
	s := summaryLine{
		Type: "summary", Program: c.program, Workload: c.work.name, Events: c.work.events, Runs: c.runs,
		Limit:      sideSummary{Side: c.work.limit.name, Note: note(c.work.limit), Figures: limit},
		LimitMoved: moved, Suspect: moved > tooUnsteady,
	}
	for _, e := range c.work.engines {
		s.Engines = append(s.Engines, c.against(limit, e))
	}
	return s
}

func note(s side) string {
	if s.run == nil {
		return "engine run not available yet"
	}
	return ""
}

// against sets an engine run beside the limit. Its bars may name any figure, "ratio_cpu", "ratio_wall", or a figure followed by
// " above limit" for the difference to the limit's or " of limit" for the part of it.
func (c *comparison) against(limit map[string]measure.Spread, e side) sideSummary {
	s := sideSummary{Side: e.name, Note: note(e), Figures: spreads(c.lines[e.name])}
	if len(s.Figures) == 0 || len(limit) == 0 {
		return s
	}
	s.RatioCPU = s.Figures[eventsPerCPUSecond].Median / limit[eventsPerCPUSecond].Median
	s.RatioWall = s.Figures[eventsPerSecond].Median / limit[eventsPerSecond].Median
	near := pairs(c.lines[e.name], c.lines[c.work.limit.name], eventsPerCPUSecond, ratio)
	s.PairsCPU = &near
	for _, b := range e.bars {
		s.Bars = append(s.Bars, b.judge(c.figure(b.Figure, e)))
	}
	return s
}

// figure returns how a bar's figure has varied. Of one that is set beside the limit's the median is that of the medians, and the bounds are
// those of the pairs of neighbouring runs.
func (c *comparison) figure(name string, e side) (s measure.Spread, ok bool) {
	name, beside := relative(name)
	engine, limit := c.lines[e.name], c.lines[c.work.limit.name]
	s, ok = spreads(engine)[name]
	l, has := spreads(limit)[name]
	if beside == nil || !ok || !has {
		return s, ok && beside == nil
	}
	near := pairs(engine, limit, name, beside)
	return measure.Spread{Median: beside(s.Median, l.Median), Min: near.Min, Max: near.Max}, true
}

// relative takes apart the name of a bar's figure: that of a run's figure, and how it is set beside the limit's; nil if it is not.
func relative(bar string) (figure string, beside func(engine, limit float64) float64) {
	switch name, how, _ := strings.Cut(bar, " "); {
	case bar == "ratio_cpu":
		return eventsPerCPUSecond, ratio
	case bar == "ratio_wall":
		return eventsPerSecond, ratio
	case how == "of limit":
		return name, ratio
	case how == "above limit":
		return name, func(engine, limit float64) float64 { return engine - limit }
	}
	return bar, nil
}

func ratio(engine, limit float64) float64 { return engine / limit }

// pairs returns the spread of a figure beside the limit's, run by run.
func pairs(engine, limit []runLine, figure string, beside func(engine, limit float64) float64) measure.Spread {
	var all []float64
	for i := range min(len(engine), len(limit)) {
		all = append(all, beside(engine[i].Figures[figure], limit[i].Figures[figure]))
	}
	return measure.SpreadOf(all)
}

func spreads(lines []runLine) map[string]measure.Spread {
	values := map[string][]float64{}
	for _, l := range lines {
		for name, v := range l.Figures {
			values[name] = append(values[name], v)
		}
	}
	all := map[string]measure.Spread{}
	for name, v := range values {
		all[name] = measure.SpreadOf(v)
	}
	return all
}

// text is the summary for people: the compared figure of each side and the bars.
func (s *summaryLine) text(w workload) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s/%s, median [min..max] of %s:\n", s.Program, s.Workload, w.comparedFigure())
	for _, side := range append([]sideSummary{s.Limit}, s.Engines...) {
		f, ran := side.Figures[w.comparedFigure()]
		if !ran {
			fmt.Fprintf(&b, "  %-15s did not run. %s\n", side.Side, side.Note)
			continue
		}
		fmt.Fprintf(&b, "  %-15s %.4g [%.4g..%.4g]\n", side.Side, f.Median, f.Min, f.Max)
		if side.PairsCPU != nil {
			fmt.Fprintf(&b, "    %.2f of the limit per CPU-second, run by run %.2f [%.2f..%.2f]; wall %.2f\n",
				side.RatioCPU, side.PairsCPU.Median, side.PairsCPU.Min, side.PairsCPU.Max, side.RatioWall)
		}
		for _, bar := range side.Bars {
			fmt.Fprintf(&b, "    %s\n", bar)
		}
	}
	if s.Suspect {
		fmt.Fprintf(&b, "  suspect: the limit moved by %.0f %% between runs\n", 100*s.LimitMoved)
	}
	return b.String()
}
