package jobmaster

import (
	"context"
	"fmt"

	"github.com/weirstream/weir/internal/cluster/config"
	"github.com/weirstream/weir/internal/cluster/view"
	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/protocol/coordinator"
)

// endState returns how a run has ended in the words of the view. An aborted job is resumable like a suspended one.
func endState(s Status) view.JobState {
	switch s {
	case Finished, AlreadyFinished:
		return view.JobFinished
	case Canceled:
		return view.JobCanceled
	case Failed:
		return view.JobFailed
	}
	return view.JobSuspended
}

// ID returns the job's id.
func (e *Execution) ID() job.ID { return e.id }

// Job returns the job as it is now.
func (e *Execution) Job() view.Job {
	j := e.progress.Job()
	j.ID, j.Name, j.Now = e.id, e.options.Name, e.options.Now()
	j.Settings = view.Settings{
		Parallelism:     e.options.Config.Parallelism().Default,
		RestartStrategy: e.options.Config.Restart().Strategy.String(),
	}
	if e.master != nil && e.master.merger != nil {
		j.Merged = new(view.MergedFiles(e.master.merger.Stats()))
	}
	return j
}

// Checkpoints returns the statistics of the job's checkpoints, without what single subtasks have done.
func (e *Execution) Checkpoints(ctx context.Context) (coordinator.Stats, error) {
	return ask(ctx, e, func(m *master) coordinator.Stats {
		s := m.coordinator.Stats()
		for i := range s.History {
			m.hideLost(&s.History[i])
		}
		for _, latest := range []*coordinator.CheckpointStats{s.LatestCompleted, s.LatestSavepoint} {
			if latest != nil {
				m.hideLost(latest)
			}
		}
		return s
	})
}

// hideLost leaves away where a checkpoint lies if nobody could find it there: in the memory of this process.
func (m *master) hideLost(cs *coordinator.CheckpointStats) {
	if !cs.IsSavepoint() && !m.storage.Survives() {
		cs.Pointer = ""
	}
}

// Checkpoint returns all that is known of one checkpoint, nil if it is not remembered.
func (e *Execution) Checkpoint(ctx context.Context, id job.CheckpointID) (*coordinator.CheckpointStats, error) {
	return ask(ctx, e, func(m *master) *coordinator.CheckpointStats {
		if cs, ok := m.coordinator.Checkpoint(id); ok {
			m.hideLost(&cs)
			return &cs
		}
		return nil
	})
}

// Checkpointing returns how the job takes checkpoints.
func (e *Execution) Checkpointing() view.Checkpointing {
	c := e.options.Config.Checkpointing()
	out := view.Checkpointing{
		Interval: c.Interval, Timeout: c.Timeout, MinPause: c.MinPause, MaxConcurrent: c.MaxConcurrent, TolerableFailures: c.Tolerable,
		AtLeastOnce:   c.Mode == config.AtLeastOnce,
		KeepOnFailure: coordinator.Retention(c.Retention).Keeps(coordinator.JobFailed),
		KeepOnCancel:  coordinator.Retention(c.Retention).Keeps(coordinator.JobCanceled),
		Storage:       "JobManagerCheckpointStorage", StateBackend: backendName(e.options.Config.Backend().Type),
		AfterTasksFinish: c.AfterTasksFinish, Unaligned: c.Unaligned, AlignedTimeout: c.AlignedTimeout,
	}
	log := e.options.Config.Changelog()
	out.Changelog, out.ChangelogStorage, out.MaterializationInterval = log.Enabled, log.Storage.String(), log.Interval
	if c.Storage == config.FilesystemStorage {
		out.Storage = "FileSystemCheckpointStorage"
	}
	return out
}

// backendName is the name of a state backend in the interface.
func backendName(name string) string {
	switch name {
	case "hashmap":
		return "HashMapStateBackend"
	case "rocksdb":
		return "EmbeddedRocksDBStateBackend"
	case "pebble":
		return "PebbleStateBackend"
	}
	return name
}

// ask has the master answer between two of its steps, so that nobody needs a lock; after the job's end nobody changes anything any more.
// Of a job that was never begun the answer is zero.
func ask[T any](ctx context.Context, e *Execution, question func(*master) T) (answer T, err error) {
	if e.master == nil {
		return answer, nil
	}
	answers := make(chan T, 1)
	e.master.post(func() { answers <- question(e.master) })
	select {
	case answer = <-answers:
		return answer, nil
	case <-e.done:
		return question(e.master), nil
	case <-ctx.Done():
		return answer, fmt.Errorf("wait for the job's answer: %w", context.Cause(ctx))
	}
}
