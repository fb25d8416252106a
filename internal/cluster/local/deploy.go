package local

import (
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

// changelog returns how changes of keyed state are logged, nil if they are not.
func (m *taskManager) changelog(d *jobmaster.Deployment) *operator.Changelog {
	if c := m.Config.Changelog(); c.Enabled && m.checkpoints.On() {
		if m.Scheduler == nil {
			return d.Shared.Files.Changelog(c)
		}
		m.Logger.Warn("changes of the state are not logged in a simulation: checkpoints hold the state itself")
	}
	return nil
}

// besides returns what runs the work of tasks that may block; nil for goroutines.
func (m *taskManager) besides() func(func()) {
	if m.Scheduler == nil {
		return nil
	}
	return m.Scheduler.Beside
}
