package local

import (
	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/protocol/reason"
	"github.com/weirstream/weir/internal/protocol/snapshot"
	"github.com/weirstream/weir/internal/runtime/task"
)

// reports brings what tasks report to the master. What it does not name as a message is never late: it only adds to what another message says.
type reports struct {
	task.Master
	tasks *taskManager
}

func (r reports) Running(a job.Attempt) {
	r.tasks.deliver(Message{Kind: RunningMessage, Task: a}, func() { r.Master.Running(a) })
}

func (r reports) Acknowledge(a job.Attempt, id job.CheckpointID, s *snapshot.Task, m task.Metrics) {
	r.tasks.deliver(Message{Kind: AckMessage, Task: a, ID: id}, func() { r.Master.Acknowledge(a, id, s, m) })
}

func (r reports) Decline(a job.Attempt, id job.CheckpointID, why reason.Reason, err error) {
	r.tasks.deliver(Message{Kind: DeclineMessage, Task: a, ID: id}, func() { r.Master.Decline(a, id, why, err) })
}

func (r reports) Completed(a job.Attempt, id job.CheckpointID) {
	r.tasks.deliver(Message{Kind: DoneMessage, Task: a, ID: id}, func() { r.Master.Completed(a, id) })
}

func (r reports) EndOfData(a job.Attempt) {
	r.tasks.deliver(Message{Kind: EndOfDataMessage, Task: a}, func() { r.Master.EndOfData(a) })
}

func (r reports) Ended(a job.Attempt, err error) {
	r.tasks.deliver(Message{Kind: EndedMessage, Task: a}, func() { r.Master.Ended(a, err) })
}

func (r reports) RequestSplit(a job.Attempt, source job.OperatorID) {
	r.tasks.deliver(Message{Kind: RequestSplitMessage, Task: a}, func() { r.Master.RequestSplit(a, source) })
}
