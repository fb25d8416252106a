package exchange

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"
	"unsafe"

	"github.com/weirstream/weir/internal/element"
	"github.com/weirstream/weir/internal/runtime/spill"
)

// Codec turns records into bytes and back.
type Codec[T any] interface {
	Append(dst []byte, v *T) []byte
	Decode(src []byte, v *T) (rest []byte, err error)
}

// FeedbackOptions say how a feedback edge keeps what waits in it.
type FeedbackOptions struct {
	// Memory is the number of bytes, as far as they can be estimated, that records may take before further ones go to files.
	Memory int64
	Files  spill.Files
	// Wake tells the head that there is something to do. Any goroutine may call it.
	Wake func()
}

// ErrLoopEnded says that a record was sent round in a loop that has come to its end.
var ErrLoopEnded = errors.New("the loop has ended: nothing enters it any more and it was empty, so a record that Finish emits cannot go round. " +
	"Emit it to a stream that leaves the loop, or earlier: from an event-time timer")

// Feedback is the edge on which the records of a loop go round: from a subtask of its tail, for which it is an Output, to the subtask of
// its head of the same index, which polls it.
//
// It takes everything and never lets the tail wait. A bounded edge would: the head waits for room in the loop, the loop for the tail, the
// tail for the head, for ever. Batches that do not fit in memory wait in files; their places in the queue stay in memory. If that fails,
// the head finds the error in the place of the batch.
//
// Of events it carries those that are for the head: barriers and the markers of those that do not come, probes, the end of the partition.
type Feedback[T any] struct {
	FeedbackOptions
	codec    Codec[T]
	size     int   // records of a batch
	recBytes int64 // of one and its time, but for what it points to
	pointers bool
	blocks   *spill.Blocks

	// The tail's.
	cur   *element.Batch[T]
	since time.Time // when FlushIdle first saw the records of cur
	timed bool      // some record of cur may have an event time
	ended bool
	coded []byte // used again for each batch that is encoded

	// The head's.
	read []byte // used again for each batch that is read back

	mu struct {
		sync.Mutex
		queue   []feedbackMessage[T]
		first   int   // in queue
		bytes   int64 // of the batches in memory
		free    []*element.Batch[T]
		waiting bool // the head has found nothing
		closed  bool // nobody polls any more
	}
}

// feedbackMessage is a batch in memory, one in a file, the error that kept it from getting there, or an event.
type feedbackMessage[T any] struct {
	batch *element.Batch[T]
	bytes int64 // of batch
	block spill.Block
	err   error
	event element.Event
}

// NewFeedback returns an empty edge. pointers says whether records can keep something else alive.
func NewFeedback[T any](codec Codec[T], pointers bool, o FeedbackOptions) *Feedback[T] {
	var t T
	return &Feedback[T]{
		FeedbackOptions: o, codec: codec, size: BatchSize[T](), recBytes: int64(unsafe.Sizeof(t)) + 8, pointers: pointers,
		blocks: spill.NewBlocks(o.Files), cur: &element.Batch[T]{},
	}
}

// Push sends the records of a batch round; the batch is the caller's again afterwards. It fails once the loop has ended.
func (f *Feedback[T]) Push(b *element.Batch[T]) error {
	if f.ended && len(b.Recs) > 0 {
		return ErrLoopEnded
	}
	recs, ts := b.Recs, b.TS
	for len(recs) > 0 {
		n := min(len(recs), f.size-len(f.cur.Recs))
		f.cur.Recs, f.cur.TS = append(f.cur.Recs, recs[:n]...), append(f.cur.TS, ts[:n]...)
		f.timed = f.timed || !b.Untimed
		if len(f.cur.Recs) == f.size {
			f.Flush()
		}
		recs, ts = recs[n:], ts[n:]
	}
	return nil
}

// Event sends what is pending and then the event, if it is for the head.
func (f *Feedback[T]) Event(e element.Event) error {
	switch e.Kind {
	case element.Barrier, element.CancelBarrier, element.EndOfPartition:
	case element.Probe:
		f.ended = f.ended || e.Round == element.LastRound
	default:
		return nil
	}
	f.Flush()
	f.enqueue(feedbackMessage[T]{event: e})
	return nil
}

// Ready reports that there is room: there always is.
func (f *Feedback[T]) Ready() bool { return true }

// FlushIdle sends what is pending if the head has nothing to do and has waited for long enough.
func (f *Feedback[T]) FlushIdle(now time.Time) {
	switch {
	case len(f.cur.Recs) == 0:
	case f.since.IsZero():
		f.since = now
	case now.Sub(f.since) >= patience && f.starved():
		f.Flush()
	}
}

func (f *Feedback[T]) starved() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.mu.waiting
}

// Flush sends what is pending.
func (f *Feedback[T]) Flush() {
	if len(f.cur.Recs) == 0 {
		return
	}
	b := f.cur
	b.Untimed, f.timed, f.since = !f.timed, false, time.Time{}
	m := f.store(b, &f.coded)
	f.enqueue(m)
	if m.batch != nil {
		f.cur = f.spare()
		return
	}
	f.empty(b)
}

// store puts a batch into memory or a file. coded is room to work in.
func (f *Feedback[T]) store(b *element.Batch[T], coded *[]byte) feedbackMessage[T] {
	bytes := f.bytesOf(b, coded)
	if f.takeRoom(bytes) {
		return feedbackMessage[T]{batch: b, bytes: bytes}
	}
	*coded = f.encode((*coded)[:0], b)
	block, err := f.blocks.Put(*coded)
	return feedbackMessage[T]{block: block, err: err}
}

// bytesOf estimates what a batch takes: its records are taken to point to as much as the first does.
func (f *Feedback[T]) bytesOf(b *element.Batch[T], coded *[]byte) int64 {
	each := f.recBytes
	if f.pointers {
		*coded = f.codec.Append((*coded)[:0], &b.Recs[0])
		each += int64(len(*coded))
	}
	return each * int64(len(b.Recs))
}

// takeRoom reports whether a batch may wait in memory, and counts it. One always may. When nobody polls any more there is room for all,
// since none is kept.
func (f *Feedback[T]) takeRoom(bytes int64) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.mu.bytes > 0 && f.mu.bytes+bytes > f.Memory && !f.mu.closed {
		return false
	}
	f.mu.bytes += bytes
	return true
}

// enqueue appends a message. One for a head that has ended is dropped: its task has failed, and the loop goes with it, or has finished, and
// nothing that it would heed can come.
func (f *Feedback[T]) enqueue(m feedbackMessage[T]) {
	f.mu.Lock()
	closed, wake := f.mu.closed, f.mu.waiting
	if !closed {
		f.mu.queue = append(f.mu.queue, m)
	}
	f.mu.waiting = false
	f.mu.Unlock()
	if closed && !m.block.IsZero() {
		m.block.Drop() // what nobody reads any more cannot fail anything
	}
	if wake {
		f.Wake()
	}
}

// spare returns an empty batch.
func (f *Feedback[T]) spare() *element.Batch[T] {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := len(f.mu.free)
	if n == 0 {
		return &element.Batch[T]{}
	}
	b := f.mu.free[n-1]
	f.mu.free = f.mu.free[:n-1]
	return b
}

// Restore puts records of a checkpoint at the front. The head calls it before its first Poll, and gives the slices away. untimed says that
// none of them has an event time.
func (f *Feedback[T]) Restore(recs []T, ts []int64, untimed bool) error {
	var coded []byte
	var restored []feedbackMessage[T]
	for len(recs) > 0 {
		n := min(len(recs), f.size)
		m := f.store(&element.Batch[T]{Recs: recs[:n:n], TS: ts[:n:n], Untimed: untimed}, &coded)
		if m.err != nil {
			return m.err
		}
		restored = append(restored, m)
		recs, ts = recs[n:], ts[n:]
	}
	f.mu.Lock()
	f.mu.queue = append(restored, f.mu.queue...)
	f.mu.Unlock()
	return nil
}

// Poll takes the next message. A batch belongs to the caller until Recycle.
func (f *Feedback[T]) Poll() (element.Message, bool, error) {
	f.mu.Lock()
	if f.mu.first == len(f.mu.queue) {
		f.mu.queue, f.mu.first = f.mu.queue[:0], 0
		f.mu.waiting = true
		f.mu.Unlock()
		return element.Message{}, false, nil
	}
	m := f.mu.queue[f.mu.first]
	f.mu.queue[f.mu.first] = feedbackMessage[T]{}
	f.mu.first++
	f.compactLocked()
	f.mu.bytes -= m.bytes
	f.mu.waiting = false
	f.mu.Unlock()
	switch {
	case m.err != nil:
		return element.Message{}, false, m.err
	case m.batch != nil:
		return element.Message{Batch: m.batch}, true, nil
	case m.block.IsZero():
		return element.Message{Event: m.event}, true, nil
	}
	b, err := f.decode(m.block)
	if err != nil {
		return element.Message{}, false, err
	}
	return element.Message{Batch: b}, true, nil
}

// compactLocked moves the queue to the front of its memory when half of that is used up.
func (f *Feedback[T]) compactLocked() {
	if f.mu.first < 64 || f.mu.first < len(f.mu.queue)/2 {
		return
	}
	n := copy(f.mu.queue, f.mu.queue[f.mu.first:])
	clear(f.mu.queue[n:])
	f.mu.queue, f.mu.first = f.mu.queue[:n], 0
}

// Recycle gives a batch back to the tail. The caller has emptied it.
func (f *Feedback[T]) Recycle(b element.Any) {
	f.mu.Lock()
	if len(f.mu.free) <= Capacity {
		f.mu.free = append(f.mu.free, b.(*element.Batch[T]))
	}
	f.mu.Unlock()
}

// Backlog returns the number of messages that wait.
func (f *Feedback[T]) Backlog() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.mu.queue) - f.mu.first
}

// Close gives up what waits, and all that may still come. The head calls it when it ends.
func (f *Feedback[T]) Close() error {
	f.mu.Lock()
	rest := f.mu.queue[f.mu.first:]
	f.mu.queue, f.mu.first, f.mu.bytes, f.mu.closed = nil, 0, 0, true
	f.mu.Unlock()
	var errs []error
	for _, m := range rest {
		if !m.block.IsZero() {
			errs = append(errs, m.block.Drop())
		}
	}
	return errors.Join(append(errs, f.blocks.Close())...)
}

// empty makes a batch ready for other records.
func (f *Feedback[T]) empty(b *element.Batch[T]) {
	if f.pointers {
		clear(b.Recs)
	}
	b.Recs, b.TS = b.Recs[:0], b.TS[:0]
}

// A spilled batch is the number of its records with a bit below it that says whether they have times, and then each record, after its time.
func (f *Feedback[T]) encode(dst []byte, b *element.Batch[T]) []byte {
	n := uint64(len(b.Recs)) << 1
	if !b.Untimed {
		n |= 1
	}
	dst = binary.AppendUvarint(dst, n)
	for i := range b.Recs {
		if !b.Untimed {
			dst = binary.LittleEndian.AppendUint64(dst, uint64(b.TS[i]))
		}
		dst = f.codec.Append(dst, &b.Recs[i])
	}
	return dst
}

func (f *Feedback[T]) decode(block spill.Block) (*element.Batch[T], error) {
	src, err := block.Take(f.read)
	if err != nil {
		return nil, err
	}
	f.read = src[:0]
	n, used := binary.Uvarint(src)
	if used <= 0 || n>>1 > uint64(f.size) {
		return nil, errors.New("read what was spilled: it is damaged")
	}
	src = src[used:]
	b := &element.Batch[T]{Recs: make([]T, n>>1), TS: make([]int64, n>>1), Untimed: n&1 == 0}
	for i := range b.Recs {
		b.TS[i] = element.NoTime
		if !b.Untimed {
			if len(src) < 8 {
				return nil, errors.New("read what was spilled: it ends too early")
			}
			b.TS[i] = int64(binary.LittleEndian.Uint64(src))
			src = src[8:]
		}
		if src, err = f.codec.Decode(src, &b.Recs[i]); err != nil {
			return nil, fmt.Errorf("read what was spilled: %w", err)
		}
	}
	return b, nil
}
