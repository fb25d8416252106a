package main

import (
	"strings"
	"testing"

	"github.com/weirstream/weir/bench/internal/measure"
)

// TestEnginesAgreeWithLimits runs every program small, both sides, and compares what came out: the same number of results with the same
// checksum. It shows that the engine does the work of the limit, not that it is fast.
func TestEnginesAgreeWithLimits(t *testing.T) {
	if testing.Short() {
		t.Skip("the programs together take some seconds")
	}
	for _, p := range programs {
		if p.name == stateOverview.name {
			continue // its workloads are others' too
		}
		for _, w := range p.workloads {
			t.Run(p.name+"/"+w.name, func(t *testing.T) { agree(t, w) })
		}
	}
}

func agree(t *testing.T, w workload) {
	want, err := w.limit.run(quickTask(t, w))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range w.engines {
		got, err := e.run(quickTask(t, w))
		if err != nil {
			t.Errorf("%s: %v", e.name, err)
		}
		if got.tally != want.tally {
			t.Errorf("%s: %+v, the limit %+v", e.name, got.tally, want.tally)
		}
		for _, b := range e.bars {
			figure, _ := relative(b.Figure)
			if _, ok := figuresOf(1, measure.Usage{Wall: 1, CPU: 1}, got.figures)[figure]; !ok {
				t.Errorf("%s: no figure %s", e.name, figure)
			}
		}
	}
}

func quickTask(t *testing.T, w workload) *task {
	task := taskOf(t, w.quick.events, 2)
	task.keys = w.quick.keys
	return task
}

// TestOnly shows which workloads a pattern selects: by their name, and in a program of others' workloads by either part of it.
func TestOnly(t *testing.T) {
	p := program{name: "p", workloads: []workload{{name: "restore/warm"}, {name: "restore/cold"}, {name: "rescale/cold"}}}
	for pattern, want := range map[string]string{
		"*": "restore/warm restore/cold rescale/cold", "restore": "restore/warm restore/cold", "cold": "restore/cold rescale/cold",
		"re*/warm": "restore/warm", "lukewarm": "", "[": "",
	} {
		chosen, err := p.matching(pattern)
		var names []string
		for _, w := range chosen {
			names = append(names, w.name)
		}
		if got := strings.Join(names, " "); got != want || (err != nil) != (want == "") {
			t.Errorf("-only %s: %q, %v; want %q", pattern, got, err, want)
		}
	}
}
