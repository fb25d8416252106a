package local

import (
	"cmp"
	"context"
	"errors"

	"github.com/weirstream/weir/internal/cluster/config"
	"github.com/weirstream/weir/internal/cluster/jobmaster"
	"github.com/weirstream/weir/internal/graph"
	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/protocol/barrier"
	"github.com/weirstream/weir/internal/runtime/operator"
	"github.com/weirstream/weir/internal/runtime/program"
	"github.com/weirstream/weir/internal/runtime/spill"
)

// deployment says what the tasks of a deployment are made with in this process.
func (m *taskManager) deployment(d *jobmaster.Deployment) *program.Deployment {
	mode := barrier.ExactlyOnce
	if m.checkpoints.Mode == config.AtLeastOnce {
		mode = barrier.AtLeastOnce
	}
	return &program.Deployment{
		Plan: d.Plan,
		Attempt: func(s job.Subtask) (int, bool) {
			n, deploy := d.Attempts[s]
			return n, deploy
		},
		Mode:            mode,
		Master:          reports{d.Master, m},
		Logger:          m.Logger,
		Now:             m.Now,
		Beside:          m.besides(),
		Line:            d.Line,
		Streams:         d.Shared.Files.Streams(d.Plan),
		OpenStream:      d.Shared.Files.OpenStream,
		MayUse:          d.Shared.Files.MayUse(),
		Again:           d.Shared.Files.Again,
		Incremental:     m.checkpoints.Incremental,
		Compress:        m.checkpoints.Compress,
		Backend:         m.Backend,
		Changelog:       m.changelog(d),
		Tracking:        m.tracking(),
		Checkpointed:    m.checkpoints.On(),
		NoFinal:         !m.checkpoints.AfterTasksFinish,
		Restored:        d.Restored.ID,
		LeaveUndeclared: m.Config.Recovery().IgnoreUnclaimedState,
		State:           d.Restored.State,
		Finished:        func(v *graph.Vertex) bool { return d.Restored.Finished[v.ID()] },
		Committer:       d.Shared.Committer,
		Metrics:         d.Shared.Metrics,
		Loops: program.Loops{
			Memory: m.Config.LoopMemory(), Files: spill.Temp(""), Lossy: m.checkpoints.Loops == config.LoseInLoops,
		},
	}
}

// tracking returns what is measured of accesses to keyed state.
func (m *taskManager) tracking() operator.Tracking {
	sampling := func(t config.Tracking) operator.Sampling { return operator.Sampling(t) }
	latency, sizes := m.Config.StateTracking()
	return operator.Tracking{Latency: sampling(latency), Sizes: sampling(sizes)}
}

// changelog returns how changes of keyed state are logged, nil if they are not.
func (m *taskManager) changelog(d *jobmaster.Deployment) *operator.Changelog {
	c := m.Config.Changelog()
	if !c.Enabled || !m.checkpoints.On() {
		return nil
	}
	log := d.Shared.Files.Changelog(c)
	if m.Scheduler != nil {
		log.Wait = m.await
	}
	return log
}

// errGone is what somebody is answered who waits in a process that nobody goes on with.
var errGone = errors.New("the process has ended")

// await lets the scheduler see to it that work beside a task waits for other such work.
func (m *taskManager) await(ctx context.Context, done <-chan struct{}) error {
	isDone := func() bool {
		select {
		case <-done:
			return true
		default:
			return false
		}
	}
	m.Scheduler.Await(func() bool { return isDone() || ctx.Err() != nil })
	if isDone() {
		return nil
	}
	return cmp.Or(context.Cause(ctx), errGone)
}

// besides returns what runs the work of tasks that may block; nil for goroutines.
func (m *taskManager) besides() func(func()) {
	if m.Scheduler == nil {
		return nil
	}
	return m.Scheduler.Beside
}
