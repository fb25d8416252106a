package jobmaster

import (
	"context"
	"errors"

	"github.com/weirstream/weir/internal/protocol/coordinator"
	istorage "github.com/weirstream/weir/internal/storage"
	"github.com/weirstream/weir/storage"
)

// discard deletes a checkpoint beside the master: it may take long, and only the end of the run waits for it. What cannot be deleted is deleted later:
// see discardAgain and discardLast. Nobody else would do that, since what is complete is no garbage.
func (m *master) discard(a coordinator.Discard) {
	m.delete(func() {
		err := m.remove(a)
		m.post(func() {
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
	if err != nil {
		m.logger.Warn("a checkpoint could not be deleted; while the job runs it is tried again after the next one", "checkpoint", a.ID, "error", err)
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

// discardAgain tries again to delete what could not be deleted. The coordinator has counted that as done, but for the files that it shares.
func (m *master) discardAgain() {
	again := m.undeleted
	m.undeleted = nil
	for _, a := range again {
		m.discarding.underway++
		m.delete(func() {
			err := m.remove(a)
			m.post(func() {
				m.removedLate(a, err)
				if m.discarding.underway--; m.discarding.underway == 0 && m.discarding.then != nil {
					m.discarding.then()
				}
			})
		})
	}
}

// discarding is what is being deleted once more.
type discarding struct {
	underway int
	then     func() // what follows when there is nothing more, nil for nothing
}

func (m *master) removedLate(a coordinator.Discard, err error) {
	if err != nil {
		m.undeleted = append(m.undeleted, a)
		return
	}
	m.removed(a)
	m.coordinator.Gone(a.ID)
}

// discardLast tries it for the last time, before the job ends for good. A run that another goes on from leaves it to that.
func (m *master) discardLast(s Status, then func()) {
	switch {
	case s == Aborted || s == Suspended:
		then()
		return
	case m.discarding.underway > 0:
		m.discarding.then = func() {
			m.discarding.then = nil
			m.discardLast(s, then)
		}
		return
	case len(m.undeleted) == 0:
		then()
		return
	}
	again := m.undeleted
	m.undeleted = nil
	m.clerk.do(func() func() {
		errs := make([]error, len(again))
		for i, a := range again {
			errs[i] = m.remove(a)
		}
		return func() {
			for i, a := range again {
				m.removedLate(a, errs[i])
			}
			then()
		}
	}, m.post)
}
