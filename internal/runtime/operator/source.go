package operator

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/weirstream/weir/internal/element"
	"github.com/weirstream/weir/internal/job"
	"github.com/weirstream/weir/internal/protocol/snapshot"
	"github.com/weirstream/weir/source"
)

// chainBatch is the number of records that a source hands down its chain at a time: few enough to stay in the first-level cache.
const chainBatch = 256

// SourceReader runs a reader at the head of a chain.
type SourceReader[T any] struct {
	Base
	src    source.Source[T]
	env    *Env
	out    Pusher[T]
	reader source.Reader[T]
	in     source.Batch[T]
	batch  element.Batch[T]
	split  string // the split of the last batch, and
	number int    // its number
	wakeAt time.Time
	// requested is set while the reader waits for a split, or for the word that there is none.
	requested bool
	without   bool // that there is none for now is known
	pointers  bool
	noTimes   noTimes
	times     []int64
}

// NewSourceReader returns the head of a chain that reads src.
func NewSourceReader[T any](env *Env, src source.Source[T], out Pusher[T]) *SourceReader[T] {
	s := &SourceReader[T]{
		Base:     Base{env.Operator},
		src:      src,
		env:      env,
		out:      out,
		pointers: HoldsPointers[T](),
	}
	return s
}

// Names of the counters and gauges that the runtime keeps for a step.
const (
	RecordsIn  = "records_in"
	RecordsOut = "records_out"
	// Watermark is where event time stands for the step, NewestTime the largest event time that it has assigned.
	Watermark  = "watermark"
	NewestTime = "newest_time"
)

// splitState is the list state that holds the splits of a reader.
const splitState = "source-splits"

// Open makes the reader and gives it the splits it goes on with.
func (s *SourceReader[T]) Open(ctx context.Context) error {
	var err error
	s.reader, err = s.src.Reader(ctx, source.ReaderEnv{
		Subtask:      s.env.Subtask,
		Parallelism:  s.env.Parallelism,
		Attempt:      s.env.Attempt,
		RestoredFrom: int64(s.env.RestoredFrom),
		Logger:       s.env.Logger,
		Now:          s.env.Now,
		RequestSplit: s.requestSplit,
		Wake:         s.env.Wake,
	})
	if err != nil {
		return err
	}
	elements, err := ReadList(ctx, s.env, splitState)
	if err != nil {
		return err
	}
	splits := make([]source.Split, len(elements))
	for i, e := range elements {
		var seen map[job.OperatorID]int64
		if splits[i], seen, err = decodeSplit(e); err != nil {
			return fmt.Errorf("read state %q: %w", splitState, err)
		}
		s.env.Splits.Open(splits[i].ID, seen)
	}
	if len(splits) > 0 {
		if err := s.reader.AddSplits(splits); err != nil {
			return err
		}
	}
	return s.reader.Start()
}

// requestSplit asks for a split, unless that has been done. Until it is known whether there is one event time stands still: what the
// subtask is about to be given may be older than what it and others read meanwhile.
func (s *SourceReader[T]) requestSplit() {
	if !s.requested {
		s.requested, s.without, s.env.Splits.awaited = true, false, true
		s.env.RequestSplit()
	}
}

// AddSplits gives the reader splits that it has asked for.
func (s *SourceReader[T]) AddSplits(splits []source.Split) error {
	s.requested, s.env.Splits.awaited = false, false
	for _, sp := range splits {
		s.env.Splits.Open(sp.ID, nil)
	}
	return s.reader.AddSplits(splits)
}

// NoMoreSplits tells the reader that none will follow.
func (s *SourceReader[T]) NoMoreSplits() {
	s.requested, s.env.Splits.awaited = false, false
	s.reader.NoMoreSplits()
}

// NoSplitYet says that there is nothing to read for now: event time need not wait for this subtask.
func (s *SourceReader[T]) NoSplitYet() { s.without, s.env.Splits.awaited = true, false }

// WakeAt returns when an idle reader wants to be polled.
func (s *SourceReader[T]) WakeAt() time.Time { return s.wakeAt }

// Poll reads a batch and pushes it.
func (s *SourceReader[T]) Poll(time.Time) (source.Status, error) {
	in := &s.in
	in.Records, in.Times, in.Max, in.Split, in.SplitEnd, in.WakeAt = s.batch.Recs[:0], in.Times[:0], chainBatch, "", false, time.Time{}
	status, err := s.reader.Poll(in)
	s.wakeAt = in.WakeAt
	if err != nil {
		return status, InStep(s.env.Name, s.env.Subtask, err)
	}
	if len(in.Records) > 0 {
		if err := s.push(in); err != nil {
			return status, err
		}
	}
	if in.SplitEnd {
		s.env.Splits.awaited = true // the reader has yet to say whether it wants another
		s.env.Splits.Close(in.Split)
		s.split = ""
		return status, s.out.Event(element.Event{Kind: element.SplitEnd})
	}
	if status == source.Idle {
		s.env.Splits.awaited = s.requested && !s.without
	}
	return status, nil
}

func (s *SourceReader[T]) push(in *source.Batch[T]) error {
	n := len(in.Records)
	if in.Split != s.split {
		s.split, s.number = in.Split, s.env.Splits.Number(in.Split)
	}
	b := &s.batch
	b.Recs, b.Split = in.Records, s.number
	switch len(in.Times) {
	case n:
		s.times = append(s.times[:0], in.Times...)
		b.TS, b.Untimed = s.times, false
	case 0:
		b.TS, b.Untimed = s.noTimes.of(n), true
	default:
		return fmt.Errorf("the source returned %d records with %d times: want as many, or none", n, len(in.Times))
	}
	err := s.out.Push(b)
	wipe(in.Records, s.pointers)
	b.Recs = in.Records[:0]
	return err
}

// Event is not called: a source has no inputs but its own end.
func (s *SourceReader[T]) Event(e element.Event) error { return s.out.Event(e) }

// Snapshot captures the splits with their positions.
func (s *SourceReader[T]) Snapshot(_ context.Context, c Checkpoint) (Capture, error) {
	splits, err := s.reader.Snapshot(int64(c.ID))
	if err != nil {
		return nil, err
	}
	l := ListData{Name: splitState, Mode: snapshot.Split}
	for _, sp := range splits {
		l.Elements = append(l.Elements, encodeSplit(sp, s.env.Splits.Seen(sp.ID)))
	}
	return &ListCapture{Lists: []ListData{l}}, nil
}

// CheckpointComplete tells the reader that its positions are safe.
func (s *SourceReader[T]) CheckpointComplete(c Checkpoint) error {
	return InStep(s.env.Name, s.env.Subtask, s.reader.CheckpointComplete(int64(c.ID)))
}

// CheckpointAborted tells the reader, if it wants to know.
func (s *SourceReader[T]) CheckpointAborted(c Checkpoint) error {
	if l, ok := s.reader.(source.AbortListener); ok {
		return InStep(s.env.Name, s.env.Subtask, l.CheckpointAborted(int64(c.ID)))
	}
	return nil
}

// Close closes the reader.
func (s *SourceReader[T]) Close() error {
	if s.reader == nil {
		return nil
	}
	return s.reader.Close()
}

// The state of a split is, in version 1: version, id, data, number of steps, then for each its operator id and the time it has seen.
const splitVersion = 1

func encodeSplit(sp source.Split, seen map[job.OperatorID]int64) []byte {
	b := []byte{splitVersion}
	b = appendBytes(b, []byte(sp.ID))
	b = appendBytes(b, sp.Data)
	b = binary.AppendUvarint(b, uint64(len(seen)))
	for _, id := range sortedIDs(seen) {
		b = append(b, id[:]...)
		b = binary.LittleEndian.AppendUint64(b, uint64(seen[id]))
	}
	return b
}

var errShortSplit = errors.New("the state of a split ends too early")

func decodeSplit(b []byte) (sp source.Split, seen map[job.OperatorID]int64, err error) {
	if len(b) == 0 {
		return sp, nil, errShortSplit
	}
	if b[0] != splitVersion {
		return sp, nil, fmt.Errorf("the state of a split has version %d, this program knows %d", b[0], splitVersion)
	}
	id, b, ok := cutBytes(b[1:])
	if !ok {
		return sp, nil, errShortSplit
	}
	sp.ID = string(id)
	if sp.Data, b, ok = cutBytes(b); !ok {
		return sp, nil, errShortSplit
	}
	n, used := binary.Uvarint(b)
	if used <= 0 || n*24 != uint64(len(b)-used) || n > uint64(len(b)) {
		return sp, nil, errShortSplit
	}
	seen = map[job.OperatorID]int64{}
	for b = b[used:]; len(b) > 0; b = b[24:] {
		seen[job.OperatorID(b[:16])] = int64(binary.LittleEndian.Uint64(b[16:]))
	}
	return sp, seen, nil
}
