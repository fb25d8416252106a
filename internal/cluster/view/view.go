// Package view is a job as it can be shown: values that a status line, a REST server or a dashboard take as they are.
//
//   - Whoever runs jobs fills them in and gives them away: a value is never changed afterwards.
//   - Words and states are those that Flink's interface has, so that what is known of it helps here.
//   - The statistics of checkpoints are values already; see protocol/coordinator.
package view

import (
	"time"

	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/metrics"
)

// JobState is what a job is doing.
type JobState uint8

// The states of a job.
const (
	JobInitializing JobState = iota // it is found out how to begin
	JobCreated
	JobRunning
	JobFailing
	JobFailed
	JobCancelling
	JobCanceled
	JobFinished
	JobRestarting
	JobSuspended // ended, to be gone on with by another process
	JobReconciling
	JobStates // how many there are
)

var jobStates = [JobStates]string{
	"INITIALIZING", "CREATED", "RUNNING", "FAILING", "FAILED", "CANCELLING", "CANCELED", "FINISHED", "RESTARTING", "SUSPENDED", "RECONCILING",
}

// String returns the name in the interface.
func (s JobState) String() string { return jobStates[s] }

// Ended reports whether nothing follows in this process.
func (s JobState) Ended() bool {
	return s == JobFailed || s == JobCanceled || s == JobFinished || s == JobSuspended
}

// TaskState is what a subtask is doing.
type TaskState uint8

// The states of a subtask.
const (
	TaskCreated TaskState = iota
	TaskScheduled
	TaskDeploying
	TaskInitializing // its state is restored, its operators are opened
	TaskRunning
	TaskFinished
	TaskCanceling
	TaskCanceled
	TaskFailed
	TaskReconciling
	TaskStates // how many there are
)

var taskStates = [TaskStates]string{
	"CREATED", "SCHEDULED", "DEPLOYING", "INITIALIZING", "RUNNING", "FINISHED", "CANCELING", "CANCELED", "FAILED", "RECONCILING",
}

// String returns the name in the interface.
func (s TaskState) String() string { return taskStates[s] }

// Ended reports whether the attempt does nothing any more.
func (s TaskState) Ended() bool {
	return s == TaskFinished || s == TaskCanceled || s == TaskFailed
}

// Job is a job at one moment.
type Job struct {
	ID    job.ID
	Name  string
	State JobState
	Since [JobStates]time.Time // when it last came into each state; zero if it never did
	// Changed is when the state of the job or of a task last changed.
	Changed  time.Time
	Now      time.Time
	Restarts int
	Futile   int      // restarts in a row that went back to the same checkpoint, without one complete in between
	Vertices []Vertex // in topological order
	Settings Settings
	// Merged says how much lies in merged files of checkpoints; nil if files are not merged.
	Merged *MergedFiles
}

// MergedFiles are pieces of state and the files that they share. The bytes of the files are more than those of the pieces by what nobody needs.
type MergedFiles struct {
	LogicalFiles, PhysicalFiles int
	LogicalBytes, PhysicalBytes int64
}

// Started returns when the job began.
func (j *Job) Started() time.Time { return j.Since[JobInitializing] }

// Ended returns when the job ended, zero while it has not.
func (j *Job) Ended() (t time.Time) {
	if j.State.Ended() {
		t = j.Since[j.State]
	}
	return t
}

// Settings are those of a job that its interface shows.
type Settings struct {
	Parallelism     int
	RestartStrategy string
}

// Vertex is a chain of steps that run in one task.
type Vertex struct {
	ID             job.VertexID
	Name           string
	Parallelism    int
	MaxParallelism int
	Inputs         []Input
	Steps          []Step
	Subtasks       []Subtask
	// Written are the records that each subtask sent to other vertices since the process began. What is read again after a restart counts
	// again. What it has read is what its first step has.
	Written []int64
}

// ReadRecords returns how many records came in from other vertices, summed over the subtasks.
func (v *Vertex) ReadRecords() (n int64) {
	for _, m := range v.Steps[0].Subtasks {
		n += m.In
	}
	return n
}

// WriteRecords returns how many records went out to other vertices, summed over the subtasks.
func (v *Vertex) WriteRecords() (n int64) {
	for _, w := range v.Written {
		n += w
	}
	return n
}

// Feedback stands for the partitioning of an edge that closes a loop: from the vertex at the loop's end, which may be the same, back to the one
// at its head, subtask by subtask. What goes round on it counts as neither read nor written.
const Feedback = "FEEDBACK"

// Input is an edge that leads to a vertex.
type Input struct {
	From         job.VertexID
	Partitioning string // how records pick the subtask, in the interface's words: HASH, FORWARD, ...
}

// Step is an operator, and what its subtasks count.
type Step struct {
	ID       job.OperatorID
	Name     string
	Subtasks []Metrics
}

// Metrics are what one subtask of a step has counted.
type Metrics struct {
	In, Out int64 // records
	// Watermark is in milliseconds since 1970 UTC; the smallest int64 if there is none.
	Watermark int64
	Counters  map[string]int64 // the step's own; so below
	Gauges    map[string]int64
	// Histograms are measurements of the step; nil if there are none.
	Histograms map[metrics.HistogramName]metrics.Distribution
}

// Subtask is the current attempt of a subtask.
type Subtask struct {
	State   TaskState
	Attempt int                   // counted from 0
	Since   [TaskStates]time.Time // when the attempt came into each state; zero if it never did
}

// Started returns when the attempt was deployed, zero while it was not.
func (s *Subtask) Started() (first time.Time) {
	for _, at := range s.Since {
		if first.IsZero() || !at.IsZero() && at.Before(first) {
			first = at
		}
	}
	return first
}

// Ended returns when the attempt ended, zero while it has not.
func (s *Subtask) Ended() (t time.Time) {
	if s.State.Ended() {
		t = s.Since[s.State]
	}
	return t
}

// Lasted returns for how long the attempt was in a state until now, and whether it ever was. The states follow each other in their order, but
// not all come up.
func (s *Subtask) Lasted(state TaskState, now time.Time) (d time.Duration, ever bool) {
	began := s.Since[state]
	if began.IsZero() {
		return 0, false
	}
	for _, next := range s.Since[state+1:] {
		if !next.IsZero() && next.Before(now) {
			now = next
		}
	}
	return max(0, now.Sub(began)), true
}

// Count returns how many subtasks are in each state.
func (v *Vertex) Count() (n [TaskStates]int) {
	for _, s := range v.Subtasks {
		n[s.State]++
	}
	return n
}

// State puts the states of the subtasks together: the worst if there is a bad one, else the least advanced that has begun.
func (v *Vertex) State() TaskState {
	n := v.Count()
	for _, s := range []TaskState{TaskFailed, TaskCanceling, TaskCanceled, TaskInitializing, TaskDeploying, TaskScheduled, TaskRunning} {
		if n[s] > 0 {
			return s
		}
	}
	switch {
	case n[TaskFinished] == 0:
		return TaskCreated
	case n[TaskFinished] < len(v.Subtasks):
		return TaskRunning
	}
	return TaskFinished
}

// Times returns when the first subtask began, and when the last one ended: zero while one has not.
func (v *Vertex) Times() (began, ended time.Time) {
	all := true
	for _, s := range v.Subtasks {
		if first := s.Started(); !first.IsZero() && (began.IsZero() || first.Before(began)) {
			began = first
		}
		if last := s.Ended(); last.After(ended) {
			ended = last
		}
		all = all && s.State.Ended()
	}
	if !all {
		ended = time.Time{}
	}
	return began, ended
}

// Failure is one that made a job restart or end.
type Failure struct {
	At     time.Time
	Name   string // of the kind of error
	Text   string // with all that is known, on several lines
	Task   string // where it happened, as in "routes (2/4)"; empty if it was in no task
	Labels map[string]string
	// Concurrent are those that came with it.
	Concurrent []Failure
}

// Checkpointing is how a job takes checkpoints.
type Checkpointing struct {
	Interval          time.Duration // 0: none by itself
	Timeout           time.Duration
	MinPause          time.Duration
	MaxConcurrent     int
	TolerableFailures int
	AtLeastOnce       bool
	KeepOnFailure     bool // checkpoints outlive a job that fails; so below
	KeepOnCancel      bool
	Storage           string // as the interface names it; so below
	StateBackend      string
	AfterTasksFinish  bool
	Unaligned         bool          // barriers overtake records,
	AlignedTimeout    time.Duration // after this time
	// Changelog says that checkpoints of keyed state are a log of its changes.
	Changelog               bool
	ChangelogStorage        string
	MaterializationInterval time.Duration // 0: the state is not written as a whole beside checkpoints
}
