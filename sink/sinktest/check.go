package sinktest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/weirstream/weir/sink"
)

var errBroken = errors.New("the world is broken")

// note remembers what happened, for the message of a failure.
func (j *job[T]) note(format string, args ...any) {
	j.log = append(j.log, fmt.Sprintf(format, args...))
}

// failed reports whether there is an error. One that the test did not cause by breaking the world fails the test.
func (j *job[T]) failed(err error) bool {
	if err == nil {
		return false
	}
	if !j.broken {
		j.t.Helper()
		j.t.Fatalf("%v\n%s", err, j.story())
	}
	j.note("broken: %v", err)
	return true
}

// mend ends a break, for the next process.
func (j *job[T]) mend(err error) {
	j.failed(err)
	if j.broken {
		j.world.Mend()
	}
	j.broken = false
}

func (j *job[T]) story() string { return strings.Join(j.log, "\n") }

// visible returns how often each record can be read. There must be none that was not written.
func (j *job[T]) visible() map[T]int {
	j.t.Helper()
	committed, err := j.world.Committed()
	if err != nil {
		j.t.Fatalf("read what is committed: %v\n%s", err, j.story())
	}
	count := map[T]int{}
	for _, r := range committed {
		count[r]++
	}
	return count
}

// want checks that the first n records can be read, each of them once, and no others.
func (j *job[T]) want(n int) {
	j.t.Helper()
	count := j.subset(n)
	for i := range n {
		if r := j.suite.Record(i); count[r] != 1 {
			j.t.Errorf("record %d is committed %d times\n%s", i, count[r], j.story())
			return
		}
	}
}

// subset checks that nothing but the first n records can be read, none of them twice.
func (j *job[T]) subset(n int) map[T]int {
	j.t.Helper()
	count := j.visible()
	known := map[T]bool{}
	for i := range n {
		known[j.suite.Record(i)] = true
	}
	for r, times := range count {
		if !known[r] || times > 1 {
			j.t.Errorf("record %v is committed %d times, with %d records before the checkpoint\n%s", r, times, n, j.story())
			break
		}
	}
	return count
}

// committerEnv returns the environment of a committer for a line.
func committerEnv(line sink.Line) sink.CommitterEnv {
	return sink.CommitterEnv{Line: line, Logger: slog.New(slog.DiscardHandler), Now: now}
}

// recoverFrom goes on in a new process, as told.
func (j *job[T]) recoverFrom(c checkpoint, withdraw, fresh bool) sink.Recovered {
	j.t.Helper()
	j.line.Epoch++
	j.attempt = 1
	var err error
	if j.committer, err = j.world.Sink().Committer(context.Background(), committerEnv(j.line)); err != nil {
		j.t.Fatal(err)
	}
	done, err := j.committer.Recover(context.Background(), sink.Recovery{
		Checkpoint: c.id, Pending: all(c.pending), Writers: c.writers, Withdraw: withdraw, Fresh: fresh,
	})
	if err != nil {
		j.t.Fatal(err)
	}
	j.position, j.pending = c.position, nil
	if err := j.open(done.Writers); err != nil {
		j.t.Fatal(err)
	}
	return done
}
