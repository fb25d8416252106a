package heap

import (
	"iter"
	"math"
)

// What follows shows tests from outside what a store remembers.

// Now returns the present epoch.
func (s *Store[K]) Now() Epoch { return Epoch(s.clock.now) }

// Changed yields the rows of a key group that were changed in an epoch or after it: their values, their timers, or anything in their maps and
// lists. A group is counted from the store's first. The store must track changes, and must not be changed meanwhile; Clean may be called.
func (s *Store[K]) Changed(group int, since Epoch) iter.Seq[Ref] {
	return func(yield func(Ref) bool) {
		for id := range s.tables[group].rows.changed(uint32(since)) {
			if !yield(s.refOf(uint32(group), id)) {
				return
			}
		}
	}
}

// KeyOf returns the key of a row.
func (s *Store[K]) KeyOf(r Ref) K { return *(*K)(r.row) }

// Removed yields the encoded keys of a group that had a row before an epoch and lost it in that epoch or after it, as long as that is
// remembered: see Confirmed. A key that has a row again may be among them, and one may come more than once. The bytes must not be kept.
func (s *Store[K]) Removed(group int, since Epoch) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for _, key := range s.tables[group].gone.since(uint32(since)) {
			if !yield(key) {
				return
			}
		}
	}
}

// Expired reports whether what was written at a time is over at another, both in milliseconds.
func (t *TTL) Expired(written, now int64) bool {
	return newExpiry(t).expiredAt(written^math.MinInt64, now)
}

// OutlyingFrom makes maps and lists outlying from so many bytes on, and room within a batch for each so many bytes that come. It returns what undoes
// it.
func OutlyingFrom(bytes int, slack int64) (undo func()) {
	before, slackBefore := outlyingFrom, leastSlack
	outlyingFrom, leastSlack = bytes, slack
	return func() { outlyingFrom, leastSlack = before, slackBefore }
}

// Held returns the bytes that the tables over a byte store take, roughly.
func (s *Store[K]) Held() int64 { return s.backed.used() }

// changed yields the rows in use that were changed in an epoch or after it, in ascending order.
func (r *rows) changed(since uint32) iter.Seq[uint32] {
	return func(yield func(uint32) bool) {
		for i := range r.slabs {
			s := &r.slabs[i]
			for k := range s.pages {
				first := s.first + uint32(k)<<r.sh.shift
				if first >= r.next {
					return
				}
				h := r.sh.historyOf(s, k)
				for j := range liveRows(r.sh.liveOf(s, k)) {
					if h.has(uint32(j), since) && !yield(first+uint32(j)) {
						return
					}
				}
			}
		}
	}
}

// LongFrom makes values outlying from so many bytes on, in pieces of so many. It returns what undoes it.
func LongFrom(bytes, piece int) (undo func()) {
	before, pieceBefore := longFrom, pieceBytes
	longFrom, pieceBytes = bytes, piece
	return func() { longFrom, pieceBytes = before, pieceBefore }
}

// Taken returns the bytes that the tables over a byte store take with all that is being written back, roughly.
func (s *Store[K]) Taken() int64 { return s.backed.taken() }
