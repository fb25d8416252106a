package failover

import (
	"maps"
	"slices"
	"time"
)

// Failure is one failure of a job, as it is shown to people.
type Failure struct {
	Time time.Time
	// Task is the name of the task that failed, as in "in -> out"; empty if no task is to blame. Vertex is its id in hexadecimal digits,
	// Subtask its index of Parallelism many, Attempt the number of its execution, 1 for the first.
	Task        string
	Vertex      string
	Subtask     int
	Parallelism int
	Attempt     int
	// Type is the Go type of the error at the root, Text the whole error; of a panic it has the stack.
	Type, Text string
	// Permanent says that a restart would have met it again, so that there was none.
	Permanent bool
	// Restarted says that a restart followed.
	Restarted bool
	// Labels are what the job's own functions say of the error.
	Labels map[string]string
	// Concurrent are failures of tasks that were restarting because of this one.
	Concurrent []Failure
}

// History keeps the last failures of a job. The zero value keeps none.
type History struct {
	size    int
	entries []entry // oldest first
	dropped bool
}

type entry struct {
	Failure
	restart RestartID
}

// NewHistory returns an empty history that keeps so many failures, and so many concurrent ones of each.
func NewHistory(size int) *History { return &History{size: max(size, 0)} }

// Add adds a failure. restart is the restart that it belongs to, 0 if there is none: it is concurrent with an earlier one that belongs to
// the same.
func (h *History) Add(restart RestartID, f Failure) {
	if restart != 0 {
		f.Restarted = true
		for i := range h.entries {
			if e := &h.entries[i]; e.restart == restart {
				h.addConcurrent(e, f)
				return
			}
		}
	}
	h.entries = append(h.entries, entry{f, restart})
	if len(h.entries) > h.size {
		h.entries, h.dropped = h.entries[1:], true
	}
}

func (h *History) addConcurrent(e *entry, f Failure) {
	if len(e.Concurrent) == h.size {
		h.dropped = true
		return
	}
	e.Concurrent = append(slices.Clone(e.Concurrent), f) // the old slice may have been given out
}

// Failures returns the failures, the newest first, and whether there were more than are kept. The slice is the caller's.
func (h *History) Failures() (failures []Failure, truncated bool) {
	for _, e := range slices.Backward(h.entries) {
		f := e.Failure
		f.Labels = maps.Clone(f.Labels)
		f.Concurrent = slices.Clone(f.Concurrent)
		failures = append(failures, f)
	}
	return failures, h.dropped
}
