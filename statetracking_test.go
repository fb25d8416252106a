package weir_test

import (
	"context"
	"fmt"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/weirstream/weir"
)

// trackedWorld begins a job whose accesses to state are measured, and stops the sources when 15 records of each of its 6 keys have come to sums.
func trackedWorld(t *testing.T, set map[string]string) (*world, *weir.Execution) {
	w := newWorld(t, 2, 60)
	w.byHand = true
	for k, v := range set {
		w.set[k] = v
	}
	w.set["state.backend.pebble.localdir"] = filepath.Join(t.TempDir(), "state")
	w.in.hold(0, 90)
	w.in.hold(1, 90)
	e := w.start(context.Background(), 2)
	w.read(e, 180)
	return w, e
}

// measurements returns the sum of the counts that /metrics has of a histogram, of which each line must have a label if one is given.
func measurements(t *testing.T, page, name, label string) (n int64) {
	t.Helper()
	for _, line := range regexp.MustCompile(`(?m)^`+name+`_count\{(.*)\} (\d+)$`).FindAllStringSubmatch(page, -1) {
		if strings.Contains(line[1], label) {
			count, _ := strconv.ParseInt(line[2], 10, 64)
			n += count
		}
	}
	return n
}

const ofStep = "flink_taskmanager_job_task_operator_"

// TestStateTracking shows what a running job tells of the accesses to its state on each backend, with a changelog and without: under Flink's names,
// with the name of a state as a label or as a part of the metric's name, as many as there were if each record is measured, about the newest of
// them; and that the job gives the same results.
func TestStateTracking(t *testing.T) {
	for _, backend := range []string{"hashmap", "pebble"} {
		for _, changelog := range []string{"false", "true"} {
			t.Run(backend+"/changelog="+changelog, func(t *testing.T) {
				w, e := trackedWorld(t, map[string]string{
					"state.backend.type": backend, "state.changelog.enabled": changelog,
					"state.latency-track.keyed-state-enabled": "true", "state.latency-track.sample-interval": "1",
					"state.size-track.keyed-state-enabled": "true", "state.size-track.sample-interval": "1",
					"state.size-track.history-size": "1", "state.size-track.state-name-as-variable": "false",
				})
				s := show(t, e)
				until(t, e, "all records", func() bool {
					return measurements(t, s.get("/metrics"), ofStep+"state_name_valueStateUpdateLatency", `state_name="sum"`) == 90
				})
				page := s.get("/metrics")
				for name, want := range map[string]int64{
					"state_name_valueStateGetLatency": 270, "state_name_mapStatePutLatency": 0, "sum_valueStateGetValueSize": 270, "set_mapStatePutKeySize": 90,
				} {
					if got := measurements(t, page, ofStep+name, map[bool]string{true: `state_name="sum"`}[strings.HasPrefix(name, "state_name_")]); got != want {
						t.Errorf("%s: %d measurements, want %d", name, got, want)
					}
				}
				if !regexp.MustCompile(`(?m)^` + ofStep + `state_name_listStateAddLatency\{.*,state_name="old",quantile="0.999"\} [\d.e+]+$`).MatchString(page) {
					t.Error("/metrics has no summary of listStateAddLatency")
				}
				of := fmt.Sprintf("%s/vertices/%s/subtasks/0/metrics", s.path, s.job().Vertices[s.vertex("sums")].ID)
				if n := s.number(of, "sums.state_name.sum.valueStateGetLatency_max"); n < 1 {
					t.Errorf("a read took at most %d ns", n)
				}
				low, high := s.number(of, "sums.str.valueStateUpdateValueSize_min"), s.number(of, "sums.str.valueStateUpdateValueSize_max")
				if low != high || low < 15*2 { // the text of fifteen numbers, since one size is kept
					t.Errorf("the newest values have %d to %d bytes", low, high)
				}
				if n := s.number(of, "sums.set.mapStatePutKeySize_max"); n != 16 { // a key of the stream and one of the map
					t.Errorf("a key has %d bytes", n)
				}
				if _, err := e.Checkpoint(context.Background(), weir.FullCheckpoint); err != nil {
					t.Fatal(err)
				}
				w.releaseAll()
				w.end(e, weir.Finished)
				w.check()
			})
		}
	}
}

// TestStateTrackingSamples shows that about one of so many records is measured, that a state's name can be a part of the metric's name here
// too, and that nothing is measured if it is not asked for.
func TestStateTrackingSamples(t *testing.T) {
	w, e := trackedWorld(t, map[string]string{
		"state.backend.latency-track.keyed-state-enabled": "true", "state.backend.latency-track.sample-interval": "6",
		"state.backend.latency-track.state-name-as-variable": "false", "state.backend.latency-track.history-size": "1",
	})
	s := show(t, e)
	w.releaseAll()
	w.end(e, weir.Finished)
	page := s.get("/metrics")
	if n := measurements(t, page, ofStep+"sum_valueStateUpdateLatency", ""); n < 10 || n > 70 {
		t.Errorf("%d of 180 records are measured, of six one is to be", n)
	}
	of := fmt.Sprintf("%s/vertices/%s/subtasks/0/metrics", s.path, s.job().Vertices[s.vertex("sums")].ID)
	if low, high := s.number(of, "sums.sum.valueStateGetLatency_min"), s.number(of, "sums.sum.valueStateGetLatency_max"); low != high {
		t.Errorf("one measurement is kept, and the least is %d, the largest %d", low, high)
	}
	if strings.Contains(page, "ValueSize") {
		t.Error("sizes are measured that nobody has asked for")
	}
	w, e = trackedWorld(t, nil)
	if page := show(t, e).get("/metrics"); strings.Contains(page, "Latency") {
		t.Error("accesses are measured")
	}
	w.releaseAll()
	w.end(e, weir.Finished)
}
