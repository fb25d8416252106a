package rest

import (
	"runtime/debug"
	"time"

	"github.com/weirstream/weir/internal/cluster/view"
)

// version is that of the interface: programs decide by it what they may ask. Which build answers stands in the revision.
const version = "2.2.0"

// refreshMillis is how often a page should ask again.
const refreshMillis = 3000

// thisProcess names the place where tasks run, as long as all run in the process that answers.
const thisProcess = "localhost"

func revision() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				return "weir " + s.Value
			}
		}
	}
	return "weir"
}

func clusterConfig(*query) (any, error) {
	zone, offset := time.Now().Zone()
	return map[string]any{
		"refresh-interval": refreshMillis, "timezone-name": zone, "timezone-offset": offset * 1000,
		"flink-version": version, "flink-revision": revision(),
		"features": map[string]bool{"web-submit": false, "web-cancel": false, "web-rescale": false, "web-history": false},
	}, nil
}

// clusterOverview counts jobs. The process stands for one task manager, whose slots are those that its jobs need.
func clusterOverview(q *query) (any, error) {
	var running, finished, cancelled, failed, slots int
	for _, s := range q.jobs {
		j := s.Job()
		switch j.State {
		case view.JobFinished:
			finished++
		case view.JobCanceled:
			cancelled++
		case view.JobFailed:
			failed++
		case view.JobSuspended:
		default:
			running++
			slots += slotsOf(&j)
		}
	}
	return map[string]any{
		"taskmanagers": 1, "slots-total": slots, "slots-available": 0,
		"jobs-running": running, "jobs-finished": finished, "jobs-cancelled": cancelled, "jobs-failed": failed,
		"flink-version": version, "flink-commit": revision(),
	}, nil
}

// slotsOf returns how many slots a job needs: one can hold a subtask of each vertex.
func slotsOf(j *view.Job) (n int) {
	for _, v := range j.Vertices {
		n = max(n, v.Parallelism)
	}
	return n
}
