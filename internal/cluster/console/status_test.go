package console

import (
	"fmt"
	"testing"
	"time"

	"github.com/weirstream/weir/internal/cluster/progress"
	"github.com/weirstream/weir/internal/element"
	"github.com/weirstream/weir/internal/script"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func millis(text string) int64 {
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		panic(err)
	}
	return at.UnixMilli()
}

// jobs are the ones that the scripts draw.
var jobs = map[string]*Status{
	"starting": {Job: "flights", Process: 1234, Started: now.Add(-300 * time.Millisecond), Now: now,
		Progress: progress.Progress{Phase: progress.Starting, Newest: element.NoTime, Steps: flights(0)}},
	"flights": {Job: "flights", Process: 1234, Started: now.Add(-83 * time.Second), Now: now,
		Progress: progress.Progress{
			Phase: progress.Running, Newest: millis("2001-01-06T08:22:00Z"), Steps: flights(84902),
			Checkpoint: progress.Checkpoints{
				Completed: 42, LastID: 42, LastBytes: 188416, LastDuration: 6 * time.Millisecond, LastAt: now.Add(-350 * time.Millisecond)},
		},
		Rates: []Rate{{0, 20000}, {20000, 2870}, {2870, 0}},
	},
	"live": {Job: "clicks", Process: 7, Started: now.Add(-26 * time.Hour), Now: now,
		Progress: progress.Progress{
			Phase: progress.Restarting, Newest: now.Add(-90 * time.Second).UnixMilli(), Restarts: 3, Futile: 2,
			LastError: "step \"parse\", subtask 1: panic: no\x1b[2J such column\ngoroutine 7 [running]:",
			Steps: []progress.Step{
				{Name: "clicks", Source: true, Out: 987654321, Watermark: element.NoTime},
				{Name: "parse", In: 987654321, Out: 987654000, Watermark: now.Add(-100 * time.Second).UnixMilli()},
				{Name: "a step whose name is rather long, as some are", In: 987654000, Out: 12, Watermark: element.MaxTime},
			},
			Checkpoint: progress.Checkpoints{Completed: 9, Failed: 2, LastFailure: "CHECKPOINT_EXPIRED", LastID: 11, LastBytes: 281018368,
				LastDuration: 12 * time.Second, LastAt: now.Add(-4 * time.Minute)},
		},
		Rates: []Rate{{0, 1.25e6}, {1.25e6, 1.25e6}, {1.25e6, 0.3}},
	},
	"untimed": {Job: "wordcount", Process: 99, Started: now.Add(-5 * time.Second), Now: now,
		Progress: progress.Progress{Phase: progress.Stopping, Newest: element.NoTime, Steps: flights(1000)[:2]}},
	"many": {Job: "many", Process: 1, Started: now, Now: now,
		Progress: progress.Progress{Phase: progress.Running, Newest: element.NoTime, Steps: steps(40)}},
}

func flights(n int64) []progress.Step {
	watermark := element.NoTime
	if n == 84902 {
		watermark = millis("2001-01-06T07:21:59Z")
	}
	return []progress.Step{
		{Name: "flights", Source: true, Out: n, Watermark: element.NoTime},
		{Name: "hourly-counts", In: n, Out: n / 7, Watermark: watermark},
		{Name: "hourly", Sink: true, In: n / 7, Watermark: watermark},
	}
}

func steps(n int) (all []progress.Step) {
	for i := range n {
		all = append(all, progress.Step{Name: fmt.Sprintf("step-%d", i), In: int64(i), Out: int64(i), Watermark: element.NoTime})
	}
	return all
}

// The scripts show what is drawn for several jobs on terminals of several sizes, what is logged elsewhere, and what remains at the end.
func TestScripts(t *testing.T) {
	script.Run(t, "testdata/*.txt", func() script.Player {
		return func(t *testing.T, words []string) []string {
			s := jobs[words[1]]
			if s == nil {
				t.Fatalf("there is no job %q", words[1])
			}
			switch words[0] {
			case "draw":
				var on Size
				if _, err := fmt.Sscanf(words[2], "%dx%d", &on.Width, &on.Height); err != nil {
					t.Fatal(err)
				}
				return s.Lines(on)
			case "log":
				return logLine(s)
			case "end":
				return s.Summary(ends[words[2]], words[2] != "refused")
			}
			t.Fatalf("there is no command %q", words[0])
			return nil
		}
	})
}

var ends = map[string]End{
	"finished": {Status: "FINISHED"},
	"stopped":  {Status: "SUSPENDED", SameCommand: true, Restore: "-s out/_checkpoints/5f3a/chk-42"},
	"failed":   {Status: "FAILED", Text: "step \"parse\", subtask 1: line 7 has 3 columns", Restore: "-s cp/5f3a/chk-42"},
	"refused":  {Status: "ALREADY FINISHED", Text: "it has finished on 2026-02-28\n  results are in out (hourly)\n"},
}

// Whatever the size of the terminal, no line is as wide as it and the cursor's row is left free.
func TestLinesFit(t *testing.T) {
	for name, s := range jobs {
		for w := 1; w < 130; w++ {
			for h := 1; h < 50; h += 3 {
				lines := s.Lines(Size{w, h})
				if len(lines) > max(h-1, 1) {
					t.Fatalf("%s on %dx%d: %d lines", name, w, h, len(lines))
				}
				for _, l := range lines {
					if width(l) >= w {
						t.Fatalf("%s on %dx%d: %q is too wide", name, w, h, l)
					}
				}
			}
		}
	}
}

// Rates are those of the last seconds, and begin when there are two samples.
func TestMeter(t *testing.T) {
	var m meter
	at := now
	step := func(in int64) []progress.Step { return []progress.Step{{In: in, Out: 2 * in}} }
	if got := m.add(at, step(100)); got[0] != (Rate{}) {
		t.Errorf("at first: %v", got)
	}
	for i := range 40 { // 4 a second, 1000 records each
		at = at.Add(250 * time.Millisecond)
		if got := m.add(at, step(int64(1000*(i+1)+100))); got[0] != (Rate{4000, 8000}) {
			t.Fatalf("sample %d: %v", i, got)
		}
	}
	if len(m.samples) > 22 {
		t.Errorf("%d samples are kept", len(m.samples))
	}
	for range 20 {
		at = at.Add(250 * time.Millisecond)
		m.add(at, step(40100))
	}
	if got := m.add(at.Add(time.Second), step(40100)); got[0] != (Rate{}) {
		t.Errorf("after more than 5 s without records: %v", got)
	}
}
