package operator

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/weirstream/weir/internal/element"
	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/protocol/snapshot"
	"github.com/weirstream/weir/sink"
)

// SinkWriter runs a writer at the end of a stream, and commits what it prepares once the checkpoint that holds it is complete.
//
// What a checkpoint prepared stays pending until one that holds it completes: if the checkpoint fails, it is part of the next one. A
// commit runs beside the subtask, one at a time, in the order of checkpoints.
type SinkWriter[T any] struct {
	Base
	sink    sink.Sink[T]
	env     *Env
	writer  sink.Writer[T]
	two     sink.TwoPhaseWriter[T] // nil if the sink has one phase
	pending []sink.Pending         // in ascending order of checkpoints
	last    job.CheckpointID       // the latest snapshot taken
	done    job.CheckpointID       // the latest checkpoint known to be complete
	busy    bool                   // a commit is under way
	ended   bool
}

// NewSinkWriter returns the end of a stream that writes to a sink.
func NewSinkWriter[T any](env *Env, s sink.Sink[T]) *SinkWriter[T] {
	return &SinkWriter[T]{Base: Base{env.Operator}, sink: s, env: env}
}

// The list states of a sink: what writers go on with, and what is prepared and not known to be committed.
const (
	WriterState  = "sink-writers"
	PendingState = snapshot.UncommittedList
)

// Open makes the writer. What the checkpoint knew as pending has been committed before any task was started.
func (s *SinkWriter[T]) Open(ctx context.Context) error {
	restored, err := ReadList(ctx, s.env, WriterState)
	if err != nil {
		return err
	}
	s.writer, err = s.sink.Writer(ctx, sink.WriterEnv{
		Line:         s.env.Line,
		Subtask:      s.env.Subtask,
		Parallelism:  s.env.Parallelism,
		Attempt:      s.env.Attempt,
		RestoredFrom: int64(s.env.RestoredFrom),
		Logger:       s.env.Logger,
		Now:          s.env.Now,
	}, restored)
	if err != nil {
		return err
	}
	if s.env.Committer != nil {
		two, ok := s.writer.(sink.TwoPhaseWriter[T])
		if !ok {
			return fmt.Errorf("the sink has two phases but its writer, a %T, does not", s.writer)
		}
		s.two = two
	}
	return nil
}

// Push writes a batch.
func (s *SinkWriter[T]) Push(b *element.Batch[T]) error {
	return s.writer.Write(b.Recs, b.TS)
}

// Event ends events: nothing follows a sink.
func (s *SinkWriter[T]) Event(element.Event) error { return nil }

// PrepareBarrier flushes the writer, so that what was written is in the checkpoint or outside.
func (s *SinkWriter[T]) PrepareBarrier(context.Context, Checkpoint) error {
	if s.ended {
		return nil
	}
	return s.writer.Flush(false)
}

// Snapshot prepares what the checkpoint will commit.
func (s *SinkWriter[T]) Snapshot(ctx context.Context, c Checkpoint) (Capture, error) {
	s.last = c.ID
	if s.two == nil {
		return nil, nil
	}
	if err := s.prepare(ctx, c.ID); err != nil {
		return nil, err
	}
	state, err := s.two.Snapshot(ctx, int64(c.ID))
	if err != nil {
		return nil, err
	}
	writers := ListData{Name: WriterState, Mode: snapshot.Split}
	if state != nil {
		writers.Elements = [][]byte{state}
	}
	lists := ListCapture{Lists: []ListData{writers, EncodePending(s.pending)}}
	return &sinkCapture{ListCapture: lists, sync: s.sync()}, nil
}

// sync returns what the writer leaves to be done beside the subtask, nil if nothing.
func (s *SinkWriter[T]) sync() func(context.Context) error {
	if syncer, ok := s.two.(sink.Syncer); ok {
		return syncer.Sync()
	}
	return nil
}

// sinkCapture is the state of a sink that may not be durable yet.
type sinkCapture struct {
	ListCapture
	sync func(context.Context) error
}

// Write makes durable what the state refers to, and then writes the state.
func (c *sinkCapture) Write(ctx context.Context, streams Streams) (*snapshot.OperatorSubtask, error) {
	if c.sync != nil {
		if err := c.sync(ctx); err != nil {
			return nil, err
		}
	}
	return c.ListCapture.Write(ctx, streams)
}

func (s *SinkWriter[T]) prepare(ctx context.Context, id job.CheckpointID) error {
	items, err := s.two.Prepare(ctx, int64(id), s.ended)
	if err != nil {
		return err
	}
	if len(items) > 0 {
		s.pending = append(s.pending, sink.Pending{Checkpoint: int64(id), Items: items})
	}
	return nil
}

// CheckpointComplete commits what the checkpoint, and all before it, prepared. The writer is told first, if it wants to know.
func (s *SinkWriter[T]) CheckpointComplete(c Checkpoint) error {
	if l, ok := s.writer.(sink.CheckpointListener); ok {
		if err := l.CheckpointComplete(int64(c.ID)); err != nil {
			return InStep(s.env.Name, s.env.Subtask, err)
		}
	}
	s.commitUpTo(c.ID)
	return nil
}

// CheckpointAborted tells the writer, if it wants to know. What was prepared is committed with a later checkpoint.
func (s *SinkWriter[T]) CheckpointAborted(c Checkpoint) error {
	if l, ok := s.writer.(sink.CheckpointListener); ok {
		return InStep(s.env.Name, s.env.Subtask, l.CheckpointAborted(int64(c.ID)))
	}
	return nil
}

func (s *SinkWriter[T]) commitUpTo(id job.CheckpointID) {
	s.done = max(s.done, id)
	s.commit()
}

// commit starts the next commit that may be made.
func (s *SinkWriter[T]) commit() {
	if s.busy || len(s.pending) == 0 || s.pending[0].Checkpoint > int64(s.done) {
		return
	}
	next, committer := s.pending[0], s.env.Committer
	s.busy = true
	s.env.Go(func(ctx context.Context) func() error {
		err := committer.Commit(ctx, next.Checkpoint, next.Items)
		return func() error {
			s.busy = false
			if err != nil {
				return fmt.Errorf("commit checkpoint %d: %w", next.Checkpoint, err)
			}
			s.pending = s.pending[1:]
			s.commit()
			return nil
		}
	})
}

// Finish flushes the writer for the last time. Without checkpoints there is nothing to wait for: what was written is committed now.
func (s *SinkWriter[T]) Finish(ctx context.Context) error {
	s.ended = true
	if err := s.writer.Flush(true); err != nil {
		return err
	}
	if s.two == nil || s.env.Checkpointed() {
		return nil
	}
	last := max(s.last, s.env.RestoredFrom) + 1 // no checkpoint will have this id
	if err := s.prepare(ctx, last); err != nil {
		return err
	}
	if sync := s.sync(); sync != nil {
		if err := sync(ctx); err != nil { // there is nothing left that it could hold up
			return err
		}
	}
	s.commitUpTo(last)
	return nil
}

// Uncommitted reports, when nothing more will be committed, whether anything should have been. What cannot be prepared counts.
func (s *SinkWriter[T]) Uncommitted() bool {
	if s.two == nil {
		return false
	}
	err := s.prepare(context.Background(), s.last+1)
	return err != nil || len(s.pending) > 0
}

// Busy reports whether a commit is under way.
func (s *SinkWriter[T]) Busy() bool { return s.busy }

// PendingOutside says that the state is of what is outside.
func (s *SinkWriter[T]) PendingOutside() {}

// Close closes the writer.
func (s *SinkWriter[T]) Close() error {
	if s.writer == nil {
		return nil
	}
	return s.writer.Close()
}

// EncodePending returns the list state that holds pending commits: an element for each thing that can be committed by itself, which is
// the checkpoint's id in 8 bytes and the sink's own bytes.
func EncodePending(pending []sink.Pending) ListData {
	l := ListData{Name: PendingState, Mode: snapshot.Split}
	for _, p := range pending {
		for _, item := range p.Items {
			l.Elements = append(l.Elements, append(binary.LittleEndian.AppendUint64(nil, uint64(p.Checkpoint)), item...))
		}
	}
	return l
}

// DecodePending reads the elements that EncodePending made, of one subtask or of several, and returns them in ascending order of
// checkpoints.
func DecodePending(elements [][]byte) ([]sink.Pending, error) {
	items := map[int64][][]byte{}
	for _, e := range elements {
		if len(e) < 8 {
			return nil, errors.New("the state of a pending commit ends too early")
		}
		id := int64(binary.LittleEndian.Uint64(e))
		items[id] = append(items[id], e[8:])
	}
	var pending []sink.Pending
	for _, id := range sortedKeys(items) {
		pending = append(pending, sink.Pending{Checkpoint: id, Items: items[id]})
	}
	return pending, nil
}
