package jobmaster

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/weirstream/weir/internal/protocol/coordinator"
	istorage "github.com/weirstream/weir/internal/storage"
	"github.com/weirstream/weir/storage"
)

// discard deletes a checkpoint beside the master: it may take long, and only the end of the run waits for it. What cannot be deleted is deleted later:
// see discardAgain and discardLast. Nobody else would do that, since what is complete is no garbage.
func (m *master) discard(a coordinator.Discard) {
	m.discarding.underway++
	m.delete(func() {
		err := m.remove(a)
		if err != nil {
			m.logger.Warn("a checkpoint could not be deleted; while the job runs it is tried again after the next one", "checkpoint", a.ID, "error", err)
		}
		m.post(func() {
			defer m.discarded()
			if err != nil {
				m.undeleted = append(m.undeleted, a)
				m.coordinator.CleaningFailed(a.ID, m.Now())
				return
			}
			m.removed(a)
			m.coordinator.CleaningDone(a.ID, m.Now())
		})
	})
}

// removed lets go what a checkpoint had in merged files.
func (m *master) removed(a coordinator.Discard) {
	if !a.Savepoint {
		m.releasing = append(m.releasing, a.ID)
		m.release()
	}
}

// remove deletes a checkpoint or savepoint.
func (m *master) remove(a coordinator.Discard) error {
	retries := m.retries
	retries.Note = nil // it speaks of what is written
	err := retries.Do(context.Background(), func() error { return m.removeOnce(a) })
	if errors.Is(err, storage.ErrNotExist) {
		return nil
	}
	return err
}

func (m *master) removeOnce(a coordinator.Discard) error {
	ctx := context.Background()
	switch {
	case a.Location != "":
		return m.removeSavepoint(istorage.Location{ID: a.ID, Savepoint: a.Location})
	case a.Savepoint && a.Pointer == "": // it did not come to have a directory
		return nil
	case a.Pointer == "":
		return m.storage.RemoveUnfinished(ctx, istorage.Location{ID: a.ID})
	case a.Pointer == istorage.NotAddressable:
		return m.storage.Discard(ctx, a.ID)
	}
	return istorage.Discard(ctx, m.FS, a.Pointer) // it may be one of an earlier run, and lie elsewhere
}

// discardAgain tries again to delete what could not be deleted, beside the master. The coordinator has counted that as done, but for the files that it
// shares.
func (m *master) discardAgain() {
	if len(m.undeleted) == 0 || m.discarding.again {
		return
	}
	again := m.undeleted
	m.undeleted, m.discarding.again = nil, true
	m.discarding.underway++
	m.delete(func() {
		n, _ := m.removeSome(again)
		m.post(func() {
			m.discarding.again = false
			m.removedSome(again, n)
			m.discarded()
		})
	})
}

// discarding is what is being deleted.
type discarding struct {
	underway int    // calls that have not come back
	again    bool   // one of them is for what could not be deleted before
	then     func() // what follows when all are back, nil for nothing
}

// discarded notes that a call has come back.
func (m *master) discarded() {
	m.discarding.underway--
	if then := m.discarding.then; then != nil && m.discarding.underway == 0 {
		m.discarding.then = nil
		then()
	}
}

// removeSome deletes checkpoints up to the first that cannot be deleted: mostly the others could not either.
func (m *master) removeSome(list []coordinator.Discard) (n int, err error) {
	for n < len(list) {
		if err := m.remove(list[n]); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// removedSome notes that the first n of some checkpoints are deleted. The one behind them is tried last the next time.
func (m *master) removedSome(list []coordinator.Discard, n int) {
	for _, a := range list[:n] {
		m.removed(a)
		m.coordinator.Gone(a.ID)
	}
	if n < len(list) {
		m.undeleted = slices.Concat(m.undeleted, list[n+1:], list[n:n+1])
	}
}

// discardLast tries it for the last time, before the job ends for good. A run that another goes on from leaves it to that.
func (m *master) discardLast(s Status, then func()) {
	switch {
	case s == Aborted || s == Suspended:
		then()
		return
	case m.discarding.underway > 0:
		m.discarding.then = func() { m.discardLast(s, then) }
		return
	case len(m.undeleted) == 0:
		then()
		return
	}
	again := m.undeleted
	m.undeleted = nil
	m.clerk.do(func() func() {
		n, err := m.removeSome(again)
		if err != nil {
			m.logger.Warn(fmt.Sprintf("%d checkpoints that nobody needs any more could not be deleted, and stay", len(again)-n), "error", err)
		}
		return func() {
			m.removedSome(again, n)
			then()
		}
	}, m.post)
}
