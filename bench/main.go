// Command bench compares the engine with what the hardware can do: the same work, once by a limit program (hand-fused Go that knows
// nothing of streams) and once by the engine through its public API, in turns, in one command.
//
//	go run . <program> [-runs 5] [-events N] [-p 2]
//
// It prints JSON lines: the environment, each run, and a summary for each workload. README.md says what the figures mean.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path"
	"runtime"
	"strings"
	"time"
)

var programs []program

// Filled in here and not at the declaration, because runs look themselves up in the list.
func init() {
	programs = []program{keyedCount, stateless, stateUpdate, checkpointCost, checkpointSize, checkpointSpeed, checkpointTime, latency,
		restore, rescale, pebbleUpdate, changelog, stateOverview}
}

func main() {
	if len(os.Args) == 3 && os.Args[1] == childFlag {
		exitOn(obey(os.Args[2]))
		return
	}
	exitOn(command(os.Args[1:]))
}

func exitOn(err error) {
	if err == nil || errors.Is(err, flag.ErrHelp) {
		return
	}
	fmt.Fprintln(os.Stderr, "bench:", err)
	os.Exit(1)
}

func command(args []string) error {
	if len(args) == 0 || strings.HasPrefix(args[0], "-") {
		return errors.New(usage())
	}
	p, err := named(args[0])
	if err != nil {
		return err
	}
	s, pattern, err := parse(args[0], args[1:])
	if err != nil {
		return err
	}
	chosen, err := p.matching(pattern)
	if err != nil {
		return err
	}
	if err := json.NewEncoder(os.Stdout).Encode(environment(s)); err != nil {
		return err
	}
	var all report
	for _, w := range chosen {
		sum, err := compare(os.Stdout, p.name, w, s)
		if err != nil {
			return err
		}
		all.add(sum)
	}
	if len(chosen) > 1 {
		fmt.Fprint(os.Stderr, all.String())
	}
	return nil
}

// matching returns the workloads whose name matches the pattern, or either part of it if it is that of another program's workload.
func (p *program) matching(pattern string) (chosen []workload, err error) {
	var names []string
	for _, w := range p.workloads {
		of, own, _ := strings.Cut(w.name, "/")
		for _, name := range []string{w.name, of, own} {
			match, err := path.Match(pattern, name)
			if err != nil {
				return nil, fmt.Errorf("-only %q: %w", pattern, err)
			}
			if match {
				chosen = append(chosen, w)
				break
			}
		}
		names = append(names, w.name)
	}
	if len(chosen) == 0 {
		return nil, fmt.Errorf("-only %q matches no workload of %s: they are %s", pattern, p.name, strings.Join(names, ", "))
	}
	return chosen, nil
}

func usage() string {
	var b strings.Builder
	b.WriteString("usage: go run . <program> [flags]; -h after the program lists the flags. The programs:\n")
	for _, p := range programs {
		fmt.Fprintf(&b, "  %-16s %s\n", p.name, p.about)
	}
	return b.String()
}

func named(name string) (program, error) {
	for _, p := range programs {
		if p.name == name {
			return p, nil
		}
	}
	return program{}, fmt.Errorf("no program %q; %s", name, usage())
}

func parse(name string, args []string) (s settings, pattern string, err error) {
	f := flag.NewFlagSet(name, flag.ContinueOnError)
	f.IntVar(&s.runs, "runs", 5, "measured runs of each side")
	f.Int64Var(&s.events, "events", 0, "events per run; 0: what the workload says")
	f.IntVar(&s.parallelism, "p", 2, "parallelism")
	f.StringVar(&pattern, "only", "*", "run only the workloads whose name matches this pattern")
	f.BoolVar(&s.quick, "quick", false, "do little, to see whether everything works; the figures say nothing")
	f.StringVar(&s.only, "side", "", "run only this side")
	f.StringVar(&s.dir, "dir", "", "where files go; empty: the system's temporary folder")
	f.StringVar(&s.profile, "cpuprofile", "", "write CPU profiles of the last runs to <this>.<workload>.<side>.prof")
	if err := f.Parse(args); err != nil {
		return s, "", err
	}
	if f.NArg() > 0 {
		return s, "", fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	if s.runs < 1 || s.parallelism < 1 || s.events < 0 {
		return s, "", errors.New("-runs and -p must be at least 1, -events at least 0")
	}
	return s, pattern, nil
}

// environmentLine is the first line: what the figures depend on besides the code.
type environmentLine struct {
	Type        string  `json:"type"` // "environment"
	Go          string  `json:"go"`
	System      string  `json:"system"`
	CPUs        int     `json:"cpus"`
	CPU         string  `json:"cpu,omitempty"`
	Load        float64 `json:"load"` // over the last minute; above 0 others use the machine too
	Parallelism int     `json:"parallelism"`
	EventRate   int64   `json:"event_rate"` // events per second of event time
	Time        string  `json:"time"`
}

func environment(s settings) environmentLine {
	return environmentLine{
		Type: "environment", Go: runtime.Version(), System: runtime.GOOS + "/" + runtime.GOARCH, CPUs: runtime.NumCPU(),
		CPU: cpuModel(), Load: load(), Parallelism: s.parallelism, EventRate: bids.Rate, Time: time.Now().UTC().Format(time.RFC3339),
	}
}

// cpuModel returns what Linux calls the processor, elsewhere nothing.
func cpuModel() string {
	text, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(text)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// load returns the load average of the last minute, 0 where the system does not say.
func load() float64 {
	var l float64
	if text, err := os.ReadFile("/proc/loadavg"); err == nil {
		fmt.Sscan(string(text), &l)
	}
	return l
}
