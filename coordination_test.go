package weir_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/checkpoint"
	"github.com/weirstream/weir/internal/cluster/jobmaster"
	"github.com/weirstream/weir/source"
)

// TestConcurrentCheckpoints shows that each result is committed once when several checkpoints and savepoints are under way at a time, taken
// by hand and by the timer, while tasks, checkpoints and processes fail.
func TestConcurrentCheckpoints(t *testing.T) {
	overlapped, completed := 0, 0
	stories(t, 120, func(t *testing.T, seed uint64) {
		s := newStory(t, seed, checkpoint.MaxConcurrent(3))
		underWay := 0
		s.disturb = func(e *weir.Execution, _ int) {
			if s.rng.IntN(80) > 0 {
				return
			}
			kinds := []jobmaster.RequestKind{jobmaster.ConfiguredCheckpoint, jobmaster.FullCheckpoint, jobmaster.IncrementalCheckpoint, jobmaster.Savepoint}
			underWay++
			if underWay > 1 {
				overlapped++
			}
			weir.Ask(e, jobmaster.NewRequest(kinds[s.rng.IntN(4)], "/savepoints"), func(_ jobmaster.SnapshotInfo, err error) {
				underWay--
				if err == nil {
					completed++
				}
			})
		}
		s.tell(s.check)
	})
	if toldAll() && !t.Failed() && (overlapped == 0 || completed == 0) {
		t.Errorf("%d requests overlapped and %d were met: too few to show anything", overlapped, completed)
	}
}

// TestCheckpointsByHand shows that a job without an interval commits each result once: what it goes back to are checkpoints that were asked
// for, and the one that it takes at the end of the data.
func TestCheckpointsByHand(t *testing.T) {
	completed := 0
	stories(t, 120, func(t *testing.T, seed uint64) {
		s := newStory(t, seed, checkpoint.MaxConcurrent(2))
		s.byHand = true
		s.disturb = func(e *weir.Execution, _ int) {
			if s.rng.IntN(150) > 0 {
				return
			}
			kind := []jobmaster.RequestKind{jobmaster.ConfiguredCheckpoint, jobmaster.Savepoint}[s.rng.IntN(2)]
			weir.Ask(e, jobmaster.NewRequest(kind, "/savepoints"), func(_ jobmaster.SnapshotInfo, err error) {
				if err == nil {
					completed++
				}
			})
		}
		s.tell(s.check)
	})
	if toldAll() && !t.Failed() && completed == 0 {
		t.Error("no request was met")
	}
}

// TestWithoutFinalCheckpoint shows what becomes of output at the end of the data when checkpoints after that are turned off: it is not
// committed, the end says so and names the sink, and without the setting the same command commits the rest.
func TestWithoutFinalCheckpoint(t *testing.T) {
	w := newWorld(t, 2, 50)
	w.options = []checkpoint.Option{checkpoint.AfterTasksFinish(false)}
	w.upTo(1, 20, suspend, weir.Suspended)
	for i := range w.in.splits {
		w.in.release(i)
	}
	r, err := w.end(w.start(context.Background(), 1), weir.Suspended)
	if err != nil || !strings.Contains(r.Text, `"out" is NOT committed`) || !strings.Contains(r.Text, "checkpoints-after-tasks-finish=false") {
		t.Fatalf("the end says %q, %v", r.Text, err)
	}
	if got, want := len(w.out.Records()), len(w.want()); got >= want {
		t.Fatalf("%d of %d records are committed", got, want)
	}
	w.options = nil
	w.finish(2)
}

// boasting is a tape that says it works off a backlog until the test lets it catch up.
type boasting struct {
	*tape[reading]
	backlog func(on bool)
	started chan struct{}
}

func (b *boasting) Enumerator(ctx context.Context, env source.EnumeratorEnv, restored []byte) (source.Enumerator, error) {
	b.backlog = env.Backlog
	env.Backlog(true)
	close(b.started)
	return b.tape.Enumerator(ctx, env, restored)
}

// TestBacklog shows that a job takes no periodic checkpoints while a source says that it works off a backlog, takes one when that ends and
// goes on with them, and one that is asked for in between all the same.
func TestBacklog(t *testing.T) {
	w := newWorld(t, 1, 40)
	w.options = []checkpoint.Option{checkpoint.IntervalDuringBacklog(0)}
	in := &boasting{tape: w.in, started: make(chan struct{})}
	w.source = in
	w.in.hold(0, 30)
	e := w.start(context.Background(), 2)
	<-in.started
	if err := e.Running(context.Background()); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Checkpoint(context.Background(), weir.ConfiguredCheckpoint); err != nil {
		t.Fatal(err)
	}
	before := e.Progress().Checkpoint.Completed
	time.Sleep(100 * time.Millisecond) // ten intervals: the test cannot fail for want of time
	if got := e.Progress().Checkpoint.Completed; got != before {
		t.Errorf("%d checkpoints were taken in a backlog", got-before)
	}
	in.backlog(false)
	w.checkpoints(e, 3)
	w.in.release(0)
	w.end(e, weir.Finished)
	w.check()
}
