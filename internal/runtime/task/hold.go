package task

import "github.com/weirstream/weir/internal/protocol/barrier"

// A state backend keeps one captured moment at a time: a capture that is made while an older one is still being written would make that one
// fail. So when the barriers of a checkpoint have come while the snapshot of another is being written, as happens with a savepoint beside a
// checkpoint and with several checkpoints at once, the task holds: it takes nothing more from its inputs and runs no timers, so that the moment
// does not pass, until the older snapshot is written. That wakes it.

// orHold performs a decision about a checkpoint now, or puts it behind those that wait.
func (t *Task) orHold(a barrier.Action) error {
	if len(t.held) > 0 || a.Kind == barrier.Snapshot && len(t.running) > 0 {
		t.held = append(t.held, a)
		return nil
	}
	return t.decide(a)
}

// takeHeld performs the decisions that have waited long enough, and reports whether the task still holds.
func (t *Task) takeHeld() (holds bool, err error) {
	for len(t.held) > 0 {
		a := t.held[0]
		if a.Kind == barrier.Snapshot && len(t.running) > 0 {
			return true, nil
		}
		t.held = t.held[1:]
		if err := t.decide(a); err != nil {
			return true, err
		}
	}
	return false, nil
}
