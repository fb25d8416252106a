package weir_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/checkpoint"
	"github.com/weirstream/weir/internal/storage/fs"
	"github.com/weirstream/weir/state"
)

// What happens when some of a job has come to the end of its data and the rest goes on. The short branch of these jobs reads a few records
// and ends; the long one is the job of the other tests.

// holder keeps records in a list until the end of the data, when it hands them out.
type holder struct {
	told[weir.NoKey]
	Held state.List[reading]
}

func (p *holder) Open(c *weir.Ctx[weir.NoKey, string]) error { p.opened(c); return nil }

func (p *holder) On(_ *weir.Ctx[weir.NoKey, string], r reading) error {
	p.Held.Append(r)
	return nil
}

func (p *holder) BeforeCheckpoint(_ *weir.Ctx[weir.NoKey, string], of weir.CheckpointInfo) error {
	p.Diary.note(p.at, "before", of.ID, 0)
	return nil
}

func (p *holder) Finish(c *weir.Ctx[weir.NoKey, string]) error {
	p.Diary.note(p.at, "finish", 0, 0)
	for r := range p.Held.All() {
		c.Emit(fmt.Sprintf("%s %d %d", p.Step, r.Key, r.Seq))
	}
	return nil
}

// totals emits the sum of each key at the end of the data, and keeps it until then.
type totals struct {
	told[int]
	Sum state.Value[int] `state:"sum"`
	End weir.Timer       `timer:"end,event"`
}

func (p *totals) Open(c *weir.Ctx[int, string]) error { p.opened(c); return nil }

func (p *totals) On(_ *weir.Ctx[int, string], r reading) error {
	p.Sum.Set(p.Sum.Get() + r.Seq + 1)
	p.End.AtMillis(1 << 50)
	return nil
}

func (p *totals) OnTimer(c *weir.Ctx[int, string], _ *weir.Timer) error {
	c.Emit(fmt.Sprintf("%s %d: %d", p.Step, c.Key(), p.Sum.Get()))
	return nil
}

func (p *totals) BeforeCheckpoint(_ *weir.Ctx[int, string], of weir.CheckpointInfo) error {
	p.Diary.note(p.at, "before", of.ID, 0)
	return nil
}

func (p *totals) Finish(*weir.Ctx[int, string]) error {
	p.Diary.note(p.at, "finish", 0, 0)
	return nil
}

// addShort adds a short branch to a world, in so many splits: a step chained to its source, one behind a shuffle, a keyed one, and a keyed one
// that reads both branches.
func addShort(w *world, d *diary, splits, records int) *tape[reading] {
	short := &tape[reading]{batch: w.in.batch}
	sums, both := map[int]int{}, map[int]int{}
	for s := range splits {
		var split []reading
		for i := range records {
			r := reading{Key: 1000 + s, Seq: i}
			split = append(split, r)
			sums[r.Key] += i + 1
			both[r.Key] += i + 1
			w.wantAlso = append(w.wantAlso, fmt.Sprintf("chained %d %d", r.Key, i), fmt.Sprintf("apart %d %d", r.Key, i))
		}
		short.splits = append(short.splits, split)
	}
	for _, split := range w.in.splits {
		for _, r := range split {
			if r.Seq%2 == 0 {
				both[r.Key] += r.Seq + 1
			}
		}
	}
	for k, sum := range sums {
		w.wantAlso = append(w.wantAlso, fmt.Sprintf("totals %d: %d", k, sum))
	}
	for k, sum := range both {
		w.wantAlso = append(w.wantAlso, fmt.Sprintf("both %d: %d", k, sum))
	}
	key := func(r reading) int { return r.Key }
	w.more = func(j *weir.Job, long weir.Stream[reading]) weir.Stream[string] {
		d.run.Add(1)
		in := weir.From(j, "short", short)
		step := func(name string) told[weir.NoKey] { return told[weir.NoKey]{Diary: d, Step: name} }
		return weir.Union(
			weir.ProcessPlain(in, "chained", &holder{told: step("chained")}),
			weir.ProcessPlain(weir.Rebalance(in), "apart", &holder{told: step("apart")}),
			weir.Process(weir.KeyBy(in, key), "totals", &totals{told: told[int]{Diary: d, Step: "totals"}}),
			weir.Process(weir.KeyBy(weir.Union(in, long), key), "both", &totals{told: told[int]{Diary: d, Step: "both"}}),
		)
	}
	return short
}

// checkFinished checks that a step does not run again once a checkpoint holds the end of all its subtasks, and returns for how many steps and
// restores that could have happened.
func (d *diary) checkFinished(t *testing.T) (kept int) {
	t.Helper()
	type attempt struct {
		step        string
		run, number int
	}
	ended := map[attempt]map[int]int64{} // for each subtask that has finished: the first checkpoint after that, 0 if none yet
	parallelism := map[attempt]int{}
	before := map[who]int64{}  // the last checkpoint before the end
	over := map[string]int64{} // by step: the checkpoint that holds its end
	for _, e := range d.all() {
		a := attempt{e.step, e.run, e.attempt}
		switch e.what {
		case "open":
			parallelism[a] = e.of
			if id := over[e.step]; id > 0 && e.id >= id {
				t.Errorf("%s runs again from checkpoint %d, though it had finished in %d", e.who, e.id, id)
			}
			for _, id := range over {
				kept += count(e.id >= id)
			}
		case "before":
			before[e.who] = e.id
		case "finish":
			if ended[a] == nil {
				ended[a] = map[int]int64{}
			}
			ended[a][e.subtask] = 0
		case "complete":
			if id, finished := ended[a][e.subtask]; finished && id == 0 && e.id > before[e.who] {
				ended[a][e.subtask] = e.id
			}
			ids := slices.Collect(maps.Values(ended[a]))
			if len(ids) == parallelism[a] && !slices.Contains(ids, 0) && over[e.step] == 0 {
				over[e.step] = slices.Max(ids)
			}
		}
	}
	return kept
}

// checkEnd checks that every subtask that ended in the last attempt, which has finished the job, was told of a checkpoint after its end
// before it was closed.
func (d *diary) checkEnd(t *testing.T, attempt int) {
	t.Helper()
	state, run := map[who]string{}, int(d.run.Load())
	for _, e := range d.all() {
		state[e.who] += e.what[:1] // open, before, complete, aborted, finish, close: the last is not the first
		if e.what == "close" {
			state[e.who] += "!"
		}
	}
	for life, told := range state {
		_, end, finished := strings.Cut(told, "f")
		if life.run == run && life.attempt == attempt && (!finished || !strings.HasSuffix(end, "c!") || !strings.Contains(strings.TrimSuffix(end, "c!"), "c")) {
			t.Errorf("%s ended as %s", life, told)
		}
	}
}

// TestFinishedBranches shows that a job goes on exactly once from every mixture of what has finished: a whole branch, some subtasks of a
// step, a step with more subtasks than its source has splits; through failures of tasks and storage, and in new processes at other
// parallelisms. What has finished for good does not run again.
func TestFinishedBranches(t *testing.T) {
	kept := 0
	stories(t, 70, func(t *testing.T, seed uint64) {
		s, d := newStory(t, seed), &diary{}
		addShort(s.world, d, int(seed%3), 1+int(seed%7))
		s.tell(func() {
			s.check()
			d.check(t)
			d.checkEnd(t, s.attempts)
			kept += d.checkFinished(t)
		})
	})
	if toldAll() && kept == 0 && !t.Failed() {
		t.Error("no story goes on from a checkpoint that holds the end of a step")
	}
}

// TestBoundedBesideUnbounded shows that checkpoints go on when one branch has ended, that a job resumed from one of them leaves that branch
// alone, and that its results are there before the job ends.
func TestBoundedBesideUnbounded(t *testing.T) {
	for _, parallelism := range []int{1, 2, 3} {
		w, d := newWorld(t, 2, 40), &diary{}
		addShort(w, d, 2, 5)
		w.in.waits = true // the long branch waits for more, whatever it has read
		ended := func() bool { return d.count("finish") >= 3*2 }
		w.upTo(2, 60, func(e *weir.Execution, cancel func()) {
			until(t, e, "end of the short branch", ended)
			w.checkpoints(e, 3) // the last ones without the short branch
			cancel()
		}, weir.Suspended)
		if n := len(shortResults(w)); n != 2*(5+5+1) {
			t.Errorf("%d results of the short branch are committed, want 22", n)
		}
		w.in.waits = false
		w.finish(parallelism)
		d.check(t)
		if d.checkFinished(t) == 0 {
			t.Error("the job was not resumed from a checkpoint that holds the end of the short branch")
		}
	}
}

// shortResults returns what the short branch alone has committed.
func shortResults(w *world) (results []string) {
	for _, r := range w.out.Records() {
		if step, _, _ := strings.Cut(r, " "); step == "chained" || step == "apart" || step == "totals" {
			results = append(results, r)
		}
	}
	return results
}

// TestFinalCheckpointAtOnce shows that a job whose data ends does not wait for its interval: one last checkpoint is taken at once, and what the
// sinks have prepared is committed with it.
func TestFinalCheckpointAtOnce(t *testing.T) {
	s, d := newStory(t, 8, checkpoint.Every(time.Hour)), &diary{} // a story without trouble
	addShort(s.world, d, 2, 5)
	began := s.now
	s.play()
	s.check()
	d.checkEnd(t, s.attempts)
	if passed := s.now.Sub(began); passed > time.Minute {
		t.Errorf("the job has waited for %v", passed)
	}
	if ids := d.completed(); len(ids) != 1 {
		t.Errorf("checkpoints %v are complete, want one", ids)
	}
}

// completed returns the checkpoints that anybody was told are complete.
func (d *diary) completed() []int64 {
	ids := map[int64]bool{}
	for _, e := range d.all() {
		if e.what == "complete" {
			ids[e.id] = true
		}
	}
	return slices.Sorted(maps.Keys(ids))
}

// TestFinalCheckpointFails shows that a job whose last checkpoint fails takes another and loses nothing.
func TestFinalCheckpointFails(t *testing.T) {
	for _, f := range []fs.Fault{{Op: fs.OpPut, Path: "_metadata"}, {Op: fs.OpPut, Path: "_metadata", Late: true}, {Op: fs.OpMakeDir}} {
		t.Run(fmt.Sprintf("%s %s late %v", f.Op, f.Path, f.Late), func(t *testing.T) {
			s, d := newStory(t, 8), &diary{}
			addShort(s.world, d, 2, 5)
			f.Err = errTest
			finished := func() bool { return d.count("finish") >= 4 }
			s.between = func() {
				if finished() && s.trouble == 0 {
					s.trouble = -1
					s.faulty.Inject(f)
				}
			}
			s.tell(func() {
				s.check()
				d.check(t)
				d.checkEnd(t, s.attempts)
			})
			if s.trouble == 0 {
				t.Error("nothing has failed")
			}
		})
	}
}

// lastWord fails when it is told of the first checkpoint after the end of its data.
type lastWord struct {
	holder
	Failed *atomic.Bool `weir:"shared"`
	ended  bool
}

func (p *lastWord) Finish(c *weir.Ctx[weir.NoKey, string]) error {
	p.ended = true
	return p.holder.Finish(c)
}

func (p *lastWord) CheckpointComplete(c *weir.Ctx[weir.NoKey, string], of weir.CheckpointInfo) error {
	if p.ended && p.Failed.CompareAndSwap(false, true) {
		return errTest
	}
	return p.holder.CheckpointComplete(c, of)
}

// TestFailureAfterFinalCheckpoint shows that a job that fails when its last checkpoint is complete and not all is committed goes on from there,
// commits what is left and ends; no step runs again.
func TestFailureAfterFinalCheckpoint(t *testing.T) {
	w, d := newWorld(t, 2, 20), &diary{}
	w.set = map[string]string{"restart-strategy.type": "fixed-delay", "restart-strategy.fixed-delay.delay": "0"}
	w.options = []checkpoint.Option{checkpoint.Every(time.Hour)} // so that the only checkpoint is the last
	var failed atomic.Bool
	w.more = func(_ *weir.Job, in weir.Stream[reading]) weir.Stream[string] {
		d.run.Add(1)
		return weir.ProcessPlain(in, "held", &lastWord{holder: holder{told: told[weir.NoKey]{Diary: d, Step: "held"}}, Failed: &failed})
	}
	w.wantMore = func(r reading) []string { return []string{fmt.Sprintf("held %d %d", r.Key, r.Seq)} }
	e := w.start(context.Background(), 2)
	w.end(e, weir.Finished)
	w.check()
	if n := e.Progress().Restarts; n != 1 || !failed.Load() {
		t.Errorf("%d restarts, failed %v", n, failed.Load())
	}
	for _, e := range d.all() {
		if e.what == "open" && e.attempt > 1 {
			t.Errorf("%s runs again", e.who)
		}
	}
}
