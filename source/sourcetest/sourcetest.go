// Package sourcetest answers whether a source gives each record exactly once.
//
// Run plays a job behind the source: its readers poll, a checkpoint is taken at random moments, the job goes on from it at another
// parallelism, or single readers go back to it while the others go on, and at the end each record must have come once in what lies before the last checkpoint and after it. On the way it checks
// the rules of the contract. Everything is drawn from a seed, which a failure names.
//
// Readers and the enumerator are told how checkpoints end as in a job: ids ascend, some checkpoints are given up, also such as nobody has taken
// a part of, and some news does not arrive. What a source may be besides is played as far as it is: CheckpointListener, ResetListener,
// AbortListener and Checker.
package sourcetest

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/weirstream/weir/source"
)

// Suite describes the source under test. It is bounded.
type Suite[T comparable] struct {
	// Source returns the source as a new process would describe it.
	Source func() source.Source[T]
	// Want holds the records that it gives, in any order.
	Want []T
	// Runs is the number of random jobs; 0 means 100.
	Runs int
}

// Run tests the source.
func Run[T comparable](t *testing.T, s Suite[T]) {
	if s.Runs == 0 {
		s.Runs = 100
	}
	t.Run("nothing is wrong with its description", s.checks)
	for _, p := range []int{1, 2, 5} {
		t.Run(fmt.Sprintf("in one go with %d readers", p), func(t *testing.T) {
			j := s.newJob(t, 0)
			j.start(p, checkpoint{})
			for !j.done() {
				j.poll()
			}
			j.finish()
		})
	}
	t.Run("with restores", s.withRestores)
	t.Run("splits that come back", s.addBack)
}

func (s Suite[T]) checks(t *testing.T) {
	if c, ok := s.Source().(source.Checker); ok {
		if err := c.CheckSource(); err != nil {
			t.Error(err)
		}
	}
}

func (s Suite[T]) withRestores(t *testing.T) {
	for seed := range uint64(s.Runs) {
		j := s.newJob(t, seed)
		j.start(1+j.rng.IntN(4), checkpoint{})
		last := j.snapshot()
		for restores := 0; !j.done(); {
			switch n := j.rng.IntN(20); {
			case n < 14:
				j.poll()
			case n < 16:
				last = j.snapshot()
			case n < 17:
				j.giveUp()
			case restores < 20 && n < 19:
				restores++
				j.restartOne(j.rng.IntN(len(j.readers)), last)
			case restores < 20:
				restores++
				j.close()
				j.start(1+j.rng.IntN(4), last)
			}
		}
		j.finish()
		if t.Failed() {
			return
		}
	}
}

// addBack takes the first splits away from their readers before they have read anything.
func (s Suite[T]) addBack(t *testing.T) {
	j := s.newJob(t, 0)
	j.start(2, checkpoint{})
	for i, r := range j.readers {
		split, a, err := j.enumerator.Next(i)
		if err != nil {
			t.Fatal(err)
		}
		if a == source.Assigned {
			j.enumerator.AddBack(i, []source.Split{split})
		}
		r.requested = true
	}
	for !j.done() {
		j.poll()
	}
	j.finish()
}

// job is a job behind the source, at some moment.
type job[T comparable] struct {
	t     *testing.T
	suite Suite[T]
	rng   *rand.Rand
	seed  uint64
	now   time.Time

	source     source.Source[T]
	enumerator source.Enumerator
	readers    []*reader[T]
	opened     int   // how often all readers were opened
	checkpoint int64 // the last id that was given to one
	records    []T   // until the last snapshot
}

// reader is a reader with what the job knows of it.
type reader[T any] struct {
	source.Reader[T]
	requested bool // it has asked for a split
	noMore    bool
	ended     bool
	holds     map[string]bool // IDs of the splits it was given and has not ended
	given     []source.Split  // by the enumerator since the last snapshot
	records   []T             // since then
}

// checkpoint is what a restore goes on from.
type checkpoint struct {
	id         int64
	enumerator []byte
	splits     []source.Split
	owners     []int // the reader of each split
	opened     int   // which readers those were
	records    int
}

// of returns the splits that a reader begins with: its own if the readers are those of the checkpoint.
func (c checkpoint) of(reader, readers, opened int) (own []source.Split) {
	for i, s := range c.splits {
		if owner := i % readers; c.opened == opened && c.owners[i] == reader || c.opened != opened && owner == reader {
			own = append(own, s)
		}
	}
	return own
}

func (s Suite[T]) newJob(t *testing.T, seed uint64) *job[T] {
	return &job[T]{t: t, suite: s, seed: seed, rng: rand.New(rand.NewPCG(seed, 2)), now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
}

// fatal ends the test with the seed.
func (j *job[T]) fatal(format string, args ...any) {
	j.t.Helper()
	j.t.Fatalf("seed %d: %s", j.seed, fmt.Sprintf(format, args...))
}

func (j *job[T]) must(err error) {
	j.t.Helper()
	if err != nil {
		j.fatal("%v", err)
	}
}

// start opens the source at a parallelism, new or from a checkpoint whose splits it deals out.
func (j *job[T]) start(parallelism int, c checkpoint) {
	j.source = j.suite.Source()
	j.records = j.records[:c.records]
	var err error
	j.enumerator, err = j.source.Enumerator(context.Background(), source.EnumeratorEnv{
		Parallelism: parallelism, RestoredFrom: c.id, Logger: slog.New(slog.DiscardHandler), Changed: func() {}, Backlog: func(bool) {},
	}, c.enumerator)
	j.must(err)
	j.opened++
	j.readers = make([]*reader[T], parallelism)
	for i := range j.readers {
		j.readers[i] = j.open(i, c)
	}
	for _, r := range j.readers {
		j.begin(r)
	}
}

// open opens a reader with its splits of a checkpoint.
func (j *job[T]) open(subtask int, c checkpoint) *reader[T] {
	r := &reader[T]{holds: map[string]bool{}}
	var err error
	r.Reader, err = j.source.Reader(context.Background(), source.ReaderEnv{
		Subtask: subtask, Parallelism: len(j.readers), RestoredFrom: c.id, Logger: slog.New(slog.DiscardHandler),
		Now:          func() time.Time { return j.now },
		RequestSplit: func() { r.requested = true },
		Wake:         func() {},
	})
	j.must(err)
	for _, s := range c.of(subtask, len(j.readers), j.opened) {
		j.give(r, s)
	}
	return r
}

func (j *job[T]) begin(r *reader[T]) {
	j.must(r.Start())
	if len(r.holds) == 0 && !r.requested {
		j.fatal("a reader without splits did not request one in Start")
	}
}

// restartOne lets one reader go back to the last checkpoint while the others go on. The enumerator gets back what it has given it since.
func (j *job[T]) restartOne(subtask int, c checkpoint) {
	old := j.readers[subtask]
	j.must(old.Close())
	if len(old.given) > 0 {
		j.enumerator.AddBack(subtask, old.given)
	}
	if l, ok := j.enumerator.(source.ResetListener); ok {
		l.SubtaskReset(subtask, c.id)
	}
	j.readers[subtask] = j.open(subtask, c)
	j.begin(j.readers[subtask])
}

func (j *job[T]) give(r *reader[T], s source.Split) {
	if r.holds[s.ID] {
		j.fatal("split %s was handed out twice", s.ID)
	}
	r.holds[s.ID] = true
	j.must(r.AddSplits([]source.Split{s}))
}

// poll lets a random reader go on.
func (j *job[T]) poll() {
	r := j.readers[j.rng.IntN(len(j.readers))]
	if r.requested && j.rng.IntN(2) == 0 {
		j.answer(r)
	}
	if r.ended {
		return
	}
	b := source.Batch[T]{Max: 1 + j.rng.IntN(7)}
	status, err := r.Poll(&b)
	j.must(err)
	j.check(r, &b, status)
	r.records = append(r.records, b.Records...)
}

// answer passes a reader's request on to the enumerator.
func (j *job[T]) answer(r *reader[T]) {
	for i := range j.readers {
		if j.readers[i] != r {
			continue
		}
		s, a, err := j.enumerator.Next(i)
		j.must(err)
		if a == source.Wait {
			return
		}
		r.requested = false
		if a == source.Assigned {
			r.given = append(r.given, s)
			j.give(r, s)
			return
		}
		r.noMore = true
		r.NoMoreSplits()
	}
}

// check checks what the contract says of a batch.
func (j *job[T]) check(r *reader[T], b *source.Batch[T], status source.Status) {
	switch {
	case len(b.Records) > b.Max:
		j.fatal("%d records in a batch of at most %d", len(b.Records), b.Max)
	case len(b.Times) != 0 && len(b.Times) != len(b.Records):
		j.fatal("%d times for %d records", len(b.Times), len(b.Records))
	case (len(b.Records) > 0 || b.SplitEnd) && !r.holds[b.Split]:
		j.fatal("records of split %q, which the reader does not have", b.Split)
	case status != source.More && len(b.Records) > 0:
		j.fatal("records together with a status that says there are none")
	case status == source.End && (!r.noMore || len(r.holds) > 0):
		j.fatal("end, with %d splits and no-more-splits %v", len(r.holds), r.noMore)
	case status == source.Idle && len(r.holds) > 0 && !b.WakeAt.After(j.now):
		j.fatal("idle with a split in hand, and no time to wake up at")
	case status == source.Idle && len(r.holds) == 0 && !r.requested && !r.noMore:
		j.fatal("idle without a split, and none was requested")
	}
	if b.SplitEnd {
		delete(r.holds, b.Split)
	}
	r.ended = status == source.End
	if status == source.Idle && b.WakeAt.After(j.now) {
		j.now = b.WakeAt
	}
}

func (j *job[T]) done() bool {
	for _, r := range j.readers {
		if !r.ended {
			return false
		}
	}
	return true
}

// snapshot takes a checkpoint of all readers and the enumerator, which completes.
func (j *job[T]) snapshot() checkpoint {
	c := j.take()
	for _, r := range j.readers {
		j.records = append(j.records, r.records...)
		r.records, r.given = nil, nil
	}
	c.records = len(j.records)
	for _, r := range j.readers {
		if j.hears() {
			j.must(r.CheckpointComplete(c.id))
		}
	}
	if l, ok := j.enumerator.(source.CheckpointListener); ok && j.hears() {
		j.must(l.CheckpointComplete(c.id))
	}
	return c
}

// giveUp takes a checkpoint of which nothing comes. Half of the time it is given up before anybody has a part in it.
func (j *job[T]) giveUp() {
	if j.rng.IntN(2) == 0 {
		j.take()
	} else {
		j.checkpoint++
	}
	for _, r := range j.readers {
		if l, ok := r.Reader.(source.AbortListener); ok && j.hears() {
			j.must(l.CheckpointAborted(j.checkpoint))
		}
	}
	if l, ok := j.enumerator.(source.CheckpointListener); ok && j.hears() {
		j.must(l.CheckpointAborted(j.checkpoint))
	}
}

// hears reports whether somebody is told how a checkpoint has ended.
func (j *job[T]) hears() bool { return j.rng.IntN(4) > 0 }

// take lets all readers and the enumerator take their parts in a checkpoint.
func (j *job[T]) take() checkpoint {
	j.checkpoint++
	c := checkpoint{id: j.checkpoint, opened: j.opened}
	var err error
	c.enumerator, err = j.enumerator.Snapshot()
	j.must(err)
	if len(c.enumerator) == 0 {
		j.fatal("the enumerator's snapshot is empty, which would be a new start")
	}
	for i, r := range j.readers {
		splits, err := r.Snapshot(c.id)
		j.must(err)
		for _, s := range splits {
			if !r.holds[s.ID] {
				j.fatal("split %s in a snapshot, which the reader has ended or was not given", s.ID)
			}
		}
		if len(splits) != len(r.holds) {
			j.fatal("%d splits in a snapshot of a reader that has %d", len(splits), len(r.holds))
		}
		c.splits = append(c.splits, splits...)
		for range splits {
			c.owners = append(c.owners, i)
		}
	}
	return c
}

func (j *job[T]) close() {
	for _, r := range j.readers {
		j.must(r.Close())
	}
	j.must(j.enumerator.Close())
}

// finish closes the job and compares what came.
func (j *job[T]) finish() {
	j.close()
	count := map[T]int{}
	for _, r := range j.suite.Want {
		count[r]++
	}
	for _, reader := range j.readers {
		j.records = append(j.records, reader.records...)
	}
	for _, r := range j.records {
		count[r]--
	}
	for r, n := range count {
		if n != 0 {
			j.fatal("record %v came %d times too rarely (negative: too often)", r, n)
		}
	}
}
