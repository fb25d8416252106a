package jobmaster

import (
	"fmt"
	"time"

	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/protocol/failover"
	"github.com/weirstream/weir/internal/protocol/snapshot"
)

// restartedFrom counts a restart after a failure, from a checkpoint, nil for none. If there were several from the same one the job does the same
// thing again and again, which looks like work from outside: so it says so.
func (m *master) restartedFrom(meta *snapshot.Metadata, tasks []job.Subtask) {
	if m.rescaling != nil { // nothing has failed
		return
	}
	var from job.CheckpointID
	if meta != nil {
		from = meta.Checkpoint
	}
	tell := m.streak.Restarted(from, tasks, m.Now())
	m.progress.Futile(m.streak.Restarts())
	if tell {
		m.warnOfStreak(meta)
	}
}

func (m *master) warnOfStreak(meta *snapshot.Metadata) {
	began := "began from nothing"
	if meta != nil {
		began = fmt.Sprintf("went back to checkpoint %d, which is %v old", meta.Checkpoint, rounded(max(0, m.Now().Sub(meta.Triggered))))
	}
	advice, interval := "let the job take checkpoints: set execution.checkpointing.interval", "none are taken"
	if every := m.checkpoints.Interval; every > 0 {
		advice = "let the step that fails get over it, or take checkpoints faster than it fails: shorten execution.checkpointing.interval"
		interval = every.String()
	}
	m.logger.Warn(fmt.Sprintf("the job makes no progress: %d restarts in a row %s, and no checkpoint was complete in between; %s",
		failover.FutileRestarts, began, advice),
		"between restarts", rounded(m.streak.Pause(m.Now())), "between checkpoints", interval, "checkpoint", m.howLongOne(), "error", m.cause)
}

// howLongOne says how long a checkpoint of the job takes, as far as this run knows.
func (m *master) howLongOne() string {
	stats := m.coordinator.Stats()
	if s := stats.LatestCompleted; s != nil {
		return fmt.Sprintf("takes %v", rounded(s.Duration))
	}
	if s := stats.LatestFailed; s != nil {
		return fmt.Sprintf("none is complete, the last was given up after %v", rounded(s.Duration))
	}
	return "none was begun"
}

// rounded drops digits that nobody reads.
func rounded(d time.Duration) time.Duration {
	if d > time.Minute {
		return d.Round(time.Second)
	}
	return d.Round(time.Millisecond)
}
