package weir_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/weirstream/weir"
	"github.com/weirstream/weir/checkpoint"
	"github.com/weirstream/weir/state"
)

// numbered is a record that says where it comes from.
type numbered struct{ Source, Split, Seq int }

func (n numbered) from() string { return fmt.Sprintf("source %d split %d", n.Source, n.Split) }

// mishap is where a united job fails next, and how.
type mishap int

const (
	inQuarter  mishap = iota // a record, when a quarter of the data is read
	inSnapshot               // a checkpoint, when half of it is
	inThird                  // a record, when three quarters are, and
	inRecovery               // the recovery from that
	inClose                  // the end of a task that has finished
	noMoreMishap
)

// mishaps is what is left to happen to a job. Each happens once, to whichever subtask comes first.
type mishaps struct {
	records int // of a split

	mu   sync.Mutex // guards next
	next mishap
}

// strikes returns an error if it is this one's turn.
func (m *mishaps) strikes(what mishap) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.next != what {
		return nil
	}
	m.next++
	return fmt.Errorf("mishap %d: %w", what, errTest)
}

func (m *mishaps) left() mishap {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.next
}

// accidental passes records on until something happens.
type accidental struct {
	Mishaps *mishaps `weir:"shared"`
	seen    int      // the highest number
	ended   bool
}

func (a *accidental) Open(*weir.Ctx[weir.NoKey, numbered]) error {
	if a.Mishaps.left() == inRecovery {
		return a.Mishaps.strikes(inRecovery)
	}
	return nil
}

func (a *accidental) On(c *weir.Ctx[weir.NoKey, numbered], r numbered) error {
	a.seen = max(a.seen, r.Seq)
	for what, at := range map[mishap]int{inQuarter: a.Mishaps.records / 4, inThird: a.Mishaps.records * 3 / 4} {
		if r.Seq >= at {
			if err := a.Mishaps.strikes(what); err != nil {
				return err
			}
		}
	}
	c.Emit(r)
	return nil
}

func (a *accidental) BeforeCheckpoint(*weir.Ctx[weir.NoKey, numbered], weir.CheckpointInfo) error {
	if a.seen >= a.Mishaps.records/2 {
		return a.Mishaps.strikes(inSnapshot)
	}
	return nil
}

func (a *accidental) Finish(*weir.Ctx[weir.NoKey, numbered]) error { a.ended = true; return nil }

func (a *accidental) Close() error {
	if a.ended {
		return a.Mishaps.strikes(inClose)
	}
	return nil
}

// inOrder fails if a record of a split is missing, comes twice, or comes before another that it follows. Its state says how far the split came.
type inOrder struct {
	Next state.Value[int] `state:"next"`
}

func (o *inOrder) On(c *weir.Ctx[string, string], r numbered) error {
	if r.Seq != o.Next.Get() {
		return fmt.Errorf("%s: record %d comes when %d was next", c.Key(), r.Seq, o.Next.Get())
	}
	o.Next.Set(r.Seq + 1)
	c.Emit(fmt.Sprintf("%s: %d", c.Key(), r.Seq))
	return nil
}

// TestFourSourcesUnited shows that the records of four sources that are united come in the order of their splits, each once, to a step behind a
// shuffle and to what is committed, although the job fails at a quarter, at half and at three quarters of the data, in a recovery, and when
// its tasks close.
func TestFourSourcesUnited(t *testing.T) {
	const sources, records = 4, 60
	for _, parallelism := range []int{5, 10} {
		t.Run(fmt.Sprint("parallelism ", parallelism), func(t *testing.T) {
			w := newWorld(t, 0, 0)
			w.set["restart-strategy.type"], w.set["restart-strategy.fixed-delay.delay"] = "fixed-delay", "1 ms"
			w.set["restart-strategy.fixed-delay.attempts"] = "5"
			w.options = []checkpoint.Option{checkpoint.TolerateFailures(1000)}
			tapes := unitedTapes(sources, parallelism, records)
			trouble := &mishaps{records: records}
			w.build = func(j *weir.Job) {
				var in []weir.Stream[numbered]
				for i, tape := range tapes {
					in = append(in, weir.From(j, fmt.Sprint("source ", i), tape))
				}
				united := weir.ProcessPlain(weir.Union(in[0], in[1:]...), "united", &accidental{Mishaps: trouble})
				weir.To(weir.Process(weir.KeyBy(united, numbered.from), "in order", &inOrder{}), "out", w.sink)
			}
			w.wanted = func() (all []string) {
				for _, tape := range tapes {
					for _, r := range slices.Concat(tape.splits...) {
						all = append(all, fmt.Sprintf("%s: %d", r.from(), r.Seq))
					}
				}
				slices.Sort(all)
				return all
			}
			holdAll(tapes, records/8)
			e := w.start(context.Background(), parallelism)
			for quarter, want := range []mishap{inQuarter, inSnapshot, inThird, inClose} { // what comes next once so many quarters are read
				holdAll(tapes, records*quarter/4+records/8)
				until(t, e, fmt.Sprintf("mishap %d", want-1), func() bool { return e.Progress().Restarts >= int(want) })
				if err := e.Running(context.Background()); err != nil {
					t.Fatal(err)
				}
				w.checkpoints(e, 1) // from which the next recovery begins
			}
			holdAll(tapes, records)
			w.end(e, weir.Finished)
			w.check()
			if got := trouble.left(); got != noMoreMishap {
				t.Errorf("%d mishaps did not happen", noMoreMishap-got)
			}
			if p := e.Progress(); p.Restarts != int(noMoreMishap) || p.Checkpoint.Completed < 4 {
				failures, _ := e.Failures()
				t.Errorf("%d restarts and %d checkpoints after %+v", p.Restarts, p.Checkpoint.Completed, failures)
			}
		})
	}
}

func unitedTapes(sources, splits, records int) (tapes []*tape[numbered]) {
	for s := range sources {
		in := &tape[numbered]{batch: 3} // one split for each reader, so that no task comes to its end before the others
		for p := range splits {
			var split []numbered
			for i := range records {
				split = append(split, numbered{s, p, i})
			}
			in.splits = append(in.splits, split)
		}
		tapes = append(tapes, in)
	}
	return tapes
}

// holdAll lets all splits be read up to a position.
func holdAll(tapes []*tape[numbered], position int) {
	for _, in := range tapes {
		for split := range in.splits {
			in.hold(split, position)
		}
	}
}
