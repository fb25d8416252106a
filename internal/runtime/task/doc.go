// Package task runs one subtask: a chain of operators behind a gate or a source.
//
// A Task is a value with a Step: one unit of work that never waits for queues, storage or locks and says what it waits for. In production
// Run gives it a goroutine; a test can step many tasks on one. Everything that happens to the chain happens in a step.
//
//		Step:  mails -> timers that are due -> (outputs have room?) -> one batch or event from the gate, or one poll of the source -> flush
//
//	  - Records, timers, checkpoints and notifications never run at the same time, so operators need no locks.
//	  - What blocks (writing a snapshot, committing) runs on goroutines of its own, started through operator.Env.Go. They report by mail,
//	    and every one of them has ended when Close returns.
//	  - A snapshot is captured in a step, after the barrier was sent on, and written beside the task.
//	  - A task that begins with the head of a loop takes turns between its gate and the feedback edge. Its part of a checkpoint is written once
//	    the barrier has come round, and its data ends once the loop is empty: loop.go.
//	  - An error or panic in a step ends the task; it is reported once, and Close closes the operators.
//
// Goroutines: Run's own, one for each piece of work beside it. Others talk to a task only through Post and the gate.
package task
