package failover

import (
	"time"

	"github.com/weirstream/weir/internal/job"
)

// FutileRestarts is how many restarts from the same checkpoint it takes until a job counts as one that makes no progress.
const FutileRestarts = 3

// Streak notices a job whose failures come more often than its checkpoints complete: it restarts from the same checkpoint again and again, and each
// time does what it has done before. Each task is counted for itself, so that regions that fail at the same moment are not taken for one that
// fails several times. The zero value is that of a job that has not restarted.
type Streak struct {
	from     job.CheckpointID
	restarts map[job.Subtask]int // from it
	longest  int                 // of these
	since    time.Time           // of the first
	said     bool
}

// Restarted reports that tasks run again, from a checkpoint, 0 for none. It returns true when people should be told, which is once in a streak.
func (s *Streak) Restarted(from job.CheckpointID, tasks []job.Subtask, now time.Time) (tell bool) {
	if s.restarts == nil || s.from != from {
		*s = Streak{from: from, restarts: map[job.Subtask]int{}, since: now}
	}
	for _, t := range tasks {
		s.restarts[t]++
		s.longest = max(s.longest, s.restarts[t])
	}
	tell = s.longest >= FutileRestarts && !s.said
	s.said = s.said || tell
	return tell
}

// Completed reports that a checkpoint is complete, from which the next restart begins: the streak is over.
func (s *Streak) Completed() { *s = Streak{} }

// Restarts returns how often one and the same task has restarted from the checkpoint since it was complete.
func (s *Streak) Restarts() int { return s.longest }

// Pause returns the mean time from one restart to the next, 0 if there were not two.
func (s *Streak) Pause(now time.Time) time.Duration {
	if s.longest < 2 {
		return 0
	}
	return max(0, now.Sub(s.since)) / time.Duration(s.longest-1)
}
