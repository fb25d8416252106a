package heap

import (
	"container/heap"
	"math"
	"math/bits"
	"slices"
)

const (
	bucketShift = 4 // buckets of 16 ms
	wheelShift  = 12
	wheelSize   = 1 << wheelShift // 65 s
)

// bucketOf returns the bucket of a time in milliseconds.
func bucketOf(at int64) int64 { return at >> bucketShift }

// entry says that a timer of a row should be looked at.
type entry struct {
	row   rowID
	timer uint32
}

// wheel files entries by bucket of time. Those of the next minute are in a ring of buckets; what lies further out is kept by turn of the
// ring, and moved in when its turn comes.
type wheel struct {
	cur   int64 // every bucket up to this one was opened
	ring  [][]entry
	full  [wheelSize / 64]uint64 // which buckets of the ring hold anything
	far   map[int64][]farEntry   // by turn; every turn here begins after cur
	turns turnHeap               // the keys of far
	spare [][]entry
	count int // entries in ring and far
}

type farEntry struct {
	entry
	bucket int64
}

func newWheel() wheel {
	return wheel{cur: bucketOf(math.MinInt64), ring: make([][]entry, wheelSize), far: map[int64][]farEntry{}}
}

// file puts an entry into a bucket that was not opened yet.
func (w *wheel) file(bucket int64, e entry) {
	w.count++
	if bucket-w.cur > wheelSize {
		turn := bucket >> wheelShift
		if w.far[turn] == nil {
			heap.Push(&w.turns, turn)
		}
		w.far[turn] = append(w.far[turn], farEntry{e, bucket})
		return
	}
	slot := bucket & (wheelSize - 1)
	if w.ring[slot] == nil && len(w.spare) > 0 {
		last := len(w.spare) - 1
		w.ring[slot], w.spare = w.spare[last], w.spare[:last]
	}
	w.ring[slot] = append(w.ring[slot], e)
	w.full[slot>>6] |= 1 << (slot & 63)
}

// next returns a bucket that is not after the first one with an entry; ok is false if there is no entry.
func (w *wheel) next() (bucket int64, ok bool) {
	bucket, ok = w.nextInRing()
	if len(w.turns) > 0 && (!ok || w.turns[0]<<wheelShift <= bucket) {
		return w.turns[0] << wheelShift, true
	}
	return bucket, ok
}

func (w *wheel) nextInRing() (bucket int64, ok bool) {
	from := (w.cur + 1) & (wheelSize - 1)
	for i := int64(0); i <= wheelSize/64; i++ {
		k := (from>>6 + i) & (wheelSize/64 - 1)
		word := w.full[k]
		switch i {
		case 0:
			word &= ^uint64(0) << (from & 63)
		case wheelSize / 64:
			word &= 1<<(from&63) - 1
		}
		if word != 0 {
			slot := k<<6 + int64(bits.TrailingZeros64(word))
			return w.cur + 1 + (slot-from)&(wheelSize-1), true
		}
	}
	return 0, false
}

// advance opens all buckets up to the given one in order and hands out what they hold. open may file entries into later buckets, and must
// not keep the slice.
func (w *wheel) advance(to int64, open func([]entry)) {
	for {
		b, ok := w.next()
		if !ok || b > to {
			break
		}
		if len(w.turns) > 0 && w.turns[0]<<wheelShift == b {
			w.cur = b - 1
			w.turn()
			continue
		}
		w.cur = b
		slot := b & (wheelSize - 1)
		entries := w.ring[slot]
		w.ring[slot] = nil
		w.full[slot>>6] &^= 1 << (slot & 63)
		w.count -= len(entries)
		open(entries)
		w.recycle(entries)
	}
	w.cur = max(w.cur, to)
}

// turn moves the entries of the turn that begins after cur into the ring.
func (w *wheel) turn() {
	turn := heap.Pop(&w.turns).(int64)
	entries := w.far[turn]
	delete(w.far, turn)
	w.count -= len(entries)
	for _, e := range entries {
		w.file(e.bucket, e.entry)
	}
}

// sweep drops all entries that keep does not want.
func (w *wheel) sweep(keep func(e entry, bucket int64) bool) {
	for slot, entries := range w.ring {
		bucket := w.cur + 1 + (int64(slot)-w.cur-1)&(wheelSize-1)
		w.ring[slot] = slices.DeleteFunc(entries, func(e entry) bool { return !keep(e, bucket) })
		w.count -= len(entries) - len(w.ring[slot])
	}
	for turn, entries := range w.far {
		left := slices.DeleteFunc(entries, func(e farEntry) bool { return !keep(e.entry, e.bucket) })
		w.count -= len(entries) - len(left)
		w.far[turn] = slices.Clone(left)
	}
}

// recycle keeps a bucket's memory for another one, if that is worth it.
func (w *wheel) recycle(entries []entry) {
	const most = 64
	if len(w.spare) < most {
		w.spare = append(w.spare, entries[:0])
	}
}

// turnHeap is a heap of turns for container/heap. It is used once a minute of event time.
type turnHeap []int64

func (h turnHeap) Len() int           { return len(h) }
func (h turnHeap) Less(i, j int) bool { return h[i] < h[j] }
func (h turnHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *turnHeap) Push(x any)        { *h = append(*h, x.(int64)) }

func (h *turnHeap) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}
