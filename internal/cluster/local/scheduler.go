package local

import (
	"context"

	"github.com/weirstream/weir/internal/cluster/jobmaster"
	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/runtime/task"
)

// Scheduler says what happens when, in the tasks too. In production there is none.
//
// It is told of everything that may be late, fail or get lost, so that it can make it so.
type Scheduler interface {
	jobmaster.Scheduler
	// Task runs a task, by its methods Open, Step and Close.
	Task(ctx context.Context, t *task.Task)
	// Deliver calls f when a message arrives: once, unless the message is one that may be lost. Messages between the same two arrive in
	// the order in which they were sent, doubles aside.
	Deliver(m Message, f func())
}

// Message is what the master and a task tell each other.
type Message struct {
	Kind MessageKind
	Task job.Attempt
	ID   job.CheckpointID // that it is about, if it is about one
}

// MessageKind says what a message is.
type MessageKind uint8

// The messages: the first four go to a task, the others come from it.
const (
	TriggerMessage      MessageKind = iota // begin a checkpoint
	CompleteMessage                        // a checkpoint is complete
	AbortedMessage                         // it was given up
	SplitMessage                           // the answer to RequestSplitMessage
	AckMessage                             // the task's part of a checkpoint
	DeclineMessage                         // there will be none
	DoneMessage                            // everything that follows from a complete checkpoint is done
	RunningMessage                         // records may flow
	EndOfDataMessage                       // the operators have seen all data
	EndedMessage                           // the task does nothing more
	RequestSplitMessage                    // a source has room for a split
)

// String returns the kind as people say it.
func (k MessageKind) String() string {
	return [...]string{"trigger", "complete", "aborted", "split", "ack", "decline", "done", "running", "end of data", "ended", "request split"}[k]
}

// MayBeLost reports whether a job goes on, or begins again by itself, although the message never arrives or comes twice.
func (k MessageKind) MayBeLost() bool {
	switch k {
	case TriggerMessage, CompleteMessage, AbortedMessage, AckMessage, DeclineMessage:
		return true
	}
	return false
}

// ToTask reports whether the master sends it.
func (k MessageKind) ToTask() bool { return k <= SplitMessage }
