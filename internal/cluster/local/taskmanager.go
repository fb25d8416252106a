package local

import (
	"context"
	"maps"

	"github.com/weirstream/weir/internal/cluster/config"
	"github.com/weirstream/weir/internal/cluster/jobmaster"
	"github.com/weirstream/weir/internal/graph"
	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/protocol/barrier"
	"github.com/weirstream/weir/internal/protocol/reason"
	"github.com/weirstream/weir/internal/runtime/operator"
	"github.com/weirstream/weir/internal/runtime/program"
	"github.com/weirstream/weir/internal/runtime/task"
	"github.com/weirstream/weir/source"
)

// taskManager runs the tasks of a job in this process. It is used by the master alone.
type taskManager struct {
	Options
	checkpoints config.Checkpointing
	tasks       map[job.Subtask]*running // the last attempt of each
}

var _ jobmaster.TaskManager = (*taskManager)(nil)

// running is a task, and what stops it.
type running struct {
	*task.Task
	cancel context.CancelFunc
}

func newTaskManager(o Options) *taskManager {
	return &taskManager{Options: o, checkpoints: o.Config.Checkpointing(), tasks: map[job.Subtask]*running{}}
}

// Deploy makes tasks and gives each its goroutine.
func (m *taskManager) Deploy(d *jobmaster.Deployment) error {
	tasks, err := program.Deploy(m.deployment(d))
	if err != nil {
		return source.Permanent(err)
	}
	m.forgetOthers(d.Plan)
	for _, t := range tasks {
		ctx, cancel := context.WithCancel(context.Background())
		m.tasks[t.Attempt.Subtask] = &running{t, cancel}
		m.run(ctx, t)
	}
	return nil
}

// forgetOthers lets go of tasks that a plan has no more. They have ended.
func (m *taskManager) forgetOthers(p *graph.Plan) {
	parallelism := map[job.VertexID]int{}
	for _, v := range p.Vertices {
		parallelism[v.ID()] = v.Parallelism
	}
	maps.DeleteFunc(m.tasks, func(s job.Subtask, _ *running) bool { return s.Index >= parallelism[s.Vertex] })
}

// run runs a task beside the master.
func (m *taskManager) run(ctx context.Context, t *task.Task) {
	if m.Scheduler == nil {
		go t.Run(ctx)
		return
	}
	m.Scheduler.Task(ctx, t)
}

// of returns the task of an attempt, nil if it is not the last one of its subtask.
func (m *taskManager) of(a job.Attempt) *running {
	if t := m.tasks[a.Subtask]; t != nil && t.Attempt == a {
		return t
	}
	return nil
}

// send sends a task a message, on which it calls f.
func (m *taskManager) send(message Message, f func(t *task.Task)) {
	if t := m.of(message.Task); t != nil {
		m.deliver(message, func() { f(t.Task) })
	}
}

// deliver calls f, which brings a message to whom it is for.
func (m *taskManager) deliver(message Message, f func()) {
	if m.Scheduler == nil {
		f()
		return
	}
	m.Scheduler.Deliver(message, f)
}

// Cancel stops a task.
func (m *taskManager) Cancel(a job.Attempt) {
	if t := m.of(a); t != nil {
		t.cancel()
	}
}

// TriggerCheckpoint lets a task begin a checkpoint.
func (m *taskManager) TriggerCheckpoint(a job.Attempt, b barrier.Barrier) {
	m.send(Message{Kind: TriggerMessage, Task: a, ID: b.ID}, func(t *task.Task) { t.Trigger(b) })
}

// NotifyCheckpointComplete tells a task that a checkpoint exists.
func (m *taskManager) NotifyCheckpointComplete(a job.Attempt, c operator.Checkpoint) {
	m.send(Message{Kind: CompleteMessage, Task: a, ID: c.ID}, func(t *task.Task) { t.CheckpointComplete(c) })
}

// NotifyCheckpointAborted tells a task that a checkpoint was given up.
func (m *taskManager) NotifyCheckpointAborted(a job.Attempt, c operator.Checkpoint, latest job.CheckpointID) {
	m.send(Message{Kind: AbortedMessage, Task: a, ID: c.ID}, func(t *task.Task) {
		t.CheckpointAborted(c, latest, reason.CheckpointCoordinatorSuspend)
	})
}

// AnswerSplit tells a reader what its enumerator says.
func (m *taskManager) AnswerSplit(a job.Attempt, split source.Split, what source.Assignment) {
	m.send(Message{Kind: SplitMessage, Task: a}, func(t *task.Task) {
		t.Post(func() error {
			switch what {
			case source.Wait:
				t.Source.NoSplitYet()
			case source.NoMore:
				t.Source.NoMoreSplits()
			default:
				return t.Source.AddSplits([]source.Split{split})
			}
			return nil
		})
	})
}

// Visit calls visit with the operators of a task. It is no message that a Scheduler could hold up.
func (m *taskManager) Visit(a job.Attempt, visit func([]operator.Operator)) {
	if t := m.of(a); t != nil {
		t.Post(func() error { visit(t.Operators); return nil })
	}
}

// Close closes the state backend, which the tasks had in common.
func (m *taskManager) Close() {
	if m.Backend == nil {
		return
	}
	if err := m.Backend.Factory.Close(); err != nil {
		m.Logger.Warn("the state backend could not be closed", "backend", m.Backend.Name, "error", err)
	}
}
