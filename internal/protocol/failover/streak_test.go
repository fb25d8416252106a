package failover

import (
	"slices"
	"testing"
	"time"

	"github.com/weirstream/weir/internal/job"
)

// TestStreak tells of jobs that restart: each word is an event a second after the one before. A number is a restart of all tasks from the checkpoint with
// that number, a number and a letter one of a single task, "done" a checkpoint that completes. Wanted is at which events people are told, the
// first being 1, and what is counted in the end.
func TestStreak(t *testing.T) {
	a, b := job.Subtask{Index: 0}, job.Subtask{Index: 1}
	restart := map[string]struct {
		from  job.CheckpointID
		tasks []job.Subtask
	}{
		"0": {0, []job.Subtask{a, b}}, "1": {1, []job.Subtask{a, b}}, "2": {2, []job.Subtask{a, b}},
		"1a": {1, []job.Subtask{a}}, "1b": {1, []job.Subtask{b}},
	}
	for _, test := range []struct {
		name     string
		events   []string
		told     []int
		restarts int
		pause    time.Duration
	}{
		{"none", nil, nil, 0, 0},
		{"one", []string{"1"}, nil, 1, 0},
		{"two", []string{"1", "1"}, nil, 2, time.Second},
		{"three", []string{"1", "1", "1"}, []int{3}, 3, time.Second},
		{"once in a streak", []string{"1", "1", "1", "1", "1"}, []int{3}, 5, time.Second},
		{"without any checkpoint", []string{"0", "0", "0"}, []int{3}, 3, time.Second},
		{"a checkpoint ends it", []string{"1", "1", "done", "2", "2"}, nil, 2, time.Second},
		{"another streak", []string{"1", "1", "1", "done", "2", "2", "2"}, []int{3, 7}, 3, time.Second},
		{"over", []string{"1", "1", "1", "done"}, []int{3}, 0, 0},
		{"back to another one", []string{"2", "2", "1"}, nil, 1, 0}, // the newer one turned out to be damaged
		{"regions in turn", []string{"1a", "1b", "1a", "1b"}, nil, 2, 3 * time.Second},
		{"one region", []string{"1a", "1b", "1a", "1a"}, []int{4}, 3, 1500 * time.Millisecond},
		{"a region and all", []string{"1a", "1", "1a"}, []int{3}, 3, time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			var s Streak
			now := time.Unix(0, 0)
			var told []int
			for i, e := range test.events {
				now = now.Add(time.Second)
				if e == "done" {
					s.Completed()
				} else if r := restart[e]; s.Restarted(r.from, r.tasks, now) {
					told = append(told, i+1)
				}
			}
			if !slices.Equal(told, test.told) {
				t.Errorf("told at %v, want %v", told, test.told)
			}
			if s.Restarts() != test.restarts || s.Pause(now) != test.pause {
				t.Errorf("%d restarts, one each %v, want %d, %v", s.Restarts(), s.Pause(now), test.restarts, test.pause)
			}
		})
	}
}
