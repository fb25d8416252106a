package sinktest

import (
	"context"
	"testing"

	"github.com/weirstream/weir/sink"
)

func (s Suite[T]) checks(t *testing.T) {
	if c, ok := s.World(t).Sink().(sink.Checker); ok {
		if err := c.CheckSink(); err != nil {
			t.Error(err)
		}
	}
}

func (s Suite[T]) commitTwice(t *testing.T) {
	j := s.newJob(t, 1)
	j.start()
	j.write(5)
	j.takeCheckpoint(true, true, true)
	for range 2 {
		for _, p := range j.retained[0].pending {
			if err := j.committer.Commit(context.Background(), p.Checkpoint, p.Items); err != nil {
				t.Fatalf("commit again: %v", err)
			}
		}
		j.want(5)
	}
	j.recoverFrom(j.retained[0], false, false)
	j.want(5)
}

func (s Suite[T]) commitAfterAbort(t *testing.T) {
	j := s.newJob(t, 1)
	j.start()
	j.write(5)
	j.takeCheckpoint(false, false, false)
	j.subset(0)
	j.write(5)
	j.takeCheckpoint(true, true, true)
	j.want(10)
}

func (s Suite[T]) sweep(t *testing.T) {
	j := s.newJob(t, 1)
	j.start()
	j.write(5)
	j.takeCheckpoint(true, true, true)
	j.kill()
	j.write(5)
	j.takeCheckpoint(false, false, false)
	j.kill()
	j.want(5)
	j.write(5)
	j.takeCheckpoint(true, true, true)
	j.want(10)
}

func (s Suite[T]) anotherLine(t *testing.T) {
	j := s.newJob(t, 1)
	j.start()
	j.write(5)
	j.takeCheckpoint(true, true, true)
	other := sink.Line{ID: "fedcba9876543210", Name: "another job", Epoch: 1}
	if _, err := j.world.Sink().Committer(context.Background(), committerEnv(other)); err == nil {
		t.Error("a committer for another line was not refused")
	}
	j.want(5)
}

func (s Suite[T]) olderRun(t *testing.T) {
	j := s.newJob(t, 1)
	j.start()
	j.write(5)
	j.takeCheckpoint(true, false, true)
	old, oldPending := j.committer, j.pending
	oldLine := j.line
	j.recoverFrom(checkpoint{}, false, false)
	if err := old.Commit(context.Background(), 1, oldPending[0].Items); err == nil {
		t.Error("the commit of a run that another has replaced was not refused")
	}
	j.subset(0)
	if _, err := j.world.Sink().Committer(context.Background(), committerEnv(oldLine)); err == nil {
		t.Error("a committer for an older run was not refused")
	}
}

func (s Suite[T]) fresh(t *testing.T) {
	j := s.newJob(t, 1)
	j.start()
	j.write(5)
	j.takeCheckpoint(true, true, true)
	if done := j.recoverFrom(checkpoint{}, false, true); len(done.Moved) == 0 {
		t.Error("nothing was named that was moved aside")
	}
	j.subset(0)
	j.write(7)
	j.takeCheckpoint(true, true, true)
	j.want(7)
}

func (s Suite[T]) withdraw(t *testing.T) {
	j := s.newJob(t, 1)
	j.start()
	for range 3 {
		j.write(5)
		j.takeCheckpoint(true, true, true)
	}
	after, err := j.committer.CommittedAfter(context.Background(), j.retained[0].id)
	if err != nil || len(after) == 0 {
		t.Fatalf("CommittedAfter: %v, %v; two checkpoints were committed after", after, err)
	}
	if done := j.recoverFrom(j.retained[0], true, false); len(done.Moved) == 0 {
		t.Error("nothing was named that was withdrawn")
	}
	j.want(5)
	j.write(7)
	j.takeCheckpoint(true, true, true)
	j.want(12)
}

func (s Suite[T]) acceptDuplicates(t *testing.T) {
	j := s.newJob(t, 1)
	j.start()
	for range 2 {
		j.write(5)
		j.takeCheckpoint(true, true, true)
	}
	j.recoverFrom(j.retained[0], false, false)
	j.write(5)
	j.takeCheckpoint(true, true, true)
	count := j.visible()
	for i := range 10 {
		if want := 1 + i/5; count[s.Record(i)] != want {
			t.Errorf("record %d is committed %d times instead of %d", i, count[s.Record(i)], want)
		}
	}
}

func (s Suite[T]) restartOneSubtask(t *testing.T) {
	j := s.newJob(t, 1)
	j.start()
	c, ok := j.committer.(sink.SubtaskRecoverer)
	if !ok {
		t.Skip("the committer recovers all subtasks or none")
	}
	j.write(9)
	j.takeCheckpoint(true, false, false) // complete, and the commits are missed
	j.write(9)
	j.takeCheckpoint(false, false, false)
	j.write(9)
	for range 2 { // a restart that fails is tried again
		j.restartOne(c, 0)
	}
	j.takeCheckpoint(true, true, true)
	j.want(27)
	j.restartOne(c, 0)
	j.want(27)
}
