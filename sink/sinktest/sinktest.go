// Package sinktest answers whether a sink that claims to write exactly once does.
//
// Run plays a job in front of the sink: it writes numbered records, takes checkpoints of which some are aborted, commits, is killed
// between any two calls and, if the sink's world can be broken, in the middle of them, goes on from its last checkpoint or an older one
// at another parallelism, and at the end reads what is visible. Each number must be there once. Everything is drawn from a seed, which
// a failure names.
//
// What a sink may be besides is played as far as it is: RecoveryChecker, SubtaskRecoverer, Syncer, CheckpointListener (told of checkpoints that
// complete, that are aborted, and that it has never heard of, or not told) and Checker.
package sinktest

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/weirstream/weir/sink"
)

// World is a place outside of the job that a sink writes to. It is used by one goroutine.
type World[T comparable] struct {
	// Sink returns the sink as a new process would describe it.
	Sink func() sink.TwoPhase[T]
	// Committed returns the records that anybody who reads the place finds.
	Committed func() ([]T, error)
	// Break makes the n-th operation of the sink from now on fail, and all later ones: what a kill leaves. Mend ends that, when the
	// next process starts. Both are nil if the world cannot be broken.
	Break func(n int)
	Mend  func()
}

// Suite describes the sink under test.
type Suite[T comparable] struct {
	// World makes a new, empty place.
	World func(t *testing.T) World[T]
	// Record returns record number i. Different numbers give different records.
	Record func(i int) T
	// Withdraws says that the sink can withdraw.
	Withdraws bool
	// Runs is the number of random jobs; 0 means 200.
	Runs int
}

// Run tests the sink.
func Run[T comparable](t *testing.T, s Suite[T]) {
	if s.Runs == 0 {
		s.Runs = 200
	}
	t.Run("nothing is wrong with its description", s.checks)
	t.Run("random jobs", s.randomJobs)
	t.Run("committing twice changes nothing", s.commitTwice)
	t.Run("an aborted checkpoint is committed with the next", s.commitAfterAbort)
	t.Run("what no checkpoint knows is never visible", s.sweep)
	t.Run("another line is refused", s.anotherLine)
	t.Run("an older run is refused", s.olderRun)
	t.Run("a new start leaves nothing visible", s.fresh)
	t.Run("one subtask goes back while others go on", s.restartOneSubtask)
	if s.Withdraws {
		t.Run("going back withdraws", s.withdraw)
		t.Run("going back can leave duplicates", s.acceptDuplicates)
	}
}

func (s Suite[T]) randomJobs(t *testing.T) {
	for seed := range uint64(s.Runs) {
		j := s.newJob(t, seed)
		j.play()
		if t.Failed() {
			return
		}
	}
}

// now is the wall clock of all jobs: virtual, and standing still.
func now() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) }

// job is a job in front of the sink, at some moment.
type job[T comparable] struct {
	t     *testing.T
	suite Suite[T]
	world World[T]
	rng   *rand.Rand

	line       sink.Line
	attempt    int
	checkpoint int64 // the last id that was given to one

	// of the running process
	committer sink.Committer
	opened    int // how often all writers were opened, in all processes
	writers   []sink.TwoPhaseWriter[T]
	since     [][]int    // numbers of the records that each has written since the last complete checkpoint
	position  int        // number of the next record
	pending   []prepared // and not committed
	broken    bool       // the world is to fail

	retained []checkpoint // completed, in order
	log      []string     // what happened, for a failure
}

// prepared is what one writer prepared for one checkpoint.
type prepared struct {
	sink.Pending
	writer int
}

// checkpoint is what a restore goes on from.
type checkpoint struct {
	id       int64
	opened   int // by which writers it was taken
	position int
	pending  []prepared
	writers  [][]byte
}

// all returns what all writers prepared, for Recover.
func all(list []prepared) (pending []sink.Pending) {
	for _, p := range list {
		if n := len(pending); n > 0 && pending[n-1].Checkpoint == p.Checkpoint {
			pending[n-1].Items = slices.Concat(pending[n-1].Items, p.Items)
			continue
		}
		pending = append(pending, p.Pending)
	}
	return pending
}

func (s Suite[T]) newJob(t *testing.T, seed uint64) *job[T] {
	return &job[T]{
		t: t, suite: s, world: s.World(t), rng: rand.New(rand.NewPCG(seed, 1)),
		line: sink.Line{ID: "0123456789abcdef", Name: "sinktest"},
		log:  []string{fmt.Sprintf("seed %d", seed)},
	}
}

// play runs a job to its end and compares what it committed.
func (j *job[T]) play() {
	const records = 60
	j.start()
	for j.position < records || !j.end() {
		if j.t.Failed() {
			return
		}
		switch n := j.rng.IntN(20); {
		case n < 10:
			j.write(min(1+j.rng.IntN(4), records-j.position))
		case n == 10 && j.rng.IntN(4) == 0:
			j.unknownAborted()
		case n < 16:
			j.takeCheckpoint(j.rng.IntN(5) > 0, j.rng.IntN(4) > 0, false)
		case n < 18:
			j.kill()
		case n == 18 && j.rng.IntN(2) == 0:
			j.restart()
		case n == 18:
			j.restartSome()
		case j.world.Break != nil && !j.broken:
			j.broken = true
			j.world.Break(1 + j.rng.IntN(25))
		}
	}
	j.want(records)
}

// start starts a new process.
func (j *job[T]) start() {
	for {
		j.line.Epoch++
		j.attempt = 0
		j.note("process %d", j.line.Epoch)
		var err error
		j.committer, err = j.world.Sink().Committer(context.Background(), sink.CommitterEnv{Line: j.line, Logger: slog.New(slog.DiscardHandler), Now: now})
		if err == nil && j.recover() == nil {
			return
		}
		j.mend(err)
	}
}

// kill ends the process without a word. Half of the time it is a polite process that closes what it has.
func (j *job[T]) kill() {
	j.note("kill")
	if j.rng.IntN(2) == 0 {
		j.close()
	}
	j.mend(nil)
	j.start()
}

// restart goes on from the last checkpoint in the same process.
func (j *job[T]) restart() {
	j.note("restart")
	for _, w := range j.writers {
		j.failed(w.Close())
	}
	if j.recover() != nil {
		j.mend(nil)
		j.start()
	}
}

// recover goes on from a retained checkpoint. An error was noted by failed.
func (j *job[T]) recover() error {
	j.attempt++
	last := j.choose()
	r := sink.Recovery{Checkpoint: last.id, Pending: all(last.pending), Writers: last.writers}
	after, err := j.committer.CommittedAfter(context.Background(), last.id)
	if j.failed(err) {
		return err
	}
	r.Withdraw = len(after) > 0
	if j.failed(j.check(r)) {
		return errBroken
	}
	done, err := j.committer.Recover(context.Background(), r)
	if j.failed(err) {
		return err
	}
	if len(done.Writers) != len(r.Writers) {
		j.t.Errorf("Recover returned %d states of writers for %d", len(done.Writers), len(r.Writers))
	}
	j.note("recovered checkpoint %d at record %d, withdrew %d", last.id, last.position, len(done.Moved))
	j.position, j.pending = last.position, nil
	j.subset(last.position)
	return j.open(done.Writers)
}

func (j *job[T]) check(r sink.Recovery) error {
	if c, ok := j.committer.(sink.RecoveryChecker); ok {
		return c.Check(context.Background(), r)
	}
	return nil
}

// choose returns the checkpoint to go on from, and forgets those after it: mostly the newest, sometimes an older one as if the newer
// ones were damaged.
func (j *job[T]) choose() checkpoint {
	if len(j.retained) == 0 {
		return checkpoint{}
	}
	back := 0
	if j.suite.Withdraws && j.rng.IntN(4) == 0 {
		back = j.rng.IntN(min(3, len(j.retained)))
	}
	j.retained = j.retained[:len(j.retained)-back]
	return j.retained[len(j.retained)-1]
}

// open opens the writers at a random parallelism and deals the states out to them.
func (j *job[T]) open(states [][]byte) error {
	parallelism := 1 + j.rng.IntN(3)
	dealt := make([][][]byte, parallelism)
	for i, state := range states {
		dealt[i%parallelism] = append(dealt[i%parallelism], state)
	}
	j.opened++
	j.writers, j.since = nil, make([][]int, parallelism)
	for i := range parallelism {
		w, err := j.openOne(i, parallelism, dealt[i])
		if err != nil {
			return err
		}
		j.writers = append(j.writers, w)
	}
	return nil
}

func (j *job[T]) openOne(subtask, parallelism int, states [][]byte) (sink.TwoPhaseWriter[T], error) {
	w, err := j.world.Sink().Writer(context.Background(), sink.WriterEnv{
		Line: j.line, Subtask: subtask, Parallelism: parallelism, Attempt: j.attempt, Logger: slog.New(slog.DiscardHandler), Now: now,
	}, states)
	if j.failed(err) {
		return nil, err
	}
	two, ok := w.(sink.TwoPhaseWriter[T])
	if !ok {
		j.t.Fatalf("the writer %T of a sink with two phases is no TwoPhaseWriter", w)
	}
	return two, nil
}

// restartSome lets some writers go back to the last checkpoint while the others go on, if the sink can.
func (j *job[T]) restartSome() {
	c, ok := j.committer.(sink.SubtaskRecoverer)
	if !ok {
		j.restart()
		return
	}
	for i := range j.writers {
		if j.rng.IntN(2) == 0 && !j.restartOne(c, i) {
			j.kill()
			return
		}
	}
}

// restartOne lets one writer go back to the last checkpoint, and write again what it has written since.
func (j *job[T]) restartOne(c sink.SubtaskRecoverer, subtask int) bool {
	var last checkpoint
	if n := len(j.retained); n > 0 {
		last = j.retained[n-1]
	}
	j.note("subtask %d of %d goes back to checkpoint %d", subtask, len(j.writers), last.id)
	j.attempt++
	closed := j.writers[subtask]
	j.writers[subtask] = nil
	if j.failed(closed.Close()) {
		return false
	}
	own := j.own(last, subtask)
	done, err := c.RecoverSubtask(context.Background(), subtask, own)
	if j.failed(err) {
		return false
	}
	if len(done.Writers) != len(own.Writers) {
		j.t.Errorf("RecoverSubtask returned %d states of writers for %d", len(done.Writers), len(own.Writers))
	}
	j.pending = slices.DeleteFunc(j.pending, func(p prepared) bool { return p.writer == subtask })
	j.subset(last.position)
	w, err := j.openOne(subtask, len(j.writers), done.Writers)
	if err != nil {
		return false
	}
	j.writers[subtask] = w
	for _, n := range j.since[subtask] {
		if j.failed(w.Write([]T{j.suite.Record(n)}, []int64{0})) {
			return false
		}
	}
	return true
}

// own returns what a checkpoint has of one subtask. If it was taken by earlier writers, what they prepared was committed when the present ones
// were opened.
func (j *job[T]) own(c checkpoint, subtask int) sink.Recovery {
	r := sink.Recovery{Checkpoint: c.id}
	for i, state := range c.writers {
		if i%len(j.writers) == subtask {
			r.Writers = append(r.Writers, state)
		}
	}
	for _, p := range c.pending {
		if c.opened == j.opened && p.writer == subtask {
			r.Pending = append(r.Pending, p.Pending)
		}
	}
	return r
}

func (j *job[T]) write(n int) {
	for ; n > 0; n-- {
		i := j.rng.IntN(len(j.writers))
		if j.failed(j.writers[i].Write([]T{j.suite.Record(j.position)}, []int64{0})) {
			j.kill()
			return
		}
		j.since[i] = append(j.since[i], j.position)
		j.position++
	}
}

// takeCheckpoint takes one, which may be aborted, or not be committed because its commit is missed. It returns false if it did not come
// to its end.
func (j *job[T]) takeCheckpoint(complete, commit, end bool) bool {
	j.checkpoint++
	j.note("checkpoint %d at record %d, complete %v, commit %v, end %v", j.checkpoint, j.position, complete, commit, end)
	c := checkpoint{id: j.checkpoint, opened: j.opened, position: j.position}
	for i, w := range j.writers {
		pending, state, err := snapshot(w, c.id, end, complete || j.rng.IntN(2) == 0)
		if j.failed(err) {
			j.kill()
			return false
		}
		if len(pending) > 0 {
			j.pending = append(j.pending, prepared{sink.Pending{Checkpoint: c.id, Items: pending}, i})
		}
		c.writers = append(c.writers, state)
	}
	if !complete {
		return j.tellAborted(c.id)
	}
	j.since = make([][]int, len(j.writers))
	c.pending = append(c.pending, j.pending...)
	j.retained = append(j.retained, c)
	return commit && j.tellComplete(c.id) && j.commit()
}

// tellComplete tells the writers that want to know that a checkpoint is complete, before anything of it is committed. It returns false if one
// of them has failed.
func (j *job[T]) tellComplete(id int64) bool {
	return j.tell(func(l sink.CheckpointListener) error { return l.CheckpointComplete(id) })
}

// tellAborted tells them that there will be no such checkpoint, but for those who miss it; sometimes of one that they have never heard of, too.
// It returns false, as there is nothing to commit.
func (j *job[T]) tellAborted(id int64) bool {
	told := j.tell(func(l sink.CheckpointListener) error {
		if j.rng.IntN(4) == 0 {
			return nil
		}
		return l.CheckpointAborted(id)
	})
	if told && j.rng.IntN(4) == 0 {
		j.unknownAborted()
	}
	return false
}

// unknownAborted tells the writers that a checkpoint was given up before it came to them.
func (j *job[T]) unknownAborted() {
	j.checkpoint++
	j.note("checkpoint %d is given up before anybody flushes", j.checkpoint)
	j.tell(func(l sink.CheckpointListener) error { return l.CheckpointAborted(j.checkpoint) })
}

func (j *job[T]) tell(f func(sink.CheckpointListener) error) bool {
	for _, w := range j.writers {
		if l, ok := w.(sink.CheckpointListener); ok && j.failed(f(l)) {
			j.kill()
			return false
		}
	}
	return true
}

// snapshot takes one writer's part in a checkpoint. One that is given up may end before it is durable.
func snapshot[T any](w sink.TwoPhaseWriter[T], id int64, end, durable bool) (pending [][]byte, state []byte, err error) {
	if err := w.Flush(end); err != nil {
		return nil, nil, err
	}
	if pending, err = w.Prepare(context.Background(), id, end); err != nil {
		return nil, nil, err
	}
	if state, err = w.Snapshot(context.Background(), id); err != nil {
		return nil, nil, err
	}
	if s, ok := w.(sink.Syncer); ok && durable {
		if sync := s.Sync(); sync != nil {
			err = sync(context.Background())
		}
	}
	return pending, state, err
}

// commit commits all that is pending.
func (j *job[T]) commit() bool {
	for _, p := range j.pending {
		if j.failed(j.committer.Commit(context.Background(), p.Checkpoint, p.Items)) {
			j.kill()
			return false
		}
	}
	j.pending = nil
	return true
}

// end takes the final checkpoint, and reports whether it is complete and committed.
func (j *job[T]) end() bool {
	position := j.position
	if !j.takeCheckpoint(true, true, true) || j.position != position {
		return false
	}
	j.mend(nil)
	return true
}

func (j *job[T]) close() {
	for _, w := range j.writers {
		if w != nil { // else a restart of it has failed
			j.failed(w.Close())
		}
	}
	j.failed(j.committer.Close())
}
