package heap

import "github.com/weirstream/weir/backend"

// Log has all changes told that are made to the byte store from now on, in their order: when a batch of them is handed over, or before that by
// CutLog. What an op holds must not be kept. The store must have been put under the tables by Back.
func (s *Store[K]) Log(tell func(backend.Op)) {
	s.backed.log, s.backed.told = tell, s.backed.batch.Len()
}

// CutLog tells the log all changes up to now. Unlike a snapshot it does not wait for the byte store, whatever that is doing, unless there is no memory
// for what would have to wait with it. It is called between batches, and takes time in proportion to the number of rows that have changed since they were told last, which is bounded.
func (s *Store[K]) CutLog() { s.backed.cut() }

// Touched reports whether there are changes that the log was not told of.
func (s *Store[K]) Touched() bool {
	return len(s.backed.dirty) > 0 || s.backed.told < s.backed.batch.Len()
}

// cut encodes what has changed. The rows are not clean before the batch is written that has them, which may be the one that is handed over
// next.
func (b *backing) cut() {
	b.encode()
	if b.writer.isFull() && int64(b.batch.Size()) <= b.mostFlying() {
		b.now++
		return
	}
	b.ready()
	b.handOver()
}

// tell tells the log what is new in the batch.
func (b *backing) tell() {
	if b.log == nil {
		return
	}
	i := 0
	for op := range b.batch.All() {
		if i++; i > b.told {
			b.log(op)
		}
	}
	b.told = b.batch.Len()
}
