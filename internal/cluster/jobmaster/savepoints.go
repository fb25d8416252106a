package jobmaster

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/weirstream/weir/internal/cluster/config"
	"github.com/weirstream/weir/internal/cluster/patience"
	"github.com/weirstream/weir/internal/cluster/progress"
	"github.com/weirstream/weir/internal/cluster/start"
	"github.com/weirstream/weir/internal/cluster/view"
	"github.com/weirstream/weir/internal/element"
	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/protocol/coordinator"
	"github.com/weirstream/weir/internal/protocol/line"
	"github.com/weirstream/weir/internal/protocol/reason"
	"github.com/weirstream/weir/internal/storage"
	"github.com/weirstream/weir/internal/storage/byscheme"
)

// RequestKind says what a client asks for.
type RequestKind = coordinator.RequestKind

// What a client can ask for.
const (
	ConfiguredCheckpoint  = coordinator.Configured
	FullCheckpoint        = coordinator.Full
	IncrementalCheckpoint = coordinator.Incremental
	Savepoint             = coordinator.Savepoint
	StopWithSavepoint     = coordinator.StopWithSavepoint
)

// Request is a snapshot that a client asks a running job for.
type Request = coordinator.Request

// NewRequest returns the request for a snapshot. target is of savepoints, and may be empty for the configured one.
func NewRequest(kind RequestKind, target string) Request {
	return Request{Kind: kind, Target: target}
}

// SnapshotInfo is a snapshot that a client has asked for.
type SnapshotInfo struct {
	ID       job.CheckpointID
	Path     string // for -s
	Bytes    int64  // of state that it refers to
	Duration time.Duration
}

// Running returns when all tasks of the job run or have finished, at once if that is so already, and after a restart if one is under way. If the
// job ends first the error is an EndedError; if ctx is done, its cause.
func (e *Execution) Running(ctx context.Context) error {
	runs := make(chan struct{})
	e.post(func(m *master) { m.whenRunning(func() { close(runs) }) })
	select {
	case <-runs:
		return nil
	case <-e.done:
		return e.ended()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// ended returns what a client is told who asks for something after the end.
func (e *Execution) ended() error { return &EndedError{Result: e.result, Err: e.err} }

// whenRunning calls f once all tasks run, unless the job ends first.
func (m *master) whenRunning(f func()) {
	if m.state == inFlight {
		f()
		return
	}
	m.awaitRunning = append(m.awaitRunning, f)
}

// Ask asks for a snapshot and returns at once. answer is called by the master, once, unless the job has ended already.
func (e *Execution) Ask(r Request, answer func(SnapshotInfo, error)) {
	e.post(func(m *master) { m.ask(r, answer) })
}

// Take asks for a snapshot and waits for it; of one that the job ends with, also for that end. A context that is cancelled ends the waiting
// and nothing else.
func (e *Execution) Take(ctx context.Context, r Request) (SnapshotInfo, error) {
	type outcome struct {
		info SnapshotInfo
		err  error
	}
	got := make(chan outcome, 1)
	e.Ask(r, func(info SnapshotInfo, err error) { got <- outcome{info, err} })
	ends := r.Cancel || r.Kind == coordinator.StopWithSavepoint
	select {
	case o := <-got:
		if ends && o.err == nil || saysEnd(o.err) {
			<-e.done // what is left is to give the line free
		}
		return o.info, o.err
	case <-ctx.Done():
		return SnapshotInfo{}, context.Cause(ctx)
	case <-e.done:
	}
	select {
	case o := <-got:
		return o.info, o.err
	default:
		return SnapshotInfo{}, e.ended()
	}
}

// saysEnd reports whether an error says how the job has ended.
func saysEnd(err error) bool {
	var (
		stop  *StopError
		ended *EndedError
	)
	return errors.As(err, &stop) || errors.As(err, &ended)
}

// asked is a client that waits for a snapshot.
type asked struct {
	Request
	answer func(SnapshotInfo, error)
	taken  *SnapshotInfo // complete, and the client waits for the end of the job
}

func (m *master) ask(r Request, answer func(SnapshotInfo, error)) {
	ends := r.Cancel || r.Kind == StopWithSavepoint
	if m.state == over {
		m.askedLate = append(m.askedLate, answer)
		return
	}
	if m.result.Status != "" || m.stopping.on || ends && m.rescaling != nil {
		answer(SnapshotInfo{}, ErrNotRunning)
		return
	}
	if isSavepoint(r.Kind) {
		var err error
		if r.Target, err = m.savepointTarget(r.Target); err != nil {
			answer(SnapshotInfo{}, err)
			return
		}
	}
	id, err := m.coordinator.Request(r, m.Now())
	if err != nil {
		answer(SnapshotInfo{}, err)
		return
	}
	m.asked[id] = &asked{Request: r, answer: answer}
}

func isSavepoint(k coordinator.RequestKind) bool {
	return k == coordinator.Savepoint || k == coordinator.StopWithSavepoint
}

// savepointTarget returns the full path of the directory that a savepoint goes into.
func (m *master) savepointTarget(given string) (string, error) {
	if given == "" {
		given = m.checkpoints.SavepointDir
	}
	if given == "" {
		return "", ErrNoSavepointDir
	}
	dir, err := config.Path(given)
	if err != nil {
		return "", fmt.Errorf("savepoint directory %w", err)
	}
	return byscheme.Abs(dir) // the record of the line keeps it, and the next run may begin elsewhere
}

// taken tells a client that its snapshot is complete.
func (m *master) taken(a coordinator.Completed) {
	q := m.asked[a.Request]
	if q == nil {
		return
	}
	info := SnapshotInfo{ID: a.Stats.ID, Path: a.Stats.Pointer, Bytes: a.Stats.StateBytes, Duration: a.Stats.Duration}
	switch {
	case q.Cancel:
		q.taken = &info
		if m.state != over && m.result.Status == "" { // else it has come to another end meanwhile
			m.result.Savepoint = info.Path
			m.cancelledWith = &line.Snapshot{Path: info.Path, Job: m.id, Checkpoint: info.ID, Line: m.line.ID, Epoch: m.line.Epoch}
		}
		m.cancel()
	case q.Kind == coordinator.StopWithSavepoint:
		q.taken = &info
		m.result.Savepoint = info.Path
		m.progress.Entered(progress.Stopping)
	default:
		delete(m.asked, a.Request)
		q.answer(info, nil)
	}
}

// notTaken tells a client that its snapshot did not come about; if that is because the job has come to its end, he is told that. If the process was told to stop in the meantime, the job now has to stop
// without the savepoint.
func (m *master) notTaken(id coordinator.RequestID, what coordinator.RequestKind, chk job.CheckpointID, why reason.Reason, cause string) {
	q := m.asked[id]
	if q == nil || m.state == over && m.result.Status == Finished { // its end is the answer: answerAll
		return
	}
	delete(m.asked, id)
	q.answer(SnapshotInfo{}, &SnapshotError{What: what.String(), ID: chk, Reason: why.String(), Cause: cause})
	if m.stopping.on && m.stopping.request == 0 && q.Kind == coordinator.StopWithSavepoint {
		m.stopping.on = false
		m.suspend(errors.New("the savepoint to stop with came to nothing"))
	}
}

// answerAll answers the clients that still wait when the job has ended. err is why it failed.
func (m *master) answerAll(failure error) {
	ended := &EndedError{Result: m.result, Err: failure}
	for _, answer := range m.askedLate {
		answer(SnapshotInfo{}, ended)
	}
	for _, id := range slices.Sorted(maps.Keys(m.asked)) {
		q := m.asked[id]
		switch {
		case q.taken == nil:
			q.answer(SnapshotInfo{}, ended)
		case q.Kind == coordinator.StopWithSavepoint && m.result.Status != Finished:
			err := &StopError{Savepoint: q.taken.Path, Status: m.result.Status}
			if stop := (*StopError)(nil); errors.As(m.cause, &stop) {
				err.Err = stop.Err
			}
			q.answer(*q.taken, err)
		default:
			q.answer(*q.taken, nil)
		}
	}
	clear(m.asked)
}

// stopText says what follows a stop with a savepoint; what follows one that failed says its error.
func (m *master) stopText(savepoint string) string {
	switch {
	case m.result.Status != Finished:
		return ""
	case m.file == nil:
		return "stopped with savepoint " + savepoint + "; without a checkpoint directory nobody remembers that: start from it with -s"
	case m.record.Stop.Drained:
		return "drained, with savepoint " + savepoint + "; the job has finished"
	}
	return "stopped with savepoint " + savepoint + "; the same command goes on from it"
}

// failStopped ends a job for good that cannot be brought to its end although the savepoint to stop with is complete.
func (m *master) failStopped(savepoint string, cause error) {
	if stop := (*StopError)(nil); m.state == over || m.result.Status != "" || errors.As(m.cause, &stop) {
		return
	}
	m.cause = &StopError{Savepoint: savepoint, Status: Failed, Err: cause}
	m.logger.Error("the job has failed", "error", m.cause)
	m.progress.Became(view.JobFailing, m.Now())
	m.coordinatorStopped()
	m.stopAll(func() { m.finish(Failed) })
}

func (m *master) initSavepoint(a coordinator.InitLocation) {
	m.clerk.do(func() func() {
		at, err := m.storage.InitSavepoint(context.Background(), a.ID, a.Target)
		return func() {
			if err != nil {
				m.coordinator.TriggerFailed(a.ID, reason.IOException, err.Error(), m.Now())
				return
			}
			m.places.add(at, func() { m.cleanUp(at) })
			m.coordinator.LocationReady(a.ID, at.Savepoint, m.Now())
		}
	}, m.post)
}

// writeSavepoint publishes a savepoint. The line follows one that the job stops with, before anything of it can be committed. If either
// fails neither may have happened.
func (m *master) writeSavepoint(a coordinator.WriteMetadata) {
	at := storage.Location{ID: a.ID, Savepoint: a.Location}
	known := m.record
	stops := a.Stop != element.GoOn
	m.clerk.do(func() func() {
		before := m.written(known)
		next := before
		if stops {
			next = before.WithStop(line.Stop{Savepoint: start.Named(a.Location, a.Metadata), Drained: a.Stop == element.Drain})
		}
		pointer, size, err := m.publishAndFollow(at, a, stops, next)
		var undone error
		if err != nil && stops {
			undone = m.put(before)
		}
		return func() {
			if err == nil {
				m.record = next
				m.coordinator.MetadataWritten(a.ID, pointer, size, m.Now())
				return
			}
			if undone != nil {
				m.unsettled = append(m.unsettled, at)
			}
			m.coordinator.MetadataFailed(a.ID, err.Error(), undone != nil, m.Now())
		}
	}, m.post)
}

// publishAndFollow tries each step again that may have been done although it failed.
func (m *master) publishAndFollow(at storage.Location, a coordinator.WriteMetadata, stops bool, next line.Record) (pointer string, size int64, err error) {
	if err := m.checkLine(); err != nil {
		return "", 0, err
	}
	err = m.retries.Do(context.Background(), func() (err error) {
		pointer, size, err = m.storage.PublishMetadata(context.Background(), at, a.Metadata)
		return err
	})
	if err != nil || !stops {
		return pointer, size, err
	}
	if err = m.put(next); err != nil {
		err = m.put(next)
	}
	return pointer, size, err
}

// settle makes sure that savepoints to stop with that were given up are not gone on from, although it could not be told whether the line
// follows them. It must succeed before anything older is restored.
func (m *master) settle(unsettled []storage.Location, record line.Record) error {
	if len(unsettled) == 0 {
		return nil
	}
	if err := m.put(record); err != nil {
		return fmt.Errorf("go back behind %s, which may or may not be what the job goes on from: %w", unsettled[0], err)
	}
	for _, at := range unsettled {
		if err := m.removeSavepoint(at); err != nil {
			return fmt.Errorf("go back behind %s: %w", at, err)
		}
	}
	return nil
}

// cleanUp deletes what tasks have left of a savepoint that was given up.
func (m *master) cleanUp(at storage.Location) {
	if err := m.removeSavepoint(at); err != nil {
		m.logger.Warn("a savepoint that was given up could not be deleted", "path", at.Savepoint, "error", err)
	}
}

// removeSavepoint deletes what there is of a savepoint that was given up, published or not.
func (m *master) removeSavepoint(at storage.Location) error {
	spread := false
	if p := m.places.of(at.ID); p != nil {
		p.giveUp()
		spread = !p.at.Entropy.IsZero()
	}
	return patience.Do(context.Background(), m.Pause, func() error {
		err := storage.RemoveSavepoint(context.Background(), m.FS, at)
		if err == nil && spread { // its files lie elsewhere
			err = m.storage.RemoveUnfinished(context.Background(), at)
		}
		return err
	})
}

// removeUnsettled deletes savepoints that were given up, when the record says for good that the line does not follow them.
func (m *master) removeUnsettled() {
	for _, at := range m.unsettled {
		m.delete(func() { m.cleanUp(at) })
	}
	m.unsettled = nil
}
