// Package logged answers one question: how do the changes of the keyed state of one subtask get into a log, of which its checkpoints then consist?
//
// With a changelog a checkpoint does not write the state, but the end of a log of what has changed since the state was written as a whole,
// which happens beside checkpoints, from time to time. What a checkpoint consists of, when the whole state is written, and what nobody needs any
// more, package protocol/changelog decides; here pieces are captured, written and deleted.
//
//   - What is captured is a [Source]'s business: the tables of the heap write the rows that have changed, a byte store the batches that were
//     made of it.
//   - Each piece is written by a goroutine of its own, whatever becomes of the checkpoint that it was cut for. A checkpoint waits for the pieces
//     that it consists of.
//   - The methods of a State are called by its subtask's goroutine, those of a [Checkpoint] by the one that writes it.
package logged

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/weirstream/weir/internal/element"
	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/protocol/changelog"
	"github.com/weirstream/weir/internal/protocol/snapshot"
)

// Place is where pieces are written. Its methods may be called concurrently. Streams are of scope Shared, or inline.
type Place interface {
	// Segment begins a segment of the log.
	Segment(ctx context.Context) (snapshot.StreamWriter, error)
	// Base begins a file of the whole state.
	Base(ctx context.Context) (snapshot.StreamWriter, error)
	// Discard deletes files, as far as that is possible.
	Discard(paths []string)
}

// Source captures the state of a subtask. Its methods are called by the subtask's goroutine, between batches.
type Source interface {
	// Segment captures what has changed from a position up to now, which is the position at; nil if nothing has. If that is not known
	// any more it captures all, and whole is true.
	Segment(from, at int64) (c Capture, whole bool)
	// Whole captures all, at the position of the last cut. reuse says that it may refer to files of the base in force.
	Whole(at int64, reuse bool) Capture
	// Changed reports whether something may have changed since the last cut.
	Changed() bool
	// Forget says that no segment will be asked for that begins before a position.
	Forget(before int64)
	// Stop says that no segment will be asked for before the next Whole.
	Stop()
}

// Capture is a piece that was captured and is to be written, by a goroutine beside the subtask.
type Capture interface {
	// Write writes it to streams that begin makes. It may find that there is nothing in it: then it returns a zero Keyed.
	Write(ctx context.Context, begin func(context.Context) (snapshot.StreamWriter, error)) (snapshot.Keyed, error)
	// InForce says, after Write, that later bases may refer to the files of this one.
	InForce()
	// Release gives up what the capture holds. It is called once, after Write.
	Release()
}

// Options say how a State works.
type Options struct {
	Interval    time.Duration // from one writing of the whole state to the next; 0 or less for none
	First       time.Time     // when it is written first
	MaxFailures int           // of that, in a row
	Place       Place
	Source      Source
	Now         func() time.Time
	// Beside runs work beside the subtask; what it returns is run by the subtask.
	Beside func(work func(ctx context.Context) (mail func() error))
	// Wait waits for one piece of that work on behalf of another, until done is closed, and fails if ctx ends before; nil: on a goroutine.
	Wait   func(ctx context.Context, done <-chan struct{}) error
	Logger *slog.Logger
}

// State is the logged state of one subtask.
type State struct {
	o  Options
	mu struct {
		sync.Mutex
		log     *changelog.Log
		pieces  map[changelog.Piece]*piece
		begun   []begun // what is to be written beside the subtask
		useless []string
		reuse   bool // there has been no base yet, and the first one may refer to files of the checkpoint that was restored
	}
}

// piece is being written, or was. What it says beside done is set before that is closed.
type piece struct {
	changelog.Piece
	done  chan struct{}
	keyed snapshot.Keyed
	bytes int64 // that were written for it, until they were counted
	err   error
}

// begun is a piece that was captured.
type begun struct {
	*piece
	Capture
}

// New returns the log of a state without a base.
func New(o Options) *State {
	if o.Wait == nil {
		o.Wait = wait
	}
	s := &State{o: o}
	s.mu.log = changelog.New(changelog.Options{Interval: o.Interval, MaxFailures: o.MaxFailures}, o.First)
	s.mu.pieces = map[changelog.Piece]*piece{}
	return s
}

// Begin says that the state is that of a chain that a complete checkpoint has: a base, which may be a zero Keyed if the state is empty, and
// segments. It is called before anything else. Position 1 is the base, and the state is now at the position that is returned.
func (s *State) Begin(base snapshot.Keyed, segments ...snapshot.Keyed) (at int64) {
	var files [][]string
	for i, k := range append([]snapshot.Keyed{base}, segments...) {
		files = append(files, pathsOf(&k))
		s.mu.pieces[changelog.Piece{Base: i == 0, At: int64(i + 1)}] = written(k)
	}
	s.mu.log.Begin(files[0], files[1:]...)
	return s.mu.log.Tail()
}

// Restored says that the first base may refer to files of a complete checkpoint.
func (s *State) Restored(k snapshot.Keyed) {
	s.mu.reuse = true
	s.mu.log.Others(pathsOf(&k))
}

// wait waits as goroutines do.
func wait(ctx context.Context, done <-chan struct{}) error {
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func written(k snapshot.Keyed) *piece {
	p := &piece{done: make(chan struct{}), keyed: k}
	close(p.done)
	return p
}

func pathsOf(k *snapshot.Keyed) (paths []string) {
	one := snapshot.OperatorSubtask{Keyed: []snapshot.Keyed{*k}}
	one.EachStream(func(s *snapshot.Stream) {
		if s.Path != "" {
			paths = append(paths, s.Path)
		}
	})
	return paths
}

// cut changes the log, and has written what begins there. That may be over when Beside returns, so nothing is held meanwhile.
func (s *State) cut(change func()) {
	for _, b := range s.begin(change) {
		s.o.Beside(func(ctx context.Context) func() error { return s.write(ctx, b.piece, b.Capture) })
	}
}

func (s *State) begin(change func()) (all []begun) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
	all, s.mu.begun = s.mu.begun, nil
	return all
}

// Checkpoint cuts the log for a checkpoint.
func (s *State) Checkpoint(id job.CheckpointID, kind element.SnapshotKind) (c *Checkpoint) {
	s.cut(func() { c = s.checkpointLocked(id, kind) })
	return c
}

func (s *State) checkpointLocked(id job.CheckpointID, kind element.SnapshotKind) *Checkpoint {
	log := s.mu.log
	at := log.Cut()
	fresh, ok := s.segmentLocked(at)
	var of []changelog.Piece
	switch {
	case ok && fresh.Base: // the log is broken, and this begins a new one
		of = log.CheckpointOf(id, fresh)
	case log.HasBase() && kind == element.Checkpoint:
		of = log.Checkpoint(id)
	default: // a full checkpoint refers to nothing older
		reuse := s.mu.reuse && kind == element.Checkpoint
		of = log.CheckpointOf(id, s.baseLocked(log.Base(), s.o.Source.Whole(at, reuse)))
	}
	c := &Checkpoint{of: s, id: id}
	for _, p := range of {
		c.pieces = append(c.pieces, s.mu.pieces[p])
	}
	return c
}

// segmentLocked adds what has changed up to a cut: a segment, or a base if the log is broken.
func (s *State) segmentLocked(at int64) (p changelog.Piece, ok bool) {
	log := s.mu.log
	if !log.Logs() {
		return p, false
	}
	c, whole := s.o.Source.Segment(log.Tail(), at)
	switch {
	case c == nil:
		log.Unchanged()
		return p, false
	case whole:
		log.Break()
		s.mu.reuse = false
		return s.baseLocked(log.Base(), c), true
	}
	p = log.Segment()
	s.startLocked(p, c)
	return p, true
}

func (s *State) baseLocked(p changelog.Piece, c Capture) changelog.Piece {
	s.startLocked(p, c)
	return p
}

func (s *State) startLocked(p changelog.Piece, c Capture) {
	x := &piece{Piece: p, done: make(chan struct{})}
	s.mu.pieces[p] = x
	s.mu.begun = append(s.mu.begun, begun{x, c})
}

// write writes a piece, and tells the log.
func (s *State) write(ctx context.Context, x *piece, c Capture) (mail func() error) {
	defer c.Release()
	begin, streams := s.o.Place.Segment, &noted{}
	if x.Base {
		begin = s.o.Place.Base
	}
	x.keyed, x.err = c.Write(ctx, streams.noting(begin))
	x.bytes = streams.bytes
	fatal := s.settle(x, c, streams)
	if x.err != nil && ctx.Err() == nil {
		s.o.Logger.Warn("a piece of the changelog could not be written; it will be tried again", "piece", x.String(), "error", x.err)
	}
	return func() error {
		if fatal {
			return fmt.Errorf("the state could not be written as a whole %d times in a row, which state.changelog.max-failures-allowed does not allow: %w", s.o.MaxFailures+1, x.err)
		}
		s.mu.Lock()
		oldest := s.mu.log.Oldest()
		s.mu.Unlock()
		s.o.Source.Forget(oldest)
		return nil
	}
}

// settle notes how the writing of a piece has ended, and deletes what is not needed any more.
func (s *State) settle(x *piece, c Capture, streams *noted) (fatal bool) {
	s.mu.Lock()
	if x.err == nil {
		s.mu.log.Written(x.Piece, s.o.Now(), pathsOf(&x.keyed)...)
		if s.mu.log.IsBase(x.Piece) {
			s.mu.reuse = false
			c.InForce()
		}
	} else {
		fatal = s.mu.log.Failed(x.Piece, s.o.Now())
		s.mu.useless = append(s.mu.useless, streams.paths()...)
	}
	for p := range s.mu.pieces {
		if !s.mu.log.Has(p) {
			delete(s.mu.pieces, p)
		}
	}
	useless := append(s.mu.useless, s.mu.log.Useless()...)
	s.mu.useless = nil
	close(x.done)
	s.mu.Unlock()
	s.discard(useless)
	return fatal
}

func (s *State) discard(paths []string) {
	if len(paths) > 0 {
		s.o.Place.Discard(paths)
	}
}

// Persist cuts the log so that what was logged up to now need not stay in memory.
func (s *State) Persist() {
	s.cut(func() {
		if !s.mu.log.Logs() {
			s.o.Source.Stop()
			return
		}
		s.segmentLocked(s.mu.log.Cut())
	})
}

// NextTick returns when Tick is to be called.
func (s *State) NextTick() (at time.Time, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.log.Next()
}

// Tick begins to write the whole state, if it is time to.
func (s *State) Tick(now time.Time) { s.cut(func() { s.tickLocked(now) }) }

func (s *State) tickLocked(now time.Time) {
	log := s.mu.log
	if !log.Due(now, s.o.Source.Changed()) {
		return
	}
	at := log.Cut()
	if p, ok := s.segmentLocked(at); ok && p.Base {
		return // the log was broken: that is all already
	}
	reuse := log.HasBase() || s.mu.reuse
	s.baseLocked(log.Materialise(), s.o.Source.Whole(at, reuse))
}

// Close deletes what was written and nobody was told of. All work beside the subtask has ended.
func (s *State) Close() {
	s.mu.Lock()
	useless := append(s.mu.useless, s.mu.log.Close()...)
	s.mu.useless = nil
	s.mu.Unlock()
	s.discard(useless)
}

// Checkpoint is the subtask's part of a checkpoint: pieces, some of which may be still being written.
type Checkpoint struct {
	of     *State
	id     job.CheckpointID
	pieces []*piece
}

// Write waits for the pieces. It returns where they are, the base first, and how many bytes were written for them that no checkpoint before has
// counted.
func (c *Checkpoint) Write(ctx context.Context) (chain []snapshot.Keyed, bytes int64, err error) {
	for _, p := range c.pieces {
		if err := c.of.o.Wait(ctx, p.done); err != nil {
			return nil, 0, err
		}
		if p.err != nil {
			return nil, 0, fmt.Errorf("%v of the changelog: %w", p.Piece, p.err)
		}
		if !isNothing(&p.keyed) || len(chain) == 0 {
			chain = append(chain, p.keyed)
		}
	}
	c.of.mu.Lock()
	defer c.of.mu.Unlock()
	for _, p := range c.pieces {
		bytes += p.bytes
		p.bytes = 0
	}
	return chain, bytes, nil
}

func isNothing(k *snapshot.Keyed) bool { return k.Stream.IsEmpty() && len(k.Files) == 0 }

// Acknowledged says that the checkpoint is going to be acknowledged with what Write has returned.
func (c *Checkpoint) Acknowledged() {
	c.of.mu.Lock()
	defer c.of.mu.Unlock()
	c.of.mu.log.Told(c.id)
}

// Release ends the subtask's part of the checkpoint. The pieces stay for the next one.
func (c *Checkpoint) Release() {
	c.of.mu.Lock()
	defer c.of.mu.Unlock()
	c.of.mu.log.Ended(c.id)
}

// noted notes the streams that are written for a piece.
type noted struct {
	mu      sync.Mutex // guards what follows: several files may be written at once
	streams []snapshot.Stream
	bytes   int64
}

func (n *noted) noting(begin func(context.Context) (snapshot.StreamWriter, error)) func(context.Context) (snapshot.StreamWriter, error) {
	return func(ctx context.Context) (snapshot.StreamWriter, error) {
		s, err := begin(ctx)
		if err != nil {
			return nil, err
		}
		return notedStream{s, n}, nil
	}
}

func (n *noted) paths() (paths []string) {
	for _, s := range n.streams {
		if s.Path != "" {
			paths = append(paths, s.Path)
		}
	}
	return paths
}

type notedStream struct {
	snapshot.StreamWriter
	to *noted
}

// Unwrap returns the stream that is noted.
func (s notedStream) Unwrap() snapshot.StreamWriter { return s.StreamWriter }

// Finish ends the stream.
func (s notedStream) Finish() (snapshot.Stream, error) {
	done, err := s.StreamWriter.Finish()
	if err == nil {
		s.to.mu.Lock()
		s.to.streams, s.to.bytes = append(s.to.streams, done), s.to.bytes+done.Length
		s.to.mu.Unlock()
	}
	return done, err
}
