// Package sim answers one question: does a job do the same whatever happens to it?
//
// A World runs a whole job - its master, its tasks, its checkpoints, what it reads and writes - on one goroutine and in virtual time. Chance
// decides who does something next, and what goes wrong: tasks fail; the process dies at any step, with or without the machine, of whose
// files only what was made durable remains; operations on files and commits fail, before or after they have done their work, or take
// long; messages between master and tasks are late, lost or come twice; nobody knows whether a checkpoint was published; the wall clock
// jumps; the user stops the job, with a savepoint or without, drains it or cancels it.
// Each time the job is started again on what is left, perhaps at another parallelism, and as it tells the user, until it has finished.
//
//   - All that is left to chance is drawn from Decisions. The same decisions give the same run, step for step, which Report.Trace tells,
//     as long as the job's own functions take time and chance from their context.
//   - A process that has died does nothing any more that outlives it: its disk and its outputs answer with ErrDead. Its code runs to where
//     it can stop, so that its memory is given back.
//   - Each operation on a file is a step of its own where it happens beside tasks: writing a snapshot, what the master reads and writes,
//     deletions, and the opening of a task. What a task does in a step is one step.
//   - Trouble is limited in number, so that every run comes to an end.
//
// After every step these are checked, and the first that does not hold ends the run:
//
//   - Each checkpoint is decided at most once, and ids grow over all processes.
//   - No checkpoint completes without the acknowledgement of every task that ran when it was triggered.
//   - Whatever has metadata has all the files that these name. No metadata is deleted unless a newer checkpoint is complete, or the
//     job has ended.
//   - Nothing is read of a checkpoint that has no metadata, and nothing is deleted from which tasks are being restored.
//   - A job goes back to no checkpoint that was given up, and none of those is left behind which it goes back.
//   - A job that was cancelled or drained is not started again by the same command; one that has stopped with a savepoint goes on.
//   - A snapshot of another job is deleted only if it was claimed.
//   - What is committed was prepared for a checkpoint that is complete, and each writer's in order.
//
// Whether the output is right is for the caller to say.
package sim
