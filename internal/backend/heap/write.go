package heap

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/bits"
	"runtime"
	"sync"
	"unsafe"

	"github.com/weirstream/weir/internal/backend/keyed"
	"github.com/weirstream/weir/internal/protocol/snapshot"
)

// writer is one Write in progress.
type writer struct {
	c      *Capture
	out    io.Writer
	lender snapshot.Lender // of out, nil if there is none
	buf    []byte
	own    []byte // what is used again for buf, while buf is lent
	lent   bool   // buf is room of the stream's own, to which it need not be copied
	offset int64  // of buf in the stream
	packed []byte // buf compressed
	packs  bool   // what is flushed is compressed
	full   int    // how much of buf is written at once
	spare  map[*shape][]*image
	rows   []uint64 // for changedIn
	owner  rowID    // over a byte store, which is being encoded
	apart  [][]byte // over a byte store, by column, what stands in the row for a value that is outlying; nil for one that is not
}

const (
	// writeBytes is written at once: a disk needs pieces of this order to be at its best, and each costs a turn of the scheduler.
	writeBytes = 1 << 20
	// writeAlign is what the buffer's place in memory and the pieces, but for the last one, are multiples of. Storage can then hand them to a
	// disk as they are.
	writeAlign = 4096
	// writeSlack is how far a row may go beyond what is written at once before the buffer has to grow.
	writeSlack = 32 << 10
)

// buffers are those of writers, which would else make one for each capture of each step.
var buffers = sync.Pool{New: func() any {
	b := make([]byte, writeBytes+64<<10+writeAlign)
	from := -uintptr(unsafe.Pointer(unsafe.SliceData(b))) & (writeAlign - 1)
	return new(b[from:from])
}}

func (w *writer) write() (k snapshot.Keyed, err error) {
	k.Range, k.Written, k.Increment = w.c.groups, w.c.groups, w.c.IsIncrement()
	w.spare = map[*shape][]*image{}
	defer w.giveAll()
	buffer := buffers.Get().(*[]byte)
	defer buffers.Put(buffer)
	w.full = writeBytes
	if w.buf = w.c.layout.appendHead(*buffer, k.Increment); w.c.packs {
		err = w.compressed()
	}
	k.Header = w.offset + int64(len(w.buf))
	for g := range w.c.main {
		if w.packs && err == nil {
			err = w.flush() // no block belongs to two groups
		}
		if err != nil {
			return k, err
		}
		k.Offsets = append(k.Offsets, w.offset+int64(len(w.buf)))
		if k.Increment {
			err = w.increment(g)
		} else {
			err = w.group(g)
		}
	}
	if err == nil {
		err = w.flush()
	}
	k.End = w.offset
	return k, err
}

// compressed writes the head of a compressed stream, and has all that follows be compressed.
func (w *writer) compressed() error {
	buffer := w.buf[:0]
	w.buf = keyed.CompressedHead(w.buf)
	err := w.flush()
	w.buf, w.packs, w.full = buffer, true, keyed.BlockBytes
	return err
}

// flush writes all that is in the buffer.
func (w *writer) flush() error { return w.send(len(w.buf)) }

// drain writes what is in the buffer, as far as it can be written without a copy.
func (w *writer) drain() error {
	if w.packs || w.lent {
		return w.flush()
	}
	return w.send(len(w.buf) &^ (writeAlign - 1))
}

// send writes the first bytes of the buffer, which begins anew with what was behind them.
func (w *writer) send(bytes int) error {
	if bytes == 0 {
		return nil
	}
	src := w.buf[:bytes]
	if w.packs {
		w.packed = keyed.AppendBlocks(w.packed[:0], src)
		src = w.packed
	}
	n, err := w.out.Write(src)
	w.offset += int64(n)
	if err == nil && n < len(src) {
		err = io.ErrShortWrite
	}
	w.buf = append(w.room(), w.buf[bytes:]...)
	runtime.Gosched() // else a task that becomes ready may have to wait for the end of the writer's time slice of 10 ms
	return err
}

// room returns an empty buffer, of the stream's own if it lends one.
func (w *writer) room() []byte {
	if !w.lent {
		w.own = w.buf[:0]
	}
	if b := w.borrow(); b != nil {
		w.lent, w.full = true, cap(b)-writeSlack
		return b
	}
	if w.lent {
		w.lent, w.full = false, writeBytes
	}
	return w.own
}

func (w *writer) borrow() []byte {
	if w.lender == nil || w.packs {
		return nil
	}
	if b := w.lender.AvailableBuffer(); cap(b) > 2*writeSlack {
		return b
	}
	return nil
}

// flushIfFull keeps room for n bytes in the buffer.
func (w *writer) flushIfFull(n int) error {
	if len(w.buf)+n <= w.full {
		return nil
	}
	return w.drain()
}

func (w *writer) group(g int) (err error) {
	main := &w.c.main[g]
	if main.count == 0 {
		return nil
	}
	w.buf = appendCount(w.buf, main.count)
	var n int
	if w.c.layout.packed != nil {
		n, err = w.packedRows(main)
	} else {
		n, err = w.codedRows(main, g)
	}
	if err == nil && n != main.count && !w.c.layout.stamped {
		err = fmt.Errorf("group %d has %d rows in its pages and %d by count: this is a bug", w.c.groups.First+g, n, main.count)
	}
	return err
}

// eachPage calls f for the pages that were in use.
func (r *rowsImage) eachPage(f func(s *slab, k int) error) error {
	pages := int(r.next+1<<r.sh.shift-1) >> r.sh.shift
	for i := range r.slabs {
		s := &r.slabs[i]
		for k := range s.pages {
			if pages--; pages < 0 {
				return nil
			}
			if err := f(s, k); err != nil {
				return err
			}
		}
	}
	return nil
}

// claim locks a page for reading. If the subtask has changed the page since the capture then saved is the page as it was, for the caller to
// keep, and the page is not locked any more. Otherwise the page itself is still as it was, and the caller unlocks it soon, with claimed. If
// the page is no part of the capture then wanted is false, and there is nothing to keep or to unlock.
func (w *writer) claim(sh *shape, s *slab, k int) (saved *image, claimed uint32, wanted bool, err error) {
	if err := w.c.stopped(); err != nil {
		return nil, 0, false, err
	}
	p := &s.pages[k]
	before := p.lock()
	claimed = max(before, w.c.epoch)
	img, oldest := p.at(w.c.epoch), w.c.isOldest()
	if oldest {
		w.spares(sh, p.cut(w.c.epoch))
	}
	switch {
	case img == nil && w.c.wants(*sh.wroteOf(s, k)):
		return nil, claimed, true, nil
	case img == nil:
		p.unlock(claimed)
		return nil, 0, false, nil
	case !w.c.wants(img.wrote):
		p.unlock(before)
		return nil, 0, false, nil
	case oldest && img.upto == w.c.epoch: // nobody else needs it
		w.spares(sh, p.cut(w.c.epoch+1))
		saved = w.spareImage(sh)
	default:
		saved = w.spareImage(sh)
		sh.move(saved.base, img.base, sh.perPage())
		copy(saved.live, img.live)
		saved.history.copyOf(&img.history)
	}
	p.unlock(before)
	return saved, 0, true, nil
}

// spares takes images that a page had kept, the last of them to be used next.
func (w *writer) spares(sh *shape, list *image) {
	for list != nil {
		img := list
		list, img.next = img.next, nil
		w.spare[sh] = append(w.spare[sh], img)
	}
}

// spareImage returns the image that was spared last, or a new one.
func (w *writer) spareImage(sh *shape) *image {
	spare := w.spare[sh]
	if len(spare) == 0 {
		return newImages(sh, 1)[0]
	}
	w.spare[sh] = spare[:len(spare)-1]
	return spare[len(spare)-1]
}

// take returns the page as it was, in memory that is the writer's until it puts it back with give. It is nil if the page is no part of the
// capture.
func (w *writer) take(sh *shape, s *slab, k int) (*image, error) {
	saved, claimed, wanted, err := w.claim(sh, s, k)
	if err != nil || saved != nil || !wanted {
		return saved, err
	}
	img := w.spareImage(sh)
	sh.copyTo(img, s, k, w.c.since)
	s.pages[k].unlock(claimed)
	return img, nil
}

// give takes images back and passes them on to the subtask, some at a time.
func (w *writer) give(sh *shape, images ...*image) {
	const keep, most = 64, 128
	w.spare[sh] = append(w.spare[sh], images...)
	if n := len(w.spare[sh]); n > most {
		sh.pool.put(w.spare[sh][keep:]...)
		w.spare[sh] = w.spare[sh][:keep]
	}
}

func (w *writer) giveAll() {
	for sh, images := range w.spare {
		sh.pool.put(images...)
	}
}

// packedRows copies what lies in memory as it is written.
func (w *writer) packedRows(r *rowsImage) (n int, err error) {
	sh := r.sh
	pageBytes := sh.perPage() * int(sh.size)
	err = r.eachPage(func(s *slab, k int) error {
		if err := w.flushIfFull(pageBytes); err != nil {
			return err
		}
		saved, claimed, _, err := w.claim(sh, s, k)
		switch {
		case err != nil:
			return err
		case saved != nil:
			n += w.pack(sh, saved.base, saved.live)
			w.give(sh, saved)
		default:
			n += w.pack(sh, sh.pageOf(s, k), sh.liveOf(s, k))
			s.pages[k].unlock(claimed)
		}
		return nil
	})
	return n, err
}

// codedRows encodes row by row.
func (w *writer) codedRows(r *rowsImage, g int) (n int, err error) {
	tables := make([]frozen, len(w.c.linked))
	for i := range tables {
		tables[i] = w.freeze(&w.c.linked[i][g])
		defer func() { err = errors.Join(err, tables[i].done()) }()
	}
	hanging := func(i int, c *column, cell unsafe.Pointer) error {
		defer tables[i].leave()
		return c.linked.encode(w, cell, &tables[i])
	}
	err = r.eachPage(func(s *slab, k int) error {
		img, err := w.take(r.sh, s, k)
		if err != nil {
			return err
		}
		defer w.give(r.sh, img)
		for i := range liveRows(img.live) {
			row := unsafe.Add(img.base, uintptr(i)*r.sh.size)
			if w.c.layout.stamped {
				if !w.isLiving(row, tables) {
					continue
				}
				w.buf = append(w.buf, keyed.RowFollows)
			}
			if err := w.row(row, hanging); err != nil {
				return err
			}
			n++
		}
		return nil
	})
	if w.c.layout.stamped {
		w.buf = append(w.buf, keyed.NoRowFollows)
	}
	return n, err
}

// expired reports whether what has a stamp was over when the capture was made.
func (w *writer) expired(e *expiry, stamp int64) bool { return e.expiredAt(stamp, w.c.now[e.clock]) }

// isLiving reports whether any state of a row had not expired when the capture was made.
func (w *writer) isLiving(row unsafe.Pointer, tables []frozen) bool {
	next, living := 0, false
	for _, c := range w.c.layout.columns {
		cell := unsafe.Add(row, c.off)
		switch {
		case c.linked != nil:
			living = c.linked.living(w, cell, &tables[next], 1) > 0
			tables[next].leave()
			next++
		case c.kind == keyed.KindTimer:
			living = (*timerCell)(cell).deadline != none
		case c.ttl != nil:
			living = *stampAt(cell) != none && !w.expired(c.ttl, *stampAt(cell))
		case c.begin != nil:
			living = !c.isBegin(cell)
		default:
			living = !zeroBytes(cell, c.cell.Size())
		}
		if living {
			return true
		}
	}
	return false
}

// row writes key and columns of a row, and its timers last. hanging writes what hangs on the cells of the linked columns.
func (w *writer) row(row unsafe.Pointer, hanging func(i int, c *column, cell unsafe.Pointer) error) (err error) {
	next := 0
	l := w.c.layout
	w.buf = l.keyCodec.Append(w.buf, row)
	for i, c := range l.columns {
		cell := unsafe.Add(row, c.off)
		switch {
		case c.linked != nil:
			err = hanging(next, c, cell)
			next++
		case w.apart != nil && w.apart[i] != nil:
			if c.ttl != nil {
				w.buf = appendStamp(w.buf, *stampAt(cell))
			}
			w.buf = append(w.buf, w.apart[i]...)
		case c.kind == keyed.KindValue && c.ttl != nil:
			w.stampedValue(c, cell)
		case c.encoded != nil:
			w.buf = c.encoded.append(w.buf, *(*string)(cell))
		case c.kind == keyed.KindValue:
			w.buf = c.codec.Append(w.buf, cell)
		}
		if err == nil {
			err = w.flushIfFull(0)
		}
		if err != nil {
			return err
		}
	}
	if l.single > 0 {
		w.buf = l.appendTimers(w.buf, row)
	}
	return nil
}

// stampedValue writes a value that expires. One that is not there is a zero value behind no stamp.
func (w *writer) stampedValue(c *column, cell unsafe.Pointer) {
	stamp := *stampAt(cell)
	if w.expired(c.ttl, stamp) {
		stamp = none
	}
	w.buf = appendStamp(w.buf, stamp)
	switch value := unsafe.Add(cell, stampBytes); {
	case stamp == none:
		w.buf = c.codec.Append(w.buf, c.blank)
	case c.encoded != nil:
		w.buf = c.encoded.append(w.buf, *(*string)(value))
	default:
		w.buf = c.codec.Append(w.buf, value)
	}
}

// element is called after each element of a linked table was appended, so that a large map is not put together in memory.
func (w *writer) element(f *frozen) error {
	if len(w.buf) <= w.full {
		return nil
	}
	f.leave()
	if err := w.c.stopped(); err != nil {
		return err
	}
	return w.drain()
}

// liveRows returns the numbers of the rows in use.
func liveRows(live []uint64) iter.Seq[int] {
	return func(yield func(int) bool) {
		for i, word := range live {
			for ; word != 0; word &= word - 1 {
				if !yield(i<<6 + bits.TrailingZeros64(word)) {
					return
				}
			}
		}
	}
}

// pack appends the packed parts of the rows in use and returns their number.
func (w *writer) pack(sh *shape, base unsafe.Pointer, live []uint64) (n int) {
	parts := w.c.layout.packed
	whole := len(parts) == 1 && parts[0].size == sh.size
	for i := nextLive(live, 0); i < len(live)<<6; {
		run := liveRun(live, i)
		if row := unsafe.Add(base, uintptr(i)*sh.size); whole {
			w.buf = append(w.buf, unsafe.Slice((*byte)(row), uintptr(run)*sh.size)...)
		} else {
			w.packParts(parts, row, run, sh.size)
		}
		n, i = n+run, nextLive(live, i+run)
	}
	return n
}

func (w *writer) packParts(parts []span, first unsafe.Pointer, rows int, size uintptr) {
	for i := range rows {
		row := unsafe.Add(first, uintptr(i)*size)
		for _, p := range parts {
			w.buf = append(w.buf, unsafe.Slice((*byte)(unsafe.Add(row, p.off)), p.size)...)
		}
	}
}

// nextLive returns the number of the first row in use from i on, at least that of all rows if there is none.
func nextLive(live []uint64, i int) int {
	for ; i>>6 < len(live); i = (i>>6 + 1) << 6 {
		if rest := live[i>>6] >> (i & 63); rest != 0 {
			return i + bits.TrailingZeros64(rest)
		}
	}
	return i
}

// liveRun returns the number of rows in use from i on without a gap.
func liveRun(live []uint64, i int) int {
	from := i
	for i>>6 < len(live) {
		gap := bits.TrailingZeros64(^(live[i>>6] >> (i & 63)))
		if gap < 64-i&63 {
			return i + gap - from
		}
		i = (i>>6 + 1) << 6
	}
	return i - from
}

func (e *Encoded) append(dst []byte, b string) []byte {
	if b == "" {
		b = e.zero
	}
	return append(dst, b...)
}

// appendTimers appends the number of deadlines and for each one column, domain and time.
func (l *Layout) appendTimers(dst []byte, row unsafe.Pointer) []byte {
	at, n := len(dst), 0
	dst = append(dst, 0) // no more than mostColumns
	for i, c := range l.columns {
		if c.kind != keyed.KindTimer {
			continue
		}
		if d := (*timerCell)(unsafe.Add(row, c.off)).deadline; d != none {
			dst = append(appendCount(dst, i), byte(c.domain))
			dst = binary.LittleEndian.AppendUint64(dst, uint64(loaded(d)))
			n++
		}
	}
	dst[at] = byte(n)
	return dst
}

func appendCount(dst []byte, n int) []byte { return binary.AppendUvarint(dst, uint64(n)) }
