// Package coordinator decides about the checkpoints of one job: when to take one, who takes part, when it is complete, when it is given
// up, and how long it is kept.
//
// A Coordinator is a state machine. Its driver, one goroutine, reports what happened by calling a method, then performs the actions that
// Actions returns, in order, and reports their outcomes by calling methods again. Time is an argument: a time.Time with both readings, as
// time.Now returns it; durations use the monotonic one, what people see the wall clock.
//
// A checkpoint goes through these steps. The method behind each arrow is the driver's answer, exactly one per action, also if the
// checkpoint was given up in the meantime:
//
//	AllocateID           -> IDAllocated            | TriggerFailed
//	InitLocation         -> LocationReady          | TriggerFailed
//	SnapshotCoordinators -> CoordinatorsSnapshotted| TriggerFailed   (only if an operator has a coordinator)
//	SendTrigger          -> TriggersSent           | TriggerFailed
//	                        Ack of every task in the plan
//	WriteMetadata        -> MetadataWritten        | MetadataFailed
//	NotifyComplete, Discard of the ones it replaces -> CleaningDone  | CleaningFailed
//	DiscardShared: what only those referred to
//
// A savepoint goes the same way into a directory of its own. It is the user's: it is not kept, subsumes nothing, is not subsumed, and its
// completion is told to no task, so that nothing is committed. With StopWithSavepoint nothing else is begun from the request on, the tasks
// end their data before they take their part, and its completion is told to them; then they finish (Stopped), or the job has failed for good
// (FailJob), since it must not go on from an earlier checkpoint any more.
//
// Invariants:
//
//   - Each checkpoint is decided once: Completed or Failed, and each request ends in one of Completed, Failed or Refused.
//   - Checkpoint ids grow and none is used twice, not even one whose trigger failed.
//   - A checkpoint is complete only when every task of its plan acknowledged, every operator coordinator's state is there, and its
//     metadata is written. Between WriteMetadata and its answer nothing can give the checkpoint up.
//   - Several checkpoints may be under way, but one is published at a time, and they complete in the order of their ids. One that
//     completes gives up those that are older.
//   - NotifyComplete follows the completion of a checkpoint, or of the savepoint to stop with, once, and its ids grow.
//   - After a completion at most Config.NumRetained checkpoints are kept, damaged ones not counted. The newest is never discarded while
//     the job lasts. Damaged checkpoints and those that belong to someone else are never discarded, nor is a savepoint that is complete.
//   - A shared file is deleted when no complete checkpoint refers to it and none that may complete, after the metadata of those that did
//     are gone. What belongs to someone else is not.
//   - Restore names a checkpoint that has completed, and none once the job has stopped with a savepoint.
//   - Messages of an attempt that is not in the plan of the checkpoint change nothing but what happens to the state they carry.
package coordinator
