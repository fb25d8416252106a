package weir_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/checkpoint"
	"github.com/weirstream/weir/connector/file"
	"github.com/weirstream/weir/connector/memory"
	"github.com/weirstream/weir/internal/storage/fs"
	"github.com/weirstream/weir/sink"
	"github.com/weirstream/weir/source"
)

// slice is a world whose job consists of slices: two sources, a step behind both and a sink, all streams of which keep their subtask, so that
// each subtask is a region of its own. The step emits each record, and each record again at the end of the data.
type sliced struct {
	*world
	other *tape[reading]

	mu struct {
		sync.Mutex
		attempts map[int]int // of the step, by subtask: the last that was seen
		seen     map[int]int // records that the step has seen, by key
	}
}

func newSliced(t *testing.T, splits, records int) *sliced {
	w := &sliced{world: newWorld(t, splits, records), other: &tape[reading]{batch: 3}}
	w.in.together = false // so that each of as many readers as there are splits has one
	return w.slice()
}

// slice makes the job of a world one of slices.
func (s *sliced) slice() *sliced {
	s.mu.attempts, s.mu.seen = map[int]int{}, map[int]int{}
	for i, split := range s.in.splits {
		s.other.splits = append(s.other.splits, []reading{{Key: -1, Seq: len(s.other.splits)}})
		for n := range len(split) / 20 * (i % 3) {
			s.other.splits[i] = append(s.other.splits[i], reading{Key: -2 - i, Seq: n})
		}
	}
	s.build = func(j *weir.Job) {
		j.LabelFailures(func(err error) map[string]string { return map[string]string{"whose": "the test's", "first": "yes"} })
		j.LabelFailures(func(err error) map[string]string { return map[string]string{"first": "no"} })
		j.LabelFailures(func(err error) map[string]string { panic("no label") })
		in, other := weir.From(j, "in", s.in), weir.From(j, "other", s.other)
		kept := weir.ProcessPlain(weir.Union(in, other), "kept", &echo{sliced: s})
		weir.To(kept, "out", s.sink)
	}
	s.wanted = func() (all []string) {
		for _, split := range slices.Concat(s.in.splits, s.other.splits) {
			for _, r := range split {
				all = append(all, fmt.Sprintf("key %d seq %d", r.Key, r.Seq), fmt.Sprintf("seen %d %d", r.Key, r.Seq))
			}
		}
		slices.Sort(all)
		return all
	}
	return s
}

// echo emits what it sees, and once more at the end.
type echo struct {
	keeper
	sliced *sliced `weir:"shared"`
}

func (p *echo) On(c *weir.Ctx[weir.NoKey, string], r reading) error {
	p.sliced.note(c.Subtask(), c.Attempt(), r.Key)
	c.Emit(fmt.Sprintf("key %d seq %d", r.Key, r.Seq))
	return p.keeper.On(c, r)
}

func (s *sliced) note(subtask, attempt, key int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.attempts[subtask] = attempt
	s.mu.seen[key]++
}

// attempts returns the last attempt of each subtask that has seen records.
func (s *sliced) attempts() map[int]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.mu.attempts)
}

// restarts lets the job restart as often as it must, at once.
func (s *sliced) restarts() {
	s.set = map[string]string{"restart-strategy.type": "fixed-delay", "restart-strategy.fixed-delay.attempts": "1000000", "restart-strategy.fixed-delay.delay": "1 ms"}
}

// TestExactlyOnceInSlices shows that slices that fail, while others go on, commit each result once, whatever happens besides.
func TestExactlyOnceInSlices(t *testing.T) {
	stories(t, 200, func(t *testing.T, seed uint64) {
		s := newStory(t, seed)
		w := (&sliced{world: s.world, other: &tape[reading]{batch: 1 + s.rng.IntN(5), poll: s.in.poll}}).slice()
		s.in.together = seed%3 == 0
		w.other.open = func(int) error {
			if s.trouble > 0 && s.rng.IntN(40) == 0 {
				s.trouble--
				s.note("a reader cannot be opened")
				return errTest
			}
			return nil
		}
		w.other.next = func() error {
			if s.trouble > 0 && s.rng.IntN(60) == 0 {
				s.trouble--
				s.note("an enumerator fails")
				return errTest
			}
			return nil
		}
		w.sink = flakySink{s.out, func() error {
			if s.trouble > 0 && s.rng.IntN(10) == 0 {
				s.trouble--
				s.note("a commit fails")
				return errTest
			}
			return nil
		}}
		s.tell(s.check)
	})
}

// flakySink is a sink whose commits fail now and then.
type flakySink struct {
	*memory.Collector[string]
	fail func() error
}

func (s flakySink) Committer(ctx context.Context, env sink.CommitterEnv) (sink.Committer, error) {
	c, err := s.Collector.Committer(ctx, env)
	return flakyCommitter{c, c.(sink.SubtaskRecoverer), s.fail}, err
}

type flakyCommitter struct {
	sink.Committer
	sink.SubtaskRecoverer
	fail func() error
}

func (c flakyCommitter) Commit(ctx context.Context, checkpoint int64, pending [][]byte) error {
	if err := c.fail(); err != nil {
		return err
	}
	return c.Committer.Commit(ctx, checkpoint, pending)
}

// hold lets all splits be read up to a position, and then starts a job whose slices have one split each.
func (s *sliced) upTo(position int) *weir.Execution {
	s.t.Helper()
	for i := range s.in.splits {
		s.in.hold(i, position)
	}
	e := s.start(context.Background(), len(s.in.splits))
	s.checkpoints(e, 1)
	return e
}

func (s *sliced) release() {
	for i := range s.in.splits {
		s.in.release(i)
	}
}

// sees waits until the step has seen all records of a key at least once.
func (s *sliced) sees(e *weir.Execution, split int) {
	s.t.Helper()
	for _, r := range s.in.splits[split][:3] {
		until(s.t, e, fmt.Sprintf("records of key %d", r.Key), func() bool {
			s.mu.Lock()
			defer s.mu.Unlock()
			return s.mu.seen[r.Key] >= len(s.in.splits[split])/3
		})
	}
}

// failing lets a split fail at a position, while on is set.
func failing(split, position int, on *atomic.Bool) func(int, int) error {
	return func(s, at int) error {
		if on.Load() && s == split && at >= position {
			return fmt.Errorf("split %d: %w", s, errTest)
		}
		return nil
	}
}

// wantAttempts checks that the subtasks are at the first attempt but for those that failed.
func (s *sliced) wantAttempts(failed ...int) {
	s.t.Helper()
	for subtask, n := range s.attempts() {
		if slices.Contains(failed, subtask) != (n > 1) {
			s.t.Errorf("subtask %d is at attempt %d, and %v failed", subtask, n, failed)
		}
	}
}

// TestRegionRestarts shows that a slice that fails again and again does not disturb the others: they read to their end at their first attempt,
// and the output is that of an undisturbed run. Each failure is kept, with its labels.
func TestRegionRestarts(t *testing.T) {
	w := newSliced(t, 4, 60)
	w.restarts()
	var on atomic.Bool
	on.Store(true)
	w.in.poll = failing(1, 61, &on)
	e := w.upTo(60)
	w.release()
	for _, split := range []int{0, 2, 3} {
		w.sees(e, split)
	}
	until(t, e, "failures", func() bool { return e.Progress().Restarts > 20 })
	w.checkpointless(e)
	on.Store(false)
	w.end(e, weir.Finished)
	w.check()

	failures, truncated := e.Failures()
	if len(failures) != 16 || !truncated {
		t.Fatalf("%d failures are kept, truncated %v", len(failures), truncated)
	}
	last := failures[0]
	w.wantAttempts(last.Subtask)
	if last.Attempt != e.Progress().Restarts || !last.Restarted || last.Permanent || last.Task != "in" || last.Type != "*errors.errorString" {
		t.Errorf("the last of %d failures is %+v", e.Progress().Restarts, last)
	}
	contains(t, errors.New(last.Text), `step "in", subtask`, "split 1", errTest.Error())
	if !maps.Equal(last.Labels, map[string]string{"whose": "the test's", "first": "yes"}) {
		t.Errorf("labels %v", last.Labels)
	}
}

// checkpointless shows that no checkpoint is begun while a region does not run. Between two failures it does: on a busy machine for so long that one
// may begin, which the next failure ends, or a slice that comes to its end first.
func (s *sliced) checkpointless(e *weir.Execution) {
	s.t.Helper()
	p := e.Progress()
	ended := []string{
		"",
		"TASK_FAILURE", "JOB_FAILOVER_REGION", // before and after the failing task has acknowledged it
		"CHECKPOINT_DECLINED_TASK_CLOSING", // a task of another slice has finished before it acknowledged it
	}
	if c := p.Checkpoint; c.Failed > p.Restarts+1 || !slices.Contains(ended, c.LastFailure) {
		s.t.Errorf("%d checkpoints failed at %d restarts: %s", c.Failed, p.Restarts, c.LastFailure)
	}
}

// TestRegionsOfFiles shows the same with files: those of the slice that restarts are cut and swept, and no hidden ones remain at the end.
func TestRegionsOfFiles(t *testing.T) {
	for _, roll := range []bool{true, false} {
		w := newSliced(t, 3, 60)
		w.restarts()
		dir := filepath.Join(t.TempDir(), "out")
		w.sink = file.Lines(dir, file.Roll(file.Rolling{Checkpoint: roll, Size: 200}))
		var failures atomic.Int32
		w.in.poll = func(split, at int) error {
			if n := failures.Load(); split == 1 && at == 70+int(n)*10 && n < 8 && failures.CompareAndSwap(n, n+1) {
				return errTest
			}
			return nil
		}
		e := w.upTo(60)
		for n := 61; failures.Load() < 8; n++ { // so that there are checkpoints in between
			w.in.hold(1, min(n, 170))
			if n%4 == 0 {
				until(t, e, "a checkpoint", completes(e))
			}
		}
		w.release()
		w.end(e, weir.Finished)
		last, _ := e.Failures()
		w.wantAttempts(last[0].Subtask)
		var lines []string
		hidden := 0
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, entry := range entries {
			if strings.HasPrefix(entry.Name(), ".") {
				if strings.HasPrefix(entry.Name(), ".part") {
					hidden++
				}
				continue
			}
			data, err := os.ReadFile(filepath.Join(dir, entry.Name()))
			if err != nil {
				t.Fatal(err)
			}
			lines = append(lines, strings.Fields(strings.ReplaceAll(string(data), " ", "_"))...)
		}
		for i, l := range lines {
			lines[i] = strings.ReplaceAll(l, "_", " ")
		}
		slices.Sort(lines)
		if want := w.want(); !slices.Equal(lines, want) {
			t.Errorf("roll at checkpoints %v: %d lines, want %d", roll, len(lines), len(want))
		}
		if hidden > 0 {
			t.Errorf("roll at checkpoints %v: %d hidden files are left", roll, hidden)
		}
	}
}

// completes returns whether a checkpoint has completed since.
func completes(e *weir.Execution) func() bool {
	n := e.Progress().Checkpoint.Completed
	return func() bool { return e.Progress().Checkpoint.Completed > n }
}

// TestRegionsTogether shows two slices that fail at the same time, again and again, and one that does not.
func TestRegionsTogether(t *testing.T) {
	w := newSliced(t, 3, 60)
	w.restarts()
	var on atomic.Bool
	on.Store(true)
	first, second := failing(0, 61, &on), failing(2, 61, &on)
	w.in.poll = func(split, at int) error { return cmp.Or(first(split, at), second(split, at)) }
	e := w.upTo(60)
	w.release()
	w.sees(e, 1)
	until(t, e, "failures", func() bool { return e.Progress().Restarts > 20 })
	on.Store(false)
	w.end(e, weir.Finished)
	w.check()
	subtasks := map[int]bool{}
	failures, _ := e.Failures()
	for _, f := range failures {
		subtasks[f.Subtask] = true
	}
	if len(subtasks) != 2 {
		t.Errorf("subtasks %v failed, want 2", subtasks)
	}
	w.wantAttempts(slices.Collect(maps.Keys(subtasks))...)
}

// TestRecoveryFails shows that a region whose tasks cannot be opened again is tried again like after any failure, and that each try counts.
func TestRecoveryFails(t *testing.T) {
	w := newSliced(t, 3, 60)
	w.restarts()
	var on, broken atomic.Bool
	var opened atomic.Int32
	w.in.poll = func(split, at int) error {
		if split == 1 && at == 61 && on.CompareAndSwap(false, true) {
			broken.Store(true)
			return errTest
		}
		return nil
	}
	w.in.open = func(int) error {
		if broken.Load() && opened.Add(1) <= 3 {
			return errors.New("cannot be opened")
		}
		return nil
	}
	e := w.upTo(60)
	w.release()
	w.end(e, weir.Finished)
	w.check()
	failures, _ := e.Failures()
	if n := e.Progress().Restarts; n != 4 || len(failures) != 4 {
		t.Fatalf("%d restarts, %d failures, want 4", n, len(failures))
	}
	w.wantAttempts(failures[0].Subtask)
	contains(t, errors.New(failures[0].Text), "cannot be opened")
}

// TestGlobalFailure shows that everything restarts when something fails that no task is to blame for, or when the job is told to restart as a
// whole, or when its sink cannot recover single subtasks.
func TestGlobalFailure(t *testing.T) {
	var once atomic.Bool
	fail := func() error {
		if once.CompareAndSwap(false, true) {
			return errTest
		}
		return nil
	}
	tests := map[string]func(w *sliced){
		"enumerator": func(w *sliced) {
			armed := w.in
			w.in.next = func() error {
				if armed.limit(0) == len(armed.splits[0]) { // the first that asks after the release
					return fail()
				}
				return nil
			}
		},
		"strategy full": func(w *sliced) {
			w.set["jobmanager.execution.failover-strategy"] = "full"
			w.in.poll = func(split, at int) error {
				if split == 1 && at == 70 {
					return fail()
				}
				return nil
			}
		},
		"sink without recovery of subtasks": func(w *sliced) {
			w.sink = wholeSink{w.out}
			w.in.poll = func(split, at int) error {
				if split == 1 && at == 70 {
					return fail()
				}
				return nil
			}
		},
	}
	for name, arm := range tests {
		t.Run(name, func(t *testing.T) {
			once.Store(false)
			w := newSliced(t, 3, 60)
			w.restarts()
			arm(w)
			e := w.upTo(60)
			for i := range w.in.splits { // those that do not fail do not come to their end before
				if i != 1 && name != "enumerator" {
					w.in.hold(i, 100)
				} else {
					w.in.release(i)
				}
			}
			until(t, e, "restart", func() bool { return e.Progress().Restarts == 1 })
			w.release()
			w.end(e, weir.Finished)
			w.check()
			w.wantAttempts(0, 1, 2)
		})
	}
}

// wholeSink is a sink whose committer recovers all subtasks or none.
type wholeSink struct{ *memory.Collector[string] }

func (s wholeSink) Committer(ctx context.Context, env sink.CommitterEnv) (sink.Committer, error) {
	c, err := s.Collector.Committer(ctx, env)
	return struct{ sink.Committer }{c}, err
}

// TestFailureWhilePublishing shows a slice that fails while a checkpoint is being published: what it restarts from is that checkpoint, once it is
// there.
func TestFailureWhilePublishing(t *testing.T) {
	w := newSliced(t, 3, 60)
	w.restarts()
	publishing, goOn := make(chan bool), make(chan bool)
	var armed, failed atomic.Bool
	w.fs = fs.NewFaulty(w.fs, func(line string) { // once the file is there, and before anybody knows
		if strings.HasPrefix(line, "put") && strings.Contains(line, "_metadata") && armed.CompareAndSwap(true, false) {
			publishing <- true
			<-goOn
		}
	})
	w.in.poll = func(split, at int) error {
		if split == 1 && at == 61 && failed.CompareAndSwap(false, true) {
			return errTest
		}
		return nil
	}
	e := w.upTo(60)
	before := e.Progress().Checkpoint.LastID
	armed.Store(true)
	<-publishing
	w.in.release(1)
	until(t, e, "failure", func() bool { return e.Progress().Restarts == 1 })
	goOn <- true
	until(t, e, "checkpoint", completes(e))
	w.release()
	w.end(e, weir.Finished)
	w.check()
	if e.Progress().Checkpoint.LastID <= before {
		t.Error("no checkpoint completed")
	}
	failures, _ := e.Failures()
	w.wantAttempts(failures[0].Subtask)
}

// TestPermanentFailureInSlice shows that a permanent error ends the job, whatever slice it is in and whatever restarts.
func TestPermanentFailureInSlice(t *testing.T) {
	w := newSliced(t, 3, 60)
	w.restarts()
	w.set["restart-strategy.fixed-delay.delay"] = "1 h"
	first := atomic.Bool{}
	w.in.poll = func(split, at int) error {
		switch {
		case split == 0 && at == 61 && first.CompareAndSwap(false, true):
			return errTest
		case split == 2 && at == 61 && first.Load():
			return source.Permanent(errors.New("can never be read"))
		}
		return nil
	}
	e := w.upTo(60)
	w.in.release(0)
	until(t, e, "restart", func() bool { return e.Progress().Restarts == 1 })
	w.in.release(2)
	_, err := w.end(e, weir.Failed)
	contains(t, err, "can never be read")
	failures, _ := e.Failures()
	if len(failures) != 2 || !failures[0].Permanent || failures[0].Restarted || failures[1].Permanent || !failures[1].Restarted {
		t.Errorf("failures %+v", failures)
	}
}

// TestRegionWithoutCheckpoint shows a slice that fails before there is any checkpoint: it begins again from nothing, and the others go on.
func TestRegionWithoutCheckpoint(t *testing.T) {
	w := newSliced(t, 3, 60)
	w.restarts()
	w.options = []checkpoint.Option{checkpoint.Every(time.Hour)}
	var failures atomic.Int32
	w.in.poll = func(split, at int) error {
		if split == 1 && at == 70 && failures.Add(1) <= 3 {
			return errTest
		}
		return nil
	}
	w.in.hold(0, 60) // so that each slice has one split
	w.in.hold(2, 60)
	e := w.start(context.Background(), 3)
	until(t, e, "restarts", func() bool { return failures.Load() > 3 })
	w.release()
	w.end(e, weir.Finished)
	w.check()
	all, _ := e.Failures()
	w.wantAttempts(all[0].Subtask)
}
