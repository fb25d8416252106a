package coordinator

import (
	"fmt"

	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/protocol/reason"
)

// failures counts failed checkpoints in a row and says when there were too many.
//
//   - Only reasons that count do, and each checkpoint once, however often it is reported.
//   - A success ends the row. What is reported late of a checkpoint that is older than the last success is not counted.
type failures struct {
	tolerable   int
	inARow      int
	counted     map[job.CheckpointID]bool
	lastSuccess job.CheckpointID
}

// failure notes that a checkpoint failed, or with id 0 that a request never became one, and reports whether the job fails with it. Savepoints
// that fail without the fault of a task are the user's business. What comes of a failed stop is decided where stops are.
func (f *failures) failure(id job.CheckpointID, kind RequestKind, why failure) (failJob bool) {
	byTask := !why.why.PreFlight() && why.attempt != (job.Attempt{})
	if kind == StopWithSavepoint || kind == Savepoint && !byTask {
		return false
	}
	return f.count(id, why.why)
}

func (f *failures) count(id job.CheckpointID, why reason.Reason) (tooMany bool) {
	if !why.Counted() || f.tolerable == UnlimitedFailures || id != 0 && (id <= f.lastSuccess || f.counted[id]) {
		return false
	}
	if f.counted == nil {
		f.counted = map[job.CheckpointID]bool{}
	}
	if id != 0 {
		f.counted[id] = true
	}
	f.inARow++
	if f.inARow <= f.tolerable {
		return false
	}
	f.reset()
	return true
}

func (f *failures) success(id job.CheckpointID) {
	if id > f.lastSuccess {
		f.lastSuccess = id
		f.reset()
	}
}

func (f *failures) reset() {
	f.inARow = 0
	clear(f.counted)
}

func tooManyFailures(f failure) string {
	text := fmt.Sprintf("Exceeded checkpoint tolerable failure threshold. The latest checkpoint failed due to %s", f.why.Message())
	if f.cause != "" {
		text += ": " + f.cause
	}
	return text
}
