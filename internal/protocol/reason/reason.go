// Package reason names why a checkpoint was refused, declined or given up.
//
//   - A reason has one documented name (String), which stands in logs, status lines and REST answers, and one short text (Message).
//   - A reason says by itself whether it arises before any task took part (PreFlight) and whether it counts towards the tolerable
//     failures of a job (Counted). Who fails what because of it is decided by the coordinator.
//
// It is a package of its own because both ends speak of it: tasks decline with a reason, the coordinator counts it.
package reason

// Reason is why a checkpoint did not complete. The zero value, None, is no reason at all.
type Reason uint8

// The reasons. Those up to BlockingOutputExist arise before tasks take part.
const (
	None Reason = iota

	PeriodicSchedulerShutdown     // a periodic request, but the scheduler is stopped
	TooManyCheckpointRequests     // the request queue is full
	MinimumTimeBetweenCheckpoints // min-pause has not passed since the last completion
	NotAllRequiredTasksRunning    // the plan needs a task that is not running
	IOException                   // storage failed while the coordinator prepared the checkpoint
	BlockingOutputExist           // a running task has an output that blocks until it is done

	CheckpointAsyncException           // the upload beside a task failed
	ChannelStateSharedStreamException  // another subtask that shares the channel-state file failed
	CheckpointExpired                  // not complete within the timeout
	CheckpointSubsumed                 // a newer checkpoint completed first
	CheckpointDeclined                 // a task declined without a better reason
	CheckpointDeclinedTaskNotReady     // the task is not running, or is still restoring
	CheckpointDeclinedTaskClosing      // the task is shutting down, or its state cannot be finished in part
	CheckpointDeclinedSubsumed         // a newer barrier came before this one was aligned
	CheckpointDeclinedOnCancelBarrier  // a cancellation marker came from an input
	CheckpointDeclinedInputEndOfStream // an input ended while aligning, and checkpoints after finished tasks are off
	CheckpointCoordinatorShutdown      // the job ended
	CheckpointCoordinatorSuspend       // the scheduler was stopped
	JobFailoverRegion                  // the tasks are being restarted
	TaskFailure                        // a task failed before it acknowledged
	TaskCheckpointFailure              // the task to trigger is not known where it should run
	UnknownTaskNotificationFailure     // the task to notify is not known where it should run
	FinalizeCheckpointFailure          // the metadata could not be written or the checkpoint not recorded
	TriggerCheckpointFailure           // the trigger failed in another way

	numReasons = iota
)

const lastPreFlight = BlockingOutputExist

var facts = [numReasons]struct {
	name, message string
	counted       bool
}{
	None: {"NONE", "no failure", false},

	PeriodicSchedulerShutdown:     {"PERIODIC_SCHEDULER_SHUTDOWN", "periodic checkpoints are stopped", false},
	TooManyCheckpointRequests:     {"TOO_MANY_CHECKPOINT_REQUESTS", "too many checkpoint requests are waiting", false},
	MinimumTimeBetweenCheckpoints: {"MINIMUM_TIME_BETWEEN_CHECKPOINTS", "the minimum pause between checkpoints has not passed", false},
	NotAllRequiredTasksRunning:    {"NOT_ALL_REQUIRED_TASKS_RUNNING", "not all tasks that must take part are running", false},
	IOException:                   {"IO_EXCEPTION", "an I/O operation of the checkpoint coordinator failed", true},
	BlockingOutputExist:           {"BLOCKING_OUTPUT_EXIST", "a running task has a blocking output", false},

	CheckpointAsyncException:           {"CHECKPOINT_ASYNC_EXCEPTION", "the asynchronous part of a task's snapshot failed", true},
	ChannelStateSharedStreamException:  {"CHANNEL_STATE_SHARED_STREAM_EXCEPTION", "another subtask that writes to the same channel-state file failed", false},
	CheckpointExpired:                  {"CHECKPOINT_EXPIRED", "the checkpoint did not complete within its timeout", true},
	CheckpointSubsumed:                 {"CHECKPOINT_SUBSUMED", "a newer checkpoint completed first", false},
	CheckpointDeclined:                 {"CHECKPOINT_DECLINED", "a task declined the checkpoint", true},
	CheckpointDeclinedTaskNotReady:     {"CHECKPOINT_DECLINED_TASK_NOT_READY", "a task was not ready for the checkpoint", false},
	CheckpointDeclinedTaskClosing:      {"CHECKPOINT_DECLINED_TASK_CLOSING", "a task is closing", false},
	CheckpointDeclinedSubsumed:         {"CHECKPOINT_DECLINED_SUBSUMED", "the barrier of a newer checkpoint arrived first", false},
	CheckpointDeclinedOnCancelBarrier:  {"CHECKPOINT_DECLINED_ON_CANCELLATION_BARRIER", "a task received a cancellation marker from an input", false},
	CheckpointDeclinedInputEndOfStream: {"CHECKPOINT_DECLINED_INPUT_END_OF_STREAM", "an input ended before its barrier arrived", false},
	CheckpointCoordinatorShutdown:      {"CHECKPOINT_COORDINATOR_SHUTDOWN", "the checkpoint coordinator was shut down", false},
	CheckpointCoordinatorSuspend:       {"CHECKPOINT_COORDINATOR_SUSPEND", "the checkpoint coordinator was suspended", false},
	JobFailoverRegion:                  {"JOB_FAILOVER_REGION", "the job is being restarted", false},
	TaskFailure:                        {"TASK_FAILURE", "a task failed", false},
	TaskCheckpointFailure:              {"TASK_CHECKPOINT_FAILURE", "a task to trigger was not found", false},
	UnknownTaskNotificationFailure:     {"UNKNOWN_TASK_CHECKPOINT_NOTIFICATION_FAILURE", "a task to notify was not found", false},
	FinalizeCheckpointFailure:          {"FINALIZE_CHECKPOINT_FAILURE", "the checkpoint could not be finalized", true},
	TriggerCheckpointFailure:           {"TRIGGER_CHECKPOINT_FAILURE", "the checkpoint could not be triggered", false},
}

// String returns the documented name, such as CHECKPOINT_EXPIRED.
func (r Reason) String() string {
	if int(r) >= numReasons {
		return "UNKNOWN"
	}
	return facts[r].name
}

// Message returns a short text for people, without a full stop.
func (r Reason) Message() string {
	if int(r) >= numReasons {
		return "unknown reason"
	}
	return facts[r].message
}

// With returns the text for people with what is known beyond it, "" if nothing is.
func (r Reason) With(cause string) string {
	if cause == "" || cause == r.Message() {
		return r.Message()
	}
	return r.Message() + ": " + cause
}

// PreFlight reports whether the reason arises before any task took part, so that no task can be blamed.
func (r Reason) PreFlight() bool { return None < r && r <= lastPreFlight }

// Counted reports whether a failure for this reason counts towards the tolerable failures of the job.
func (r Reason) Counted() bool { return int(r) < numReasons && facts[r].counted }

// Parse returns the reason with a documented name, and whether there is one.
func Parse(name string) (Reason, bool) {
	for r := range Reason(numReasons) {
		if facts[r].name == name {
			return r, true
		}
	}
	return None, false
}
