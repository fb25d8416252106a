package coordinator

import (
	"testing"
	"time"

	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/protocol/snapshot"
)

// BenchmarkCheckpoint10000Subtasks measures what one checkpoint costs the coordinator of a job with 10,000 subtasks, from the request to the
// notification, each subtask with the state of two operators: the messages of all of them must take less than 100 ms.
func BenchmarkCheckpoint10000Subtasks(b *testing.B) {
	w := newLarge(3, 10_000)
	w.deploy()
	b.ReportAllocs()
	for b.Loop() {
		w.checkpoint()
	}
}

// BenchmarkLife10000Subtasks measures the same job from its deployment to its end: tasks start, take one checkpoint, see the end of their data,
// take the last one and finish while a savepoint is under way.
func BenchmarkLife10000Subtasks(b *testing.B) {
	for b.Loop() {
		w := newLarge(3, 10_000)
		w.deploy()
		w.checkpoint()
		w.each(func(a job.Attempt) { w.c.EndOfData(a, w.now) })
		w.acks()
		if _, err := w.c.Request(Request{Kind: Savepoint}, w.now); err != nil {
			b.Fatal(err)
		}
		w.answer()
		w.each(func(a job.Attempt) { w.c.TaskFinished(a, w.now) })
		w.c.JobNotRunning(w.now)
		w.c.End(JobFinished, w.now)
		w.answer()
	}
}

// large is a job of many subtasks whose driver answers at once.
type large struct {
	c    *Coordinator
	job  Job
	now  time.Time
	last job.CheckpointID // triggered last
}

func newLarge(vertices, subtasks int) *large {
	w := &large{now: epoch}
	for v := range vertices {
		n := subtasks / vertices
		if v == 0 {
			n += subtasks % vertices
		}
		vertex := Vertex{ID: job.VertexID{byte(v + 1)}, Name: "vertex", Parallelism: n}
		if v > 0 {
			vertex.Inputs = []Input{{From: v - 1, AllToAll: v%2 == 0}}
		}
		for op := range 2 {
			vertex.Operators = append(vertex.Operators, Operator{ID: job.OperatorID{byte(v + 1), byte(op)}, Name: "operator", MaxParallelism: 1 << 14})
		}
		w.job.Vertices = append(w.job.Vertices, vertex)
	}
	cfg := DefaultConfig()
	cfg.FinalCheckpoint = true
	w.c = New(cfg, w.job)
	return w
}

func (w *large) each(f func(job.Attempt)) {
	for _, v := range w.job.Vertices {
		for i := range v.Parallelism {
			f(job.Attempt{Subtask: job.Subtask{Vertex: v.ID, Index: i}, Number: 1})
		}
	}
	w.answer()
}

func (w *large) deploy() {
	w.each(func(a job.Attempt) { w.c.TaskDeployed(a) })
	w.each(func(a job.Attempt) { w.c.TaskRunning(a) })
	w.c.JobRunning(w.now, 0)
	w.answer()
}

func (w *large) checkpoint() {
	if _, err := w.c.Request(Request{Kind: Configured}, w.now); err != nil {
		panic(err)
	}
	w.answer()
	w.acks()
}

// acks brings every subtask's state for the checkpoint that was triggered last.
func (w *large) acks() {
	done := w.c.Stats().Counts.Completed
	w.each(func(a job.Attempt) {
		state := &snapshot.Task{}
		for op := range 2 {
			file := snapshot.Stream{Path: "state", Length: 1 << 20}
			state.Operators = append(state.Operators, snapshot.Operator{
				ID:    job.OperatorID{a.Subtask.Vertex[0], byte(op)},
				State: &snapshot.OperatorSubtask{Lists: []snapshot.List{{Name: "list", Stream: file}}},
			})
		}
		w.c.Ack(a, w.last, state, TaskMetrics{}, w.now)
	})
	if w.c.Stats().Counts.Completed != done+1 {
		panic("the checkpoint is not complete")
	}
}

func (w *large) answer() {
	for actions := w.c.Actions(); len(actions) > 0; actions = w.c.Actions() {
		for _, a := range actions {
			switch a := a.(type) {
			case AllocateID:
				w.c.IDAllocated(a.ID, w.now)
			case InitLocation:
				w.last = a.ID
				w.c.LocationReady(a.ID, "", w.now)
			case SendTrigger:
				w.c.TriggersSent(a.ID, w.now)
			case WriteMetadata:
				w.c.MetadataWritten(a.ID, "", 0, w.now)
			case Discard:
				w.c.CleaningDone(a.ID, w.now)
			}
		}
	}
}
