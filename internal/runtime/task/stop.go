package task

import (
	"fmt"

	"github.com/weirstream/weir/internal/element"
	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/protocol/barrier"
)

// stopping is how far a stop with a savepoint has come in a task. The job can stop with one savepoint only.
//
// A source ends its data when the savepoint begins, and sends the end of the data before the barrier. So every task sees the end of all its
// inputs before its part of the savepoint is taken, and nothing comes after it. Then it waits for this savepoint and no other: when it is
// complete, the task finishes; if it is given up, the task has failed, for what it has ended cannot be taken back.
type stopping struct {
	savepoint job.CheckpointID // 0 if the job is not to stop
	complete  bool
}

// stopBefore ends the data of a source because of a barrier, and makes the task wait for its savepoint.
func (t *Task) stopBefore(b barrier.Barrier) error {
	if b.Snapshot.Stop == element.GoOn {
		return nil
	}
	t.stopping.savepoint = b.ID
	if t.loop != nil && !t.ended { // it was about to end by itself, and must not wait for that
		t.end = b.Snapshot.Stop
		return t.endOfData()
	}
	if t.Source == nil || t.ended {
		return nil
	}
	if err := t.endOfSource(b.Snapshot.Stop); err != nil {
		return fmt.Errorf("stop with savepoint %d: %w", b.ID, err)
	}
	return nil
}

// stopCompleted notes that a checkpoint is complete, which may be the one to stop with.
func (s *stopping) stopCompleted(id job.CheckpointID) { s.complete = s.complete || id == s.savepoint }

// stopAborted returns an error if a checkpoint that was given up is the one to stop with.
func (s *stopping) stopAborted(id job.CheckpointID) error {
	if s.savepoint == 0 || id != s.savepoint {
		return nil
	}
	return fmt.Errorf("savepoint %d was given up, and the task had stopped for it", id)
}

// SnapshotFollows reports, once the end of the data is known, whether what was written then must not be committed without a snapshot: a last
// checkpoint, if there is one, or the savepoint that the job stops with.
func (t *Task) SnapshotFollows() bool { return t.checkpointed() || t.end != element.GoOn }

// operatorsFinished reports whether the operators have come to the end of the data. Suspended ones have not: they go on one day.
func (t *Task) operatorsFinished() bool { return t.ended && t.end != element.Suspend }

// later returns how the data of a task ends whose inputs have ended in these ways: it is suspended if any of them is, for then there is more
// to come after the savepoint.
func later(a, b element.Stop) element.Stop {
	if a == element.Suspend || b == element.Suspend {
		return element.Suspend
	}
	return max(a, b)
}
