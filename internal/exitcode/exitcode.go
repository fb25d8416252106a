// Package exitcode says what the exit status of a job's process means, to the shell script or supervisor that reads it.
//
// The numbers are part of the command line's contract: they never change their meaning. docs/recovery.md shows them to users.
package exitcode

import "fmt"

// Code is the exit status of a job's process.
type Code int

const (
	// Finished means that the job has read all its input and committed all its output, in this run or in an earlier one.
	Finished Code = 0
	// Failed means that the job has failed for good: its restart strategy gave up, or a replay must fail again.
	Failed Code = 1
	// Usage means that the command line or the configuration is wrong. Nothing was started or changed.
	Usage Code = 2
	// Refused means that the job did not start because that could lose or repeat data, or nobody could tell. The text on stderr says
	// why and what there is to choose from. Nothing was changed.
	Refused Code = 3
	// Held means that another process runs this job line. Nothing was changed; or, on a store without locks, that one has taken the line over from
	// this process, which has committed nothing since.
	Held Code = 4
	// Stopped means that the job was asked to stop, has taken a checkpoint if it had begun, and goes on when the same command is run again.
	Stopped Code = 5
	// Changed means, of a plan that was asked for with --plan, that the start would go on and leave state behind. Nothing was changed.
	Changed Code = 6
	// Aborted means that the job was told to stop a second time and did not wait. It goes on from its last completed checkpoint.
	Aborted Code = 130
)

// String returns what the code means in a few words.
func (c Code) String() string {
	switch c {
	case Finished:
		return "finished"
	case Failed:
		return "failed"
	case Usage:
		return "usage or configuration error"
	case Refused:
		return "start refused"
	case Held:
		return "held by another process"
	case Stopped:
		return "stopped, resumable"
	case Changed:
		return "state would be left behind"
	case Aborted:
		return "aborted"
	}
	return fmt.Sprintf("exit code %d", int(c))
}
