package operator

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/weirstream/weir/internal/element"
	"github.com/weirstream/weir/internal/metrics"
	"github.com/weirstream/weir/internal/protocol/snapshot"
)

// watermarkEvery is how often a busy subtask emits its watermark; one that is about to park does so at once. A watermark makes every
// consumer's batch be sent, so it must be rare against batches.
const watermarkEvery = 10 * time.Millisecond

// EventTime gives records their event times and emits the watermarks that follow from them: for each split the largest time seen less
// the allowed disorder, and of these the smallest.
type EventTime[T any] struct {
	Base
	assign   func(recs []T, ts []int64)
	disorder int64         // ms
	idle     time.Duration // 0: no split is ever idle
	times    []int64       // of a batch that came without
	out      Pusher[T]
	env      *Env
	behind   bool // directly behind a source, so that splits can be told apart
	tracker  tracker
	emitted  int64
	newest   int64 // the largest time assigned
	gauge    *metrics.Gauge
	isIdle   bool
	dirty    bool // seen something since the last watermark
	due      time.Time
	now      func() time.Time
}

// NewEventTime returns a step that lets assign write the event time of each record in milliseconds. Records that come more than
// disorder behind the largest time are late. A split without records for idle does not hold back the others; 0 means never.
func NewEventTime[T any](env *Env, assign func(recs []T, ts []int64), disorder, idle time.Duration, out Pusher[T]) *EventTime[T] {
	s := &EventTime[T]{
		Base:     Base{env.Operator},
		assign:   assign,
		disorder: disorder.Milliseconds(),
		idle:     idle,
		out:      out,
		env:      env,
		behind:   env.Splits != nil,
		emitted:  element.NoTime,
		newest:   element.NoTime,
		gauge:    env.Metrics.Gauge(NewestTime),
		now:      env.Now,
	}
	s.gauge.Set(element.NoTime)
	s.tracker = tracker{step: env.Operator, former: env.Former, splits: env.Splits, version: -1}
	if !s.behind {
		s.tracker.splits = NewSplits()
	}
	return s
}

// Open restores the time that was seen before, if this step is not behind a source, which keeps it otherwise.
func (s *EventTime[T]) Open(ctx context.Context) error {
	s.tracker.refresh()
	if s.behind {
		return nil
	}
	elements, err := ReadList(ctx, s.env, seenState)
	if err != nil || len(elements) == 0 {
		return err
	}
	lowest := element.MaxTime
	for _, e := range elements {
		if len(e) != 8 {
			return fmt.Errorf("state %q: element of %d bytes, want 8", seenState, len(e))
		}
		lowest = min(lowest, int64(binary.LittleEndian.Uint64(e)))
	}
	s.tracker.of(0).seen = lowest
	return nil
}

const seenState = snapshot.EventTimeList

// Snapshot captures the time seen. Behind a source it is kept with the splits.
func (s *EventTime[T]) Snapshot(context.Context, Checkpoint) (Capture, error) {
	s.tracker.save()
	if s.behind {
		return nil, nil
	}
	seen := binary.LittleEndian.AppendUint64(nil, uint64(s.tracker.of(0).seen))
	return &ListCapture{Lists: []ListData{{Name: seenState, Mode: snapshot.Merged, Elements: [][]byte{seen}}}}, nil
}

// Push assigns the times of a batch.
func (s *EventTime[T]) Push(b *element.Batch[T]) error {
	if s.tracker.version != s.tracker.splits.version {
		s.tracker.refresh()
	}
	split := s.tracker.of(b.Split)
	if b.Untimed {
		s.times = slices.Grow(s.times[:0], len(b.Recs))[:len(b.Recs)]
		b.TS, b.Untimed = s.times, false
	}
	s.assign(b.Recs, b.TS)
	seen := split.seen
	for _, t := range b.TS {
		seen = max(seen, t)
	}
	split.seen, split.last, split.idle = seen, time.Time{}, false
	s.newest = max(s.newest, seen)
	s.dirty = true
	return s.out.Push(b)
}

// Event passes events on. Watermarks that come from before this step say nothing about the times it assigns, but for the last.
func (s *EventTime[T]) Event(e element.Event) error {
	switch {
	case e.Kind == element.SplitEnd:
		s.tracker.refresh()
		s.dirty = true
		return s.out.Event(e)
	case e.Kind == element.Watermark && e.Time != element.MaxTime, e.Kind == element.Idle:
		return nil
	case e.Kind == element.Watermark:
		s.emitted, s.isIdle = e.Time, false // nothing smaller follows
	}
	return s.out.Event(e)
}

// NextTick returns when the watermark is to be looked at: also when splits have come, so that what was seen of them before a restore is told
// before the first record is read, and what was late stays late.
func (s *EventTime[T]) NextTick() (time.Time, bool) {
	return s.due, s.dirty || s.idle > 0 || s.tracker.version != s.tracker.splits.version
}

// Tick emits the watermark if it is time.
func (s *EventTime[T]) Tick(now time.Time) error {
	if now.Before(s.due) {
		return nil
	}
	s.due = now.Add(watermarkEvery)
	return s.emit(now)
}

// BeforePark emits the watermark at once, since there is nothing else to do.
func (s *EventTime[T]) BeforePark(now time.Time) error { return s.emit(now) }

func (s *EventTime[T]) emit(now time.Time) error {
	if s.tracker.splits.awaited {
		return nil // what it brings may be older than all that was seen, and must not be late for that
	}
	s.tracker.refresh()
	s.dirty = false
	s.gauge.Set(s.newest)
	s.findIdle(now)
	seen, active := s.tracker.lowest()
	if !active {
		if s.isIdle || s.emitted == element.MaxTime {
			return nil
		}
		s.isIdle = true
		return s.out.Event(element.Event{Kind: element.Idle})
	}
	if seen == element.NoTime {
		return nil
	}
	watermark := max(seen-s.disorder-1, s.emitted)
	if watermark == s.emitted && !s.isIdle {
		return nil
	}
	s.emitted, s.isIdle = watermark, false
	return s.out.Event(element.Event{Kind: element.Watermark, Time: watermark})
}

// findIdle marks the splits that had no record for long enough. The clock is read once for a batch at most, so a split's time begins at
// the first look after its record.
func (s *EventTime[T]) findIdle(now time.Time) {
	if s.idle <= 0 {
		return
	}
	for _, a := range s.tracker.active {
		switch {
		case a.last.IsZero():
			a.last = now
		case now.Sub(a.last) >= s.idle:
			a.idle = true
		}
	}
}
