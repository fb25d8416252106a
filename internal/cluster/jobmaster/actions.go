package jobmaster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/weirstream/weir/internal/cluster/committers"
	"github.com/weirstream/weir/internal/cluster/patience"
	"github.com/weirstream/weir/internal/graph"
	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/protocol/barrier"
	"github.com/weirstream/weir/internal/protocol/coordinator"
	"github.com/weirstream/weir/internal/protocol/line"
	"github.com/weirstream/weir/internal/protocol/reason"
	"github.com/weirstream/weir/internal/protocol/snapshot"
	istorage "github.com/weirstream/weir/internal/storage"
	"github.com/weirstream/weir/internal/storage/linefile"
)

// perform does what the coordinator and the supervisor have decided.
func (m *master) perform() {
	for {
		actions := m.coordinator.Actions()
		for _, a := range actions {
			m.do(a)
		}
		if restarts := m.supervise(); !restarts && len(actions) == 0 {
			return
		}
	}
}

func (m *master) do(a coordinator.Action) {
	m.decided(a)
	switch a := a.(type) {
	case coordinator.AllocateID:
		m.allocateID(a)
	case coordinator.InitLocation:
		m.initLocation(a)
	case coordinator.SnapshotCoordinators:
		m.snapshotCoordinators(a)
	case coordinator.SendTrigger:
		m.sendTrigger(a)
	case coordinator.WriteMetadata:
		m.writeMetadata(a)
	case coordinator.NotifyComplete:
		m.notifyComplete(a)
	case coordinator.NotifyAborted:
		m.notifyAborted(a)
	case coordinator.Discard:
		m.discard(a)
	case coordinator.DiscardState:
		m.discardState(a)
	case coordinator.DiscardShared:
		m.discardShared(a)
	case coordinator.ArmTimer:
		m.timers[a.Timer] = m.after(a.After, func() {
			delete(m.timers, a.Timer)
			m.coordinator.TimerFired(a.Timer, m.Now())
		})
	case coordinator.DisarmTimer:
		if stop := m.timers[a.Timer]; stop != nil {
			stop()
			delete(m.timers, a.Timer)
		}
	case coordinator.Completed:
		m.completed(a)
	case coordinator.Failed:
		m.failed(a)
	case coordinator.Refused:
		m.refused(a)
	case coordinator.FailJob:
		if a.Savepoint != "" {
			m.failStopped(a.Savepoint, cmp.Or(m.cause, errors.New(a.Message)))
			return
		}
		m.fail(errors.New(a.Message), a.Permanent)
	case coordinator.Stopped:
		m.logger.Info("all tasks have stopped with the savepoint", "savepoint", a.Pointer, "drained", a.Drained)
	case coordinator.Restore:
		m.restoreFrom(a)
	case coordinator.Ended:
		m.endedFor(a)
	default:
		panic(fmt.Sprintf("jobmaster: the coordinator wants a %T done", a))
	}
}

// allocateID hands out the next id, after it has reserved more if there is none left.
func (m *master) allocateID(coordinator.AllocateID) {
	if id, ok := m.ids.Take(); ok {
		m.coordinator.IDAllocated(id, m.Now())
		return
	}
	record := m.record
	m.clerk.do(func() func() {
		next, ids := m.written(record).Reserve(line.Block)
		err := m.put(next)
		return func() {
			if err != nil {
				m.coordinator.TriggerFailed(0, reason.IOException, err.Error(), m.Now())
				return
			}
			m.record = next
			m.ids.Add(ids)
			id, _ := m.ids.Take()
			m.coordinator.IDAllocated(id, m.Now())
		}
	}, m.post)
}

// put writes the record of the line, if there is one.
func (m *master) put(r line.Record) error {
	if m.file == nil {
		return nil
	}
	err := m.file.Put(context.Background(), r)
	m.endIfTaken(err)
	return err
}

// written returns the record as it was written last, which may be later than what the master knew when it asked the clerk for a change.
func (m *master) written(known line.Record) line.Record {
	if m.file == nil || m.file.Record() == nil {
		return known
	}
	return m.file.Record().WithCompleted(known.Completed)
}

// endIfTaken ends the run if an error says that another process has the line. It is called on the clerk.
func (m *master) endIfTaken(err error) {
	if errors.Is(err, linefile.ErrTaken) {
		m.post(func() { m.takenOver(err) })
	}
}

// checkLine fails if another process has the line, on stores that have no lock to keep it out.
func (m *master) checkLine() error {
	if !m.shared {
		return nil
	}
	err := m.file.Check(context.Background())
	m.endIfTaken(err)
	return err
}

func (m *master) initLocation(a coordinator.InitLocation) {
	if a.Savepoint {
		m.initSavepoint(a)
		return
	}
	m.clerk.do(func() func() {
		err := m.retries.Do(context.Background(), func() error {
			return m.storage.InitCheckpoint(context.Background(), a.ID)
		})
		return func() {
			if err != nil {
				m.coordinator.TriggerFailed(a.ID, reason.IOException, err.Error(), m.Now())
				return
			}
			m.coordinator.LocationReady(a.ID, "", m.Now())
		}
	}, m.post)
}

// snapshotCoordinators answers at once, so that no split is handed out between an enumerator's snapshot and its readers' triggers.
func (m *master) snapshotCoordinators(a coordinator.SnapshotCoordinators) {
	states, err := m.sources.Snapshot(a.ID, a.Operators)
	if err != nil {
		m.coordinator.TriggerFailed(a.ID, reason.TriggerCheckpointFailure, err.Error(), m.Now())
		return
	}
	m.coordinator.CoordinatorsSnapshotted(a.ID, states, m.Now())
}

func (m *master) sendTrigger(a coordinator.SendTrigger) {
	m.triggered = max(m.triggered, a.ID)
	b := barrier.Barrier{ID: a.ID, Timestamp: a.Timestamp, Snapshot: a.Snapshot}
	for _, at := range a.Tasks {
		if m.current(at) == nil {
			m.coordinator.TriggerFailed(a.ID, reason.TaskCheckpointFailure, fmt.Sprintf("task %s does not run", at), m.Now())
			return
		}
		m.taskManager.TriggerCheckpoint(at, b)
	}
	m.coordinator.TriggersSent(a.ID, m.Now())
}

// writeMetadata publishes a checkpoint. The first of a job id is recorded before anything of it can be committed. On shared stores each is: a
// process that has lost the line, and was held up, finds out before it commits.
func (m *master) writeMetadata(a coordinator.WriteMetadata) {
	if a.Savepoint {
		m.writeSavepoint(a)
		return
	}
	record := m.record
	follow := m.shared || record.Completed == 0
	m.clerk.do(func() func() {
		next := m.written(record).WithCompleted(a.ID)
		pointer, size, err := m.publish(a, next, follow)
		if err != nil && istorage.Classify(err) == istorage.Unknown && !errors.Is(err, linefile.ErrTaken) {
			pointer, size, err = m.publishAgain(a, next, follow)
		}
		return func() {
			if err != nil {
				unknown := istorage.Classify(err) == istorage.Unknown
				if unknown {
					m.doubtful = append(m.doubtful, a.ID)
				}
				m.coordinator.MetadataFailed(a.ID, err.Error(), unknown, m.Now())
				return
			}
			m.record = next
			m.coordinator.MetadataWritten(a.ID, pointer, size, m.Now())
		}
	}, m.post)
}

// publishAgain tries again what may have been done although it failed, when only the answer was lost: at once, and then with pauses.
func (m *master) publishAgain(a coordinator.WriteMetadata, next line.Record, follow bool) (pointer string, size int64, err error) {
	err = m.retries.Do(context.Background(), func() (err error) {
		pointer, size, err = m.publish(a, next, follow)
		return err
	})
	return pointer, size, err
}

// publish makes the checkpoint exist, and then, if the record is to follow, writes that it does.
func (m *master) publish(a coordinator.WriteMetadata, next line.Record, follow bool) (pointer string, size int64, err error) {
	if err := m.checkLine(); err != nil {
		return "", 0, err
	}
	if pointer, size, err = m.storage.PublishMetadata(context.Background(), istorage.Location{ID: a.ID}, a.Metadata); err != nil {
		return "", 0, err
	}
	if follow {
		if err := m.put(next); err != nil {
			return "", 0, err
		}
	}
	return pointer, size, nil
}

func (m *master) discardState(a coordinator.DiscardState) {
	var files []snapshot.Stream
	for _, op := range a.State.Operators {
		op.State.EachStream(func(s *snapshot.Stream) {
			if s.Path != "" {
				files = append(files, *s)
			}
		})
	}
	m.delete(func() {
		if err := m.storage.DiscardStreams(context.Background(), istorage.Location{ID: a.ID, Savepoint: a.Location}, files...); err != nil {
			m.logger.Warn("state that came too late could not be deleted", "checkpoint", a.ID, "error", err)
		}
	})
}

// discardShared deletes beside the master what no checkpoint refers to any more.
func (m *master) discardShared(a coordinator.DiscardShared) {
	m.delete(func() {
		if err := m.storage.DiscardShared(context.Background(), a.Files, a.Directories); err != nil {
			m.logger.Warn(fmt.Sprintf("%d shared files and %d directories of such, or some of them, could not be deleted; weir gc finds them when the job does not run",
				len(a.Files), len(a.Directories)), "error", err)
		}
	})
}

func (m *master) completed(a coordinator.Completed) {
	s := a.Stats
	m.passed(s.ID)
	m.release()
	m.discardAgain()
	m.progress.Completed(s)
	if isSavepoint(s.Kind) { // nothing goes back to it, so nothing of what a recovery has to do is done
		m.logger.Info(fmt.Sprintf("Completed savepoint %d for job %s (%d bytes, checkpointDuration=%d ms)", s.ID, m.id, s.StateBytes, s.Duration.Milliseconds()), "path", s.Pointer)
		m.taken(a)
		return
	}
	m.recovery = committers.Recovery{}
	m.streak.Completed()
	m.progress.Futile(0)
	m.forgetDoubtful()
	m.logger.Info(fmt.Sprintf("Completed checkpoint %d for job %s (%d bytes, checkpointDuration=%d ms)", s.ID, m.id, s.StateBytes, s.Duration.Milliseconds()))
	m.taken(a)
	if m.stopping.on && a.Request == m.stopping.request {
		m.stopping.id = s.ID
		m.stopIfCommitted()
	}
	m.rescaleAnswered(a.Request, nil)
}

func (m *master) failed(a coordinator.Failed) {
	s, cause := a.Stats, a.Stats.Reason.With(a.Stats.Cause)
	m.release()
	m.progress.Failed(s)
	if s.Reason == reason.CheckpointDeclinedTaskClosing {
		m.warnOfUnions()
	}
	level := slog.LevelWarn
	if s.Reason == reason.CheckpointDeclinedTaskClosing || s.Reason == reason.CheckpointSubsumed || m.state != inFlight {
		level = slog.LevelInfo // the job is finishing or stopping, or a newer one was faster: nothing is wrong
	}
	m.logger.Log(context.Background(), level, fmt.Sprintf("Checkpoint %d for job %s failed: %s", s.ID, m.id, s.Reason), "cause", cause)
	if m.stopping.on && a.Request == m.stopping.request {
		m.stopped(fmt.Errorf("%s: %s", s.Reason, cause))
	}
	m.notTaken(a.Request, s.Kind, s.ID, s.Reason, cause)
	m.rescaleAnswered(a.Request, fmt.Errorf("its checkpoint failed: %s: %s", s.Reason, cause))
}

func (m *master) refused(a coordinator.Refused) {
	level, cause := slog.LevelWarn, a.Reason.With(a.Cause)
	if a.Kind == coordinator.Periodic {
		switch a.Reason {
		case reason.MinimumTimeBetweenCheckpoints, reason.PeriodicSchedulerShutdown, reason.CheckpointCoordinatorSuspend, reason.JobFailoverRegion:
			level = slog.LevelDebug // it is tried again when the pause has passed, or the job runs again
		}
	}
	m.logger.Log(context.Background(), level, fmt.Sprintf("A %s was not begun: %s", a.Kind, a.Reason), "cause", cause)
	if m.stopping.on && a.Request == m.stopping.request {
		m.stopped(fmt.Errorf("%s: %s", a.Reason, cause))
	}
	m.notTaken(a.Request, a.Kind, 0, a.Reason, cause)
	m.rescaleAnswered(a.Request, fmt.Errorf("its checkpoint was not begun: %s: %s", a.Reason, cause))
}

// loadBefore deletes the checkpoints of which nobody knows whether they exist, and reads the one to restart a plan from; nil if there is none. The
// order matters: from here on the sinks sweep what only the doubtful ones knew, so none of them may be found by a later start.
func (m *master) loadBefore(doubtful []job.CheckpointID, a coordinator.Restore, p *graph.Plan) (*snapshot.Metadata, error) {
	for _, id := range doubtful {
		if err := m.storage.Discard(context.Background(), id); err != nil {
			return nil, fmt.Errorf("go back behind checkpoint %d, which may or may not have been published: %w", id, err)
		}
	}
	if !a.Found {
		return nil, nil
	}
	return m.loadForRestart(a.From, p)
}

// forgetDoubtful deletes checkpoints that may exist and that a newer one has replaced.
func (m *master) forgetDoubtful() {
	for _, id := range m.doubtful {
		m.delete(func() {
			if err := m.storage.Discard(context.Background(), id); err != nil {
				m.logger.Warn("a checkpoint could not be deleted", "checkpoint", id, "error", err)
				return
			}
			m.checkpointIs((*istorage.Merger).Release, id)
			m.post(func() { m.coordinator.Gone(id) })
		})
	}
	m.doubtful = nil
}

// loadForRestart reads a checkpoint through. Damage ends the job: the next start asks the sinks before it goes back further.
func (m *master) loadForRestart(from coordinator.Retained, p *graph.Plan) (*snapshot.Metadata, error) {
	return patience.Retry(context.Background(), m.Pause, func() (*snapshot.Metadata, error) {
		ctx := context.Background()
		meta, err := m.loadRetained(ctx, from)
		if err == nil {
			err = m.verifyRestored(ctx, meta, p)
		}
		return meta, err
	})
}

func (m *master) loadRetained(ctx context.Context, from coordinator.Retained) (*snapshot.Metadata, error) {
	if from.Pointer != istorage.NotAddressable { // it may be one of an earlier run, and lie elsewhere
		return istorage.Load(ctx, m.FS, from.Pointer)
	}
	return m.storage.LoadCheckpoint(ctx, from.ID)
}
