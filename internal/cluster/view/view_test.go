package view

import (
	"testing"
	"time"
)

func subtasks(states ...TaskState) (v Vertex) {
	for _, s := range states {
		v.Subtasks = append(v.Subtasks, Subtask{State: s})
	}
	return v
}

// A vertex is what its worst subtask is, and has finished when all have.
func TestVertexState(t *testing.T) {
	for _, c := range []struct {
		subtasks []TaskState
		want     TaskState
	}{
		{[]TaskState{TaskCreated, TaskCreated}, TaskCreated},
		{[]TaskState{TaskInitializing, TaskRunning}, TaskInitializing},
		{[]TaskState{TaskRunning, TaskRunning}, TaskRunning},
		{[]TaskState{TaskRunning, TaskFinished}, TaskRunning},
		{[]TaskState{TaskFinished, TaskFinished}, TaskFinished},
		{[]TaskState{TaskFinished, TaskCreated}, TaskRunning},
		{[]TaskState{TaskRunning, TaskCanceling}, TaskCanceling},
		{[]TaskState{TaskFinished, TaskCanceled}, TaskCanceled},
		{[]TaskState{TaskCanceling, TaskFailed}, TaskFailed},
	} {
		v := subtasks(c.subtasks...)
		if got := v.State(); got != c.want {
			t.Errorf("%v: %v, want %v", c.subtasks, got, c.want)
		}
	}
}

// A vertex begins with its first subtask and ends with its last.
func TestVertexTimes(t *testing.T) {
	at := func(s int64) time.Time { return time.Unix(s, 0) }
	v := subtasks(TaskFinished, TaskRunning, TaskCreated)
	v.Subtasks[0].Since[TaskInitializing], v.Subtasks[0].Since[TaskFinished], v.Subtasks[1].Since[TaskInitializing] = at(5), at(9), at(3)
	if began, ended := v.Times(); !began.Equal(at(3)) || !ended.IsZero() {
		t.Errorf("while it runs: %v to %v", began, ended)
	}
	v.Subtasks = v.Subtasks[:2]
	v.Subtasks[1].State, v.Subtasks[1].Since[TaskCanceled] = TaskCanceled, at(7)
	if began, ended := v.Times(); !began.Equal(at(3)) || !ended.Equal(at(9)) {
		t.Errorf("after it: %v to %v", began, ended)
	}
}

// The time in a state ends with the next one, whichever that is, and goes on while there is none.
func TestTimeInStates(t *testing.T) {
	at := func(s int64) time.Time { return time.Unix(s, 0) }
	s := Subtask{State: TaskCanceling}
	s.Since[TaskInitializing], s.Since[TaskRunning], s.Since[TaskCanceling] = at(3), at(5), at(9)
	for state, want := range map[TaskState]time.Duration{TaskInitializing: 2 * time.Second, TaskRunning: 4 * time.Second, TaskCanceling: 3 * time.Second} {
		if d, ever := s.Lasted(state, at(12)); d != want || !ever {
			t.Errorf("%v: %v, %v, want %v", state, d, ever, want)
		}
	}
	if d, ever := s.Lasted(TaskDeploying, at(12)); ever {
		t.Errorf("it was never deploying, but for %v", d)
	}
}

// Every state has the name that the interface knows.
func TestStatesHaveNames(t *testing.T) {
	for s := range JobStates {
		if s.String() == "" {
			t.Errorf("job state %d has no name", s)
		}
	}
	for s := range TaskStates {
		if s.String() == "" {
			t.Errorf("task state %d has no name", s)
		}
	}
}
