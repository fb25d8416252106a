package exchange

import (
	"time"
	"unsafe"

	"github.com/weirstream/weir/internal/element"
	"github.com/weirstream/weir/internal/keygroup"
)

// Output is the sending side of one edge in one subtask, as its task sees it. It is used by the subtask's goroutine alone.
type Output interface {
	// Event sends what is pending and then the event, to every channel.
	Event(e element.Event) error
	// Ready reports whether every channel has room. If one has not, the subtask is woken when it has.
	Ready() bool
	// Flush sends what is pending.
	Flush()
	// FlushIdle sends what is pending to consumers that have nothing to do and have waited for long enough.
	FlushIdle(now time.Time)
}

// patience is how long records may wait for company although their consumer has nothing to do, while their producer goes on working.
// It bounds the delay behind a step that rarely emits; a producer that parks sends at once.
const patience = 100 * time.Microsecond

const (
	maxBatch      = 1024      // records
	maxBatchBytes = 128 << 10 // of records, not counting what they point to
)

// BatchSize returns the number of records of type T that a batch holds between tasks: 1024, or fewer if they are large.
func BatchSize[T any]() int {
	var t T
	return min(maxBatch, max(16, maxBatchBytes/max(1, int(unsafe.Sizeof(t)))))
}

// sender collects the records for one channel.
type sender[T any] struct {
	ch *Channel
	// cur has all its room as its length, so that a record is stored by its index; n of it is in use.
	cur   *element.Batch[T]
	n     int
	since time.Time // when FlushIdle first saw the records of cur
}

// open makes a batch that holds nothing ready to be filled.
func (s *sender[T]) open(b *element.Batch[T]) {
	b.Recs, b.TS, b.Hash = b.Recs[:cap(b.Recs)], b.TS[:cap(b.TS)], b.Hash[:cap(b.Hash)]
	s.cur, s.n = b, 0
}

// base is what all outputs have in common.
type base[T any] struct {
	senders []sender[T]
	size    int
	hashed  bool // batches carry the hashes of their keys
	// timed is set with the first record that may have an event time. Until then no times are sent: they would be a third of what a small
	// record costs on its way from one core to another.
	timed bool
}

func newBase[T any](channels []*Channel, hashed bool) base[T] {
	b := base[T]{size: BatchSize[T](), hashed: hashed}
	for _, ch := range channels {
		s := sender[T]{ch: ch}
		s.open(newBatch[T](b.size, hashed))
		b.senders = append(b.senders, s)
	}
	return b
}

func newBatch[T any](size int, hashed bool) *element.Batch[T] {
	b := &element.Batch[T]{Recs: make([]T, size), TS: make([]int64, size)}
	if hashed {
		b.Hash = make([]uint64, size)
	}
	return b
}

// useTimes begins to send times, if the records of a batch may have some and none were sent before.
func (o *base[T]) useTimes(b *element.Batch[T]) {
	if b.Untimed || o.timed {
		return
	}
	o.timed = true
	for i := range o.senders {
		s := &o.senders[i]
		for j := range s.cur.TS[:s.n] {
			s.cur.TS[j] = element.NoTime
		}
	}
}

func (o *base[T]) Event(e element.Event) error {
	if e.Kind == element.SplitEnd {
		return nil // of no interest to other tasks
	}
	for i := range o.senders {
		o.send(&o.senders[i])
		o.senders[i].ch.send(element.Message{Event: e})
	}
	return nil
}

func (o *base[T]) Ready() bool {
	for i := range o.senders {
		if !o.senders[i].ch.ready() {
			return false
		}
	}
	return true
}

func (o *base[T]) Flush() {
	for i := range o.senders {
		o.send(&o.senders[i])
	}
}

func (o *base[T]) FlushIdle(now time.Time) {
	for i := range o.senders {
		s := &o.senders[i]
		switch {
		case s.n == 0:
		case s.since.IsZero():
			s.since = now
		case now.Sub(s.since) >= patience && s.ch.starved():
			o.send(s)
		}
	}
}

// send hands the sender's batch over, if it holds anything, and provides the next one.
func (o *base[T]) send(s *sender[T]) {
	if s.n == 0 {
		return
	}
	b, n := s.cur, s.n
	b.Recs, b.TS, b.Untimed = b.Recs[:n], b.TS[:n], !o.timed
	if o.hashed {
		b.Hash = b.Hash[:n]
	}
	next, ok := s.ch.send(element.Message{Batch: b}).(*element.Batch[T])
	if !ok {
		next = newBatch[T](o.size, o.hashed)
	}
	s.open(next)
	s.since = time.Time{}
}

// add copies records to a sender's batch, and sends as often as it is full.
func (o *base[T]) add(s *sender[T], recs []T, ts []int64) {
	for len(recs) > 0 {
		n := copy(s.cur.Recs[s.n:], recs)
		if o.timed {
			copy(s.cur.TS[s.n:], ts[:n])
		}
		if s.n += n; s.n == o.size {
			o.send(s)
		}
		recs, ts = recs[n:], ts[n:]
	}
}

// Forward sends all records to one channel.
type Forward[T any] struct{ base[T] }

// NewForward returns an output with one channel.
func NewForward[T any](ch *Channel) *Forward[T] {
	return &Forward[T]{newBase[T]([]*Channel{ch}, false)}
}

// Push sends the records of a batch; the batch is the caller's again afterwards.
func (o *Forward[T]) Push(b *element.Batch[T]) error {
	o.useTimes(b)
	o.add(&o.senders[0], b.Recs, b.TS)
	return nil
}

// Broadcast sends all records to every channel.
type Broadcast[T any] struct{ base[T] }

// NewBroadcast returns an output that sends to all channels.
func NewBroadcast[T any](channels []*Channel) *Broadcast[T] {
	return &Broadcast[T]{newBase[T](channels, false)}
}

// Push sends the records of a batch; the batch is the caller's again afterwards.
func (o *Broadcast[T]) Push(b *element.Batch[T]) error {
	o.useTimes(b)
	for i := range o.senders {
		o.add(&o.senders[i], b.Recs, b.TS)
	}
	return nil
}

// Rebalance deals records out evenly, in runs: each batch is cut into one run for each channel.
type Rebalance[T any] struct {
	base[T]
	next int // the channel that gets the next run
}

// NewRebalance returns an output that deals to all channels. Different producers should begin at different channels.
func NewRebalance[T any](channels []*Channel, first int) *Rebalance[T] {
	return &Rebalance[T]{base: newBase[T](channels, false), next: first % len(channels)}
}

// Push sends the records of a batch; the batch is the caller's again afterwards.
func (o *Rebalance[T]) Push(b *element.Batch[T]) error {
	o.useTimes(b)
	recs, ts, p := b.Recs, b.TS, len(o.senders)
	run := (len(recs) + p - 1) / p
	for len(recs) > 0 {
		n := min(run, len(recs))
		o.add(&o.senders[o.next], recs[:n], ts[:n])
		recs, ts = recs[n:], ts[n:]
		if o.next++; o.next == p {
			o.next = 0
		}
	}
	return nil
}

// Custom sends each record to the channel that a function of the user picks.
type Custom[T any] struct {
	base[T]
	pick func(record T, channels int) int
}

// NewCustom returns an output with a partitioner. pick returns a channel in 0 .. channels-1; another result is an error of the job.
func NewCustom[T any](channels []*Channel, pick func(record T, channels int) int) *Custom[T] {
	return &Custom[T]{base: newBase[T](channels, false), pick: pick}
}

// Push sends the records of a batch; the batch is the caller's again afterwards.
func (o *Custom[T]) Push(b *element.Batch[T]) error {
	o.useTimes(b)
	for i := range b.Recs {
		n := o.pick(b.Recs[i], len(o.senders))
		if n < 0 || n >= len(o.senders) {
			return &PartitionError{Picked: n, Channels: len(o.senders)}
		}
		o.add(&o.senders[n], b.Recs[i:i+1], b.TS[i:i+1])
	}
	return nil
}

// Hash sends each record to the subtask that owns the key group of its key.
type Hash[T any] struct {
	base[T]
	hash   func(recs []T, hashes []uint64) error
	hashes []uint64
	maxP   uint64
	target []uint16 // channel by key group
}

// NewHash returns an output for a keyed edge. hash writes the key hash of each record; it is called once for each batch. ship says whether
// the hashes go along with the records.
func NewHash[T any](channels []*Channel, maxParallelism int, ship bool, hash func(recs []T, hashes []uint64) error) *Hash[T] {
	o := &Hash[T]{base: newBase[T](channels, ship), hash: hash, maxP: uint64(maxParallelism)}
	for g := range maxParallelism {
		o.target = append(o.target, uint16(keygroup.SubtaskOf(g, len(channels), maxParallelism)))
	}
	return o
}

// Push sends the records of a batch; the batch is the caller's again afterwards.
func (o *Hash[T]) Push(b *element.Batch[T]) error {
	if cap(o.hashes) < len(b.Recs) {
		o.hashes = make([]uint64, len(b.Recs))
	}
	hashes := o.hashes[:len(b.Recs)]
	if err := o.hash(b.Recs, hashes); err != nil {
		return err
	}
	o.useTimes(b)
	if o.timed || o.hashed {
		o.partition(b.Recs, b.TS, hashes)
	} else {
		o.partitionBare(b.Recs, hashes)
	}
	return nil
}

func (o *Hash[T]) partition(recs []T, ts []int64, hashes []uint64) {
	recs, ts = recs[:len(hashes)], ts[:len(hashes)]
	maxP, target, size, hashed := o.maxP, o.target, o.size, o.hashed
	for i, h := range hashes {
		s := &o.senders[target[h>>32*maxP>>32]]
		c, n := s.cur, s.n
		c.Recs[n] = recs[i]
		c.TS[n] = ts[i]
		if hashed {
			c.Hash[n] = h
		}
		if s.n = n + 1; n+1 == size {
			o.send(s)
		}
	}
}

// partitionBare is partition for records alone.
func (o *Hash[T]) partitionBare(recs []T, hashes []uint64) {
	recs = recs[:len(hashes)]
	maxP, target, size := o.maxP, o.target, o.size
	for i, h := range hashes {
		s := &o.senders[target[h>>32*maxP>>32]]
		n := s.n
		s.cur.Recs[n] = recs[i]
		if s.n = n + 1; n+1 == size {
			o.send(s)
		}
	}
}
