package jobmaster

import (
	"context"
	"maps"

	"github.com/weirstream/weir/internal/cluster/committers"
	"github.com/weirstream/weir/internal/cluster/deal"
	"github.com/weirstream/weir/internal/cluster/enumerators"
	"github.com/weirstream/weir/internal/cluster/patience"
	"github.com/weirstream/weir/internal/cluster/view"
	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/protocol/snapshot"
	"github.com/weirstream/weir/source"
)

// deploy lets the sinks recover and starts all tasks for the first time, from a checkpoint, nil for none. What keeps a sink from recovering may
// pass, and no restart strategy is there yet to try again, so that is done here, until the job is stopped.
func (m *master) deploy(meta *snapshot.Metadata) {
	m.state = deploying
	r := m.recovery
	var waiting context.Context
	waiting, m.hurry = context.WithCancel(context.Background())
	patiently := func(f func() error) error {
		return patience.Do(waiting, m.Pause, f)
	}
	m.clerk.do(func() func() {
		moved, err := m.recoverSinks(meta, r, patiently)
		return func() {
			m.hurry()
			m.outputMoved(moved)
			if m.state != deploying {
				return
			}
			if err == nil {
				err = m.deployAll(meta)
			}
			if err != nil {
				m.fail(err, false)
				return
			}
			m.supervisor.Started()
		}
	}, m.post)
}

func (m *master) outputMoved(files []string) {
	for _, name := range files {
		m.logger.Warn("output was moved", "file", name)
	}
}

// recoverSinks lets all sinks recover, each by try.
func (m *master) recoverSinks(meta *snapshot.Metadata, r committers.Recovery, try func(func() error) error) (moved []string, err error) {
	defer patience.Rescue(&err)
	return m.sinks.Recover(context.Background(), meta, r, m.OpenStream, try)
}

// once is for those whose failure somebody else answers by another attempt.
func once(f func() error) error { return f() }

// deployAll deals the state out and starts all tasks.
func (m *master) deployAll(meta *snapshot.Metadata) error {
	restored, err := deal.Out(meta, m.Plan)
	if err != nil {
		return source.Permanent(err)
	}
	if m.deployed { // at first they were there before
		for id := range m.sources {
			m.coordinator.Backlog(id, false, m.Now())
		}
		m.sources.Close(m.logger)
		m.sources = nil
		if m.sources, err = enumerators.Start(m.Plan, restored, enumerators.Env{Logger: m.logger, Post: m.post, News: &enumerators.News{Changed: m.changed, Backlog: m.backlog}}); err != nil {
			return err
		}
	}
	m.progress.Deployed(m.Plan) // which has the max parallelism of the state by now
	return m.deployTasks(restored, func(job.Subtask) bool { return true })
}

// deployTasks makes the next attempts of subtasks and starts them.
func (m *master) deployTasks(r deal.Restored, which func(job.Subtask) bool) error {
	m.deployed = true
	maps.DeleteFunc(m.uncommitted, func(s job.Subtask, _ []job.OperatorID) bool { return which(s) })
	m.progress.Became(view.JobRunning, m.Now())
	started, attempts := m.nextAttempts(which)
	err := m.taskManager.Deploy(&Deployment{
		Plan: m.Plan, Attempts: attempts, Restored: r, Line: m.line, Master: reports{m},
		Shared: Shared{Files: &m.Files, Committer: m.sinks.Of, Metrics: m.progress.Scope},
	})
	if err != nil {
		return err
	}
	for _, t := range started {
		m.taskDeployed(t)
	}
	return nil
}

// nextAttempts returns the next attempts of subtasks, in the order of the plan, and their numbers.
func (m *master) nextAttempts(which func(job.Subtask) bool) (tasks []*running, numbers map[job.Subtask]int) {
	numbers = map[job.Subtask]int{}
	for _, v := range m.Plan.Vertices {
		for i := range v.Parallelism {
			s := job.Subtask{Vertex: v.ID(), Index: i}
			if !which(s) {
				continue
			}
			numbers[s] = m.attempts[s] + 1
			tasks = append(tasks, &running{attempt: job.Attempt{Subtask: s, Number: numbers[s]}, name: v.Name(), parallelism: v.Parallelism})
		}
	}
	return tasks, numbers
}

// taskDeployed notes that a task has been started.
func (m *master) taskDeployed(t *running) {
	m.alive++
	m.starting++
	m.tasks[t.attempt.Subtask] = t
	m.attempts[t.attempt.Subtask] = t.attempt.Number
	m.coordinator.TaskDeployed(t.attempt)
	m.progress.Task(t.attempt, view.TaskInitializing, m.Now())
}
