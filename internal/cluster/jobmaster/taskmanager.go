package jobmaster

import (
	"github.com/weirstream/weir/internal/cluster/deal"
	"github.com/weirstream/weir/internal/graph"
	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/metrics"
	"github.com/weirstream/weir/internal/protocol/barrier"
	"github.com/weirstream/weir/internal/runtime/operator"
	"github.com/weirstream/weir/internal/runtime/task"
	"github.com/weirstream/weir/sink"
	"github.com/weirstream/weir/source"
)

// TaskManager runs the tasks of a job, in this process or in others. The master says which and when, and hears of them by the reports that
// Deployment.Master takes: tasks run, acknowledge, decline, ask for splits, end.
//
//   - Its methods are called by the master, one at a time. All but Close return at once.
//   - A message to an attempt that has ended, or that was never deployed, changes nothing.
//   - What is sent to one task arrives in the order in which it was sent: a split before the trigger of a checkpoint that counts it as handed
//     out. The triggers and notices of checkpoints may get lost, the reports of them as well, since another checkpoint follows or the master
//     says it again; nothing else may.
type TaskManager interface {
	// Deploy starts tasks: all of the deployment, or none if there is an error. That is permanent if another attempt must fail too.
	Deploy(d *Deployment) error
	// Cancel stops a task, which then reports that it has ended. It is called as well for each that has, when nobody needs it any more.
	Cancel(a job.Attempt)
	// TriggerCheckpoint lets a task without inputs begin a checkpoint.
	TriggerCheckpoint(a job.Attempt, b barrier.Barrier)
	// NotifyCheckpointComplete tells a task that a checkpoint exists.
	NotifyCheckpointComplete(a job.Attempt, c operator.Checkpoint)
	// NotifyCheckpointAborted tells a task that a checkpoint was given up. latest is the newest that is complete, 0 if there is none.
	NotifyCheckpointAborted(a job.Attempt, c operator.Checkpoint, latest job.CheckpointID)
	// AnswerSplit tells a reader that has asked for a split what its enumerator says: here it is, wait, or there are no more.
	AnswerSplit(a job.Attempt, split source.Split, what source.Assignment)
	// Visit calls visit with the operators of a task, on its goroutine and between two of its batches. If the task ends before, it is not called.
	Visit(a job.Attempt, visit func([]operator.Operator))
	// Close gives up what the tasks had in common. It is called once, when none is left or the job has not begun.
	Close()
}

// Deployment says which tasks are started, and with what.
type Deployment struct {
	// Plan is not changed while its tasks run.
	Plan *graph.Plan
	// Attempts are the numbers of the attempts that are started. With a subtask all are that it is connected to by edges.
	Attempts map[job.Subtask]int
	// Restored is what they begin with.
	Restored deal.Restored
	// Line is what sinks know the job by.
	Line sink.Line
	// Master takes the reports of the tasks. Any goroutine may call it.
	Master task.Master
	// Shared is for tasks in the master's process. Those in others have their own.
	Shared Shared
}

// Shared is what tasks have in common with a master in the same process.
type Shared struct {
	// Files is where they write snapshots, and read what they are restored from.
	Files *Files
	// Committer returns the committer of a sink; nil if it has none.
	Committer func(job.OperatorID) sink.Committer
	// Metrics returns what an operator counts in one subtask. It goes on over restarts.
	Metrics func(op job.OperatorID, subtask int) *metrics.Scope
}
