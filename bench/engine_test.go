package main

import (
	"testing"
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
			if w.name == "keys-17m-every-1s" || w.name == "keys-10000000" {
				continue // too large for a test; keys-1000 and restore take the same ways
			}
			t.Run(p.name+"/"+w.name, func(t *testing.T) { agree(t, w) })
		}
	}
}

func agree(t *testing.T, w workload) {
	events := int64(100_003) // no multiple of anything, so that the last batches are short
	if w.name == "three-stages" {
		events = 7 // they are checkpoints
	}
	want, err := w.limit.run(taskOf(t, events, 2))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range w.engines {
		got, err := e.run(taskOf(t, events, 2))
		if err != nil {
			t.Errorf("%s: %v", e.name, err)
		}
		if got.tally != want.tally {
			t.Errorf("%s: %+v, the limit %+v", e.name, got.tally, want.tally)
		}
		for _, b := range e.bars {
			if _, ok := got.figures[b.Figure]; b.Figure == ageP99 && !ok {
				t.Errorf("%s: no figure %s", e.name, b.Figure)
			}
		}
	}
}
