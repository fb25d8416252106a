package nexmark

// block is the number of consecutive events that one reader takes before the next reader's turn.
const block = 1024

// Reader hands out one reader's share of a bounded stream of events, in order: of the blocks of 1024 events those with
// block mod readers = index. All readers together give each event once. A Reader belongs to one goroutine.
type Reader[T any] struct {
	fill    func(first int64, out []T)
	next    int64 // the event to hand out next, if below end
	end     int64
	readers int64
}

// NewReader returns reader index (0 .. readers-1) of the events 0 .. events-1 that fill makes.
func NewReader[T any](fill func(first int64, out []T), index, readers int, events int64) *Reader[T] {
	return &Reader[T]{fill: fill, next: int64(index) * block, end: events, readers: int64(readers)}
}

// Read fills out from the front and returns how many records it wrote: len(out) except at the end of the events, then less,
// at last 0.
func (r *Reader[T]) Read(out []T) int {
	n := 0
	for n < len(out) && r.next < r.end {
		inBlock := block - r.next%block
		take := min(inBlock, r.end-r.next, int64(len(out)-n))
		r.fill(r.next, out[n:n+int(take)])
		n += int(take)
		r.next += take
		if r.next%block == 0 {
			r.next += (r.readers - 1) * block
		}
	}
	return n
}

// Position returns the event that Read hands out next; at or above the number of events when there is none.
func (r *Reader[T]) Position() int64 { return r.next }

// ContinueAt makes the reader go on at a position that Position returned.
func (r *Reader[T]) ContinueAt(position int64) { r.next = position }

// Ordinal returns how many events the reader that reads this event reads before it, when there are as many readers as said.
func Ordinal(event int64, readers int) int64 {
	return event/block/int64(readers)*block + event%block
}
